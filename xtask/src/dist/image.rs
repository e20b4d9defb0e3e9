//! Images, written as the archives that `docker load`, skopeo and others read: an OCI image
//! layout, and beside it the list that Docker's engine looks for.

use std::collections::BTreeMap;

use oss_origin_auth_core::oss::time::rfc3339_utc;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::tree::{Tree, gzip};
use crate::command::Result;

/// An image, for one or more architectures.
pub struct Image {
    /// Its name in a registry.
    pub name: &'static str,
    pub version: String,
    /// The title in its labels.
    pub title: &'static str,
    pub annotations: Value,
    /// The configuration of its containers.
    pub config: Value,
    /// The content for each architecture, by OCI's name.
    pub layers: Vec<(&'static str, Tree)>,
}

/// A part of an archive, with its address.
struct Blob {
    digest: String,
    size: usize,
}

impl Image {
    /// The archive, made at `time`.
    pub fn archive(&self, time: u64) -> Result<Vec<u8>> {
        let mut archive = Tree::default();
        let (mut manifests, mut of_docker) = (Vec::new(), Vec::new());
        for (architecture, tree) in &self.layers {
            let tar = tree.tar(time)?;
            let layer = add(&mut archive, gzip(&tar)?);
            let config = self.config_of(architecture, &digest(&tar), time);
            let config = add(&mut archive, json(&config)?);
            of_docker.push(json!({
                "Config": path(&config.digest),
                "RepoTags": self.tags(architecture),
                "Layers": [path(&layer.digest)],
            }));
            let manifest = json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {
                    "mediaType": "application/vnd.oci.image.config.v1+json",
                    "digest": config.digest, "size": config.size},
                "layers": [{
                    "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                    "digest": layer.digest, "size": layer.size}],
                "annotations": self.annotations,
            });
            let manifest = add(&mut archive, json(&manifest)?);
            manifests.push(json!({
                "mediaType": MANIFEST, "digest": manifest.digest, "size": manifest.size,
                "platform": {"architecture": architecture, "os": "linux"},
            }));
        }
        let mut top = match manifests.as_slice() {
            [manifest] => manifest.clone(),
            _ => {
                let index = json!({
                    "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
                let index = add(&mut archive, json(&index)?);
                json!({"mediaType": INDEX, "digest": index.digest, "size": index.size})
            }
        };
        top["annotations"] = json!({
            "org.opencontainers.image.ref.name": self.version,
            "io.containerd.image.name": format!("docker.io/library/{}:{}", self.name, self.version),
        });
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [top]});
        archive.file("index.json", json(&index)?);
        archive.file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
        archive.file("manifest.json", json(&Value::from(of_docker))?);
        archive.tar(time)
    }

    /// The tags for an architecture, for engines that know one architecture to a name. The
    /// first also has the plain name.
    fn tags(&self, architecture: &str) -> Vec<String> {
        let name = format!("{}:{}", self.name, self.version);
        let mut tags = Vec::new();
        if self
            .layers
            .first()
            .is_some_and(|(first, _)| *first == architecture)
        {
            tags.push(name.clone());
        }
        if self.layers.len() > 1 {
            tags.push(format!("{name}-{architecture}"));
        }
        tags
    }

    fn config_of(&self, architecture: &str, layer: &str, time: u64) -> Value {
        let created = rfc3339_utc(time);
        let mut config = self.config.clone();
        config["Labels"] = json!(BTreeMap::from([
            ("org.opencontainers.image.title", self.title),
            ("org.opencontainers.image.version", self.version.as_str()),
            ("org.opencontainers.image.licenses", "Apache-2.0"),
        ]));
        json!({
            "created": created,
            "architecture": architecture,
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [layer]},
            "history": [{"created": created, "created_by": "cargo xtask dist"}],
        })
    }
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn add(archive: &mut Tree, content: Vec<u8>) -> Blob {
    let blob = Blob {
        digest: digest(&content),
        size: content.len(),
    };
    archive.file(&path(&blob.digest), content);
    blob
}

fn path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", sha256(content))
}

/// The SHA-256 in hexadecimal.
pub fn sha256(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn json(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| error.to_string())
}
