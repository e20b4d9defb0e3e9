//! The shipped configurations and manifests, which `oss-origin-auth render` writes.

use testkit::shipped::{EXAMPLES, example};
use testkit::tools;

use crate::command::{Result, step};
use crate::setup;

/// Writes the files.
pub fn write() -> Result {
    step("building the command");
    setup::Part::Command.build()?;
    for (name, _) in EXAMPLES {
        let file = tools::root().join(name);
        std::fs::write(&file, example(name)?).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}
