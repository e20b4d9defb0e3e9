//! The flags of the doctor.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use sts_sidecar::address;

/// Try a bucket, and say what is wrong and how to mend it.
///
/// It only reads, unless --probe-write is given. It signs as the filter in Envoy does, with
/// credentials of the sidecar's sources. Nothing that it prints is a secret.
///
/// The settings are flags (--bucket, --region, ...) or a file of the filter or of Envoy
/// (--config).
///
/// The exit status is 0 if all is good, 1 if something failed, 3 if none failed and some
/// results are warnings or unknown; 2 stands for wrong arguments. docs/DOCTOR.md describes the checks.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The bucket
    #[arg(long, required_unless_present = "config")]
    pub bucket: Option<String>,
    /// Its region, for example cn-hangzhou
    #[arg(long)]
    pub region: Option<String>,
    /// OSS's host without the bucket; oss-REGION-internal.aliyuncs.com unless given
    #[arg(long, value_name = "HOST")]
    pub endpoint: Option<String>,
    /// virtual_hosted, path_style or cname
    #[arg(long)]
    pub addressing: Option<String>,
    /// v4 or v1
    #[arg(long, value_name = "VERSION")]
    pub signature_version: Option<String>,
    /// oss or oss-cloudbox
    #[arg(long)]
    pub product: Option<String>,
    /// The filter's settings (JSON), or a configuration of Envoy or a manifest with them
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bucket", "region", "endpoint",
          "addressing", "signature_version", "product"])]
    pub config: Option<PathBuf>,
    /// The route of Envoy, or the rule (`_rules_[0]`), whose settings are tried; the defaults unless given
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// The sidecar's settings (TOML); the environment unless given
    #[arg(long, value_name = "FILE", env = "STS_SIDECAR_CONFIG")]
    pub sidecar_config: Option<PathBuf>,
    /// The credentials to sign with, by their name in the sidecar's settings
    #[arg(long, value_name = "NAME")]
    pub credentials: Option<String>,
    /// An object that exists: its key, or the path by which a client asks for it, which
    /// begins with a slash
    #[arg(long, value_name = "KEY", value_parser = Quiet(object))]
    pub object: Option<String>,
    /// An object that is encrypted by KMS
    #[arg(long, value_name = "KEY", value_parser = Quiet(object))]
    pub encrypted: Option<String>,
    /// An object that is archived
    #[arg(long, value_name = "KEY", value_parser = Quiet(object))]
    pub archived: Option<String>,
    /// Connect to this address instead of the endpoint's
    #[arg(long, value_name = "HOST:PORT", value_parser = Quiet(place))]
    pub connect: Option<(String, u16)>,
    /// Ask OSS by plain HTTP
    #[arg(long)]
    pub plain_http: bool,
    /// Trust the certificates in this file (PEM) instead of this machine's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Ask this Envoy for the object, too: http://HOST:PORT
    #[arg(long, value_name = "URL", value_parser = Quiet(envoy))]
    pub envoy: Option<EnvoyUrl>,
    /// Try whether the role could write: by an upload that OSS refuses in any case
    #[arg(long)]
    pub probe_write: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// How long each step may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(1..=600))]
    pub timeout: u64,
}

impl Options {
    /// The time that each step may take.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// The address of an Envoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvoyUrl {
    /// Whether Envoy is asked by TLS.
    pub is_tls: bool,
    /// The host alone, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The `Host` of requests to it.
    pub authority: String,
}

/// A parser of a value that may hold a password or a signature. Unlike clap, its error message
/// does not repeat a wrong value.
#[derive(Clone)]
struct Quiet<T>(fn(&str) -> Result<T, String>);

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Quiet<T> {
    type Value = T;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<T, clap::Error> {
        let parsed = match value.to_str() {
            Some(text) => (self.0)(text),
            None => Err("it is not UTF-8".to_owned()),
        };
        parsed.map_err(|problem| {
            let name = argument.map(ToString::to_string).unwrap_or_default();
            let text = format!("the value of '{name}' is wrong: {problem}\n");
            clap::Error::raw(ErrorKind::ValueValidation, text).with_cmd(command)
        })
    }
}

fn place(text: &str) -> Result<(String, u16), String> {
    let wrong = || "write HOST:PORT, for example 127.0.0.1:443".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = address::without_brackets(host);
    let port = port.parse().map_err(|_| wrong())?;
    match host.is_empty() || host.contains(['/', '@']) {
        true => Err(wrong()),
        false => Ok((host.to_owned(), port)),
    }
}

/// Parses an object: a key may be any text, a path is one that a client can send.
fn object(text: &str) -> Result<String, String> {
    let is_path = |text: &str| {
        let path: Result<http::uri::PathAndQuery, _> = text.parse();
        path.is_ok_and(|path| path.as_str() == text)
    };
    match text {
        "" => Err("write a key, or a path that begins with a slash".into()),
        text if text.starts_with('/') && !is_path(text) => {
            Err("a path must be percent-encoded, a space as %20; a key need not be".into())
        }
        text => Ok(text.to_owned()),
    }
}

/// Parses the URL of an Envoy. The error does not repeat it: it may hold a password.
fn envoy(text: &str) -> Result<EnvoyUrl, String> {
    let wrong = || {
        "write http://HOST:PORT (or https://), without a user, a path or a query; the path is \
         that of --object"
            .to_owned()
    };
    let url = address::parse_server(text).ok_or_else(wrong)?;
    let authority = url.authority().ok_or_else(wrong)?;
    let is_tls = url.scheme_str() == Some("https");
    Ok(EnvoyUrl {
        is_tls,
        host: address::without_brackets(authority.host()).to_owned(),
        port: authority
            .port_u16()
            .unwrap_or(if is_tls { 443 } else { 80 }),
        authority: authority.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_host_and_a_port() {
        assert_eq!(place("127.0.0.1:80"), Ok(("127.0.0.1".into(), 80)));
        assert_eq!(place("[::1]:80"), Ok(("::1".into(), 80)));
        for wrong in [
            "",
            "host",
            "host:",
            ":80",
            "host:x",
            "http://host:80",
            "a@b:80",
        ] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_path_is_encoded_and_a_key_is_not() {
        for good in ["a b", "a#b", "\u{e9}?", "/a%20b?c=d", "/"] {
            assert_eq!(object(good).as_deref(), Ok(good));
        }
        for wrong in ["", "/a b", "/a#b"] {
            assert!(object(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_envoy_has_a_host_and_nothing_else() {
        let url = envoy("https://[::1]/").unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, url.is_tls),
            ("::1", 443, true)
        );
        assert_eq!(envoy("http://h:10000").unwrap().authority, "h:10000");
        for wrong in [
            "",
            "h:10000",
            // This was once taken for port 80.
            "http://h:99999",
            "ftp://h",
            "http://sesame@h",
            "http://h/a",
            "http://h/?a",
        ] {
            let problem = envoy(wrong).unwrap_err();
            assert!(problem.contains("http://HOST:PORT") && !problem.contains("sesame"));
        }
    }
}
