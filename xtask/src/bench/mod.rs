//! What the filter costs, against what Envoy costs without it and with its
//! peers, in one Envoy and in interleaved rounds: machines are noisy, so that
//! only what was measured together can be compared.

mod callgrind;
mod envoy;
mod load;
mod report;
mod statistics;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use testkit::origin::Origin;
use testkit::process::wait_until;
use testkit::stub::Behaviour;
use testkit::{Request, StubSidecar, tools};

use crate::setup::step;
use crate::{Result, install, wasm};
use callgrind::Added;
use envoy::{Chain, Envoy};
use load::{Load, Objects};

/// Measure what the filter costs against its peers; writes benches/RESULTS.md
#[derive(Args)]
pub struct Options {
    /// Fewer and shorter rounds, in less than 3 minutes; writes no file
    #[arg(long)]
    quick: bool,
    /// Load this chain alone, without end, and tell Envoy's process id: for a
    /// profiler
    #[arg(long, value_name = "CHAIN")]
    hold: Option<String>,
    /// Measure another build of the filter too, on the cluster; writes no file
    #[arg(long, value_name = "NAME=FILE", value_parser = other_build)]
    module: Vec<(String, PathBuf)>,
    /// Measure small bodies over these chains alone; writes no file
    #[arg(long, value_name = "CHAIN", value_delimiter = ',')]
    only: Vec<String>,
    /// Ask for one object all the time, with `--hold`, `--module` and `--only`
    #[arg(long)]
    one_object: bool,
    /// Count instructions alone; writes no file
    #[arg(long)]
    instructions: bool,
}

fn other_build(text: &str) -> std::result::Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("must be NAME=FILE")?;
    let file = PathBuf::from(file)
        .canonicalize()
        .map_err(|error| format!("{file}: {error}"))?;
    Ok((name.to_owned(), file))
}

const LARGE: usize = 16 << 20;
const CONNECTIONS: u32 = 16;

/// CPU time of Envoy in seconds, by subject: one value a round.
type Costs = BTreeMap<&'static str, Vec<f64>>;

/// All that was measured.
struct Measured {
    rounds: usize,
    requests: u32,
    /// Per request, beside the peers; every request is for another object.
    small: Costs,
    /// The same with one object.
    hot: Costs,
    /// The same of the steps that make the floor.
    floor: Costs,
    /// The same with many routes and credentials.
    scale: Costs,
    /// Per request with 20 more headers.
    headers: Costs,
    /// Per body of [`LARGE`] bytes.
    large: Costs,
    /// Microseconds of each request at a fixed rate.
    latency: Vec<(&'static str, Vec<u64>)>,
    /// By the number of workers: per request, and the resident memory in KiB.
    workers: Vec<(u32, &'static str, f64, u64)>,
    start: Option<Start>,
    /// By chain.
    instructions: BTreeMap<String, Added>,
    module_bytes: u64,
}

/// What a new Envoy takes.
struct Start {
    without: Duration,
    with: Duration,
    /// Of the very first request, which waits for credentials.
    first_request: Duration,
    second_request: Duration,
}

pub fn run(options: &Options) -> Result {
    crate::setup::run()?;
    install::provide("h2load", "nghttp2-client")?;
    let module = tools::filter_wasm();
    let nothing = wasm::build_peer("bench-do-nothing", "bench_do_nothing")?;
    let trimmed = nothing.with_file_name("bench_do_nothing_trimmed.wasm");
    wasm::trim(&nothing, &trimmed, &wasm::HEADERS_ONLY)?;
    let silent = nothing.with_file_name("bench_silent.wasm");
    wasm::trim(&nothing, &silent, &wasm::NO_CALLBACKS)?;
    let floor = wasm::build_peer("bench-floor", "bench_floor")?;
    wasm::trim(&floor, &floor, &wasm::HEADERS_ONLY)?;
    let mut chains = chains(&Modules {
        filter: module.clone(),
        nothing,
        trimmed,
        silent,
        floor,
    });
    for (name, file) in &options.module {
        chains.push(Chain {
            // Names live as long as the program: a handful.
            name: String::leak(name.clone()),
            downstream: None,
            upstream: Some(envoy::wasm(name, file, &settings("v4", 0, 1))),
        });
    }
    let all = chains.clone();
    // One Envoy with all of them at once would measure how they crowd one another
    // out of the caches.
    let (floor, scale) = (pick(&chains, &FLOOR), pick(&chains, &SCALE));
    let alone = !options.only.is_empty() || !options.module.is_empty();
    if !alone && options.hold.is_none() {
        chains = pick(&chains, &PEERS);
    }
    if !options.only.is_empty() {
        let extra = |chain: &Chain| options.module.iter().any(|(name, _)| name == chain.name);
        chains.retain(|chain| {
            chain.name == report::BASE
                || extra(chain)
                || options.only.iter().any(|name| name == chain.name)
        });
    }
    let (rounds, requests, bodies) = match options.quick {
        true => (11, 2_200, 24),
        false => (21, 8_000, 96),
    };

    let origin = Origin::open(LARGE);
    let sidecar = StubSidecar::start(Behaviour::body(200, credentials()));
    if options.instructions {
        let counts = callgrind::count(&all, &origin, sidecar.port)?;
        print!("{}", report::instructions(&counts));
        return Ok(());
    }
    let envoy = Envoy::start(&chains, origin.oss_port, sidecar.port, 1)?;
    let one = Objects::One("/objects/example.txt");
    let small = Load {
        requests,
        connections: CONNECTIONS,
        objects: match options.one_object {
            true => one,
            false => Objects::Others,
        },
        headers: 0,
        rate: None,
    };
    let (known, others) = chains.split_at(chains.len() - options.module.len());
    check(&envoy, known, &origin)?;
    for other in others {
        let port = envoy.port(other.name);
        wait_until(other.name, || Request::get("/a").send(port).status == 200);
    }

    if let Some(name) = &options.hold {
        eprintln!("Envoy's process id: {}", envoy.process.id());
        loop {
            load::run(envoy.port(name), &small)?;
        }
    }

    step("small bodies");
    let names: Vec<_> = chains.iter().map(|chain| chain.name).collect();
    let measured = rounds_of(&envoy, &names, rounds, &small)?;
    if alone {
        print!("{}", report::small_table(&measured));
        return Ok(());
    }
    step("one object");
    let hot = Load {
        objects: one,
        ..small
    };
    let hot = rounds_of(&envoy, &HOT, rounds, &hot)?;
    step("large bodies");
    let large = Load {
        requests: bodies,
        connections: 4,
        objects: Objects::One("/large"),
        ..small
    };
    let compared = [
        report::BASE,
        report::AGAIN,
        "aws-upstream",
        "do-nothing-upstream",
        "v4-upstream",
        "v4-downstream",
        "v4-upstream-delegated",
    ];
    // The limit lies at 2 %, and the noise is greater.
    let large_rounds = if options.quick { rounds } else { 2 * rounds };
    let large = rounds_of(&envoy, &compared, large_rounds, &large)?;
    let group = |chains: &[Chain]| -> Result<Costs> {
        let envoy = Envoy::start(chains, origin.oss_port, sidecar.port, 1)?;
        check(&envoy, chains, &origin)?;
        let names: Vec<_> = chains.iter().map(|chain| chain.name).collect();
        rounds_of(&envoy, &names, rounds, &small)
    };
    step("the floor");
    let floor = group(&floor)?;
    step("many routes and credentials");
    let scale = group(&scale)?;
    let mut measured = Measured {
        rounds,
        requests,
        small: measured,
        hot,
        floor,
        scale,
        headers: Costs::new(),
        large,
        latency: Vec::new(),
        workers: Vec::new(),
        start: None,
        instructions: BTreeMap::new(),
        module_bytes: std::fs::metadata(&module).map_or(0, |file| file.len()),
    };
    if options.quick {
        print!(
            "{}\n{}",
            report::tables(&measured),
            report::lines(&measured)
        );
        return Ok(());
    }
    more(
        &mut measured,
        &envoy,
        &chains,
        &small,
        [origin.oss_port, sidecar.port],
    )?;
    step("instructions");
    measured.instructions = callgrind::count(&all, &origin, sidecar.port)?;
    let text = report::whole(&measured);
    print!("{text}");
    let file = tools::root().join("benches/RESULTS.md");
    std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))
}

/// What only the long run measures.
fn more(
    measured: &mut Measured,
    envoy: &Envoy,
    chains: &[Chain],
    small: &Load,
    [origin, sidecar]: [u16; 2],
) -> Result {
    let compared = ["no-filter", "v4-upstream"];
    step("more headers");
    let load = Load {
        headers: 20,
        ..*small
    };
    measured.headers = rounds_of(envoy, &compared, measured.rounds, &load)?;
    step("latency");
    for name in [
        "no-filter",
        "do-nothing-upstream",
        "aws-upstream",
        "v4-upstream",
    ] {
        let load = Load {
            requests: 5_000,
            connections: 4,
            rate: Some(125),
            ..*small
        };
        let times = load::run(envoy.port(name), &load)?;
        measured.latency.push((name, times));
    }
    step("workers");
    for workers in [1, 2, 4] {
        for name in compared {
            let envoy = Envoy::start(&pick(chains, &[name]), origin, sidecar, workers)?;
            let costs = rounds_of(&envoy, &[name], 5, small)?;
            let cost = statistics::median(costs[name].iter().copied());
            measured
                .workers
                .push((workers, name, cost, envoy.process.resident_kib()));
        }
    }
    step("start");
    measured.start = Some(start(
        &pick(chains, &["no-filter"]),
        &pick(chains, &["v4-upstream"]),
        origin,
        sidecar,
    )?);
    Ok(())
}

fn start(without: &[Chain], with: &[Chain], origin: u16, sidecar: u16) -> Result<Start> {
    let mut starts = [Vec::new(), Vec::new()];
    let mut requests = [Vec::new(), Vec::new()];
    for _ in 0..7 {
        for (chains, times) in [without, with].into_iter().zip(&mut starts) {
            let envoy = Envoy::start(chains, origin, sidecar, 1)?;
            times.push(envoy.started_in.as_secs_f64());
            if let Some(port) = chains.first().filter(|chain| chain.upstream.is_some()) {
                for times in &mut requests {
                    let begin = Instant::now();
                    let _ = Request::get("/a").send(envoy.port(port.name));
                    times.push(begin.elapsed().as_secs_f64());
                }
            }
        }
    }
    let of = |times: &Vec<f64>| Duration::from_secs_f64(statistics::median(times.iter().copied()));
    Ok(Start {
        without: of(&starts[0]),
        with: of(&starts[1]),
        first_request: of(&requests[0]),
        second_request: of(&requests[1]),
    })
}

fn pick(chains: &[Chain], names: &[&str]) -> Vec<Chain> {
    let chosen = chains.iter().filter(|chain| names.contains(&chain.name));
    chosen.cloned().collect()
}

const PEERS: [&str; 11] = [
    report::BASE,
    report::AGAIN,
    "do-nothing-downstream",
    "do-nothing-upstream",
    "aws-downstream",
    "aws-upstream",
    "v4-downstream",
    "v4-upstream",
    "v4-upstream-delegated",
    "v1-downstream",
    "v1-upstream",
];

const HOT: [&str; 7] = [
    report::BASE,
    "do-nothing-upstream",
    "aws-upstream",
    "v4-downstream",
    "v4-upstream",
    "v1-downstream",
    "v1-upstream",
];

const FLOOR: [&str; 9] = [
    report::BASE,
    "do-nothing-upstream",
    "aws-upstream",
    "no-callbacks-upstream",
    "do-nothing-trimmed-upstream",
    "floor-reads",
    "floor-sets",
    "floor-upstream",
    "v4-upstream",
];

const SCALE: [&str; 6] = [
    report::BASE,
    "v4-upstream",
    "v4-upstream-1-route",
    "v4-upstream-100-routes",
    "v4-upstream-10000-routes",
    "v4-upstream-100-credentials",
];

struct Modules {
    filter: PathBuf,
    nothing: PathBuf,
    /// The same, with the exports of a filter that looks at headers.
    trimmed: PathBuf,
    /// The same, with none.
    silent: PathBuf,
    floor: PathBuf,
}

fn chains(modules: &Modules) -> Vec<Chain> {
    let upstream = |name, filter| Chain {
        name,
        downstream: None,
        upstream: Some(filter),
    };
    let downstream = |name, filter| Chain {
        name,
        downstream: Some(filter),
        upstream: None,
    };
    let peer = |name, module| envoy::wasm(name, module, &json!({}));
    let floor = |name, steps: u8| envoy::wasm(name, &modules.floor, &json!(steps));
    // As the smallest configuration has it, and tuned.
    let ours = |name, settings| envoy::wasm(name, &modules.filter, &settings);
    let delegated = |name, settings| testkit::envoy::not_of_2xx(&ours(name, settings));
    let v4 = |routes, credentials| settings("v4", routes, credentials);
    let v1 = || settings("v1", 0, 1);
    vec![
        Chain {
            name: "no-filter",
            downstream: None,
            upstream: None,
        },
        Chain {
            name: report::AGAIN,
            downstream: None,
            upstream: None,
        },
        downstream("do-nothing-downstream", peer("nothing-d", &modules.nothing)),
        upstream("do-nothing-upstream", peer("nothing-u", &modules.nothing)),
        downstream("aws-downstream", envoy::aws_request_signing()),
        upstream("aws-upstream", envoy::aws_request_signing()),
        upstream("no-callbacks-upstream", peer("silent", &modules.silent)),
        upstream(
            "do-nothing-trimmed-upstream",
            peer("trimmed", &modules.trimmed),
        ),
        upstream("floor-reads", floor("floor-1", 1)),
        upstream("floor-sets", floor("floor-2", 2)),
        upstream("floor-upstream", floor("floor-3", 3)),
        downstream("v4-downstream", ours("v4-d", v4(0, 1))),
        upstream("v4-upstream", ours("v4-u", v4(0, 1))),
        upstream("v4-upstream-delegated", delegated("v4-t", v4(0, 1))),
        downstream("v1-downstream", ours("v1-d", v1())),
        upstream("v1-upstream", ours("v1-u", v1())),
        upstream("v4-upstream-1-route", ours("v4-1", v4(1, 1))),
        upstream("v4-upstream-100-routes", ours("v4-100", v4(100, 1))),
        upstream("v4-upstream-10000-routes", ours("v4-10000", v4(10_000, 1))),
        upstream("v4-upstream-100-credentials", ours("v4-c", v4(0, 100))),
    ]
}

/// The filter's. The route that all requests take is the last of `routes`, if
/// there are any, and has the last of the credentials.
fn settings(version: &str, routes: usize, credentials: usize) -> Value {
    let names: Vec<String> = (0..credentials).map(|n| format!("name-{n}")).collect();
    let mut settings = json!({"defaults": {
        "bucket": "demo-bucket",
        "region": "cn-hangzhou",
        "signature_version": version,
        "credentials": names.last(),
    }});
    for name in names {
        settings["credentials"][name] = json!({"sidecar": {"cluster": "sts_sidecar"}});
    }
    for number in 1..=routes {
        let name = match number == routes {
            true => envoy::ROUTE.to_owned(),
            false => format!("route-{number}"),
        };
        settings["routes"][name] = json!({"bucket": format!("demo-bucket-{number}")});
    }
    settings
}

fn credentials() -> String {
    json!({"Code": "Success", "AccessKeyId": "STS.example", "AccessKeySecret": "secret",
           "SecurityToken": "t".repeat(envoy::TOKEN_LENGTH),
           "Expiration": "2099-01-01T00:00:00Z"})
    .to_string()
}

/// That each chain does what it is measured for.
fn check(envoy: &Envoy, chains: &[Chain], origin: &Origin) -> Result {
    for chain in chains {
        let signs = ["v4", "v1", "aws", "floor-sets", "floor-upstream"]
            .iter()
            .any(|signer| chain.name.starts_with(signer));
        let port = envoy.port(chain.name);
        wait_until(chain.name, || Request::get("/a").send(port).status == 200);
        let before = origin.signed();
        let _ = Request::get("/a").send(port);
        if (origin.signed() > before) != signs {
            return Err(format!("{}: signed is not {signs}", chain.name));
        }
    }
    Ok(())
}

/// Each of `names` in every round, in an order that changes.
fn rounds_of(envoy: &Envoy, names: &[&'static str], rounds: usize, load: &Load) -> Result<Costs> {
    for name in names {
        load::run(envoy.port(name), load)?;
    }
    let mut costs = Costs::new();
    for round in 0..rounds {
        for index in 0..names.len() {
            // Now forwards, now backwards, so that neighbours change too.
            let at = match round % 2 {
                0 => index,
                _ => names.len() - 1 - index,
            };
            let name = names[(at + round) % names.len()];
            let before = envoy.cpu_time()?;
            load::run(envoy.port(name), load)?;
            let used = envoy.cpu_time()? - before;
            costs
                .entry(name)
                .or_default()
                .push(used.as_secs_f64() / f64::from(load.requests));
        }
    }
    Ok(costs)
}
