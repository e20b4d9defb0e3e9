"""A real Envoy with the filter in both positions."""

import json
import os
import re
import subprocess
import time
import urllib.request

import settings as route_settings

TYPES = "type.googleapis.com/envoy.extensions"
# What a slow machine needs at the most.
PATIENCE = 120


class Gateway:
    """Starts Envoy, and knows its ports."""

    def __init__(self, tools, folder, config):
        self.log = folder / "envoy.log"
        file, admin = folder / "envoy.json", folder / "admin"
        file.write_text(json.dumps(config))
        environment = {**os.environ, "FIXED_ID": FIXED_KEY[0], "FIXED_SECRET": FIXED_KEY[1]}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [tools.envoy, "--config-path", file, "--admin-address-path", admin]
                + ["--concurrency", "2", "--disable-hot-restart", "--log-level", "info"],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=environment,
            )
        try:
            self.admin_port = self.wait_for(lambda: int(admin.read_text().rsplit(":")[-1]))
            self.wait_for(lambda: self.admin("/ready"))
            shown = json.loads(self.admin("/listeners?format=json"))["listener_statuses"]
        except BaseException:
            self.stop()
            raise
        self.ports = {
            listener["name"]: listener["local_address"]["socket_address"]["port_value"]
            for listener in shown
        }
        self.machines = self.machines_created()

    def wait_for(self, find):
        end = time.monotonic() + PATIENCE
        while True:
            try:
                if found := find():
                    return found
            except (OSError, ValueError):
                pass
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"Envoy does not serve:\n{self.complaints()}")
            time.sleep(0.02)

    def admin(self, path):
        url = f"http://127.0.0.1:{self.admin_port}{path}"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.read().decode()

    def output(self):
        return self.log.read_text(errors="replace")

    def complaints(self):
        lines = self.output().splitlines()
        return "\n".join(line for line in lines if "[error]" in line or "[critical]" in line)

    def machines_created(self):
        """How many VMs there have been; a VM that failed is replaced. The native module
        has none."""
        found = re.search(r"wasm\.envoy\.wasm\.runtime\.v8\.created: (\d+)", self.admin("/stats"))
        return int(found.group(1)) if found else 0

    def problems(self, secrets):
        """What must not be, whatever was asked."""
        if self.process.poll() is not None:
            yield f"Envoy ended with {self.process.returncode}: {self.output()[-2000:]}"
            return
        if (created := self.machines_created()) != self.machines:
            yield f"{created - self.machines} VMs were replaced"
        output = self.output()
        for word in ("panicked", "Function: proxy_", "[critical]", "internal_error"):
            if word in output:
                at = output.index(word)
                yield f"Envoy's log has {word!r}: {output[max(0, at - 300) : at + 500]}"
        for secret in secrets:
            if secret in output:
                at = output.index(secret)
                line = output[output.rfind("\n", 0, at) + 1 : at]
                yield f"Envoy's log has the secret {secret[:8]}... after: {line}"

    def stop(self):
        self.process.kill()
        self.process.wait()


FIXED_KEY = ("LTAIfixed5sesame", "sesame-secret-of-fixed")


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def cluster(name, port, filters=()):
    codec = {
        "name": "envoy.filters.http.upstream_codec",
        "typed_config": {"@type": f"{TYPES}.filters.http.upstream_codec.v3.UpstreamCodec"},
    }
    limits = ("max_requests", "max_pending_requests", "max_connections", "max_retries")
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "60s",
        "circuit_breakers": {"thresholds": [{limit: 10_000 for limit in limits}]},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{TYPES}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
                "http_filters": [*filters, codec],
            }
        },
    }


def listener(name, virtual_host, filters, close_after):
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{TYPES}.filters.http.router.v3.Router"},
    }
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "max_request_headers_kb": 96,
        "delayed_close_timeout": close_after,
        # Else Envoy closes the connection, without a word and after this time.
        "http2_protocol_options": {"override_stream_error_on_invalid_http_message": True},
        "route_config": {"virtual_hosts": [virtual_host]},
        "http_filters": [*filters, router],
    }
    chain = {
        "filters": [
            {
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": manager,
            }
        ]
    }
    return {"name": name, "address": address(0), "filter_chains": [chain]}


def wasm(module, config):
    return {
        "name": "oss_origin_auth",
        "typed_config": {
            "@type": f"{TYPES}.filters.http.wasm.v3.Wasm",
            "config": {
                "name": "oss_origin_auth",
                "root_id": "oss_origin_auth",
                "failure_policy": "FAIL_RELOAD",
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": json.dumps(config),
                },
                "vm_config": {
                    "vm_id": "oss_origin_auth",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": str(module)}},
                    "environment_variables": {"host_env_keys": ["FIXED_ID", "FIXED_SECRET"]},
                },
            },
        },
    }


def native(module, config):
    return {
        "name": "oss_origin_auth",
        "typed_config": {
            "@type": f"{TYPES}.filters.http.dynamic_modules.v3.DynamicModuleFilter",
            "dynamic_module_config": {"name": module},
            "filter_name": "oss_origin_auth",
            "filter_config": {
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": json.dumps(config),
            },
        },
    }


def config(of_filter, routes, ports, close_after):
    """Envoy's configuration; `ports` of the origin, the app and the sidecar. What Envoy
    cannot end well it closes after `close_after`; if that is short, a slow machine may
    lose an answer."""
    on_cluster, among_listeners = (
        route_settings.virtual_host(routes, on_cluster) for on_cluster in (True, False)
    )
    return {
        "admin": {"address": address(0)},
        "static_resources": {
            "listeners": [
                listener("cluster", on_cluster, [], close_after),
                listener("listener", among_listeners, [of_filter], close_after),
            ],
            "clusters": [
                cluster("oss_signed", ports["oss"], [of_filter]),
                cluster("oss_plain", ports["oss"]),
                cluster("app", ports["app"]),
                cluster("sidecar", ports["sidecar"]),
            ],
        },
    }
