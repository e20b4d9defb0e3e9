//! The sidecar as a process: its settings, whom it listens to, how it stops,
//! starts again and reloads, and its other commands.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support"
)]

use crate::common;

use std::time::Duration;

use common::filter;
use common::sidecar::{CALLER_SECRET, Configured, ROLE, alibaba, hangup, start};
use serde_json::json;
use testkit::process::{scratch, wait_until, wait_until_read};
use testkit::{EnvoyBuilder, Position, Process, Request, Response, tools};

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
        let mut command = tools::sidecar();
        let mut sidecar = Process::start("sidecar", command.arg("--config").arg(&file));
        assert_eq!(sidecar.wait(), Some(1), "{settings}");
        let output = sidecar.output();
        assert!(
            output.contains(want),
            "{settings}\n got: {output}\nwant: {want}"
        );
        assert!(!output.contains("sesame"), "{output}");
    }
    let mut command = tools::sidecar();
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
    let under_way = Request::local("/v1/credentials/default")
        .start(port)
        .unwrap();
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
    let mut process = sidecar.start();
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
        process = sidecar.start();
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
    let _running = sidecar.start();
    wait_until("the socket", || sidecar.probe() == Some(0));
    let mode = std::fs::metadata(&sidecar.socket)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o660);
    let mut second = sidecar.start();
    assert_eq!(second.wait(), Some(1));
    assert!(
        second.output().contains("another process listens"),
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
fn a_reload_takes_what_is_good_and_keeps_the_old_from_what_is_bad() {
    let alibaba = alibaba();
    let sidecar = Configured::new(&alibaba, "listen = \"127.0.0.1:0\"");
    let (process, port) = testkit::sidecar::start(&mut sidecar.command(""));
    let answer = |name: &str| Request::local(format!("/v1/credentials/{name}")).send(port);
    let before = answer("default").json();
    let hangup = |want: &str| hangup(&process, want);

    let good = std::fs::read_to_string(&sidecar.file).unwrap();
    std::fs::write(&sidecar.file, "[credentials.default]\ntype = \"sesame\"").unwrap();
    hangup("settings refused; the old ones stay in use");
    assert_eq!(answer("default").json(), before, "the old ones stay");

    let added = format!(
        "{good}[credentials.second]\ntype = \"static\"\n{}",
        sidecar.key
    );
    std::fs::write(&sidecar.file, added).unwrap();
    hangup("settings reloaded");
    assert_eq!(answer("second").status, 200);
    assert_eq!(
        answer("default").json(),
        before,
        "what did not change keeps its token"
    );
    assert_eq!(alibaba.sts_requests(), 1);
}

#[test]
fn a_reload_that_would_move_the_socket_is_refused_whole() {
    let alibaba = alibaba();
    let token = scratch("token");
    std::fs::write(&token, "sesame-first").unwrap();
    let open = "listen = \"0.0.0.0:0\"";
    let sidecar = Configured::new(&alibaba, &format!("{open}\ntoken_file = {token:?}"));
    let (process, port) = testkit::sidecar::start(&mut sidecar.command(""));
    let status = |token: &str| {
        let request = Request::local("/v1/credentials/default");
        request.header("authorization", token).send(port).status
    };
    assert_eq!(status("Bearer sesame-first"), 200);

    // To loopback, where nobody needs a token: the socket would stay open to all.
    let good = std::fs::read_to_string(&sidecar.file).unwrap();
    let (_, sources) = good.split_once("\n[credentials").unwrap();
    let moved = format!("listen = \"127.0.0.1:0\"\n[credentials{sources}");
    std::fs::write(&sidecar.file, moved).unwrap();
    hangup(
        &process,
        "listen: has changed from 0.0.0.0:0 to 127.0.0.1:0",
    );
    assert_eq!(status(""), 401);
    assert_eq!(status("Bearer sesame-first"), 200);

    // Another token, in the same file.
    std::fs::write(&sidecar.file, good).unwrap();
    std::fs::write(&token, "sesame-second").unwrap();
    hangup(&process, "settings reloaded");
    assert_eq!(status("Bearer sesame-first"), 401);
    assert_eq!(status("Bearer sesame-second"), 200);
    assert!(!process.output().contains("sesame"));
}

#[test]
fn a_reload_that_would_change_the_sockets_mode_is_refused() {
    let alibaba = alibaba();
    let sidecar = Configured::new(&alibaba, "listen = \"unix:SOCKET\"\nsocket_mode = \"0660\"");
    let process = sidecar.start();
    wait_until("the socket", || sidecar.probe() == Some(0));
    let good = std::fs::read_to_string(&sidecar.file).unwrap();
    std::fs::write(&sidecar.file, good.replace("0660", "0600")).unwrap();
    hangup(&process, "socket_mode: has changed");
    assert!(process.output().contains("settings refused"));
    assert!(!process.output().contains("settings reloaded"));
}

#[test]
fn a_reload_takes_a_narrower_policy_and_another_timeout() {
    let alibaba = alibaba();
    let policy = scratch("policy.json");
    std::fs::write(&policy, "{\"Version\": \"1\"}").unwrap();
    let sidecar = Configured::new(&alibaba, "timeout_ms = 30000\nlisten = \"127.0.0.1:0\"");
    let good = std::fs::read_to_string(&sidecar.file).unwrap();
    std::fs::write(&sidecar.file, format!("{good}policy_file = {policy:?}\n")).unwrap();
    let (process, port) = testkit::sidecar::start(&mut sidecar.command(""));
    let answer = || Request::local("/v1/credentials/default").send(port).json();
    let before = answer();

    std::fs::write(&policy, "{\"Version\": \"1\", \"Statement\": []}").unwrap();
    hangup(&process, "settings reloaded");
    assert_ne!(answer()["AccessKeyId"], before["AccessKeyId"]);
    let log = alibaba.sts_log();
    let last = log.last().unwrap();
    assert_eq!(last["Policy"], "{\"Version\": \"1\", \"Statement\": []}");

    // A policy that cannot be read refuses the reload; what is held stays.
    std::fs::write(&policy, "{").unwrap();
    hangup(
        &process,
        &format!("policy_file: {}: is no JSON", policy.display()),
    );
    assert_eq!(answer()["Code"], "Success");

    // Another role, so that a token is fetched, from an STS that is slower than
    // the new time-out and faster than the old one.
    alibaba.set("sts_delay", json!(3));
    let slow = good.replace("30000", "500").replace("oss-reader", "other");
    std::fs::write(&sidecar.file, slow).unwrap();
    let begin = std::time::Instant::now();
    hangup(&process, "settings reloaded");
    wait_until("a time-out", || answer()["Code"] == "SourceTimedOut");
    assert!(begin.elapsed() > Duration::from_millis(400));
}

#[test]
fn an_empty_token_is_no_token() {
    let alibaba = alibaba();
    for listen in ["0.0.0.0:0", "127.0.0.1:0"] {
        let sidecar = Configured::new(&alibaba, &format!("listen = \"{listen}\""));
        let mut command = sidecar.command("");
        let mut process = Process::start("sidecar", command.env("STS_SIDECAR_TOKEN", ""));
        assert_eq!(process.wait(), Some(1));
        let output = process.output();
        assert!(
            output.contains("token_env: STS_SIDECAR_TOKEN: is unset or empty"),
            "{output}"
        );
    }
}

#[test]
fn a_token_that_cannot_be_read_or_is_one_of_two_stops_it() {
    use std::os::unix::ffi::OsStrExt;
    let alibaba = alibaba();
    let file = scratch("token");
    std::fs::write(&file, "sesame-old").unwrap();
    let named = format!("listen = \"127.0.0.1:0\"\ntoken_file = {file:?}");
    for (settings, token, want) in [
        (
            "listen = \"127.0.0.1:0\"",
            b"sesame\xff".as_slice(),
            "STS_SIDECAR_TOKEN: is no UTF-8",
        ),
        (
            named.as_str(),
            b"sesame-new",
            "STS_SIDECAR_TOKEN: another token is set too",
        ),
    ] {
        let sidecar = Configured::new(&alibaba, settings);
        let mut command = sidecar.command("");
        command.env("STS_SIDECAR_TOKEN", std::ffi::OsStr::from_bytes(token));
        let mut process = Process::start("sidecar", &mut command);
        assert_eq!(process.wait(), Some(1));
        assert!(process.output().contains(want), "{}", process.output());
        assert!(!process.output().contains("sesame"), "{}", process.output());
    }
}

#[test]
fn the_socket_of_a_successor_stays() {
    let alibaba = alibaba();
    let sidecar = Configured::new(&alibaba, "listen = \"unix:SOCKET\"");
    let mut first = sidecar.start();
    wait_until("the first", || sidecar.probe() == Some(0));
    std::fs::rename(&sidecar.socket, sidecar.socket.with_extension("old")).unwrap();
    let _second = sidecar.start();
    wait_until("the second", || sidecar.probe() == Some(0));
    assert_eq!(first.terminate(), Some(0));
    assert_eq!(sidecar.probe(), Some(0));
}

#[test]
fn switches_are_read_as_everywhere() {
    let alibaba = alibaba();
    let sidecar = Configured::new(&alibaba, "listen = \"127.0.0.1:0\"");
    for (value, is_json) in [("1", true), ("true", true), ("0", false), ("", false)] {
        let mut command = sidecar.command("");
        let command = command.env("STS_SIDECAR_LOG_JSON", value);
        let mut process = Process::start("sidecar", command);
        process.wait_for_output("a line", |output| {
            output.contains("listening").then_some(())
        });
        assert_eq!(process.output().starts_with('{'), is_json, "{value}");
    }
    for wanted in ["off,sts_sidecar=info", "sts_sidecar=info", "hyper=trace"] {
        let mut command = sidecar.command("");
        let mut process = Process::start("sidecar", command.env("RUST_LOG", wanted));
        process.wait_for_output("a line", |output| {
            output.contains("listening").then_some(())
        });
    }
}

#[test]
fn a_socket_is_never_there_with_another_mode() {
    use std::os::unix::fs::PermissionsExt;
    let alibaba = alibaba();
    let sidecar = Configured::new(&alibaba, "listen = \"unix:SOCKET\"\nsocket_mode = \"0600\"");
    for _ in 0..20 {
        let process = sidecar.start();
        let begin = std::time::Instant::now();
        // Without a pause: the moment between two system calls is short.
        let mode = loop {
            if let Ok(file) = std::fs::metadata(&sidecar.socket) {
                break file.permissions().mode() & 0o777;
            }
            assert!(begin.elapsed() < testkit::process::PATIENCE);
        };
        assert_eq!(mode, 0o600);
        drop(process);
        std::fs::remove_file(&sidecar.socket).unwrap();
    }
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
fn the_environment_alone_is_enough() {
    let alibaba = alibaba();
    let (_sidecar, port) = testkit::sidecar::start(
        tools::sidecar()
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
    let answer = Request::local("/v1/credentials/default").send(port);
    assert_eq!(answer.json()["Code"], "Success");
}
