//! docs/CONFIGURATION.md, taken apart.

use serde_json::Value;

use crate::read;

/// A part of the document, from one heading of the second level to the next.
pub struct Section {
    pub title: String,
    pub rows: Vec<Row>,
    pub examples: Vec<Example>,
}

/// What the document says of a setting.
#[derive(Clone)]
pub struct Row {
    pub name: String,
    pub values: String,
    pub default: String,
}

/// A configuration that the document shows.
pub struct Example {
    pub language: String,
    pub text: String,
    /// With the smallest configuration below it, where the section says that it goes there.
    pub whole: String,
    /// The error that the document shows, if it says that Envoy refuses the example.
    pub error: Option<String>,
}

/// A section that has it shows only what an example adds.
const FRAGMENTS: &str = "\nThese examples go into the smallest configuration.\n";
/// Stands before an example that is wrong.
const REFUSED: &str = "Envoy refuses this:";
const HEADER: &str = "| setting | values | default | meaning |";

/// Reads the document.
pub fn sections() -> Vec<Section> {
    let document = read("docs/CONFIGURATION.md");
    let mut sections: Vec<_> = document.split("\n## ").skip(1).map(section).collect();
    let smallest = smallest_of(&sections);
    for (section, text) in sections.iter_mut().zip(document.split("\n## ").skip(1)) {
        let fragments = section.examples.iter_mut();
        let fragments = fragments.filter(|one| one.language == "json" && text.contains(FRAGMENTS));
        for example in fragments {
            let mut whole = smallest.clone();
            lay_over(&mut whole, json(&example.text));
            example.whole = whole.to_string();
        }
    }
    sections
}

/// The smallest configuration.
pub fn smallest() -> Value {
    smallest_of(&sections())
}

fn smallest_of(sections: &[Section]) -> Value {
    let section = sections
        .iter()
        .find(|one| one.title == "The smallest configuration");
    json(&section.unwrap().examples[0].text)
}

fn section(text: &str) -> Section {
    let mut rows = Vec::new();
    let mut lines = text.lines();
    while lines.any(|line| line == HEADER) {
        let table = lines
            .by_ref()
            .skip(1)
            .take_while(|line| line.starts_with('|'));
        rows.extend(table.map(|line| {
            let cells: Vec<_> = line.split('|').map(|cell| cell.replace('`', "")).collect();
            assert_eq!(cells.len(), 6, "{line}");
            assert!(!cells[4].trim().is_empty(), "{line}");
            let cell = |at: usize| cells[at].trim().to_owned();
            Row {
                name: cell(1),
                values: cell(2),
                default: cell(3),
            }
        }));
    }
    let mut examples: Vec<Example> = Vec::new();
    let parts: Vec<_> = text.split("```").collect();
    for pair in parts.chunks_exact(2) {
        let (language, text) = pair[1].split_once('\n').unwrap();
        if language == "text" {
            let wrong = examples.last_mut().unwrap();
            assert_eq!(pair[0], "\n\n", "an error stands right behind its example");
            assert!(
                wrong.error.is_some(),
                "no \"{REFUSED}\" before: {}",
                wrong.text
            );
            wrong.error = Some(text.trim_end().to_owned());
            continue;
        }
        let is_wrong = pair[0].trim_end().ends_with(REFUSED);
        examples.push(Example {
            language: language.to_owned(),
            text: text.to_owned(),
            whole: text.to_owned(),
            error: is_wrong.then(String::new),
        });
    }
    Section {
        title: text.lines().next().unwrap().to_owned(),
        rows,
        examples,
    }
}

/// Parses an example.
pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Puts the fields of an object into another one.
fn lay_over(below: &mut Value, above: Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            for (name, value) in above {
                lay_over(below.entry(name).or_insert(Value::Null), value);
            }
        }
        (below, above) => *below = above,
    }
}
