//! The packages that a release is built from, and their licences.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::Result;
use crate::native::{self, ARCHITECTURES};
use crate::place::Place;
use crate::{module, wasm};

/// The licences that a dependency may have. An expression is allowed if one of its alternatives
/// has only these.
const LICENSES: [&str; 12] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// The packages of the products: the filter, the native module, the command, and the
/// certificates in the command's image.
pub const PRODUCTS: [&str; 4] = [
    "oss-origin-auth",
    module::PACKAGE,
    native::PACKAGE,
    "webpki-root-certs",
];

/// A package of crates.io, or one of ours.
pub struct Package {
    pub name: String,
    pub version: String,
    pub license: String,
    pub checksum: Option<String>,
    /// The folder of its source.
    pub folder: PathBuf,
    /// Whether the package is one of ours.
    pub own: bool,
    /// The products that contain it, by their packages.
    pub products: BTreeSet<&'static str>,
}

/// The packages that [`PRODUCTS`] contain, without those that only build or test them.
pub fn all(place: &Place) -> Result<Vec<Package>> {
    let mut command = place.cargo();
    command.args(["metadata", "--format-version", "1", "--locked"]);
    for architecture in ARCHITECTURES {
        for library in ["gnu", "musl"] {
            let target = format!("{architecture}-unknown-linux-{library}");
            command.args(["--filter-platform", &target]);
        }
    }
    command.args(["--filter-platform", wasm::TARGET]);
    let output = command
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let metadata: Value = serde_json::from_slice(&output.stdout).map_err(|error| {
        let problem = String::from_utf8_lossy(&output.stderr);
        format!("cargo metadata: {error}: {problem}")
    })?;
    let lock = std::fs::read_to_string(place.root.join("Cargo.lock"))
        .map_err(|error| format!("Cargo.lock: {error}"))?;
    let mut packages = Vec::new();
    let products = PRODUCTS.map(|product| (product, needed(&metadata, product)));
    for package in list(&metadata["packages"]) {
        let id = text(&package["id"]);
        let holding = products.iter().filter(|(_, ids)| ids.contains(&id));
        let products: BTreeSet<_> = holding.map(|(product, _)| *product).collect();
        if !products.is_empty() {
            packages.push(read(package, &lock, products));
        }
    }
    packages.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
    packages.iter().try_for_each(check)?;
    Ok(packages)
}

/// The ids of a package and of all its dependencies.
fn needed(metadata: &Value, name: &str) -> BTreeSet<String> {
    let nodes: BTreeMap<String, &Value> = list(&metadata["resolve"]["nodes"])
        .iter()
        .map(|node| (text(&node["id"]), node))
        .collect();
    let first = list(&metadata["packages"])
        .iter()
        .find(|package| package["name"] == name);
    let mut waiting: Vec<String> = first
        .map(|package| text(&package["id"]))
        .into_iter()
        .collect();
    let mut needed = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        let node = nodes.get(&id);
        if !needed.insert(id) {
            continue;
        }
        for dependency in node.map_or(&[][..], |node| list(&node["deps"])) {
            let runs = |kind: &Value| kind["kind"].is_null();
            if list(&dependency["dep_kinds"]).iter().any(runs) {
                waiting.push(text(&dependency["pkg"]));
            }
        }
    }
    needed
}

fn read(package: &Value, lock: &str, products: BTreeSet<&'static str>) -> Package {
    let (name, version) = (text(&package["name"]), text(&package["version"]));
    let manifest = PathBuf::from(text(&package["manifest_path"]));
    Package {
        // Old manifests separate alternatives by a slash.
        license: text(&package["license"]).replace('/', " OR "),
        checksum: checksum(lock, &name, &version),
        folder: manifest.parent().map(Path::to_owned).unwrap_or_default(),
        own: package["source"].is_null(),
        name,
        version,
        products,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn checksum(lock: &str, name: &str, version: &str) -> Option<String> {
    let head = format!("name = \"{name}\"\nversion = \"{version}\"\n");
    let entry = lock
        .split("[[package]]\n")
        .find(|entry| entry.starts_with(&head))?;
    let line = entry
        .lines()
        .find_map(|line| line.strip_prefix("checksum = \""))?;
    line.strip_suffix('"').map(str::to_owned)
}

fn check(package: &Package) -> Result {
    match is_allowed(&package.license) {
        true => Ok(()),
        false => Err(format!(
            "{} {} comes under `{}`, which is not on the list in {}",
            package.name,
            package.version,
            package.license,
            file!()
        )),
    }
}

fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace(['(', ')'], "");
    expression.split(" OR ").any(|alternative| {
        alternative
            .split(" AND ")
            .all(|license| LICENSES.contains(&license.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_good_if_one_alternative_is() {
        for (expression, good) in [
            ("MIT", true),
            ("MIT OR GPL-3.0", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("Apache-2.0 AND ISC", true),
            ("GPL-3.0", false),
            ("MIT AND GPL-3.0", false),
            ("", false),
        ] {
            assert_eq!(is_allowed(expression), good, "{expression}");
        }
    }

    #[test]
    fn the_products_are_taken_apart_and_what_tests_them_is_not_in_them() {
        let packages = all(&Place::here()).unwrap();
        let products = |name: &str| {
            let package = packages.iter().find(|package| package.name == name);
            package.map(|package| Vec::from_iter(package.products.clone()))
        };
        let [filter, native, command, certificates] = PRODUCTS;
        assert_eq!(products("proxy-wasm"), Some(vec![filter]));
        assert_eq!(products("rustls"), Some(vec![command]));
        assert_eq!(products("sha2"), Some(vec![filter, command, native]));
        assert_eq!(products("webpki-root-certs"), Some(vec![certificates]));
        for other in ["criterion", "walrus", "testkit", "windows-sys"] {
            assert_eq!(products(other), None, "{other}");
        }
    }
}
