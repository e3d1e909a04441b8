//! Passwords are kept as Argon2 hashes.

use std::sync::LazyLock;

use argon2::{
    Argon2,
    password_hash::{self, PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use tokio::task::{JoinError, spawn_blocking};

/// Compared with where there is no such user, so that this takes as long.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash("nobody").expect("fits"));

pub fn hash(password: &str) -> password_hash::Result<String> {
    Ok(Argon2::default().hash_password(password.as_bytes())?.to_string())
}

pub async fn matches(password: String, hash: Option<String>) -> Result<bool, JoinError> {
    // It keeps a processor busy for a while, which the other requests should not wait for.
    spawn_blocking(move || {
        let stored = hash.as_ref().unwrap_or(&NOBODY);
        let matches = PasswordHash::new(stored).is_ok_and(|stored| {
            Argon2::default().verify_password(password.as_bytes(), &stored).is_ok()
        });
        matches && hash.is_some()
    })
    .await
}
