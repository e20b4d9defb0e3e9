//! Where the tools are that `cargo xtask setup` provides.

use std::path::{Path, PathBuf};

/// The top of the source tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("testkit lies in the workspace")
        .to_owned()
}

pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Envoy 1.40: `ENVOY_BIN`, else the one that setup has installed.
pub fn envoy() -> PathBuf {
    let path = std::env::var_os("ENVOY_BIN")
        .map_or_else(|| target().join("venv/bin/envoy"), PathBuf::from);
    found(path)
}

/// The Python that has Alibaba's SDKs.
pub fn python() -> PathBuf {
    found(target().join("venv/bin/python"))
}

pub fn filter_wasm() -> PathBuf {
    found(target().join("wasm32-wasip1/release/oss_origin_auth.wasm"))
}

pub fn sidecar() -> PathBuf {
    found(target().join("native/sts-sidecar"))
}

/// What the images are made of: `cargo xtask build --image`.
pub fn image() -> PathBuf {
    found(target().join("image"))
}

pub fn fakes() -> PathBuf {
    root().join("testkit/fakes")
}

fn found(path: PathBuf) -> PathBuf {
    assert!(
        path.exists(),
        "{} is missing; `cargo xtask setup` provides it",
        path.display()
    );
    path
}
