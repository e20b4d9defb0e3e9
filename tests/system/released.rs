//! The files of a release alone: what docs/RELEASE.md tells to do with them, and what other
//! programs find in them. `cargo xtask test --all` makes them, as `cargo xtask dist` does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testkit::alibaba::{BUCKET, REGION, Seen};
use testkit::{FakeAlibaba, Process, free_port, tools};

pub const VERSION: &str = env!("CARGO_PKG_VERSION");
pub const CONTENT: &str = "The object, served with nothing but the released files.";
/// The chapter that a person goes through.
pub const STEPS: &str = "From the files to an object";
const ROLE: &str = "acs:ram::1234567890:role/oss-reader";

/// The commands of the document, in a folder that has the release and nothing else, with a
/// PATH that has what the document asks for and nothing else.
#[test]
fn the_documented_steps_lead_to_an_object() {
    let document = document();
    lead_to_an_object("steps", &code(&document, STEPS, "sh"));
}

/// Runs steps of the document, which serve an object with what is released; what Envoy and the
/// others have said.
pub fn lead_to_an_object(name: &str, lines: &[&str]) -> String {
    let folder = Folder::new(name);
    copy_release(&folder.0);
    let alibaba = fake();
    let settings = settings(&alibaba, free_port(), free_port());
    for name in variables(&document()) {
        let is_set = settings.iter().any(|(set, _)| *set == name);
        assert!(is_set, "the document sets {name}, and this test does not");
    }
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(script(lines));
    shell.current_dir(&folder.0);
    shell.env_clear().envs(settings);
    shell.env("PATH", programs(&folder));
    let mut steps = Steps::start(&mut shell);
    let status = steps.0.wait();
    let output = steps.0.output();
    assert_eq!(status, Some(0), "{output}");
    assert!(output.contains(CONTENT), "{output}");
    assert!(!output.contains(SECRET), "{output}");
    // The doctor's last line.
    assert!(output.contains("\nok       envoy_download"), "{output}");
    let is_served = |seen: &Seen| seen.target == "/hello.txt" && seen.status == 200;
    assert!(alibaba.seen().iter().any(is_served));
    output
}

#[test]
fn the_document_names_this_version() {
    let document = document();
    let mut found = 0;
    for part in document.split("oss-origin-auth-").skip(1) {
        let kind = ["filter-", "native-"].into_iter();
        let mut kind = kind.filter_map(|kind| part.strip_prefix(kind));
        let part = kind.next().unwrap_or(part);
        if part.starts_with(|first: char| first.is_ascii_digit()) {
            assert!(part.starts_with(VERSION), "oss-origin-auth-{part:.40}");
            found += 1;
        }
    }
    assert!(found > 2, "{found}");
}

#[test]
fn the_checksums_name_every_file_and_are_right() {
    let sums = std::fs::read_to_string(dist().join("SHA256SUMS")).unwrap();
    let named = sums.lines().map(|line| line.split_once("  ").unwrap().1);
    let mut named: Vec<String> = named.map(str::to_owned).collect();
    named.push("SHA256SUMS".to_owned());
    named.sort();
    let files = std::fs::read_dir(dist()).unwrap().flatten();
    let mut files: Vec<String> = files
        .map(|file| file.file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(named, files);
    run(Command::new("sha256sum")
        .args(["--check", "--quiet", "SHA256SUMS"])
        .current_dir(dist()));
}

/// On the architecture that this machine has not, in qemu, which has no library of it: so
/// the command needs none.
#[test]
fn the_command_runs_on_the_other_architecture() {
    let other = match std::env::consts::ARCH {
        "aarch64" => "x86_64",
        _ => "aarch64",
    };
    let folder = Folder::new("other");
    let release = unpack(&folder.0, other);
    let alibaba = fake();
    let start = |name: &str, arguments: &[&str]| {
        let mut qemu = Command::new(format!("qemu-{other}-static"));
        // The name that the program was called by, which qemu does not pass on.
        qemu.args(["-0", name]).arg(release.join("oss-origin-auth"));
        qemu.args(arguments).current_dir(&release);
        qemu.env_clear();
        qemu.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        qemu.envs(settings(&alibaba, 0, free_port()));
        run(&mut qemu)
    };
    let version = start("oss-origin-auth", &["--version"]);
    assert_eq!(version.trim(), format!("oss-origin-auth {VERSION}"));
    let version = start("sts-sidecar", &["--version"]);
    assert_eq!(version.trim(), format!("sts-sidecar {VERSION}"));
    start("oss-origin-auth", &["check-config", "envoy/minimal.yaml"]);
    let table = start("oss-origin-auth", &["sidecar", "check"]);
    assert!(table.contains("default"), "{table}");
}

#[test]
fn an_archive_holds_what_a_person_needs() {
    let folder = Folder::new("archive");
    for architecture in ["x86_64", "aarch64"] {
        let release = unpack(&folder.0, architecture);
        let link = std::fs::read_link(release.join("sts-sidecar")).unwrap();
        assert_eq!(link, Path::new("oss-origin-auth"));
        for name in [
            "oss-origin-auth",
            "LICENSE",
            "NOTICES.txt",
            "docs/RELEASE.md",
            "docs/OPERATIONS.md",
            "envoy/minimal.yaml",
            "deploy/prometheus/alerts.yml",
            "deploy/grafana-dashboard.json",
            "deploy/kubernetes/envoy-with-sidecar.yaml",
        ] {
            assert!(release.join(name).is_file(), "{name}");
        }
        let program = std::fs::read(release.join("oss-origin-auth")).unwrap();
        assert_has_no_path(&program);
        // e_machine of ELF: EM_X86_64, EM_AARCH64.
        let machine = [("x86_64", 62), ("aarch64", 183)]
            .into_iter()
            .find_map(|(name, number)| (name == architecture).then_some(number));
        assert_eq!(program.get(18).copied(), machine);
    }
    assert_has_no_path(&std::fs::read(dist().join("oss_origin_auth.wasm")).unwrap());
}

#[test]
fn the_list_of_packages_is_of_all_products() {
    let sbom = std::fs::read(dist().join("sbom.cdx.json")).unwrap();
    let sbom: Value = serde_json::from_slice(&sbom).unwrap();
    let parts: BTreeMap<&str, Vec<&str>> = sbom["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let parts = entry["dependsOn"].as_array().unwrap();
            let parts = parts.iter().map(|part| part.as_str().unwrap()).collect();
            (entry["ref"].as_str().unwrap(), parts)
        })
        .collect();
    let has = |product: &str, package: &str| {
        let parts = &parts[format!("{product}@{VERSION}").as_str()];
        let name = format!("pkg:cargo/{package}@");
        parts.iter().any(|part| part.starts_with(&name))
    };
    assert!(has("oss-origin-auth", "proxy-wasm"));
    assert!(!has("oss-origin-auth", "rustls"));
    assert!(has("oss-origin-auth-cli", "rustls"));
    assert!(has("oss-origin-auth-native", "sha2"));
    assert!(!has("oss-origin-auth-native", "proxy-wasm"));
    let components = sbom["components"].as_array().unwrap();
    for part in parts.values().flatten() {
        let of = components
            .iter()
            .find(|component| component["bom-ref"] == *part);
        let of = of.unwrap_or_else(|| panic!("{part} is no component"));
        assert!(of["licenses"][0]["expression"].is_string(), "{of}");
    }
}

const SECRET: &str = "sesame-of-the-release";

/// A fake OSS with the object, a caller and its role.
fn fake() -> FakeAlibaba {
    let alibaba = FakeAlibaba::start();
    alibaba.put("hello.txt", CONTENT);
    alibaba.add_key("LTAIreleased", SECRET, None, None);
    alibaba.add_role(ROLE, None);
    // As docs/ALIBABA-SETUP.md has it: with more rights the doctor warns.
    alibaba.read_only(ROLE);
    alibaba
}

/// What a person sets, and where the fake is.
fn settings(alibaba: &FakeAlibaba, envoy: u16, sidecar: u16) -> Vec<(&'static str, String)> {
    let at = |port: u16| format!("127.0.0.1:{port}");
    vec![
        ("OSS_BUCKET", BUCKET.to_owned()),
        ("OSS_REGION", REGION.to_owned()),
        ("OSS_OBJECT", "hello.txt".to_owned()),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAIreleased".to_owned()),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET.to_owned()),
        ("ALIBABA_CLOUD_ROLE_ARN", ROLE.to_owned()),
        (
            "ALIBABA_CLOUD_STS_ENDPOINT",
            format!("http://{}", at(alibaba.sts_port)),
        ),
        ("OSS_ADDRESS", at(alibaba.oss_port)),
        ("OSS_TLS", "off".to_owned()),
        ("LISTEN_PORT", envoy.to_string()),
        ("ADMIN_PORT", "0".to_owned()),
        ("STS_SIDECAR_LISTEN", at(sidecar)),
        ("SIDECAR_ADDRESS", at(sidecar)),
    ]
}

/// docs/RELEASE.md.
pub fn document() -> String {
    std::fs::read_to_string(tools::root().join("docs/RELEASE.md")).unwrap()
}

/// The lines of a chapter's code in a language, without what indents them.
pub fn code<'a>(document: &'a str, chapter: &str, language: &str) -> Vec<&'a str> {
    let (_, rest) = document.split_once(&format!("\n## {chapter}\n")).unwrap();
    let chapter = rest.split("\n## ").next().unwrap();
    let mut found = Vec::new();
    let mut is_inside = false;
    for line in chapter.lines().map(str::trim_start) {
        match line.strip_prefix("```") {
            Some(begins) => is_inside = begins == language,
            None if is_inside => found.push(line),
            None => {}
        }
    }
    found
}

/// All commands, as a shell reads them; it ends at the first that fails. The doctor is told
/// that OSS is a fake; the others see that in the environment.
fn script(lines: &[&str]) -> String {
    assert!(lines.len() > 8, "{lines:?}");
    let doctor = "oss-origin-auth doctor ";
    let script = lines.join("\n");
    assert!(script.contains(doctor), "{script}");
    let of_fake = format!("{doctor}--connect \"$OSS_ADDRESS\" --plain-http ");
    format!("set -eu\n{}\n", script.replace(doctor, &of_fake))
}

/// The names that the document tells to set.
fn variables(document: &str) -> Vec<String> {
    let lines = code(document, STEPS, "env");
    let names = lines.iter().filter_map(|line| line.split_once('='));
    let names: Vec<_> = names.map(|(name, _)| name.to_owned()).collect();
    assert!(names.len() > 4, "{names:?}");
    names
}

/// A folder with the programs that the document asks for, and those that every Linux has.
fn programs(folder: &Folder) -> PathBuf {
    let programs = folder.0.with_extension("bin");
    std::fs::create_dir_all(&programs).unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    for name in ["curl", "gzip", "sha256sum", "tar", "uname"] {
        let found = std::env::split_paths(&path).find(|folder| folder.join(name).exists());
        let found = found.unwrap_or_else(|| panic!("{name} is missing"));
        std::os::unix::fs::symlink(found.join(name), programs.join(name)).unwrap();
    }
    std::os::unix::fs::symlink(tools::envoy(), programs.join("envoy")).unwrap();
    programs
}

/// A shell and what it leaves running, in a process group that ends with this value.
struct Steps(Process);

impl Steps {
    fn start(shell: &mut Command) -> Steps {
        use std::os::unix::process::CommandExt;
        Steps(Process::start("steps", shell.process_group(0)))
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
    }
}

/// A folder outside the checkout; removed when dropped, and the programs beside it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let name = format!("oss-origin-auth-{name}-{}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        let _ = std::fs::remove_dir_all(&folder.0);
        std::fs::create_dir_all(&folder.0).unwrap();
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
        let _ = std::fs::remove_dir_all(self.0.with_extension("bin"));
    }
}

/// Where the files of the release are.
pub fn dist() -> PathBuf {
    let folder = tools::target().join("dist");
    assert!(
        folder.join("SHA256SUMS").exists(),
        "{} is missing; `cargo xtask dist` makes it",
        folder.display()
    );
    folder
}

fn copy_release(to: &Path) {
    for file in std::fs::read_dir(dist()).unwrap().flatten() {
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Unpacks the archive of an architecture; where its files are.
pub fn unpack(folder: &Path, architecture: &str) -> PathBuf {
    unpack_archive(
        folder,
        &format!("oss-origin-auth-{VERSION}-{architecture}-linux"),
    )
}

/// Unpacks an archive; where its files are.
pub fn unpack_archive(folder: &Path, name: &str) -> PathBuf {
    run(Command::new("tar")
        .arg("-xzf")
        .arg(dist().join(format!("{name}.tar.gz")))
        .current_dir(folder));
    folder.join(name)
}

/// Whoever builds the same source elsewhere gets the same bytes.
pub fn assert_has_no_path(program: &[u8]) {
    let root = tools::root().display().to_string();
    for path in [root.as_str(), "/.cargo/", "/.rustup/"] {
        let found = program
            .windows(path.len())
            .any(|part| part == path.as_bytes());
        assert!(!found, "{path} stands in it");
    }
}

/// Runs it to its end, which must be a good one; what it has printed.
pub fn run(command: &mut Command) -> String {
    let output = command.output();
    let output = output.unwrap_or_else(|error| {
        panic!("{command:?}: {error}; `cargo xtask test --all` installs it")
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}
