//! Filters that come apart from the listeners and clusters they stand in: ECDS (extension
//! configuration discovery), each filter from a file of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::host;
use crate::http::Request;
use crate::process::scratch;

/// The files of these filters, by the names that the filters have here.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    files: BTreeMap<String, PathBuf>,
}

/// How often Envoy has taken the settings of a filter, and refused them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcomes {
    pub taken: u64,
    pub refused: u64,
}

impl Discovery {
    /// Takes our filters out of a configuration as [`crate::EnvoyBuilder::config`] gives it, and
    /// leaves in the place of each what Istio's control plane puts there for a `WasmPlugin`: a
    /// source and the types that may come, without a default and without a limit of time, so
    /// that a listener serves only with its filter. What it took, by name.
    pub fn take(&mut self, config: &mut Value) -> BTreeMap<String, Value> {
        let mut taken = BTreeMap::new();
        for list in ["listeners", "clusters"] {
            let owners = config["static_resources"][list].as_array_mut();
            for owner in owners.expect("a list") {
                let name = owner["name"].as_str().expect("a name").to_owned();
                self.take_from(owner, &format!("ours_{name}"), &mut taken);
            }
        }
        taken
    }

    fn take_from(&mut self, value: &mut Value, name: &str, taken: &mut BTreeMap<String, Value>) {
        match value {
            Value::Array(items) => {
                for item in items {
                    self.take_from(item, name, taken);
                }
            }
            Value::Object(_) if host::is_filter(&value["typed_config"]) => {
                let reference = self.reference(name);
                let filter = std::mem::replace(value, reference);
                taken.insert(name.to_owned(), filter["typed_config"].clone());
            }
            Value::Object(fields) => {
                for field in fields.values_mut() {
                    self.take_from(field, name, taken);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn reference(&mut self, name: &str) -> Value {
        let file = self.files.entry(name.to_owned());
        let path = file.or_insert_with(|| scratch("ecds.json"));
        json!({"name": name, "config_discovery": {
            "config_source": {"resource_api_version": "V3", "initial_fetch_timeout": "0s",
                              "path_config_source": {"path": path}},
            "type_urls": [host::filter_type(), OTHER],
        }})
    }

    /// Puts other filters in their place, each at once: [`Discovery::take`] has named them.
    pub fn write(&self, filters: &BTreeMap<String, Value>, version: u64) {
        for (name, filter) in filters {
            let resource = json!({
                "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
                "name": name, "typed_config": filter});
            replace(&self.files[name], &[resource], version);
        }
    }

    /// What has become of all changes of a filter so far.
    pub fn outcomes(&self, admin_port: u16, name: &str) -> Outcomes {
        let stats = Request::get("/stats").send(admin_port).text();
        let sum = |outcome: &str| -> u64 {
            let end = format!("http_filter.{name}.{outcome}");
            let values = stats.lines().filter_map(|line| {
                let (stat, value) = line.split_once(": ")?;
                let is_it = stat.contains("extension_config_discovery.") && stat.ends_with(&end);
                is_it.then(|| value.parse::<u64>().ok())?
            });
            values.sum()
        };
        Outcomes {
            taken: sum("config_reload"),
            refused: sum("config_fail"),
        }
    }
}

/// Puts other resources in the place of a file of Envoy's, which sees that a file is moved there.
pub fn replace(path: &Path, resources: &[Value], version: u64) {
    let text = json!({"version_info": version.to_string(), "resources": resources});
    let new = host::write("xds.json", &text.to_string());
    std::fs::rename(new, path).expect("Envoy's file");
}

/// Of a filter that Envoy has in both places, also in 1.36.
const OTHER: &str =
    "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";

/// A filter that changes nothing. Istio's agent puts such a one in the place of a module that it
/// cannot fetch, if the plugin says `FAIL_OPEN`.
pub fn allow_all() -> Value {
    json!({"@type": OTHER})
}
