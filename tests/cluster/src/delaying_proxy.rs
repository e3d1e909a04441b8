//! A slow link: what goes through it arrives later.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A folder with a socket that leads to a server's, with a delay in both directions. Its threads end with its connections.
#[derive(Debug)]
pub struct DelayingProxy {
    folder: TempDir,
    millis: Arc<AtomicU64>,
}

impl DelayingProxy {
    /// A proxy to the server whose socket is in this folder, without a delay as yet.
    ///
    /// # Panics
    /// If no socket can be made in /tmp.
    pub fn to(server: &Path) -> DelayingProxy {
        const SOCKET: &str = ".s.PGSQL.5432";
        let folder = tempfile::Builder::new().prefix("guard").tempdir_in("/tmp").expect("/tmp");
        let listener = UnixListener::bind(folder.path().join(SOCKET)).expect("a socket");
        let millis = Arc::new(AtomicU64::new(0));
        let (server, delay) = (server.join(SOCKET), Arc::clone(&millis));
        spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = UnixStream::connect(&server) else { continue };
                pass_on(&client, &server, &delay);
                pass_on(&server, &client, &delay);
            }
        });
        DelayingProxy { folder, millis }
    }

    /// Where its socket is: the host to connect to.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Has what comes in from now on arrive so much later.
    pub fn delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).expect("less than an age");
        self.millis.store(millis, Ordering::Relaxed);
    }
}

fn pass_on(from: &UnixStream, to: &UnixStream, delay: &Arc<AtomicU64>) {
    let (mut from, mut to) =
        (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
    let delay = Arc::clone(delay);
    let (sender, receiver) = channel::<(Instant, Vec<u8>)>();
    spawn(move || {
        let mut buffer = vec![0; 65536];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let due = Instant::now() + Duration::from_millis(delay.load(Ordering::Relaxed));
            if sender.send((due, buffer[..count].to_vec())).is_err() {
                break;
            }
        }
    });
    spawn(move || {
        for (due, bytes) in receiver {
            sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
}
