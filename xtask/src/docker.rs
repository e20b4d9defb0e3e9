//! A Docker engine, compose, and base images, for the tests.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testkit::docker::{BASE_IMAGES, SKIP, is_skipped};
use testkit::tools;

use crate::command::{Result, run, step};
use crate::{dist, install, native};

/// A Docker engine that was started here and ends when this is dropped.
pub struct Engine(Child);

impl Drop for Engine {
    fn drop(&mut self) {
        // SIGTERM lets it stop its containers and remove its rules.
        let id = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).status();
        let _ = self.0.wait();
    }
}

/// The programs that are always needed, each with its Debian package.
pub fn packages() -> Vec<(&'static str, &'static str)> {
    let mut needs = vec![
        ("docker", "docker.io"),
        ("docker-compose", "docker-compose"),
        native::compiler(native::HOST),
    ];
    if !answers() {
        needs.extend([("dockerd", "docker.io"), ("iptables", "iptables")]);
    }
    needs
}

/// Provides everything that `tests/system/compose.rs` needs. With `yes`, Debian packages are
/// installed without a question.
pub fn provide(yes: bool) -> Result<Option<Engine>> {
    if is_skipped() {
        return Ok(None);
    }
    let engine = start()?;
    for image in BASE_IMAGES {
        if !has(image) && !pull(image) {
            stand_in(yes)?;
            break;
        }
    }
    dist::build_image()?;
    Ok(engine)
}

fn answers() -> bool {
    quiet(Command::new("docker").arg("info"))
}

fn start() -> Result<Option<Engine>> {
    if answers() {
        return Ok(None);
    }
    step("starting a Docker engine");
    // A killed engine leaves these files behind. The next one would take any process that has
    // the number now for its predecessor.
    remove_stale("/var/run/docker.pid", "dockerd");
    remove_stale("/var/run/docker/containerd/containerd.pid", "containerd");
    let log = tools::target().join("dockerd.log");
    let output = std::fs::File::create(&log).map_err(|error| error.to_string())?;
    let errors = output.try_clone().map_err(|error| error.to_string())?;
    let child = Command::new("dockerd")
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(|error| format!("dockerd: {error}"))?;
    let engine = Engine(child);
    for _ in 0..300 {
        if answers() {
            return Ok(Some(engine));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Err(format!(
        "the Docker engine does not start (its log is {}); start one, or set {SKIP}=1 to leave \
         these tests out",
        log.display()
    ))
}

/// Removes a file with a process id, unless that process has this name.
fn remove_stale(file: &str, name: &str) {
    let id = std::fs::read_to_string(file).unwrap_or_default();
    let command = std::fs::read_to_string(format!("/proc/{}/comm", id.trim()));
    if command.unwrap_or_default().trim() != name {
        let _ = std::fs::remove_file(file);
    }
}

fn has(image: &str) -> bool {
    quiet(Command::new("docker").args(["image", "inspect", image]))
}

fn pull(image: &str) -> bool {
    step(&format!("pulling {image}"));
    quiet(Command::new("docker").args(["pull", "--quiet", image]))
}

fn quiet(command: &mut Command) -> bool {
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Makes stand-ins for all base images where none can be pulled: one image of Debian with Envoy
/// and Python.
fn stand_in(yes: bool) -> Result {
    eprintln!(
        "NOTE: the base images cannot be pulled. A Debian made here, with the Envoy of PyPI, \
         stands in for {}",
        BASE_IMAGES.join(", ")
    );
    install::provide_all(&[("debootstrap", "debootstrap")], yes)?;
    let root = tools::target().join("stand-in");
    let complete = root.join("complete");
    if !complete.exists() {
        let _ = std::fs::remove_dir_all(&root);
        run(Command::new("debootstrap")
            .args([
                "--variant=minbase",
                "--include=ca-certificates,python3,python3-pip",
            ])
            .arg("bookworm")
            .arg(&root)
            .stdout(Stdio::null()))?;
        // pip may write into the system's folder in an image.
        let _ = std::fs::remove_file(root.join("usr/lib/python3.11/EXTERNALLY-MANAGED"));
        std::fs::write(complete, "").map_err(|error| error.to_string())?;
    }
    copy(
        &python_packages()?,
        &root.join("usr/local/lib/python3.11/dist-packages"),
    )?;
    copy(&envoy_binary()?, &root.join("usr/local/bin/envoy"))?;
    let archive = tools::target().join("stand-in.tar");
    run(Command::new("tar")
        .arg("--create")
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(&root)
        .arg("."))?;
    let (first, others) = BASE_IMAGES.split_first().ok_or("no base images")?;
    run(Command::new("docker")
        .args([
            "import",
            "--change",
            "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ])
        .arg(&archive)
        .arg(first)
        .stdout(Stdio::null()))?;
    let _ = std::fs::remove_file(archive);
    for image in others {
        run(Command::new("docker").args(["tag", first, image]))?;
    }
    Ok(())
}

/// The Python packages of setup, so that a container need not download any.
fn python_packages() -> Result<PathBuf> {
    let lib = tools::target().join("venv/lib");
    let folder = lib.join("python3.11/site-packages");
    match folder.exists() {
        true => Ok(folder),
        false => Err(format!(
            "{} is missing: the stand-in takes a Python 3.11",
            folder.display()
        )),
    }
}

/// The program of Envoy itself; on the PATH of a venv there is only a script.
fn envoy_binary() -> Result<PathBuf> {
    let program = python_packages()?.join("envoy/_bin/envoy");
    match program.exists() {
        true => Ok(program),
        false => Err(format!("{} is missing", program.display())),
    }
}

fn copy(from: &Path, to: &Path) -> Result {
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).map_err(|error| error.to_string())?;
    }
    run(Command::new("cp")
        .args(["--recursive", "--no-target-directory"])
        .arg(from)
        .arg(to))
}
