//! The sidecar, on a port that the system chooses.

use std::process::Command;

use crate::process::Process;

/// Starts a sidecar with these arguments, which listens on `127.0.0.1:0`, and waits until it
/// listens. Its log has the port.
pub fn start(command: &mut Command) -> (Process, u16) {
    let mut process = Process::start("sidecar", command);
    let port = process.wait_for_output("the sidecar to listen", |output| {
        let (_, rest) = output.split_once("listening listen=")?;
        let (address, _) = rest.split_once(' ')?;
        address.rsplit(':').next()?.parse().ok()
    });
    (process, port)
}
