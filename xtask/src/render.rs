//! The configurations and manifests that are shipped: what `oss-origin-auth render` makes.

use testkit::shipped::{EXAMPLES, example};
use testkit::tools;

use crate::command::{Result, step};
use crate::setup;

/// Writes them, and the copy of the smallest in README.md.
pub fn write() -> Result {
    step("building the command");
    setup::build_command()?;
    for (name, _) in EXAMPLES {
        let text = example(name)?;
        let file = tools::root().join(name);
        if name == "envoy/minimal.yaml" {
            replace_in_readme(&std::fs::read_to_string(&file).unwrap_or_default(), &text)?;
        }
        std::fs::write(&file, text).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}

fn replace_in_readme(before: &str, now: &str) -> Result {
    let file = tools::root().join("README.md");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("README.md: {error}"))?;
    if text.contains(now) {
        return Ok(());
    }
    if before.is_empty() || !text.contains(before) {
        return Err("README.md does not show envoy/minimal.yaml; put the file into it".into());
    }
    std::fs::write(&file, text.replace(before, now)).map_err(|error| format!("README.md: {error}"))
}
