//! What `oss-origin-auth render` writes for each target, and for several buckets.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::process::{Command, Output};

use testkit::process::scratch;

fn run(arguments: &str, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oss-origin-auth"));
    command.env_clear().arg("render");
    command.args(["--bucket", "my-bucket", "--region", "cn-hangzhou"]);
    command
        .args(arguments.split_whitespace())
        .envs(environment.iter().copied());
    command.output().unwrap()
}

fn printed(arguments: &str) -> String {
    let output = run(arguments, &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(arguments: &str) -> String {
    let output = run(arguments, &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments}: {said}");
    said
}

/// The alerts look for the labels of metrics.
#[test]
fn the_metrics_have_labels_whatever_is_rendered() {
    for arguments in [
        "",
        "--access-log",
        "--cache",
        "--target compose --only envoy.yaml",
        "--target kubernetes --only envoy.yaml",
        "--target istio",
    ] {
        let text = printed(arguments);
        for label in ["kind", "reason", "cause", "result", "key", "credentials"] {
            let tag = format!("- {{tag_name: {label}, regex: '^wasmcustom");
            assert_eq!(text.matches(&tag).count(), 1, "{arguments}: {label}");
        }
    }
}

#[test]
fn prometheus_scrapes_the_port_that_serves_metrics() {
    let pod = printed("--target kubernetes --only envoy-with-sidecar.yaml");
    for part in [
        "prometheus.io/port: \"9902\"",
        "- {name: stats, containerPort: 9902}",
    ] {
        assert!(pod.contains(part), "{part}");
    }
    assert!(!pod.contains("9901"), "nobody reaches the admin page");
    let envoy = printed("--target kubernetes --only envoy.yaml");
    assert!(envoy.contains("address: 0.0.0.0, port_value: 9902"));
    for target in ["--target envoy", "--target compose --only envoy.yaml"] {
        assert!(!printed(target).contains("9902"), "{target}");
    }
    let said = refused("--target kubernetes --admin-port 9902 --only envoy.yaml");
    assert!(said.contains("the port of the metrics"), "{said}");
}

#[test]
fn all_buckets_are_reached_where_connect_says() {
    let text =
        printed("--also partner=their-bucket --also other=other-bucket --connect 192.0.2.1:8443");
    assert_eq!(
        text.matches("address: 192.0.2.1, port_value: 8443").count(),
        3
    );
    for bucket in ["my-bucket", "their-bucket", "other-bucket"] {
        let host = format!("{bucket}.oss-cn-hangzhou-internal.aliyuncs.com");
        assert!(text.contains(&format!("sni: {host}\n")), "{bucket}");
        assert!(text.contains(&format!("host_rewrite_literal: {host}\n")));
    }
    let text = printed("--also partner=their-bucket --connect 127.0.0.1:9000 --oss-tls off");
    assert!(!text.contains("port_value: 443"), "no HTTP to a real OSS");
}

#[test]
fn other_buckets_have_a_host_of_oss_beside_a_domain() {
    for (more, endpoint) in [
        ("", "oss-cn-hangzhou-internal.aliyuncs.com"),
        ("--endpoint public", "oss-cn-hangzhou.aliyuncs.com"),
        ("--endpoint accelerate", "oss-accelerate.aliyuncs.com"),
    ] {
        let text = printed(&format!(
            "--domain static.example.com --also partner=their-bucket {more}"
        ));
        for host in ["static.example.com", &format!("their-bucket.{endpoint}")] {
            assert!(text.contains(&format!("host_rewrite_literal: {host}\n")));
        }
    }
    let said = refused("--domain static.example.com --endpoint public");
    for part in ["--endpoint", "--domain", "--also", "take one of them out"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn others_know_the_ports_of_a_container() {
    for target in ["compose", "kubernetes"] {
        for flag in ["--port", "--admin-port"] {
            let said = refused(&format!("--target {target} {flag} 0 --only envoy.yaml"));
            assert!(said.contains(flag) && said.contains(target), "{said}");
        }
    }
    printed("--port 0 --admin-port 0");
}

#[test]
fn authorities_of_our_own_come_into_the_container() {
    let flags = "--ca-file /etc/envoy/ours.pem --only";
    let compose = printed(&format!("--target compose {flags} docker-compose.yml"));
    assert!(compose.contains("- ./ca.crt:/etc/envoy/ours.pem:ro\n"));
    let pod = printed(&format!(
        "--target kubernetes {flags} envoy-with-sidecar.yaml"
    ));
    for part in [
        "- {name: ca, mountPath: /etc/envoy/ours.pem, subPath: ca.crt, readOnly: true}\n",
        "- name: ca\n        configMap: {name: oss-origin-ca}\n",
    ] {
        assert!(pod.contains(part), "{part}: {pod}");
    }
    for target in ["compose", "kubernetes"] {
        let folder = scratch("ca").display().to_string();
        let more = "--ca-file /etc/envoy/ours.pem --module /opt/filter.wasm";
        let output = run(&format!("--target {target} --out {folder} {more}"), &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("ca.crt"), "{said}");
        let module = match target {
            "compose" => format!("{folder}/docker-compose.yml"),
            _ => format!("{folder}/envoy.yaml"),
        };
        let text = fs::read_to_string(module).unwrap();
        assert!(text.contains("/opt/filter.wasm"), "{text}");
        assert_eq!(said.contains("/opt/filter.wasm"), target == "kubernetes");
    }
}

#[test]
fn a_gateway_has_its_own_module_and_authorities() {
    for target in [
        "--target istio --istio wasm-plugin",
        "--target envoy-gateway",
        "--target higress",
    ] {
        for flag in ["--module /opt/filter.wasm", "--ca-file /opt/ca.crt"] {
            let said = refused(&format!("{target} {flag}"));
            let flag = flag.split(' ').next().unwrap();
            for part in [flag, "do not go together", "take it out"] {
                assert!(said.contains(part), "{target}: {said}");
            }
        }
    }
    let text = printed("--target istio --module /opt/filter.wasm --ca-file /opt/ca.crt");
    assert!(text.contains("/opt/filter.wasm") && text.contains("/opt/ca.crt"));
}

/// The line at the top makes the same file, without the environment.
#[test]
fn the_command_line_at_the_top_can_be_run_again() {
    let environment = [
        ("SIDECAR_ADDRESS", "192.0.2.7:8181"),
        ("OSS_ADDRESS", "192.0.2.8:443"),
        ("LISTEN_PORT", "8000"),
        ("TLS_FOLDER", "/tls"),
        ("CACHE_FOLDER", "/cache"),
        ("REFRESH_PORT", "8001"),
        ("WASM_FILE", "/opt/filter.wasm"),
        ("CA_FILE", "/opt/ca.crt"),
        ("STS_SIDECAR_TOKEN", "sesame"),
        ("URL_KEY_BACKUP", "sesame"),
    ];
    for arguments in [
        "",
        "--credentials environment",
        "--cache --tls",
        "--signed-urls",
        "--target compose --only envoy.yaml",
        "--target compose --only .env.example",
        "--target kubernetes --only envoy.yaml",
        "--target kubernetes --only secret.yaml --pod-credentials secret",
        "--target istio",
        "--target istio --istio wasm-plugin",
        "--target envoy-gateway",
        "--target higress",
    ] {
        let output = run(arguments, &environment);
        let first = String::from_utf8(output.stdout).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments}: {said}");
        let (_, line) = first.split_once("# Made by\n#").unwrap();
        let mut words = Vec::new();
        for part in line.lines() {
            let part = part.trim_start_matches('#');
            words.extend(part.split_whitespace().filter(|word| *word != "\\"));
            if !part.ends_with('\\') {
                break;
            }
        }
        let mut again = Command::new(env!("CARGO_BIN_EXE_oss-origin-auth"));
        again.env_clear().args(&words[1..]);
        // What the comment does not say: which of the files.
        let flags: Vec<_> = arguments.split_whitespace().collect();
        if let Some(at) = flags.iter().position(|flag| *flag == "--only") {
            again.args(&flags[at..at + 2]);
        }
        let output = again.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}");
        let again = String::from_utf8(output.stdout).unwrap();
        // The flags themselves may stand in another order.
        let rest = |text: &str| {
            let lines = text.lines().filter(|line| !line.starts_with("# "));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(rest(&again), rest(&first), "{words:?}");
    }
}

/// The next steps name no file that was not written.
#[test]
fn one_file_of_several_has_its_own_next_steps() {
    for (target, only, absent) in [
        ("compose", "docker-compose.yml", ["check-config", "cp "]),
        (
            "compose",
            ".env.example",
            ["check-config", "docker compose up"],
        ),
        ("compose", "envoy.yaml", ["cp ", "docker compose up"]),
        ("kubernetes", "envoy.yaml", ["kubectl apply", "doctor"]),
        (
            "kubernetes",
            "envoy-with-sidecar.yaml",
            ["configmap", "doctor"],
        ),
    ] {
        let folder = scratch("one").display().to_string();
        let output = run(
            &format!("--target {target} --only {only} --out {folder}"),
            &[],
        );
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("Next:") && said.contains("--only"), "{said}");
        for part in absent {
            assert!(!said.contains(part), "{only}: {part}: {said}");
        }
    }
    let folder = scratch("all").display().to_string();
    let output = run(&format!("--only envoy.yaml --out {folder}"), &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("envoy --mode validate"), "{said}");
}
