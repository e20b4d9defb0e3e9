//! docs/FROM-CDN.md, followed as somebody would who moves a domain from the CDN.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::common::{SECRET, TOKEN, good_answer};
use oss_origin_auth_checker::{Finding, check};
use serde_json::{Value, json};
use testkit::alibaba::{BUCKET, REGION};
use testkit::envoy::{Ports, serve};
use testkit::recorder::{Answer, Recorder};
use testkit::shipped::run_render;
use testkit::{FakeAlibaba, Process, Request, Response, StubSidecar, free_port, host, tools};

/// The snippets of the page in a language.
fn snippets(language: &str) -> Vec<String> {
    let page = std::fs::read_to_string(tools::root().join("docs/FROM-CDN.md")).unwrap();
    let begin = format!("```{language}\n");
    let blocks = page.split(&begin).skip(1);
    let snippets: Vec<String> = blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect();
    assert!(!snippets.is_empty(), "{language}");
    snippets
}

/// The first snippet of YAML that has this text.
fn with_text(text: &str) -> Value {
    let found = snippets("yaml").into_iter().find(|one| one.contains(text));
    serde_yaml_ng::from_str(&found.unwrap_or_else(|| panic!("no {text}"))).unwrap()
}

/// Puts a snippet into a configuration, as the page says.
fn add(config: &mut Value, snippet: &Value, at: usize) {
    let resources = &mut config["static_resources"];
    for (name, added) in snippet.as_object().unwrap() {
        let added = added.as_array().unwrap().clone();
        match name.as_str() {
            "listeners" | "clusters" => resources[name].as_array_mut().unwrap().extend(added),
            "http_filters" => {
                let filters = manager(resources)["http_filters"].as_array_mut().unwrap();
                filters.splice(at..at, added);
            }
            "virtual_hosts" => {
                let host = &mut manager(resources)["route_config"]["virtual_hosts"][0];
                add_to_host(host, &added[0]);
            }
            other => panic!("the page does not say where {other} belongs"),
        }
    }
}

fn manager(resources: &mut Value) -> &mut Value {
    &mut resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
}

fn add_to_host(host: &mut Value, added: &Value) {
    assert_eq!(host["name"], added["name"]);
    for (name, value) in added.as_object().unwrap() {
        if let Value::Array(items) = value {
            let known = host[name].as_array().cloned().unwrap_or_default();
            host[name] = json!([items.clone(), known].concat());
        }
    }
}

fn shipped(name: &str) -> Value {
    let text = std::fs::read_to_string(tools::root().join("envoy").join(name)).unwrap();
    serde_yaml_ng::from_str(&text).unwrap()
}

#[test]
fn each_snippet_is_good() {
    let mut configurations: Vec<String> = snippets("json");
    for snippet in snippets("yaml") {
        let mut config = shipped("minimal.yaml");
        add(&mut config, &serde_yaml_ng::from_str(&snippet).unwrap(), 0);
        let wasm = tools::filter_wasm().display().to_string();
        let text = config.to_string();
        configurations.push(text.clone());
        let text = text.replace("/etc/envoy/oss_origin_auth.wasm", &wasm);
        let mut command = host::envoy(&tools::envoy(), &host::write("envoy.json", &text));
        command.args(["--mode", "validate"]);
        command
            .env("URL_KEY", "key")
            .env("URL_KEY_BACKUP", "backup");
        let mut envoy = Process::start("envoy", &mut command);
        assert_eq!(envoy.wait(), Some(0), "{snippet}: {}", envoy.output());
    }
    for text in configurations {
        let findings = check(&text).findings;
        let said: Vec<_> = findings.iter().map(Finding::to_string).collect();
        assert!(said.is_empty(), "{text}: {said:#?}");
    }
}

/// A moved domain: the fake OSS, and an Envoy with two keys.
struct Domain {
    alibaba: FakeAlibaba,
    _stub: StubSidecar,
    _envoy: Process,
    ports: Ports,
}

impl Domain {
    fn start(file: &str, adapt: impl Fn(&mut Value)) -> Domain {
        let alibaba = FakeAlibaba::start();
        alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
        let stub = StubSidecar::start(good_answer());
        let (oss, sidecar) = (alibaba.oss_port, stub.port);
        let settings = [
            ("OSS_BUCKET", BUCKET),
            ("OSS_REGION", REGION),
            ("OSS_ADDRESS", &format!("127.0.0.1:{oss}")),
            ("OSS_TLS", "off"),
            ("SIDECAR_ADDRESS", &format!("127.0.0.1:{sidecar}")),
            ("LISTEN_PORT", "0"),
            ("ADMIN_PORT", "0"),
        ];
        let mut config = serde_yaml_ng::from_str(&run_render(file, &settings).unwrap()).unwrap();
        adapt(&mut config);
        let wasm = tools::filter_wasm().display().to_string();
        let text = config.to_string();
        let text = text.replace("/etc/envoy/oss_origin_auth.wasm", &wasm);
        let text = text.replace("my-bucket", BUCKET);
        let mut command = host::envoy(&tools::envoy(), &host::write("envoy.json", &text));
        command.args(["--concurrency", "1", "--disable-hot-restart"]);
        command
            .env("URL_KEY", KEYS[0])
            .env("URL_KEY_BACKUP", KEYS[1]);
        let (envoy, ports) = serve(&mut command);
        Domain {
            alibaba,
            _stub: stub,
            _envoy: envoy,
            ports,
        }
    }

    /// A player that shows a page of this site asks.
    fn ask(&self, target: &str, referer: &str, agent: &str) -> Response {
        let mut request = Request::get(target);
        for (name, value) in [("referer", referer), ("user-agent", agent)] {
            if !value.is_empty() {
                request = request.header(name, value);
            }
        }
        request.send(self.ports.only())
    }
}

const KEYS: [&str; 2] = ["primary-key-of-16", "secondary-key-of-16"];
const PAGE: &str = "https://www.example.com/films";

/// The application signs by examples/sign_url.py.
fn signed(key: &str, path: &str, age: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let time = now.as_secs() - age;
    let script = "import os, sys; sys.dont_write_bytecode = True; sys.path.insert(0, 'examples'); \
                  from sign_url import sign_url; \
                  print(sign_url('A', os.environ['URL_KEY'], sys.argv[1], int(sys.argv[2])))";
    let mut python = Command::new(tools::python());
    python.current_dir(tools::root()).args(["-c", script, path]);
    let output = python.arg(time.to_string()).env("URL_KEY", key).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

/// The status, and the reason of a refusal.
fn verdict(response: &Response) -> (u16, Option<&str>) {
    (response.status, response.header("x-oss-origin-auth"))
}

#[test]
fn a_domain_with_signed_urls_is_moved() {
    let domain = Domain::start("minimal.yaml", |config| {
        add(config, &with_text("name: oss_access"), 0);
        add(config, &with_text("rbac"), 1);
    });
    let path = "/films/%E4%B8%AD%20a.mp4";
    domain.alibaba.put("films/中 a.mp4", "the film");
    domain.alibaba.put("films/b", "another");
    for key in KEYS {
        let film = domain.ask(&signed(key, &format!("{path}?v=2"), 0), PAGE, "player");
        assert_eq!((film.status, film.text()), (200, "the film".into()));
    }
    for seen in domain.alibaba.seen() {
        assert_eq!(seen.target, path, "OSS sees no signature");
    }
    let good = signed(KEYS[0], path, 0);
    let other_path = good.replace(path, "/films/b");
    for (target, referer, agent, reason) in [
        (path, PAGE, "player", "url_signature_missing"),
        (
            &signed(KEYS[0], path, 1900),
            PAGE,
            "player",
            "url_signature_expired",
        ),
        (
            &signed("other", path, 0),
            PAGE,
            "player",
            "url_signature_wrong",
        ),
        (&other_path, PAGE, "player", "url_signature_wrong"),
        (
            &format!("{good}0"),
            PAGE,
            "player",
            "url_signature_malformed",
        ),
        (
            &good,
            "https://example.org/",
            "player",
            "referer_not_allowed",
        ),
        (&good, PAGE, "Spider/1.0", "user_agent_not_allowed"),
        (&good, PAGE, "", "user_agent_not_allowed"),
    ] {
        let response = domain.ask(target, referer, agent);
        assert_eq!(verdict(&response), (403, Some(reason)), "{target}");
    }
    // Without a Referer it may be read.
    assert_eq!(domain.ask(&good, "", "player").status, 200);
    testkit::process::wait_until("the counter of the second key", || {
        host::stat(domain.ports.admin, "url_keys.backup") == 1
    });
}

#[test]
fn an_address_on_the_list_is_refused() {
    let domain = Domain::start("minimal.yaml", |config| {
        let mut snippet = with_text("rbac");
        let listed = &mut snippet["http_filters"][0]["typed_config"]["rules"]["policies"]["listed"];
        listed["principals"][0]["remote_ip"]["address_prefix"] = json!("127.0.0.0");
        add(config, &snippet, 0);
    });
    domain.alibaba.put("a", "content");
    assert_eq!(domain.ask("/a", "", "player").status, 403);
    assert!(domain.alibaba.seen().is_empty());
}

#[test]
fn another_server_is_asked_and_nobody_passes_without_its_answer() {
    let auth = Recorder::answering(|received| {
        let may = received.header("cookie") == ["session=1"];
        Answer::new(if may { 200 } else { 401 }, &[], b"")
    });
    let start = |port: u16| {
        Domain::start("minimal.yaml", move |config| {
            add(config, &with_text("name: oss_access"), 0);
            let mut snippet = with_text("ext_authz");
            let endpoint = &mut snippet["clusters"][0]["load_assignment"]["endpoints"][0];
            endpoint["lb_endpoints"][0]["endpoint"]["address"] =
                json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
            add(config, &snippet, 1);
        })
    };
    let ask = |domain: &Domain, cookie: &str| {
        domain.alibaba.put("a", "content");
        let request = Request::get(signed(KEYS[0], "/a?v=2", 0)).header("cookie", cookie);
        request
            .header("user-agent", "player")
            .send(domain.ports.only())
    };
    let domain = start(auth.port);
    assert_eq!(ask(&domain, "session=1").status, 200);
    assert_eq!(ask(&domain, "session=2").status, 401);
    let seen = auth.seen();
    let targets: Vec<_> = seen.iter().map(|one| one.target.as_str()).collect();
    assert_eq!(targets, ["/auth/a?v=2"; 2]);
    // A URL that is not signed is none of its business.
    assert_eq!(domain.ask("/a", "", "player").status, 403);
    assert_eq!(auth.seen().len(), 2);
    let down = start(free_port());
    assert_eq!(ask(&down, "session=1").status, 403);
    assert!(down.alibaba.seen().is_empty());
}

#[test]
fn an_error_page_needs_no_signature() {
    for public in [true, false] {
        let domain = Domain::start("site.yaml", |config| {
            let mut snippet = with_text("name: oss_access");
            let value = &mut snippet["http_filters"][0]["typed_config"]["config"]["configuration"];
            let text = value["value"].as_str().unwrap();
            let mut settings: Value = serde_json::from_str(text).unwrap();
            if public {
                settings["routes"] = json!({"error_document": {"access": {"public": true}}});
            }
            value["value"] = json!(settings.to_string());
            add(config, &snippet, 0);
        });
        domain.alibaba.put("404.html", "not here");
        let response = domain.ask(&signed(KEYS[0], "/absent", 0), PAGE, "player");
        // The status is that of custom_response, also for a refused page.
        assert_eq!(response.status, 404);
        assert_eq!(response.text() == "not here", public, "{}", response.text());
    }
}

#[test]
fn a_page_of_another_origin_reads_why_it_was_refused() {
    let origin = "https://www.example.com";
    let domain = Domain::start("cors.yaml", |config| {
        // Behind the filter `cors`.
        add(config, &with_text("name: oss_access"), 1);
    });
    domain.alibaba.put("a", "content");
    let ask = |method: &str, target: &str| {
        let request = Request::new(method, target).header("origin", origin);
        let request = request.header("access-control-request-method", "GET");
        request
            .header("user-agent", "browser")
            .send(domain.ports.only())
    };
    assert_eq!(ask("OPTIONS", "/a").status, 200);
    let good = signed(KEYS[0], "/a", 0);
    for (target, status) in [("/a", 403), (good.as_str(), 200)] {
        let response = ask("GET", target);
        let allowed = response.header("access-control-allow-origin");
        assert_eq!(
            (response.status, allowed),
            (status, Some(origin)),
            "{target}"
        );
    }
}
