//! The files of a release.

mod again;
mod content;
mod image;
mod packages;
mod papers;
mod tree;

use std::path::Path;
use std::process::Command;

use testkit::tools;

use crate::command::{Result, step};
use crate::native::{self, ARCHITECTURES};
use crate::place::Place;
use crate::{module, wasm};

use packages::Package;
use tree::{Tree, gzip};

/// Write what a release consists of into target/dist/: the module for Envoy's VM, the native
/// module and the command for x86_64 and aarch64, images, the configuration's schema,
/// checksums, SBOM, notices
#[derive(clap::Args)]
pub struct Options {
    /// Build a second time, in a copy in another folder, and compare every byte
    #[arg(long)]
    check: Option<again::What>,
}

/// Writes target/dist/, and prints its checksums.
pub fn run(options: &Options) -> Result {
    let (folder, time) = (tools::target().join("dist"), time()?);
    let sums = write(&Place::here(), &folder, time)?;
    print!("{sums}");
    println!("{}", folder.display());
    match options.check {
        Some(what) => again::compare(what, &folder, time),
        None => Ok(()),
    }
}

/// The programs that the tests of a release need, and those that build it, each with its Debian
/// packages.
pub fn packages() -> Vec<(&'static str, &'static str)> {
    let mut needs = vec![
        ("docker-registry", "docker-registry"),
        ("openssl", "openssl"),
        ("skopeo", "skopeo"),
        ("umoci", "umoci"),
    ];
    for architecture in ARCHITECTURES {
        needs.push(native::compiler(architecture));
    }
    // This program starts the command of the other architecture.
    needs.push(match native::HOST == "aarch64" {
        true => ("qemu-x86_64-static", "qemu-user-static"),
        false => ("qemu-aarch64-static", "qemu-user-static"),
    });
    needs
}

/// Builds the release that its tests read.
pub fn provide() -> Result {
    write(&Place::here(), &tools::target().join("dist"), time()?).map(|_| ())
}

/// Writes a release of a source tree into a folder; returns its checksums.
fn write(place: &Place, folder: &Path, time: u64) -> Result<String> {
    let module = read(&wasm::build_filter_in(place)?)?;
    let (mut commands, mut natives) = (Vec::new(), Vec::new());
    for architecture in ARCHITECTURES {
        let command = native::build(place, architecture)?;
        commands.push((architecture, read(&command)?));
        let native = module::build(place, architecture)?;
        natives.push((architecture, read(&native)?));
    }
    step(&format!("writing {}", folder.display()));
    let packages = packages::all(place)?;
    let release = Release {
        place,
        version: version(&packages)?,
        time,
        notices: papers::notices(&packages),
        license: read(&place.root.join("LICENSE"))?,
        module,
        commands,
        natives,
    };
    let tree = release.files(&packages)?;
    tree.write(folder)?;
    read(&folder.join(SUMS)).map(|sums| String::from_utf8_lossy(&sums).into_owned())
}

const SUMS: &str = "SHA256SUMS";

/// The parts that the files of a release are made from.
struct Release<'a> {
    place: &'a Place,
    version: String,
    /// The time of change of all files, in seconds since 1970.
    time: u64,
    notices: String,
    license: Vec<u8>,
    module: Vec<u8>,
    /// The commands, by their architectures.
    commands: Vec<(&'static str, Vec<u8>)>,
    /// The native modules, by their architectures.
    natives: Vec<(&'static str, Vec<u8>)>,
}

impl Release<'_> {
    fn files(&self, packages: &[Package]) -> Result<Tree> {
        let Release { version, time, .. } = self;
        let mut tree = Tree::default();
        tree.file("oss_origin_auth.wasm", self.module.as_slice());
        for (architecture, command) in &self.commands {
            let name = format!("oss-origin-auth-{version}-{architecture}-linux");
            let archive = content::archive(self.place, &name, command, &self.notices)?;
            tree.file(&format!("{name}.tar.gz"), gzip(&archive.tar(*time)?)?);
        }
        for (architecture, native) in &self.natives {
            let name = format!("oss-origin-auth-native-{version}-{architecture}-linux");
            let archive = content::native(&name, native, &self.notices, &self.license);
            tree.file(&format!("{name}.tar.gz"), gzip(&archive.tar(*time)?)?);
        }
        let schema = self.place.root.join("docs/configuration.schema.json");
        tree.file("configuration.schema.json", read(&schema)?);
        let layer = |(architecture, command): &(&str, Vec<u8>)| {
            let root = content::command_root(command, &self.notices, &self.license);
            (oci_name(architecture), root)
        };
        let layers = self.commands.iter().map(layer).collect();
        for image in [
            content::filter_image(version, &self.module),
            content::command_image(version, layers),
        ] {
            let name = format!("{}-{version}.oci.tar", image.name);
            tree.file(&name, image.archive(*time)?);
        }
        tree.file("LICENSE", self.license.as_slice());
        tree.file("NOTICES.txt", self.notices.as_str());
        let sbom = papers::sbom(packages, version);
        let sbom = serde_json::to_string_pretty(&sbom).map_err(|error| error.to_string())?;
        tree.file("sbom.cdx.json", sbom);
        let sums = tree.files().map(|(name, content)| {
            let sum = image::sha256(content);
            format!("{sum}  {name}\n")
        });
        let sums: String = sums.collect();
        tree.file(SUMS, sums);
        Ok(tree)
    }
}

/// Writes the files that the Dockerfile takes from this machine into target/image/: the
/// modules, and the files of the command's image for this architecture.
pub fn build_image() -> Result {
    let place = Place::here();
    let mut tree = Tree::default();
    let module = wasm::build_filter_in(&place)?;
    tree.file("oss_origin_auth.wasm", read(&module)?);
    let native = module::build(&place, native::HOST)?;
    tree.file(module::FILE, read(&native)?);
    let command = read(&native::build(&place, native::HOST)?)?;
    let notices = papers::notices(&packages::all(&place)?);
    let license = read(&place.root.join("LICENSE"))?;
    let root = content::command_root(&command, &notices, &license);
    tree.folder("root", &root);
    tree.write(&tools::target().join("image"))
}

/// The version of the command's package.
fn version(packages: &[Package]) -> Result<String> {
    let command = packages
        .iter()
        .find(|package| package.name == native::PACKAGE);
    let version = command.map(|package| package.version.clone());
    version.ok_or_else(|| format!("cargo metadata: no package {}", native::PACKAGE))
}

/// `SOURCE_DATE_EPOCH`, or the time of the last commit, or 1980. It is the same for everybody
/// who builds the same source.
fn time() -> Result<u64> {
    if let Ok(set) = std::env::var("SOURCE_DATE_EPOCH") {
        let time = set.parse();
        return time.map_err(|_| format!("SOURCE_DATE_EPOCH is `{set}`: it must be a number"));
    }
    let output = Command::new("git")
        .args(["log", "--max-count=1", "--format=%ct"])
        .current_dir(tools::root())
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let time = text.ok().and_then(|text| text.trim().parse().ok());
    Ok(time.unwrap_or_else(|| {
        eprintln!("NOTE: git knows no commit here; the files get the time 1980-01-01");
        315_532_800
    }))
}

/// The name of an architecture in images.
fn oci_name(architecture: &str) -> &'static str {
    match architecture {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}
