//! Files that are read whole: short ones, and from a disk that may hang.

use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

/// The text of a file, which is overwritten when it is dropped. What is no file, such as
/// a pipe that nobody writes into, is refused, as is what is too long.
pub fn read(path: &Path) -> Result<Zeroizing<String>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "is no file"));
    }
    let file = std::fs::File::open(path)?;
    let mut text = Zeroizing::new(String::new());
    file.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(Error::new(ErrorKind::InvalidInput, "is too long"));
    }
    Ok(text)
}

/// Runs what reads files without keeping others from their turn, and for a while only.
pub async fn without_waiting<T: Send + 'static>(
    read: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let task = tokio::task::spawn_blocking(read);
    match tokio::time::timeout(PATIENCE, task).await {
        Ok(Ok(read)) => read,
        _ => Err(Error::new(
            ErrorKind::TimedOut,
            "is not read in time; is its disk there?",
        )),
    }
}

/// In bytes. A CLI's file with hundreds of profiles is shorter.
const LONGEST: u64 = 1024 * 1024;
/// For a disk that is far away.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_short_file_is_refused() {
        for path in ["/dev/zero", "/dev/null", "/proc", "/nowhere"] {
            assert!(read(Path::new(path)).is_err(), "{path}");
        }
        assert!(read(Path::new("/proc/self/status")).is_ok());
        let long = std::env::temp_dir().join(format!("sts-sidecar-long-{}", std::process::id()));
        std::fs::write(&long, vec![b'a'; LONGEST as usize + 1]).unwrap();
        assert_eq!(read(&long).unwrap_err().to_string(), "is too long");
        std::fs::remove_file(&long).unwrap();
    }
}
