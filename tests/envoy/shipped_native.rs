//! `envoy/native.yaml` beside `envoy/accounts.yaml`: what operators see is the same, whether the
//! filter is a native module or a wasm filter.

use std::collections::BTreeSet;

use serde_json::Value;
use testkit::process::wait_until;
use testkit::shipped::Shipped;
use testkit::{FakeAlibaba, Request, StubSidecar, tools};

use crate::common::{SECRET, TOKEN, good_answer};

/// What an Envoy has told after the same requests.
#[derive(Debug)]
struct Told {
    statuses: Vec<u16>,
    /// The names and labels of what it has counted, as the alerts and the dashboard have them.
    metrics: BTreeSet<String>,
    /// The fields of its access log that the filter has a part in.
    log: Vec<[Value; 3]>,
}

/// The paths that are asked for: an object, one that is not there, what the filter refuses.
const PATHS: [&str; 3] = ["/a", "/absent", "/a?acl"];

/// What the alerts look for.
const WANTED: [&str; 5] = [
    "oss_origin_auth_requests kind=\"signed\"",
    "oss_origin_auth_refused reason=\"parameter_not_allowed\"",
    "oss_origin_auth_oss_errors cause=\"no_such_key\"",
    "oss_origin_auth_callouts result=\"ok\"",
    "oss_origin_auth_credentials_valid credentials=\"default\"",
];

fn told(name: &str) -> Told {
    let alibaba = FakeAlibaba::start();
    alibaba.put("a", "content");
    alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
    let stub = StubSidecar::start(good_answer());
    let modules = tools::module_folder().display().to_string();
    let more = [("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", modules.as_str())];
    let envoy = Shipped::start_with(name, alibaba.oss_port, stub.port, &more, |text| text);
    let statuses = PATHS.map(|path| Request::get(path).send(envoy.port).status);
    let mut log = Vec::new();
    wait_until("the access log", || {
        let output = envoy.process.output();
        let lines = output.lines();
        let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let fields = ["credentials", "cause", "details"];
        log = lines
            .map(|line| fields.map(|field| line[field].clone()))
            .collect();
        log.len() >= PATHS.len()
    });
    let mut metrics = BTreeSet::new();
    wait_until("the metrics", || {
        metrics = counted(envoy.admin_port);
        WANTED.iter().all(|want| metrics.contains(*want))
    });
    Told {
        statuses: statuses.into(),
        metrics,
        log,
    }
}

/// What is not 0, without the labels that say on which cluster it was counted.
fn counted(admin: u16) -> BTreeSet<String> {
    let page = Request::get("/stats/prometheus").send(admin).text();
    let lines = page
        .lines()
        .filter(|line| line.starts_with("oss_origin_auth_"));
    let counted = lines.filter_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        let is_of_filter = [
            "requests",
            "refused",
            "oss_errors",
            "callouts",
            "credentials",
        ]
        .iter()
        .any(|metric| name.starts_with(&format!("oss_origin_auth_{metric}")));
        (value != "0" && is_of_filter).then(|| {
            let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
            let labels = labels.trim_end_matches('}').split(',');
            let labels = labels.filter(|label| !label.contains("cluster"));
            format!("{name} {}", labels.collect::<Vec<_>>().join(" "))
        })
    });
    counted.collect()
}

#[test]
fn alerts_and_logs_see_no_difference() {
    let (wasm, native) = (told("accounts.yaml"), told("native.yaml"));
    assert_eq!(native.statuses, wasm.statuses);
    assert_eq!(native.log, wasm.log);
    // The wasm example has a second account.
    let mut wasm_alone: Vec<_> = wasm.metrics.difference(&native.metrics).collect();
    wasm_alone.retain(|name| !name.contains("partner"));
    assert!(wasm_alone.is_empty(), "{wasm_alone:?}");
    let native_alone: Vec<_> = native.metrics.difference(&wasm.metrics).collect();
    assert!(native_alone.is_empty(), "{native_alone:?}");
}
