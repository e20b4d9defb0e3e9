//! The content of the archives and the images of a release.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

use super::image::Image;
use super::tree::Tree;
use crate::command::Result;
use crate::module;
use crate::place::Place;

/// The command's name, and its name when it was a program of its own, which works for one more
/// version.
const NAME: &str = "oss-origin-auth";
const OLD_NAME: &str = "sts-sidecar";

/// The files to start, to configure Envoy and to watch, in a folder of their own name.
pub fn archive(place: &Place, folder: &str, command: &[u8], notices: &str) -> Result<Tree> {
    let mut tree = Tree::default();
    tree.program(&format!("{folder}/{NAME}"), command);
    tree.link(&format!("{folder}/{OLD_NAME}"), NAME);
    tree.file(&format!("{folder}/NOTICES.txt"), notices);
    for name in [
        "LICENSE",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "README.md",
        "SECURITY.md",
    ] {
        tree.file(&format!("{folder}/{name}"), read(place, name)?);
    }
    let results = "benches/RESULTS.md";
    tree.file(&format!("{folder}/{results}"), read(place, results)?);
    for name in ["deploy", "docs", "envoy", "examples"] {
        add_folder(place, &mut tree, folder, name)?;
    }
    Ok(tree)
}

/// The native module, for Envoy's folder of modules; in a folder of its own name.
pub fn native(folder: &str, native: &[u8], notices: &str, license: &[u8]) -> Tree {
    let mut tree = Tree::default();
    tree.program(&format!("{folder}/{}", module::FILE), native);
    tree.file(&format!("{folder}/LICENSE"), license);
    tree.file(&format!("{folder}/NOTICES.txt"), notices);
    tree
}

fn add_folder(place: &Place, tree: &mut Tree, folder: &str, name: &str) -> Result {
    let entries = std::fs::read_dir(place.root.join(name));
    let entries = entries.map_err(|error| format!("{name}: {error}"))?;
    for entry in entries.flatten() {
        let path = format!("{name}/{}", entry.file_name().display());
        match entry.path().is_dir() {
            true => add_folder(place, tree, folder, &path)?,
            false => tree.file(&format!("{folder}/{path}"), read(place, &path)?),
        }
    }
    Ok(())
}

fn read(place: &Place, name: &str) -> Result<Vec<u8>> {
    std::fs::read(place.root.join(name)).map_err(|error| format!("{name}: {error}"))
}

/// The files of the command's image.
pub fn command_root(command: &[u8], notices: &str, license: &[u8]) -> Tree {
    let mut tree = Tree::default();
    tree.program(&format!("usr/local/bin/{NAME}"), command);
    tree.link(&format!("usr/local/bin/{OLD_NAME}"), NAME);
    // TLS to STS and to OSS needs these.
    tree.file("etc/ssl/certs/ca-certificates.crt", certificates());
    tree.file(&format!("usr/share/doc/{NAME}/LICENSE"), license);
    tree.file(&format!("usr/share/doc/{NAME}/NOTICES.txt"), notices);
    tree
}

/// The image of the command, which starts the sidecar. The Dockerfile says the same.
pub fn command_image(version: &str, layers: Vec<(&'static str, Tree)>) -> Image {
    let program = format!("/usr/local/bin/{NAME}");
    let seconds = |seconds: u64| seconds * 1_000_000_000;
    Image {
        name: NAME,
        version: version.to_owned(),
        title: NAME,
        annotations: json!({"org.opencontainers.image.version": version}),
        config: json!({
            "User": "65534:65534",
            "ExposedPorts": {"8181/tcp": {}},
            "Env": ["PATH=/usr/local/bin"],
            "Entrypoint": [program, "sidecar"],
            "Healthcheck": {
                "Test": ["CMD", program, "sidecar", "probe"],
                "Interval": seconds(5), "Timeout": seconds(5), "Retries": 10},
        }),
        layers,
    }
}

/// The image that Istio, Envoy Gateway and Higress pull: the variant `compat` of the Wasm
/// image specification (solo-io/wasm, spec/spec-compat.md). They take the last layer, which
/// must be `application/vnd.oci.image.layer.v1.tar+gzip`, and in it the first file whose
/// name is `plugin.wasm` (istio and higress-group/istio, pkg/wasm/imagefetcher.go;
/// envoyproxy/gateway, internal/wasm/imagefetcher.go).
pub fn filter_image(version: &str, module: &[u8]) -> Image {
    let mut tree = Tree::default();
    tree.file("plugin.wasm", module);
    Image {
        name: FILTER,
        version: version.to_owned(),
        title: FILTER,
        annotations: json!({
            "module.wasm.image/variant": "compat",
            "org.opencontainers.image.version": version,
        }),
        config: json!({}),
        // A module works on any machine. `docker build` sets this architecture, too, and no
        // tool refuses it.
        layers: vec![("amd64", tree)],
    }
}

/// The filter's image.
const FILTER: &str = "oss-origin-auth-filter";

/// The certificate authorities that Mozilla trusts, in the form of an operating system's file.
fn certificates() -> String {
    let mut text = String::new();
    for certificate in TLS_SERVER_ROOT_CERTS {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = STANDARD.encode(certificate);
        for line in encoded.as_bytes().chunks(64) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}
