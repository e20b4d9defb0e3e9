//! The shipped configurations, fitted to this machine as a user's are: by
//! `envoy/render.sh`.

use std::path::PathBuf;
use std::process::Command;

use crate::alibaba::{BUCKET, REGION};
use crate::envoy::serve;
use crate::process::{Process, scratch};
use crate::tools;

/// Runs `envoy/render.sh` for a file with these settings; where its output is.
pub fn render(name: &str, settings: &[(&str, &str)]) -> PathBuf {
    let text = run_render(name, settings).unwrap_or_else(|problem| panic!("{problem}"));
    let file = scratch(name);
    std::fs::write(&file, text).expect("Envoy's configuration");
    file
}

/// The keys that sign URLs, by their variables. They are Envoy's, too.
pub const URL_KEYS: [(&str, &str); 2] = [
    ("URL_KEY", "sesame-key-of-urls"),
    ("URL_KEY_BACKUP", "sesame-key-of-urls-before"),
];

/// What `envoy/render.sh` writes, or its problem.
pub fn run_render(name: &str, settings: &[(&str, &str)]) -> Result<String, String> {
    let output = Command::new("sh")
        .arg(tools::root().join("envoy/render.sh"))
        .arg(name)
        .env("WASM_FILE", tools::filter_wasm())
        .envs(URL_KEYS)
        .envs(settings.iter().copied())
        .output()
        .expect("sh");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

/// The file of who may refresh objects: `refresh`, with the password `sesame`.
pub fn users_of_refresh() -> String {
    let file = scratch("refresh.htpasswd");
    // printf sesame | openssl dgst -sha1 -binary | base64
    let line = "refresh:{SHA}CEo1Ae3vaEXy8eQZjsOiuBz1xrw=\n";
    std::fs::write(&file, line).expect("the file of users");
    file.display().to_string()
}

/// An Envoy with a shipped configuration, on plain HTTP to a fake OSS.
#[derive(Debug)]
pub struct Shipped {
    pub process: Process,
    /// Of clients.
    pub port: u16,
    /// Of the listener `refresh` of cached.yaml.
    pub refresh_port: Option<u16>,
    pub admin_port: u16,
}

impl Shipped {
    pub fn start(name: &str, oss_port: u16, sidecar_port: u16) -> Shipped {
        Shipped::start_with(name, oss_port, sidecar_port, &[], |text| text)
    }

    /// With more settings for render.sh, which win and which Envoy gets, too, and a last
    /// change of its output.
    pub fn start_with(
        name: &str,
        oss_port: u16,
        sidecar_port: u16,
        more: &[(&str, &str)],
        adapt: impl Fn(String) -> String,
    ) -> Shipped {
        let oss = format!("127.0.0.1:{oss_port}");
        let sidecar = format!("127.0.0.1:{sidecar_port}");
        let (cache, users) = (scratch("cache"), users_of_refresh());
        std::fs::create_dir_all(&cache).expect("the cache's folder");
        let cache = cache.display().to_string();
        let mut settings = vec![
            ("OSS_BUCKET", BUCKET),
            ("OSS_REGION", REGION),
            ("OSS_ADDRESS", &oss),
            ("OSS_TLS", "off"),
            ("SIDECAR_ADDRESS", &sidecar),
            ("CACHE_FOLDER", &cache),
            ("REFRESH_USERS", &users),
            ("LISTEN_PORT", "0"),
            ("REFRESH_PORT", "0"),
            ("ADMIN_PORT", "0"),
        ];
        settings.extend(more);
        let file = render(name, &settings);
        let text = std::fs::read_to_string(&file).expect("the rendered configuration");
        std::fs::write(&file, adapt(text)).expect("Envoy's configuration");
        let mut command = Command::new(tools::envoy());
        command.arg("--config-path").arg(file);
        command.args(["--concurrency", "2", "--disable-hot-restart"]);
        command.envs(URL_KEYS).envs(more.iter().copied());
        let (process, ports) = serve(&mut command);
        let has_cache = name == "cached.yaml";
        Shipped {
            process,
            port: match has_cache {
                true => ports.of("public"),
                false => ports.only(),
            },
            refresh_port: has_cache.then(|| ports.of("refresh")),
            admin_port: ports.admin,
        }
    }
}
