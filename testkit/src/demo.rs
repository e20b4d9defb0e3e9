//! The content of `cargo xtask demo`: a page with all that belongs to it, in a private bucket
//! of the fake OSS, served by Envoy.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::alibaba::{BUCKET, HOST, REGION};
use crate::envoy::{Ports, serve};
use crate::process::Process;
use crate::shipped::printed;
use crate::{FakeAlibaba, Request, host, sidecar, tools};

/// The processes of the demo. Dropping it ends them.
#[derive(Debug)]
pub struct Demo {
    pub alibaba: FakeAlibaba,
    pub sidecar: Process,
    pub sidecar_port: u16,
    pub envoy: Process,
    /// The port for clients.
    pub port: u16,
    pub admin_port: u16,
    /// The path of the protected file, with a signature that is good for a day.
    pub signed: String,
}

/// The key and the content of an object beside the page, for users of curl.
pub const HELLO: (&str, &str) = ("hello.txt", "This object is in a private bucket.\n");
/// The path that only a signed URL opens.
pub const PROTECTED: &str = "/protected/report.html";
/// The title of the page in a browser once it has tried everything.
pub const ALL_IS_WELL: &str = "11 of 11 as promised";

/// The key that signs URLs: its variable, which Envoy and `sign-url` read, and its value.
pub const URL_KEY: (&str, &str) = ("URL_KEY", "sesame-key-of-the-demo");
const ROLE: &str = "acs:ram::1234567890:role/oss-reader";
const ID: &str = "LTAIdemo";
const SECRET: &str = "demo-secret";
const DAY: Duration = Duration::from_secs(86_400);

impl Demo {
    /// Starts the fake OSS and STS, the sidecar and Envoy.
    pub fn start() -> Demo {
        let alibaba = FakeAlibaba::start();
        let signed = signed_url(PROTECTED);
        put_page(&alibaba, &signed);
        alibaba.add_key(ID, SECRET, None, None);
        alibaba.add_role(ROLE, None);

        let mut command = tools::sidecar();
        without_settings(&mut command);
        command.env("STS_SIDECAR_LISTEN", "127.0.0.1:0").envs([
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", ID),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET),
            ("ALIBABA_CLOUD_ROLE_ARN", ROLE),
        ]);
        let sts = format!("http://127.0.0.1:{}", alibaba.sts_port);
        command.env("ALIBABA_CLOUD_STS_ENDPOINT", sts);
        let (sidecar, sidecar_port) = sidecar::start(&mut command);

        let oss = format!("127.0.0.1:{}", alibaba.oss_port);
        let flags = ["--site", "--signed-urls", "/protected/"];
        let settings = [
            ("OSS_BUCKET", BUCKET.into()),
            ("OSS_REGION", REGION.into()),
            ("OSS_ADDRESS", oss),
            ("OSS_TLS", "off".into()),
            ("OSS_HOST", HOST.into()),
        ];
        let (envoy, ports) = start_envoy(&flags, sidecar_port, &settings)
            .unwrap_or_else(|problem| panic!("{problem}"));
        Demo {
            port: ports.only(),
            admin_port: ports.admin,
            alibaba,
            sidecar,
            sidecar_port,
            envoy,
            signed,
        }
    }

    /// Requests what must be served and what must be refused. Returns a line for each, and
    /// where to look; an error if any answer is not as it should be.
    pub fn tour(&self) -> Result<Vec<String>, String> {
        let (port, oss_port) = (self.port, self.alibaba.oss_port);
        let (hello, text) = HELLO;
        let hello = format!("/{hello}");
        let mut lines = Vec::new();
        for (whom, port, path, status) in [
            ("OSS, asked directly", oss_port, hello.as_str(), 403),
            ("Envoy", port, &hello, 200),
            ("Envoy", port, PROTECTED, 403),
            ("Envoy, by a signed URL", port, &self.signed, 200),
            ("Envoy", port, "/nothing-here", 404),
            ("Envoy, for a list of the bucket", port, "/?versions", 403),
        ] {
            let answer = Request::get(path).send(port);
            let shown = path.split_once("auth_key=").map_or(path, |(path, _)| path);
            lines.push(format!("{whom:32} {shown:24} {}", answer.status));
            if answer.status != status {
                let (got, log) = (answer.status, self.envoy.log.display());
                let problem = format!("{path}: {got}, not {status}; Envoy's log is {log}");
                return Err(format!("{problem}\n{}", answer.text()));
            }
            if path == hello && status == 200 && answer.body != text.as_bytes() {
                return Err("the object is not what was put into the bucket".into());
            }
        }
        lines.push(String::new());
        lines.push(format!("Look at it:  http://127.0.0.1:{port}/"));
        Ok(lines)
    }
}

/// Removes what the user has set for other sidecars, and proxies, which the fakes are not behind.
fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_uppercase();
        let is_setting = text.starts_with("ALIBABA_CLOUD_") || text.starts_with("STS_SIDECAR_");
        if is_setting || text.ends_with("_PROXY") {
            command.env_remove(&name);
        }
    }
}

/// Starts an Envoy with a configuration that `render` makes of these flags and of the
/// environment, with `settings` in addition; returns the message of `render` if it fails.
pub fn start_envoy(
    flags: &[&str],
    sidecar_port: u16,
    settings: &[(&str, String)],
) -> Result<(Process, Ports), String> {
    let mut render = Command::new(tools::cli());
    render.arg("render").args(flags);
    render
        .env("WASM_FILE", tools::filter_wasm())
        .env("SIDECAR_ADDRESS", format!("127.0.0.1:{sidecar_port}"))
        .env("LISTEN_PORT", "0")
        .env("ADMIN_PORT", "0");
    render.envs(settings.iter().map(|(name, value)| (name, value)));
    let config = host::write("demo.yaml", &printed(&mut render)?);
    let mut command = host::envoy(&tools::envoy(), &config);
    command.args(["--concurrency", "2", "--disable-hot-restart"]);
    command.env(URL_KEY.0, URL_KEY.1);
    Ok(serve(&mut command))
}

/// A path of this Envoy, signed as `oss-origin-auth sign-url` does it.
fn signed_url(path: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let until = now.expect("a clock") + DAY;
    let mut command = Command::new(tools::cli());
    command.args(["sign-url", "--type", "A", "--key-env", URL_KEY.0]);
    command.args(["--time", &until.as_secs().to_string(), path]);
    command.env(URL_KEY.0, URL_KEY.1);
    let url = printed(&mut command).unwrap_or_else(|problem| panic!("{problem}"));
    url.trim_end().to_owned()
}

fn put_page(alibaba: &FakeAlibaba, signed: &str) {
    let page = std::fs::read_to_string(folder().join("index.html")).expect("the page");
    let oss = format!("http://127.0.0.1:{}", alibaba.oss_port);
    let page = page.replace("{{SIGNED}}", signed).replace("{{OSS}}", &oss);
    let read = |name: &str| std::fs::read(folder().join(name)).expect("a file of the page");
    let (hello, text) = HELLO;
    for (key, content, kind) in [
        ("index.html", page.into_bytes(), "text/html; charset=utf-8"),
        ("404.html", read("404.html"), "text/html; charset=utf-8"),
        (
            PROTECTED.trim_start_matches('/'),
            read("report.html"),
            "text/html; charset=utf-8",
        ),
        ("way.svg", read("way.svg"), "image/svg+xml"),
        ("film.mp4", read("film.mp4"), "video/mp4"),
        (hello, text.into(), "text/plain"),
    ] {
        alibaba.put_object(key, content, json!({"content_type": kind}));
    }
}

/// The files of the page.
fn folder() -> PathBuf {
    tools::root().join("testkit/demo")
}
