//! The images of a release, as skopeo and umoci read them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use testkit::{Process, Request};

use crate::released::{Folder, VERSION, code, dist, document, run, unpack};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// By the rules of istio/istio and higress-group/istio, pkg/wasm/imagefetcher.go, and
/// envoyproxy/gateway, internal/wasm/imagefetcher.go: a manifest that is not Docker's, whose
/// last layer has the media type of OCI; in it the first file whose name is `plugin.wasm`.
#[test]
fn gateways_find_the_module_in_its_image() {
    let archive = archive("oss-origin-auth-filter");
    let manifest: Value = serde_json::from_str(&inspect(&archive, &["--raw"])).unwrap();
    assert_eq!(manifest["mediaType"], MANIFEST);
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1);
    assert_eq!(layers.last().unwrap()["mediaType"], LAYER);
    assert_eq!(
        manifest["annotations"]["module.wasm.image/variant"],
        "compat"
    );

    let folder = Folder::new("filter-image");
    let root = root_of(&archive, "amd64", &folder.0);
    assert_eq!(files(&root), BTreeSet::from(["plugin.wasm".to_owned()]));
    let module = std::fs::read(root.join("plugin.wasm")).unwrap();
    let released = std::fs::read(dist().join("oss_origin_auth.wasm")).unwrap();
    assert!(module == released, "another module");
    assert_eq!(module[..4], *b"\0asm");
}

/// By the commands of the document. The module is then fetched as gateways do: the manifest by
/// its tag, with the types that their library accepts, and the last layer by its digest.
#[test]
fn the_images_come_into_a_registry_and_the_module_out_of_it() {
    let registry = Registry::start();
    let commands = code(&document(), "The images", "sh").join("\n");
    let here = format!("127.0.0.1:{}", registry.port);
    let commands = commands.replace("registry.example.com", &here).replace(
        "skopeo copy ",
        "skopeo --insecure-policy copy --quiet --dest-tls-verify=false ",
    );
    run(Command::new("sh")
        .args(["-euc", &commands])
        .current_dir(dist()));

    let (kind, index) = registry.manifest("oss-origin-auth");
    assert_eq!(kind, INDEX);
    assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
    let (kind, manifest) = registry.manifest("oss-origin-auth-filter");
    assert_eq!(kind, MANIFEST);
    let layer = manifest["layers"].as_array().unwrap().last().unwrap();
    assert_eq!(layer["mediaType"], LAYER);
    let folder = Folder::new("registry");
    let file = folder.0.join("layer.tar.gz");
    let digest = layer["digest"].as_str().unwrap();
    let target = format!("/v2/oss-origin-auth-filter/blobs/{digest}");
    std::fs::write(&file, registry.get(&target).body).unwrap();
    run(Command::new("tar")
        .args(["-xzf", "layer.tar.gz", "plugin.wasm"])
        .current_dir(&folder.0));
    let module = std::fs::read(folder.0.join("plugin.wasm")).unwrap();
    assert!(module == std::fs::read(dist().join("oss_origin_auth.wasm")).unwrap());
}

#[test]
fn the_command_has_one_image_for_two_architectures() {
    let archive = archive("oss-origin-auth");
    let index: Value = serde_json::from_str(&inspect(&archive, &["--raw"])).unwrap();
    let platforms = index["manifests"].as_array().unwrap().iter();
    let platforms: Vec<_> = platforms
        .map(|manifest| manifest["platform"].clone())
        .collect();
    let want = ["amd64", "arm64"].map(|name| json!({"architecture": name, "os": "linux"}));
    assert_eq!(platforms, want);

    for (architecture, name) in [("amd64", "x86_64"), ("arm64", "aarch64")] {
        let config = inspect(
            &archive,
            &["--config", "--raw", "--override-arch", architecture],
        );
        let config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["architecture"], architecture);
        let config = &config["config"];
        assert_eq!(config["User"], "65534:65534");
        let program = "/usr/local/bin/oss-origin-auth";
        assert_eq!(config["Entrypoint"], json!([program, "sidecar"]));
        assert_eq!(
            config["Healthcheck"]["Test"],
            json!(["CMD", program, "sidecar", "probe"])
        );

        let folder = Folder::new(architecture);
        let root = root_of(&archive, architecture, &folder.0);
        let want = [
            "etc/ssl/certs/ca-certificates.crt",
            "usr/local/bin/oss-origin-auth",
            "usr/local/bin/sts-sidecar",
            "usr/share/doc/oss-origin-auth/LICENSE",
            "usr/share/doc/oss-origin-auth/NOTICES.txt",
        ];
        assert_eq!(files(&root), want.map(str::to_owned).into());
        let link = std::fs::read_link(root.join("usr/local/bin/sts-sidecar")).unwrap();
        assert_eq!(link, Path::new("oss-origin-auth"));
        let command = std::fs::read(root.join("usr/local/bin/oss-origin-auth")).unwrap();
        let released = unpack(&folder.0, name).join("oss-origin-auth");
        assert!(
            command == std::fs::read(released).unwrap(),
            "another command"
        );
    }
}

/// As OpenSSL reads it: at least as many authorities as any operating system trusts.
#[test]
fn the_image_trusts_the_usual_authorities() {
    let folder = Folder::new("authorities");
    let root = root_of(&archive("oss-origin-auth"), "amd64", &folder.0);
    let file = root.join("etc/ssl/certs/ca-certificates.crt");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.matches("BEGIN CERTIFICATE").count() > 100);
    // Alibaba Cloud's hosts have certificates of GlobalSign and DigiCert.
    let names = run(Command::new("sh")
        .args([
            "-c",
            "openssl crl2pkcs7 -nocrl -certfile \"$0\" | openssl pkcs7 -print_certs -noout",
        ])
        .arg(&file));
    for name in ["GlobalSign", "DigiCert"] {
        assert!(names.contains(name), "{names}");
    }
}

/// Docker's registry, on a port of its own.
struct Registry {
    port: u16,
    /// It ends with this value, and so does what it has stored.
    _process: Process,
    _folder: Folder,
}

impl Registry {
    fn start() -> Registry {
        let folder = Folder::new("registry-data");
        let settings = json!({
            "version": 0.1,
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": folder.0.join("data")}},
            "http": {"addr": "127.0.0.1:0"},
        });
        let file = folder.0.join("registry.yml");
        std::fs::write(&file, settings.to_string()).unwrap();
        let mut command = Command::new("docker-registry");
        let mut process = Process::start("registry", command.arg("serve").arg(file));
        let port = process.wait_for_output("the registry", |output| {
            let (_, rest) = output.split_once("listening on 127.0.0.1:")?;
            rest.split(|end: char| !end.is_ascii_digit())
                .next()?
                .parse()
                .ok()
        });
        Registry {
            port,
            _process: process,
            _folder: folder,
        }
    }

    /// Its media type, and what it says.
    fn manifest(&self, image: &str) -> (String, Value) {
        let response = self.get(&format!("/v2/{image}/manifests/{VERSION}"));
        let kind = response.header("content-type").unwrap_or_default();
        (kind.to_owned(), response.json())
    }

    fn get(&self, target: &str) -> testkit::Response {
        let accepted = [
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.distribution.manifest.list.v2+json",
            MANIFEST,
            INDEX,
        ];
        let request = Request::local(target).header("accept", accepted.join(","));
        let response = request.send(self.port);
        assert_eq!(response.status, 200, "{target}: {response:?}");
        response
    }
}

fn archive(image: &str) -> String {
    let file = dist().join(format!("{image}-{VERSION}.oci.tar"));
    format!("oci-archive:{}", file.display())
}

fn inspect(archive: &str, arguments: &[&str]) -> String {
    let (before, after): (Vec<&str>, Vec<&str>) = match arguments {
        [first @ .., "--override-arch", architecture] => {
            (vec!["--override-arch", architecture], first.to_vec())
        }
        _ => (Vec::new(), arguments.to_vec()),
    };
    run(skopeo()
        .args(before)
        .arg("inspect")
        .args(after)
        .arg(archive))
}

/// Nobody's own policy of signatures counts.
fn skopeo() -> Command {
    let mut skopeo = Command::new("skopeo");
    skopeo.arg("--insecure-policy");
    skopeo
}

/// Takes the image of one architecture out of an archive, as a registry's client does, and
/// unpacks its layers; where they are.
fn root_of(archive: &str, architecture: &str, folder: &Path) -> PathBuf {
    let (layout, bundle) = (folder.join("layout"), folder.join("bundle"));
    run(skopeo()
        .args(["--override-arch", architecture, "copy", "--quiet", archive])
        .arg(format!("oci:{}:{VERSION}", layout.display())));
    run(Command::new("umoci")
        .args(["unpack", "--rootless", "--image"])
        .arg(format!("{}:{VERSION}", layout.display()))
        .arg(&bundle));
    bundle.join("rootfs")
}

/// All files and links in a folder, by their paths.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(
                files(&entry.path())
                    .into_iter()
                    .map(|file| format!("{name}/{file}")),
            ),
            false => {
                found.insert(name);
            }
        }
    }
    found
}
