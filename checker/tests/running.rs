//! Rules of what Envoy loads and runs, but clients or operators suffer from: each with
//! what is good, and what is not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{
    action, assert_good, cache, changed, filter, insert, listener, manager, minimal, of_rule,
    remove, routes, said, set_settings, warned_among_listeners as warned_there,
    warned_on_cluster as warned,
};
use oss_origin_auth_checker::Severity;
use serde_json::{Value, json};

const ROUTE: &str = "http_connection_manager[ingress].routes[objects]";

#[test]
fn both_places_are_good_as_they_are() {
    assert_good(&minimal());
    assert_good(&listener());
}

#[test]
fn newer_credentials_heal_by_a_retry() {
    let rule = "retries_heal_nothing";
    let field = format!("{ROUTE}.route.retry_policy");
    let bad: [&dyn Fn(&mut Value); 8] = [
        &|route| remove(route, "retry_policy"),
        &|route| route["retry_policy"]["retry_on"] = json!("reset,retriable-status-codes"),
        &|route| route["retry_policy"]["num_retries"] = json!(0),
        &|route| remove(&mut route["retry_policy"], "retriable_headers"),
        &|route| route["retry_policy"]["retriable_headers"][0]["name"] = json!("x-other"),
        &|route| {
            route["retry_policy"] =
                json!({"retry_on": "retriable-status-codes", "retriable_status_codes": [403]});
        },
        &|route| route["retry_policy"]["retriable_headers"][0]["present_match"] = json!(false),
        &|route| route["retry_policy"]["retriable_headers"][0]["invert_match"] = json!(true),
    ];
    // Both together mean what neither does.
    let neither = |route: &mut Value| {
        let matcher = &mut route["retry_policy"]["retriable_headers"][0];
        matcher["present_match"] = json!(false);
        matcher["invert_match"] = json!(true);
    };
    assert!(warned(|config| neither(action(config)), rule).is_empty());
    for adapt in bad {
        assert_eq!(
            warned(|config| adapt(action(config)), rule),
            [field.as_str()]
        );
        // There a retry has the same signature.
        assert!(warned_there(|config| adapt(action(config)), rule).is_empty());
    }
    // Also beside the filter's own header.
    let beside =
        |route: &mut Value| route["retry_policy"]["retriable_status_codes"] = json!([403, 503]);
    for adapt in [bad[5], &beside] {
        let mut config = minimal();
        adapt(action(&mut config));
        let said = said(&config.to_string());
        assert!(said[0].contains("every 403 is retried"), "{said:?}");
    }
    // The virtual host may have it for all of its routes.
    let of_host = |config: &mut Value| {
        let policy = action(config)["retry_policy"].take();
        let host = &mut manager(config)["route_config"]["virtual_hosts"][0];
        host["retryPolicy"] = policy;
    };
    assert!(warned(of_host, rule).is_empty());
}

#[test]
fn the_sidecar_has_a_cluster() {
    let rule = "the_sidecars_cluster_is_missing";
    let field = "configuration.credentials.default.sidecar.cluster";
    let rename = |config: &mut Value| {
        config["static_resources"]["clusters"][1]["name"] = json!("other");
    };
    assert_eq!(warned(rename, rule), [field]);
    assert_eq!(warned_there(rename, rule), [field]);
    // Envoy may get it later.
    let later = |config: &mut Value| {
        rename(config);
        config["dynamic_resources"] = json!({"cds_config": {"ads": {}}});
    };
    assert!(warned(later, rule).is_empty());
}

#[test]
fn no_timeout_cuts_a_download() {
    let rule = "timeouts_cut_downloads";
    let field = format!("{ROUTE}.route.timeout");
    for (timeout, good) in [
        (json!("0s"), true),
        (json!("0.000s"), true),
        (json!("60s"), false),
        (json!("0.5s"), false),
        (json!(null), false),
    ] {
        let want = Vec::from_iter((!good).then(|| field.clone()));
        let adapt = |config: &mut Value| action(config)["timeout"] = timeout.clone();
        assert_eq!(warned(adapt, rule), want, "{timeout}");
        assert_eq!(warned_there(adapt, rule), want, "{timeout}");
    }
}

#[test]
fn slow_clients_are_not_cut() {
    let rule = "timeouts_cut_downloads";
    let stream = |config: &mut Value| {
        action(config)["max_stream_duration"] = json!({"max_stream_duration": "60s"});
    };
    assert_eq!(
        warned(stream, rule),
        [format!("{ROUTE}.route.max_stream_duration")]
    );
    let idle = |config: &mut Value| {
        action(config)["retry_policy"]["per_try_idle_timeout"] = json!("10s");
    };
    let field = format!("{ROUTE}.route.retry_policy.per_try_idle_timeout");
    assert_eq!(warned(idle, rule), [field]);
}

#[test]
fn a_try_is_longer_than_the_wait_for_credentials() {
    let rule = "tries_end_before_credentials_come";
    let field = format!("{ROUTE}.route.retry_policy.per_try_timeout");
    for (timeout, wait, good) in [
        ("30s", 5_000, true),
        ("6s", 5_000, true),
        ("5s", 5_000, false),
        ("2s", 5_000, false),
        ("2s", 1_000, true),
        ("0s", 5_000, true),
    ] {
        let text = changed(
            "envoy/minimal.yaml",
            &[
                (
                    "per_try_timeout: 30s",
                    &format!("per_try_timeout: {timeout}"),
                ),
                (
                    "\"defaults\":",
                    &format!("\"wait_timeout_ms\": {wait}, \"defaults\":"),
                ),
            ],
        );
        let config: Value = serde_yaml_ng::from_str(&text).unwrap();
        let want = Vec::from_iter((!good).then_some(&field).cloned());
        let said = of_rule(&config, rule, Severity::Warning);
        assert_eq!(said, want, "{timeout} {wait}");
    }
    // There a request waits before its first try.
    let adapt =
        |config: &mut Value| action(config)["retry_policy"]["per_try_timeout"] = json!("1s");
    assert!(warned_there(adapt, rule).is_empty());
}

#[test]
fn a_prefix_is_a_folder() {
    let rule = "prefixes_match_more";
    let field = format!("{ROUTE}.match.prefix");
    for (matched, good) in [
        (json!({"prefix": "/media"}), false),
        (json!({"prefix": "/media/"}), true),
        (json!({"prefix": "/"}), true),
        (json!({"prefix": ""}), true),
        (json!({"path_separated_prefix": "/media"}), true),
        (json!({"path": "/media"}), true),
    ] {
        let want = Vec::from_iter((!good).then(|| field.clone()));
        let adapt = |config: &mut Value| routes(config)[0]["match"] = matched.clone();
        assert_eq!(warned(adapt, rule), want, "{matched}");
        assert_eq!(warned_there(adapt, rule), want, "{matched}");
    }
}

#[test]
fn the_settings_describe_what_the_route_rewrites() {
    let rule = "rewrites_are_not_described";
    let host = "my-bucket.oss-cn-hangzhou-internal.aliyuncs.com";
    for (rewrite, settings, good) in [
        (json!({"host_rewrite_literal": host}), json!({}), true),
        (
            json!({"host_rewrite_literal": host.to_uppercase()}),
            json!({}),
            true,
        ),
        (
            json!({"host_rewrite_literal": "other.example.com"}),
            json!({}),
            false,
        ),
        (
            json!({"host_rewrite_literal": "static.example.com"}),
            json!({"endpoint": "static.example.com", "addressing": "cname"}),
            true,
        ),
        (json!({"prefix_rewrite": "/"}), json!({}), false),
        (
            json!({"prefix_rewrite": "/"}),
            json!({"strip_prefix": "/media/"}),
            true,
        ),
        (
            json!({"prefix_rewrite": "/site/"}),
            json!({"strip_prefix": "/media/", "key_prefix": "site/"}),
            true,
        ),
        (
            json!({"prefix_rewrite": "/other/"}),
            json!({"strip_prefix": "/media/", "key_prefix": "site/"}),
            false,
        ),
        (json!({"prefix_rewrite": "/media/"}), json!({}), true),
        (
            json!({"prefix_rewrite": "/my-bucket/",
                   "host_rewrite_literal": "oss-cn-hangzhou-internal.aliyuncs.com"}),
            json!({"strip_prefix": "/media/", "addressing": "path_style"}),
            true,
        ),
        (
            json!({"regex_rewrite": {"pattern": {"regex": "a"}}}),
            json!({}),
            false,
        ),
        (
            json!({"regex_rewrite": {"pattern": {"regex": "a"}}}),
            json!({"strip_prefix": "/media/"}),
            true,
        ),
    ] {
        let mut config = listener();
        routes(&mut config)[0]["match"] = json!({"prefix": "/media/"});
        let fields = rewrite.as_object().unwrap().clone();
        action(&mut config).as_object_mut().unwrap().extend(fields);
        set_settings(&mut config, |all| {
            let settings = settings.as_object().unwrap().clone();
            all["defaults"].as_object_mut().unwrap().extend(settings);
        });
        let said = of_rule(&config, rule, Severity::Warning);
        assert_eq!(said.is_empty(), good, "{rewrite} {settings}: {said:?}");
    }
    // The document of a folder.
    let mut config = listener();
    routes(&mut config)[0]["match"] = json!({"path": "/"});
    action(&mut config)["prefix_rewrite"] = json!("/index.html");
    assert_eq!(of_rule(&config, rule, Severity::Warning).len(), 1);
    set_settings(&mut config, |all| {
        all["defaults"]["index_document"] = json!("index.html");
    });
    assert_good(&config);
    // On the cluster the filter signs what the route has made.
    let adapt = |config: &mut Value| action(config)["prefix_rewrite"] = json!("/other/");
    assert!(warned(adapt, rule).is_empty());
}

#[test]
fn the_old_cache_is_told() {
    let rule = "the_old_cache_mixes_parts";
    let field = "http_connection_manager[ingress].http_filters[cache]";
    let old = || filter("cache", "cache.v3.CacheConfig");
    assert_eq!(warned(|config| insert(config, 0, old()), rule), [field]);
    assert_eq!(
        warned_there(|config| insert(config, 0, old()), rule),
        [field]
    );
    assert!(warned(|config| insert(config, 0, cache()), rule).is_empty());
}

#[test]
fn a_cache_stands_before_the_signer() {
    let rule = "caches_stand_behind_the_signer";
    let mut config = listener();
    insert(&mut config, 0, cache());
    assert!(of_rule(&config, rule, Severity::Warning).is_empty());
    let behind = |config: &mut Value| insert(config, 1, cache());
    let field = "http_connection_manager[ingress].http_filters[cache]";
    assert_eq!(warned_there(behind, rule), [field]);
}

#[test]
fn an_expression_is_one_of_a_folder() {
    let rule = "prefixes_match_more";
    let field = "http_connection_manager[ingress].routes[objects].match.safe_regex";
    for (regex, good) in [
        ("/media.*", false),
        ("^/media(.*)$", false),
        ("/media-2/a_b.+", false),
        ("/media/.*", true),
        ("/.*", true),
        ("/media(/.*)?", true),
        ("/media/[a-z]+\\.jpg", true),
        (".*", true),
    ] {
        let set = |config: &mut Value| {
            routes(config)[0]["match"] = json!({"safe_regex": {"regex": regex}});
        };
        let want = Vec::from_iter((!good).then_some(field));
        assert_eq!(warned(set, rule), want, "{regex}");
    }
}
