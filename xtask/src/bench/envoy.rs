//! One Envoy with a listener for each chain of filters.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::envoy::{Ports, serve};
use testkit::process::{Process, scratch};
use testkit::tools;

use super::natives;
use crate::command::Result;

/// The length of the token, which is that of STS's tokens, so that all peers have the same
/// work.
pub const TOKEN_LENGTH: usize = 700;

/// The key of signed URLs: its variable, and its value.
pub const URL_KEY: (&str, &str) = ("URL_KEY", "an-example-of-a-key-of-32-bytes.");

/// The filters that a request passes, beside Envoy's own router.
#[derive(Clone, Debug)]
pub struct Chain {
    pub name: &'static str,
    /// The filter on the listener.
    pub downstream: Option<Value>,
    /// The filter on the cluster.
    pub upstream: Option<Value>,
}

impl Chain {
    /// Whether one of its filters runs in a VM.
    pub fn has_vm(&self) -> bool {
        let filters = [&self.downstream, &self.upstream];
        let mut filters = filters.into_iter().flatten();
        filters.any(|filter| filter.to_string().contains("envoy.wasm.runtime"))
    }
}

/// An Envoy that serves chains.
pub struct Envoy {
    pub process: Process,
    ports: Ports,
    /// The time from its start until it serves.
    pub started_in: Duration,
}

impl Envoy {
    /// Starts an Envoy.
    pub fn start(chains: &[Chain], origin: u16, sidecar: u16, workers: u32) -> Result<Envoy> {
        let command = Command::new(tools::envoy());
        Envoy::start_as(command, chains, origin, sidecar, workers)
    }

    /// Starts an Envoy by `command`, which has no arguments yet.
    pub fn start_as(
        mut command: Command,
        chains: &[Chain],
        origin: u16,
        sidecar: u16,
        workers: u32,
    ) -> Result<Envoy> {
        let mut clusters = vec![cluster("sts_sidecar", sidecar, None)];
        let mut listeners = Vec::new();
        for chain in chains {
            clusters.push(cluster(chain.name, origin, chain.upstream.clone()));
            listeners.push(listener(chain.name, chain.downstream.clone()));
        }
        let config = json!({
            "admin": {"address": address(0)},
            // This is the longest interval: a flush would be counted to the chain that runs
            // then.
            "stats_flush_interval": "299s",
            "static_resources": {"listeners": listeners, "clusters": clusters},
        });
        let file = scratch("bench.json");
        std::fs::write(&file, config.to_string())
            .map_err(|error| format!("{}: {error}", file.display()))?;
        let begin = Instant::now();
        let (process, ports) = serve(
            command
                .arg("--config-path")
                .arg(file)
                .args(["--concurrency", &workers.to_string()])
                .args(["--disable-hot-restart", "--log-level", "warn"])
                .env(natives::SEARCH_PATH, natives::folder())
                // A dynamic module has the environment of Envoy.
                .env(URL_KEY.0, URL_KEY.1),
        );
        Ok(Envoy {
            process,
            ports,
            started_in: begin.elapsed(),
        })
    }

    /// The port of a chain.
    pub fn port(&self, chain: &str) -> u16 {
        self.ports.of(chain)
    }

    /// The CPU time of all its threads so far.
    pub fn cpu_time(&self) -> Result<Duration> {
        let tasks = format!("/proc/{}/task", self.process.id());
        let mut sum = 0;
        let tasks = std::fs::read_dir(&tasks).map_err(|error| format!("{tasks}: {error}"))?;
        for task in tasks.flatten() {
            // A thread may end meanwhile.
            let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let nanoseconds: Option<u64> = text.split(' ').next().and_then(|n| n.parse().ok());
            sum += nanoseconds.unwrap_or(0);
        }
        match sum {
            0 => Err("the kernel gives no /proc/PID/task/TID/schedstat".into()),
            sum => Ok(Duration::from_nanos(sum)),
        }
    }
}

/// A wasm filter with a VM of its own.
pub fn wasm(name: &str, module: &Path, configuration: &Value) -> Value {
    json!({"name": name, "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": name,
            "failure_policy": "FAIL_RELOAD",
            "configuration": {
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": configuration.to_string()},
            "vm_config": {
                "vm_id": name,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": PathBuf::from(module)}},
            },
        },
    }})
}

/// A filter of a dynamic module that [`natives`] knows.
pub fn native(module: &str, configuration: &Value) -> Value {
    json!({"name": module, "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
        "dynamic_module_config": {"name": module},
        "filter_name": "oss_origin_auth",
        "filter_config": {
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": configuration.to_string()},
    }})
}

/// Envoy's own signer for AWS, in the form that costs least: the payload is
/// not hashed.
pub fn aws_request_signing() -> Value {
    json!({"name": "envoy.filters.http.aws_request_signing", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.aws_request_signing.v3.AwsRequestSigning",
        "service_name": "s3",
        "region": "us-east-1",
        "use_unsigned_payload": true,
        "credential_provider": {"inline_credential": {
            "access_key_id": "AKIAEXAMPLE",
            "secret_access_key": "an example of forty characters or nearly",
            "session_token": "t".repeat(TOKEN_LENGTH),
        }},
    }})
}

/// The name of the single route of every listener.
pub const ROUTE: &str = "objects";

fn listener(name: &str, filter: Option<Value>) -> Value {
    let mut filters: Vec<Value> = filter.into_iter().collect();
    filters.push(
        json!({"name": "envoy.filters.http.router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}),
    );
    json!({"name": name, "address": address(0), "filter_chains": [{"filters": [{
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                {"name": ROUTE, "match": {"prefix": "/"}, "route": {
                    "cluster": name,
                    "host_rewrite_literal": "demo-bucket.oss-cn-hangzhou.aliyuncs.com"}}]}]},
            "http_filters": filters,
        },
    }]}]})
}

fn cluster(name: &str, port: u16, filter: Option<Value>) -> Value {
    let mut filters: Vec<Value> = filter.into_iter().collect();
    filters.push(json!({"name": "envoy.filters.http.upstream_codec", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"}}));
    json!({"name": name, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
                "http_filters": filters,
        }},
    })
}

fn address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}
