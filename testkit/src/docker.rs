//! The stack of docker-compose.yml, on a real engine.

use std::process::{Command, Output};

use crate::process::free_port;
use crate::tools;

/// Set to `1` for `cargo xtask test --all` to leave out the tests that need a
/// Docker engine.
pub const SKIP: &str = "OSS_SKIP_DOCKER";

/// The base images of the Dockerfile.
pub const BASE_IMAGES: [&str; 3] = [
    "envoyproxy/envoy:v1.40.0",
    "rust:1.95-bookworm",
    "python:3.11-slim-bookworm",
];

pub fn is_skipped() -> bool {
    std::env::var(SKIP).is_ok_and(|value| value == "1")
}

/// A project of docker-compose of its own, which is taken down when dropped.
#[derive(Debug)]
pub struct Compose {
    project: String,
    pub port: u16,
}

impl Compose {
    /// Builds the images from what `cargo xtask build --image` has built, and
    /// starts everything.
    pub fn up() -> Compose {
        let mut compose = Compose {
            project: format!("oss-origin-auth-test-{}", std::process::id()),
            port: free_port(),
        };
        compose.run(&["build"]);
        // Another process may take the port meanwhile.
        for _ in 0..3 {
            let started = compose.output(&["up", "--detach"]);
            let problem = started.as_ref().map(|output| output.stderr.as_slice());
            let problem = String::from_utf8_lossy(problem.unwrap_or_default()).into_owned();
            if !["already allocated", "already in use"]
                .iter()
                .any(|taken| problem.contains(taken))
            {
                succeeded("docker-compose", started);
                return compose;
            }
            compose.port = free_port();
        }
        panic!("somebody has taken each port of the stack");
    }

    /// Runs docker-compose; fails if that does.
    pub fn run(&self, arguments: &[&str]) -> String {
        succeeded("docker-compose", self.output(arguments))
    }

    fn output(&self, arguments: &[&str]) -> std::io::Result<Output> {
        Command::new("docker-compose")
            .args(["--project-name", &self.project])
            .args(arguments)
            .current_dir(tools::root())
            .env("BINARIES", "prebuilt")
            .env("DOCKER_BUILDKIT", "0")
            .env("COMPOSE_DOCKER_CLI_BUILD", "0")
            .env("LISTEN_PORT", self.port.to_string())
            .output()
    }

    /// The name of the image of a service.
    pub fn image(&self, service: &str) -> String {
        // Compose 1 puts an underscore between, compose 2 a hyphen.
        let names = ["_", "-"].map(|between| format!("{}{between}{service}", self.project));
        let found = names.into_iter().find(|name| {
            let output = Command::new("docker")
                .args(["image", "inspect", name])
                .output();
            output.is_ok_and(|output| output.status.success())
        });
        found.unwrap_or_else(|| panic!("no image of {service}"))
    }

    /// A property of a service's container, by a template of docker.
    pub fn inspect(&self, service: &str, template: &str) -> String {
        let id = self.run(&["ps", "--quiet", service]);
        docker(&["inspect", "--format", template, id.trim()])
    }
}

impl Drop for Compose {
    fn drop(&mut self) {
        let _ = Command::new("docker-compose")
            .args(["--project-name", &self.project])
            .args(["down", "--volumes", "--rmi", "local", "--timeout", "2"])
            .current_dir(tools::root())
            .output();
    }
}

/// Runs docker; fails if that does.
pub fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output();
    succeeded("docker", output).trim().to_owned()
}

fn succeeded(name: &str, output: std::io::Result<Output>) -> String {
    let output = output
        .unwrap_or_else(|error| panic!("{name}: {error}; `cargo xtask test --all` installs it"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{name}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}
