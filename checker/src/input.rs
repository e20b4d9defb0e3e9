//! The contents of files, grouped into the units that are checked together.

use oss_origin_auth_core::config::fields;
use serde_json::Value;

use crate::finding::{Finding, Place};
use crate::protobuf::field;
use crate::reader;

/// A file to check.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// The name that findings use for it; may be empty.
    pub name: &'a str,
    /// The text of the file.
    pub text: &'a str,
}

/// The origin of a document.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The name of the file.
    pub file: Option<String>,
    /// The number of the document, from 1, if the file has several.
    pub document: Option<usize>,
    /// The part of the document, if the document is a `ConfigMap`.
    pub part: Option<String>,
}

/// A document.
#[derive(Debug)]
pub struct Document {
    /// The origin of the document.
    pub source: Source,
    /// The content of the document.
    pub value: Value,
    /// Whether the document has merge keys.
    pub merges: bool,
}

/// The documents that are checked together.
#[derive(Debug, Default)]
pub struct Unit {
    /// The documents.
    pub documents: Vec<Document>,
    /// The text, if it may be the filter's own configuration, which is a file by itself.
    pub settings: Option<(Source, String)>,
    /// Whether a unit without our filter is an error.
    pub is_ours: bool,
}

impl Source {
    /// The origin as a place for findings.
    pub fn place(&self) -> Place {
        Place {
            file: self.file.clone(),
            document: self.document,
            part: self.part.clone(),
            ..Place::default()
        }
    }
}

/// Groups the contents of files. Each configuration of Envoy, and each of the filter, is a unit
/// of its own. Manifests, and the resources that an Envoy reads from files, form one unit.
pub fn units(files: &[File], findings: &mut Vec<Finding>) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut together = Unit::default();
    for file in files {
        let source = Source {
            file: Some(file.name.to_owned()).filter(|name| !name.is_empty()),
            ..Source::default()
        };
        let text = file.text.trim_start_matches('\u{feff}');
        let is_json = text.trim_start().starts_with('{');
        let documents = match reader::documents(text) {
            Ok(documents) => numbered(documents, &source),
            Err(problem) if !is_json => {
                findings.push(Finding::error(&source.place(), "", problem));
                continue;
            }
            // The parser of our own configuration has better error messages.
            Err(_) => Vec::new(),
        };
        for document in &documents {
            units.extend(embedded(document, findings));
        }
        let has = |names: &[&str]| {
            let all = names.iter();
            let mut all = all.flat_map(|name| documents.iter().map(move |one| (one, name)));
            all.any(|(one, name)| field(&one.value, name).is_some())
        };
        let is_bootstrap = has(&["static_resources", "admin", "node"]);
        if is_bootstrap && !has(&["dynamic_resources"]) {
            units.push(Unit {
                documents,
                settings: None,
                is_ours: true,
            });
        } else if !is_bootstrap && is_json && !has(&["kind", "resources", "dynamic_resources"]) {
            // A text that is not an object cannot be read; otherwise, one of our fields must be
            // there.
            let fields: Vec<&str> = fields::TOP.iter().map(|field| field.name).collect();
            let may_be = documents.is_empty() || has(&fields) || is_empty(&documents);
            units.push(Unit {
                documents,
                settings: may_be.then(|| (source.clone(), text.to_owned())),
                is_ours: true,
            });
        } else {
            together.documents.extend(documents);
        }
    }
    units.push(together);
    units
}

/// Whether the documents are only one empty object.
fn is_empty(documents: &[Document]) -> bool {
    let mut objects = documents.iter().map(|one| one.value.as_object());
    objects.all(|object| object.is_some_and(serde_json::Map::is_empty))
}

/// Documents with their places. A list of Kubernetes is split into its items.
fn numbered(documents: Vec<reader::Document>, source: &Source) -> Vec<Document> {
    let several = documents.len() > 1;
    let numbered = documents.into_iter().enumerate();
    let numbered = numbered.flat_map(|(index, document)| {
        let source = Source {
            document: several.then_some(index + 1),
            ..source.clone()
        };
        let merges = document.merges;
        let values = apart(document.value).into_iter();
        values.map(move |value| Document {
            source: source.clone(),
            value,
            merges,
        })
    });
    numbered.collect()
}

fn apart(document: Value) -> Vec<Value> {
    let is_list = document["kind"]
        .as_str()
        .is_some_and(|kind| kind.ends_with("List"));
    match document {
        Value::Object(mut fields) if is_list => match fields.remove("items") {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        },
        other => vec![other],
    }
}

/// The configurations of Envoy in a `ConfigMap`.
fn embedded(document: &Document, findings: &mut Vec<Finding>) -> Vec<Unit> {
    let data = match document.value["kind"].as_str() {
        Some("ConfigMap") => document.value["data"].as_object(),
        Some("Secret") => document.value["stringData"].as_object(),
        _ => None,
    };
    let owner = document.value["metadata"]["name"].as_str();
    let mut units = Vec::new();
    for (key, text) in data.into_iter().flatten() {
        let text = text.as_str().unwrap_or_default();
        if !OF_ENVOY.iter().any(|word| text.contains(word)) {
            continue;
        }
        let source = Source {
            part: Some(format!("{key} of {}", owner.unwrap_or("a ConfigMap"))),
            ..document.source.clone()
        };
        match reader::documents(text) {
            Ok(documents) => units.push(Unit {
                documents: numbered(documents, &source),
                settings: None,
                is_ours: false,
            }),
            Err(problem) => findings.push(Finding::error(&source.place(), "", problem)),
        }
    }
    units
}

/// The words that mark a configuration of Envoy as one to check.
const OF_ENVOY: [&str; 3] = ["static_resources", "staticResources", "typed_config"];
