//! The sidecar as it runs: against an STS that verifies signatures with
//! Alibaba's own SDK, and behind a real Envoy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support"
)]

use crate::common;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::filter;
use serde_json::json;
use testkit::process::{scratch, wait_until, wait_until_read};
use testkit::{EnvoyBuilder, FakeAlibaba, Position, Process, Request, Response, tools};

const ROLE: &str = "acs:ram::1234567890:role/oss-reader";
const CALLER_SECRET: &str = "sesame-of-the-caller";

#[test]
fn a_role_is_assumed_and_its_token_serves_an_object() {
    let alibaba = alibaba();
    alibaba.put("a", "content");
    let (sidecar, port) = start(&alibaba, CALLER_SECRET);
    let envoy = EnvoyBuilder::new(filter(), alibaba.oss_port, port).start();
    for position in [Position::Upstream, Position::Downstream] {
        let response = Request::get("/a").send(envoy.port(position));
        assert_eq!((response.status, response.text()), (200, "content".into()));
    }
    assert_eq!(alibaba.sts_requests(), 2, "one for each of the two roles");
    for output in [sidecar.output(), envoy.process.output()] {
        for secret in [CALLER_SECRET, "CAIS"] {
            assert!(!output.contains(secret), "{output}");
        }
    }
}

#[test]
fn credentials_are_answered_in_the_form_of_the_protocol() {
    let alibaba = alibaba();
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    let get = |name: &str| Request::get(format!("/v1/credentials/{name}")).send(port);

    let answer = get("default");
    assert_eq!(
        (answer.status, answer.header("cache-control")),
        (200, Some("no-store"))
    );
    let body = answer.json();
    assert_eq!(body["Code"], "Success");
    assert!(body["AccessKeyId"].as_str().unwrap().starts_with("STS."));
    assert!(body["SecurityToken"].as_str().unwrap().starts_with("CAIS"));
    let expiration = body["Expiration"].as_str().unwrap();
    let time = oss_origin_auth_core::oss::time::parse_rfc3339_utc(expiration);
    assert!(
        time.is_some_and(|time| time > 1_700_000_000),
        "{expiration}"
    );

    assert_eq!(get("default").json(), body, "cached");
    assert_eq!(alibaba.sts_requests(), 2, "one for each of the two roles");

    let fixed = get("fixed").json();
    assert_eq!(fixed["AccessKeySecret"], CALLER_SECRET);
    assert_eq!(fixed.get("SecurityToken"), None);
    assert_eq!(get("other").status, 404);
    assert_eq!(get("external").json()["Code"], "Success");
    assert_eq!(Request::get("/healthz").send(port).status, 200);
}

#[test]
fn a_refusal_of_sts_is_named_without_its_text() {
    let alibaba = alibaba();
    let (sidecar, port) = start(&alibaba, "wrong-secret");
    let answer = Request::get("/v1/credentials/default").send(port);
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["Code"], "SourceRefused");
    assert!(
        answer.text().contains("SignatureDoesNotMatch"),
        "{}",
        answer.text()
    );
    assert!(sidecar.output().contains("SignatureDoesNotMatch"));

    alibaba.set(
        "sts_failure",
        json!([503, "ServiceUnavailable", "sesame CAIS"]),
    );
    std::thread::sleep(Duration::from_millis(600));
    let answer = Request::get("/v1/credentials/external").send(port);
    assert!(!answer.text().contains("sesame"), "{}", answer.text());
    assert!(!sidecar.output().contains("sesame"), "{}", sidecar.output());
}

#[test]
fn a_thousand_callers_make_one_request_to_sts() {
    let alibaba = alibaba();
    alibaba.set("sts_delay", json!(1));
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    let answers = std::sync::Mutex::new(std::collections::HashSet::new());
    std::thread::scope(|scope| {
        for _ in 0..1_000 {
            scope.spawn(|| {
                let answer = Request::get("/v1/credentials/default").send(port);
                assert_eq!(answer.status, 200);
                answers.lock().unwrap().insert(answer.body);
            });
        }
    });
    assert_eq!(answers.lock().unwrap().len(), 1, "all got the same");
    assert_eq!(alibaba.sts_requests(), 2, "one for each of the two roles");
}

#[test]
fn a_token_is_renewed_before_a_third_of_its_life_is_gone() {
    let alibaba = alibaba();
    const LIFE: u64 = 12;
    alibaba.set("token_life", json!(LIFE));
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    // The id, and when it expires.
    let held = || {
        let body = Request::get("/v1/credentials/default").send(port).json();
        let expiration = body["Expiration"].as_str().unwrap().to_owned();
        let time = oss_origin_auth_core::oss::time::parse_rfc3339_utc(&expiration);
        (body["AccessKeyId"].to_string(), time.unwrap())
    };
    let first = held();
    let mut second = first.clone();
    wait_until("a second token", || {
        second = held();
        second.0 != first.0
    });
    // All have the same life: the one began as much later as it expires later.
    let gone = second.1 - first.1;
    assert!(gone <= LIFE / 2, "renewed after {gone} of {LIFE} seconds");

    // The old ones serve while STS fails.
    alibaba.set("sts_failure", json!([500, "InternalError", "x"]));
    let second = held();
    wait_until("a refresh that fails", || {
        let metrics = Request::get("/metrics").send(port).text();
        metrics.contains("sts_sidecar_fetches_total{name=\"default\",result=\"refused\"}")
    });
    let answer = Request::get("/v1/credentials/default").send(port);
    // Unless this machine has slept over their end.
    if unix_time() + 1 < second.1 {
        assert_eq!(answer.json()["AccessKeyId"].to_string(), second.0);
    }
}

fn unix_time() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

#[test]
fn bad_settings_are_refused_at_start() {
    for (settings, want) in [
        ("listen = 5", "line 1: invalid type"),
        (
            "[credentials.a]\ntype = \"magic\"",
            "unknown variant `magic`",
        ),
        (
            "[credentials.a]\ntype = \"static\"\naccess_key_secret = \"sesame\"",
            "unknown field",
        ),
        (
            "[credentials.a]\ntype = \"static\"\naccess_key_id_env = \"UNSET\"",
            "credentials.a.access_key_id_env: UNSET: is unset or empty",
        ),
        (
            "listen = \"0.0.0.0:1\"\n[credentials.a]\ntype = \"static\"\n\
             access_key_id_env = \"HOME\"\naccess_key_secret_env = \"HOME\"",
            "may be reached by other machines",
        ),
    ] {
        let file = scratch("sidecar.toml");
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new(tools::sidecar());
        let mut sidecar = Process::start("sidecar", command.arg("--config").arg(&file));
        assert_eq!(sidecar.wait(), Some(1), "{settings}");
        let output = sidecar.output();
        assert!(
            output.contains(want),
            "{settings}\n got: {output}\nwant: {want}"
        );
        assert!(!output.contains("sesame"), "{output}");
    }
    let mut command = Command::new(tools::sidecar());
    command.env_clear().env("ALIBABA_CLOUD_ROLE_ARN", ROLE);
    let mut sidecar = Process::start("sidecar", &mut command);
    assert_eq!(sidecar.wait(), Some(1));
    assert!(
        sidecar
            .output()
            .contains("access_key_id_env: ALIBABA_CLOUD_ACCESS_KEY_ID: is unset")
    );
}

#[test]
fn it_stops_gracefully() {
    let alibaba = alibaba();
    alibaba.set("sts_delay", json!(1));
    let (mut sidecar, port) = start(&alibaba, CALLER_SECRET);
    assert_eq!(Request::get("/healthz").send(port).status, 200);
    // A request under way is answered.
    let under_way = Request::get("/v1/credentials/default").start(port).unwrap();
    wait_until_read(&under_way);
    assert_eq!(sidecar.terminate(), Some(0));
    assert_eq!(Response::read(under_way, false).unwrap().status, 200);
    assert!(sidecar.output().contains("stopping"));
}

#[test]
fn killed_at_any_moment_it_comes_back_as_it_was() {
    let alibaba = alibaba();
    alibaba.put("a", "content");
    let sidecar = Configured::new(&alibaba, "listen = \"unix:SOCKET\"");
    let mut process = sidecar.start(&[]);
    let mut builder = EnvoyBuilder::new(filter(), alibaba.oss_port, 1);
    builder.sidecar_socket = Some(sidecar.socket.clone());
    let envoy = builder.start();
    let get = || {
        Request::get("/a")
            .send(envoy.port(Position::Upstream))
            .status
    };
    assert_eq!(get(), 200);
    for wait in [0, 3, 10, 30, 100, 300] {
        // Dropping kills it: its socket stays behind, in the way of the next.
        drop(process);
        process = sidecar.start(&[]);
        std::thread::sleep(Duration::from_millis(wait));
        assert_eq!(get(), 200);
    }
    wait_until("a sidecar that is ready", || sidecar.probe() == Some(0));
    assert_eq!(process.terminate(), Some(0));
    assert!(!sidecar.socket.exists());
}

#[test]
fn a_socket_has_its_mode_and_takes_nobodys_place() {
    use std::os::unix::fs::PermissionsExt;
    let alibaba = alibaba();
    let sidecar = Configured::new(&alibaba, "listen = \"unix:SOCKET\"\nsocket_mode = \"0660\"");
    let _running = sidecar.start(&[]);
    wait_until("the socket", || sidecar.probe() == Some(0));
    let mode = std::fs::metadata(&sidecar.socket)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o660);
    let mut second = sidecar.start(&[]);
    assert_eq!(second.wait(), Some(1));
    assert!(
        second.output().contains("somebody listens"),
        "{}",
        second.output()
    );
    assert_eq!(sidecar.probe(), Some(0), "the first still serves");
}

#[test]
fn with_a_token_only_those_who_show_it_are_served() {
    let alibaba = alibaba();
    alibaba.put("a", "content");
    let sidecar = Configured::new(&alibaba, "listen = \"0.0.0.0:0\"");
    let mut command = sidecar.command("");
    let (process, port) =
        testkit::sidecar::start(command.env("STS_SIDECAR_TOKEN", "sesame-bearer"));
    let get = |path: &str, token: &str| {
        let request = Request::get(path).header("authorization", token);
        request.send(port).status
    };
    for path in [
        "/v1/credentials/default",
        "/v1/credentials/other",
        "/latest/meta-data/ram/security-credentials/",
        "/latest/meta-data/ram/security-credentials/default",
    ] {
        for token in [
            "",
            "Bearer ",
            "Bearer sesame-beare",
            "sesame-bearer",
            "Basic sesame-bearer",
        ] {
            assert_eq!(get(path, token), 401, "{path} {token}");
        }
        assert_ne!(get(path, "Bearer sesame-bearer"), 401, "{path}");
    }
    assert_eq!(get("/healthz", ""), 200);

    let mut configuration = filter();
    let mut builder = EnvoyBuilder::new(configuration.clone(), alibaba.oss_port, port);
    builder.filter["wait_timeout_ms"] = json!(500);
    let envoy = builder.start();
    let refused = Request::get("/a").send(envoy.port(Position::Upstream));
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("token_env"), "{}", refused.text());

    configuration["credentials"]["default"]["sidecar"]["token_env"] = json!("SIDECAR_TOKEN");
    builder.filter = configuration;
    builder.environment = vec![("SIDECAR_TOKEN".into(), "sesame-bearer".into())];
    let envoy = builder.start();
    let served = Request::get("/a").send(envoy.port(Position::Upstream));
    assert_eq!((served.status, served.text()), (200, "content".into()));
    for shown in [
        process.output(),
        envoy.process.output(),
        envoy.admin("/config_dump"),
    ] {
        assert!(!shown.contains("sesame"), "{shown}");
    }
}

#[test]
fn the_shape_of_the_metadata_server_is_served_too() {
    let alibaba = alibaba();
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    let token = Request::new("PUT", "/latest/api/token")
        .header("X-aliyun-ecs-metadata-token-ttl-seconds", "60")
        .send(port);
    assert_eq!(token.status, 200);
    let folder = "/latest/meta-data/ram/security-credentials/";
    let names = Request::get(folder).send(port).text();
    assert_eq!(names, "default\nexternal\nfixed");
    let answer = Request::get(format!("{folder}default"))
        .header("X-aliyun-ecs-metadata-token", token.text())
        .send(port)
        .json();
    assert_eq!(answer["Code"], "Success");
    assert!(answer["Expiration"].is_string());
}

#[test]
fn it_tells_whether_it_is_ready_and_what_it_did() {
    let alibaba = alibaba();
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    wait_until("all sources", || {
        Request::get("/readyz").send(port).status == 200
    });
    let ready = Request::get("/readyz").send(port).json();
    assert_eq!(ready["ready"], true);
    assert_eq!(ready["credentials"]["default"]["valid"], true);
    let _ = Request::get("/v1/credentials/default").send(port);
    let metrics = Request::get("/metrics").send(port).text();
    for want in [
        "sts_sidecar_credentials_valid{name=\"default\"} 1",
        "sts_sidecar_credentials_expiry_timestamp_seconds{name=\"default\"} ",
        "sts_sidecar_last_refresh_timestamp_seconds{name=\"external\"} ",
        "sts_sidecar_fetches_total{name=\"default\",result=\"ok\"} 1",
        "sts_sidecar_fetch_duration_seconds_count{name=\"default\"} 1",
        "sts_sidecar_requests_total{status=\"200\"} 1",
    ] {
        assert!(metrics.contains(want), "{want}\n{metrics}");
    }
    assert!(!metrics.contains("credentials_expiry_timestamp_seconds{name=\"fixed\"}"));
    assert!(!metrics.contains("sesame"));

    let (_sidecar, port) = start(&alibaba, "wrong-secret");
    wait_until("the first failure", || {
        let ready = Request::get("/readyz").send(port).json();
        ready["credentials"]["default"]["problem"].is_string()
    });
    let ready = Request::get("/readyz").send(port);
    assert_eq!(ready.status, 503);
    let problem = ready.json()["credentials"]["default"]["problem"].to_string();
    assert!(problem.contains("AssumeRole at 127.0.0.1"), "{problem}");
    assert!(problem.contains("SignatureDoesNotMatch"), "{problem}");
    let metrics = Request::get("/metrics").send(port).text();
    assert!(metrics.contains("sts_sidecar_fetches_total{name=\"default\",result=\"refused\"}"));
}

#[test]
fn a_token_is_refreshed_ahead_without_any_caller() {
    let alibaba = alibaba();
    alibaba.set("token_life", json!(6));
    let begin = Instant::now();
    let (_sidecar, _port) = start(&alibaba, CALLER_SECRET);
    wait_until("a second token for each role", || {
        alibaba.sts_requests() >= 4
    });
    // A third of six seconds, and never without a pause: less than one a second
    // for each of the two roles.
    std::thread::sleep(Duration::from_secs(4));
    let (requests, seconds) = (alibaba.sts_requests(), begin.elapsed().as_secs_f64());
    assert!(
        requests as f64 <= 2.0 * seconds,
        "{requests} in {seconds} s"
    );
}

#[test]
fn a_token_that_was_refreshed_ahead_is_no_answer_to_a_condemned_one() {
    let alibaba = alibaba();
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    let id = |anew: bool| {
        let request = Request::get("/v1/credentials/default");
        let request = match anew {
            true => request.header("cache-control", "no-cache"),
            false => request,
        };
        request.send(port).json()["AccessKeyId"].clone()
    };
    // What it holds is young, and was fetched before anybody complained.
    let first = id(false);
    let mut second = id(true);
    assert_ne!(first, second);
    // Those who complain at the same time share one answer. On a machine that
    // is so busy that more than a second passes, it takes another try.
    wait_until("two answers within a second", || {
        let begin = Instant::now();
        second = id(true);
        let third = id(true);
        let at_the_same_time = begin.elapsed() < Duration::from_millis(900);
        assert!(!at_the_same_time || third == second, "{third} {second}");
        second = third;
        at_the_same_time
    });
    std::thread::sleep(Duration::from_millis(1_100));
    assert_ne!(id(true), second);
}

#[test]
fn a_reload_takes_what_is_good_and_keeps_the_old_from_what_is_bad() {
    let alibaba = alibaba();
    let sidecar = Configured::new(&alibaba, "listen = \"127.0.0.1:0\"");
    let (process, port) = testkit::sidecar::start(&mut sidecar.command(""));
    let answer = |name: &str| Request::get(format!("/v1/credentials/{name}")).send(port);
    let before = answer("default").json();
    let hangup = |want: &str| {
        let id = process.id().to_string();
        let sent = Command::new("kill").args(["-HUP", &id]).status();
        assert!(sent.unwrap().success());
        wait_until(want, || process.output().contains(want));
    };

    let good = std::fs::read_to_string(&sidecar.file).unwrap();
    std::fs::write(&sidecar.file, "[credentials.default]\ntype = \"sesame\"").unwrap();
    hangup("settings refused; the old ones stay");
    assert_eq!(answer("default").json(), before, "the old ones stay");

    let added = format!(
        "{good}[credentials.second]\ntype = \"static\"\n{}",
        sidecar.key
    );
    std::fs::write(&sidecar.file, added).unwrap();
    hangup("settings read again");
    assert_eq!(answer("second").status, 200);
    assert_eq!(
        answer("default").json(),
        before,
        "what did not change keeps its token"
    );
    assert_eq!(alibaba.sts_requests(), 1);
}

#[test]
fn check_tries_each_source_and_shows_a_table() {
    let alibaba = alibaba();
    let sidecar = Configured::new(&alibaba, "listen = \"127.0.0.1:1\"");
    let check = || sidecar.command("check").output().unwrap();
    let output = check();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{table}");
    assert!(
        table.contains("default  assume_role            ok, a token until 20"),
        "{table}"
    );
    alibaba.set("sts_failure", json!([403, "NoPermission", "sesame"]));
    let output = check();
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{table}");
    assert!(
        table.contains("refused: NoPermission (request id"),
        "{table}"
    );
    assert!(!table.contains("sesame"), "{table}");
}

#[test]
fn alibabas_own_sdk_reads_it() {
    let alibaba = alibaba();
    let (_sidecar, port) = start(&alibaba, CALLER_SECRET);
    let expected = Request::get("/v1/credentials/default").send(port).json();
    let program = "from alibabacloud_credentials.client import Client\n\
                   from alibabacloud_credentials.models import Config\n\
                   import json, os\n\
                   uri = os.environ['ALIBABA_CLOUD_CREDENTIALS_URI']\n\
                   c = Client(Config(type='credentials_uri', credentials_uri=uri)).get_credential()\n\
                   print(json.dumps([c.access_key_id, c.access_key_secret, c.security_token]))";
    let output = Command::new(tools::python())
        .args(["-c", program])
        .env(
            "ALIBABA_CLOUD_CREDENTIALS_URI",
            format!("http://127.0.0.1:{port}/v1/credentials/default"),
        )
        .output()
        .unwrap();
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{problem}");
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        read,
        json!([
            expected["AccessKeyId"],
            expected["AccessKeySecret"],
            expected["SecurityToken"]
        ])
    );
}

#[test]
fn the_environment_alone_is_enough() {
    let alibaba = alibaba();
    let (_sidecar, port) = testkit::sidecar::start(
        Command::new(tools::sidecar())
            .env_clear()
            .env("STS_SIDECAR_LISTEN", "127.0.0.1:0")
            .env("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAIcaller")
            .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", CALLER_SECRET)
            .env("ALIBABA_CLOUD_ROLE_ARN", ROLE)
            .env(
                "ALIBABA_CLOUD_STS_ENDPOINT",
                format!("http://127.0.0.1:{}", alibaba.sts_port),
            ),
    );
    let answer = Request::get("/v1/credentials/default").send(port);
    assert_eq!(answer.json()["Code"], "Success");
}

/// A sidecar with one role, for tests that start it more than once.
struct Configured {
    file: PathBuf,
    socket: PathBuf,
    /// The settings of the key pair.
    key: String,
}

impl Configured {
    /// `listen`: its first lines, in which SOCKET is the path of a socket.
    fn new(alibaba: &FakeAlibaba, listen: &str) -> Configured {
        let socket = scratch("s");
        let key = "access_key_id_env = \"TEST_CALLER\"\n\
                   access_key_secret_env = \"TEST_SECRET\"\n"
            .to_owned();
        let settings = format!(
            "{}\n[credentials.default]\ntype = \"assume_role\"\nrole_arn = \"{ROLE}\"\n\
             sts_endpoint = \"http://127.0.0.1:{}\"\n{key}",
            listen.replace("SOCKET", socket.to_str().unwrap()),
            alibaba.sts_port
        );
        let file = scratch("sidecar.toml");
        std::fs::write(&file, settings).unwrap();
        Configured { file, socket, key }
    }

    fn command(&self, task: &str) -> Command {
        let mut command = Command::new(tools::sidecar());
        command.args((!task.is_empty()).then_some(task));
        command.arg("--config").arg(&self.file);
        command.env("TEST_CALLER", "LTAIcaller");
        command.env("TEST_SECRET", CALLER_SECRET);
        command
    }

    fn start(&self, environment: &[(&str, &str)]) -> Process {
        let mut command = self.command("");
        Process::start("sidecar", command.envs(environment.iter().copied()))
    }

    fn probe(&self) -> Option<i32> {
        self.command("probe").output().unwrap().status.code()
    }
}

fn alibaba() -> FakeAlibaba {
    let alibaba = FakeAlibaba::start();
    alibaba.add_key("LTAIcaller", CALLER_SECRET, None, None);
    alibaba.add_role(ROLE, None);
    alibaba.add_role("acs:ram::1234567890:role/external", Some("of-our-partner"));
    alibaba
}

fn start(alibaba: &FakeAlibaba, secret: &str) -> (Process, u16) {
    let secret_file = scratch("secret");
    std::fs::write(&secret_file, format!("{secret}\n")).unwrap();
    let key = format!(
        "access_key_id_env = \"TEST_CALLER\"\naccess_key_secret_file = {:?}",
        secret_file.display().to_string()
    );
    let sts = format!("sts_endpoint = \"http://127.0.0.1:{}\"", alibaba.sts_port);
    let file = scratch("sidecar.toml");
    let settings = format!(
        "listen = \"127.0.0.1:0\"\ntimeout_ms = 30000\n\
         [credentials.default]\ntype = \"assume_role\"\nrole_arn = \"{ROLE}\"\n{sts}\n{key}\n\
         [credentials.external]\ntype = \"assume_role\"\n\
         role_arn = \"acs:ram::1234567890:role/external\"\nexternal_id = \"of-our-partner\"\n\
         session_name = \"gateway\"\n{sts}\n{key}\n\
         [credentials.fixed]\ntype = \"static\"\n{key}\n"
    );
    std::fs::write(&file, settings).unwrap();
    testkit::sidecar::start(
        Command::new(tools::sidecar())
            .arg("--config")
            .arg(&file)
            .env("TEST_CALLER", "LTAIcaller"),
    )
}
