//! The cost of the filter, compared with Envoy without it and with its peers. All chains run in
//! one Envoy and in interleaved rounds: machines are noisy, so only what was measured together
//! can be compared.

mod callgrind;
mod chains;
mod compared;
mod envoy;
mod figures;
mod limits;
mod load;
mod measured;
mod natives;
mod report;
mod rounds;
mod session;
mod statistics;

use std::path::PathBuf;

use clap::Args;
use testkit::tools;

use crate::command::{Result, step};
use crate::{install, setup, wasm};
use chains::{Modules, PEERS, pick};
use envoy::{Chain, Envoy};
use load::Objects;
use measured::BASE;
use session::{Length, Session};

/// Measure what the filter costs against its peers; writes benches/RESULTS.md
#[derive(Args)]
pub struct Options {
    /// Fewer and shorter rounds, in less than 3 minutes; writes no file
    #[arg(long)]
    quick: bool,
    /// Load this chain alone, without end, and print Envoy's process id: for a profiler
    #[arg(long, value_name = "CHAIN")]
    hold: Option<String>,
    /// Measure another build of the filter too, on the cluster; a dynamic module if the
    /// file's name ends in .so; writes no file
    #[arg(long, value_name = "NAME=FILE", value_parser = other_build)]
    module: Vec<(String, PathBuf)>,
    /// Measure small bodies over these chains alone, or their instructions with
    /// `--instructions`; writes no file
    #[arg(long, value_name = "CHAIN", value_delimiter = ',')]
    only: Vec<String>,
    /// Ask for one object all the time, with `--hold`, `--module` and `--only`
    #[arg(long)]
    one_object: bool,
    /// Count instructions alone; writes no file
    #[arg(long)]
    instructions: bool,
    /// Measure starts alone; writes no file
    #[arg(long, conflicts_with_all = ["instructions", "only", "hold", "quick", "one_object"])]
    starts: bool,
    /// Measure the latency alone; writes no file
    #[arg(long, conflicts_with_all = ["starts", "instructions", "only", "hold", "quick", "one_object"])]
    latency: bool,
    /// Keep callgrind's profile of each chain in this folder, for callgrind_annotate
    #[arg(long, value_name = "FOLDER", requires = "instructions")]
    profiles: Option<PathBuf>,
}

fn other_build(text: &str) -> std::result::Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("must be NAME=FILE")?;
    let file = PathBuf::from(file)
        .canonicalize()
        .map_err(|error| format!("{file}: {error}"))?;
    Ok((name.to_owned(), file))
}

/// Runs the measurements, and prints the results.
pub fn run(options: &Options) -> Result {
    setup::install_python_packages(&setup::LISTS)?;
    step("building the filter");
    wasm::build_filter()?;
    install::provide("h2load", "nghttp2-client")?;
    let mut chains = chains::all(&Modules::build()?);
    for (name, file) in &options.module {
        chains.push(chains::other_build(name, file)?);
    }
    let session = Session::open(chains, options.length(), options.objects());
    if options.instructions {
        let counted = session.instructions(&options.named(), options.profiles.as_deref())?;
        print!("{}", report::instructions(&counted));
        return Ok(());
    }

    if options.starts {
        print!("{}", report::starts(&session.starts(&options.named())?));
        return Ok(());
    }

    if options.latency {
        print!("{}", report::latency(&session.latency()?));
        return Ok(());
    }

    let compared = options.compared(&session.chains);
    let (known, others) = compared.split_at(compared.len() - options.module.len());
    let envoy = session.start(&compared)?;
    session.check(&envoy, known, others)?;
    if let Some(name) = &options.hold {
        hold(&session, &envoy, name)?;
    }
    step("small bodies");
    if options.is_partial() {
        let costs = session.short_costs(&envoy, &compared)?;
        print!("{}", report::small_table(&costs));
        return Ok(());
    }
    let small = session.costs(&envoy, &compared)?;
    let mut measured = session.compare(&envoy, small)?;
    if options.quick {
        let figures = figures::lines(&figures::all(&measured));
        print!("{}\n{figures}", report::tables(&measured));
        return Ok(());
    }
    session.measure_more(&envoy, &mut measured)?;
    measured.instructions = session.instructions(&[], None)?;
    let text = report::whole(&measured);
    print!("{text}");
    let file = tools::root().join("benches/RESULTS.md");
    std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))
}

/// Loads one chain until this program is stopped.
fn hold(session: &Session, envoy: &Envoy, chain: &str) -> Result {
    eprintln!("Envoy's process id: {}", envoy.process.id());
    loop {
        load::run(envoy.port(chain), &session.small)?;
    }
}

impl Options {
    /// Whether only some chains are measured, and only with small bodies.
    fn is_partial(&self) -> bool {
        !self.only.is_empty() || !self.module.is_empty()
    }

    /// The chains and other builds that are named.
    fn named(&self) -> Vec<&str> {
        let builds = self.module.iter().map(|(build, _)| build);
        self.only.iter().chain(builds).map(String::as_str).collect()
    }

    fn length(&self) -> Length {
        if self.quick {
            Length::QUICK
        } else {
            Length::FULL
        }
    }

    fn objects(&self) -> Objects {
        if self.one_object {
            session::ONE
        } else {
            Objects::Others
        }
    }

    /// The chains of the Envoy in which most comparisons are made. With all chains it would
    /// measure how they displace one another in the caches.
    fn compared(&self, chains: &[Chain]) -> Vec<Chain> {
        if !self.is_partial() && self.hold.is_none() {
            return pick(chains, &PEERS);
        }
        let mut compared = chains.to_vec();
        if !self.only.is_empty() {
            let is_build = |name: &str| self.module.iter().any(|(build, _)| build == name);
            let is_wanted = |name: &str| self.only.iter().any(|wanted| wanted == name);
            compared.retain(|chain| {
                chain.name == BASE || is_build(chain.name) || is_wanted(chain.name)
            });
        }
        compared
    }
}
