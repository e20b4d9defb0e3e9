//! A source tree, and where its builds go: ours, or a copy that is built to be compared.

use std::path::PathBuf;
use std::process::Command;

use testkit::tools;

use crate::command::cargo;

/// A source tree and its folder of builds.
#[derive(Clone, Debug)]
pub struct Place {
    /// The top of the source tree.
    pub root: PathBuf,
    /// What cargo calls the target directory.
    pub target: PathBuf,
}

impl Place {
    /// This checkout.
    pub fn here() -> Place {
        Place {
            root: tools::root(),
            target: tools::target(),
        }
    }

    /// The cargo that runs this command, in this place.
    pub fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root);
        command.env("CARGO_TARGET_DIR", &self.target);
        command
    }
}
