//! The differences between the two hosts of the filter, which no other part of the tests knows:
//! the configuration, where Envoy finds the filter, and the names of statistics and log lines.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::http::Request;
use crate::process::scratch;
use crate::tools::{self, Host, host};

/// The command of an Envoy that reads this configuration, and finds the native module.
pub fn envoy(binary: &Path, config: &Path) -> Command {
    let mut command = Command::new(binary);
    command.arg("--config-path").arg(config);
    let (name, folder) = search_path();
    command.env(name, folder);
    command
}

/// The environment variable that says where Envoy looks for the native module, with its value.
pub fn search_path() -> (&'static str, PathBuf) {
    ("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", tools::module_folder())
}

/// Writes a configuration, YAML or JSON, to a file for Envoy. Its wasm filters are replaced for
/// the host of the tests.
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

/// Replaces every wasm filter, all of which are ours, by the native filter, and uses the names
/// that statistics and notes for the access log have there.
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

/// The beginnings of names with each host. An upstream module counts under the name of its
/// cluster.
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

/// The setting that makes Envoy give a module's statistics to Prometheus without a prefix.
fn plain_metrics() -> Value {
    let strip = "envoy.reloadable_features.dynamic_modules_strip_custom_stat_prefix";
    json!({"layers": [{"name": "metrics", "static_layer": {strip: true}}]})
}

/// The label that only metrics of the native host have.
const CLUSTER: &str = "oss_cluster";
/// The pattern that removes the cluster from the name of a statistic, which is then that of the
/// wasm filter.
const OF_CLUSTER: &str = r"^(cluster\.(.+?)\.)dynamicmodulescustom\.";

const NATIVE: &str =
    "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";

/// Whether this is a filter of ours, as a configuration has it that [`write()`] gets.
pub fn is_filter(typed_config: &Value) -> bool {
    typed_config["@type"] == WASM
}

/// The type of our filter on the host of the tests.
pub fn filter_type() -> &'static str {
    match host() {
        Host::Wasm => WASM,
        Host::Native => NATIVE,
    }
}

fn native_filter(configuration: &Value) -> Value {
    json!({
        "@type": NATIVE,
        "dynamic_module_config": {"name": tools::MODULE_NAME},
        "filter_name": "oss_origin_auth",
        "filter_config": configuration,
    })
}

/// The value of a counter or gauge of the filter, such as `requests.signed`, in either
/// position.
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

/// The metrics that Prometheus gets from an Envoy, without the labels that only an upstream
/// module has.
pub fn metrics(admin_port: u16) -> String {
    let scrape = Request::get("/stats/prometheus").send(admin_port).text();
    without_cluster(&scrape)
}

/// Removes these labels from a text of metrics.
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

/// The name of the logger of the filter's own lines in Envoy's log.
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
