//! The dynamic modules of the chains, in the single folder where Envoy looks for them.

use std::path::{Path, PathBuf};

use testkit::tools;

use crate::command::{Result, cargo, run, step};
use crate::module;

/// The environment variable that names the folder for Envoy.
pub const SEARCH_PATH: &str = "ENVOY_DYNAMIC_MODULES_SEARCH_PATH";

/// The name of the filter for Envoy.
pub const FILTER: &str = "oss_origin_auth_native";

/// The name of a module that does nothing.
pub const NOTHING: &str = "bench_do_nothing_native";

/// The path of the folder.
pub fn folder() -> PathBuf {
    tools::target().join("bench-modules")
}

/// Builds the filter and its peer in the same way.
pub fn build() -> Result {
    step("building the dynamic modules");
    run(cargo()
        .args(["build", "--profile", tools::MODULE_PROFILE])
        .args(["--package", module::PACKAGE])
        .args(["--package", "bench-do-nothing-native"]))?;
    for module in [FILTER, NOTHING] {
        let built = tools::module_folder().join(format!("lib{module}.so"));
        provide(module, &built)?;
    }
    Ok(())
}

/// Puts a file where Envoy finds it by this name.
pub fn provide(module: &str, file: &Path) -> Result {
    let link = file_of(module);
    let _ = std::fs::create_dir_all(folder());
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(file, &link).map_err(|error| format!("{}: {error}", link.display()))
}

/// The size of the filter in bytes.
pub fn filter_bytes() -> Result<u64> {
    let file = file_of(FILTER);
    let metadata = std::fs::metadata(&file);
    metadata
        .map(|metadata| metadata.len())
        .map_err(|error| format!("{}: {error}", file.display()))
}

fn file_of(module: &str) -> PathBuf {
    folder().join(format!("lib{module}.so"))
}
