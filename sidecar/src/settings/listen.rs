//! The setting that says where the sidecar listens.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address and port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix {
        /// The path of the socket.
        path: PathBuf,
        /// The mode of its file, as for chmod.
        mode: u32,
    },
}

impl Listen {
    /// Reads the settings `listen` and `socket_mode`. An address that other machines may reach
    /// is refused if callers need no token.
    pub fn new(listen: &str, socket_mode: Option<&str>, has_token: bool) -> Result<Listen, String> {
        if let Some(path) = listen.strip_prefix("unix:") {
            let mode = socket_mode.unwrap_or("0600");
            let mode = u32::from_str_radix(mode, 8)
                .ok()
                .filter(|mode| *mode <= 0o777 && !path.is_empty())
                .ok_or("socket_mode: must be an octal file mode such as \"0660\"")?;
            return Ok(Listen::Unix {
                path: path.into(),
                mode,
            });
        }
        if socket_mode.is_some() {
            return Err("socket_mode: is for a Unix socket; set listen = \"unix:/path\"".into());
        }
        let address: SocketAddr = listen.parse().map_err(|_| {
            format!(
                "listen: `{listen}` is neither an address and port such as 127.0.0.1:8181 nor \
                 unix:/path/to/socket"
            )
        })?;
        if !address.ip().is_loopback() && !has_token {
            return Err(format!(
                "listen: {address} may be reached by other machines, and anyone who reaches it gets \
                 the credentials; listen on 127.0.0.1 or a Unix socket, or set token_file or \
                 token_env, and the same token in the filter's `token_env`"
            ));
        }
        Ok(Listen::Tcp(address))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Listen::Tcp(address) => address.fmt(f),
            Listen::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_to_listen_is_checked() {
        assert!(Listen::new("127.0.0.1:1", None, false).is_ok());
        assert!(Listen::new("0.0.0.0:1", None, true).is_ok());
        let problem = Listen::new("0.0.0.0:1", None, false).unwrap_err();
        assert!(problem.contains("set token_file"), "{problem}");
        assert!(Listen::new("[::]:1", None, false).is_err());
        assert!(Listen::new("nowhere", None, true).is_err());
        assert!(Listen::new("127.0.0.1:1", Some("0600"), false).is_err());
        assert_eq!(
            Listen::new("unix:/run/s", Some("0660"), false).unwrap(),
            Listen::Unix {
                path: "/run/s".into(),
                mode: 0o660
            }
        );
        assert!(Listen::new("unix:/run/s", Some("rw"), false).is_err());
    }
}
