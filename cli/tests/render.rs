//! `oss-origin-auth render` as a person calls it: what is refused, what is written where, and that
//! no secret is.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use testkit::process::scratch;
use testkit::shipped::{EXAMPLES, example_of};
use testkit::tools;

const LEAST: [&str; 4] = ["--bucket", "my-bucket", "--region", "cn-hangzhou"];

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oss-origin-auth"));
    command.env_clear().arg("render");
    command
}

fn run(arguments: &[&str]) -> Output {
    command().args(LEAST).args(arguments).output().unwrap()
}

/// What is said of these arguments, which are refused.
fn refused(arguments: &[&str]) -> String {
    // A flag wins over the environment.
    let least = [("OSS_BUCKET", "my-bucket"), ("OSS_REGION", "cn-hangzhou")];
    let output = command().envs(least).args(arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    said
}

fn printed(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_shipped_files_are_what_is_rendered() {
    let program = Path::new(env!("CARGO_BIN_EXE_oss-origin-auth"));
    for (name, _) in EXAMPLES {
        let shipped = fs::read_to_string(tools::root().join(name)).unwrap();
        let rendered = example_of(program, name).unwrap();
        assert!(shipped == rendered, "{name}: run `cargo xtask render`");
    }
}

#[test]
fn a_wrong_value_is_refused_with_its_flag_and_what_it_must_be() {
    for (flag, value, problem) in WRONG.iter().copied() {
        let said = refused(&[flag, value]);
        assert!(said.contains(problem), "{flag} {value:?}: {said}");
        assert!(said.contains(flag), "{flag} {value:?}: {said}");
    }
    let members = ["--members", "/members/", "--jwt-audience", "a"];
    for (jwks, issuer, problem) in [
        (
            "keys.json",
            "x",
            "it must be an absolute path, from / on; or an https URL",
        ),
        (
            "https://login.example.com",
            "x",
            "it must be an https URL with a path",
        ),
        (
            "/keys.json",
            "a\u{2028}b: c",
            "it must be printable ASCII of one line",
        ),
        (
            "/keys.json",
            "a\nb",
            "it must be printable ASCII of one line",
        ),
    ] {
        let more = ["--jwks", jwks, "--jwt-issuer", issuer];
        let said = refused(&[&members[..], &more].concat());
        assert!(said.contains(problem), "{said}");
    }
}

/// A flag, a value that is wrong, and what is said of it.
const WRONG: &[(&str, &str, &str)] = &[
    (
        "--bucket",
        "My_Bucket",
        "--bucket (OSS_BUCKET) is \"My_Bucket\": it must be 3 to 63",
    ),
    ("--bucket", "a\"}b", "--bucket (OSS_BUCKET) is"),
    ("--bucket", "", "--bucket is \"\": give it a value"),
    (
        "--region",
        "oss-cn-hangzhou",
        "--region (OSS_REGION) is \"oss-cn-hangzhou\": it must be the general",
    ),
    ("--region", "", "--region is \"\": give it a value"),
    (
        "--domain",
        "https://a.example.com",
        "without scheme, port or path",
    ),
    (
        "--domain",
        "a.example.com:443",
        "without scheme, port or path",
    ),
    (
        "--domain",
        "a.example.com\nadmin: x",
        "without scheme, port or path",
    ),
    ("--domain", "null", "it must be a host"),
    ("--domain", "1.5", "it must be a host"),
    (
        "--connect",
        "10.0.0.1",
        "--connect (OSS_ADDRESS) is \"10.0.0.1\": it must be a host and a port",
    ),
    ("--connect", "a.example:0", "it must be a host and a port"),
    (
        "--sidecar",
        "sidecar",
        "--sidecar (SIDECAR_ADDRESS) is \"sidecar\": it must be a host and a port",
    ),
    (
        "--oss-tls",
        "false",
        "--oss-tls (OSS_TLS) is \"false\": it must be on or off",
    ),
    (
        "--oss-tls",
        "off",
        "--oss-tls off (OSS_TLS) needs --connect (OSS_ADDRESS)",
    ),
    (
        "--port",
        "9901",
        "--admin-port (ADMIN_PORT) is 9901, and so is --port (LISTEN_PORT)",
    ),
    (
        "--port",
        "ten",
        "--port (LISTEN_PORT) is \"ten\": it must be a number",
    ),
    ("--port", "+80", "it must be a number"),
    (
        "--module",
        "/a b.wasm",
        "--module (WASM_FILE) is \"/a b.wasm\": it holds more than",
    ),
    ("--module", "a.wasm", "it must be an absolute path"),
    ("--ca-file", "/a/{{ p }}", "it holds more than"),
    ("--cors", "www.example.com", "it must be an origin"),
    ("--cors", "https://a.example\"\n- x", "it must be an origin"),
    ("--cors", "https://*.*.example.com", "it must be an origin"),
    ("--cors", "https://a.example:", "it must be an origin"),
    ("--signed-urls", "/signed", "it must begin and end with /"),
    ("--signed-urls", "/a/../b/", "it must begin and end with /"),
    ("--signed-urls", "/%6D/", "it must begin and end with /"),
    ("--signed-urls", "/objects/", "a route has this name"),
    (
        "--ask",
        "http://127.0.0.1:80",
        "it must be a host and a port",
    ),
    (
        "--referer-at",
        "/pictures/",
        "it must be a prefix and a domain",
    ),
    (
        "--referer-at",
        "/=example.com",
        "for all objects use --allow-referer",
    ),
    (
        "--allow-referer",
        "https://www.example.com",
        "it must be the beginning of URLs",
    ),
    (
        "--allow-referer",
        "https://a.example/ x",
        "it must be the beginning of URLs",
    ),
    (
        "--allow-address",
        "10.0.0.0/33",
        "it must be an address or a network",
    ),
    (
        "--deny-address",
        "10.0.0.0/",
        "it must be an address or a network",
    ),
    (
        "--deny-address",
        "ten/8",
        "it must be an address or a network",
    ),
    ("--also", "partner", "partner=their-bucket"),
    ("--also", "default=their-bucket", "partner=their-bucket"),
    ("--also", "a/b=their-bucket", "partner=their-bucket"),
];

/// The variables of the images, which also the flags of a person's shell may be.
#[test]
fn the_environment_stands_for_flags_and_is_named_with_them() {
    let output = command()
        .envs([
            ("OSS_BUCKET", "my-bucket"),
            ("OSS_REGION", "cn-beijing"),
            ("OSS_HOST", ""),
            ("OSS_ADDRESS", "fake-oss:9000"),
            ("OSS_TLS", "off"),
            ("SIDECAR_ADDRESS", "sidecar:8181"),
            ("STS_SIDECAR_TOKEN", "sesame"),
            ("LISTEN_PORT", "9902"),
        ])
        .output()
        .unwrap();
    let text = printed(&output);
    for part in [
        "address: fake-oss, port_value: 9000",
        "address: sidecar, port_value: 8181",
        "address: 0.0.0.0, port_value: 9902",
        "host_rewrite_literal: my-bucket.oss-cn-beijing-internal.aliyuncs.com",
        "\"token_env\": \"STS_SIDECAR_TOKEN\"",
        "host_env_keys: [STS_SIDECAR_TOKEN]",
        "--connect fake-oss:9000 --oss-tls off",
        "--sidecar-token",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        !text.contains("sesame") && !text.contains("tls.v3"),
        "{text}"
    );
    let output = command()
        .args(LEAST)
        .env("OSS_TLS", "maybe")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--oss-tls (OSS_TLS) is \"maybe\""), "{said}");
}

#[test]
fn hosts_are_of_oss_or_a_domain_of_the_bucket() {
    for (flags, endpoint, host) in [
        (&[][..], "oss-cn-hangzhou-internal.aliyuncs.com", None),
        (
            &["--endpoint", "public"],
            "oss-cn-hangzhou.aliyuncs.com",
            None,
        ),
        (
            &["--endpoint", "accelerate"],
            "oss-accelerate.aliyuncs.com",
            None,
        ),
        (
            &["--domain", "my-bucket.oss-cn-hangzhou-a.example"],
            "oss-cn-hangzhou-a.example",
            None,
        ),
        (
            &["--domain", "static.example.com"],
            "static.example.com",
            Some("static.example.com"),
        ),
    ] {
        let text = printed(&run(flags));
        let of_bucket = format!("my-bucket.{endpoint}");
        let host = host.unwrap_or(&of_bucket);
        for part in [
            format!("host_rewrite_literal: {host}\n"),
            format!("sni: {host}\n"),
            format!("exact: {host}}}"),
            format!("address: {host}, port_value: 443"),
            format!("\"endpoint\": \"{endpoint}\""),
        ] {
            assert!(text.contains(&part), "{part}");
        }
        let cname = text.contains("\"addressing\": \"cname\"");
        assert_eq!(cname, flags.contains(&"static.example.com"));
    }
}

#[test]
fn what_is_secret_stays_in_the_environment() {
    let flags = ["--signed-urls", "--credentials", "environment"];
    let secrets = [
        ("URL_KEY", "sesame-1"),
        ("URL_KEY_BACKUP", "sesame-2"),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "sesame-3"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "sesame-4"),
    ];
    let output = command()
        .args(LEAST)
        .args(flags)
        .envs(secrets)
        .output()
        .unwrap();
    let text = printed(&output);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !text.contains("sesame") && !said.contains("sesame"),
        "{text}"
    );
    for part in [
        "host_env_keys: [URL_KEY, URL_KEY_BACKUP]",
        "host_env_keys: [ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET]",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert!(!text.contains("sts_sidecar"));
    // Without a second key nothing asks for it.
    let text = printed(&run(&["--signed-urls"]));
    assert!(text.contains("host_env_keys: [URL_KEY]") && !text.contains("backup_key_env"));
}

#[test]
fn files_are_written_together_or_not_at_all() {
    let folder = scratch("rendered");
    let out = folder.display().to_string();
    let compose = ["--target", "compose", "--out", &out];
    let several = refused(&["--target", "compose"]);
    assert!(
        several.contains("name a folder for them with --out"),
        "{several}"
    );
    let output = run(&compose);
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(printed(&output), "");
    for part in ["Next:", "check-config", "docker compose up", "doctor"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let names = || {
        let entries = fs::read_dir(&folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    assert_eq!(
        names(),
        [".env.example", "docker-compose.yml", "envoy.yaml"]
    );

    fs::write(folder.join("docker-compose.yml"), "mine").unwrap();
    fs::remove_file(folder.join("envoy.yaml")).unwrap();
    let said = refused(&compose);
    assert!(
        said.contains("is there already") && said.contains("--force"),
        "{said}"
    );
    assert_eq!(
        names(),
        [".env.example", "docker-compose.yml"],
        "nothing was written"
    );
    let text = || fs::read_to_string(folder.join("docker-compose.yml")).unwrap();
    assert_eq!(text(), "mine");
    let wrong = refused(&[&compose[..], &["--force", "--port", "x"]].concat());
    assert!(wrong.contains("--port") && text() == "mine");
    printed(&run(&[&compose[..], &["--force"]].concat()));
    assert!(text().contains("image: oss-origin-auth:"));
    assert!(!text().contains("build:"), "no checkout is needed");
    assert_eq!(
        names(),
        [".env.example", "docker-compose.yml", "envoy.yaml"]
    );

    // A folder that cannot be.
    let below = folder.join("envoy.yaml/x").display().to_string();
    assert!(refused(&["--out", &below]).contains("--out: "));
}

#[test]
fn what_a_target_does_not_know_is_refused_by_name() {
    for (target, flags, other) in [
        ("compose", "--cache", "--cache"),
        ("compose", "--sidecar a.example:80", "--sidecar"),
        ("compose", "--role r", "--role"),
        ("compose", "--native", "--native"),
        ("kubernetes", "--cache", "--cache"),
        ("kubernetes", "--sidecar-token", "--sidecar-token"),
        (
            "kubernetes",
            "--credentials environment",
            "--credentials environment",
        ),
        ("kubernetes", "--istio wasm-plugin", "--istio"),
        ("istio", "--site", "--site"),
        ("istio", "--role r", "--role"),
        ("istio", "--native", "--native"),
        ("envoy-gateway", "--deny-address 10.0.0.1", "--deny-address"),
        (
            "envoy-gateway",
            "--credentials environment",
            "--credentials environment",
        ),
        ("higress", "--cors https://a.example", "--cors"),
        ("higress", "--connect a.example:80", "--connect"),
        ("envoy", "--host a.example.com", "--host"),
        ("envoy", "--registry a.example.com", "--registry"),
    ] {
        let flags: Vec<&str> = flags.split_whitespace().collect();
        let said = refused(&[&["--target", target][..], &flags].concat());
        assert!(said.contains(other), "{target} {flags:?}: {said}");
        assert!(said.contains(&format!("--target {target}")), "{said}");
    }
    // Envoy looks for a native module by itself.
    let said = refused(&["--native", "--module", "/a"]);
    assert!(said.contains("--native and --module"), "{said}");
    for (flag, value, needed) in [
        ("--jwks", "/a", "--members"),
        ("--ask-at", "/a/", "--ask"),
        ("--url-type", "F", "--signed-urls"),
        ("--refresh-port", "1", "--cache"),
        ("--tls-folder", "/a", "--tls"),
    ] {
        let said = refused(&[flag, value]);
        assert!(said.contains(&format!("{flag} needs {needed}")), "{said}");
    }
}

#[test]
fn prefixes_lie_side_by_side() {
    for (flags, names) in [
        (
            "--signed-urls /a/ --ask b.example:80 --ask-at /a/b/",
            ["--signed-urls", "--ask"],
        ),
        (
            "--signed-urls /partner/ --also partner=their-bucket",
            ["--signed-urls", "--also"],
        ),
        (
            "--referer-at /a/=x.example --referer-at /a/=y.example",
            ["--referer-at", "--referer-at"],
        ),
        (
            "--cache --signed-urls /uncached/",
            ["--cache", "--signed-urls"],
        ),
    ] {
        let flags: Vec<&str> = flags.split_whitespace().collect();
        let said = refused(&flags);
        for name in names {
            assert!(
                said.contains(name) && said.contains("side by side"),
                "{said}"
            );
        }
    }
}

#[test]
fn the_commands_of_the_page_work() {
    let page = fs::read_to_string(tools::root().join("docs/RENDER.md")).unwrap();
    let blocks = page.split("```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines());
    let commands: Vec<_> = lines.filter(|line| !line.starts_with('#')).collect();
    assert!(commands.len() >= 7, "{commands:?}");
    let folder = scratch("page");
    fs::create_dir_all(&folder).unwrap();
    for line in commands {
        let flags = line.strip_prefix("oss-origin-auth render ").unwrap();
        let mut command = command();
        command.current_dir(&folder).args(flags.split_whitespace());
        let output = command.output().unwrap();
        assert_eq!(printed(&output), "", "{line}");
        // Each has made the folder that it names.
        let out = flags.rsplit(' ').next().unwrap();
        for entry in fs::read_dir(folder.join(out)).unwrap() {
            let text = fs::read_to_string(entry.unwrap().path()).unwrap();
            assert!(!text.contains("{{") && !text.contains("{%"), "{line}");
        }
    }
}
