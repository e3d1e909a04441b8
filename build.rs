//! A new connection loads the library anew. cargo-pgrx has the linker keep what nothing refers to, so that a
//! build for tests finds all of its functions; a release is told to leave it out again, and loads in half
//! the time.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo:rustc-link-arg-cdylib=-Wl,--gc-sections");
    }
}
