//! Sockets of TCP and of Unix: accepts connections, and asks a sidecar that runs.

use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};

use crate::settings::Listen;

/// A socket that the sidecar listens on.
#[derive(Debug)]
pub enum Listener {
    /// A TCP socket, and its address for messages.
    Tcp(TcpListener, String),
    /// A Unix socket, and its file.
    Unix(UnixListener, SocketFile),
}

impl Listener {
    /// Binds `place`; an error message begins with the setting.
    pub async fn bind(place: &Listen) -> Result<Listener, String> {
        match place {
            Listen::Tcp(address) => {
                let listener = bind_tcp(*address)
                    .map_err(|error| format!("listen: cannot bind {address}: {error}"))?;
                // With port 0 the system has chosen one.
                let address = listener.local_addr().map_err(|error| error.to_string())?;
                Ok(Listener::Tcp(listener, address.to_string()))
            }
            Listen::Unix { path, mode } => {
                let shown = path.display();
                remove_stale(path).await?;
                let listener = bind_unix(path, *mode)
                    .map_err(|error| format!("listen: cannot bind {shown}: {error}"))?;
                Ok(Listener::Unix(listener, SocketFile::new(path)))
            }
        }
    }

    /// Accepts the next connection.
    pub async fn accept(&self) -> std::io::Result<Stream> {
        loop {
            let accepted: std::io::Result<Stream> = match self {
                Listener::Tcp(listener, _) => listener
                    .accept()
                    .await
                    .map(|(stream, _)| Box::new(stream) as Stream),
                Listener::Unix(listener, _) => listener
                    .accept()
                    .await
                    .map(|(stream, _)| Box::new(stream) as Stream),
            };
            match accepted {
                // The caller has gone already.
                Err(error) if is_of_caller(error.kind()) => {}
                accepted => return accepted,
            }
        }
    }
}

/// A connection to a caller.
pub type Stream = Box<dyn Connection>;

/// A stream that can be read and written.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

fn is_of_caller(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

/// The file of a Unix socket. It is removed when this is dropped, unless another file has taken
/// its name meanwhile.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    fn new(path: &Path) -> SocketFile {
        SocketFile {
            path: path.to_owned(),
            identity: identity(path),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && self.identity == identity(&self.path) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = std::fs::symlink_metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// The number of connections that may wait to be accepted: all that come at once, and a caller
/// behind them.
const BACKLOG: u32 = 4_096;

fn bind_tcp(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Connections that have ended do not keep the port, as with every server.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Listener::Tcp(_, address) => f.write_str(address),
            Listener::Unix(_, file) => write!(f, "unix:{}", file.path.display()),
        }
    }
}

/// Binds a socket that has its mode from the first moment. It is made in a folder that nobody
/// else may enter, and is then linked to its name. Unlike a rename, a link fails if the name is
/// taken.
fn bind_unix(path: &Path, mode: u32) -> std::io::Result<UnixListener> {
    // The name is short, since the path of a socket has little room. It is random, since
    // sidecars in several containers have the same process id.
    let mut chance = [0; 4];
    let filled = SystemRandom::new().fill(&mut chance);
    filled.map_err(|_| std::io::Error::other("this machine gives no random bytes"))?;
    let folder = path.with_file_name(format!(".s{:x}", u32::from_ne_bytes(chance)));
    let made = folder.join("s");
    let remove = || {
        let _ = std::fs::remove_file(&made);
        let _ = std::fs::remove_dir(&folder);
    };
    std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
    let bound = UnixListener::bind(&made).and_then(|listener| {
        std::fs::set_permissions(&made, std::fs::Permissions::from_mode(mode))?;
        std::fs::hard_link(&made, path)?;
        Ok(listener)
    });
    remove();
    bound
}

/// Removes the socket that a killed sidecar left behind, and nothing else.
async fn remove_stale(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let is_socket = std::fs::metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path)
            .map_err(|error| format!("listen: cannot remove the old {shown}: {error}")),
        _ => Err(format!(
            "listen: another process listens on {shown} already"
        )),
    }
}

/// Sends a GET to a sidecar that listens at `place` and returns the status of the answer.
pub async fn ask(place: &Listen, path: &str) -> Result<u16, String> {
    let exchange = async {
        match place {
            Listen::Tcp(address) => {
                // From inside, any address can be reached by loopback.
                let mut address = *address;
                if address.ip().is_unspecified() {
                    address.set_ip(match address.ip() {
                        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
                    });
                }
                get(TcpStream::connect(address).await?, path).await
            }
            Listen::Unix { path: socket, .. } => {
                get(UnixStream::connect(socket).await?, path).await
            }
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(3), exchange).await;
    let answer = answer.map_err(|_| format!("{place}: no answer within 3 seconds"))?;
    let answer = answer.map_err(|error| format!("{place}: {error}"))?;
    let status = answer.split(' ').nth(1).and_then(|text| text.parse().ok());
    status.ok_or_else(|| format!("{place}: answers in another protocol"))
}

async fn get(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    path: &str,
) -> std::io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_was_taken_meanwhile_stays_whose_it_is() {
        let folder = std::env::temp_dir().join(format!("sts-sidecar-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("s");
        let first = bind_unix(&path, 0o600).unwrap();
        let second = bind_unix(&path, 0o600).map(|_| ());
        assert_eq!(second.unwrap_err().kind(), ErrorKind::AlreadyExists);
        let (asked, answered) = tokio::join!(UnixStream::connect(&path), first.accept());
        assert!(asked.is_ok() && answered.is_ok());
        // Nothing but the socket is left.
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
