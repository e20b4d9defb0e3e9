//! The chains of filters that are compared, and the groups that are measured together.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use oss_origin_auth_core::access::{Keys, UrlSigning, UrlType};
use oss_origin_auth_core::credentials::Secret;
use serde_json::{Value, json};
use testkit::tools;

use super::envoy::{self, Chain, URL_KEY};
use super::measured::{AGAIN, BASE, NATIVE, OURS};
use super::natives;
use crate::command::Result;
use crate::wasm;

/// The modules that the chains run.
pub struct Modules {
    filter: PathBuf,
    nothing: PathBuf,
    /// The module `nothing` with the filter's exports alone.
    trimmed: PathBuf,
    /// The module `nothing` without exports.
    silent: PathBuf,
    floor: PathBuf,
}

impl Modules {
    /// Takes the filter that was built before, and builds its peers.
    pub fn build() -> Result<Modules> {
        let nothing = wasm::build_peer("bench-do-nothing", "bench_do_nothing")?;
        let trimmed = nothing.with_file_name("bench_do_nothing_trimmed.wasm");
        wasm::trim(&nothing, &trimmed, &wasm::EXPORTS)?;
        let silent = nothing.with_file_name("bench_silent.wasm");
        wasm::trim(&nothing, &silent, &wasm::NO_CALLBACKS)?;
        let floor = wasm::build_peer("bench-floor", "bench_floor")?;
        wasm::trim(&floor, &floor, &wasm::EXPORTS)?;
        natives::build()?;
        Ok(Modules {
            filter: tools::filter_wasm(),
            nothing,
            trimmed,
            silent,
            floor,
        })
    }
}

/// The size of the wasm filter.
pub fn module_bytes() -> Result<u64> {
    let file = tools::filter_wasm();
    std::fs::metadata(&file)
        .map(|metadata| metadata.len())
        .map_err(|error| format!("{}: {error}", file.display()))
}

/// All chains.
pub fn all(modules: &Modules) -> Vec<Chain> {
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
    // The filter as in the smallest configuration, and tuned.
    let ours = |name, settings| envoy::wasm(name, &modules.filter, &settings);
    let delegated = |name, settings| testkit::envoy::not_of_2xx(&ours(name, settings));
    let v4 = |routes, credentials| settings("v4", routes, credentials);
    let v1 = || settings("v1", 0, 1);
    let checks = || with_key(ours("access", access()));
    let mut chains = vec![
        Chain {
            name: BASE,
            downstream: None,
            upstream: None,
        },
        Chain {
            name: AGAIN,
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
        upstream("floor-answers", floor("floor-3", 3)),
        upstream("floor-upstream", floor("floor-4", 4)),
        downstream("access-downstream", checks()),
        downstream("v4-downstream", ours("v4-d", v4(0, 1))),
        upstream("v4-upstream", ours("v4-u", v4(0, 1))),
        upstream("v4-upstream-delegated", delegated("v4-t", v4(0, 1))),
        downstream("v1-downstream", ours("v1-d", v1())),
        upstream("v1-upstream", ours("v1-u", v1())),
        upstream("v4-upstream-1-route", ours("v4-1", v4(1, 1))),
        upstream("v4-upstream-100-routes", ours("v4-100", v4(100, 1))),
        upstream("v4-upstream-10000-routes", ours("v4-10000", v4(10_000, 1))),
        upstream("v4-upstream-100-credentials", ours("v4-c", v4(0, 100))),
    ];
    chains.extend(dynamic_modules());
    chains
}

/// The chains of dynamic modules.
fn dynamic_modules() -> Vec<Chain> {
    let peer = || envoy::native(natives::NOTHING, &json!({}));
    let ours = |settings| envoy::native(natives::FILTER, &settings);
    let v4 = |routes| ours(settings("v4", routes, 1));
    let on_listener = [
        ("native-do-nothing-downstream", peer()),
        ("native-access-downstream", ours(access())),
        ("native-downstream", v4(0)),
    ];
    let on_cluster = [
        ("native-do-nothing-upstream", peer()),
        (NATIVE, v4(0)),
        ("native-v1-upstream", ours(settings("v1", 0, 1))),
        ("native-upstream-10000-routes", v4(10_000)),
    ];
    let downstream = on_listener.map(|(name, filter)| Chain {
        name,
        downstream: Some(filter),
        upstream: None,
    });
    let upstream = on_cluster.map(|(name, filter)| Chain {
        name,
        downstream: None,
        upstream: Some(filter),
    });
    downstream.into_iter().chain(upstream).collect()
}

/// Another build of the filter, on the cluster: a wasm module or a dynamic one.
pub fn other_build(name: &str, file: &Path) -> Result<Chain> {
    let settings = settings("v4", 0, 1);
    let filter = match file.extension().is_some_and(|ending| ending == "so") {
        true => {
            natives::provide(name, file)?;
            envoy::native(name, &settings)
        }
        false => envoy::wasm(name, file, &settings),
    };
    Ok(Chain {
        // Names live as long as the program; there are only a few.
        name: String::leak(name.to_owned()),
        downstream: None,
        upstream: Some(filter),
    })
}

/// The chains of these names.
pub fn pick(chains: &[Chain], names: &[&str]) -> Vec<Chain> {
    let chosen = chains.iter().filter(|chain| names.contains(&chain.name));
    chosen.cloned().collect()
}

/// The filter beside its peers.
pub const PEERS: [&str; 18] = [
    BASE,
    AGAIN,
    "do-nothing-downstream",
    "do-nothing-upstream",
    "aws-downstream",
    "aws-upstream",
    "access-downstream",
    "v4-downstream",
    "v4-upstream",
    "v4-upstream-delegated",
    "v1-downstream",
    "v1-upstream",
    "native-do-nothing-downstream",
    "native-do-nothing-upstream",
    "native-access-downstream",
    "native-downstream",
    NATIVE,
    "native-v1-upstream",
];

/// The filter in both hosts, beside their peers.
pub const BOTH: [&str; 6] = [
    BASE,
    "do-nothing-upstream",
    "native-do-nothing-upstream",
    "aws-upstream",
    OURS,
    NATIVE,
];

/// The chains that are also measured with a single object.
pub const HOT: [&str; 9] = [
    BASE,
    "do-nothing-upstream",
    "aws-upstream",
    "v4-downstream",
    "v4-upstream",
    "v1-downstream",
    "v1-upstream",
    "native-do-nothing-upstream",
    NATIVE,
];

/// The steps from the floor to the filter.
pub const FLOOR: [&str; 10] = [
    BASE,
    "do-nothing-upstream",
    "aws-upstream",
    "no-callbacks-upstream",
    "do-nothing-trimmed-upstream",
    "floor-reads",
    "floor-sets",
    "floor-answers",
    "floor-upstream",
    "v4-upstream",
];

/// The chains with many routes and credentials.
pub const SCALE: [&str; 8] = [
    BASE,
    "v4-upstream",
    "v4-upstream-1-route",
    "v4-upstream-100-routes",
    "v4-upstream-10000-routes",
    "v4-upstream-100-credentials",
    NATIVE,
    "native-upstream-10000-routes",
];

/// The chains that are measured with large bodies.
pub const BODIES: [&str; 9] = [
    BASE,
    AGAIN,
    "aws-upstream",
    "do-nothing-upstream",
    "v4-upstream",
    "v4-downstream",
    "v4-upstream-delegated",
    "native-do-nothing-upstream",
    NATIVE,
];

/// The chains whose latency is measured.
pub const LATENCY: [&str; 5] = [
    BASE,
    "do-nothing-upstream",
    "aws-upstream",
    "v4-upstream",
    NATIVE,
];

/// The settings of a filter that only checks signed URLs.
fn access() -> Value {
    json!({"url_keys": {"default": {"key_env": URL_KEY.0}},
           "defaults": {"access": {"url_signing": {"type": "A"}}}})
}

/// Whether a chain checks signed URLs.
pub fn checks(chain: &str) -> bool {
    chain.contains("access")
}

/// Gives the VM of a filter the key of signed URLs.
fn with_key(mut filter: Value) -> Value {
    let vm = &mut filter["typed_config"]["config"]["vm_config"];
    let (name, value) = URL_KEY;
    vm["environment_variables"] = json!({"key_values": {name: value}});
    filter
}

/// A path with a new signature.
pub fn signed(path: &str) -> String {
    let keys = Keys {
        name: "default".into(),
        main: Secret::new(URL_KEY.1),
        backup: None,
    };
    let signing = UrlSigning::new(UrlType::A, Rc::new(keys), 1_800);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs());
    let signed = signing.sign(&signing.keys.main, path, now, "0-0");
    signed.unwrap_or_default()
}

/// The settings of the filter. All requests take the last of `routes`, if there are any, which
/// uses the last of the credentials.
fn settings(version: &str, routes: usize, credentials: usize) -> Value {
    let names: Vec<String> = (0..credentials).map(|n| format!("name-{n}")).collect();
    let mut settings = json!({"defaults": {
        "bucket": "demo-bucket",
        "region": "cn-hangzhou",
        "endpoint": "oss-cn-hangzhou.aliyuncs.com",
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

/// The answer of the sidecar.
pub fn credentials() -> String {
    json!({"Code": "Success", "AccessKeyId": "STS.example", "AccessKeySecret": "secret",
           "SecurityToken": "t".repeat(envoy::TOKEN_LENGTH),
           "Expiration": "2099-01-01T00:00:00Z"})
    .to_string()
}
