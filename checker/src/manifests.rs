//! Finds our filter in manifests of Kubernetes.

use oss_origin_auth_core::config::fields::{MATCH_DOMAIN, MATCH_ROUTE, MATCH_SERVICE, RULES};
use serde_json::{Value, json};

use crate::context::{Context, is_ours};
use crate::found::{Filter, Found, OnFailure, Policy, Position, VmId};

impl Found {
    /// Adds a `WasmPlugin` of Istio, or of Higress, which has other names for the settings.
    pub fn add_wasm_plugin(&mut self, document: &Value, context: Context) {
        let spec = &document["spec"];
        let name = document["metadata"]["name"].as_str();
        if !is_ours(name) && !is_ours(spec["url"].as_str()) {
            return;
        }
        let plugin = Plugin::read(spec);
        let on_failure = match spec["failStrategy"].as_str() {
            Some("FAIL_OPEN") => OnFailure::Open,
            _ => OnFailure::Chosen,
        };
        self.filters.push(Filter {
            name: name.unwrap_or_default().to_owned(),
            place: context.place(name),
            field: plugin.field,
            settings: plugin.settings.map(|settings| settings.to_string()),
            rules: plugin.rules,
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

    /// Adds an `EnvoyExtensionPolicy` of Envoy Gateway.
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
                rules: Vec::new(),
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

/// The configuration that a `WasmPlugin` passes to the module.
struct Plugin {
    /// The field that holds the settings.
    field: &'static str,
    settings: Result<Value, String>,
    /// The indexes of Higress's `matchRules` that became the rules of the settings.
    rules: Vec<usize>,
}

impl Plugin {
    /// Reads the specification. Istio has one field for the settings. Higress copies that to
    /// one of its own fields (`convertIstioWasmPlugin` of its controller), unless its own is
    /// given.
    fn read(spec: &Value) -> Plugin {
        let (config, rules) = (&spec["defaultConfig"], &spec["matchRules"]);
        if !spec["pluginConfig"].is_null() || (config.is_null() && rules.is_null()) {
            return Plugin {
                field: "pluginConfig",
                settings: Ok(spec["pluginConfig"].clone()),
                rules: Vec::new(),
            };
        }
        let is_disabled = spec["defaultConfigDisable"] == true;
        if !rules.is_null() && !rules.is_array() {
            return Plugin {
                field: "matchRules",
                settings: Err(NO_LIST.to_owned()),
                rules: Vec::new(),
            };
        }
        let all = rules.as_array().into_iter().flatten().enumerate();
        let used = all.filter(|(_, rule)| rule["configDisable"] != true);
        let (places, used): (Vec<usize>, Vec<Value>) = used
            .map(|(place, rule)| (place, of_match_rule(rule)))
            .unzip();
        let mut settings = match is_disabled {
            true => json!({}),
            false => config.clone(),
        };
        if !used.is_empty() && settings.is_null() {
            settings = json!({});
        }
        let is_left_out = is_disabled && used.is_empty();
        if let Some(fields) = settings.as_object_mut().filter(|_| !used.is_empty()) {
            fields.insert(RULES.to_owned(), used.into());
        }
        Plugin {
            field: "defaultConfig",
            settings: match is_left_out {
                true => Err(LEFT_OUT.to_owned()),
                false => Ok(settings),
            },
            rules: places,
        }
    }
}

const NO_LIST: &str = "`matchRules` must be a list of rules";
const LEFT_OUT: &str = "Higress leaves the plugin out: `defaultConfigDisable` is true, and there is no \
     rule under `matchRules`; write false, or delete the plugin";

/// A rule in the form in which Higress passes it to a module.
fn of_match_rule(rule: &Value) -> Value {
    let mut own = match &rule["config"] {
        Value::Null => json!({}),
        config => config.clone(),
    };
    if let Some(fields) = own.as_object_mut() {
        for (name, key) in MATCHES {
            let is_empty = rule[name].as_array().is_some_and(Vec::is_empty);
            if !rule[name].is_null() && !is_empty {
                fields.insert(key.to_owned(), rule[name].clone());
            }
        }
    }
    own
}

/// The field of a `WasmPlugin` of Higress that stands for a field of the settings. `rules` are
/// the indexes of the `matchRules` that became rules.
pub fn in_match_rules(field: &str, rules: &[usize]) -> Option<String> {
    let rest = field.strip_prefix("defaultConfig.")?.strip_prefix(RULES)?;
    let (place, rest) = rest.strip_prefix('[')?.split_once(']')?;
    let place = rules.get(place.parse::<usize>().ok()?)?;
    let by = MATCHES.iter().find_map(|(name, key)| {
        let behind = rest.strip_prefix('.')?.strip_prefix(key)?;
        // `_match_route_prefix_` begins with `_match_route_`.
        let is_whole = behind.is_empty() || behind.starts_with(['[', '.']);
        is_whole.then(|| format!("matchRules[{place}].{name}{behind}"))
    });
    Some(by.unwrap_or_else(|| format!("matchRules[{place}].config{rest}")))
}

/// The fields of Higress's rules that say for which requests they are, with their names in the
/// settings.
const MATCHES: [(&str, &str); 3] = [
    ("ingress", MATCH_ROUTE),
    ("domain", MATCH_DOMAIN),
    ("service", MATCH_SERVICE),
];

/// The variables whose values are in a `WasmPlugin`. Istio marks those of the host by a word.
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
