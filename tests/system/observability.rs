//! What operators watch: a real Prometheus scrapes Envoy and the sidecar, the
//! alert rules fire as they should, and the dashboard asks for what there is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support"
)]

use std::process::Command;

use serde_json::Value;
use testkit::demo::Demo;
use testkit::envoy::stat;
use testkit::process::{scratch, wait_until};
use testkit::shipped::Shipped;
use testkit::{FakeAlibaba, Process, Request, Response, free_port, tools};

fn deploy(file: &str) -> std::path::PathBuf {
    tools::root().join("deploy").join(file)
}

#[test]
fn the_alert_rules_fire_and_hold_their_peace_as_promised() {
    for (command, file) in [
        (["check", "rules"], "prometheus/alerts.yml"),
        (["test", "rules"], "prometheus/alerts-test.yml"),
        (["check", "config"], "prometheus/prometheus.yml"),
    ] {
        let output = Command::new("promtool")
            .args(command)
            .arg(deploy(file))
            .output()
            .expect("promtool; `cargo xtask test --all` installs it");
        assert!(output.status.success(), "{file}: {output:?}");
    }
}

#[test]
fn prometheus_gets_what_the_dashboard_and_the_alerts_ask_for() {
    let alibaba = FakeAlibaba::start();
    alibaba.put("a", "content");
    alibaba.add_key("LTAIcaller", "secret", None, None);
    alibaba.add_role("acs:ram::1:role/r", None);
    let sidecar_port = free_port();
    let envoy = patient_envoy(alibaba.oss_port, sidecar_port);
    let _sidecar = start_a_sidecar_that_is_late(&envoy, alibaba.sts_port, sidecar_port);
    for path in ["/a", "/absent", "/a?acl"] {
        let _ = Request::get(path).send(envoy.port);
    }

    let prometheus = Prometheus::start(envoy.admin_port, sidecar_port);
    assert_each_kind_of_metric_comes(&prometheus);
    let left =
        prometheus.query("oss_origin_auth_credentials_seconds_left{credentials=\"default\"}");
    let left: f64 = left[0]["value"][1].as_str().unwrap().parse().unwrap();
    assert!((1.0..=3600.0).contains(&left), "{left}");

    // Every metric that the dashboard and the alerts name is there.
    let mut expressions = dashboard_expressions();
    assert!(expressions.len() >= 8);
    expressions.extend(prometheus.alert_expressions());
    for expression in expressions {
        let _ = prometheus.query(&expression);
        let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
        let metrics = expression.split(word);
        for metric in metrics.filter(|word| word.starts_with("oss_") || word.starts_with("sts_")) {
            let found = prometheus.query(metric);
            assert!(!found.is_empty(), "{metric} of {expression}");
        }
    }
}

/// What a newcomer sees who has the demo, its page and Grafana.
#[test]
fn every_panel_of_the_dashboard_shows_something_of_the_demo() {
    let demo = Demo::start();
    for path in [
        "/",
        "/film.mp4",
        &demo.signed,
        "/nothing-here",
        "/?versions",
    ] {
        let _ = Request::get(path).send(demo.port);
    }
    let prometheus = Prometheus::start(demo.admin_port, demo.sidecar_port);
    let expressions = dashboard_expressions();
    assert!(expressions.len() >= 8);
    for expression in expressions {
        // A rate is there with the second scrape.
        wait_until(&expression, || {
            let found = prometheus.query(&expression);
            let is_number = |one: &Value| one["value"][1] != "NaN";
            !found.is_empty() && found.iter().all(is_number)
        });
    }
}

/// Its requests wait for credentials for a minute.
fn patient_envoy(oss_port: u16, sidecar_port: u16) -> Shipped {
    let patient = |text: String| {
        let wanted = "\"defaults\":";
        assert!(text.contains(wanted), "{text}");
        text.replacen(wanted, &format!("\"wait_timeout_ms\": 60000, {wanted}"), 1)
    };
    Shipped::start_with("accounts.yaml", oss_port, sidecar_port, &[], patient)
}

/// First nobody answers on the port that Envoy knows, so that failures and waits
/// are counted, too.
fn start_a_sidecar_that_is_late(envoy: &Shipped, sts_port: u16, sidecar_port: u16) -> Process {
    let waiting = Request::get("/a").start(envoy.port).unwrap();
    for counter in [
        "http.ingress.downstream_rq_active",
        "cluster.sts_sidecar.upstream_cx_connect_fail",
    ] {
        wait_until(counter, || stat(envoy.admin_port, counter) > 0);
    }
    let file = scratch("sidecar.toml");
    let key = "access_key_id_env = \"KEY_ID\"\naccess_key_secret_env = \"KEY_SECRET\"\n";
    let settings = format!(
        "[credentials.default]\ntype = \"assume_role\"\nrole_arn = \"acs:ram::1:role/r\"\n\
         sts_endpoint = \"http://127.0.0.1:{sts_port}\"\n{key}\
         [credentials.partner]\ntype = \"static\"\n{key}"
    );
    std::fs::write(&file, settings).unwrap();
    let mut command = tools::sidecar();
    command.arg("--config").arg(&file);
    command.args(["--listen", &format!("127.0.0.1:{sidecar_port}")]);
    command.envs([("KEY_ID", "LTAIcaller"), ("KEY_SECRET", "secret")]);
    let mut sidecar = Process::start("sidecar", &mut command);
    sidecar.wait_for_port(sidecar_port);
    assert_eq!(Response::read(waiting, false).unwrap().status, 200);
    sidecar
}

/// Each with the label that the dashboard tells them apart by.
fn assert_each_kind_of_metric_comes(prometheus: &Prometheus) {
    for (name, label) in [
        ("oss_origin_auth_requests", "kind"),
        ("oss_origin_auth_refused", "reason"),
        ("oss_origin_auth_oss_errors", "cause"),
        ("oss_origin_auth_callouts", "result"),
        ("oss_origin_auth_credentials_valid", "credentials"),
        ("oss_origin_auth_credentials_seconds_left", "credentials"),
        ("oss_origin_auth_wait_ms_bucket", "le"),
        ("sts_sidecar_fetches_total", "result"),
        ("sts_sidecar_credentials_valid", "name"),
        ("sts_sidecar_credentials_expiry_timestamp_seconds", "name"),
    ] {
        let mut found = Vec::new();
        wait_until(name, || {
            found = prometheus.query(name);
            !found.is_empty()
        });
        assert!(found[0]["metric"][label].is_string(), "{found:?}");
    }
}

fn dashboard_expressions() -> Vec<String> {
    let dashboard = std::fs::read_to_string(deploy("grafana-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect()
}

/// A Prometheus with our configuration and alerts, which scrapes once a second.
struct Prometheus {
    port: u16,
    /// Dropping it ends it.
    _process: Process,
}

impl Prometheus {
    fn start(envoy_port: u16, sidecar_port: u16) -> Prometheus {
        let config = std::fs::read_to_string(deploy("prometheus/prometheus.yml")).unwrap();
        let alerts = deploy("prometheus/alerts.yml").display().to_string();
        let config = config
            .replace("scrape_interval: 15s", "scrape_interval: 1s")
            .replace("alerts.yml", &alerts)
            .replace("127.0.0.1:9901", &format!("127.0.0.1:{envoy_port}"))
            .replace("127.0.0.1:8181", &format!("127.0.0.1:{sidecar_port}"));
        let config_file = scratch("prometheus.yml");
        std::fs::write(&config_file, config).unwrap();
        let (mut process, port) = Process::start_on_port("prometheus", |port| {
            let mut command = Command::new("prometheus");
            command
                .arg(format!("--config.file={}", config_file.display()))
                .arg(format!("--storage.tsdb.path={}", scratch("tsdb").display()))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"));
            command
        });
        process.wait_for("Prometheus to be ready", || {
            let ready = Request::get("/-/ready").try_send(port);
            ready.is_ok_and(|response| response.status == 200)
        });
        Prometheus {
            port,
            _process: process,
        }
    }

    fn query(&self, expression: &str) -> Vec<Value> {
        let request = Request::get(format!("/api/v1/query?query={}", encoded(expression)));
        let answer = request.send(self.port).json();
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }

    fn alert_expressions(&self) -> Vec<String> {
        let rules = Request::get("/api/v1/rules").send(self.port).json();
        let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap();
        assert!(
            rules.iter().all(|rule| rule["health"] != "err"),
            "{rules:?}"
        );
        rules
            .iter()
            .map(|rule| rule["query"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn encoded(text: &str) -> String {
    let mut encoded = Vec::new();
    oss_origin_auth_core::oss::encoding::encode_component(text.as_bytes(), &mut encoded);
    String::from_utf8(encoded).unwrap()
}
