//! A clock that is wrong: of one server alone, by libfaketime.

use std::fs;
use std::path::{Path, PathBuf};

/// The clock of a server that is started with its environment.
#[derive(Debug)]
pub struct FakeClock {
    library: PathBuf,
    offset: PathBuf,
}

impl FakeClock {
    /// A clock that is right as yet; `None` where libfaketime is not installed.
    ///
    /// # Panics
    /// If no file can be written in the folder.
    pub fn new(folder: &Path) -> Option<FakeClock> {
        let clock = FakeClock { library: find_library()?, offset: folder.join("clock") };
        clock.set("+0");
        Some(clock)
    }

    /// How far the clock is ahead, as libfaketime takes it: `+1y`, `-3600`.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn set(&self, offset: &str) {
        // Renamed into place: a reader sees the one or the other.
        let next = self.offset.with_extension("next");
        fs::write(&next, offset).expect("the clock's file");
        fs::rename(&next, &self.offset).expect("the clock's file");
    }

    /// What a server has to be started with.
    pub fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.offset.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            // Waits go by that one.
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}

/// Where Debian's package `libfaketime` has it.
fn find_library() -> Option<PathBuf> {
    let mut folders = fs::read_dir("/usr/lib").ok()?.flatten();
    folders.find_map(|folder| {
        let library = folder.path().join("faketime/libfaketime.so.1");
        library.exists().then_some(library)
    })
}
