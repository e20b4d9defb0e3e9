//! A real Envoy with the filter, in the host that the tests use.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::alibaba::HOST;
use crate::host;
use crate::http::Request;
use crate::process::{Process, scratch};
use crate::tools;

/// The position of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// The filter is on the OSS cluster and sees what leaves.
    Upstream,
    /// The filter is on the listener and sees what the client sent.
    Downstream,
}

/// An Envoy with one listener for each position, both with the same routes.
#[derive(Clone, Debug)]
pub struct EnvoyBuilder {
    /// Envoy 1.40 unless a test says otherwise: [`tools::envoy_version`].
    pub binary: PathBuf,
    pub filter: Value,
    pub oss_port: u16,
    pub sidecar_port: u16,
    /// A Unix socket of the sidecar in place of the port.
    pub sidecar_socket: Option<PathBuf>,
    pub workers: u32,
    /// What comes before the catch-all route, which is named `default`. What a route has
    /// under `of_listener` is part of its action where the filter stands on the listener:
    /// the rewrite that the settings describe there.
    pub routes: Vec<Value>,
    /// The retry policy of every route.
    pub retry_policy: Value,
    /// The `host_rewrite_literal` of every route.
    pub oss_host: Option<String>,
    /// Whether OSS is asked by HTTP/2.
    pub oss_http2: bool,
    /// The `metadata` of the OSS clusters.
    pub cluster_metadata: Value,
    /// The names and ports of more clusters, without the filter.
    pub clusters: Vec<(String, u16)>,
    /// The virtual hosts beside that of all other hosts.
    pub virtual_hosts: Vec<Value>,
    /// The HTTP filters of every listener before ours.
    pub http_filters: Vec<Value>,
    /// The configuration of the downstream filter, if it has one of its own.
    pub downstream_filter: Option<Value>,
    /// The port of an OSS behind a third listener, which has the same routes and no
    /// filter of ours: [`Envoy::bare_port`].
    pub bare: Option<u16>,
    pub environment: Vec<(String, String)>,
    pub log_level: &'static str,
    /// The `allow_on_headers_stop_iteration` of the wasm filter, which makes no difference.
    pub stop_iteration: bool,
    pub access_log: bool,
    /// Whether the filter is within [`not_of_2xx`].
    pub delegated: bool,
}

#[derive(Debug)]
pub struct Envoy {
    upstream_port: u16,
    downstream_port: u16,
    bare_port: Option<u16>,
    pub admin_port: u16,
    pub process: Process,
}

impl EnvoyBuilder {
    pub fn new(filter: Value, oss_port: u16, sidecar_port: u16) -> EnvoyBuilder {
        EnvoyBuilder {
            binary: tools::envoy(),
            filter,
            oss_port,
            sidecar_port,
            sidecar_socket: None,
            workers: 2,
            routes: Vec::new(),
            retry_policy: json!(null),
            oss_host: Some(HOST.into()),
            oss_http2: false,
            cluster_metadata: json!(null),
            clusters: Vec::new(),
            virtual_hosts: Vec::new(),
            http_filters: Vec::new(),
            downstream_filter: None,
            bare: None,
            environment: Vec::new(),
            log_level: "info",
            stop_iteration: false,
            access_log: true,
            delegated: false,
        }
    }

    /// Starts an Envoy and waits until it serves.
    pub fn start(&self) -> Envoy {
        self.start_on(&self.config())
    }

    /// Starts an Envoy on a configuration that a test has made of [`EnvoyBuilder::config`], and
    /// waits until it serves.
    pub fn start_on(&self, config: &Value) -> Envoy {
        let (process, ports) = serve(&mut self.command(config));
        Envoy {
            upstream_port: ports.of("upstream"),
            downstream_port: ports.of("downstream"),
            bare_port: self.bare.map(|_| ports.of("bare")),
            admin_port: ports.admin,
            process,
        }
    }

    /// Starts an Envoy; it may end at once, if it refuses its configuration.
    pub fn launch(&self) -> Process {
        Process::start("envoy", &mut self.command(&self.config()))
    }

    /// The command of an Envoy with this configuration.
    pub fn command(&self, config: &Value) -> Command {
        let file = host::write("envoy.json", &config.to_string());
        let mut command = host::envoy(&self.binary, &file);
        command
            .args(["--concurrency", &self.workers.to_string()])
            .args(["--disable-hot-restart", "--log-level", self.log_level])
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Envoy's configuration, as for the wasm host.
    pub fn config(&self) -> Value {
        let among_listeners = self.downstream_filter.as_ref().unwrap_or(&self.filter);
        let mut listeners = vec![
            self.listener("upstream", "oss_signed", vec![]),
            self.listener("downstream", "oss_plain", vec![self.wasm(among_listeners)]),
        ];
        let mut clusters = vec![
            self.oss_cluster("oss_signed", vec![self.wasm(&self.filter)]),
            self.oss_cluster("oss_plain", vec![]),
            self.sidecar_cluster(),
        ];
        for (name, port) in &self.clusters {
            clusters.push(cluster(name, *port));
        }
        if let Some(port) = self.bare {
            listeners.push(self.listener("bare", "oss_bare", vec![]));
            clusters.push(cluster("oss_bare", port));
        }
        json!({
            "admin": {"address": address(0)},
            "static_resources": {"listeners": listeners, "clusters": clusters},
        })
    }

    fn listener(&self, name: &str, cluster: &str, own_filters: Vec<Value>) -> Value {
        let mut filters = self.http_filters.clone();
        filters.extend(own_filters);
        filters.push(
            json!({"name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}),
        );
        let mut routes = json!(self.routes);
        let default = json!({"name": "default", "match": {"prefix": "/"}, "route": {}});
        routes.as_array_mut().expect("a list").push(default);
        let mut virtual_hosts = self.virtual_hosts.clone();
        virtual_hosts.push(json!({"name": "all", "domains": ["*"], "routes": routes}));
        for host in &mut virtual_hosts {
            for route in host["routes"].as_array_mut().expect("routes") {
                self.complete(route, name, cluster);
            }
        }
        json!({"name": name, "address": address(0), "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": name,
                "max_request_headers_kb": 96,
                // Envoy's default is 1 s. When a worker gets no CPU for so long, the timer
                // closes the connection before the response is written.
                "delayed_close_timeout": "30s",
                "http_protocol_options": {"accept_http_10": true},
                "access_log": self.access_logs(),
                "route_config": {"virtual_hosts": virtual_hosts},
                "http_filters": filters,
            },
        }]}]})
    }

    /// Completes a route's action; what a test gives for its route wins.
    fn complete(&self, route: &mut Value, listener: &str, cluster: &str) {
        let fields = route.as_object_mut();
        let rewrite = fields.and_then(|fields| fields.remove("of_listener"));
        let rewrite = rewrite.filter(|_| listener == "downstream");
        for (field, value) in rewrite
            .iter()
            .flat_map(|rewrite| rewrite.as_object().into_iter().flatten())
        {
            route["route"][field] = value.clone();
        }
        let Some(own) = route["route"].as_object().cloned() else {
            return;
        };
        route["route"] = json!({"cluster": cluster, "retry_policy": self.retry_policy,
                                "host_rewrite_literal": self.oss_host, "timeout": "120s"});
        for (field, value) in own {
            route["route"][field] = value;
        }
    }

    fn access_logs(&self) -> Value {
        match self.access_log {
            true => json!([{"name": "stderr", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog"}}]),
            false => json!([]),
        }
    }

    fn sidecar_cluster(&self) -> Value {
        let mut cluster = cluster("sts_sidecar", self.sidecar_port);
        if let Some(path) = &self.sidecar_socket {
            let endpoint = &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0];
            endpoint["endpoint"]["address"] = json!({"pipe": {"path": path}});
        }
        cluster
    }

    fn oss_cluster(&self, name: &str, mut filters: Vec<Value>) -> Value {
        filters.push(json!({"name": "envoy.filters.http.upstream_codec", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"}}));
        let protocol = match self.oss_http2 {
            true => "http2_protocol_options",
            false => "http_protocol_options",
        };
        let mut cluster = cluster(name, self.oss_port);
        cluster["metadata"] = self.cluster_metadata.clone();
        cluster["circuit_breakers"] = json!({"thresholds": [{"max_retries": 1000,
            "max_requests": 10000, "max_pending_requests": 10000, "max_connections": 10000}]});
        cluster["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {protocol: {}},
            "http_filters": filters,
        }});
        cluster
    }

    /// The filter as for the wasm host; [`host::write`] changes it for the host of the tests.
    fn wasm(&self, configuration: &Value) -> Value {
        let text = match configuration {
            Value::String(text) => text.clone(),
            object => object.to_string(),
        };
        let variables: Vec<&str> = self
            .environment
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let filter = json!({"name": "oss_origin_auth", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": "oss_origin_auth",
                "root_id": "oss_origin_auth",
                "failure_policy": "FAIL_RELOAD",
                "allow_on_headers_stop_iteration": self.stop_iteration,
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue", "value": text},
                "vm_config": {
                    "vm_id": "oss_origin_auth",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": tools::filter_wasm()}},
                    "environment_variables": {"host_env_keys": variables},
                },
            },
        }});
        match self.delegated {
            true => not_of_2xx(&filter),
            false => filter,
        }
    }
}

impl Envoy {
    pub fn port(&self, position: Position) -> u16 {
        match position {
            Position::Upstream => self.upstream_port,
            Position::Downstream => self.downstream_port,
        }
    }

    /// The port of the listener without the filter: [`EnvoyBuilder::bare`].
    pub fn bare_port(&self) -> u16 {
        self.bare_port.expect("a third listener")
    }

    pub fn admin(&self, path: &str) -> String {
        Request::get(path).send(self.admin_port).text()
    }

    /// The value of a counter or gauge; 0 if there is none of that name.
    pub fn stat(&self, name: &str) -> u64 {
        stat(self.admin_port, name)
    }

    /// The value of a counter or gauge of the filter, on either host: [`host::stat`].
    pub fn filter_stat(&self, name: &str) -> u64 {
        host::stat(self.admin_port, name)
    }

    /// The number of VMs that were made, which grows by one with each that failed. The native
    /// host has none: there, a failure is Envoy's.
    pub fn vms_created(&self) -> u64 {
        self.stat("wasm.envoy.wasm.runtime.v8.created")
    }
}

/// The value of a counter or gauge on an admin page; 0 if it does not exist.
pub fn stat(admin_port: u16, name: &str) -> u64 {
    let stats = Request::get("/stats").send(admin_port).text();
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(": ")?.parse().ok();
    stats.lines().find_map(value).unwrap_or(0)
}

/// The addresses on which an Envoy listens.
#[derive(Clone, Debug)]
pub struct Ports {
    pub admin: u16,
    /// The name and port of each listener.
    listeners: Vec<(String, u16)>,
}

impl Ports {
    /// The port of a listener.
    pub fn of(&self, name: &str) -> u16 {
        let found = self.listeners.iter().find(|(known, _)| known == name);
        found
            .unwrap_or_else(|| panic!("no listener {name}: {self:?}"))
            .1
    }

    /// The port of the one listener.
    pub fn only(&self) -> u16 {
        match self.listeners.as_slice() {
            [(_, port)] => *port,
            others => panic!("not one listener: {others:?}"),
        }
    }
}

/// Starts an Envoy with these arguments, and waits until it serves. Ports may be 0 in its
/// configuration; Envoy reports those that it got.
pub fn serve(command: &mut Command) -> (Process, Ports) {
    let file = scratch("admin-address");
    command.arg("--admin-address-path").arg(&file);
    let mut process = Process::start("envoy", command);
    let mut admin = 0;
    process.wait_for("Envoy to serve", || {
        let address = std::fs::read_to_string(&file).unwrap_or_default();
        let port = address
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        admin = port.unwrap_or(0);
        admin != 0
            && Request::get("/ready")
                .try_send(admin)
                .is_ok_and(|response| response.status == 200)
    });
    let shown = Request::get("/listeners?format=json").send(admin).json();
    let listener = |status: &Value| {
        let port = status["local_address"]["socket_address"]["port_value"].as_u64()?;
        let name = status["name"].as_str()?.to_owned();
        Some((name, u16::try_from(port).ok()?))
    };
    let listeners = shown["listener_statuses"].as_array().expect("listeners");
    let listeners = listeners.iter().filter_map(listener).collect();
    (process, Ports { admin, listeners })
}

/// The filter within Envoy's `match_delegate`, which leaves it out if an answer is good.
pub fn not_of_2xx(filter: &Value) -> Value {
    let skip = json!({"action": {"name": "skip", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.common.matcher.action.v3.SkipFilter"}}});
    json!({"name": "envoy.filters.http.match_delegate", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher",
        "xds_matcher": {"matcher_tree": {
            "input": {"name": "status", "typed_config": {
                "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpResponseStatusCodeClassMatchInput"}},
            "exact_match_map": {"map": {"2xx": skip}},
        }},
        "extension_config": filter,
    }})
}

fn address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

fn cluster(name: &str, port: u16) -> Value {
    json!({"name": name, "type": "STATIC", "connect_timeout": "30s",
           "load_assignment": {"cluster_name": name, "endpoints": [
               {"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]}})
}
