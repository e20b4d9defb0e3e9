//! Reads whole files: short ones, from a disk that may hang.

use std::io::{Error, ErrorKind, Read, Result};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use zeroize::Zeroizing;

/// Reads the text of a file, which is overwritten when it is dropped. A file that is too long
/// is refused, and so is what is not a regular file, such as a pipe that nobody writes into.
pub fn read(path: &Path) -> Result<Zeroizing<String>> {
    let about = std::fs::metadata(path)?;
    if !about.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "is not a regular file"));
    }
    let file = std::fs::File::open(path)?;
    // The buffer has room enough, so that no copy is left behind.
    let room = usize::try_from(about.len().min(LONGEST)).unwrap_or_default();
    let mut text = Zeroizing::new(String::with_capacity(room + 64));
    file.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(Error::new(ErrorKind::InvalidInput, "is too long"));
    }
    Ok(text)
}

/// Reads files in a thread of their own and for a limited time, so that others need not wait. A
/// disk that hangs holds one thread for each `Aside`, however often it is asked.
#[derive(Clone, Debug, Default)]
pub struct Aside {
    is_busy: Arc<AtomicBool>,
}

impl Aside {
    /// Runs a function that reads files.
    pub async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let late = || {
            Error::new(
                ErrorKind::TimedOut,
                "cannot be read in time; does its disk respond?",
            )
        };
        if self.is_busy.swap(true, Ordering::Acquire) {
            return Err(late());
        }
        let busy = Busy(Arc::clone(&self.is_busy));
        let task = tokio::task::spawn_blocking(move || {
            let _until_it_ends = busy;
            read()
        });
        match tokio::time::timeout(PATIENCE, task).await {
            Ok(Ok(read)) => read,
            _ => Err(late()),
        }
    }
}

/// Marks the thread as busy until it is dropped, even by a panic.
struct Busy(Arc<AtomicBool>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The most bytes that a file may have. A CLI's file with hundreds of profiles is shorter.
const LONGEST: u64 = 1024 * 1024;
/// The time that reading may take, enough for a disk that is far away.
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

    #[tokio::test]
    async fn what_hangs_holds_one_thread() {
        let aside = Aside::default();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let first = aside.run(move || {
            let _ = held.recv();
            Ok(())
        });
        let first = tokio::time::timeout(Duration::from_millis(50), first).await;
        assert!(first.is_err(), "it hangs");
        let second = aside.run(|| Ok(())).await;
        assert_eq!(second.unwrap_err().kind(), ErrorKind::TimedOut);
        drop(release);
        while aside.run(|| Ok(())).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
