//! An Envoy whose listeners and clusters are files that a test changes while it runs: LDS and
//! CDS from the file system.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::envoy::{EnvoyBuilder, Ports, serve, stat};
use crate::process::{scratch, wait_until};
use crate::{Process, host};

/// An Envoy with files for its listeners and clusters.
#[derive(Debug)]
pub struct Dynamic {
    pub process: Process,
    pub ports: Ports,
    files: Files,
    changes: u64,
}

/// The files of an Envoy that it reads again when they change.
#[derive(Clone, Debug)]
pub struct Files {
    listeners: PathBuf,
    clusters: PathBuf,
}

impl Files {
    /// Those of a configuration, as [`EnvoyBuilder::config`] gives it.
    pub fn of(config: &Value) -> Files {
        let files = Files {
            listeners: scratch("lds.json"),
            clusters: scratch("cds.json"),
        };
        files.write(config, 0);
        files
    }

    /// A configuration that names them.
    pub fn config(&self) -> Value {
        let source = |path: &PathBuf| json!({"resource_api_version": "V3", "path_config_source": {"path": path}});
        json!({
            "node": {"id": "test", "cluster": "test"},
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
            "dynamic_resources": {
                "lds_config": source(&self.listeners),
                "cds_config": source(&self.clusters),
            },
        })
    }

    /// Puts others in their place, each at once.
    pub fn write(&self, config: &Value, version: u64) {
        let resources = &config["static_resources"];
        for (path, kind, list) in [
            (&self.clusters, "cluster.v3.Cluster", &resources["clusters"]),
            (
                &self.listeners,
                "listener.v3.Listener",
                &resources["listeners"],
            ),
        ] {
            let kind = format!("type.googleapis.com/envoy.config.{kind}");
            let mut list = list.clone();
            for resource in list.as_array_mut().expect("a list") {
                resource["@type"] = json!(kind);
            }
            let text = json!({"version_info": version.to_string(), "resources": list});
            let new = host::write("xds.json", &text.to_string());
            // Envoy sees that a file is moved to its place.
            std::fs::rename(new, path).expect("Envoy's file");
        }
    }
}

impl Dynamic {
    /// Starts it on a configuration, as [`EnvoyBuilder::config`] gives it.
    pub fn start(builder: &EnvoyBuilder, config: &Value, arguments: &[&str]) -> Dynamic {
        let files = Files::of(config);
        let mut command = builder.command(&files.config());
        command.args(arguments);
        let (process, ports) = serve(&mut command);
        Dynamic {
            process,
            ports,
            files,
            changes: 0,
        }
    }

    /// Changes its configuration, and waits until Envoy has taken or refused both files.
    pub fn change(&mut self, config: &Value) {
        self.changes += 1;
        let attempts = |admin| {
            ["cluster_manager.cds", "listener_manager.lds"].map(|name| {
                let outcome = |outcome| stat(admin, &format!("{name}.update_{outcome}"));
                outcome("success") + outcome("rejected")
            })
        };
        let before = attempts(self.ports.admin);
        self.files.write(config, self.changes);
        wait_until("Envoy to see the change", || {
            let now = attempts(self.ports.admin);
            now[0] > before[0] && now[1] > before[1]
        });
    }
}
