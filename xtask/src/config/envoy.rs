//! What a configuration of Envoy has of ours, wherever it stands and however it is
//! spelled: protobuf's JSON knows `xds_matcher` and `xdsMatcher`, and a message of a
//! known type as well as a `TypedStruct`.

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

use crate::command::Result;

const OURS: &str = "oss_origin_auth";

/// What documents of Envoy have of ours.
#[derive(Debug, Default)]
pub struct Found {
    pub filters: Vec<Filter>,
    /// Settings in the metadata of routes and clusters.
    pub metadata: Vec<String>,
    /// Matchers that routes give to a `match_delegate`, with its name.
    of_routes: Vec<(String, Value)>,
}

#[derive(Debug)]
pub struct Filter {
    pub text: String,
    /// The names of the `match_delegate`s around it, by which routes give them other
    /// matchers.
    pub delegates: Vec<String>,
}

/// What stands around a value in the document.
#[derive(Clone, Copy, Default)]
struct Context<'a> {
    /// The name of the filter in which it stands.
    filter: &'a str,
    delegates: Option<&'a Delegate<'a>>,
    /// The filter for which a route has this.
    of_route: Option<&'a str>,
}

/// A `match_delegate`, and those around it.
struct Delegate<'a> {
    name: &'a str,
    /// The message, with its matcher in it.
    message: &'a Value,
    around: Option<&'a Delegate<'a>>,
}

/// The documents of a text, which is YAML or JSON.
pub fn documents(text: &str) -> Result<Vec<Value>> {
    let documents = serde_yaml_ng::Deserializer::from_str(text).map(Value::deserialize);
    let documents: std::result::Result<_, _> = documents.collect();
    documents.map_err(|error| format!("it cannot be read: {error}"))
}

impl Found {
    pub fn new(documents: &[Value]) -> Result<Found> {
        let mut found = Found::default();
        for document in documents {
            found.collect(document, Context::default())?;
        }
        // A route may stand before the filter.
        let delegates = || found.filters.iter().flat_map(|filter| &filter.delegates);
        for (name, matcher) in &found.of_routes {
            if delegates().any(|delegate| delegate == name) {
                check_matcher(matcher)
                    .map_err(|problem| format!("typed_per_filter_config of {name}: {problem}"))?;
            }
        }
        Ok(found)
    }

    fn collect<'a>(&mut self, value: &'a Value, mut context: Context<'a>) -> Result {
        let fields = match value {
            Value::Object(fields) => fields,
            Value::Array(items) => {
                let mut items = items.iter();
                return items.try_for_each(|item| self.collect(item, context));
            }
            _ => return Ok(()),
        };
        let name = value.get("name").and_then(Value::as_str);
        if let (Some(name), Some(_)) = (name, field(value, "typed_config")) {
            context.filter = name;
        }
        if let Some(configuration) = field(value, "configuration") {
            let vm = field(value, "vm_config").map(Value::to_string);
            let of_vm = vm.is_some_and(|vm| vm.contains(OURS));
            if context.filter == OURS || name == Some(OURS) || of_vm {
                self.add(configuration, context.delegates)?;
            }
        }
        let settings = field(value, "filter_metadata")
            .and_then(|metadata| metadata.get(OURS)?.get("config")?.as_str());
        self.metadata.extend(settings.map(str::to_owned));
        if let (Some(filter), Some(matcher)) = (context.of_route, field(value, "xds_matcher")) {
            self.of_routes.push((filter.to_owned(), matcher.clone()));
        }

        for (name, inner) in fields {
            if is(name, "extension_config") {
                let delegate = Delegate {
                    name: context.filter,
                    message: value,
                    around: context.delegates,
                };
                let mut context = context;
                context.delegates = Some(&delegate);
                self.collect(inner, context)?;
            } else if is(name, "typed_per_filter_config") {
                let mut context = context;
                for (filter, inner) in inner.as_object().into_iter().flatten() {
                    context.of_route = Some(filter);
                    self.collect(inner, context)?;
                }
            } else {
                self.collect(inner, context)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, configuration: &Value, delegates: Option<&Delegate>) -> Result {
        let mut names = Vec::new();
        for delegate in std::iter::successors(delegates, |delegate| delegate.around) {
            // Envoy reads the deprecated one as well. With none it leaves the filter out
            // altogether.
            let matchers = ["xds_matcher", "matcher"].map(|name| field(delegate.message, name));
            match matchers {
                [None, None] => check_matcher(&Value::Null)?,
                some => some.into_iter().flatten().try_for_each(check_matcher)?,
            }
            names.push(delegate.name.to_owned());
        }
        self.filters.push(Filter {
            text: text_of(configuration)?,
            delegates: names,
        });
        Ok(())
    }
}

/// The text that Envoy gives to a wasm filter.
fn text_of(configuration: &Value) -> Result<String> {
    let wrong = |problem: &str| format!("a filter's configuration is wrong: {problem}");
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
            .ok_or_else(|| wrong("its BytesValue is no text in Base64")),
        _ => Err(wrong(
            "`configuration` must be a google.protobuf.StringValue whose `value` is a text of \
             JSON; a BytesValue will do as well, but of all else, a Struct among it, Envoy hands \
             over the encoded message",
        )),
    }
}

/// The filter may be left out where OSS's answer is good, and nowhere else: the
/// rest it must see, to replace credentials and to say why OSS refused.
fn check_matcher(matcher: &Value) -> Result {
    let by_class = || -> Option<bool> {
        let tree = field(matcher, "matcher_tree")?;
        let input = field(field(tree, "input")?, "typed_config")?;
        let map = field(field(tree, "exact_match_map")?, "map")?.as_object()?;
        let of_2xx = map.keys().all(|class| class == "2xx");
        Some(kind(input) == "envoy.type.matcher.v3.HttpResponseStatusCodeClassMatchInput" && of_2xx)
    };
    let otherwise = [Some(matcher), field(matcher, "matcher_tree")]
        .into_iter()
        .flatten()
        .any(|place| field(place, "on_no_match").is_some());
    match by_class() == Some(true) && !otherwise {
        true => Ok(()),
        false => Err(
            "envoy.filters.http.match_delegate around the filter may skip it for the status class \
             2xx alone, as in envoy/edge.yaml; leave nothing but `2xx` in its exact_match_map, or \
             let the filter stand there alone"
                .to_owned(),
        ),
    }
}

/// The type of a message in an `Any`.
fn kind(any: &Value) -> &str {
    let url = any.get("@type").and_then(Value::as_str).unwrap_or_default();
    let kind = url.rsplit('/').next().unwrap_or_default();
    match kind {
        "xds.type.v3.TypedStruct" | "udpa.type.v1.TypedStruct" => {
            let url = field(any, "type_url").and_then(Value::as_str);
            url.and_then(|url| url.rsplit('/').next()).unwrap_or(kind)
        }
        _ => kind,
    }
}

/// A field of a message by its name in snake case. `null` is none.
fn field<'a>(message: &'a Value, name: &str) -> Option<&'a Value> {
    let mut fields = message.as_object()?.iter();
    let found = fields.find(|(key, value)| is(key, name) && !value.is_null());
    found.map(|(_, value)| value)
}

/// Whether a key of JSON is a field's name, in snake or lower camel case.
fn is(key: &str, name: &str) -> bool {
    let mut snake = String::new();
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake == name
}
