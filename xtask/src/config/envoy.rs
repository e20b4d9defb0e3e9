//! What a configuration of Envoy has of ours, wherever it stands and however it is
//! spelled: protobuf's JSON knows `xds_matcher` and `xdsMatcher`, and a message of a
//! known type as well as a `TypedStruct`.

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

use crate::Result;

const OURS: &str = "oss_origin_auth";

/// What a document of Envoy has of ours.
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
    /// Whether a `match_delegate` around it skips it for some answers.
    pub delegated: bool,
    /// The names of those around it, by which routes give them other matchers.
    delegates: Vec<String>,
}

/// What stands around a value in the document.
#[derive(Clone, Copy, Default)]
struct Context<'a> {
    /// Whether the filter in which it stands has our name.
    named: bool,
    /// The name of that filter.
    filter: &'a str,
    delegates: Option<&'a Delegate<'a>>,
    /// The filter for which a route has this.
    of_route: Option<&'a str>,
}

/// A `match_delegate`, and those around it.
struct Delegate<'a> {
    name: &'a str,
    matcher: &'a Value,
    around: Option<&'a Delegate<'a>>,
}

impl Found {
    /// JSON that YAML cannot read has nothing of ours here: the parser of our own
    /// configuration says better what is wrong with it.
    pub fn new(text: &str) -> Result<Found> {
        let mut found = Found::default();
        let documents = serde_yaml_ng::Deserializer::from_str(text).map(Value::deserialize);
        let documents: std::result::Result<Vec<Value>, _> = documents.collect();
        let documents = match documents {
            Ok(documents) => documents,
            Err(_) if text.trim_start().starts_with('{') => Vec::new(),
            Err(error) => return Err(format!("it cannot be read: {error}")),
        };
        for document in &documents {
            found.collect(document, Context::default())?;
        }
        for filter in &mut found.filters {
            for (name, matcher) in &found.of_routes {
                if filter.delegates.contains(name) {
                    check_matcher(matcher).map_err(|problem| {
                        format!("typed_per_filter_config of {name}: {problem}")
                    })?;
                    filter.delegated = true;
                }
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
            context.named = name == OURS;
            context.filter = name;
        }
        if let Some(configuration) = field(value, "configuration") {
            let vm = field(value, "vm_config").map(Value::to_string);
            let ours =
                context.named || name == Some(OURS) || vm.is_some_and(|vm| vm.contains(OURS));
            if ours {
                self.add(configuration, context.delegates)?;
            }
        }
        let settings = field(value, "filter_metadata")
            .and_then(|metadata| metadata.get(OURS)?.get("config")?.as_str());
        self.metadata.extend(settings.map(str::to_owned));

        let matcher = field(value, "xds_matcher");
        if let (Some(filter), Some(matcher)) = (context.of_route, matcher) {
            self.of_routes.push((filter.to_owned(), matcher.clone()));
        }
        for (name, inner) in fields {
            if is(name, "extension_config") {
                let delegate = Delegate {
                    name: context.filter,
                    // Without a matcher of its own it skips nothing.
                    matcher: matcher.unwrap_or(&Value::Null),
                    around: context.delegates,
                };
                let delegates = Some(&delegate);
                self.collect(
                    inner,
                    Context {
                        delegates,
                        ..context
                    },
                )?;
            } else if is(name, "typed_per_filter_config") {
                for (filter, inner) in inner.as_object().into_iter().flatten() {
                    let of_route = Some(filter.as_str());
                    self.collect(
                        inner,
                        Context {
                            of_route,
                            ..context
                        },
                    )?;
                }
            } else {
                self.collect(inner, context)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, configuration: &Value, delegates: Option<&Delegate>) -> Result {
        let around = || std::iter::successors(delegates, |delegate| delegate.around);
        let mut matchers = around().filter(|delegate| !delegate.matcher.is_null());
        matchers.try_for_each(|delegate| check_matcher(delegate.matcher))?;
        self.filters.push(Filter {
            text: text_of(configuration)?,
            delegated: around().any(|delegate| !delegate.matcher.is_null()),
            delegates: around().map(|delegate| delegate.name.to_owned()).collect(),
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
    let camel = name.split('_').enumerate().flat_map(|(index, word)| {
        let (first, rest) = word.split_at(word.len().min(1));
        let first = match index {
            0 => first.to_owned(),
            _ => first.to_uppercase(),
        };
        [first, rest.to_owned()]
    });
    key == name || key == camel.collect::<String>()
}
