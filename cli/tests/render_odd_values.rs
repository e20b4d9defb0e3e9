//! Values of `oss-origin-auth render` that mean something else to YAML, that are empty, or that
//! something else of the machine has already.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::process::{Command, Output};

use testkit::process::scratch;

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oss-origin-auth"));
    command.env_clear().arg("render");
    command.args(["--bucket", "my-bucket"]);
    if !arguments.contains(&"--region") {
        command.args(["--region", "cn-hangzhou"]);
    }
    command.args(arguments).envs(environment.iter().copied());
    command.output().unwrap()
}

fn printed(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(arguments, environment);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}");
    // No warning either.
    assert_eq!(said, "", "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(arguments, environment);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
    said
}

/// A route whose name is no text to YAML has none to Envoy, and so no rule.
#[test]
fn a_route_has_its_name_whatever_it_is() {
    for name in ["null", "NULL", "true", "yes", "1", "1.5", "1e3", "-"] {
        let text = printed(&["--signed-urls", &format!("/{name}/")], &[]);
        assert!(text.contains(&format!("- name: \"{name}\"\n")), "{name}");
    }
    for name in ["null", "true", "1"] {
        let text = printed(&["--also", &format!("{name}=their-bucket")], &[]);
        assert!(text.contains(&format!("- name: \"{name}\"\n")), "{name}");
    }
}

#[test]
fn a_host_is_no_number() {
    for host in ["0x1f", "1_000", "2001-01-01", "1.2.3", "999.1.1.1"] {
        let address = format!("{host}:80");
        for arguments in [["--domain", host], ["--connect", &address]] {
            refused(&arguments, &[]);
        }
    }
    printed(&["--connect", "192.0.2.1:80"], &[]);
    printed(&["--domain", "1.example.com"], &[]);
}

/// What a script leaves empty must not take a rule away.
#[test]
fn a_flag_without_a_value_is_refused() {
    let members = ["--members", "/members/", "--jwks", "/keys"];
    let of_members = ["--jwt-audience", "a", "--jwt-issuer", ""];
    for arguments in [
        &["--signed-urls", ""][..],
        &["--signed-urls="],
        &["--members", ""],
        &["--ask", ""],
        &["--ask", "127.0.0.1:1", "--ask-at", ""],
        &[members, of_members].concat(),
        &["--out", ""],
    ] {
        let said = refused(arguments, &[]);
        assert!(said.contains("is \"\": give it a value"), "{said}");
    }
}

#[test]
fn an_empty_variable_is_none() {
    let plain = printed(&[], &[]);
    for variable in [
        "OSS_HOST",
        "OSS_ADDRESS",
        "OSS_TLS",
        "SIDECAR_ADDRESS",
        "LISTEN_PORT",
        "ADMIN_PORT",
        "WASM_FILE",
        "CA_FILE",
        "TLS_FOLDER",
        "CACHE_FOLDER",
        "REFRESH_PORT",
        "REFRESH_USERS",
    ] {
        assert!(printed(&[], &[(variable, "")]) == plain, "{variable}");
    }
}

/// A line break would end the comment that says how the file was made.
#[test]
fn a_variable_that_is_not_needed_has_no_say() {
    let flags = ["--credentials", "environment"];
    let odd = [("SIDECAR_ADDRESS", "x\nadmin: {}"), ("TLS_FOLDER", "\n")];
    assert!(printed(&flags, &odd) == printed(&flags, &[]));
}

#[test]
fn a_registry_is_a_host_and_names() {
    let render = |registry: &str| {
        let flags = ["--target", "higress", "--registry", registry];
        run(&flags, &[])
    };
    for registry in [
        ":", "-", "/", "a//b", "a/", "a:/b", "a:0/b", "a:x", "/a", "a/-", "a/B", "a/.", "a:80:80",
    ] {
        // A slash at the end is none of the name.
        let good = registry == "a/";
        let output = render(registry);
        assert_eq!(output.status.success(), good, "{registry}");
    }
    for registry in [
        "localhost:5000",
        "localhost:5000/ours",
        "registry.example.com/a/b-c_d.e",
    ] {
        let text = String::from_utf8(render(registry).stdout).unwrap();
        assert!(text.contains(&format!("oci://{registry}/oss-origin-auth-filter:")));
    }
}

#[test]
fn an_origin_is_spelled_as_browsers_do() {
    for (given, spelled) in [
        ("https://www.Example.com", "https://www.example.com"),
        ("HTTPS://www.example.com", "https://www.example.com"),
        ("https://www.example.com:443", "https://www.example.com"),
        ("http://www.example.com:80", "http://www.example.com"),
        ("https://*.Example.com:443", "https://*.example.com"),
        ("https://10.0.0.1:443", "https://10.0.0.1"),
        ("https://a.example:08443", "https://a.example:8443"),
    ] {
        let said = refused(&["--cors", given], &[]);
        assert!(
            said.trim_end().ends_with(&format!("give {spelled}")),
            "{said}"
        );
        printed(&["--cors", spelled], &[]);
    }
    for origin in [
        "http://a.example:443",
        "https://a.example:80",
        "https://a.example:8443",
    ] {
        printed(&["--cors", origin], &[]);
    }
    // The host of a page as well; not its path.
    let said = refused(&["--allow-referer", "https://A.example:443/Path"], &[]);
    assert!(said.contains("give https://a.example\n"), "{said}");
    printed(&["--allow-referer", "https://a.example/Path"], &[]);
}

#[test]
fn a_host_of_oss_is_of_this_bucket_and_region() {
    for (host, problem) in [
        (
            "my-bucket.oss-cn-beijing.aliyuncs.com",
            "of the region cn-beijing",
        ),
        (
            "my-bucket.oss-cn-beijing-internal.aliyuncs.com",
            "of the region cn-beijing",
        ),
        (
            "other.oss-cn-hangzhou.aliyuncs.com",
            "not of the bucket my-bucket",
        ),
        (
            "oss-cn-hangzhou.aliyuncs.com",
            "not of the bucket my-bucket",
        ),
    ] {
        let said = refused(&["--domain", host], &[]);
        assert!(
            said.contains("--domain (OSS_HOST)") && said.contains(problem),
            "{said}"
        );
    }
    for host in [
        "my-bucket.oss-cn-hangzhou.aliyuncs.com",
        "my-bucket.oss-cn-hangzhou-internal.aliyuncs.com",
        "my-bucket.oss-accelerate.aliyuncs.com",
        "my-bucket.oss-accelerate-overseas.aliyuncs.com",
        "my-bucket.cn-hangzhou.oss.aliyuncs.com",
        "oss-cn-beijing.example.com",
    ] {
        // Of a public host there is a note.
        let output = run(&["--domain", host], &[]);
        assert!(output.status.success(), "{host}: {output:?}");
    }
    // Its hosts are not made of its id.
    let host = "my-bucket.oss-cn-hzfinance.aliyuncs.com";
    let flags = ["--region", "cn-hangzhou-finance", "--domain", host];
    assert!(run(&flags, &[]).status.success());
}

/// Routes have their names of the prefixes.
#[test]
fn two_prefixes_do_not_make_one_route() {
    let flags = [
        "--signed-urls",
        "/a_b/",
        "--referer-at",
        "/a/b/=example.com",
    ];
    let said = refused(&flags, &[]);
    for part in [
        "--signed-urls",
        "--referer-at",
        "/a_b/",
        "/a/b/",
        "name a_b",
        "choose",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// A token in a URL is in logs and histories; one without an end is for ever.
#[test]
fn tokens_of_members_end_and_stand_in_a_header() {
    let members = ["--members", "/members/", "--jwks", "/keys"];
    let of_members = ["--jwt-issuer", "i", "--jwt-audience", "a"];
    let text = printed(&[&members[..], &of_members].concat(), &[]);
    assert!(text.contains("require_expiration: true\n"));
    assert!(text.contains("from_headers: [{name: Authorization, value_prefix: \"Bearer \"}]\n"));
}

#[test]
fn the_access_log_has_no_query() {
    let text = printed(&["--access-log"], &[]);
    assert!(text.contains("%REQ(:METHOD)% %PATH(NQ:ORIG_OR_PATH)%\""));
    assert_eq!(text.matches("PATH").count(), 2, "one field has it");
}

#[test]
fn pages_of_other_origins_may_show_the_token_of_a_member() {
    let cors = ["--cors", "https://www.example.com"];
    assert!(!printed(&cors, &[]).contains("allow_headers: authorization"));
    let members = ["--members", "/members/", "--jwks", "/keys"];
    let of_members = ["--jwt-issuer", "i", "--jwt-audience", "a"];
    let both = [&cors[..], &members, &of_members].concat();
    assert!(printed(&both, &[]).contains("allow_headers: authorization, range"));
}

#[test]
fn the_port_of_the_sidecar_is_taken() {
    for (arguments, taken) in [
        (&["--port", "8181"][..], "--sidecar"),
        (
            &["--target", "kubernetes", "--admin-port", "8181"],
            "--sidecar",
        ),
        (
            &["--port", "9000", "--sidecar", "127.0.0.1:9000"],
            "--sidecar",
        ),
    ] {
        let said = refused(arguments, &[]);
        assert!(said.contains(taken), "{said}");
    }
    printed(&["--port", "8181", "--credentials", "environment"], &[]);
    printed(&["--port", "8181", "--sidecar", "192.0.2.1:8181"], &[]);
}

#[test]
fn what_a_gateway_would_leave_out_is_refused() {
    for target in ["istio", "envoy-gateway", "higress"] {
        for flags in [&["--show-in-browser"][..], &["--sidecar", "192.0.2.1:8181"]] {
            let said = refused(&[&["--target", target], flags].concat(), &[]);
            assert!(said.contains("do not go together"), "{said}");
        }
    }
}

#[test]
fn a_folder_in_place_of_a_file_leaves_all_as_it_was() {
    let folder = scratch("out");
    fs::create_dir_all(folder.join("envoy-with-sidecar.yaml")).unwrap();
    fs::write(folder.join("envoy.yaml"), "old").unwrap();
    let out = folder.display().to_string();
    let said = refused(&["--target", "kubernetes", "--out", &out, "--force"], &[]);
    assert!(said.contains("nothing was written"), "{said}");
    assert_eq!(
        fs::read_to_string(folder.join("envoy.yaml")).unwrap(),
        "old"
    );
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
}
