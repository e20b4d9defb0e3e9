//! The places of the tools that `cargo xtask setup` provides.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The top of the source tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("testkit lies in the workspace")
        .to_owned()
}

pub fn target() -> PathBuf {
    let folder = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    // Tests have other working directories.
    root().join(folder)
}

/// Envoy 1.40: `ENVOY_BIN`, or else the one that setup has installed. It is the program itself;
/// on the PATH of a venv there is only a script that starts it.
pub fn envoy() -> PathBuf {
    match std::env::var_os("ENVOY_BIN") {
        Some(path) => found(PathBuf::from(path)),
        None => found(site_packages().join("envoy/_bin/envoy")),
    }
}

/// The versions of Envoy that the filter is tested with, as PyPI names them. The native module
/// does not load in the first two; 1.38.3 has no wasm VM there.
pub const ENVOYS: [&str; 5] = ["1.36.4", "1.37.0", "1.38.3", "1.39.3", "1.40.0"];

/// One of [`ENVOYS`], which `cargo xtask test --all` installs.
pub fn envoy_version(version: &str) -> PathBuf {
    let path = target()
        .join("envoys")
        .join(version)
        .join("envoy/_bin/envoy");
    assert!(
        path.exists(),
        "{} is missing; `cargo xtask test --all` provides it",
        path.display()
    );
    path
}

/// The host of the filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Host {
    /// Envoy's wasm VM.
    #[default]
    Wasm,
    /// A library that Envoy loads, which is a dynamic module.
    Native,
}

/// The environment variable that selects the host of the tests: `cargo xtask test --host
/// native`. (`OSS_HOST` is another one: the bucket's domain, for `render` and the demo.)
pub const HOST: &str = "OSS_FILTER_HOST";

/// The host that [`HOST`] selects: wasm, unless it is set.
pub fn host() -> Host {
    try_host().unwrap_or_else(|problem| panic!("{problem}"))
}

/// The host that [`HOST`] selects, or the error in the variable.
pub fn try_host() -> Result<Host, String> {
    let name = std::env::var(HOST).unwrap_or_default();
    let given = Some(name.as_str()).filter(|name| !name.is_empty());
    let host = given.map_or(Ok(Host::default()), str::parse);
    host.map_err(|problem| format!("{HOST} {problem}"))
}

impl std::str::FromStr for Host {
    type Err = String;

    fn from_str(name: &str) -> Result<Host, String> {
        match name {
            "wasm" => Ok(Host::Wasm),
            "native" => Ok(Host::Native),
            _ => Err(format!("must be `wasm` or `native`, not `{name}`")),
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Host::Wasm => "wasm",
            Host::Native => "native",
        })
    }
}

/// The native module, as Envoy's configuration names it.
pub const MODULE_NAME: &str = "oss_origin_auth_native";

/// The profile of Cargo for the native module, which is also the name of its folder in the
/// target directory.
pub const MODULE_PROFILE: &str = "module";

/// The folder with the native module of this build, if the tests use it.
pub fn module_folder() -> PathBuf {
    let folder = target().join(MODULE_PROFILE);
    if host() == Host::Native {
        found(folder.join(format!("lib{MODULE_NAME}.so")));
    }
    folder
}

/// The folder of the Python packages that setup has installed.
pub fn site_packages() -> PathBuf {
    let lib = target().join("venv/lib");
    let folders = std::fs::read_dir(&lib).into_iter().flatten().flatten();
    let python = folders.map(|folder| folder.path().join("site-packages"));
    python
        .into_iter()
        .find(|folder| folder.exists())
        .unwrap_or_else(|| lib.join("python3/site-packages"))
}

/// Whether a matrix is to be covered by pairs and not by all its combinations:
/// `cargo xtask test --pairwise`.
pub fn pairwise() -> bool {
    std::env::var(PAIRWISE).is_ok_and(|value| value == "1")
}

/// The environment variable for `--pairwise`.
pub const PAIRWISE: &str = "OSS_PAIRWISE";

/// The Python that has Alibaba's SDKs.
pub fn python() -> PathBuf {
    found(target().join("venv/bin/python"))
}

/// The filter's wasm module: the file in the environment variable [`MODULE`], or else the one
/// of this build.
pub fn filter_wasm() -> PathBuf {
    if let Some(file) = std::env::var_os(MODULE) {
        return found(PathBuf::from(file));
    }
    found(target().join("wasm32-wasip1/release/oss_origin_auth.wasm"))
}

/// The environment variable for `cargo xtask attack --module FILE`.
pub const MODULE: &str = "OSS_MODULE";

/// The command `oss-origin-auth`.
pub fn cli() -> PathBuf {
    found(target().join("debug/oss-origin-auth"))
}

/// A command that starts the sidecar; its options must be added.
pub fn sidecar() -> Command {
    let mut command = Command::new(cli());
    command.arg("sidecar");
    command
}

/// The folder with the content of the images: `cargo xtask build --image`.
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
