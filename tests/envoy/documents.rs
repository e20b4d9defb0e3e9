//! Commands and settings that the documents show, tried as they stand there.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use oss_origin_auth_core::oss::error::Cause;
use oss_origin_auth_core::words::Word;
use serde_json::{Value, json};
use testkit::alibaba::BUCKET;
use testkit::documents::{Block, block, blocks};
use testkit::process::scratch;
use testkit::shipped::{Shipped, URL_KEYS, example};
use testkit::{
    EnvoyBuilder, FakeAlibaba, Position, Process, Request, StubSidecar, free_port, tools,
};

use crate::common::doctor::{self, Doctor};
use crate::common::sidecar::{CALLER_SECRET, ROLE};
use crate::common::{SECRET, TOKEN, filter, good_answer};

/// The commands of a block; what ends one is a `#` or the line.
fn lines(block: &Block) -> Vec<String> {
    let lines = block.text.lines().map(|line| line.split('#').next());
    let lines = lines.map(|line| line.unwrap_or_default().trim().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

/// A command of the project, in a folder, as a shell reads it.
fn shell(line: &str, folder: &Path) -> Command {
    let mut shell = Command::new("sh");
    let programs = tools::cli();
    let path = programs.parent().unwrap().display();
    let usual = std::env::var("PATH").unwrap_or_default();
    shell.args(["-euc", line]).current_dir(folder).env_clear();
    shell.env("PATH", format!("{path}:{usual}"));
    shell
}

fn folder(name: &str) -> PathBuf {
    let folder = scratch(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .concat()
}

#[test]
fn the_commands_of_check_config_work() {
    let folder = folder("check-config");
    let write = |name: &str, example_name: &str| {
        std::fs::write(folder.join(name), example(example_name).unwrap()).unwrap();
    };
    write("envoy.yaml", "envoy/minimal.yaml");
    write("wasm-plugin.yaml", "deploy/istio/wasm-plugin.yaml");
    write("virtual-service.yaml", "deploy/istio/wasm-plugin.yaml");
    let commands = lines(&block("docs/CHECK-CONFIG.md", "sh", "oss-origin-auth"));
    assert!(commands.len() >= 3, "{commands:?}");
    for line in commands {
        let output = shell(&line, &folder).output().unwrap();
        // 3: warnings alone.
        let code = output.status.code();
        assert!(
            [Some(0), Some(3)].contains(&code),
            "{line}: {code:?} {}",
            text(&output)
        );
    }
}

#[test]
fn the_commands_of_the_doctor_work_and_it_says_what_the_page_shows() {
    let folder = folder("doctor");
    let alibaba = FakeAlibaba::start();
    alibaba.put("hello.txt", "content");
    alibaba.add_key("LTAIcaller", CALLER_SECRET, None, None);
    alibaba.add_role(ROLE, None);
    alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
    let stub = StubSidecar::start(good_answer());
    let envoy = EnvoyBuilder::new(filter(), alibaba.oss_port, stub.port).start();
    let key = "access_key_id_env = \"KEY_ID\"\naccess_key_secret_env = \"KEY_SECRET\"\n";
    let sts = format!("http://127.0.0.1:{}", alibaba.sts_port);
    let sidecar = format!(
        "[credentials.default]\ntype = \"assume_role\"\nrole_arn = \"{ROLE}\"\n\
         sts_endpoint = \"{sts}\"\n{key}"
    );
    std::fs::write(folder.join("sidecar.toml"), sidecar).unwrap();
    let config = example("envoy/minimal.yaml").unwrap();
    let config = config.replace("my-bucket", BUCKET);
    std::fs::write(folder.join("envoy.yaml"), config).unwrap();

    let commands = lines(&block("docs/DOCTOR.md", "sh", "# The filter's own"));
    assert_eq!(commands.len(), 3, "{commands:?}");
    let port = envoy.port(Position::Upstream).to_string();
    let mut said = Vec::new();
    for line in commands {
        // What is not of the machine of these tests.
        let fake = format!(
            "doctor --connect 127.0.0.1:{} --plain-http ",
            alibaba.oss_port
        );
        let line = line.replace("doctor ", &fake).replace("my-bucket", BUCKET);
        let mut command = shell(&line.replace("10000", &port), &folder);
        command.envs([("KEY_ID", "LTAIcaller"), ("KEY_SECRET", CALLER_SECRET)]);
        command.envs([
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAIcaller"),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", CALLER_SECRET),
            ("ALIBABA_CLOUD_ROLE_ARN", ROLE),
            ("ALIBABA_CLOUD_STS_ENDPOINT", &sts),
        ]);
        let output = command.output().unwrap();
        let output_text = text(&output);
        let good = ["ok       credentials", "ok       get "];
        assert!(
            good.iter().all(|line| output_text.contains(line)),
            "{line}: {output_text}"
        );
        said.push(output_text);
    }
    // The same checks in the same order; a group that is not tried has one line.
    let checks = |text: &str| -> Vec<String> {
        let names = text
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1));
        names.map(str::to_owned).collect()
    };
    let page = block("docs/DOCTOR.md", "text", "ok ");
    assert_eq!(checks(&page.text), checks(&said[0]), "{}", said[0]);
}

#[test]
fn the_doctors_json_has_the_fields_of_the_page() {
    let alibaba = doctor::alibaba();
    alibaba.plant("explicit_deny", json!({}));
    let said = Doctor::of_file(&alibaba, &json!({})).json();
    let shown: Value = serde_json::from_str(&block("docs/DOCTOR.md", "json", "[").text).unwrap();
    let shown = &shown[0];
    let got = said.check(shown["check"].as_str().unwrap());
    let names = |check: &Value| -> Vec<String> {
        let fields = check.as_object().unwrap();
        fields.keys().cloned().collect()
    };
    assert_eq!(names(shown), names(got), "{got}");
    for field in ["cause", "ec", "fix", "result"] {
        assert_eq!(shown[field], got[field], "{field}");
    }
}

#[test]
fn the_signed_url_of_the_page_is_served() {
    let commands = lines(&block("docs/FROM-CDN.md", "sh", "export URL_KEY"));
    let (_, rest) = commands[1].split_once("$(").unwrap();
    let (sign, _) = rest.split_once(')').unwrap();
    let alibaba = FakeAlibaba::start();
    alibaba.put("hello.txt", "content");
    alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
    let stub = StubSidecar::start(good_answer());
    let envoy = Shipped::start_with(
        "signed-urls.yaml",
        alibaba.oss_port,
        stub.port,
        &[],
        |text| text,
    );
    let (name, key) = URL_KEYS[0];
    assert_eq!(commands[0], format!("export {name}=…"));
    let output = shell(sign, &folder("sign"))
        .env(name, key)
        .output()
        .unwrap();
    let url = text(&output);
    let path = url.trim().split_once(":10000").unwrap().1;
    let get = |path: &str| Request::get(path).send(envoy.port).status;
    assert_eq!((get("/hello.txt"), get(path)), (403, 200), "{url}");
}

#[test]
fn the_commands_and_the_settings_of_the_sidecar_work() {
    const OIDC_TOKEN: &str = "eyJ.sesame.oidc";
    let folder = folder("sidecar");
    let alibaba = FakeAlibaba::start();
    alibaba.add_key("LTAIcaller", CALLER_SECRET, None, None);
    alibaba.set("oidc_token", json!(OIDC_TOKEN));
    let settings = block("docs/SIDECAR.md", "toml", "listen").text;
    let quoted = settings.split('"').skip(1).step_by(2);
    let mut roles: Vec<_> = quoted.filter(|text| text.starts_with("acs:ram:")).collect();
    roles.push(ROLE);
    for role in roles {
        let external = role.contains("their").then_some("of-our-contract");
        alibaba.add_role(role, external);
    }
    // Files and addresses of this machine in the place of those of the page.
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name).display().to_string()
    };
    let policies = blocks().into_iter();
    let is_policy = |block: &Block| {
        block.file == "docs/ALIBABA-SETUP.md" && block.text.contains("oss:GetObject")
    };
    let policy = policies.clone().find(is_policy).unwrap();
    let port = free_port();
    let mut settings = settings
        .replace("127.0.0.1:8181", &format!("127.0.0.1:{port}"))
        .replace(
            "/etc/sts-sidecar/read-only.json",
            &write("policy.json", &policy.text),
        )
        .replace(
            "/run/secrets/access_key_secret",
            &write("secret", CALLER_SECRET),
        );
    // A region has a host of STS, and here is none.
    let sts = format!("sts_endpoint = \"http://127.0.0.1:{}\"", alibaba.sts_port);
    assert!(
        settings.contains("sts_region = \"cn-hangzhou\""),
        "{settings}"
    );
    settings = settings.replace("sts_region = \"cn-hangzhou\"", &sts);
    settings = settings.replace(
        "type = \"assume_role_with_oidc\"",
        &format!("type = \"assume_role_with_oidc\"\n{sts}"),
    );
    settings = settings.replace("from = \"default\"", &format!("from = \"default\"\n{sts}"));
    write("sidecar.toml", &settings);
    let token = write("token", OIDC_TOKEN);
    let run = |line: &str| {
        let mut command = shell(line, &folder);
        command.envs([
            ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAIcaller"),
            ("ALIBABA_CLOUD_ROLE_ARN", ROLE),
            (
                "ALIBABA_CLOUD_OIDC_PROVIDER_ARN",
                "acs:ram::1234567890:oidc-provider/ack-rrsa",
            ),
            ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", &token),
        ]);
        command
    };

    let commands = lines(&block("docs/SIDECAR.md", "sh", "oss-origin-auth"));
    let [serve, check, probe] = commands.as_slice() else {
        panic!("{commands:?}");
    };
    let checked = run(check).output().unwrap();
    assert!(checked.status.success(), "{}", text(&checked));
    for name in ["default", "partner", "pod"] {
        assert!(text(&checked).contains(name), "{}", text(&checked));
    }
    let probed = || run(probe).output().unwrap().status.code();
    assert_ne!(probed(), Some(0), "before it serves");
    let mut serving = Process::start("sidecar", &mut run(&format!("exec {serve}")));
    serving.wait_for("the sidecar to be ready", || probed() == Some(0));
}

/// The cause, its fix and the form of the line are the filter's.
#[test]
fn the_line_of_the_log_is_one_that_the_filter_writes() {
    let line = block("docs/OPERATIONS.md", "text", "OSS refused: ").text;
    let word = line.split([' ', ':']).nth(3).unwrap();
    let cause = Cause::of(word).unwrap();
    assert!(
        line.trim_end().ends_with(&format!("{}.", cause.fix())),
        "{}",
        cause.fix()
    );
    let (_, facts) = line.split_once(" (").unwrap();
    let names = facts.split("): ").next().unwrap().split(", ");
    let names: Vec<_> = names.map(|fact| fact.rsplit_once(' ').unwrap().0).collect();
    let known = [
        "settings",
        "bucket",
        "credentials",
        "request id",
        "EC",
        "code",
    ];
    assert_eq!(names, known);
}

/// Whatever spaces stand before its lines.
#[test]
fn the_native_filter_of_the_page_is_what_render_writes() {
    let lines = |text: &str| -> Vec<String> {
        let lines = text.lines().map(|line| line.trim().to_owned());
        lines.collect()
    };
    let shown = lines(&block("docs/NATIVE.md", "yaml", "- name: oss_origin_auth").text);
    let render = "oss-origin-auth render --bucket my-bucket --region cn-hangzhou --native";
    let output = shell(render, &folder("native")).output().unwrap();
    let rendered = lines(&text(&output));
    let mut places = rendered.windows(shown.len());
    assert!(places.any(|place| place == shown), "{rendered:#?}");
}
