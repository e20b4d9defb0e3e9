//! Tools from the system's packages.

use std::io::{IsTerminal, Write};
use std::process::Command;

use crate::command::{Result, step};

/// Makes sure that all these programs can be started; each has its Debian package. Before
/// packages are installed as root, they are listed and the user is asked, unless `yes` is set.
pub fn provide_all(needs: &[(&str, &str)], yes: bool) -> Result {
    let mut missing: Vec<(&str, &str)> = needs.to_vec();
    missing.retain(|(program, _)| !is_there(program));
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    let packages = packages.join(", ");
    if !yes && !agreed(&packages)? {
        return Err(format!("the Debian packages {packages} are not installed"));
    }
    for (program, package) in missing {
        provide(program, package)?;
    }
    Ok(())
}

fn agreed(packages: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(format!(
            "the Debian packages {packages} are missing, and there is no terminal to ask \
             whether they may be installed as root; `--yes` says that they may"
        ));
    }
    eprint!("apt-get will install these Debian packages as root: {packages}. Go on? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    read.map_err(|error| error.to_string())?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// Makes sure that a program can be started. If necessary and allowed, its Debian package is
/// installed; a space separates several packages.
pub fn provide(program: &str, package: &str) -> Result {
    if is_there(program) {
        return Ok(());
    }
    step(&format!("installing the package {package}, for {program}"));
    let apt = |arguments: &[&str]| {
        let _ = Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .output();
    };
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(package.split_whitespace());
    apt(&install);
    if !is_there(program) {
        // The package index may be old.
        apt(&["update"]);
        apt(&install);
    }
    match is_there(program) {
        true => Ok(()),
        false => Err(format!(
            "{program} is missing, and the package {package} could not be installed; install it by hand"
        )),
    }
}
