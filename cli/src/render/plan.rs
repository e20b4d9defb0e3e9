//! The plan: everything that the templates need, checked.

use serde::Serialize;

use super::values::{Address, Network};

/// The plan of a configuration. Templates see the fields of its parts as fields of the plan.
#[derive(Debug, Serialize)]
pub struct Plan {
    pub target: String,
    /// How the file was made, as a comment.
    pub made_by: String,
    pub version: &'static str,
    /// Whether this is the stack of this project's checkout, with the fake OSS.
    pub from_checkout: bool,
    /// Whether the filter is a native module, and not a wasm filter.
    pub native: bool,
    /// Whether the flags change only names.
    pub is_smallest: bool,
    #[serde(flatten)]
    pub origin: Origin,
    /// The address of the sidecar; `None` for an AccessKey in Envoy's environment.
    pub sidecar: Option<Address>,
    pub sidecar_token: bool,
    #[serde(flatten)]
    pub features: Features,
    #[serde(flatten)]
    pub readers: Readers,
    #[serde(flatten)]
    pub places: Places,
    #[serde(flatten)]
    pub cluster: Cluster,
    pub routes: Vec<Route>,
    /// The settings of the filter that signs, and the variables that Envoy gives it.
    pub signer: String,
    pub signer_variables: Vec<&'static str>,
    /// The settings of the filter that checks URLs and links, if there is one.
    pub access: Option<String>,
    pub access_variables: Vec<&'static str>,
}

/// The bucket, and the connection to it.
#[derive(Debug, Serialize)]
pub struct Origin {
    pub bucket: String,
    pub region: String,
    /// The bucket's host.
    pub host: String,
    /// The host of OSS, which the filter puts the bucket before, or the bucket's own domain.
    pub endpoint: String,
    pub is_domain: bool,
    pub is_internal: bool,
    pub tls_to_oss: bool,
    pub also: Vec<Also>,
    pub clusters: Vec<OssCluster>,
}

/// A cluster of OSS.
#[derive(Debug, Serialize)]
pub struct OssCluster {
    pub name: String,
    pub host: String,
    pub address: Address,
}

/// Another bucket, which is served under `/name/`.
#[derive(Debug, Serialize)]
pub struct Also {
    pub name: String,
    pub bucket: String,
    pub host: String,
    pub endpoint: String,
}

/// The content that is served.
#[derive(Debug, Serialize)]
pub struct Features {
    pub site: bool,
    pub spa: bool,
    /// The entries of Envoy's list of origins.
    pub cors: Vec<String>,
    pub cache: bool,
    pub pass_good_answers: bool,
    pub show_in_browser: bool,
    pub access_log: bool,
    pub tls_folder: Option<String>,
}

/// The rules of who may read.
#[derive(Debug, Serialize)]
pub struct Readers {
    pub signed_urls: Option<String>,
    pub url_type: String,
    pub url_key_backup: bool,
    pub members: Option<String>,
    pub jwks: String,
    pub jwks_host: Option<Address>,
    pub jwt_issuer: String,
    pub jwt_audiences: Vec<String>,
    pub ask: Option<Address>,
    pub ask_at: String,
    /// The prefixes, each with the domain whose links may lead there.
    pub referer_at: Vec<(String, String)>,
    pub allow_referers: Vec<String>,
    pub allow_addresses: Vec<Network>,
    pub deny_addresses: Vec<Network>,
    pub checks_addresses: bool,
    /// Whether every spelling of a path is the same for the routes and the checks.
    pub one_spelling: bool,
}

impl Readers {
    /// Whether only certain pages or addresses are allowed.
    pub fn allow(&self) -> bool {
        !(self.allow_referers.is_empty() && self.allow_addresses.is_empty())
    }
}

/// The ports and files of Envoy.
#[derive(Debug, Serialize)]
pub struct Places {
    pub port: u16,
    pub admin_port: u16,
    pub refresh_port: u16,
    /// The port at which other machines read the metrics; `None` if they cannot.
    pub stats_port: Option<u16>,
    pub module: String,
    pub ca_file: String,
    /// Whether the file of authorities is not that of the system.
    pub own_ca: bool,
    pub cache_folder: String,
    pub refresh_users: String,
}

/// The names for Kubernetes and gateways.
#[derive(Debug, Serialize)]
pub struct Cluster {
    pub registry: String,
    pub pod_secret: bool,
    pub role: String,
    pub istio: String,
    /// The host that clients ask for.
    pub clients_host: String,
}

/// A route of the listener for clients.
#[derive(Debug, Default, Serialize)]
pub struct Route {
    pub name: String,
    /// The condition of the route, in YAML.
    pub r#match: String,
    /// The name of the cluster.
    pub to: String,
    pub host: String,
    /// The name of an action that later routes repeat.
    pub anchor: Option<String>,
    /// The name of an earlier action that is repeated here.
    pub alias: Option<String>,
    /// Whether a JWT suffices.
    pub members: bool,
    /// Whether the server that other routes ask is not asked here.
    pub not_asked: bool,
    /// Whether the settings of the filter that checks name this route.
    pub in_settings: bool,
}
