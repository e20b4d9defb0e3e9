//! `envoy/minimal.yaml`, fitted to this machine as a user's is: by
//! `envoy/render.sh`.

use std::path::PathBuf;
use std::process::Command;

use crate::process::scratch;
use crate::tools;

/// Runs `envoy/render.sh` with these settings; the file with what it wrote.
pub fn render(settings: &[(&str, &str)]) -> PathBuf {
    let output = Command::new("sh")
        .arg(tools::root().join("envoy/render.sh"))
        .env("WASM_FILE", tools::filter_wasm())
        .envs(settings.iter().copied())
        .output()
        .expect("sh");
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "envoy/render.sh: {problem}");
    let file = scratch("minimal.yaml");
    std::fs::write(&file, output.stdout).expect("Envoy's configuration");
    file
}
