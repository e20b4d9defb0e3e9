//! docs/CONFIGURATION.md: its tables are those of the code, and its examples load.

use std::collections::BTreeMap;

use oss_origin_auth_core::config::fields::{self, Field, Kind};
use oss_origin_auth_core::config::{Config, ConfigError, Facts, RouteCache, Settings, Treatment};
use oss_origin_auth_core::oss::headers;
use serde_json::Value;

use crate::document::{Row, json, sections, smallest};
use crate::read;

/// The parser of the filter, in an Envoy that has every variable.
fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text.as_bytes(), |_| Some("a-value".into()))
}

/// Every setting by the name that the document gives it.
fn settings() -> BTreeMap<String, &'static Field> {
    let mut found = BTreeMap::new();
    walk(fields::TOP, "", &mut |name, field| {
        found.insert(name, field);
    });
    found
}

/// Calls `visit` for each setting among `fields`, and for those inside.
fn walk(fields: &'static [Field], place: &str, visit: &mut impl FnMut(String, &'static Field)) {
    for field in fields {
        visit(name_of(place, field.name), field);
        if let Some((place, inner)) = inside(place, field) {
            walk(inner, &place, visit);
        }
    }
}

/// Where the settings of a route stand: the document names them without `defaults` and
/// `routes.*`.
const OF_ROUTE: &str = "route";

/// `credentials` is a name on both levels.
fn name_of(place: &str, name: &str) -> String {
    match (place, name) {
        ("", name) => name.to_owned(),
        (OF_ROUTE, "credentials") => "credentials (of a route)".into(),
        (OF_ROUTE, name) => name.to_owned(),
        (place, name) => format!("{place}.{name}"),
    }
}

/// The fields inside a setting, and their place.
fn inside(place: &str, field: &'static Field) -> Option<(String, &'static [Field])> {
    let is_route = place.is_empty() && matches!(field.name, "defaults" | "routes");
    match field.kind {
        Kind::Object(inner) | Kind::Named(inner) if is_route => Some((OF_ROUTE.into(), inner)),
        Kind::Object(inner) => Some((name_of(place, field.name), inner)),
        Kind::Named(inner) => Some((format!("{}.*", name_of(place, field.name)), inner)),
        Kind::Rules(inner) => Some((format!("{}[]", name_of(place, field.name)), inner)),
        _ => None,
    }
}

/// The settings that a configuration has, each with its JSON pointer.
fn settings_in(
    value: &Value,
    fields: &'static [Field],
    place: &str,
    pointer: &str,
    found: &mut Vec<(String, String)>,
) {
    let known = |name: &str| fields.iter().find(|field| field.name == name);
    for (name, value) in value.as_object().unwrap() {
        // A wrong example may have another one.
        let Some(field) = known(name) else { continue };
        let pointer = format!("{pointer}/{name}");
        found.push((name_of(place, name), pointer.clone()));
        let Some((place, inner)) = inside(place, field) else {
            continue;
        };
        match field.kind {
            Kind::Named(_) => {
                for (name, value) in value.as_object().unwrap() {
                    settings_in(value, inner, &place, &format!("{pointer}/{name}"), found);
                }
            }
            Kind::Rules(_) => {
                for (number, value) in value.as_array().unwrap().iter().enumerate() {
                    settings_in(value, inner, &place, &format!("{pointer}/{number}"), found);
                }
            }
            _ => settings_in(value, inner, &place, &pointer, found),
        }
    }
}

/// How the document writes the values of a setting.
fn values_of(kind: &Kind) -> String {
    match kind {
        Kind::Text | Kind::RequiredText => "string".into(),
        Kind::Choice(of) | Kind::RequiredChoice(of) => of.join(", "),
        Kind::Flag(_) | Kind::RequiredFlag => "true, false".into(),
        Kind::Integer { least, most, .. } => format!("{least} to {most}"),
        Kind::Texts(_) => "list of strings".into(),
        Kind::Choices { of, .. } => format!("list of {}", of.join(", ")),
        Kind::Headers => "object of strings".into(),
        Kind::Object(_) => "object".into(),
        Kind::Named(_) => "objects by name".into(),
        Kind::Rules(_) => "list of objects".into(),
    }
}

/// How the document writes a default, where the table of fields has one.
fn default_of(kind: &Kind) -> Option<String> {
    Some(match kind {
        Kind::RequiredText | Kind::RequiredChoice(_) | Kind::RequiredFlag => "required".into(),
        Kind::Choice(of) => of[0].into(),
        Kind::Flag(default) => default.to_string(),
        Kind::Integer { default, .. } => (*default)?.to_string(),
        Kind::Texts(default) | Kind::Choices { default, .. } => match default {
            [] => "none".into(),
            names => names.join(", "),
        },
        Kind::Headers => "none".into(),
        Kind::Text | Kind::Object(_) | Kind::Named(_) | Kind::Rules(_) => return None,
    })
}

#[test]
fn every_setting_has_one_row_with_its_values_and_its_default() {
    let settings = settings();
    let mut listed = BTreeMap::new();
    for row in sections().into_iter().flat_map(|section| section.rows) {
        let name = row.name.clone();
        assert!(settings.contains_key(&name), "{name} is no setting");
        assert!(
            listed.insert(name.clone(), row).is_none(),
            "{name} stands twice"
        );
    }
    for (name, field) in settings {
        let row = listed
            .get(&name)
            .unwrap_or_else(|| panic!("{name} is missing"));
        let values = row
            .values
            .split(", ")
            .next()
            .filter(|values| *values == "string");
        assert_eq!(
            values.unwrap_or(&row.values),
            values_of(&field.kind),
            "{name}"
        );
        if let Some(default) = default_of(&field.kind) {
            assert_eq!(row.default, default, "{name}");
        }
    }
}

#[test]
fn every_setting_has_an_example_in_its_section() {
    for section in sections() {
        let mut shown = Vec::new();
        let good = section.examples.iter().filter(|one| one.error.is_none());
        for example in good.filter(|one| one.language == "json") {
            settings_in(&json(&example.text), fields::TOP, "", "", &mut shown);
        }
        for row in &section.rows {
            let has = shown.iter().any(|(name, _)| *name == row.name);
            assert!(has, "{}: no example has {}", section.title, row.name);
        }
    }
}

#[test]
fn every_example_loads_or_is_refused_with_the_error_that_is_shown() {
    let (mut good, mut wrong) = (0, 0);
    for example in sections().iter().flat_map(|section| &section.examples) {
        match (
            example.language.as_str(),
            parse(&example.whole),
            &example.error,
        ) {
            ("yaml", ..) => continue,
            ("json", Ok(_), None) => good += 1,
            ("json", Err(error), Some(shown)) => {
                assert_eq!(error.to_string(), *shown, "{}", example.text);
                wrong += 1;
            }
            (language, result, _) => panic!("{language} {:?}: {}", result.err(), example.text),
        }
    }
    assert!(good > 20 && wrong > 3, "{good}, {wrong}");
}

/// Each row whose setting an example has, and where it stands in this example.
fn rows_with_examples() -> Vec<(Row, Value, String)> {
    let mut found = Vec::new();
    for section in sections() {
        for row in &section.rows {
            let good = section.examples.iter().filter(|one| one.error.is_none());
            for example in good.filter(|one| one.language == "json") {
                let whole = json(&example.whole);
                let mut settings = Vec::new();
                settings_in(&json(&example.text), fields::TOP, "", "", &mut settings);
                let of_row = settings.into_iter().filter(|(name, _)| *name == row.name);
                found.extend(of_row.map(|(_, pointer)| (row.clone(), whole.clone(), pointer)));
            }
        }
    }
    found
}

/// A default that the document gives as a value is what the parser takes without the setting.
#[test]
fn a_default_changes_nothing() {
    let kinds = settings();
    let mut tried = 0;
    for (row, whole, pointer) in rows_with_examples() {
        // `/credentials/media/sidecar/path`: of the entry `media`.
        let entry = pointer.split('/').nth(2).unwrap_or_default();
        let text = row.default.replace("<name>", entry);
        let default = match kinds[&row.name].kind {
            Kind::Text if text.contains(' ') || text == "none" || text == "nothing" => continue,
            Kind::Text if text == "required" => continue,
            Kind::Text | Kind::Choice(_) => Value::from(text),
            Kind::Flag(_)
            | Kind::Integer {
                default: Some(_), ..
            } => json(&text),
            Kind::Choices {
                default: [_, ..], ..
            } => text.split(", ").collect(),
            _ => continue,
        };
        let (mut given, mut absent) = (whole.clone(), whole);
        *given.pointer_mut(&pointer).unwrap() = default;
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = absent.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        parent.remove(name).unwrap();
        let parsed = |value: Value| format!("{:?}", parse(&value.to_string()));
        assert_eq!(parsed(given), parsed(absent), "{pointer}");
        tried += 1;
    }
    assert!(tried > 20, "{tried}");
}

#[test]
fn what_is_required_is_missed() {
    let smallest = smallest();
    for row in sections().into_iter().flat_map(|section| section.rows) {
        let Some(Value::String(_)) = smallest["defaults"].get(&row.name) else {
            continue;
        };
        let mut less = smallest.clone();
        less["defaults"].as_object_mut().unwrap().remove(&row.name);
        let error = parse(&less.to_string()).unwrap_err();
        assert_eq!(error.field, format!("defaults.{}", row.name));
        assert!(row.default.starts_with("required"), "{}", row.name);
    }
}

/// `string, 3 to 63 bytes`
#[test]
fn a_text_may_be_as_long_as_its_row_says() {
    let mut tried = 0;
    for (row, whole, pointer) in rows_with_examples() {
        let Some((_, limits)) = row.values.split_once("string, ") else {
            continue;
        };
        let limits = limits.strip_suffix(" bytes").unwrap();
        let (least, most) = match limits.strip_prefix("up to ") {
            Some(most) => (None, most),
            None => limits
                .split_once(" to ")
                .map(|(least, most)| (Some(least), most))
                .unwrap(),
        };
        let most: usize = most.parse().unwrap();
        let loads = |text: String| {
            let mut changed = whole.clone();
            *changed.pointer_mut(&pointer).unwrap() = text.into();
            parse(&changed.to_string()).is_ok()
        };
        let shown = whole.pointer(&pointer).unwrap().as_str().unwrap();
        let of = |length: usize| format!("{shown:a<length$}");
        assert!(
            loads(of(most)) && !loads(of(most + 1)),
            "{pointer}: at most {most}"
        );
        if let Some(least) = least.map(|least| least.parse::<usize>().unwrap()) {
            let of = |length: usize| "a".repeat(length);
            assert!(
                loads(of(least)) && !loads(of(least - 1)),
                "{pointer}: at least {least}"
            );
        }
        tried += 1;
    }
    assert!(tried > 6, "{tried}");
}

#[test]
fn the_example_of_metadata_is_read() {
    let sections = sections();
    let section = sections.iter().find(|one| one.title == "Metadata").unwrap();
    let [of_filter, of_route] = &section.examples[..] else {
        panic!("two examples")
    };
    let config = parse(&of_filter.whole).unwrap();
    let envoy: Value = serde_yaml_ng::from_str(&of_route.text).unwrap();
    let text = envoy["metadata"]["filter_metadata"]["oss_origin_auth"]["config"].as_str();
    let facts = Facts {
        route_metadata: text.unwrap().into(),
        ..Facts::default()
    };
    let settings = RouteCache::default().settings(&config, facts);
    let Settings::Known(Treatment::Sign(known)) = settings else {
        panic!("{settings:?}")
    };
    assert_eq!(json(text.unwrap())["bucket"], *known.bucket);
}

/// The list of "Which setting counts".
#[test]
fn the_first_place_that_has_a_setting_counts() {
    let own = r#"{"key_prefix": "routes/", "index_document": "index.html"}"#;
    let (of_route, of_cluster) = (
        r#"{"key_prefix": "route/"}"#,
        r#"{"key_prefix": "cluster/", "cause_header": true}"#,
    );
    for (routes, route, cluster, counts) in [
        (own, of_route, of_cluster, ("route/", None)),
        (own, "", of_cluster, ("routes/", Some("index.html"))),
        ("{}", "", of_cluster, ("cluster/", None)),
        ("{}", "", "", ("defaults/", None)),
    ] {
        let mut whole = smallest();
        whole["metadata"] = vec!["route", "cluster"].into();
        whole["defaults"]["key_prefix"] = "defaults/".into();
        whole["routes"]["photos"] = json(routes);
        let config = parse(&whole.to_string()).unwrap();
        let facts = Facts {
            route_name: "photos".into(),
            route_metadata: route.into(),
            cluster_metadata: cluster.into(),
            rule: None,
        };
        let settings = RouteCache::default().settings(&config, facts);
        let Settings::Known(Treatment::Sign(known)) = settings else {
            panic!("{settings:?}")
        };
        let rules = &known.rules;
        assert_eq!(
            (&*rules.key_prefix, rules.index_document.as_deref()),
            counts
        );
        // Which the other places do not have.
        assert_eq!(rules.cause_header, !cluster.is_empty());
    }
}

#[test]
fn the_headers_that_leave_are_listed() {
    let document = read("docs/CONFIGURATION.md");
    for (row, known) in [
        ("\n| every one |", headers::OF_REQUESTS),
        ("\n| `PUT`, `POST`, `DELETE` besides |", headers::OF_WRITES),
    ] {
        let row = document.split(row).nth(1).unwrap();
        let row = row.lines().next().unwrap();
        let mut listed: Vec<_> = row.split('`').skip(1).step_by(2).collect();
        let mut known = known.names.to_vec();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known);
    }
}
