//! What is printed. Whoever reads it may stop to, which is no fault of ours.

use std::io::{self, ErrorKind, Write};

/// Prints a line for whoever reads it.
pub fn show(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Prints a line beside what is printed.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints what must not be lost, or says why it cannot.
pub fn write(text: &str) -> Result<(), String> {
    let mut out = io::stdout();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("standard output: {error}"))
        }
        _ => Ok(()),
    }
}
