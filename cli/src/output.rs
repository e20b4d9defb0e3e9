//! Printing. That a reader stops reading is not an error.

use std::io::{self, ErrorKind, Write};

/// Prints a line to the standard output.
pub fn show(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Prints a line to the standard error.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints a text that must not be lost; returns an error if it cannot.
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
