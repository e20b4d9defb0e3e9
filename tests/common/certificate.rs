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

impl Certificate {
    /// One for this name, which may issue others.
    pub fn of_authority(name: &str) -> Certificate {
        let folder = scratch("tls");
        std::fs::create_dir_all(&folder).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = parameters.self_signed(&key).unwrap();
        let (cert, key) = (certificate.pem(), key.serialize_pem());
        std::fs::write(folder.join("both.pem"), [key.as_str(), &cert].concat()).unwrap();
        std::fs::write(folder.join("tls.crt"), cert).unwrap();
        Certificate { folder }
    }

    /// One for this name that ends in so many days.
    pub fn ending(name: &str, days: i64) -> Certificate {
        let folder = scratch("tls");
        std::fs::create_dir_all(&folder).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        let now = std::time::SystemTime::now();
        let day = std::time::Duration::from_secs(24 * 3600);
        let length = day * u32::try_from(days.abs()).unwrap();
        let end = if days < 0 { now - length } else { now + length };
        parameters.not_after = end.into();
        let certificate = parameters.self_signed(&key).unwrap();
        let (cert, key) = (certificate.pem(), key.serialize_pem());
        std::fs::write(folder.join("both.pem"), [key.as_str(), &cert].concat()).unwrap();
        std::fs::write(folder.join("tls.crt"), cert).unwrap();
        Certificate { folder }
    }
}
