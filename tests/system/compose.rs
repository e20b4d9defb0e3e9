//! docker-compose.yml on a real Docker engine.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use testkit::docker::{Compose, docker};
use testkit::process::{scratch, wait_until};
use testkit::{Request, tools};

use crate::released::{VERSION, dist, run};

/// One test, since the stack takes its time.
#[test]
fn the_stack_serves_an_object_and_survives_its_sidecar() {
    let stack = Compose::up();
    let get = || {
        let response = Request::get("/hello.txt").try_send(stack.port);
        response.map_or(0, |response| response.status)
    };
    wait_until("the object", || get() == 200);
    let response = Request::get("/hello.txt").send(stack.port);
    assert_eq!(response.text(), "This object is in a private bucket.\n");
    assert_eq!(Request::get("/").send(stack.port).status, 403, "no list");

    for service in ["envoy", "sidecar", "fake-oss"] {
        let user = stack.inspect(service, "{{.Config.User}}");
        assert!(
            !user.is_empty() && !user.starts_with('0'),
            "{service}: {user}"
        );
        assert_eq!(
            stack.inspect(service, "{{.HostConfig.ReadonlyRootfs}}"),
            "true"
        );
    }
    for service in ["envoy", "sidecar"] {
        wait_until("a healthy container", || {
            stack.inspect(service, "{{.State.Health.Status}}") == "healthy"
        });
    }

    stack.run(&["kill", "sidecar"]);
    assert_eq!(get(), 200, "with the sidecar killed");
    stack.run(&["up", "--detach", "sidecar"]);
    // A new Envoy has nothing but what the sidecar that came back gives.
    stack.run(&["restart", "--timeout", "1", "envoy"]);
    wait_until("the object again", || get() == 200);

    let size: u64 = docker(&[
        "image",
        "inspect",
        "--format",
        "{{.Size}}",
        &stack.image("sidecar"),
    ])
    .parse()
    .unwrap();
    assert!(size < 20_000_000, "the sidecar's image has {size} bytes");
    // Its image has certificates to trust, for STS by TLS.
    let table = Command::new("docker")
        .args(["run", "--rm", "--network", "none"])
        .args(["--env", "ALIBABA_CLOUD_ACCESS_KEY_ID=LTAIdemo"])
        .args(["--env", "ALIBABA_CLOUD_ACCESS_KEY_SECRET=x"])
        .args(["--env", "ALIBABA_CLOUD_ROLE_ARN=acs:ram::1:role/r"])
        .args([stack.image("sidecar").as_str(), "check"])
        .output()
        .unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    let want = "AssumeRole at sts.aliyuncs.com: cannot be reached: no connection";
    assert!(table.contains(want), "{table}");
    for service in ["envoy", "sidecar", "fake-oss"] {
        let image = stack.image(service);
        let history = docker(&["history", "--no-trunc", &image]);
        let config = docker(&["image", "inspect", &image]);
        for secret in ["demo-secret", "for-the-demo-only"] {
            assert!(
                !history.contains(secret) && !config.contains(secret),
                "{service}"
            );
        }
    }
    for service in ["envoy", "sidecar"] {
        let log = stack.run(&["logs", "--no-color", service]);
        assert!(
            !log.contains("demo-secret") && !log.contains("CAIS"),
            "{log}"
        );
    }
}

/// Compose's `:-` takes an empty variable for an unset one.
#[test]
fn an_empty_token_does_not_become_that_of_the_demo() {
    let output = Command::new("docker-compose")
        .arg("config")
        .current_dir(tools::root())
        .env("STS_SIDECAR_TOKEN", "")
        .output()
        .unwrap();
    assert!(output.status.success());
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains("STS_SIDECAR_TOKEN: "), "{shown}");
    assert!(!shown.contains("for-the-demo-only"), "{shown}");
}

#[test]
fn the_module_has_an_image_of_its_own() {
    let image = Image::build("filter");
    let files = image.files();
    assert!(files.contains("plugin.wasm"), "{files:?}");
    let module = std::fs::read(tools::image().join("oss_origin_auth.wasm")).unwrap();
    assert_eq!(image.read("plugin.wasm"), module);
}

/// Envoy finds the module in its image, and loads the configuration that is rendered there.
#[test]
fn the_native_module_has_an_image_of_envoy() {
    let image = Image::build("envoy-native");
    let folder = "usr/local/lib/oss-origin-auth";
    let file = "liboss_origin_auth_native.so";
    let module = std::fs::read(tools::image().join(file)).unwrap();
    assert!(image.read(&format!("{folder}/{file}")) == module);
    let environment = image.inspect("{{json .Config.Env}}");
    let path = format!("ENVOY_DYNAMIC_MODULES_SEARCH_PATH=/{folder}");
    assert!(environment.contains(&path), "{environment}");
    let mut command = vec!["run", "--rm", "--network", "none"];
    for variable in [
        "OSS_BUCKET=my-bucket",
        "OSS_REGION=cn-hangzhou",
        "OSS_ADDRESS=127.0.0.1:9000",
        "OSS_TLS=off",
    ] {
        command.extend(["--env", variable]);
    }
    // It fails if Envoy does.
    docker(&[command, vec![&image.0, "--mode", "validate"]].concat());
}

/// Built without Docker, and loaded by it.
#[test]
fn the_released_image_is_that_of_the_dockerfile() {
    let released = Image::load("oss-origin-auth");
    let built = Image::build("sidecar");
    for what in ["User", "Entrypoint", "Healthcheck", "ExposedPorts", "Env"] {
        let template = format!("{{{{json .Config.{what}}}}}");
        assert_eq!(released.inspect(&template), built.inspect(&template));
    }
    assert_eq!(released.files(), built.files());
    for file in [
        "usr/local/bin/oss-origin-auth",
        "etc/ssl/certs/ca-certificates.crt",
    ] {
        assert!(released.read(file) == built.read(file), "{file}");
    }
    // By its old name, which is a link.
    let help = docker(&[
        "run",
        "--rm",
        "--network",
        "none",
        "--entrypoint",
        "/usr/local/bin/sts-sidecar",
        &released.0,
        "--version",
    ]);
    assert!(help.starts_with("sts-sidecar "), "{help}");
    let filter = Image::load("oss-origin-auth-filter");
    let module = std::fs::read(dist().join("oss_origin_auth.wasm")).unwrap();
    assert!(filter.read("plugin.wasm") == module);
}

/// An image by its name; removed when dropped.
struct Image(String);

impl Image {
    /// A target of the Dockerfile, from what `cargo xtask build --image` has built.
    fn build(target: &str) -> Image {
        let image = Image(format!(
            "oss-origin-auth-test-{}:{target}",
            std::process::id()
        ));
        let root = tools::root().display().to_string();
        docker(&[
            "build",
            "--quiet",
            "--target",
            target,
            "--build-arg",
            "BINARIES=prebuilt",
            "--tag",
            &image.0,
            &root,
        ]);
        image
    }

    /// One of the release, for this machine's architecture.
    fn load(name: &str) -> Image {
        let archive = dist().join(format!("{name}-{VERSION}.oci.tar"));
        docker(&["load", "--input", &archive.display().to_string()]);
        Image(format!("{name}:{VERSION}"))
    }

    fn inspect(&self, template: &str) -> String {
        docker(&["image", "inspect", "--format", template, &self.0])
    }

    /// All that a container of it begins with, as an archive.
    fn export(&self) -> PathBuf {
        let container = docker(&["create", &self.0, "nothing"]);
        let archive = scratch("image.tar");
        docker(&[
            "export",
            "--output",
            &archive.display().to_string(),
            &container,
        ]);
        docker(&["rm", &container]);
        archive
    }

    fn files(&self) -> BTreeSet<String> {
        let list = run(Command::new("tar").arg("-tf").arg(self.export()));
        list.lines().map(str::to_owned).collect()
    }

    fn read(&self, file: &str) -> Vec<u8> {
        let output = Command::new("tar")
            .arg("-xOf")
            .arg(self.export())
            .arg(file)
            .output();
        output.unwrap().stdout
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        for suffix in ["", "-amd64", "-arm64"] {
            let name = format!("{}{suffix}", self.0);
            let _ = Command::new("docker").args(["rmi", &name]).output();
        }
    }
}
