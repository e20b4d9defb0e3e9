//! A source tree, and the folder of its builds: this checkout, or a copy that is built for
//! comparison.

use std::path::PathBuf;
use std::process::Command;

use testkit::tools;

use crate::command::cargo;

/// A source tree and its folder of builds.
#[derive(Clone, Debug)]
pub struct Place {
    /// The top of the source tree.
    pub root: PathBuf,
    /// The target directory of cargo.
    pub target: PathBuf,
}

impl Place {
    /// The place of this checkout.
    pub fn here() -> Place {
        Place {
            root: tools::root(),
            target: tools::target(),
        }
    }

    /// A command of the cargo that runs this program, in this place.
    pub fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root);
        command.env("CARGO_TARGET_DIR", &self.target);
        command
    }
}
