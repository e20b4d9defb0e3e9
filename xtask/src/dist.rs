//! What a release consists of.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use testkit::tools;

use crate::command::{Result, cargo, step};
use crate::setup;

/// Licences under which a dependency may come. An expression is good if one of
/// its alternatives has only these.
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

struct Package {
    name: String,
    version: String,
    license: String,
    source: Option<String>,
    checksum: Option<String>,
    folder: PathBuf,
}

/// Writes target/dist/.
pub fn run() -> Result {
    setup::build_image()?;
    step("writing target/dist");
    let folder = tools::target().join("dist");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let packages = packages()?;
    for package in &packages {
        if !is_allowed(&package.license) {
            return Err(format!(
                "{} {} comes under `{}`, which is not on the list in xtask/src/dist.rs",
                package.name, package.version, package.license
            ));
        }
    }
    let sidecar = format!("sts-sidecar-{}-linux", std::env::consts::ARCH);
    let write = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))
    };
    let read = |path: PathBuf| {
        std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    write(
        "oss_origin_auth.wasm",
        &read(tools::image().join("oss_origin_auth.wasm"))?,
    )?;
    write(&sidecar, &read(tools::image().join("sts-sidecar"))?)?;
    executable(&folder.join(&sidecar))?;
    write(
        "configuration.schema.json",
        &read(tools::root().join("docs/configuration.schema.json"))?,
    )?;
    write("LICENSE", &read(tools::root().join("LICENSE"))?)?;
    write("NOTICES.txt", notices(&packages).as_bytes())?;
    let sbom = serde_json::to_string_pretty(&sbom(&packages)).map_err(|error| error.to_string())?;
    write("sbom.cdx.json", sbom.as_bytes())?;
    let mut sums = String::new();
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .map_err(|error| error.to_string())?
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    names.sort();
    for name in names {
        let digest = Sha256::digest(read(folder.join(&name))?);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = writeln!(sums, "{hex}  {}", name.display());
    }
    write("SHA256SUMS", sums.as_bytes())?;
    print!("{sums}");
    println!("{}", folder.display());
    Ok(())
}

/// What the filter and the sidecar are built from, without what only builds or
/// tests them.
fn packages() -> Result<Vec<Package>> {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--locked"])
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata: {error}"))?;
    let lock = std::fs::read_to_string(tools::root().join("Cargo.lock"))
        .map_err(|error| format!("Cargo.lock: {error}"))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let nodes: BTreeMap<String, Value> = list(&metadata["resolve"]["nodes"])
        .into_iter()
        .map(|node| (text(&node["id"]), node))
        .collect();
    let all = list(&metadata["packages"]);
    let mut wanted: Vec<String> = all
        .iter()
        .filter(|package| {
            ["oss-origin-auth", "sts-sidecar"].contains(&text(&package["name"]).as_str())
        })
        .map(|package| text(&package["id"]))
        .collect();
    let mut at = 0;
    while let Some(id) = wanted.get(at).cloned() {
        at += 1;
        for dependency in nodes
            .get(&id)
            .map(|node| list(&node["deps"]))
            .unwrap_or_default()
        {
            let runs = |kind: &Value| kind["kind"].is_null();
            let id = text(&dependency["pkg"]);
            if list(&dependency["dep_kinds"]).iter().any(runs) && !wanted.contains(&id) {
                wanted.push(id);
            }
        }
    }
    let mut packages: Vec<Package> = all
        .iter()
        .filter(|package| wanted.contains(&text(&package["id"])))
        .map(|package| {
            let (name, version) = (text(&package["name"]), text(&package["version"]));
            Package {
                license: text(&package["license"]),
                source: package["source"].as_str().map(str::to_owned),
                checksum: checksum(&lock, &name, &version),
                folder: PathBuf::from(text(&package["manifest_path"]))
                    .parent()
                    .map(Path::to_owned)
                    .unwrap_or_default(),
                name,
                version,
            }
        })
        .collect();
    packages.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
    Ok(packages)
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

fn is_allowed(expression: &str) -> bool {
    // Old manifests separate alternatives by a slash.
    let expression = expression.replace('/', " OR ").replace(['(', ')'], "");
    expression.split(" OR ").any(|alternative| {
        alternative
            .split(" AND ")
            .all(|license| LICENSES.contains(&license.trim()))
    })
}

fn notices(packages: &[Package]) -> String {
    let mut text = String::from("The filter and the sidecar contain the following packages.\n");
    for package in packages.iter().filter(|package| package.source.is_some()) {
        let _ = write!(
            text,
            "\n{}\n{} {} ({})\n\n",
            "=".repeat(72),
            package.name,
            package.version,
            package.license
        );
        let mut files: Vec<PathBuf> = std::fs::read_dir(&package.folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                let name = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .to_uppercase();
                [
                    "LICENSE",
                    "LICENCE",
                    "COPYING",
                    "NOTICE",
                    "COPYRIGHT",
                    "UNLICENSE",
                ]
                .iter()
                .any(|beginning| name.starts_with(beginning))
            })
            .collect();
        files.sort();
        for file in files {
            text.push_str(&std::fs::read_to_string(file).unwrap_or_default());
            text.push('\n');
        }
    }
    text
}

/// CycloneDX 1.5.
fn sbom(packages: &[Package]) -> Value {
    let own = |package: &&Package| package.source.is_none();
    let version = packages
        .iter()
        .find(own)
        .map(|package| package.version.as_str());
    let components: Vec<Value> = packages
        .iter()
        .filter(|package| package.source.is_some())
        .map(|package| {
            let purl = format!("pkg:cargo/{}@{}", package.name, package.version);
            let mut component = json!({
                "type": "library",
                "bom-ref": purl,
                "name": package.name,
                "version": package.version,
                "purl": purl,
                "licenses": [{"expression": package.license.replace('/', " OR ")}],
            });
            if let Some(checksum) = &package.checksum {
                component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
            }
            component
        })
        .collect();
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {
            "type": "application", "name": "oss-origin-auth", "version": version}},
        "components": components,
    })
}

fn executable(path: &Path) -> Result {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
        .map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_good_if_one_alternative_is() {
        for (expression, good) in [
            ("MIT", true),
            ("MIT OR GPL-3.0", true),
            ("MIT/Apache-2.0", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("Apache-2.0 AND ISC", true),
            ("GPL-3.0", false),
            ("MIT AND GPL-3.0", false),
            ("", false),
        ] {
            assert_eq!(is_allowed(expression), good, "{expression}");
        }
    }
}
