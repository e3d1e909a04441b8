//! Which of the processor's cores client and server share. A request and its answer between two cores wait for one to wake the other, or
//! do not, as the scheduler likes; on one core they take turns.

use crate::server::{Error, connect};
use std::process::{Command, Stdio};

/// Puts this program, what it starts from now on, and new connections of the server on one core.
///
/// # Errors
/// If that is not allowed.
pub fn share_one() -> Result<(), Error> {
    put_on("0")
}

/// Lets them have all again.
///
/// # Errors
/// If that is not allowed.
pub fn share_all() -> Result<(), Error> {
    let cores = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
    put_on(cores.trim())
}

fn put_on(cores: &str) -> Result<(), Error> {
    let postmaster: String = connect()?
        .query_one("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)", &[])?
        .get(0);
    for process in [postmaster, std::process::id().to_string()] {
        let mut taskset = Command::new("taskset");
        taskset.args(["-a", "-p", "-c", cores, &process]).stdout(Stdio::null());
        if !taskset.status()?.success() {
            return Err(format!("taskset cannot put process {process} on {cores}").into());
        }
    }
    Ok(())
}
