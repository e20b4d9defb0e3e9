//! Certificates for TLS.

use std::path::PathBuf;

use testkit::process::scratch;

/// A certificate for a name, which is its own authority: `tls.crt`, `tls.key`,
/// and `both.pem`.
pub struct Certificate {
    pub folder: PathBuf,
}

pub fn self_signed(name: &str) -> Certificate {
    let folder = scratch("tls");
    std::fs::create_dir_all(&folder).unwrap();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let (cert, key) = (cert.pem(), signing_key.serialize_pem());
    std::fs::write(folder.join("both.pem"), [key.as_str(), &cert].concat()).unwrap();
    std::fs::write(folder.join("tls.crt"), cert).unwrap();
    std::fs::write(folder.join("tls.key"), key).unwrap();
    Certificate { folder }
}
