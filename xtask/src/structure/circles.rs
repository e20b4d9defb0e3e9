//! Circular dependencies among the modules of a crate.
//!
//! A module and its own parent count as one, so arrows are between siblings: there is one from
//! `a` to `b` if `a::x` uses `crate::b::y`.

use std::collections::{BTreeMap, BTreeSet};

use super::rust::{is_of_word, masked, without_tests, words};
use super::source::Source;

/// The names from the crate's root to a module.
type Path = Vec<String>;

/// The arrows among the children of each module.
type Arrows = BTreeMap<Path, BTreeSet<(String, String)>>;

/// The circles of each crate: its folder of sources, and the arrows of the circle.
pub fn find(sources: &[Source]) -> Vec<(String, String)> {
    let mut circles = Vec::new();
    for source in sources {
        let Some(folder) = source.path.strip_suffix("Cargo.toml") else {
            continue;
        };
        let folder = format!("{folder}src/");
        for (parent, arrows) in arrows(&modules(sources, &folder)) {
            for circle in circles_of(&arrows) {
                let shown = circle.iter().map(|(from, to)| format!("{from} -> {to}"));
                let shown = Vec::from_iter(shown).join(", ");
                circles.push((format!("{folder}{}", parent.join("/")), shown));
            }
        }
    }
    circles
}

/// The modules of a crate that are files, without tests, and their masked text.
fn modules(sources: &[Source], folder: &str) -> BTreeMap<Path, String> {
    let mut modules = BTreeMap::new();
    let mut tests = Vec::new();
    for source in sources {
        let inner = source.path.strip_prefix(folder);
        let Some(inner) = inner.and_then(|path| path.strip_suffix(".rs")) else {
            continue;
        };
        let mut path: Path = inner.split('/').map(str::to_owned).collect();
        let is_root = ["lib", "main"].contains(&inner);
        if is_root || path.last().is_some_and(|name| name == "mod") {
            path.pop();
        }
        let untested = without_tests(&masked(&source.text));
        tests.extend(
            untested
                .test_files
                .into_iter()
                .map(|name| child(&path, name)),
        );
        modules.insert(path, untested.text);
    }
    modules.retain(|path, _| !tests.iter().any(|test| path.starts_with(test)));
    modules
}

fn child(parent: &[String], name: String) -> Path {
    let mut path = parent.to_vec();
    path.push(name);
    path
}

fn arrows(modules: &BTreeMap<Path, String>) -> Arrows {
    let mut arrows = Arrows::new();
    for (from, text) in modules {
        for to in used(from, text) {
            let alike = from.iter().zip(&to).take_while(|(one, other)| one == other);
            let common = alike.count();
            // The name may be an item of the parent.
            let is_module = modules.contains_key(to.get(..=common).unwrap_or_default());
            if let (Some(one), Some(other), true) = (from.get(common), to.get(common), is_module) {
                let among = arrows.entry(from[..common].to_vec()).or_default();
                among.insert((one.clone(), other.clone()));
            }
        }
    }
    arrows
}

/// The paths from the crate's root that a module names.
fn used(module: &[String], text: &str) -> Vec<Path> {
    let mut used = Vec::new();
    for word in ["crate", "super"] {
        for at in words(text, word) {
            // The second of `super::super` is part of the first.
            if !text[..at].ends_with("::") {
                tree(&text[at..], &[], &mut used);
            }
        }
    }
    used.iter().map(|path| absolute(module, path)).collect()
}

/// Reads a path, or the tree of a `use`; the text after it.
fn tree<'a>(text: &'a str, before: &[String], paths: &mut Vec<Path>) -> &'a str {
    let mut path = before.to_vec();
    let mut rest = text.trim_start();
    loop {
        if let Some(list) = rest.strip_prefix('{') {
            return branches(list, &path, paths);
        }
        let end = rest
            .find(|letter| !is_of_word(letter))
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if !name.is_empty() {
            path.push(name.to_owned());
        }
        match after.trim_start().strip_prefix("::") {
            Some(after) if !name.is_empty() => rest = after.trim_start(),
            _ => {
                paths.push(path);
                return after;
            }
        }
    }
}

/// Reads the part between the braces of a `use`.
fn branches<'a>(mut rest: &'a str, path: &[String], paths: &mut Vec<Path>) -> &'a str {
    loop {
        rest = tree(rest, path, paths);
        // The name may be followed by `as name`, or be `*`.
        let Some(at) = rest.find([',', '}']) else {
            return "";
        };
        let ends = rest[at..].starts_with('}');
        rest = rest[at + 1..].trim_start();
        if ends {
            return rest;
        }
    }
}

fn absolute(module: &[String], path: &[String]) -> Path {
    let mut absolute = module.to_vec();
    for name in path {
        match name.as_str() {
            "crate" => absolute.clear(),
            "super" => drop(absolute.pop()),
            "self" => {}
            _ => absolute.push(name.clone()),
        }
    }
    absolute
}

/// The arrows of each circle.
fn circles_of(arrows: &BTreeSet<(String, String)>) -> Vec<Vec<&(String, String)>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = arrows
        .iter()
        .map(|(from, _)| (from.as_str(), reached(arrows, from)))
        .collect();
    let meet = |one: &str, other: &str| {
        let leads = |from: &str, to: &str| reached.get(from).is_some_and(|all| all.contains(to));
        leads(one, other) && leads(other, one)
    };
    let mut circles: Vec<Vec<&(String, String)>> = Vec::new();
    for arrow in arrows.iter().filter(|(from, to)| meet(from, to)) {
        match circles
            .iter_mut()
            .find(|circle| meet(&circle[0].0, &arrow.0))
        {
            Some(circle) => circle.push(arrow),
            None => circles.push(vec![arrow]),
        }
    }
    circles
}

/// The modules that arrows lead to from a module.
fn reached<'a>(arrows: &'a BTreeSet<(String, String)>, from: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(from) = next.pop() {
        for (_, to) in arrows.iter().filter(|(one, _)| one == from) {
            if reached.insert(to.as_str()) {
                next.push(to);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crate_of(files: &[(&str, &str)]) -> Vec<Source> {
        let manifest = [("x/Cargo.toml", "")];
        let files = manifest.iter().chain(files);
        files
            .map(|(path, text)| Source {
                path: (*path).to_owned(),
                text: (*text).to_owned(),
            })
            .collect()
    }

    #[test]
    fn a_circle_is_found_in_any_spelling() {
        for (one, other) in [
            ("use crate::b::T;", "use super::a::{self, S};"),
            ("use crate::{c, b::{T, U}};", "fn f() { crate::a::f() }"),
            ("use super::b;", "use crate::{\n    c::C as D,\n    a,\n};"),
            ("fn f(x: super::b::T) {}", "pub use crate::a::*;"),
        ] {
            let files = [
                ("x/src/lib.rs", ""),
                ("x/src/a.rs", one),
                ("x/src/b.rs", other),
            ];
            let want = [("x/src/".to_owned(), "a -> b, b -> a".to_owned())];
            assert_eq!(find(&crate_of(&files)), want, "{one} {other}");
        }
    }

    #[test]
    fn a_circle_over_three_modules_is_found_in_its_folder() {
        let files = [
            ("x/src/a/mod.rs", "use b::B; use crate::other::O;"),
            ("x/src/a/b.rs", "use super::c::C;"),
            ("x/src/a/c.rs", "use crate::a::d;"),
            ("x/src/a/d/mod.rs", ""),
            ("x/src/a/d/e.rs", "use super::super::b::B;"),
            ("x/src/other.rs", ""),
        ];
        let want = "b -> c, c -> d, d -> b";
        assert_eq!(
            find(&crate_of(&files)),
            [("x/src/a".to_owned(), want.to_owned())]
        );
    }

    #[test]
    fn parents_tests_and_texts_make_no_circle() {
        let files = [
            ("x/src/lib.rs", "#[cfg(test)]\nmod t;"),
            ("x/src/a/mod.rs", "use crate::b::B; use e::E; pub struct S;"),
            ("x/src/a/e.rs", "use super::S; use crate::a::S as T;"),
            (
                "x/src/b.rs",
                "// use crate::a;\nconst T: &str = \"use crate::a;\"; pub(crate) use std::fmt;\n\
                 #[cfg(test)]\nmod tests { use crate::a::S; }",
            ),
            ("x/src/t.rs", "use crate::a;"),
        ];
        assert_eq!(find(&crate_of(&files)), []);
    }
}
