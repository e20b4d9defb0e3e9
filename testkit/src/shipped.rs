//! The Envoy configurations in `envoy/`, fitted to this machine by replacing
//! what a user would replace.

use std::path::PathBuf;

use crate::process::scratch;
use crate::tools;

/// What a user puts into `envoy/minimal.yaml`.
#[derive(Clone, Debug)]
pub struct Fitting {
    pub bucket: String,
    pub region: String,
    /// Host and port of OSS.
    pub oss: (String, u16),
    /// The `Host` that OSS sees; also SNI and the name in the certificate.
    pub oss_host: String,
    pub tls: bool,
    pub sidecar_port: u16,
    pub listen: u16,
    pub admin: u16,
}

/// Writes a fitted copy of `envoy/<name>`; its path.
pub fn fit(name: &str, fitting: &Fitting) -> PathBuf {
    let path = tools::root().join("envoy").join(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut text = if fitting.tls {
        text
    } else {
        without_block(&text, "    transport_socket:")
    };
    let port = |number: u16| format!("port_value: {number}");
    let address = |host: &str, number| format!("address: {host}, {}", port(number));
    let mut replace = |old: &str, new: &str| {
        assert!(text.contains(old), "{}: no `{old}`", path.display());
        text = text.replace(old, new);
    };
    let shipped_host = "my-bucket.oss-cn-hangzhou.aliyuncs.com";
    replace(
        &address(shipped_host, 443),
        &address(&fitting.oss.0, fitting.oss.1),
    );
    replace(shipped_host, &fitting.oss_host);
    replace("\"my-bucket\"", &format!("\"{}\"", fitting.bucket));
    replace("\"cn-hangzhou\"", &format!("\"{}\"", fitting.region));
    replace(
        &address("127.0.0.1", 8181),
        &address("127.0.0.1", fitting.sidecar_port),
    );
    replace(&port(10000), &port(fitting.listen));
    replace(&port(9901), &port(fitting.admin));
    let wasm = tools::filter_wasm().display().to_string();
    replace("/etc/envoy/oss_origin_auth.wasm", &wasm);
    let file = scratch(name);
    std::fs::write(&file, text).expect("Envoy's configuration");
    file
}

/// `text` without the line `head` and the deeper lines that follow it.
fn without_block(text: &str, head: &str) -> String {
    let depth = head.len() - head.trim_start().len();
    let mut inside = false;
    let mut kept = String::new();
    for line in text.lines() {
        inside = line == head || (inside && line.len() - line.trim_start().len() > depth);
        if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}
