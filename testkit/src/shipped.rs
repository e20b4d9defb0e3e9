//! The shipped configurations, fitted to this machine as a user's are: by
//! `envoy/render.sh`.

use std::path::PathBuf;
use std::process::Command;

use crate::alibaba::{BUCKET, REGION};
use crate::process::{Process, free_port, scratch};
use crate::tools;

/// Runs `envoy/render.sh` for a file with these settings; where its output is.
pub fn render(name: &str, settings: &[(&str, &str)]) -> PathBuf {
    let output = Command::new("sh")
        .arg(tools::root().join("envoy/render.sh"))
        .arg(name)
        .env("WASM_FILE", tools::filter_wasm())
        .envs(settings.iter().copied())
        .output()
        .expect("sh");
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "envoy/render.sh: {problem}");
    let file = scratch(name);
    std::fs::write(&file, output.stdout).expect("Envoy's configuration");
    file
}

/// An Envoy with a shipped configuration, on plain HTTP to a fake OSS.
#[derive(Debug)]
pub struct Shipped {
    pub process: Process,
    pub port: u16,
    pub admin_port: u16,
}

impl Shipped {
    pub fn start(name: &str, oss_port: u16, sidecar_port: u16) -> Shipped {
        let (port, admin_port) = (free_port(), free_port());
        let file = render(
            name,
            &[
                ("OSS_BUCKET", BUCKET),
                ("OSS_REGION", REGION),
                ("OSS_ADDRESS", &format!("127.0.0.1:{oss_port}")),
                ("OSS_TLS", "off"),
                ("SIDECAR_ADDRESS", &format!("127.0.0.1:{sidecar_port}")),
                ("LISTEN_PORT", &port.to_string()),
                ("ADMIN_PORT", &admin_port.to_string()),
            ],
        );
        let mut command = Command::new(tools::envoy());
        command.arg("--config-path").arg(file);
        command.args(["--concurrency", "2", "--disable-hot-restart"]);
        let mut process = Process::start("envoy", &mut command);
        process.wait_for_port(port);
        Shipped {
            process,
            port,
            admin_port,
        }
    }
}
