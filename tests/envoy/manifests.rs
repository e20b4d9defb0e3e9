//! What is in `deploy/`: against published schemas where they are to be had,
//! its configurations of the filter by the filter's own parser, and its Envoy
//! configuration in a real Envoy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use oss_origin_auth_core::config::{Config, Facts, RuleInput, Treatment};
use serde::Deserialize;
use serde_json::{Value, json};
use testkit::process::scratch;
use testkit::stub::Behaviour;
use testkit::{FakeAlibaba, Request, StubSidecar, free_port, host, tools};

fn deploy(file: &str) -> PathBuf {
    tools::root().join("deploy").join(file)
}

pub fn documents(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(deploy(file)).unwrap();
    serde_yaml_ng::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).unwrap())
        .collect()
}

/// The manifests, by their files in `deploy/`.
const MANIFESTS: [&str; 6] = [
    "envoy-gateway/extension-policy.yaml",
    "higress/wasm-plugin.yaml",
    "istio/envoy-filter.yaml",
    "istio/wasm-plugin.yaml",
    "kubernetes/envoy-with-sidecar.yaml",
    "kubernetes/secret.yaml",
];

/// The checker also finds out whether a field that nobody knows would have been found.
#[test]
fn published_schemas_know_every_field_of_the_kinds_that_the_readme_says() {
    let output = Command::new(tools::python())
        .arg(tools::fakes().join("check_manifests.py"))
        .args(MANIFESTS.map(deploy))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let said = said.lines().map(|line| line.split_once(": ").unwrap());
    let checked: BTreeMap<&str, bool> = said.map(|(kind, said)| (kind, said == "good")).collect();

    let readme = std::fs::read_to_string(deploy("README.md")).unwrap();
    let table = readme.split("| kinds | checked |").nth(1).unwrap();
    let rows = table.split("\n\n").next().unwrap().lines();
    let rows = rows.filter_map(|row| row.strip_prefix("| `")?.split_once(" | "));
    let listed: BTreeMap<&str, bool> = rows
        .flat_map(|(kinds, how)| {
            let kinds = kinds.split('`').step_by(2);
            kinds.map(move |kind| (kind, !how.starts_with("no:")))
        })
        .filter(|(kind, _)| !kind.is_empty())
        .collect();
    assert_eq!(listed, checked);
}

#[test]
fn every_manifest_is_checked() {
    let folders = std::fs::read_dir(deploy("")).unwrap();
    let folders = folders.map(|folder| folder.unwrap().path());
    let mut found = Vec::new();
    for folder in folders.filter(|path| path.is_dir() && !path.ends_with("prometheus")) {
        for file in std::fs::read_dir(&folder).unwrap() {
            let file = file.unwrap().path();
            let file = file.strip_prefix(deploy("")).unwrap();
            found.push(file.to_str().unwrap().to_owned());
        }
    }
    found.sort();
    assert_eq!(found, MANIFESTS);
}

#[test]
fn the_filter_takes_every_configuration() {
    let of_gateway = "httproute/default/objects/rule/0/match/0/objects_example_com";
    for (file, route) in [
        ("istio/wasm-plugin.yaml", "objects"),
        ("envoy-gateway/extension-policy.yaml", of_gateway),
        ("higress/wasm-plugin.yaml", "objects"),
    ] {
        let text = std::fs::read_to_string(deploy(file)).unwrap();
        let settings = oss_origin_auth_checker::settings(&text).unwrap();
        let parsed = Config::parse(settings[0].1.as_bytes(), |_| Some("set".to_owned()));
        let config = parsed.unwrap_or_else(|error| panic!("{file}: {error}"));
        let signs = |route: &str| {
            let input = RuleInput {
                route_name: route.as_bytes(),
                ..RuleInput::default()
            };
            let facts = Facts {
                rule: config.rule_of(input),
                ..Facts::of_route(route.as_bytes())
            };
            matches!(config.treatment(&facts), Some(Treatment::Sign(_)))
        };
        assert!(signs(route), "{file}");
        assert!(!signs("another"), "{file}");
    }
}

#[test]
fn the_sidecar_takes_its_settings() {
    for (file, index) in [
        ("kubernetes/envoy-with-sidecar.yaml", 2),
        ("kubernetes/secret.yaml", 1),
    ] {
        let settings = &documents(file)[index]["data"]["sidecar.toml"];
        let keys = scratch("oss");
        std::fs::create_dir_all(&keys).unwrap();
        std::fs::write(keys.join("id"), "LTAI").unwrap();
        std::fs::write(keys.join("secret"), "secret").unwrap();
        let settings = settings
            .as_str()
            .unwrap()
            .replace("/run/secrets/oss", keys.to_str().unwrap())
            .replace("8181", &free_port().to_string());
        let path = scratch("sidecar.toml");
        std::fs::write(&path, settings).unwrap();
        let mut command = tools::sidecar();
        command.arg("probe").arg("--config").arg(&path);
        let output = command.output().unwrap();
        // Nobody runs there; but it got as far as to ask.
        let problem = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(problem.contains("Connection refused"), "{file}: {problem}");
    }
}

#[test]
fn the_patches_for_istio_make_an_envoy_that_serves() {
    let alibaba = FakeAlibaba::start();
    alibaba.put_into("my-bucket", "a", "content");
    alibaba.add_key("STS.example", "secret", Some("token"), None);
    let stub = StubSidecar::start(Behaviour::body(
        200,
        r#"{"Code": "Success", "AccessKeyId": "STS.example", "AccessKeySecret": "secret",
            "SecurityToken": "token", "Expiration": "2099-01-01T00:00:00Z"}"#,
    ));
    let filter = &documents("istio/envoy-filter.yaml")[0];
    let patches = filter["spec"]["configPatches"].as_array().unwrap();
    let values = |kind: &str| -> Vec<Value> {
        let wanted = patches.iter().filter(|patch| patch["applyTo"] == kind);
        wanted
            .map(|patch| patch["patch"]["value"].clone())
            .collect()
    };
    let mut clusters = values("CLUSTER");
    // As on this machine: no TLS, other ports, another place of the module.
    clusters[0]
        .as_object_mut()
        .unwrap()
        .remove("transport_socket");
    let address =
        |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    for (cluster, port) in clusters.iter_mut().zip([alibaba.oss_port, stub.port]) {
        let endpoint = &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0];
        endpoint["endpoint"]["address"] = address(port);
    }
    let manager = "type.googleapis.com/envoy.extensions.filters.network.\
                   http_connection_manager.v3.HttpConnectionManager";
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let config = json!({
        "admin": {"address": address(0)},
        "stats_config": values("BOOTSTRAP")[0]["stats_config"],
        "static_resources": {"clusters": clusters, "listeners": [
            {"address": address(0), "filter_chains": [{"filters": [
                {"name": "envoy.filters.network.http_connection_manager", "typed_config": {
                    "@type": manager, "stat_prefix": "ingress",
                    "route_config": {"virtual_hosts": [{"name": "objects.example.com:443",
                        "domains": ["*"], "routes": values("HTTP_ROUTE")}]},
                    "http_filters": [{"name": "envoy.filters.http.router",
                                      "typed_config": {"@type": router}}]}}]}]}]},
    });
    let module = tools::filter_wasm().display().to_string();
    let config = config
        .to_string()
        .replace("/var/lib/oss-origin-auth/oss_origin_auth.wasm", &module);
    let mut command = host::envoy(&tools::envoy(), &host::write("istio.json", &config));
    command.args(["--concurrency", "1", "--disable-hot-restart"]);
    let (_envoy, ports) = testkit::envoy::serve(&mut command);
    let response = Request::get("/a").send(ports.only());
    assert_eq!((response.status, response.text()), (200, "content".into()));
    let label = "oss_origin_auth_requests{kind=\"signed\"} 1";
    testkit::process::wait_until(label, || {
        let scrape = Request::get("/stats/prometheus").send(ports.admin);
        scrape.text().contains(label)
    });
}
