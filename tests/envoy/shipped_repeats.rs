//! What the configurations in `envoy/` have in common is the same in all of them.

use serde_json::{Value, json};
use testkit::tools;

use crate::shipped::FILES;

/// Hosts of buckets, which stand in place of that of minimal.yaml.
const HOSTS: [&str; 2] = [
    "their-bucket.oss-cn-hangzhou-internal.aliyuncs.com",
    "static.example.com",
];
const HOST: &str = "my-bucket.oss-cn-hangzhou-internal.aliyuncs.com";

/// Of a manager what clients may do to it. Behind the internal listeners of cached.yaml are
/// no clients, only Envoy.
const LIMITS: [&str; 6] = [
    "stream_idle_timeout",
    "request_headers_timeout",
    "request_timeout",
    "common_http_protocol_options",
    "http_protocol_options",
    "http2_protocol_options",
];

#[test]
fn what_the_files_have_in_common_is_that_of_the_smallest() {
    let smallest = parse("minimal.yaml");
    for name in FILES {
        let config = parse(name);
        for part in ["admin", "overload_manager"] {
            assert_eq!(config[part], smallest[part], "{name}: {part}");
        }
        let listeners = list(&config["static_resources"]["listeners"]);
        for listener in listeners {
            compare_listener(
                name,
                listener,
                &smallest["static_resources"]["listeners"][0],
            );
        }
        compare_clusters(name, &config, &smallest);
    }
}

fn compare_listener(name: &str, listener: &Value, smallest: &Value) {
    let limit = "per_connection_buffer_limit_bytes";
    assert!(smallest[limit].is_number());
    // Where a whole object is held, it has to fit.
    match listener["name"] == "whole" {
        true => assert_eq!(listener[limit], json!(16_777_216), "{name}: {limit}"),
        false => assert_eq!(listener[limit], smallest[limit], "{name}: {limit}"),
    }
    let (manager, of_smallest) = (manager(listener), manager(smallest));
    if listener["internal_listener"].is_null() {
        for limit in LIMITS {
            assert!(!of_smallest[limit].is_null(), "{limit}");
            assert_eq!(manager[limit], of_smallest[limit], "{name}: {limit}");
        }
    }
    // Who comes to 127.0.0.1 comes from this machine, whatever a header says.
    if listener["address"]["socket_address"]["address"] != "127.0.0.1" {
        let addresses = &manager["use_remote_address"];
        let inner = !listener["internal_listener"].is_null();
        assert_eq!(*addresses == json!(true), !inner, "{name}");
    }
    let action = &routes(of_smallest)[0]["route"];
    for route in routes(manager) {
        for part in ["timeout", "retry_policy"] {
            let mut want = action[part].clone();
            assert!(!want.is_null(), "{part}");
            // What goes to an internal listener is tried again there, but for that alone:
            if part == "retry_policy" {
                match route["route"]["cluster"].as_str() {
                    // What is too large for the cache.
                    Some("cache") => {
                        let header = json!([{"name": "x-too-large", "present_match": true}]);
                        want = json!({"retry_on": "retriable-headers",
                                      "retriable_headers": header, "num_retries": 1});
                    }
                    // What OSS has cut.
                    Some("whole") => {
                        want = json!({"retry_on": "reset,retriable-status-codes",
                                      "retriable_status_codes": [502], "num_retries": 2});
                    }
                    _ => {}
                }
            }
            assert_eq!(route["route"][part], want, "{name}: {route}: {part}");
        }
    }
}

fn compare_clusters(name: &str, config: &Value, smallest: &Value) {
    let [oss, sidecar] = list(&smallest["static_resources"]["clusters"]).as_slice() else {
        panic!("minimal.yaml has two clusters");
    };
    let mut seen = Vec::new();
    for cluster in list(&config["static_resources"]["clusters"]) {
        let its_name = cluster["name"].as_str().unwrap();
        seen.push(its_name);
        match its_name {
            // The internal listeners'; their limits are those of OSS, but for retries, and
            // for what is held in memory.
            "cache" | "origin" | "whole" => {
                let mut breakers = oss["circuit_breakers"].clone();
                let limits = breakers["thresholds"][0].as_object_mut().unwrap();
                match its_name {
                    "cache" => limits["max_retries"] = json!(4096),
                    "origin" => drop(limits.remove("max_retries").unwrap()),
                    _ => limits["max_connections"] = json!(128),
                }
                assert_eq!(cluster["circuit_breakers"], breakers, "{name}");
            }
            // Nothing of OSS's: it is asked who may read.
            "authentication" => {}
            "sts_sidecar" => assert_eq!(cluster, sidecar, "{name}"),
            _ => {
                let mut want = oss.clone();
                want["name"] = json!(its_name);
                want["load_assignment"]["cluster_name"] = json!(its_name);
                assert_eq!(comparable(cluster), comparable(&want), "{name}: {its_name}");
            }
        }
    }
    assert!(
        seen.contains(&"oss") && seen.contains(&"sts_sidecar"),
        "{name}: {seen:?}"
    );
}

/// A cluster of OSS with one host and without the filter's settings. Within edge.yaml's
/// `match_delegate` is the same filter.
fn comparable(cluster: &Value) -> Value {
    let mut text = cluster.to_string();
    for host in HOSTS {
        text = text.replace(host, HOST);
    }
    let mut cluster: Value = serde_json::from_str(&text).unwrap();
    let options = &mut cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
    let filter = &mut options["http_filters"][0];
    if filter["name"] == "envoy.filters.http.match_delegate" {
        *filter = filter["typed_config"]["extension_config"].clone();
    }
    let settings = &mut filter["typed_config"]["config"]["configuration"]["value"];
    assert!(settings.is_string());
    *settings = json!(null);
    cluster
}

fn parse(name: &str) -> Value {
    let text = std::fs::read_to_string(tools::root().join("envoy").join(name)).unwrap();
    serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().expect("a list")
}

fn manager(listener: &Value) -> &Value {
    &listener["filter_chains"][0]["filters"][0]["typed_config"]
}

fn routes(manager: &Value) -> &Vec<Value> {
    list(&manager["route_config"]["virtual_hosts"][0]["routes"])
}
