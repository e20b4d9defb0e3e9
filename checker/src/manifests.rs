//! What manifests of Kubernetes have of ours.

use serde_json::Value;

use crate::context::{Context, is_ours};
use crate::found::{Filter, Found, OnFailure, Policy, Position, VmId};

impl Found {
    /// Istio's, or Higress's, which has other names for the settings.
    pub fn add_wasm_plugin(&mut self, document: &Value, context: Context) {
        let spec = &document["spec"];
        let name = document["metadata"]["name"].as_str();
        if !is_ours(name) && !is_ours(spec["url"].as_str()) {
            return;
        }
        let field = match spec["defaultConfig"] {
            Value::Null => "pluginConfig",
            _ => "defaultConfig",
        };
        let on_failure = match spec["failStrategy"].as_str() {
            Some("FAIL_OPEN") => OnFailure::Open,
            _ => OnFailure::Chosen,
        };
        self.filters.push(Filter {
            name: name.unwrap_or_default().to_owned(),
            place: context.place(name),
            field,
            settings: Ok(spec[field].to_string()),
            delegates: Vec::new(),
            module: None,
            vm: VmId::Chosen,
            inline: inline(&spec["vmConfig"]),
            handed: Some(("vmConfig.env", handed(&spec["vmConfig"]))),
            stops_iteration: false,
            policy: Policy {
                field: "failStrategy",
                on_failure,
                fix: "write `failStrategy: FAIL_CLOSE`",
            },
            position: Position::Gateway,
            phase: spec["phase"].as_str().map(str::to_owned),
        });
    }

    /// Envoy Gateway's.
    pub fn add_extension_policy(&mut self, document: &Value, context: Context) {
        let spec = &document["spec"];
        let targets = spec["targetRefs"].as_array().into_iter().flatten();
        let mut targets = targets.chain([&spec["targetRef"]]);
        let position = match targets.any(|target| target["kind"] == "Gateway") {
            true => Position::Gateway,
            false => Position::Routes,
        };
        for wasm in spec["wasm"].as_array().into_iter().flatten() {
            let name = wasm["name"].as_str();
            if !is_ours(name) && !is_ours(Some(&wasm["code"].to_string())) {
                continue;
            }
            let on_failure = match wasm["failOpen"] {
                Value::Bool(true) => OnFailure::Open,
                _ => OnFailure::Chosen,
            };
            self.filters.push(Filter {
                name: name.unwrap_or_default().to_owned(),
                place: context.place(name),
                field: "config",
                settings: Ok(wasm["config"].to_string()),
                delegates: Vec::new(),
                module: None,
                vm: VmId::Chosen,
                inline: Vec::new(),
                handed: Some(("env.hostKeys", texts(&wasm["env"]["hostKeys"]))),
                stops_iteration: false,
                policy: Policy {
                    field: "failOpen",
                    on_failure,
                    fix: "take it out",
                },
                position: position.clone(),
                phase: None,
            });
        }
    }
}

/// The variables that a `WasmPlugin` gives a value. Istio knows those of the host by a word.
fn inline(vm: &Value) -> Vec<(String, String)> {
    let variables = vm["env"].as_array().into_iter().flatten();
    let inline = variables.filter(|one| one["valueFrom"] != "HOST");
    let names = inline.filter_map(|one| one["name"].as_str());
    let named = |name: &str| (format!("vmConfig.env[{name}]"), name.to_owned());
    names.map(named).collect()
}

/// The variables that a `WasmPlugin` takes from the environment.
fn handed(vm: &Value) -> Vec<String> {
    let variables = vm["env"].as_array().into_iter().flatten();
    let handed = variables.filter(|one| one["valueFrom"] == "HOST");
    let names = handed.filter_map(|one| one["name"].as_str());
    names.map(str::to_owned).collect()
}

fn texts(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten();
    let texts = texts.filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}
