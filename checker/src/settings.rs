//! The filter's settings as they are written, by the places where they stand. A wrong
//! one is [`Config`](oss_origin_auth_core::config::Config)'s matter.

use serde_json::{Map, Value};

use crate::found::{Filter, Found, of_metadata};
use crate::manager::Route;
use crate::protobuf::field;

/// The settings of a filter.
#[derive(Debug)]
pub struct Settings {
    root: Value,
    /// The field in which they stand.
    field: String,
}

/// The settings of a route, or of several.
#[derive(Clone, Debug)]
pub struct Block {
    /// Where they stand.
    pub field: String,
    /// The name of the route, if they are those of one.
    pub route: Option<String>,
    values: Map<String, Value>,
    /// Whether the filter has credentials.
    has_credentials: bool,
}

impl Settings {
    /// Those of a filter, if they can be read.
    pub fn of(filter: &Filter) -> Option<Settings> {
        let text = filter.settings.as_deref().ok()?;
        Some(Settings {
            root: serde_json::from_str(text).ok()?,
            field: filter.field.to_owned(),
        })
    }

    /// Every block as it is written: the defaults, and the routes.
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
        defaults.into_iter().chain(routes).collect()
    }

    /// Every block as it is written, those in metadata included.
    fn all(&self, found: &Found) -> Vec<Block> {
        let metadata = found.metadata.iter().filter(|_| self.reads_metadata());
        let metadata = metadata.filter_map(|one| Block::parse(&one.field, &one.settings));
        self.written().into_iter().chain(metadata).collect()
    }

    /// Every block that signs, with the defaults below it, those in metadata included.
    pub fn signing(&self, found: &Found) -> Vec<Block> {
        let all = self.all(found).into_iter();
        let complete = all.map(|block| self.complete(block));
        complete.filter(Block::signs).collect()
    }

    /// The same, each with the block as it is written before it.
    pub fn signing_as_written(&self, found: &Found) -> Vec<(Block, Block)> {
        let all = self.all(found).into_iter();
        let complete = all.map(|block| (block.clone(), self.complete(block)));
        complete.filter(|(_, block)| block.signs()).collect()
    }

    /// How long a request waits for credentials; `None` for what is wrong.
    pub fn wait_timeout_ms(&self) -> Option<u64> {
        match self.root.get("wait_timeout_ms") {
            None => Some(5_000),
            Some(wait) => wait.as_u64(),
        }
    }

    /// The clusters of the sidecars, and the fields that name them.
    pub fn sidecars(&self) -> Vec<(String, &str)> {
        let sources = self.root.get("credentials").and_then(Value::as_object);
        let named = sources.into_iter().flatten().filter_map(|(name, source)| {
            let cluster = source.get("sidecar")?.get("cluster")?.as_str()?;
            let field = format!("credentials.{name}.sidecar.cluster");
            Some((self.path(&field), cluster))
        });
        named.collect()
    }

    /// Whether the filter has credentials. Without them it only checks who may read.
    pub fn have_credentials(&self) -> bool {
        self.root.get("credentials").is_some()
    }

    /// What a route of Envoy is treated by.
    pub fn treatment(&self, route: &Route) -> Block {
        let nothing = || Block::of(self.path("defaults"), Map::new());
        self.complete(self.own(route).unwrap_or_else(nothing))
    }

    /// The settings that a route of Envoy has by its name or in its metadata.
    pub fn own(&self, route: &Route) -> Option<Block> {
        let by_metadata = || {
            let settings = of_metadata(field(&route.message, "metadata")?)?;
            Block::parse(&format!("{}.metadata", route.field), settings)
        };
        let metadata = self.reads_metadata().then(by_metadata).flatten();
        let by_name = || {
            let own = self.root.get("routes")?.get(&route.name)?;
            Block::new(self.path(&format!("routes.{}", route.name)), own)
        };
        metadata.or_else(by_name)
    }

    /// Whether requests on a route without settings of its own are signed.
    pub fn defaults_sign(&self) -> bool {
        let nothing = Block::of(self.path("defaults"), Map::new());
        self.complete(nothing).signs()
    }

    /// The environment variables that hold keys.
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

    /// Where a setting stands.
    pub fn path(&self, setting: &str) -> String {
        match self.field.as_str() {
            "" => setting.to_owned(),
            field => format!("{field}.{setting}"),
        }
    }

    /// Whether metadata is read for settings.
    pub fn reads_metadata(&self) -> bool {
        let list = self.root.get("metadata").and_then(Value::as_array);
        list.is_some_and(|list| !list.is_empty())
    }

    /// Whether this kind of metadata is read for settings.
    pub fn reads(&self, kind: &str) -> bool {
        let list = self.root.get("metadata").and_then(Value::as_array);
        list.is_some_and(|list| list.iter().any(|one| one == kind))
    }

    /// A block with the defaults below it.
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

    /// Whether it has a setting of its own.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Whether its requests leave signed.
    pub fn signs(&self) -> bool {
        let has = |name: &str| self.values.get(name).is_some_and(Value::is_string);
        let is = |name: &str, flag| self.values.get(name) == Some(&Value::Bool(flag));
        let complete = has("bucket") && (has("region") || self.text("signature_version") == "v1");
        self.has_credentials && complete && !is("enabled", false) && !is("deny", true)
    }

    /// The host for which its requests are signed.
    pub fn host(&self) -> Option<String> {
        let endpoint = Some(self.text("endpoint")).filter(|endpoint| !endpoint.is_empty())?;
        Some(match self.text("addressing") {
            "path_style" | "cname" => endpoint.to_owned(),
            _ => format!("{}.{endpoint}", self.text("bucket")),
        })
    }

    /// Whether it checks who may read.
    pub fn checks(&self) -> bool {
        let access = self.values.get("access");
        let has = |check: &&str| access.is_some_and(|access| access.get(*check).is_some());
        CHECKS.iter().any(has)
    }

    /// What a checked signature takes with it: parameters of the query, and a part of `:path`.
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

    /// The type of the URLs that are checked.
    pub fn url_type(&self) -> Option<&str> {
        self.url_signing()?.get("type")?.as_str()
    }

    fn url_signing(&self) -> Option<&Value> {
        self.values.get("access")?.get("url_signing")
    }

    /// A setting that is a text; empty where it is not given.
    pub fn text(&self, name: &str) -> &str {
        let text = self.values.get(name).and_then(Value::as_str);
        text.unwrap_or_default()
    }

    /// A setting that is a list of texts.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let list = self.values.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str)
    }
}

/// The settings that name an environment variable.
const KEY_FIELDS: [&str; 5] = [
    "key_env",
    "backup_key_env",
    "id_env",
    "secret_env",
    "token_env",
];

/// The checks that `access` may have.
const CHECKS: [&str; 3] = ["url_signing", "referer", "user_agent"];

/// Every block of a filter's settings, those in metadata included, as far as they can be read.
pub fn all_blocks(filter: &Filter, found: &Found) -> Vec<Block> {
    let settings = Settings::of(filter);
    settings.map_or_else(Vec::new, |settings| settings.all(found))
}

/// Whether a filter signs requests, as far as its settings can be read.
pub fn signs(filter: &Filter) -> bool {
    Settings::of(filter).is_none_or(|settings| settings.have_credentials())
}
