//! An Envoy whose listeners and clusters are files that a test changes while it runs: LDS and
//! CDS from the file system; and its filters, too, if they come by ECDS.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::Process;
use crate::discovery::{Discovery, replace};
use crate::envoy::{EnvoyBuilder, Ports, serve, stat};
use crate::process::{scratch, wait_until};

/// An Envoy with files for its listeners and clusters.
#[derive(Debug)]
pub struct Dynamic {
    pub process: Process,
    pub ports: Ports,
    files: Files,
    /// Of the filters, if they come by ECDS.
    discovery: Option<Discovery>,
    changes: u64,
}

/// The files of an Envoy that it reads again when they change.
#[derive(Clone, Debug)]
pub struct Files {
    listeners: PathBuf,
    clusters: PathBuf,
}

impl Files {
    /// The files for a configuration, as [`EnvoyBuilder::config`] makes it.
    pub fn of(config: &Value) -> Files {
        let files = Files {
            listeners: scratch("lds.json"),
            clusters: scratch("cds.json"),
        };
        files.write(config, 0);
        files
    }

    /// A configuration that names the files.
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

    /// Replaces the files by others, each at once.
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
            replace(path, list.as_array().expect("a list"), version);
        }
    }
}

impl Dynamic {
    /// Starts an Envoy on a configuration, as [`EnvoyBuilder::config`] makes it.
    pub fn start(builder: &EnvoyBuilder, config: &Value, arguments: &[&str]) -> Dynamic {
        Dynamic::start_with(builder, config, arguments, None)
    }

    /// The same, and our filters come by ECDS.
    pub fn discovering(builder: &EnvoyBuilder, config: &Value, arguments: &[&str]) -> Dynamic {
        let mut config = config.clone();
        let mut discovery = Discovery::default();
        let filters = discovery.take(&mut config);
        discovery.write(&filters, 0);
        Dynamic::start_with(builder, &config, arguments, Some(discovery))
    }

    fn start_with(
        builder: &EnvoyBuilder,
        config: &Value,
        arguments: &[&str],
        discovery: Option<Discovery>,
    ) -> Dynamic {
        let files = Files::of(config);
        let mut command = builder.command(&files.config());
        command.args(arguments);
        let (process, ports) = serve(&mut command);
        Dynamic {
            process,
            ports,
            files,
            discovery,
            changes: 0,
        }
    }

    /// Changes its listeners and clusters, and waits until Envoy has taken or refused both
    /// files. If the filters come by ECDS, they stay as they are.
    pub fn change(&mut self, config: &Value) {
        self.changes += 1;
        let mut config = config.clone();
        if let Some(discovery) = &mut self.discovery {
            discovery.take(&mut config);
        }
        let attempts = |admin| {
            ["cluster_manager.cds", "listener_manager.lds"].map(|name| {
                let outcome = |outcome| stat(admin, &format!("{name}.update_{outcome}"));
                outcome("success") + outcome("rejected")
            })
        };
        let before = attempts(self.ports.admin);
        self.files.write(&config, self.changes);
        wait_until("Envoy to see the change", || {
            let now = attempts(self.ports.admin);
            now[0] > before[0] && now[1] > before[1]
        });
    }

    /// Changes, by ECDS, the filters alone to those of a configuration, and waits until Envoy
    /// has taken or refused each: how many it refused.
    pub fn change_filters(&mut self, config: &Value) -> usize {
        let mut config = config.clone();
        let discovery = self.discovery.as_mut().expect("filters by ECDS");
        let filters = discovery.take(&mut config);
        self.put_filters(&filters)
    }

    /// Puts the same in the place of all our filters.
    pub fn replace_filters(&mut self, config: &Value, other: &Value) -> usize {
        let mut config = config.clone();
        let discovery = self.discovery.as_mut().expect("filters by ECDS");
        let mut filters = discovery.take(&mut config);
        for filter in filters.values_mut() {
            *filter = other.clone();
        }
        self.put_filters(&filters)
    }

    fn put_filters(&mut self, filters: &BTreeMap<String, Value>) -> usize {
        self.changes += 1;
        let discovery = self.discovery.as_ref().expect("filters by ECDS");
        let outcomes = || {
            let of = |name| discovery.outcomes(self.ports.admin, name);
            filters.keys().map(|name| of(name)).collect::<Vec<_>>()
        };
        let before = outcomes();
        discovery.write(filters, self.changes);
        let mut refused = 0;
        wait_until("Envoy to see the change of its filters", || {
            let now = outcomes();
            let changes = || now.iter().zip(&before);
            refused = changes()
                .filter(|(now, before)| now.refused > before.refused)
                .count();
            changes().all(|(now, before)| now != before)
        });
        refused
    }
}
