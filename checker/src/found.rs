//! What documents have of ours, wherever it stands.

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use serde_json::Value;

use crate::finding::Place;
use crate::manager::{Manager, TABLE, children, of_kind};
use crate::protobuf::{field, is, kind, text};

/// The name by which our filter is known.
const OURS: &str = "oss_origin_auth";

/// What the documents of a file have of ours.
#[derive(Debug, Default)]
pub struct Found {
    /// The filters of ours.
    pub filters: Vec<Filter>,
    /// The VMs of wasm filters that are not ours.
    pub others: Vec<OtherVm>,
    /// The managers of HTTP connections.
    pub managers: Vec<Manager>,
    /// Settings in the metadata of routes and clusters.
    pub metadata: Vec<Metadata>,
    /// The matchers that routes give to a `match_delegate`.
    pub of_routes: Vec<RouteMatcher>,
}

/// A filter of ours.
#[derive(Debug)]
pub struct Filter {
    /// Its name in Envoy; empty where it has none.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// The field of its settings.
    pub field: &'static str,
    /// Its settings, or why Envoy would hand it none.
    pub settings: Result<String, String>,
    /// The `match_delegate`s around it.
    pub delegates: Vec<Delegate>,
    /// The VM that it runs in.
    pub vm: VmId,
    /// The variables whose values stand in the configuration: the field, and the name.
    pub inline: Vec<(String, String)>,
    /// What becomes of requests once the VM has failed.
    pub policy: Policy,
    /// Where it sits.
    pub position: Position,
    /// The phase of a `WasmPlugin`.
    pub phase: Option<String>,
}

/// Where a filter sits.
#[derive(Clone, Debug, PartialEq)]
pub enum Position {
    /// On the cluster of this name: behind every rewrite.
    Cluster(String),
    /// Among the filters of this one of [`Found::managers`].
    Manager(usize),
    /// Among the filters of a gateway, whose routes stand elsewhere.
    Gateway,
    /// Among the filters of some routes of a gateway.
    Routes,
    /// It does not show.
    Unknown,
}

/// Settings in the metadata of a route or a cluster.
#[derive(Debug)]
pub struct Metadata {
    /// Where they are.
    pub place: Place,
    /// How findings name them.
    pub field: String,
    /// The settings.
    pub settings: String,
}

/// What a filter's configuration says of failures.
#[derive(Debug)]
pub struct Policy {
    /// The field that says it.
    pub field: &'static str,
    /// What it says.
    pub on_failure: OnFailure,
    /// What it should say.
    pub fix: &'static str,
}

/// A `match_delegate` around a filter of ours.
#[derive(Debug)]
pub struct Delegate {
    /// The name by which routes give it another matcher.
    pub name: String,
    /// Envoy reads the deprecated field as well. With none it leaves the filter out
    /// altogether.
    pub matchers: Vec<Value>,
}

/// A matcher that a route gives to a `match_delegate`.
#[derive(Debug)]
pub struct RouteMatcher {
    /// Where the route is.
    pub place: Place,
    /// The name of the `match_delegate`.
    pub delegate: String,
    /// The matcher.
    pub matcher: Value,
}

/// The VM of another wasm filter.
#[derive(Debug)]
pub struct OtherVm {
    /// The name of the filter.
    pub filter: String,
    /// Its `vm_id`; empty if it has none.
    pub id: String,
}

/// Which VM a filter of ours runs in.
#[derive(Debug, PartialEq)]
pub enum VmId {
    /// The one of this name.
    Given(String),
    /// The one that all filters share that name none.
    Missing,
    /// The one that the maker of Envoy's configuration chooses.
    Chosen,
}

/// What becomes of requests once the VM has failed.
#[derive(Debug, PartialEq)]
pub enum OnFailure {
    /// A new VM serves them.
    Reload,
    /// They are refused for good.
    Closed,
    /// They pass by the filter, unsigned.
    Open,
    /// The maker of Envoy's configuration decides.
    Chosen,
    /// Envoy knows no such policy.
    Unknown(String),
}

impl Filter {
    /// Whether requests of a manager, which has this number, may reach the filter.
    pub fn is_behind(&self, index: usize, manager: &Manager) -> bool {
        match &self.position {
            Position::Manager(of) => *of == index,
            Position::Cluster(cluster) => manager.leads_to(cluster),
            Position::Gateway | Position::Routes | Position::Unknown => false,
        }
    }

    /// The filter whose own configuration a text is.
    pub fn of_settings(settings: &str) -> Filter {
        Filter {
            name: String::new(),
            place: Place::default(),
            field: "",
            settings: Ok(settings.to_owned()),
            delegates: Vec::new(),
            vm: VmId::Chosen,
            inline: Vec::new(),
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
    /// Looks through all documents.
    pub fn new(documents: &[Value]) -> Found {
        let mut found = Found::default();
        for (index, document) in documents.iter().enumerate() {
            let context = Context {
                document: (documents.len() > 1).then_some(index + 1),
                ..Context::default()
            };
            match document["kind"].as_str() {
                Some("WasmPlugin") => found.add_wasm_plugin(document, context),
                Some("EnvoyExtensionPolicy") => found.add_extension_policy(document, context),
                _ => found.collect(document, context),
            }
        }
        let tables = documents.iter().flat_map(|one| of_kind(one, TABLE));
        let tables: Vec<&Value> = tables.collect();
        for manager in &mut found.managers {
            manager.take_table(&tables);
        }
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
        if let Some(mut manager) = Manager::read(value, context.place(None)) {
            manager.is_internal = context.is_internal;
            context.position = Some(Standing::Manager(self.managers.len()));
            self.managers.push(manager);
        }
        if text(value, "apply_to") == Some("HTTP_FILTER") {
            context.position = Some(Standing::Gateway);
        }
        self.add_plugin(value, name, context);
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

    /// Envoy's `PluginConfig`, if the value is one.
    fn add_plugin(&mut self, value: &Value, name: Option<&str>, context: Context) {
        let (configuration, vm) = (field(value, "configuration"), field(value, "vm_config"));
        if configuration.is_none() && vm.is_none() {
            return;
        }
        let id = vm.and_then(|vm| text(vm, "vm_id")).unwrap_or_default();
        // Another filter may have the id of our VM.
        let code = vm.and_then(|vm| field(vm, "code")).map(Value::to_string);
        if context.filter == OURS || name == Some(OURS) || is_ours(code.as_deref()) {
            self.filters.push(Filter {
                name: context.name(name).unwrap_or_default().to_owned(),
                place: context.place(name),
                field: "configuration",
                settings: settings(configuration.unwrap_or(&Value::Null)),
                delegates: context.delegates(),
                vm: match id {
                    "" => VmId::Missing,
                    id => VmId::Given(id.to_owned()),
                },
                inline: vm.map(inline).unwrap_or_default(),
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
}

/// What stands around a value in the document.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    document: Option<usize>,
    /// The outermost that has a name: a cluster, a listener.
    within: Option<&'a str>,
    /// The innermost that has a name: a route, a cluster.
    owner: Option<&'a str>,
    /// Where a filter here sits.
    position: Option<Standing<'a>>,
    /// The name of the filter in which it stands.
    filter: &'a str,
    delegates: Option<&'a Around<'a>>,
    /// The filter for which a route has this.
    of_route: Option<&'a str>,
    /// Whether it stands in a listener that Envoy alone reaches.
    is_internal: bool,
}

/// [`Position`], as far as it shows in a document of Envoy.
#[derive(Clone, Copy, Debug)]
enum Standing<'a> {
    Cluster(&'a str),
    Manager(usize),
    Gateway,
}

/// A `match_delegate`, and those around it.
#[derive(Debug)]
struct Around<'a> {
    name: &'a str,
    /// The message, with its matcher in it.
    message: &'a Value,
    around: Option<&'a Around<'a>>,
}

impl<'a> Context<'a> {
    /// The name of a filter: its own in Envoy, else that of the plugin.
    fn name(&self, plugin: Option<&'a str>) -> Option<&'a str> {
        match self.filter {
            "" => plugin,
            filter => Some(filter),
        }
    }

    /// Where a filter of this name is.
    pub fn place(&self, plugin: Option<&'a str>) -> Place {
        let name = self.name(plugin);
        Place {
            document: self.document,
            filter: name.map(|name| match self.within {
                Some(within) if within != name => format!("{name} in {within}"),
                _ => name.to_owned(),
            }),
            field: String::new(),
        }
    }

    fn position(&self) -> Position {
        match self.position {
            Some(Standing::Cluster(name)) => Position::Cluster(name.to_owned()),
            Some(Standing::Manager(index)) => Position::Manager(index),
            Some(Standing::Gateway) => Position::Gateway,
            None => Position::Unknown,
        }
    }

    /// How findings name the settings in the metadata of the owner.
    fn metadata(&self) -> String {
        let owner = self.owner.map(|owner| format!("[{owner}]."));
        let owner = owner.unwrap_or_default();
        format!("{owner}metadata.filter_metadata.{OURS}.config")
    }

    fn delegates(&self) -> Vec<Delegate> {
        let all = std::iter::successors(self.delegates, |delegate| delegate.around);
        all.map(|delegate| {
            let matchers = ["xds_matcher", "matcher"].map(|name| field(delegate.message, name));
            Delegate {
                name: delegate.name.to_owned(),
                matchers: matchers.into_iter().flatten().cloned().collect(),
            }
        })
        .collect()
    }
}

/// The settings that a message of metadata has for the filter.
pub fn of_metadata(metadata: &Value) -> Option<&str> {
    let settings = field(metadata, "filter_metadata")?;
    settings.get(OURS)?.get("config")?.as_str()
}

/// Whether one of Envoy's filters is a filter of ours, or has it within.
pub fn is_or_has(one: &Value, filter: &Filter) -> bool {
    fn is_named(value: &Value, name: &str) -> bool {
        let mut deeper = children(value).into_iter();
        text(value, "name") == Some(name) || deeper.any(|child| is_named(child, name))
    }
    is_ours(Some(&one.to_string())) && is_named(one, &filter.name)
}

/// Whether the name of a plugin, or the place of its code, is the filter's.
pub fn is_ours(text: Option<&str>) -> bool {
    text.is_some_and(|text| text.replace('-', "_").contains(OURS))
}

/// The text that Envoy gives to a wasm filter.
fn settings(configuration: &Value) -> Result<String, String> {
    let text = configuration.get("value").and_then(Value::as_str);
    match (kind(configuration), text) {
        ("google.protobuf.StringValue", Some(text)) => Ok(text.to_owned()),
        // Protobuf reads both alphabets, with padding and without.
        ("google.protobuf.BytesValue", Some(text)) => BASE64_STANDARD_NO_PAD
            .decode(
                text.trim_end_matches('=')
                    .replace('-', "+")
                    .replace('_', "/"),
            )
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| "its BytesValue is no text in Base64".to_owned()),
        _ => Err(
            "it must be a google.protobuf.StringValue whose `value` is a text of \
             JSON; a BytesValue will do as well, but of all else, a Struct among it, Envoy hands \
             over the encoded message"
                .to_owned(),
        ),
    }
}

/// The variables that Envoy's `VmConfig` gives a value.
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

/// Envoy's `FailurePolicy`, or the older `fail_open`. Envoy 1.40 takes an enum by its
/// name in any case or by its number, and a number or a `true` as a text as well.
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
