//! The certificate authorities that TLS trusts: for the sources of credentials and for
//! `doctor`.

use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

/// The certificate authorities that this machine trusts.
pub fn authorities_of_this_machine() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

/// The builder of a TLS client that trusts `authorities`, and the number of those that could be
/// read.
pub fn trusting(
    authorities: Vec<CertificateDer<'static>>,
) -> Result<(ConfigBuilder<ClientConfig, WantsClientCert>, usize), String> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(authorities);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?
        .with_root_certificates(roots);
    Ok((builder, added))
}
