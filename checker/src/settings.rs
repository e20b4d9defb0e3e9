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
#[derive(Debug)]
pub struct Block {
    /// Where they stand.
    pub field: String,
    values: Map<String, Value>,
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
        let routes =
            routes.filter_map(|(name, own)| Block::new(self.path(&format!("routes.{name}")), own));
        let defaults = self.root.get("defaults");
        let defaults = defaults.and_then(|own| Block::new(self.path("defaults"), own));
        defaults.into_iter().chain(routes).collect()
    }

    /// Every block that signs, with the defaults below it, those in metadata included.
    pub fn signing(&self, found: &Found) -> Vec<Block> {
        let metadata = found.metadata.iter().filter(|_| self.reads_metadata());
        let metadata = metadata.filter_map(|one| Block::parse(&one.field, &one.settings));
        let all = self.written().into_iter().chain(metadata);
        let complete = all.map(|block| block.over(self.defaults()));
        complete.filter(Block::signs).collect()
    }

    /// What a route of Envoy is treated by.
    pub fn treatment(&self, route: &Route) -> Block {
        let own = self.own(route);
        let nothing = || Block {
            field: self.path("defaults"),
            values: Map::new(),
        };
        own.unwrap_or_else(nothing).over(self.defaults())
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
        let block = Block {
            field: self.path("defaults"),
            values: self.defaults().cloned().unwrap_or_default(),
        };
        block.signs()
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

    fn defaults(&self) -> Option<&Map<String, Value>> {
        self.root.get("defaults")?.as_object()
    }
}

impl Block {
    fn new(field: String, settings: &Value) -> Option<Block> {
        let values = settings.as_object()?.clone();
        Some(Block { field, values })
    }

    /// The settings in metadata, if they can be read.
    pub fn parse(field: &str, settings: &str) -> Option<Block> {
        let settings: Value = serde_json::from_str(settings).ok()?;
        Block::new(field.to_owned(), &settings)
    }

    fn over(self, defaults: Option<&Map<String, Value>>) -> Block {
        let mut values = defaults.cloned().unwrap_or_default();
        values.extend(self.values);
        Block { values, ..self }
    }

    /// Whether its requests leave signed.
    pub fn signs(&self) -> bool {
        let has = |name: &str| self.values.get(name).is_some_and(Value::is_string);
        let is = |name: &str, flag| self.values.get(name) == Some(&Value::Bool(flag));
        let complete = has("bucket") && (has("region") || self.text("signature_version") == "v1");
        complete && !is("enabled", false) && !is("deny", true)
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
