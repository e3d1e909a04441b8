//! Signals to processes, and what /proc says of them.

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Sends a signal to a process that this test has started, itself or through its server.
///
/// # Panics
/// If the number is no process's.
pub fn kill(pid: u32, signal: Signal) {
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("the number of a process");
    // It may have ended by itself.
    let _ = kill_process(id, signal);
}

/// Lets a process have so much memory and no more.
///
/// # Panics
/// If the number is no process's.
pub fn limit_memory(pid: u32, bytes: u64) {
    let id = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("the number of a process");
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    prlimit(Some(id), Resource::As, limit).expect("a process of this user's");
}

/// Kills a postmaster and all its children, as a crash of the machine would end them.
pub fn kill_family(postmaster: u32) {
    // While it is stopped it has no further children.
    kill(postmaster, Signal::STOP);
    wait_for_state(postmaster, |state| state == 'T');
    let children = children_of(postmaster);
    for child in &children {
        kill(*child, Signal::KILL);
    }
    kill(postmaster, Signal::KILL);
    for child in children {
        // One that lives on would keep the shared memory, and the next start would be refused.
        wait_for_state(child, |state| matches!(state, 'Z' | 'X'));
    }
}

fn children_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| stat(*pid).is_some_and(|(_, its_parent)| its_parent == parent))
        .collect()
}

/// A process' state and parent.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before these is in parentheses, and may have any others inside.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Waits until the process is in such a state, or is gone.
fn wait_for_state(pid: u32, is_so: impl Fn(char) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while stat(pid).is_some_and(|(state, _)| !is_so(state)) {
        assert!(Instant::now() < deadline, "process {pid} goes on");
        sleep(Duration::from_millis(1));
    }
}

/// The memory of a process that is its own: not what it shares with the rest of its server.
///
/// # Panics
/// If there is no such process.
pub fn resident_bytes(pid: u32) -> u64 {
    status_bytes(pid, "RssAnon:")
}

/// The addresses that a process has in use: what its limit is for.
///
/// # Panics
/// If there is no such process.
pub fn virtual_bytes(pid: u32) -> u64 {
    status_bytes(pid, "VmSize:")
}

fn status_bytes(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024
}
