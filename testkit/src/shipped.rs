//! The shipped configurations, adapted to this machine as a user would: by `oss-origin-auth
//! render`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::alibaba::{BUCKET, REGION};
use crate::envoy::serve;
use crate::host;
use crate::process::{Process, scratch};
use crate::tools;

/// The flags of each shipped file, beside the bucket and the region.
pub const EXAMPLES: [(&str, &str); 19] = [
    ("envoy/minimal.yaml", ""),
    ("envoy/domain.yaml", "--domain static.example.com"),
    ("envoy/edge.yaml", "--tls --pass-good-answers"),
    (
        "envoy/accounts.yaml",
        "--also partner=their-bucket --access-log",
    ),
    (
        "envoy/protected.yaml",
        "--members /members/ --jwks /etc/envoy/jwks.json \
         --jwt-issuer https://login.example.com --jwt-audience objects \
         --allow-referer https://www.example.com/ --allow-address 10.0.0.0/8",
    ),
    (
        "envoy/signed-urls.yaml",
        "--signed-urls --url-key-backup --ask 127.0.0.1:8282 --ask-at /members/ \
         --referer-at /pictures/=example.com --deny-address 192.0.2.0/24",
    ),
    ("envoy/native.yaml", "--native --access-log"),
    ("envoy/site.yaml", "--site"),
    ("envoy/spa.yaml", "--spa"),
    (
        "envoy/cors.yaml",
        "--cors https://www.example.com --cors https://*.example.com",
    ),
    (
        "envoy/cached.yaml",
        "--cache --signed-urls /signed/ --url-key-backup --members /members/ \
         --jwks /etc/envoy/jwks.json --jwt-issuer https://login.example.com \
         --jwt-audience objects",
    ),
    (
        "docker-compose.yml",
        "--target compose --from-checkout --only docker-compose.yml",
    ),
    (
        ".env.example",
        "--target compose --from-checkout --only .env.example",
    ),
    (
        "deploy/kubernetes/envoy-with-sidecar.yaml",
        "--target kubernetes --only envoy-with-sidecar.yaml",
    ),
    (
        "deploy/kubernetes/secret.yaml",
        "--target kubernetes --pod-credentials secret --only secret.yaml",
    ),
    ("deploy/istio/envoy-filter.yaml", "--target istio"),
    (
        "deploy/istio/wasm-plugin.yaml",
        "--target istio --istio wasm-plugin",
    ),
    (
        "deploy/envoy-gateway/extension-policy.yaml",
        "--target envoy-gateway",
    ),
    ("deploy/higress/wasm-plugin.yaml", "--target higress"),
];

/// The flags of a shipped file.
fn flags(name: &str) -> Vec<&'static str> {
    let found = EXAMPLES.iter().find(|(file, _)| *file == name);
    let (_, flags) = found.unwrap_or_else(|| panic!("{name} is not shipped"));
    flags.split_whitespace().collect()
}

/// The correct content of a shipped file.
pub fn example(name: &str) -> Result<String, String> {
    example_of(&tools::cli(), name)
}

/// The content of a shipped file by another build of the command.
pub fn example_of(program: &Path, name: &str) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(["render", "--bucket", "my-bucket", "--region", "cn-hangzhou"]);
    command.args(flags(name)).env_clear();
    printed(&mut command)
}

/// Renders the file in `envoy/` with these settings in the environment, and adapts it for the
/// host of the tests; returns its path.
pub fn render(name: &str, settings: &[(&str, &str)]) -> PathBuf {
    let text = run_render(name, settings).unwrap_or_else(|problem| panic!("{problem}"));
    host::write(name, &text)
}

/// The keys that sign URLs, by their variables. Envoy gets them, too.
pub const URL_KEYS: [(&str, &str); 2] = [
    ("URL_KEY", "sesame-key-of-urls"),
    ("URL_KEY_BACKUP", "sesame-key-of-urls-before"),
];

/// The output of `render`, or its error.
pub fn run_render(name: &str, settings: &[(&str, &str)]) -> Result<String, String> {
    let host = settings.iter().any(|(name, _)| *name == "OSS_HOST");
    let mut flags = flags(&format!("envoy/{name}"));
    // The environment replaces a flag.
    if let (Some(at), true) = (flags.iter().position(|flag| *flag == "--domain"), host) {
        flags.drain(at..at + 2);
    }
    if settings.contains(&("URL_KEY_BACKUP", "")) {
        flags.retain(|flag| *flag != "--url-key-backup");
    }
    let keys = keys_of_tokens();
    let flags = flags.into_iter().map(|flag| match flag {
        "/etc/envoy/jwks.json" => keys.as_str(),
        flag => flag,
    });
    let mut command = Command::new(tools::cli());
    command.arg("render").args(flags);
    command.env("WASM_FILE", tools::filter_wasm());
    command.envs(settings.iter().copied());
    printed(&mut command)
}

/// The output of a command, or its error message.
pub(crate) fn printed(command: &mut Command) -> Result<String, String> {
    let output = command.output().expect("oss-origin-auth");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

/// A file with the keys that check the tokens of members.
fn keys_of_tokens() -> String {
    let file = scratch("jwks.json");
    std::fs::write(&file, KEYS_OF_TOKENS).expect("the file of keys");
    file.display().to_string()
}

/// The key set for the tokens of members; the key is `example-key-of-the-documentation-only`.
pub const KEYS_OF_TOKENS: &str = r#"{"keys": [{"kty": "oct", "alg": "HS256", "kid": "example",
    "k": "ZXhhbXBsZS1rZXktb2YtdGhlLWRvY3VtZW50YXRpb24tb25seQ"}]}"#;

/// A file with the users that may refresh objects: `refresh`, with the password `sesame`.
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
    /// The port for clients.
    pub port: u16,
    /// The port of the listener `refresh` of cached.yaml.
    pub refresh_port: Option<u16>,
    pub admin_port: u16,
}

impl Shipped {
    pub fn start(name: &str, oss_port: u16, sidecar_port: u16) -> Shipped {
        Shipped::start_with(name, oss_port, sidecar_port, &[], |text| text)
    }

    /// Starts an Envoy with more settings for `render`, which win and which Envoy gets, too,
    /// and with a last change of the output.
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
        let text = run_render(name, &settings).unwrap_or_else(|problem| panic!("{problem}"));
        let file = host::write(name, &adapt(text));
        let mut command = host::envoy(&tools::envoy(), &file);
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
