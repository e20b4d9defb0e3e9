//! The filter's settings as they are written, by their places.
//! [`Config`] reports settings that are wrong.

use oss_origin_auth_core::config::{Config, ConfigError, RuleInput, fields};
use serde_json::{Map, Value};

use crate::found::{Filter, Found, of_metadata};
use crate::manager::Route;
use crate::protobuf::field;

/// The settings of a filter.
#[derive(Debug)]
pub struct Settings {
    root: Value,
    /// The field that holds the settings.
    field: String,
    /// The settings as the filter reads them, if they have rules; also `None` if they are
    /// wrong.
    rules: Option<Config>,
}

/// The settings of one or more routes.
#[derive(Clone, Debug)]
pub struct Block {
    /// The place of the settings.
    pub field: String,
    /// The name of the route, if the settings are those of one route.
    pub route: Option<String>,
    values: Map<String, Value>,
    /// Whether the filter has credentials.
    has_credentials: bool,
}

impl Settings {
    /// The settings of a filter, if they can be read.
    pub fn of(filter: &Filter) -> Option<Settings> {
        let text = filter.settings.as_deref().ok()?;
        let root: Value = serde_json::from_str(text).ok()?;
        let has_rules = root.get(fields::RULES).is_some();
        Some(Settings {
            root,
            field: filter.field.to_owned(),
            rules: has_rules.then(|| parse(text).ok()).flatten(),
        })
    }

    /// Every block as it is written: the defaults, and the routes or the rules.
    pub fn written(&self) -> Vec<Block> {
        let routes = self.root.get("routes").and_then(Value::as_object);
        let routes = routes.into_iter().flatten();
        let routes = routes.filter_map(|(name, own)| {
            let block = Block::new(self.path(&format!("routes.{name}")), own)?;
            let route = Some(name.clone());
            Some(Block { route, ..block })
        });
        let defaults = self.root.get("defaults");
        let defaults = defaults.and_then(|own| Block::new(self.path("defaults"), own));
        let rules = 0..self.all_rules().len();
        let rules = rules.filter_map(|place| self.rule(place));
        defaults.into_iter().chain(routes).chain(rules).collect()
    }

    fn all_rules(&self) -> &[Value] {
        let rules = self.root.get(fields::RULES).and_then(Value::as_array);
        rules.map_or(&[], Vec::as_slice)
    }

    /// The rule with this index.
    fn rule(&self, place: usize) -> Option<Block> {
        let field = format!("{}[{place}]", fields::RULES);
        Block::new(self.path(&field), self.all_rules().get(place)?)
    }

    /// The rules that no request reaches, each with the index of an earlier rule that matches
    /// all of its requests.
    pub fn unreachable_rules(&self) -> Vec<(Block, usize)> {
        let unreachable = self.rules.as_ref().map(Config::unreachable_rules);
        let unreachable = unreachable.into_iter().flatten();
        let blocks = unreachable.filter_map(|(place, by)| Some((self.rule(place)?, by)));
        blocks.collect()
    }

    /// The names of routes in the settings, with the fields that name them.
    pub fn named_routes(&self) -> Vec<(String, String)> {
        let blocks = self.written().into_iter();
        let names = blocks.flat_map(|block| {
            let Block { field, route, .. } = &block;
            let by_name = route.iter().map(|name| (field.clone(), name.clone()));
            let by_rule = block.texts(fields::MATCH_ROUTE).enumerate();
            let by_rule = by_rule.map(|(place, name)| {
                let field = format!("{field}.{}[{place}]", fields::MATCH_ROUTE);
                (field, name.to_owned())
            });
            by_name.chain(by_rule).collect::<Vec<_>>()
        });
        names.collect()
    }

    /// Every block as it is written, including those in metadata.
    fn all(&self, found: &Found) -> Vec<Block> {
        let metadata = found.metadata.iter().filter(|_| self.reads_metadata());
        let metadata = metadata.filter_map(|one| Block::parse(&one.field, &one.settings));
        self.written().into_iter().chain(metadata).collect()
    }

    /// Every block that signs, completed by the defaults, including those in metadata.
    pub fn signing(&self, found: &Found) -> Vec<Block> {
        let all = self.all(found).into_iter();
        let complete = all.map(|block| self.complete(block));
        complete.filter(Block::signs).collect()
    }

    /// Every block that signs, as in [`Settings::signing`], after the block as it is written.
    pub fn signing_as_written(&self, found: &Found) -> Vec<(Block, Block)> {
        let all = self.all(found).into_iter();
        let complete = all.map(|block| (block.clone(), self.complete(block)));
        complete.filter(|(_, block)| block.signs()).collect()
    }

    /// The time that a request waits for credentials, in milliseconds; `None` if it is wrong.
    pub fn wait_timeout_ms(&self) -> Option<u64> {
        match self.root.get("wait_timeout_ms") {
            None => Some(5_000),
            Some(wait) => wait.as_u64(),
        }
    }

    /// The clusters of the sidecars, with the fields that name them.
    pub fn sidecars(&self) -> Vec<(String, &str)> {
        let sources = self.root.get("credentials").and_then(Value::as_object);
        let named = sources.into_iter().flatten().filter_map(|(name, source)| {
            let cluster = source.get("sidecar")?.get("cluster")?.as_str()?;
            let field = format!("credentials.{name}.sidecar.cluster");
            Some((self.path(&field), cluster))
        });
        named.collect()
    }

    /// Whether the filter has credentials. Without them, it only checks who may read.
    pub fn have_credentials(&self) -> bool {
        self.root.get("credentials").is_some()
    }

    /// The settings that hold for a route of Envoy.
    pub fn treatment(&self, route: &Route) -> Block {
        let nothing = || Block::of(self.path("defaults"), Map::new());
        self.complete(self.own(route).unwrap_or_else(nothing))
    }

    /// The settings for a route of Envoy, by its name or in its metadata.
    pub fn own(&self, route: &Route) -> Option<Block> {
        let by_metadata = || {
            let settings = of_metadata(field(&route.message, "metadata")?)?;
            Block::parse(&format!("{}.metadata", route.field), settings)
        };
        let metadata = self.reads_metadata().then(by_metadata).flatten();
        if self.root.get(fields::RULES).is_some() {
            return metadata.or_else(|| self.rule(self.rule_of(route)?));
        }
        let by_name = || {
            let own = self.root.get("routes")?.get(&route.name)?;
            Block::new(self.path(&format!("routes.{}", route.name)), own)
        };
        metadata.or_else(by_name)
    }

    /// The rule for the requests on a route, as far as it is known.
    fn rule_of(&self, route: &Route) -> Option<usize> {
        let config = self.rules.as_ref()?;
        let hosts = match config.needs_authority() {
            true => route.domains.get(..MOST_DOMAINS).unwrap_or(&route.domains),
            false => &[],
        };
        let hosts = hosts.iter().map(|host| Some(host.as_bytes()));
        let hosts: Vec<_> = hosts.chain([None]).collect();
        let clusters = match config.needs_cluster_name() {
            true => route.cluster_names(),
            false => vec![String::new()],
        };
        let inputs = hosts.into_iter().flat_map(|authority| {
            clusters.iter().map(move |cluster_name| RuleInput {
                route_name: route.name.as_bytes(),
                cluster_name: cluster_name.as_bytes(),
                authority,
            })
        });
        inputs.filter_map(|input| config.rule_of(input)).min()
    }

    /// Whether requests on a route without settings of its own are signed.
    pub fn defaults_sign(&self) -> bool {
        let nothing = Block::of(self.path("defaults"), Map::new());
        self.complete(nothing).signs()
    }

    /// Every block of a route or a rule that names a bucket, and is not signed only because the
    /// defaults say so.
    pub fn unsigned_buckets(&self) -> Vec<Block> {
        // A cluster's metadata lies over the defaults.
        let is_off = self.root["defaults"]["enabled"] == false && !self.reads("cluster");
        let own = self.written().into_iter().filter(|block| {
            let is_own = block.field != self.path("defaults");
            is_own && block.has("bucket") && !block.has("enabled") && !block.denies()
        });
        own.filter(|_| is_off).collect()
    }

    /// The rules and the defaults whose requests are not refused, each completed by the
    /// defaults.
    pub fn served(&self) -> Vec<Block> {
        let nothing = Block::of(self.path("defaults"), Map::new());
        let rules = (0..self.all_rules().len()).filter_map(|place| self.rule(place));
        let blocks = rules.chain([nothing]).map(|block| self.complete(block));
        let passes = |block: &Block| !block.denies() && block.has("access");
        let is_served =
            |block: &Block| block.signs() || (!self.have_credentials() && passes(block));
        blocks.filter(is_served).collect()
    }

    /// The names of the environment variables that hold keys.
    pub fn variables(&self) -> Vec<&str> {
        fn collect<'a>(value: &'a Value, names: &mut Vec<&'a str>) {
            let fields = value.as_object().into_iter().flatten();
            for (name, inner) in fields {
                let of_key = KEY_FIELDS.contains(&name.as_str());
                names.extend(inner.as_str().filter(|_| of_key));
                collect(inner, names);
            }
        }
        let mut names = Vec::new();
        collect(&self.root, &mut names);
        names
    }

    /// The path of a setting.
    pub fn path(&self, setting: &str) -> String {
        match self.field.as_str() {
            "" => setting.to_owned(),
            field => format!("{field}.{setting}"),
        }
    }

    /// Whether metadata may hold settings.
    pub fn reads_metadata(&self) -> bool {
        let list = self.root.get("metadata").and_then(Value::as_array);
        list.is_some_and(|list| !list.is_empty())
    }

    /// Whether metadata of this kind may hold settings.
    pub fn reads(&self, kind: &str) -> bool {
        let list = self.root.get("metadata").and_then(Value::as_array);
        list.is_some_and(|list| list.iter().any(|one| one == kind))
    }

    /// A block, completed by the defaults.
    fn complete(&self, block: Block) -> Block {
        let defaults = self.root.get("defaults").and_then(Value::as_object);
        let mut values = defaults.cloned().unwrap_or_default();
        values.extend(block.values);
        Block {
            values,
            has_credentials: self.have_credentials(),
            ..block
        }
    }
}

impl Block {
    fn new(field: String, settings: &Value) -> Option<Block> {
        Some(Block::of(field, settings.as_object()?.clone()))
    }

    fn of(field: String, values: Map<String, Value>) -> Block {
        Block {
            field,
            route: None,
            values,
            has_credentials: true,
        }
    }

    /// The settings in metadata, if they can be read.
    pub fn parse(field: &str, settings: &str) -> Option<Block> {
        let settings: Value = serde_json::from_str(settings).ok()?;
        Block::new(field.to_owned(), &settings)
    }

    /// Whether the block has this setting of its own.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Whether its requests are signed.
    pub fn signs(&self) -> bool {
        let has = |name: &str| self.values.get(name).is_some_and(Value::is_string);
        let is = |name: &str, flag| self.values.get(name) == Some(&Value::Bool(flag));
        let complete = has("bucket") && (has("region") || self.text("signature_version") == "v1");
        self.has_credentials && complete && !is("enabled", false) && !is("deny", true)
    }

    /// Whether every request is refused.
    pub fn denies(&self) -> bool {
        self.values.get("deny") == Some(&Value::Bool(true))
    }

    /// The host in the signature of its requests.
    pub fn host(&self) -> Option<String> {
        let endpoint = Some(self.text("endpoint")).filter(|endpoint| !endpoint.is_empty())?;
        Some(match self.text("addressing") {
            "path_style" | "cname" => endpoint.to_owned(),
            _ => format!("{}.{endpoint}", self.text("bucket")),
        })
    }

    /// Whether the block checks who may read.
    pub fn checks(&self) -> bool {
        let access = self.values.get("access");
        let has = |check: &&str| access.is_some_and(|access| access.get(*check).is_some());
        CHECKS.iter().any(has)
    }

    /// The parts of a URL that belong to a checked signature: query parameters, and a part of
    /// `:path`.
    pub fn parameters_of_signature(&self) -> Vec<&str> {
        let Some(signing) = self.url_signing() else {
            return Vec::new();
        };
        let text = |name: &str| signing.get(name).and_then(Value::as_str);
        match self.url_type() {
            Some("A") => vec![":path", "auth_key"],
            Some("C2") => vec![":path", "KEY1", "KEY2"],
            Some("F") => vec![
                ":path",
                text("signature_parameter").unwrap_or("sign"),
                text("time_parameter").unwrap_or("time"),
            ],
            _ => vec![":path"],
        }
    }

    /// The type of the URL signing.
    pub fn url_type(&self) -> Option<&str> {
        self.url_signing()?.get("type")?.as_str()
    }

    fn url_signing(&self) -> Option<&Value> {
        self.values.get("access")?.get("url_signing")
    }

    /// The text in a setting; empty if it is not given.
    pub fn text(&self, name: &str) -> &str {
        let text = self.values.get(name).and_then(Value::as_str);
        text.unwrap_or_default()
    }

    /// The list of texts in a setting.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let list = self.values.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str)
    }
}

/// Parses settings as the filter does, as if each variable were set, and each to another value.
pub fn parse(settings: &str) -> Result<Config, ConfigError> {
    Config::parse(settings.as_bytes(), |name| {
        let name = name.bytes().map(|byte| format!("{byte:02x}"));
        Some(["set-to-", &name.collect::<String>()].concat())
    })
}

/// The most domains of a route that are compared with the rules.
const MOST_DOMAINS: usize = 20;

/// The settings that name an environment variable.
const KEY_FIELDS: [&str; 5] = [
    "key_env",
    "backup_key_env",
    "id_env",
    "secret_env",
    "token_env",
];

/// The checks that a block `access` may have.
const CHECKS: [&str; 3] = ["url_signing", "referer", "user_agent"];

/// Every block of a filter's settings that can be read, including those in metadata.
pub fn all_blocks(filter: &Filter, found: &Found) -> Vec<Block> {
    let settings = Settings::of(filter);
    settings.map_or_else(Vec::new, |settings| settings.all(found))
}

/// Whether a filter signs requests, as far as its settings can be read.
pub fn signs(filter: &Filter) -> bool {
    Settings::of(filter).is_none_or(|settings| settings.have_credentials())
}
