//! The native module in a real Envoy under valgrind's memcheck. It sees the module's
//! allocations, since Envoy exports its `malloc`, and every access to them. Only errors that
//! involve the module count: memcheck does not know Envoy's own allocator.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use testkit::tools::{self, Host};

use crate::command::{Result, cargo, run as run_command, step};
use crate::{install, module, runner, setup};

/// Run the native module under valgrind: it finds nothing, and finds a fault that is planted
#[derive(clap::Args)]
pub struct Options {
    /// Another test than the run of everything, by its whole name
    #[arg(long, default_value = "native_memory::one_run_of_everything")]
    test: String,
}

/// A short test that shows a fault in every stream.
const SHORT: &str = "native_signature::a_mirrored_request_has_no_signature_of_the_cluster";
const PLANTED: &str = "planted-use-after-free";

/// Checks the module as it is, and then checks that a planted fault is found.
pub fn run(options: &Options) -> Result {
    install::provide("valgrind", "valgrind")?;
    setup::run()?;
    let programs = runner::build(&["envoy"])?;
    let program = programs.first().ok_or("no tests")?;
    let problems = watch(program, &options.test, None)?;
    if !problems.is_empty() {
        return Err(format!("valgrind found:\n{}", problems.join("\n")));
    }
    println!("memcheck: nothing is wrong in {}", options.test);
    let planted = watch(program, SHORT, Some(PLANTED))?;
    match planted.iter().any(|problem| problem.starts_with("Invalid")) {
        true => println!("memcheck: the planted use after free was found"),
        false => return Err("the planted use after free was not found".into()),
    }
    Ok(())
}

/// Runs a test under valgrind, with the module built with a feature; returns valgrind's errors.
fn watch(program: &Path, test: &str, feature: Option<&str>) -> Result<Vec<String>> {
    step(&format!(
        "the native module {}under valgrind",
        feature.map_or(String::new(), |name| format!("with {name} "))
    ));
    let folder = tools::target()
        .join("memcheck")
        .join(feature.unwrap_or("none"));
    let problem = |error: std::io::Error| format!("{}: {error}", folder.display());
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(problem)?;
    // The build has no optimization, so that each access is where it is written.
    let mut build = cargo();
    build.args(["build", "--package", module::PACKAGE]);
    build.args(feature.map(|name| format!("--features={name}")));
    run_command(&mut build)?;
    let library = format!("lib{}.so", tools::MODULE_NAME);
    let built = tools::target().join("debug").join(&library);
    std::fs::copy(built, folder.join(&library)).map_err(problem)?;
    let envoy = write_envoy(&folder).map_err(problem)?;
    let mut command = std::process::Command::new(program);
    command.args(["--exact", test]);
    command
        .env("ENVOY_BIN", envoy)
        .env(tools::HOST, Host::Native.to_string());
    run_command(&mut command)?;
    read(&folder)
}

/// A program that the tests use as Envoy.
fn write_envoy(folder: &Path) -> std::io::Result<PathBuf> {
    let (path, envoy) = (folder.join("envoy"), tools::envoy());
    let folder = folder.display();
    let text = format!(
        "#!/bin/sh\n\
         export ENVOY_DYNAMIC_MODULES_SEARCH_PATH='{folder}'\n\
         exec valgrind --quiet --soname-synonyms=somalloc=NONE --error-limit=no --num-callers=40 \
         --leak-check=full --show-leak-kinds=definite \
         --xml=yes --xml-file='{folder}/%p.xml' '{}' \"$@\"\n",
        envoy.display()
    );
    std::fs::write(&path, text)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

/// The errors of valgrind that involve the module; an error if it has not run to its end.
fn read(folder: &Path) -> Result<Vec<String>> {
    let problem = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut problems = Vec::new();
    let mut ended = 0;
    for entry in std::fs::read_dir(folder).map_err(problem)? {
        let path = entry.map_err(problem)?.path();
        if path.extension().is_some_and(|name| name == "xml") {
            let text = std::fs::read_to_string(&path).map_err(problem)?;
            ended += usize::from(text.contains("<state>FINISHED</state>"));
            problems.extend(errors(&text));
        }
    }
    match ended {
        0 => Err("valgrind did not come to its end".into()),
        _ => Ok(problems),
    }
}

/// The errors in valgrind's XML with the module in one of their stacks: their kinds and stacks.
fn errors(xml: &str) -> Vec<String> {
    let all = xml.split("<error>").skip(1);
    let all = all.filter_map(|rest| rest.split_once("</error>").map(|(error, _)| error));
    let ours = all.filter(|error| {
        let objects = values(error, "obj");
        objects
            .into_iter()
            .any(|object| object.contains(tools::MODULE_NAME))
    });
    // The module's thread lives as long as Envoy.
    let lost = |error: &&str| !error.contains("<kind>Leak_PossiblyLost</kind>");
    ours.filter(lost).map(show).collect()
}

fn show(error: &str) -> String {
    let mut text = values(error, "kind").concat();
    for what in values(error, "what").iter().chain(&values(error, "text")) {
        let _ = write!(text, ": {what}");
    }
    for frame in error.split("<frame>").skip(1) {
        let of = |name| values(frame, name).first().copied().unwrap_or("?");
        let _ = write!(text, "\n    {} ({}:{})", of("fn"), of("file"), of("line"));
    }
    text
}

/// The texts between the tags of this name.
fn values<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(&begin).skip(1);
    parts
        .filter_map(|part| Some(part.split_once(&end)?.0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::errors;

    #[test]
    fn an_error_counts_if_the_module_has_a_part_in_it() {
        let error = |kind: &str, object: &str| {
            format!(
                "<error><kind>{kind}</kind><what>what</what><stack><frame><obj>{object}</obj>\
                 <fn>f</fn><file>f.rs</file><line>7</line></frame></stack></error>"
            )
        };
        let module = "/x/liboss_origin_auth_native.so";
        let xml = [
            error("InvalidRead", "/x/envoy"),
            error("InvalidRead", module),
            error("Leak_PossiblyLost", module),
        ];
        assert_eq!(errors(&xml.concat()), ["InvalidRead: what\n    f (f.rs:7)"]);
    }
}
