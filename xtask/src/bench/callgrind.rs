//! The instructions of a whole Envoy for a request, counted by callgrind. The counts have no
//! noise of the machine, and do not show its caches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::origin::Origin;
use testkit::process::scratch;
use testkit::tools;

use super::chains::{checks, pick};
use super::envoy::{Chain, Envoy};
use super::load::{self, Load, Objects};
use super::measured::{Added, BASE};
use super::rounds::check;
use crate::command::{Result, step};
use crate::install;

/// The chains that are counted by default.
pub const COUNTED: [&str; 19] = [
    "do-nothing-upstream",
    "aws-upstream",
    "do-nothing-trimmed-upstream",
    "floor-reads",
    "floor-sets",
    "floor-answers",
    "no-callbacks-upstream",
    "floor-upstream",
    "v4-upstream",
    "v4-downstream",
    "v1-upstream",
    "v4-upstream-delegated",
    "v4-upstream-10000-routes",
    "native-do-nothing-upstream",
    "native-upstream",
    "native-v1-upstream",
    "native-downstream",
    "native-access-downstream",
    "native-upstream-10000-routes",
];

/// The number of chains with a VM that are counted in one process: valgrind's address space
/// suffices for two.
const VMS_AT_ONCE: usize = 2;

/// Counts the instructions that each of `names` adds to a request without a filter. The folder
/// `profiles` keeps what callgrind writes for each.
pub fn count(
    chains: &[Chain],
    names: &[&str],
    origin: &Origin,
    sidecar: u16,
    profiles: Option<&Path>,
) -> Result<BTreeMap<String, Added>> {
    install::provide("valgrind", "valgrind")?;
    let mut added = BTreeMap::new();
    let has_vm = |name: &&str| {
        let mut all = chains.iter();
        all.any(|chain| chain.name == *name && chain.has_vm())
    };
    let (with_vm, without): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| has_vm(name));
    let groups = with_vm.chunks(VMS_AT_ONCE).chain([&without[..]]);
    for group in groups.filter(|group| !group.is_empty()) {
        step(&format!("instructions of {}", group.join(", ")));
        let chains = pick(chains, &[&[BASE], group].concat());
        let counts = count_group(&chains, origin, sidecar, profiles)?;
        let base = counts.get(BASE).copied().unwrap_or_default();
        for (name, of) in counts.into_iter().filter(|(name, _)| *name != BASE) {
            let added_by = Added {
                others: of.others - base.others,
                one: of.one - base.one,
                large: of.large - base.large,
                large_without: base.large,
            };
            added.insert(name.to_owned(), added_by);
        }
    }
    Ok(added)
}

/// Counts all instructions of a request over each of these chains.
fn count_group(
    chains: &[Chain],
    origin: &Origin,
    sidecar: u16,
    profiles: Option<&Path>,
) -> Result<BTreeMap<&'static str, Added>> {
    let output = scratch("callgrind.out");
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--instr-atstart=no"])
        // V8 creates and moves code all the time.
        .arg("--smc-check=all-non-file")
        .arg(format!("--callgrind-out-file={}", output.display()))
        .arg(program()?);
    let envoy = Envoy::start_as(command, chains, origin.oss_port, sidecar, 1)?;
    check(&envoy, chains, origin)?;
    let mut counter = Counter {
        envoy,
        output,
        profiles,
        dumps: 0,
    };
    let mut counts = BTreeMap::new();
    for chain in chains {
        counts.insert(chain.name, counter.count(chain)?);
    }
    Ok(counts)
}

struct Counter<'a> {
    envoy: Envoy,
    output: PathBuf,
    profiles: Option<&'a Path>,
    dumps: u32,
}

impl Counter<'_> {
    /// Counts all instructions of a request over a chain, including those without a filter.
    fn count(&mut self, chain: &Chain) -> Result<Added> {
        let name = chain.name;
        let port = self.envoy.port(name);
        let load = |requests, objects| Load {
            requests,
            connections: 1,
            objects,
            headers: 0,
            rate: None,
            signed: checks(name),
        };
        let one = Objects::One("/objects/example.txt");
        // V8 compiles what is called often, at times of its own.
        let (warm_up, runs) = match chain.has_vm() {
            true => (20_000, 3),
            false => (1_500, 1),
        };
        load::run(port, &load(warm_up, Objects::Others))?;
        load::run(port, &load(1_000, one))?;
        let mut count = |what, load| {
            let what = format!("{name}.{what}");
            self.per_request(&what, port, &load, runs)
        };
        Ok(Added {
            others: count("others", load(300, Objects::Others))?,
            one: count("one", load(300, one))?,
            large: count("large", load(60, Objects::One("/large")))?,
            large_without: 0.0,
        })
    }

    /// The least of some runs: other work of Envoy, such as V8's compiler, only adds.
    fn per_request(&mut self, what: &str, port: u16, load: &Load, runs: u32) -> Result<f64> {
        self.control("--instr=on")?;
        load::run(port, load)?;
        let mut least = f64::INFINITY;
        for _ in 0..runs {
            self.control("--zero")?;
            load::run(port, load)?;
            self.control("--dump")?;
            let profile = self.take_dump()?;
            let summary = profile
                .lines()
                .find_map(|line| line.strip_prefix("summary: "));
            let count: Option<f64> = summary.and_then(|count| count.trim().parse().ok());
            let count = count.ok_or_else(|| format!("{what}: the profile has no summary"))?;
            if count < least {
                least = count;
                self.keep(what, &profile)?;
            }
        }
        self.control("--instr=off")?;
        Ok(least / f64::from(load.requests))
    }

    /// Takes the last file that callgrind has written.
    fn take_dump(&mut self) -> Result<String> {
        self.dumps += 1;
        let file = format!("{}.{}", self.output.display(), self.dumps);
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
        let _ = std::fs::remove_file(&file);
        Ok(text)
    }

    fn keep(&self, what: &str, profile: &str) -> Result {
        let Some(folder) = self.profiles else {
            return Ok(());
        };
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(folder.join(what), profile));
        written.map_err(|error| format!("{}: {error}", folder.display()))
    }

    fn control(&self, what: &str) -> Result {
        let id = self.envoy.process.id().to_string();
        let output = Command::new("callgrind_control")
            .args([what, &id])
            .output()
            .map_err(|error| format!("callgrind_control: {error}"))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("callgrind_control {what}: {output:?}")),
        }
    }
}

/// The program of Envoy itself; PyPI installs a script that starts it.
fn program() -> Result<PathBuf> {
    let envoy = tools::envoy();
    let is_program = |file: &Path| {
        let mut magic = [0; 4];
        let read = std::fs::File::open(file)
            .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut magic));
        read.is_ok() && magic == *b"\x7fELF"
    };
    if is_program(&envoy) {
        return Ok(envoy);
    }
    let libraries = tools::target().join("venv/lib");
    let mut versions = std::fs::read_dir(&libraries)
        .into_iter()
        .flatten()
        .flatten();
    let found = versions.find_map(|version| {
        let file = version.path().join("site-packages/envoy/_bin/envoy");
        is_program(&file).then_some(file)
    });
    found.ok_or_else(|| format!("no Envoy under {}", libraries.display()))
}
