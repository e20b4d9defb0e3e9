//! The filter as a native module of Envoy, in place of a wasm filter.

use serde_json::Value;

use crate::context::{OURS, is_ours};
use crate::manager::inner;
use crate::protobuf::{field, is_true, kind, text, unwrapped};

/// The module that Envoy loads.
#[derive(Debug)]
pub struct Module {
    /// The place of the file.
    pub file: File,
    /// The name of the filter in the module.
    pub filter_name: String,
    /// Whether the filter must be the last one.
    pub is_terminal: bool,
    /// Whether the name or the place of the file is that of our module.
    names_ours: bool,
}

/// The place from which Envoy loads the file of a module.
#[derive(Debug, PartialEq, Eq)]
pub enum File {
    /// The folder for modules; the name is the part between `lib` and `.so`.
    Named(String),
    /// A place or bytes in the configuration.
    Given,
    /// A server, from which Envoy fetches it.
    Remote,
    /// The configuration names no file.
    Missing,
}

/// The type of the filter.
const FILTER: &str = "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";

/// The field that holds the filter's settings.
pub const SETTINGS: &str = "filter_config";

impl Module {
    /// Reads a value that is a `DynamicModuleFilter` of Envoy.
    pub fn read(value: &Value) -> Option<Module> {
        if kind(value) != FILTER {
            return None;
        }
        let message = inner(value);
        let module = field(message, "dynamic_module_config");
        Some(Module {
            file: module.map_or(File::Missing, file),
            filter_name: text(message, "filter_name").unwrap_or_default().to_owned(),
            is_terminal: is_true(message, "terminal_filter"),
            names_ours: module.is_some_and(|module| is_ours(Some(&module.to_string()))),
        })
    }

    /// Whether the module is the filter of this project.
    pub fn is_ours(&self) -> bool {
        self.filter_name == OURS || self.names_ours
    }
}

/// The configuration text that Envoy passes to a module.
pub fn settings(filter: &Value) -> Result<String, String> {
    const FORM: &str = "write a google.protobuf.StringValue whose `value` is a text of JSON";
    let Some(configuration) = field(inner(filter), SETTINGS) else {
        return Err(format!("there are no settings; {FORM}"));
    };
    if kind(configuration) == "google.protobuf.Struct" {
        return match field(configuration, "value") {
            Some(settings) => Ok(settings.to_string()),
            None => Err(format!("there are no settings in the Struct; {FORM}")),
        };
    }
    unwrapped(configuration).unwrap_or_else(|| {
        Err(format!(
            "{FORM}; a BytesValue or a Struct will do as well, but of all else Envoy hands over the \
             encoded message"
        ))
    })
}

fn file(module: &Value) -> File {
    let source = field(module, "module");
    let has = |name| source.and_then(|source| field(source, name)).is_some();
    match (text(module, "name"), source) {
        (_, Some(_)) if has("remote") => File::Remote,
        (_, Some(_)) => File::Given,
        (None | Some(""), None) => File::Missing,
        (Some(name), None) => File::Named(name.to_owned()),
    }
}
