//! What `oss-origin-auth render` writes, in a real Envoy: every combination of flags is loaded,
//! and each target that an Envoy can be made of serves an object. The shipped files have tests of
//! their own.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use testkit::envoy::{Ports, serve};
use testkit::process::{scratch, wait_until};
use testkit::rendered::{ROWS, arguments, covering, render};
use testkit::shipped::{KEYS_OF_TOKENS, URL_KEYS, users_of_refresh};
use testkit::signed_url::{now, sign};
use testkit::{FakeAlibaba, Process, Request, StubSidecar, free_port, host, tools};

use crate::common::certificate::self_signed;
use crate::common::{SECRET, TOKEN, good_answer};
use crate::shipped::jwt;

/// What Envoy needs in its environment.
const ACCESS_KEY: [(&str, &str); 3] = [
    ("ALIBABA_CLOUD_ACCESS_KEY_ID", "LTAIdemo"),
    ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "sesame-demo"),
    ("STS_SIDECAR_TOKEN", "sesame-token"),
];

/// A folder with all files that Envoy reads.
fn folder() -> PathBuf {
    let folder = self_signed("media.example.com").folder;
    std::fs::write(folder.join("jwks.json"), KEYS_OF_TOKENS).unwrap();
    std::fs::copy(users_of_refresh(), folder.join("refresh.htpasswd")).unwrap();
    folder
}

#[test]
fn envoy_loads_every_combination() {
    let module = tools::filter_wasm().display().to_string();
    let folder = folder();
    let rendered = |rows: &[usize]| {
        let rows: Vec<_> = rows.iter().map(|row| ROWS[*row]).collect();
        let mut flags = arguments(&rows, &folder);
        // Envoy finds a native module by itself.
        if !flags.iter().any(|flag| flag == "--native") {
            flags.extend(["--module".to_owned(), module.clone()]);
        }
        render(&tools::cli(), &flags)
    };
    let pairs =
        (0..ROWS.len()).flat_map(|one| (one + 1..ROWS.len()).map(move |other| [one, other]));
    let pairs = pairs.filter(|[one, other]| ROWS[*one].group != ROWS[*other].group);
    let together = Mutex::new(HashSet::new());
    testkit::in_parallel(pairs.collect::<Vec<_>>(), |pair| {
        if rendered(&pair).status.success() {
            together.lock().unwrap().insert(pair);
        }
    });
    let together = together.into_inner().unwrap();
    let combinations = covering(|one, other| together.contains(&[one.min(other), one.max(other)]));
    assert!(combinations.len() < 60, "{}", combinations.len());
    testkit::in_parallel(combinations, |rows| {
        let output = rendered(&rows);
        let named = || rows.iter().map(|row| ROWS[*row].flags).collect::<Vec<_>>();
        let problem = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{:?}: {problem}", named());
        let file = host::write("envoy.yaml", &String::from_utf8(output.stdout).unwrap());
        let mut command = host::envoy(&tools::envoy(), &file);
        command.args(["--mode", "validate"]);
        command.envs(URL_KEYS).envs(ACCESS_KEY);
        let mut envoy = Process::start("envoy", &mut command);
        assert_eq!(envoy.wait(), Some(0), "{:?}: {}", named(), envoy.output());
    });
}

/// The fake OSS, and an Envoy with what is rendered.
struct World {
    alibaba: FakeAlibaba,
    _stub: StubSidecar,
    envoy: Process,
    ports: Ports,
}

impl World {
    /// With these flags; where Envoy is to run beside others, its sidecar is here.
    fn start(flags: &[&str], keys: &[&str]) -> World {
        let alibaba = FakeAlibaba::start();
        for key in keys {
            alibaba.put_into("my-bucket", key, format!("content of {key}"));
        }
        alibaba.set("cache_control", serde_json::json!("public, max-age=3600"));
        alibaba.add_key("STS.example", SECRET, Some(TOKEN), None);
        alibaba.add_key("LTAIdemo", "sesame-demo", None, None);
        let stub = StubSidecar::start(good_answer());
        let module = tools::filter_wasm().display().to_string();
        let oss = format!("127.0.0.1:{}", alibaba.oss_port);
        let mut all = vec!["--module", &module, "--connect", &oss, "--oss-tls", "off"];
        // The ports of a container are known: only here the system chooses.
        let admin = free_port().to_string();
        match flags.contains(&"compose") || flags.contains(&"kubernetes") {
            true => all.extend(["--admin-port", &admin]),
            false => all.extend(["--port", "0", "--admin-port", "0"]),
        }
        all.extend(flags);
        let output = render(&tools::cli(), &all);
        let problem = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{problem}");
        let mut text = String::from_utf8(output.stdout).unwrap();
        for host in ["sidecar", "127.0.0.1"] {
            let shipped = format!("address: {host}, port_value: 8181");
            let here = format!("address: 127.0.0.1, port_value: {}", stub.port);
            text = text.replace(&shipped, &here);
        }
        for port in ["10000", "9902"] {
            let shipped = format!("address: 0.0.0.0, port_value: {port}");
            text = text.replace(&shipped, "address: 127.0.0.1, port_value: 0");
        }
        let mut command = host::envoy(&tools::envoy(), &host::write("envoy.yaml", &text));
        command.args(["--concurrency", "1", "--disable-hot-restart"]);
        command.envs(URL_KEYS).envs(ACCESS_KEY);
        let (envoy, ports) = serve(&mut command);
        World {
            alibaba,
            _stub: stub,
            envoy,
            ports,
        }
    }
}

#[test]
fn each_target_with_an_envoy_of_its_own_serves_an_object() {
    for flags in [
        &["--target", "envoy"][..],
        &["--credentials", "environment"],
        &["--target", "compose", "--only", "envoy.yaml"],
        &[
            "--target",
            "compose",
            "--only",
            "envoy.yaml",
            "--credentials",
            "environment",
        ],
        &["--target", "kubernetes", "--only", "envoy.yaml"],
    ] {
        let world = World::start(flags, &["a"]);
        let port = match flags.contains(&"kubernetes") {
            true => world.ports.of("public"),
            false => world.ports.only(),
        };
        let response = Request::get("/a").send(port);
        let got = (response.status, response.text());
        assert_eq!(got, (200, "content of a".into()), "{flags:?}");
        let id = match flags.contains(&"environment") {
            true => "LTAIdemo/",
            false => "STS.example/",
        };
        let signed = world.alibaba.seen()[0].header("authorization")[0].to_owned();
        assert!(signed.contains(id), "{flags:?}");
        assert!(!world.envoy.output().contains("sesame"));
    }
}

/// Whoever reaches the pod may read its metrics, and do no more with the admin page.
#[test]
fn the_port_of_the_metrics_serves_nothing_else() {
    let flags = ["--target", "kubernetes", "--only", "envoy.yaml"];
    let world = World::start(&flags, &["a"]);
    Request::get("/a").send(world.ports.of("public"));
    let port = world.ports.of("stats");
    let label = "oss_origin_auth_requests{kind=\"signed\"} 1";
    wait_until(label, || {
        let response = Request::get("/stats/prometheus").send(port);
        assert_eq!(response.status, 200);
        host::without_cluster(&response.text()).contains(label)
    });
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/config_dump"),
        ("GET", "/stats"),
        ("GET", "/stats/"),
        ("GET", "/stats/prometheus/"),
        ("GET", "/stats/prometheus/../../config_dump"),
        ("GET", "/stats/prometheus%2F..%2F..%2Fconfig_dump"),
        ("GET", "/stats/prometheus?usedonly"),
        ("GET", "/stats/prometheus;x"),
        ("GET", "/stats%2Fprometheus"),
        ("GET", "/%73tats/prometheus"),
        ("GET", "//stats/prometheus"),
        ("GET", "//config_dump"),
        ("GET", "/STATS/prometheus"),
        ("POST", "/stats/prometheus"),
        ("HEAD", "/stats/prometheus"),
        ("POST", "/quitquitquit"),
        ("GET", "/quitquitquit"),
        ("POST", "/logging?level=trace"),
        ("POST", "/healthcheck/fail"),
        ("POST", "/drain_listeners"),
    ] {
        let response = Request::new(method, path).send(port);
        assert_eq!(response.status, 404, "{method} {path}");
        assert_eq!(response.text(), "", "{method} {path}");
    }
    for name in [
        "x-http-method-override",
        "x-original-url",
        "x-envoy-original-path",
    ] {
        let request = Request::get("/config_dump").header(name, "/stats/prometheus");
        assert_eq!(request.send(port).status, 404, "{name}");
    }
    assert_eq!(
        Request::get("/a").send(world.ports.of("public")).status,
        200
    );
    // Nor is there a way from the port of clients.
    let status = Request::get("/stats/prometheus")
        .send(world.ports.of("public"))
        .status;
    assert_eq!(status, 404, "an object that does not exist");
}

/// What refuses a request must not put its signature or its token into the log.
#[test]
fn the_access_log_has_no_query() {
    let world = World::start(&["--access-log", "--signed-urls"], &["a"]);
    let path = "/a?auth_key=1-0-0-5ca1ab1e&access_token=5ca1ab1e";
    assert_eq!(Request::get(path).send(world.ports.only()).status, 403);
    wait_until("the access log", || {
        world.envoy.output().contains("\"request\":\"GET /a\"")
    });
    assert!(!world.envoy.output().contains("5ca1ab1e"));
}

#[test]
fn a_token_of_a_member_ends_and_is_no_parameter() {
    let folder = folder();
    let keys = folder.join("jwks.json").display().to_string();
    let flags = "--members /members/ --jwt-issuer i --jwt-audience a --jwks";
    let flags: Vec<_> = flags.split(' ').chain([keys.as_str()]).collect();
    let world = World::start(&flags, &["members/a"]);
    let endless = jwt(&serde_json::json!({"iss": "i", "aud": "a"}));
    let good = jwt(&serde_json::json!({"iss": "i", "aud": "a", "exp": 4_000_000_000_u64}));
    let status = |path: &str, token: Option<&str>| {
        let request = token.iter().fold(Request::get(path), |request, token| {
            request.header("authorization", format!("Bearer {token}"))
        });
        request.send(world.ports.only()).status
    };
    assert_eq!(status("/members/a", Some(&good)), 200);
    assert_eq!(status("/members/a", Some(&endless)), 401);
    let parameter = format!("/members/a?access_token={good}");
    assert_eq!(status(&parameter, None), 401);
}

#[test]
fn the_smallest_configuration_has_labels_of_metrics() {
    let (alibaba, _stub, envoy) = crate::shipped::start("minimal.yaml", &["a"]);
    Request::get("/a").send(envoy.port);
    Request::get("/absent").send(envoy.port);
    for want in [
        "oss_origin_auth_requests{kind=\"signed\"} ",
        "oss_origin_auth_oss_errors{cause=\"no_such_key\"} ",
        "oss_origin_auth_callouts{result=\"ok\"} ",
        "oss_origin_auth_credentials_valid{credentials=\"default\"} 1",
    ] {
        wait_until(want, || host::metrics(envoy.admin_port).contains(want));
    }
    assert_eq!(alibaba.seen().len(), 2);
}

#[test]
fn a_site_has_a_part_for_members() {
    let folder = folder();
    let keys = folder.join("jwks.json").display().to_string();
    let flags = [
        "--site",
        "--members",
        "/members/",
        "--jwks",
        &keys,
        "--jwt-issuer",
        "https://login.example.com",
        "--jwt-audience",
        "objects",
        "--allow-address",
        "127.0.0.0/8",
    ];
    let world = World::start(&flags, &["index.html", "404.html", "members/index.html"]);
    let claims = serde_json::json!(
        {"iss": "https://login.example.com", "aud": "objects", "exp": 4_000_000_000_u64});
    let token = format!("Bearer {}", jwt(&claims));
    for (path, member, want) in [
        ("/", false, (200, "content of index.html")),
        ("/absent", false, (404, "content of 404.html")),
        ("/members/", true, (200, "content of members/index.html")),
        ("/members/absent", true, (404, "content of 404.html")),
        ("/members/", false, (401, "Jwt is missing")),
        ("/members/absent", false, (401, "Jwt is missing")),
    ] {
        let mut request = Request::get(path);
        if member {
            request = request.header("authorization", token.clone());
        }
        let response = request.send(world.ports.only());
        let got = (response.status, response.text());
        assert_eq!(got, (want.0, want.1.to_owned()), "{path} {member}");
    }
}

#[test]
fn the_page_of_an_application_is_refused_as_all_else() {
    let flags = ["--spa", "--allow-address", "192.0.2.0/24"];
    let world = World::start(&flags, &["index.html"]);
    for path in ["/index.html", "/absent", "/"] {
        let status = Request::get(path).send(world.ports.only()).status;
        assert_eq!(status, 403, "{path}");
    }
}

/// To YAML these names are none, or numbers.
#[test]
fn a_rule_holds_whatever_its_prefix_is_called() {
    for name in ["null", "true", "1", "-"] {
        let (prefix, key) = (format!("/{name}/"), format!("{name}/a"));
        let world = World::start(&["--signed-urls", &prefix], &["a", &key]);
        for (path, want) in [(format!("/{key}"), 403), ("/a".to_owned(), 200)] {
            let status = Request::get(&path).send(world.ports.only()).status;
            assert_eq!(status, want, "{path}");
        }
    }
}

/// Rules of several flags at once, with a cache behind them and without.
#[test]
fn each_rule_holds_beside_the_others() {
    let folder = folder();
    let keys = folder.join("jwks.json").display().to_string();
    let users = folder.join("refresh.htpasswd").display().to_string();
    let cache = scratch("cache");
    std::fs::create_dir_all(&cache).unwrap();
    let cache = cache.display().to_string();
    let rules = [
        "--allow-referer https://www.example.com/ --signed-urls /signed/ --members /members/",
        "--jwt-issuer https://login.example.com --jwt-audience objects --jwks",
    ];
    let rules = rules.iter().flat_map(|rules| rules.split_whitespace());
    let rules: Vec<_> = rules.chain([keys.as_str()]).collect();
    let cached = ["--cache", "--refresh-port", "0", "--cache-folder", &cache];
    let cached = [&cached[..], &["--refresh-users", &users]].concat();
    let claims = serde_json::json!(
        {"iss": "https://login.example.com", "aud": "objects", "exp": 4_000_000_000_u64});
    let member = ("authorization", format!("Bearer {}", jwt(&claims)));
    let page = ("referer", "https://www.example.com/page".to_owned());
    let signed = sign("A", URL_KEYS[0].1, now(), "/signed/a");
    for (more, listener) in [(Vec::new(), ""), (cached, "public")] {
        let flags = [&rules[..], &more].concat();
        let world = World::start(&flags, &["a", "signed/a", "members/a"]);
        let port = match listener {
            "" => world.ports.only(),
            name => world.ports.of(name),
        };
        let get = |path: &str, headers: &[&(&str, String)]| {
            let request = headers.iter().fold(Request::get(path), |request, header| {
                request.header(header.0, header.1.clone())
            });
            request.send(port).status
        };
        for (path, headers, want) in [
            ("/a", &[][..], 403),
            ("/a", &[&member], 403),
            ("/signed/a", &[&page], 403),
            (signed.as_str(), &[], 403),
            ("/members/a", &[], 401),
            ("/members/a", &[&page], 401),
            ("/%6Dembers/a", &[&page], 401),
            ("//members/a", &[&page], 401),
        ] {
            assert_eq!(get(path, headers), want, "{listener} {path} {headers:?}");
        }
        assert!(world.alibaba.seen().is_empty(), "none of these reached OSS");
        // Twice: what a cache holds has the same rules.
        for _ in 0..2 {
            assert_eq!(get("/a", &[&page]), 200, "{listener}");
            assert_eq!(get(&signed, &[&page]), 200, "{listener}");
            assert_eq!(get("/members/a", &[&member]), 200, "{listener}");
            assert_eq!(get("/members/a", &[&page]), 401, "{listener}");
            assert_eq!(get("/signed/a", &[&page]), 403, "{listener}");
            assert_eq!(get("/a", &[]), 403, "{listener}");
        }
    }
}

#[test]
fn pages_of_other_origins_read_from_the_cache() {
    let folder = folder();
    let users = folder.join("refresh.htpasswd").display().to_string();
    let cache = scratch("cache");
    std::fs::create_dir_all(&cache).unwrap();
    let cache = cache.display().to_string();
    let flags = [
        "--cache",
        "--cors",
        "https://*.example.com",
        "--refresh-port",
        "0",
        "--cache-folder",
        &cache,
        "--refresh-users",
        &users,
    ];
    let world = World::start(&flags, &["a"]);
    let get = |origin: &str| {
        let request = Request::get("/a").header("origin", origin);
        request.send(world.ports.of("public"))
    };
    for (origin, allowed) in [
        ("https://www.example.com", Some("https://www.example.com")),
        ("https://app.example.com", Some("https://app.example.com")),
        ("https://evil.example", None),
        ("https://www.example.com.evil.example", None),
    ] {
        testkit::process::wait_until("a hit", || get(origin).header("age").is_some());
        let response = get(origin);
        assert_eq!(response.text(), "content of a");
        let header = response.header("access-control-allow-origin");
        assert_eq!(header, allowed, "{origin}");
    }
    assert_eq!(world.alibaba.seen().len(), 1, "one fetch for all pages");
}

#[test]
fn kubernetes_knows_every_field_of_what_flags_add() {
    let out = scratch("pod");
    let flags = [
        "--target kubernetes --pod-credentials secret --tls --signed-urls --url-key-backup",
        "--members /members/ --jwks /etc/envoy/jwks.json --jwt-issuer example",
        "--jwt-audience objects --role true --registry localhost:5000/ours --out",
    ];
    let flags = flags.iter().flat_map(|flags| flags.split_whitespace());
    let out_flag = out.display().to_string();
    let flags: Vec<_> = flags.chain([out_flag.as_str()]).collect();
    let output = render(&tools::cli(), &flags);
    assert!(output.status.success(), "{output:?}");
    let mut check = Command::new(tools::python());
    check.arg(tools::fakes().join("check_manifests.py"));
    check.arg(out.join("envoy-with-sidecar.yaml"));
    let output = check.arg(out.join("secret.yaml")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    // One line for each document of both files.
    let documents: Vec<_> = said.lines().collect();
    assert_eq!(documents.len(), 5, "{said}");
    assert!(
        documents.iter().all(|line| line.ends_with(": good")),
        "{said}"
    );
}

/// As in the image, where both programs are on the PATH.
#[test]
fn the_image_of_envoy_renders_when_it_starts() {
    let folder = scratch("image");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, program) in [("oss-origin-auth", tools::cli()), ("envoy", tools::envoy())] {
        std::os::unix::fs::symlink(program, folder.join(name)).unwrap();
    }
    let start = |bucket: &str| {
        let mut command = Command::new("/bin/sh");
        command.arg(tools::root().join("envoy/container.sh"));
        command.args(["--mode", "validate"]).env_clear();
        command.env("PATH", &folder).env("TMPDIR", &folder);
        command.env("WASM_FILE", tools::filter_wasm());
        command.envs([("OSS_BUCKET", bucket), ("OSS_REGION", "cn-hangzhou")]);
        command.envs([("OSS_HOST", ""), ("OSS_ADDRESS", "fake-oss:9000")]);
        command.envs([("OSS_TLS", "off"), ("STS_SIDECAR_TOKEN", "sesame")]);
        let mut envoy = Process::start("envoy", &mut command);
        (envoy.wait(), envoy.output())
    };
    let (status, said) = start("demo-bucket");
    assert_eq!(status, Some(0), "{said}");
    let (status, said) = start("Demo Bucket");
    assert_ne!(status, Some(0));
    assert!(
        said.contains("--bucket (OSS_BUCKET) is \"Demo Bucket\""),
        "{said}"
    );
}
