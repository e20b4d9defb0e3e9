//! Among the listener's filters, whatever the routes and whatever the request: it comes to
//! the cluster that Envoy selects without the filter, or to none; and what is signed comes
//! to OSS alone.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test support")]

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};
use testkit::recorder::Received;
use testkit::{EnvoyBuilder, Position, Recorder, Request};

use crate::random::Random;
use crate::stage::{ENDPOINT, Stage, oss_host};

const TABLES: usize = 30;
/// For each table.
const REQUESTS: usize = 40;

/// Clusters without a filter, on whose routes the filter is off. `host` has the routes of
/// the hosts by which OSS is called.
const OTHERS: [&str; 3] = ["one", "two", "host"];

#[test]
fn no_request_leaves_for_a_cluster_that_was_not_selected_before_the_filter() {
    let mut random = Random::new(0x5eed_0013);
    let others = OTHERS.map(|name| (name, Recorder::start()));
    let mut adapt = |builder: &mut EnvoyBuilder| {
        for (name, recorder) in &others {
            builder.clusters.push(((*name).into(), recorder.port));
        }
        builder.access_log = false;
        let mut settings = json!({"other": {"enabled": false}});
        for table in 0..TABLES {
            builder
                .virtual_hosts
                .push(virtual_host(table, &mut settings, &mut random));
        }
        let to_other = json!({"name": "other", "match": {"prefix": "/"},
                              "route": {"cluster": "host"}});
        builder.virtual_hosts.push(json!({"name": "oss",
            "domains": [oss_host(), ENDPOINT], "routes": [to_other]}));
        builder.filter["routes"] = settings;
        builder.bare = Some(builder.oss_port);
    };
    let stage = Stage::start_with(|builder| adapt(builder));
    let mut requests = Vec::new();
    for number in 0..TABLES * REQUESTS {
        requests.push((
            number,
            host(number / REQUESTS, &mut random),
            target(&mut random),
        ));
    }
    testkit::in_parallel(requests.clone(), |(number, host, target)| {
        let ports = [
            ("bare", stage.envoy.bare_port()),
            ("filtered", stage.envoy.port(Position::Downstream)),
        ];
        for (listener, port) in ports {
            let request = Request::get(&target).header("host", &host);
            request
                .header("user-agent", format!("{listener} {number}"))
                .send(port);
        }
    });

    let mut came = Came::default();
    came.take("oss", &stage.oss.seen());
    for (name, recorder) in &others {
        came.take(name, &recorder.seen());
    }
    let (mut wrong, mut signed) = (BTreeMap::<&str, Vec<String>>::new(), 0);
    for (number, host, target) in requests {
        let selected = came.of("bare", number);
        assert!(selected.len() <= 1, "{target} of {host}: {selected:?}");
        let selected = selected.first().map_or("none", |(cluster, _)| cluster);
        for (cluster, has_signature) in came.of("filtered", number) {
            if selected != cluster || (cluster != "oss" && has_signature) {
                let how = if has_signature { "signed" } else { "unsigned" };
                let text = format!("{how} {target} of {host}, which selects {selected}");
                wrong.entry(cluster).or_default().push(text);
            }
            signed += usize::from(has_signature && cluster == "oss");
        }
    }
    for (cluster, requests) in &mut wrong {
        eprintln!("{} left for {cluster}, such as", requests.len());
        requests.truncate(5);
        eprintln!("  {}", requests.join("\n  "));
    }
    assert!(wrong.is_empty(), "requests went astray");
    let least = TABLES * REQUESTS / 20;
    assert!(
        signed > least,
        "only {signed} were signed: nothing is shown"
    );
}

/// Which clusters a request came to, and whether it was signed.
#[derive(Default)]
struct Came(HashMap<String, Vec<(&'static str, bool)>>);

impl Came {
    fn take(&mut self, cluster: &'static str, requests: &[Received]) {
        for seen in requests {
            let names = ["authorization", "x-oss-security-token"];
            let has_signature = names.iter().any(|name| !seen.header(name).is_empty());
            let name = seen.header("user-agent").concat();
            self.0
                .entry(name)
                .or_default()
                .push((cluster, has_signature));
        }
    }

    fn of(&self, listener: &str, number: usize) -> Vec<(&'static str, bool)> {
        let name = format!("{listener} {number}");
        self.0.get(&name).cloned().unwrap_or_default()
    }
}

fn host(table: usize, random: &mut Random) -> String {
    format!(
        "table-{table}.{}",
        random.pick(&["example", "example", "test"])
    )
}

/// Some routes; and among the settings those of the routes that lead to OSS.
fn virtual_host(table: usize, settings: &mut Value, random: &mut Random) -> Value {
    let mut routes = Vec::new();
    for number in 0..3 + random.below(4) {
        routes.push(route(
            table,
            number,
            matching(table, random),
            settings,
            random,
        ));
    }
    routes.push(route(table, 9, json!({"prefix": "/"}), settings, random));
    let domains = ["example", "test"].map(|end| format!("table-{table}.{end}"));
    json!({"name": format!("table-{table}"), "domains": domains, "routes": routes})
}

fn route(
    table: usize,
    number: usize,
    matching: Value,
    settings: &mut Value,
    random: &mut Random,
) -> Value {
    if random.once_in(2) {
        let cluster = random.pick(&["one", "two"]);
        return json!({"name": "other", "match": matching, "route": {"cluster": cluster}});
    }
    let name = format!("oss-{table}-{number}");
    settings[&name] = mapping(table, random);
    let mut route = json!({"name": name, "match": matching, "route": {}});
    match random.below(4) {
        0 if matching["prefix"].is_string() => {
            route["route"]["prefix_rewrite"] = json!(random.pick(&["/", "/a/", "/b/"]));
        }
        1 => route["route"]["host_rewrite_literal"] = Value::Null,
        _ => {}
    }
    route
}

fn matching(table: usize, random: &mut Random) -> Value {
    let mut matching = match random.below(3) {
        0 => json!({"path": random.pick(&["/a/index.html", "/index.html", "/x", "/a/b"])}),
        _ => json!({"prefix": random.pick(
            &["/a/", "/b/", "/a/b/", "/x", "/demo-bucket/", "/%61", "//", "/"])}),
    };
    match random.below(6) {
        0 => matching["query_parameters"] = json!([{"name": "foo", "present_match": true}]),
        1 => {
            let exact =
                json!({"name": "foo", "string_match": {"exact": random.pick(&["1", "%61"])}});
            matching["query_parameters"] = json!([exact]);
        }
        2 => {
            let signature = json!({"name": "Signature", "present_match": true});
            matching["query_parameters"] = json!([signature]);
        }
        3 => {
            let host = format!("table-{table}.example");
            let by_host = json!({"name": ":authority", "string_match": {"exact": host}});
            matching["headers"] = json!([by_host]);
        }
        _ => {}
    }
    matching
}

/// What makes another path, query or host of the client's.
fn mapping(table: usize, random: &mut Random) -> Value {
    let mut settings = Map::new();
    let mut choose = |name: &str, from: &[&str]| {
        if random.once_in(2) {
            settings.insert(name.into(), json!(random.pick(from)));
        }
    };
    choose("strip_prefix", &["/", "/", "/a/", "/b/"]);
    choose("key_prefix", &["a/", "b/", "a/b/"]);
    choose("index_document", &["index.html"]);
    choose("unknown_parameters", &["strip", "forward"]);
    choose("presigned_urls", &["strip", "pass"]);
    choose("dot_segments", &["literal", "refuse"]);
    choose("path_encoding", &["any", "any", "canonical"]);
    choose("addressing", &["virtual_hosted", "path_style"]);
    if random.once_in(2) {
        // The host that most clients name anyway, so that it makes no difference.
        settings.insert("addressing".into(), json!("cname"));
        settings.insert("endpoint".into(), json!(format!("table-{table}.example")));
    }
    settings.into()
}

fn target(random: &mut Random) -> String {
    let path = random.pick(&[
        "/a/x",
        "/b/x",
        "/a/b/x",
        "/a/b",
        "/x",
        "/",
        "/a/",
        "/b/",
        "/a/a/x",
        "/b/a/x",
        "/a/b/a/x",
        "/a/index.html",
        "/demo-bucket/x",
        "//a/x",
        "/a//x",
        "/a/../b/x",
        "/y/a/x",
        "/a/x y",
    ]);
    let mut spelt = String::from("/");
    for byte in path.bytes().skip(1) {
        match byte {
            b' ' => spelt += "%20",
            b'/' if random.once_in(10) => spelt += random.pick(&["%2F", "%2f", "\\"]),
            b'a'..=b'z' if random.once_in(12) => spelt += &format!("%{byte:02x}"),
            _ => spelt.push(byte.into()),
        }
    }
    if random.once_in(2) {
        return spelt;
    }
    let queries = [
        "?",
        "?foo=1",
        "?foo=%61",
        "?foo=a",
        "?foo",
        "?b=2",
        "?b=2&foo=1",
        "?prefix=a",
        "?OSSAccessKeyId=i&Expires=1&Signature=s",
        "?foo=1&Signature=s",
        "?x=a%20b+c",
    ];
    spelt + random.pick(&queries)
}
