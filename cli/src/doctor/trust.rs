//! Which certificates TLS trusts, and what is wrong with others.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, SignatureScheme};
use tokio_rustls::TlsConnector;

/// The settings of TLS.
#[derive(Clone)]
pub struct Tls {
    pub connector: TlsConnector,
    asked: Arc<Asked>,
}

impl Tls {
    /// Whether the server has asked for a client certificate.
    pub fn is_asked_for_a_certificate(&self) -> bool {
        self.asked.0.load(Ordering::Relaxed)
    }
}

/// The client certificate, which does not exist. It notes whether a server asked for one.
#[derive(Debug, Default)]
struct Asked(AtomicBool);

impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Trusts the certificate authorities in a file (PEM), or those of this machine.
pub fn trust(file: Option<&Path>) -> Result<Tls, String> {
    let authorities = match file {
        None => sts_sidecar::authorities_of_this_machine(),
        Some(path) => {
            let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
            found.map_err(|_| without_certificates(path))?
        }
    };
    let (builder, added) = sts_sidecar::trusting(authorities)?;
    if added == 0 {
        return Err(match file {
            Some(path) => without_certificates(path),
            None => "this machine has no certificates to trust; name a file with --ca".into(),
        });
    }
    let asked = Arc::new(Asked::default());
    let config = builder.with_client_cert_resolver(Arc::clone(&asked) as Arc<_>);
    let connector = TlsConnector::from(Arc::new(config));
    Ok(Tls { connector, asked })
}

fn without_certificates(path: &Path) -> String {
    format!("--ca: {}: holds no certificates (PEM)", path.display())
}

/// The error of a certificate, without the names in it, which are the other side's text.
pub fn reason(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "it has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name"
        }
        CertificateError::UnknownIssuer => "its issuer is not trusted here",
        CertificateError::Revoked => "it was revoked",
        CertificateError::Other(other) => match other.0.to_string().as_str() {
            // The names of the errors of rustls-webpki.
            "CaUsedAsEndEntity" => AUTHORITY_AS_SERVER,
            "EndEntityUsedAsCa" => SERVER_AS_AUTHORITY,
            _ => "it cannot be verified",
        },
        _ => "it cannot be verified",
    }
}

/// The error of a certificate such as `openssl req -x509` makes.
pub const AUTHORITY_AS_SERVER: &str =
    "it is that of an authority (CA:TRUE), which cannot be a server's";

/// The error where a file of authorities holds the server's certificate instead.
pub const SERVER_AS_AUTHORITY: &str = "its issuer is no authority (no CA:TRUE)";
