//! The flags of `render`.

use clap::builder::PossibleValuesParser;

/// Write a configuration of Envoy with the filter in it, and what belongs to it.
///
/// `--target envoy` knows all flags but those of Kubernetes and gateways; `compose` has no --cache
/// and a sidecar of its own (no --sidecar); `kubernetes` has neither, nor --sidecar-token and
/// `--credentials environment`. The gateways know the bucket and its credentials, and have their
/// own ways to cache and to check who may read. Before anything is written, the values and the whole result are checked as by `check-config`. What
/// is secret is never written: Envoy and the sidecar read it from their own environment.
///
/// The least: oss-origin-auth render --bucket my-bucket --region cn-hangzhou --out .
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Options {
    /// The name of the bucket
    #[arg(long, env = "OSS_BUCKET", value_name = "NAME", hide_env_values = true)]
    pub bucket: Option<String>,
    /// The region id of the bucket, for example cn-hangzhou
    #[arg(long, env = "OSS_REGION", value_name = "ID", hide_env_values = true)]
    pub region: Option<String>,
    /// The target of the files
    #[arg(long, default_value = "envoy", value_parser = PossibleValuesParser::new(TARGETS))]
    pub target: String,
    /// The filter as a native module, which Envoy 1.40 loads, in place of the wasm filter: it costs
    /// less, and Envoy has no sandbox around it (docs/NATIVE.md)
    #[arg(long)]
    pub native: bool,
    /// The folder to write into. Without it a target of one file is printed
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<String>,
    /// Replace files that exist
    #[arg(long)]
    pub force: bool,
    /// Write only this one of the target's files
    #[arg(long, value_name = "NAME")]
    pub only: Option<String>,
    /// docker-compose.yml builds the images, and has a fake OSS
    #[arg(long, hide = true)]
    pub from_checkout: bool,

    #[command(flatten, next_help_heading = "The way to OSS")]
    pub origin: Origin,
    #[command(flatten, next_help_heading = "Credentials")]
    pub credentials: Credentials,
    #[command(flatten, next_help_heading = "What is served")]
    pub features: Features,
    #[command(flatten, next_help_heading = "Who may read (without these: everybody)")]
    pub access: Access,
    #[command(flatten, next_help_heading = "Envoy's ports and files")]
    pub places: Places,
    #[command(flatten, next_help_heading = "Kubernetes and gateways")]
    pub cluster: Cluster,
}

/// The words of `--target`.
pub const TARGETS: [&str; 6] = [
    "envoy",
    "compose",
    "kubernetes",
    "istio",
    "envoy-gateway",
    "higress",
];

/// The flags for the connection to OSS.
#[derive(Debug, clap::Args)]
pub struct Origin {
    /// The kind of OSS's host: `internal` answers within the region alone and costs no traffic;
    /// `public` is not for accounts opened since March 2025 in a mainland region; `accelerate`
    /// must be switched on for the bucket [default: internal]
    #[arg(long, value_parser = PossibleValuesParser::new(["internal", "public", "accelerate"]))]
    pub endpoint: Option<String>,
    /// The bucket's own domain, in place of OSS's hosts: browsers may show what comes by it. A
    /// host that begins with the bucket's name is taken for one of OSS. It is of this bucket
    /// alone: those of --also have OSS's host of --endpoint
    #[arg(long, env = "OSS_HOST", value_name = "HOST", hide_env_values = true)]
    pub domain: Option<String>,
    /// The address to connect to, if it is not the host at port 443: for a proxy, a fixed
    /// address, or a domain that leads to this Envoy. The buckets of --also are reached there,
    /// too
    #[arg(
        long,
        env = "OSS_ADDRESS",
        value_name = "HOST:PORT",
        hide_env_values = true
    )]
    pub connect: Option<String>,
    /// `off` speaks HTTP to OSS: for a fake OSS only [default: on]
    #[arg(long, env = "OSS_TLS", value_name = "on|off", hide_env_values = true)]
    pub oss_tls: Option<String>,
}

/// The flags for the credentials.
#[derive(Debug, clap::Args)]
pub struct Credentials {
    /// `sidecar` for temporary ones of a role; `environment` for an AccessKey in Envoy's
    /// environment (ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET)
    #[arg(long, default_value = "sidecar", value_parser = PossibleValuesParser::new(["sidecar", "environment"]))]
    pub credentials: String,
    /// The address of the sidecar [default: 127.0.0.1:8181]
    #[arg(
        long,
        env = "SIDECAR_ADDRESS",
        value_name = "HOST:PORT",
        hide_env_values = true
    )]
    pub sidecar: Option<String>,
    /// Envoy shows the sidecar the token in its environment variable STS_SIDECAR_TOKEN. Also if
    /// that variable is set here
    #[arg(long)]
    pub sidecar_token: bool,
}

/// The flags for what is served.
#[derive(Debug, clap::Args)]
pub struct Features {
    /// A static site: index.html of each folder, and 404.html for what does not exist
    #[arg(long)]
    pub site: bool,
    /// A single-page application: /index.html for what does not exist and has no dot in the last
    /// part of its path (/users/7); a file that does not exist (/old.js) is a 404
    #[arg(long)]
    pub spa: bool,
    /// Pages of this origin may read objects; `https://*.example.com` stands for all hosts one
    /// level below. More than once for several
    #[arg(long, value_name = "ORIGIN")]
    pub cors: Vec<String>,
    /// Keep objects on disk; Envoy 1.38 or later
    #[arg(long)]
    pub cache: bool,
    /// Another bucket of the region under /NAME/, with the sidecar's credentials NAME. More than
    /// once for several
    #[arg(long, value_name = "NAME=BUCKET")]
    pub also: Vec<String>,
    /// Clients come by TLS and HTTP/2
    #[arg(long)]
    pub tls: bool,
    /// Good answers bypass the filter: less work for many downloads
    #[arg(long)]
    pub pass_good_answers: bool,
    /// Remove the headers by which OSS makes browsers download what they could show; --site,
    /// --spa and --cache do so, too
    #[arg(long)]
    pub show_in_browser: bool,
    /// Write an access log that names the causes of errors; it has paths without their query
    #[arg(long)]
    pub access_log: bool,
}

/// The flags for who may read.
#[derive(Debug, clap::Args)]
pub struct Access {
    /// A URL must be signed as for Alibaba CDN, by the key in Envoy's environment variable
    /// URL_KEY: all URLs, or those below this prefix
    #[arg(long, value_name = "/PREFIX/", num_args = 0..=1, default_missing_value = "/")]
    pub signed_urls: Option<String>,
    /// The form of the signature [default: A]
    #[arg(long, value_parser = PossibleValuesParser::new(["A", "B", "C1", "C2", "F"]))]
    pub url_type: Option<String>,
    /// A second key is in URL_KEY_BACKUP. Also if that variable is set here
    #[arg(long)]
    pub url_key_backup: bool,
    /// Below this prefix a JWT is needed
    #[arg(long, value_name = "/PREFIX/")]
    pub members: Option<String>,
    /// The public keys of the JWTs: a file where Envoy runs, or an https URL
    #[arg(long, value_name = "FILE|URL")]
    pub jwks: Option<String>,
    /// Who has issued the JWTs (`iss`)
    #[arg(long, value_name = "ISSUER")]
    pub jwt_issuer: Option<String>,
    /// Who the JWTs are for (`aud`). More than once for several
    #[arg(long, value_name = "AUDIENCE")]
    pub jwt_audience: Vec<String>,
    /// A server that is asked by HTTP whether a request may pass
    #[arg(long, value_name = "HOST:PORT")]
    pub ask: Option<String>,
    /// The server is asked below this prefix alone
    #[arg(long, value_name = "/PREFIX/")]
    pub ask_at: Option<String>,
    /// Below the prefix only links from this domain may lead to objects; no signature is
    /// needed there. More than once for several prefixes
    #[arg(long, value_name = "/PREFIX/=DOMAIN")]
    pub referer_at: Vec<String>,
    /// Links from pages whose URL begins so; a Referer can be forged. More than once for several
    #[arg(long, value_name = "URL")]
    pub allow_referer: Vec<String>,
    /// Clients of these addresses; with --allow-referer, one of the two is enough. Members need
    /// neither. More than once for several
    #[arg(long, value_name = "CIDR")]
    pub allow_address: Vec<String>,
    /// Nobody from these addresses. More than once for several
    #[arg(long, value_name = "CIDR")]
    pub deny_address: Vec<String>,
}

/// The flags for ports and files of Envoy.
#[derive(Debug, clap::Args)]
pub struct Places {
    /// The port for clients [default: 10000]
    #[arg(long, env = "LISTEN_PORT", hide_env_values = true)]
    pub port: Option<String>,
    /// The port of the admin page, on 127.0.0.1 [default: 9901]
    #[arg(long, env = "ADMIN_PORT", hide_env_values = true)]
    pub admin_port: Option<String>,
    /// The file of the wasm filter's module [default: /etc/envoy/oss_origin_auth.wasm]
    #[arg(long, env = "WASM_FILE", value_name = "FILE", hide_env_values = true)]
    pub module: Option<String>,
    /// The file of the certificate authorities for OSS [default:
    /// /etc/ssl/certs/ca-certificates.crt]
    #[arg(long, env = "CA_FILE", value_name = "FILE", hide_env_values = true)]
    pub ca_file: Option<String>,
    /// With --tls: the folder of tls.crt and tls.key [default: /etc/envoy]
    #[arg(
        long,
        env = "TLS_FOLDER",
        value_name = "FOLDER",
        hide_env_values = true
    )]
    pub tls_folder: Option<String>,
    /// With --cache: the folder for the objects [default: /var/cache/envoy]
    #[arg(
        long,
        env = "CACHE_FOLDER",
        value_name = "FOLDER",
        hide_env_values = true
    )]
    pub cache_folder: Option<String>,
    /// With --cache: the port for refreshing objects, on 127.0.0.1 [default: 10001]
    #[arg(
        long,
        env = "REFRESH_PORT",
        value_name = "PORT",
        hide_env_values = true
    )]
    pub refresh_port: Option<String>,
    /// With --cache: who may refresh them, as htpasswd writes it [default: /etc/envoy/refresh.htpasswd]
    #[arg(
        long,
        env = "REFRESH_USERS",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub refresh_users: Option<String>,
}

/// The flags for Kubernetes and the gateways.
#[derive(Debug, clap::Args)]
pub struct Cluster {
    /// The registry with our images
    #[arg(long, value_name = "HOST", default_value = "registry.example.com")]
    pub registry: String,
    /// Kubernetes: `rrsa` takes the pod's role (ACK); `secret` an AccessKey in a Secret
    #[arg(long, default_value = "rrsa", value_parser = PossibleValuesParser::new(["rrsa", "secret"]))]
    pub pod_credentials: String,
    /// Kubernetes with RRSA: the name of the role
    #[arg(long, value_name = "NAME", default_value = "oss-reader")]
    pub role: String,
    /// Istio: `envoy-filter` signs what leaves, and again on a retry; `wasm-plugin` uses
    /// Istio's own routes
    #[arg(long, default_value = "envoy-filter", value_parser = PossibleValuesParser::new(["envoy-filter", "wasm-plugin"]))]
    pub istio: String,
    /// Gateways: the host that clients ask for
    #[arg(long, value_name = "HOST", default_value = "objects.example.com")]
    pub host: String,
}
