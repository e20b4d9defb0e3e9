//! What differs between the two hosts of the filter, and nothing else of the tests knows: how a
//! configuration has it, where Envoy finds it, and how statistics and log lines are named.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::http::Request;
use crate::process::scratch;
use crate::tools::{self, Host, host};

/// An Envoy that reads this configuration, and finds the native module.
pub fn envoy(binary: &Path, config: &Path) -> Command {
    let mut command = Command::new(binary);
    command.arg("--config-path").arg(config);
    let (name, folder) = search_path();
    command.env(name, folder);
    command
}

/// Where Envoy looks for the native module: a variable of its environment.
pub fn search_path() -> (&'static str, PathBuf) {
    ("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", tools::module_folder())
}

/// A file for Envoy with a configuration, YAML or JSON. If it has wasm filters, it is made one
/// for the host of the tests.
pub fn write(name: &str, config: &str) -> PathBuf {
    let (file, text) = match host() {
        Host::Native if config.contains(WASM) => {
            let parsed = serde_yaml_ng::from_str(config);
            let mut config = parsed.unwrap_or_else(|problem| panic!("{problem}: {config}"));
            make_native(&mut config);
            (scratch(&format!("{name}.json")), config.to_string())
        }
        Host::Wasm | Host::Native => (scratch(name), config.to_owned()),
    };
    std::fs::write(&file, text).expect("Envoy's configuration");
    file
}

/// Puts the native filter in the place of every wasm filter, all of which are ours, and gives
/// statistics and notes for the access log the names that they have there.
fn make_native(config: &mut Value) {
    match config {
        Value::Array(items) => items.iter_mut().for_each(make_native),
        Value::Object(fields) if fields.get("@type").is_some_and(|name| name == WASM) => {
            *config = native_filter(&config["config"]["configuration"]);
        }
        Value::Object(fields) => {
            if fields.contains_key("stats_config") {
                let own = fields.insert("layered_runtime".into(), plain_metrics());
                assert_eq!(own, None, "a runtime of its own");
            }
            if let Some(tags) = fields.get_mut("stats_tags").and_then(Value::as_array_mut) {
                tags.insert(0, json!({"tag_name": CLUSTER, "regex": OF_CLUSTER}));
            }
            fields.values_mut().for_each(make_native);
        }
        Value::String(text) => {
            for (wasm, native) in NAMES {
                *text = text.replace(wasm, native);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

/// The beginnings of names with each host. A module that stands on a cluster counts under the
/// cluster's name.
const NAMES: [(&str, &str); 3] = [
    (r"^wasmcustom\.", r"dynamicmodulescustom\."),
    (
        "%FILTER_STATE(wasm.oss_origin_auth.cause:PLAIN)%",
        "%DYNAMIC_METADATA(oss_origin_auth:cause)%",
    ),
    (
        "%FILTER_STATE(wasm.oss_origin_auth.credentials:PLAIN)%",
        "%DYNAMIC_METADATA(oss_origin_auth:credentials)%",
    ),
];

/// Has Envoy give a module's statistics to Prometheus without names of its own before them.
fn plain_metrics() -> Value {
    let strip = "envoy.reloadable_features.dynamic_modules_strip_custom_stat_prefix";
    json!({"layers": [{"name": "metrics", "static_layer": {strip: true}}]})
}

/// A label of the native host's metrics alone.
const CLUSTER: &str = "oss_cluster";
/// Takes the cluster off the name of a statistic, which is then that of the wasm filter.
const OF_CLUSTER: &str = r"^(cluster\.(.+?)\.)dynamicmodulescustom\.";

fn native_filter(configuration: &Value) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
        "dynamic_module_config": {"name": tools::MODULE_NAME},
        "filter_name": "oss_origin_auth",
        "filter_config": configuration,
    })
}

/// The value of a counter or gauge of the filter, wherever it stands: `requests.signed`.
pub fn stat(admin_port: u16, name: &str) -> u64 {
    let prefix = match host() {
        Host::Wasm => "wasmcustom.",
        Host::Native => "dynamicmodulescustom.",
    };
    let name = format!("{prefix}oss_origin_auth.{name}");
    let on_cluster = format!(".{name}");
    let stats = Request::get("/stats").send(admin_port).text();
    let values = stats.lines().filter_map(|line| {
        let (shown, value) = line.split_once(": ")?;
        let is_it = shown == name || shown.starts_with("cluster.") && shown.ends_with(&on_cluster);
        is_it.then(|| value.parse::<u64>().ok())?
    });
    values.sum()
}

/// What Prometheus gets of an Envoy, without the labels that only a module on a cluster has.
pub fn metrics(admin_port: u16) -> String {
    let scrape = Request::get("/stats/prometheus").send(admin_port).text();
    without_cluster(&scrape)
}

/// Takes them off a text of metrics.
pub fn without_cluster(metrics: &str) -> String {
    let of_cluster = |label: &&str| {
        let name = label.split('=').next().unwrap_or_default();
        host() == Host::Native && [CLUSTER, "envoy_cluster_name"].contains(&name)
    };
    let lines = metrics.lines().map(|line| {
        let Some((name, rest)) = line.split_once('{') else {
            return line.to_owned();
        };
        let (labels, value) = rest.split_once('}').unwrap_or((rest, ""));
        let labels: Vec<_> = labels
            .split(',')
            .filter(|label| !of_cluster(label))
            .collect();
        format!("{name}{{{}}}{value}", labels.join(","))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// By what the filter's own lines are known in Envoy's log.
pub fn logger() -> &'static str {
    match host() {
        Host::Wasm => "[wasm]",
        Host::Native => "[dynamic_modules]",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_native_wherever_the_filter_stands() {
        let filter = json!({"name": "ours", "typed_config": {"@type": WASM, "config": {
            "configuration": {"@type": "a.StringValue", "value": "{}"},
            "vm_config": {"runtime": "envoy.wasm.runtime.v8"}}}});
        let mut config = json!({
            "listener": {"filters": [filter.clone()]},
            "cluster": {"match_delegate": {"extension_config": filter}},
            "log": "x %FILTER_STATE(wasm.oss_origin_auth.cause:PLAIN)%",
            "stats_config": {"stats_tags": [{"tag_name": "kind",
                "regex": r"^wasmcustom\.oss_origin_auth\.requests(\.(\w+))$"}]},
        });
        make_native(&mut config);
        let native = native_filter(&json!({"@type": "a.StringValue", "value": "{}"}));
        assert_eq!(config["listener"]["filters"][0]["typed_config"], native);
        let delegated = &config["cluster"]["match_delegate"]["extension_config"];
        assert_eq!(*delegated, json!({"name": "ours", "typed_config": native}));
        assert_eq!(config["log"], "x %DYNAMIC_METADATA(oss_origin_auth:cause)%");
        assert_eq!(
            config["stats_config"]["stats_tags"][1]["regex"],
            r"dynamicmodulescustom\.oss_origin_auth\.requests(\.(\w+))$"
        );
        assert!(!config.to_string().contains("wasm"), "{config}");
    }
}
