//! The parts of documents that concern the filter, wherever they are.

use serde_json::Value;

use crate::context::{Around, Context, OURS, Standing, is_ours};
pub use crate::context::{Delegate, Position};
use crate::finding::Place;
use crate::input::Document;
use crate::manager::{Manager, TABLE, children, of_kind};
use crate::module::{self, Module};
use crate::protobuf::{field, is, is_true, list, text, unwrapped};
use crate::version::Version;

/// The parts of a file's documents that concern the filter.
#[derive(Debug, Default)]
pub struct Found {
    /// The configurations of our filter.
    pub filters: Vec<Filter>,
    /// The VMs of wasm filters that are not ours.
    pub others: Vec<OtherVm>,
    /// The managers of HTTP connections.
    pub managers: Vec<Manager>,
    /// The settings in the metadata of routes and clusters.
    pub metadata: Vec<Metadata>,
    /// The matchers that routes give to a `match_delegate`.
    pub of_routes: Vec<RouteMatcher>,
    /// The clusters.
    pub clusters: Vec<Cluster>,
    /// The admin pages.
    pub admins: Vec<Cluster>,
    /// The routes of gateways, which stand in manifests, and patches of routes.
    pub gateways: Vec<Manager>,
    /// The documents in which all of this was found.
    pub documents: Vec<Document>,
    /// The version of Envoy that reads the documents.
    pub envoy: Version,
}

/// A message, such as that of a cluster.
#[derive(Debug)]
pub struct Cluster {
    /// The name of the message; may be empty.
    pub name: String,
    /// The place of the message.
    pub place: Place,
    /// The message.
    pub message: Value,
}

/// A configuration of our filter.
#[derive(Debug)]
pub struct Filter {
    /// The name of the filter in Envoy; empty if it has none.
    pub name: String,
    /// The place of the filter.
    pub place: Place,
    /// The field that holds its settings.
    pub field: &'static str,
    /// The settings of the filter, or the reason why Envoy would pass none to it.
    pub settings: Result<String, String>,
    /// The indexes of Higress's `matchRules` that became the rules of the settings.
    pub rules: Vec<usize>,
    /// The list of `match_delegate`s around the filter.
    pub delegates: Vec<Delegate>,
    /// The module that Envoy loads, if the filter is a native module, which has no VM.
    pub module: Option<Module>,
    /// The VM that runs the filter.
    pub vm: VmId,
    /// The variables whose values are in the configuration: the field and the name of each.
    pub inline: Vec<(String, String)>,
    /// The variables that the filter gets from the environment, and the field that names them;
    /// `None` if they are not known.
    pub handed: Option<(&'static str, Vec<String>)>,
    /// Whether the configuration has `allow_on_headers_stop_iteration`.
    pub stops_iteration: bool,
    /// The handling of requests once the VM has failed.
    pub policy: Policy,
    /// The position of the filter in Envoy.
    pub position: Position,
    /// The phase of a `WasmPlugin`.
    pub phase: Option<String>,
}

/// The settings in the metadata of a route or a cluster.
#[derive(Debug)]
pub struct Metadata {
    /// The place of the settings.
    pub place: Place,
    /// The name that findings use for the settings.
    pub field: String,
    /// The text of the settings.
    pub settings: String,
}

/// The setting of a filter that says how failures are handled.
#[derive(Debug)]
pub struct Policy {
    /// The field with this setting.
    pub field: &'static str,
    /// The handling that it asks for.
    pub on_failure: OnFailure,
    /// The setting that is recommended.
    pub fix: &'static str,
}

/// A matcher that a route gives to a `match_delegate`.
#[derive(Debug)]
pub struct RouteMatcher {
    /// The place of the route.
    pub place: Place,
    /// The name of the `match_delegate`.
    pub delegate: String,
    /// The matcher itself.
    pub matcher: Value,
}

/// The VM of a wasm filter that is not ours.
#[derive(Debug)]
pub struct OtherVm {
    /// The name of the filter.
    pub filter: String,
    /// Its `vm_id`; empty if it has none.
    pub id: String,
}

/// The VM that runs one of our filters.
#[derive(Debug, PartialEq)]
pub enum VmId {
    /// The VM of this name.
    Given(String),
    /// The VM that is shared by all filters that name none.
    Missing,
    /// A VM that is chosen by the maker of Envoy's configuration.
    Chosen,
}

/// The handling of requests once the VM has failed.
#[derive(Debug, PartialEq)]
pub enum OnFailure {
    /// A new VM serves them.
    Reload,
    /// Requests are refused for good.
    Closed,
    /// Requests pass the filter unsigned.
    Open,
    /// The maker of Envoy's configuration decides.
    Chosen,
    /// The policy is not one that Envoy knows.
    Unknown(String),
}

impl Filter {
    /// Whether the filter removes its signature from a request that is answered, before Envoy
    /// follows a redirect in the answer.
    pub fn signs_for_one_answer(&self) -> bool {
        let is_on_cluster = matches!(self.position, Position::Cluster(_));
        self.module.is_some() && is_on_cluster && self.delegates.is_empty()
    }

    /// Whether requests of `manager`, which has this index, may reach the filter.
    pub fn is_behind(&self, index: usize, manager: &Manager) -> bool {
        match &self.position {
            Position::Manager(of) => *of == index,
            Position::Cluster(cluster) => manager.leads_to(cluster),
            Position::Gateway | Position::Routes | Position::Unknown => false,
        }
    }

    /// A filter with this text as its own configuration.
    pub fn of_settings(settings: &str) -> Filter {
        Filter {
            name: String::new(),
            place: Place::default(),
            field: "",
            settings: Ok(settings.to_owned()),
            rules: Vec::new(),
            delegates: Vec::new(),
            module: None,
            vm: VmId::Chosen,
            inline: Vec::new(),
            handed: None,
            stops_iteration: false,
            policy: Policy {
                field: "",
                on_failure: OnFailure::Chosen,
                fix: "",
            },
            position: Position::Unknown,
            phase: None,
        }
    }
}

impl Found {
    /// Searches all documents.
    pub fn new(documents: Vec<Document>, envoy: Version) -> Found {
        let mut found = Found {
            envoy,
            ..Found::default()
        };
        for Document { source, value, .. } in &documents {
            let context = Context {
                source: Some(source),
                ..Context::default()
            };
            match value["kind"].as_str() {
                Some("WasmPlugin") => found.add_wasm_plugin(value, context),
                Some("EnvoyExtensionPolicy") => found.add_extension_policy(value, context),
                kind => {
                    found.add_routes(kind.unwrap_or_default(), value, context);
                    found.collect(value, context);
                }
            }
        }
        let tables = documents.iter().flat_map(|one| of_kind(&one.value, TABLE));
        let tables: Vec<&Value> = tables.collect();
        for manager in &mut found.managers {
            manager.take_table(&tables);
        }
        found.documents = documents;
        found
    }

    fn collect<'a>(&mut self, value: &'a Value, mut context: Context<'a>) {
        let fields = match value {
            Value::Object(fields) => fields,
            Value::Array(items) => {
                return items.iter().for_each(|item| self.collect(item, context));
            }
            _ => return,
        };
        let name = value.get("name").and_then(Value::as_str);
        if let (Some(name), Some(_)) = (name, field(value, "typed_config")) {
            context.filter = name;
        }
        context.within = context.within.or(name);
        context.owner = name.or(context.owner);
        context.is_internal |= field(value, "internal_listener").is_some();
        self.add_cluster(value, context);
        let is_within = matches!(context.position, Some(Standing::Manager(_)));
        if !is_within && let Some(mut manager) = Manager::read(value, context.place(None)) {
            manager.is_internal = context.is_internal;
            context.position = Some(Standing::Manager(self.managers.len()));
            self.managers.push(manager);
        }
        if text(value, "apply_to") == Some("HTTP_FILTER") {
            context.position = Some(Standing::Gateway);
        }
        self.add_plugin(value, name, context);
        self.add_module(value, context);
        let settings = of_metadata(value).map(|settings| Metadata {
            place: context.place(None),
            field: context.metadata(),
            settings: settings.to_owned(),
        });
        self.metadata.extend(settings);
        if let (Some(filter), Some(matcher)) = (context.of_route, field(value, "xds_matcher")) {
            self.of_routes.push(RouteMatcher {
                place: context.place(None),
                delegate: filter.to_owned(),
                matcher: matcher.clone(),
            });
        }

        for (name, inner) in fields {
            if is(name, "extension_config") {
                let delegate = Around {
                    name: context.filter,
                    message: value,
                    around: context.delegates,
                };
                let mut context = context;
                context.delegates = Some(&delegate);
                self.collect(inner, context);
            } else if is(name, "typed_extension_protocol_options") {
                let mut context = context;
                context.position = Some(Standing::Cluster(context.owner.unwrap_or_default()));
                self.collect(inner, context);
            } else if is(name, "typed_per_filter_config") {
                let mut context = context;
                for (filter, inner) in inner.as_object().into_iter().flatten() {
                    context.of_route = Some(filter);
                    self.collect(inner, context);
                }
            } else {
                self.collect(inner, context);
            }
        }
    }

    /// Adds the value if it is a `Cluster` of Envoy, or its admin page if it has one.
    fn add_cluster(&mut self, value: &Value, context: Context) {
        let of = |message: &Value| Cluster {
            name: text(message, "name").unwrap_or_default().to_owned(),
            place: context.place(None),
            message: message.clone(),
        };
        let has = |name: &&str| field(value, name).is_some();
        if context.owner.is_some() && OF_CLUSTERS.iter().any(has) {
            self.clusters.push(of(value));
        }
        self.admins.extend(field(value, "admin").map(of));
    }

    /// Adds the value if it is a `PluginConfig` of Envoy.
    fn add_plugin(&mut self, value: &Value, name: Option<&str>, context: Context) {
        let (configuration, vm) = (field(value, "configuration"), field(value, "vm_config"));
        if configuration.is_none() && vm.is_none() {
            return;
        }
        let id = vm.and_then(|vm| text(vm, "vm_id")).unwrap_or_default();
        // The VM id of another filter may be that of our VM.
        let code = vm.and_then(|vm| field(vm, "code")).map(Value::to_string);
        if context.filter == OURS || name == Some(OURS) || is_ours(code.as_deref()) {
            self.filters.push(Filter {
                name: context.name(name).unwrap_or_default().to_owned(),
                place: context.place(name),
                field: "configuration",
                settings: settings(configuration.unwrap_or(&Value::Null)),
                rules: Vec::new(),
                delegates: context.delegates(),
                module: None,
                vm: match id {
                    "" => VmId::Missing,
                    id => VmId::Given(id.to_owned()),
                },
                inline: vm.map(inline).unwrap_or_default(),
                handed: Some((HANDED, vm.map(handed).unwrap_or_default())),
                stops_iteration: is_true(value, "allow_on_headers_stop_iteration"),
                policy: policy(value),
                position: context.position(),
                phase: None,
            });
        } else if vm.is_some() {
            self.others.push(OtherVm {
                filter: context.name(name).unwrap_or("without a name").to_owned(),
                id: id.to_owned(),
            });
        }
    }

    /// Adds the value if it is a `DynamicModuleFilter` of Envoy for our filter.
    fn add_module(&mut self, value: &Value, context: Context) {
        let Some(module) = Module::read(value) else {
            return;
        };
        let named = Some(module.filter_name.as_str());
        if context.filter != OURS && !module.is_ours() {
            return;
        }
        self.filters.push(Filter {
            name: context.name(named).unwrap_or_default().to_owned(),
            place: context.place(named),
            field: module::SETTINGS,
            settings: module::settings(value),
            delegates: context.delegates(),
            position: context.position(),
            module: Some(module),
            // The other fields belong to a VM; a module reads Envoy's own environment.
            ..Filter::of_settings("")
        });
    }
}

/// The settings for the filter in a message of metadata.
pub fn of_metadata(metadata: &Value) -> Option<&str> {
    let settings = field(metadata, "filter_metadata")?;
    settings.get(OURS)?.get("config")?.as_str()
}

/// Whether one of Envoy's filters is one of ours, or contains it.
pub fn is_or_has(one: &Value, filter: &Filter) -> bool {
    fn is_named(value: &Value, name: &str) -> bool {
        let mut deeper = children(value).into_iter();
        text(value, "name") == Some(name) || deeper.any(|child| is_named(child, name))
    }
    // Whether a value names our filter. Names and places are short; settings are not.
    fn names_ours(value: &Value) -> bool {
        match value {
            Value::String(text) => text.len() < 1_000 && is_ours(Some(text)),
            other => children(other).into_iter().any(names_ours),
        }
    }
    is_named(one, &filter.name) && names_ours(one)
}

/// The configuration text that Envoy passes to a wasm filter.
fn settings(configuration: &Value) -> Result<String, String> {
    unwrapped(configuration).unwrap_or_else(|| {
        Err(
            "it must be a google.protobuf.StringValue whose `value` is a text of \
             JSON; a BytesValue will do as well, but of all else, a Struct among it, Envoy hands \
             over the encoded message"
                .to_owned(),
        )
    })
}

/// The fields by which a message is recognised as a cluster.
const OF_CLUSTERS: [&str; 3] = [
    "load_assignment",
    "typed_extension_protocol_options",
    "cluster_type",
];

/// The field that names variables of the environment.
const HANDED: &str = "vm_config.environment_variables.host_env_keys";

/// The variables that Envoy's `VmConfig` takes from the environment.
fn handed(vm: &Value) -> Vec<String> {
    let variables = field(vm, "environment_variables").unwrap_or(&Value::Null);
    let names = list(variables, "host_env_keys").filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

/// The variables whose values are in Envoy's `VmConfig`.
fn inline(vm: &Value) -> Vec<(String, String)> {
    let variables = field(vm, "environment_variables");
    let values = variables.and_then(|variables| field(variables, "key_values")?.as_object());
    let names = values.into_iter().flat_map(|values| values.keys());
    let named = |name: &String| {
        let field = format!("vm_config.environment_variables.key_values.{name}");
        (field, name.clone())
    };
    names.map(named).collect()
}

/// The policy in Envoy's `FailurePolicy`, or in the older `fail_open`. Envoy 1.40 accepts an
/// enum by its name in any case or by its number, and a number or a `true` also as a text.
fn policy(plugin: &Value) -> Policy {
    let written = |name| field(plugin, name).map(as_text);
    let opened = written("fail_open").is_some_and(|open| open == "TRUE");
    let on_failure = match written("failure_policy").as_deref() {
        _ if opened => OnFailure::Open,
        None | Some("UNSPECIFIED" | "0" | "FAIL_CLOSED" | "2") => OnFailure::Closed,
        Some("FAIL_RELOAD" | "1") => OnFailure::Reload,
        Some("FAIL_OPEN" | "3") => OnFailure::Open,
        Some(other) => OnFailure::Unknown(other.to_owned()),
    };
    let (field, fix) = match opened {
        true => (
            "fail_open",
            "write `failure_policy: FAIL_RELOAD` in its place",
        ),
        false => ("failure_policy", "write `failure_policy: FAIL_RELOAD`"),
    };
    Policy {
        field,
        on_failure,
        fix,
    }
}

fn as_text(value: &Value) -> String {
    let text = value.as_str().map(str::to_owned);
    text.unwrap_or_else(|| value.to_string())
        .to_ascii_uppercase()
}
