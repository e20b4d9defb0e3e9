//! The documents of a release's origin: the notices of licences, and the list of packages.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::packages::{PRODUCTS, Package};

/// The licences of all third-party packages.
pub fn notices(packages: &[Package]) -> String {
    let mut text = String::from(
        "The filter, the native module, the command and its image contain the following \
         packages. The native module and the command\nalso contain Rust's standard library (MIT \
         OR Apache-2.0). The command also contains musl (MIT, https://musl.libc.org, \ncopyright \
         2005-2020 Rich Felker, et al.), the native module LLVM's libunwind (Apache-2.0 WITH \
         LLVM-exception,\nhttps://libunwind.llvm.org) and parts of Zig's compiler_rt (MIT, \
         https://ziglang.org, copyright Zig contributors).\n",
    );
    for package in packages.iter().filter(|package| !package.own) {
        let _ = write!(
            text,
            "\n{}\n{} {} ({})\n\n",
            "=".repeat(72),
            package.name,
            package.version,
            package.license
        );
        let files = texts(&package.folder);
        if files.is_empty() {
            text.push_str("The package has no text of it: see https://spdx.org/licenses/.\n");
        }
        for file in files {
            text.push_str(&std::fs::read_to_string(file).unwrap_or_default());
            text.push('\n');
        }
    }
    text
}

/// The files of a package that hold licences.
fn texts(folder: &Path) -> Vec<PathBuf> {
    const BEGINNINGS: [&str; 6] = [
        "LICENSE",
        "LICENCE",
        "COPYING",
        "NOTICE",
        "COPYRIGHT",
        "UNLICENSE",
    ];
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_uppercase();
        BEGINNINGS
            .iter()
            .any(|beginning| name.starts_with(beginning))
    });
    files.sort();
    files
}

/// The list of packages as CycloneDX 1.5: the parts of each product.
pub fn sbom(packages: &[Package], version: &str) -> Value {
    let component = |kind: &str, package: &Package| {
        let mut component = json!({
            "type": kind,
            "bom-ref": reference(package),
            "name": package.name,
            "version": package.version,
            "licenses": [{"expression": package.license}],
        });
        if !package.own {
            component["purl"] = json!(reference(package));
        }
        if let Some(checksum) = &package.checksum {
            component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
        }
        component
    };
    let is_product = |package: &&Package| PRODUCTS.contains(&package.name.as_str());
    let products: Vec<&Package> = packages.iter().filter(is_product).collect();
    let inside: Vec<&Package> = packages.iter().filter(|package| !package.own).collect();
    let mut components: Vec<Value> = Vec::new();
    for product in products.iter().filter(|product| product.own) {
        components.push(component("application", product));
    }
    components.extend(inside.iter().map(|package| component("library", package)));
    let mut dependencies = vec![json!({
        "ref": RELEASE,
        "dependsOn": products.iter().map(|product| reference(product)).collect::<Vec<_>>(),
    })];
    for product in products {
        let parts = inside.iter().filter(|package| {
            package.products.contains(product.name.as_str()) && package.name != product.name
        });
        let parts: Vec<String> = parts.map(|package| reference(package)).collect();
        dependencies.push(json!({"ref": reference(product), "dependsOn": parts}));
    }
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {
            "type": "application", "bom-ref": RELEASE, "name": RELEASE, "version": version}},
        "components": components,
        "dependencies": dependencies,
    })
}

/// The name of the whole release in the list of packages.
const RELEASE: &str = "oss-origin-auth-release";

fn reference(package: &Package) -> String {
    match package.own {
        true => format!("{}@{}", package.name, package.version),
        false => format!("pkg:cargo/{}@{}", package.name, package.version),
    }
}
