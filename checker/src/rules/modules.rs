//! Rules for the filter as a native module.

use crate::context::OURS;
use crate::finding::Finding;
use crate::found::{Filter, Found};
use crate::manager::inner;
use crate::module::{File, Module};
use crate::protobuf::{field, kind, text};
use crate::version::Version;

/// Envoy loads a module only for the interface of its own version or of the one before.
pub fn envoy_does_not_load_the_module(found: &Found) -> Vec<Finding> {
    let envoy = found.envoy;
    let said = modules(found).filter_map(|(filter, _)| {
        let place = &filter.place;
        if envoy < OLDEST {
            let message = format!(
                "Envoy {envoy} does not load the module, which it says it does not find or whose ABI \
                 it refuses: that has the interface of Envoy {OLDEST} and later; take the wasm \
                 filter, or Envoy {}",
                Version::NEWEST
            );
            return Some(Finding::error(place, MODULE, message));
        }
        (envoy < Version::NEWEST).then(|| {
            let message = format!(
                "the module is supported on Envoy {}; on {envoy} it was tried, and is not supported",
                Version::NEWEST
            );
            Finding::note(place, MODULE, message)
        })
    });
    said.collect()
}

/// The oldest Envoy with the interface of the module.
const OLDEST: Version = Version::new(1, 38);

/// Envoy would not find the module, not load it, or leave the filter out.
pub fn the_module_is_loaded_wrongly(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (filter, module) in modules(found) {
        let place = &filter.place;
        if module.filter_name != OURS {
            let message = format!(
                "the module has no filter `{}`, and refuses the configuration; write `{OURS}`",
                module.filter_name
            );
            findings.push(Finding::error(place, "filter_name", message));
        }
        if module.is_terminal {
            let message = "nothing would stand behind the filter, which sends no answer of OSS \
                           by itself; take it out";
            findings.push(Finding::error(place, "terminal_filter", message));
        }
        findings.extend(wrong_file(filter, &module.file));
    }
    findings
}

fn wrong_file(filter: &Filter, file: &File) -> Option<Finding> {
    let field = format!("{MODULE}.name");
    match file {
        File::Given => None,
        File::Missing => {
            let message = format!("Envoy refuses a filter that names no module; write `{NAME}`");
            Some(Finding::error(&filter.place, &field, message))
        }
        File::Remote => {
            let message = "where the fetch of the module fails, Envoy leaves the filter out: requests \
                           would leave unsigned and unchecked; give Envoy the file, and write its \
                           `name`";
            let field = format!("{MODULE}.module.remote");
            Some(Finding::error(&filter.place, &field, message))
        }
        File::Named(name) if name.starts_with("lib") || name.ends_with(".so") => {
            let message = format!(
                "Envoy looks for `lib{name}.so`; write the name without `lib` and `.so`: `{NAME}`"
            );
            Some(Finding::error(&filter.place, &field, message))
        }
        // The name may end with a version.
        File::Named(name) if name.starts_with(NAME) => None,
        File::Named(name) => {
            let message = format!(
                "Envoy looks for `lib{name}.so`, and the module is released as `lib{NAME}.so`; write \
                 `{NAME}`"
            );
            Some(Finding::warning(&filter.place, &field, message))
        }
    }
}

/// The name of the file, between `lib` and `.so`.
const NAME: &str = "oss_origin_auth_native";

/// The field that names a module.
const MODULE: &str = "dynamic_module_config";

/// The module has no configuration for routes, but Envoy asks it for one.
pub fn routes_configure_the_module(found: &Found) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manager in &found.managers {
        for of in manager.of_filters() {
            let module = field(inner(of.config), MODULE);
            let module = module.and_then(|module| text(module, "name"));
            let is_ours = |(filter, _): (&Filter, &Module)| filter.name == of.name;
            let is_ours =
                modules(found).any(is_ours) || module.is_some_and(|name| name.starts_with(NAME));
            if kind(of.config) == PER_ROUTE && is_ours {
                let message = "Envoy refuses it, since the module takes no configuration from a \
                               route; write it under `routes` in the filter's own settings, or into \
                               the route's metadata";
                findings.push(Finding::error(&manager.place, &of.field, message));
            }
        }
    }
    findings
}

/// The type with which a route configures a module.
const PER_ROUTE: &str =
    "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute";

/// The filters that are native modules.
fn modules(found: &Found) -> impl Iterator<Item = (&Filter, &Module)> {
    let filters = found.filters.iter();
    filters.filter_map(|filter| Some((filter, filter.module.as_ref()?)))
}
