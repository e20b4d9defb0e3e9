//! The instructions of a whole Envoy for a request, counted by callgrind: free of
//! the noise of a machine, and blind to its caches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::origin::Origin;
use testkit::process::scratch;
use testkit::tools;

use super::chains::pick;
use super::envoy::{Chain, Envoy};
use super::load::{self, Load, Objects};
use super::measured::{Added, BASE};
use super::rounds::check;
use crate::command::Result;
use crate::install;

/// Chains that are measured in one process: what valgrind has of address space
/// is enough for two VMs.
const GROUPS: [&[&str]; 6] = [
    &["do-nothing-upstream", "aws-upstream"],
    &["do-nothing-trimmed-upstream", "floor-reads"],
    &["floor-sets", "floor-upstream"],
    &["v4-upstream", "v4-downstream"],
    &["v1-upstream", "v4-upstream-delegated"],
    &["no-callbacks-upstream", "v4-upstream-10000-routes"],
];

/// What each chain adds to no filter, per request.
pub fn count(chains: &[Chain], origin: &Origin, sidecar: u16) -> Result<BTreeMap<String, Added>> {
    install::provide("valgrind", "valgrind")?;
    let mut added = BTreeMap::new();
    for group in GROUPS {
        let chains = pick(chains, &[&[BASE], group].concat());
        let output = scratch("callgrind.out");
        let mut command = Command::new("valgrind");
        command
            .args(["--tool=callgrind", "--instr-atstart=no"])
            // V8 makes and moves code all the time.
            .arg("--smc-check=all-non-file")
            .arg(format!("--callgrind-out-file={}", output.display()))
            .arg(program()?);
        let envoy = Envoy::start_as(command, &chains, origin.oss_port, sidecar, 1)?;
        check(&envoy, &chains, origin)?;
        let mut counter = Counter {
            envoy,
            output,
            dumps: 0,
        };
        let mut counts = BTreeMap::new();
        for chain in &chains {
            counts.insert(chain.name, counter.chain(chain.name)?);
        }
        let base = counts.remove(BASE).unwrap_or_default();
        for (name, of) in counts {
            added.insert(
                name.to_owned(),
                Added {
                    others: of.others - base.others,
                    one: of.one - base.one,
                    large: of.large - base.large,
                    large_without: base.large,
                },
            );
        }
    }
    Ok(added)
}

struct Counter {
    envoy: Envoy,
    output: PathBuf,
    dumps: u32,
}

impl Counter {
    /// All that a request takes, without a filter's share taken out.
    fn chain(&mut self, name: &str) -> Result<Added> {
        let port = self.envoy.port(name);
        let load = |requests, objects| Load {
            requests,
            connections: 1,
            objects,
            headers: 0,
            rate: None,
            signed: false,
        };
        let one = Objects::One("/objects/example.txt");
        // Until V8 has made fast code of it.
        load::run(port, &load(1_500, Objects::Others))?;
        load::run(port, &load(500, one))?;
        Ok(Added {
            others: self.per_request(port, &load(300, Objects::Others))?,
            one: self.per_request(port, &load(300, one))?,
            large: self.per_request(port, &load(60, Objects::One("/large")))?,
            large_without: 0.0,
        })
    }

    fn per_request(&mut self, port: u16, measured: &Load) -> Result<f64> {
        self.control("--instr=on")?;
        load::run(port, measured)?;
        self.control("--zero")?;
        load::run(port, measured)?;
        self.control("--dump")?;
        self.control("--instr=off")?;
        self.dumps += 1;
        let file = format!("{}.{}", self.output.display(), self.dumps);
        let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
        let _ = std::fs::remove_file(&file);
        let summary = text.lines().find_map(|line| line.strip_prefix("summary: "));
        let count: Option<f64> = summary.and_then(|count| count.trim().parse().ok());
        let count = count.ok_or_else(|| format!("{file} has no summary"))?;
        Ok(count / f64::from(measured.requests))
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

/// Envoy itself: what PyPI installs starts it by a script.
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
