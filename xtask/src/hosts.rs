//! The tests that run with each host of the filter, and the reasons why some do not run with
//! the native one.

use std::collections::BTreeMap;

use clap::ValueEnum;
use testkit::tools::{self, Host};

use crate::command::Result;
use crate::runner::Test;

/// The words for `--host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hosts {
    /// The wasm filter
    Wasm,
    /// The native module, in every test that concerns it
    Native,
    /// The wasm filter; and the native module in the tests of what it does itself
    Both,
}

impl Hosts {
    /// The given hosts, or those that the environment names.
    pub fn or_of_environment(given: Option<Hosts>) -> Result<Hosts> {
        match given {
            Some(hosts) => Ok(hosts),
            None => tools::try_host().map(|host| match host {
                Host::Wasm => Hosts::Wasm,
                Host::Native => Hosts::Native,
            }),
        }
    }

    /// The hosts to run.
    pub fn each(self) -> &'static [Host] {
        match self {
            Hosts::Wasm => &[Host::Wasm],
            Hosts::Native => &[Host::Native],
            Hosts::Both => &[Host::Wasm, Host::Native],
        }
    }

    /// The group of a test that is not run with its host.
    pub fn leaves_out(self, test: &Test) -> Option<&'static Group> {
        let lists = match (test.host, self) {
            (Host::Wasm, _) => &[NOT_OF_WASM][..],
            (Host::Native, Hosts::Both) => &[NOT_OF_NATIVE, LITTLE_OF_NATIVE],
            (Host::Native, _) => &[NOT_OF_NATIVE],
        };
        let groups = lists.iter().copied().flatten();
        let mut found = groups.filter(|group| group.has(&test.name));
        found.next()
    }
}

/// A group of tests that are left out for one reason.
#[derive(Debug)]
pub struct Group {
    /// A description in a few words.
    pub what: &'static str,
    /// The reason why they are left out.
    pub why: &'static str,
    /// The names of tests, or of modules, which end with `::`.
    tests: &'static [&'static str],
    /// The tests of these modules that run nevertheless.
    but: &'static [&'static str],
}

impl Group {
    fn has(&self, test: &str) -> bool {
        let named = |names: &[&str]| names.iter().any(|name| is_of(test, name));
        named(self.tests) && !named(self.but)
    }
}

fn is_of(test: &str, name: &str) -> bool {
    match name.ends_with("::") {
        true => test.starts_with(name),
        false => test == name,
    }
}

/// The tests that make no sense with the wasm filter.
const NOT_OF_WASM: &[Group] = &[
    Group {
        what: "of an Envoy without wasm",
        why: "as this build of Envoy has no VM",
        tests: &["envoys::envoy_1_38_3"],
        but: &[],
    },
    Group {
        what: "of the native module alone",
        why: "as they ask what only a library in Envoy's own process does",
        tests: &[
            "native::",
            "native_envoys::",
            "native_memory::",
            "native_signature::",
            "native_waiting::",
        ],
        but: &[],
    },
];

/// The tests that would show nothing with the native module.
const NOT_OF_NATIVE: &[Group] = &[
    Group {
        what: "of wasm",
        why: "as they look at the wasm module, or at what is shipped for it",
        tests: &[
            "module::",
            "manifests::",
            "compose::",
            "released::",
            "released_images::",
            "guards::the_manifests_for_wasm_plugins_stand_behind_the_authorization",
            "rendered::kubernetes_knows_every_field_of_what_flags_add",
            "rendered::the_image_of_envoy_renders_when_it_starts",
            "shipped::every_file_is_here",
            "shipped_access::each_filter_gets_the_variables_that_it_names",
        ],
        but: &[],
    },
    Group {
        what: "of both forms",
        why: "as they try the module in any case",
        tests: &["released_native::", "shipped_native::"],
        but: &[],
    },
    Group {
        what: "of older Envoys",
        why: "as these versions of Envoy cannot load it",
        tests: &["envoys::envoy_1_36_4", "envoys::envoy_1_37_0"],
        but: &[],
    },
    Group {
        what: "without a filter",
        why: "as no filter is in them: the sidecar, the doctor and the fakes alone",
        tests: &[
            "doctor::",
            "doctor_faults::",
            "doctor_way::",
            "fake::",
            "observability::the_alert_rules_fire_and_hold_their_peace_as_promised",
            "refusals::pairs_of_setups_hold_every_pair_of_two_choices",
            "sidecar::",
            "sidecar_callers::",
            "sidecar_limits::",
            "sidecar_process::",
            "sources::",
            "sources_settings::",
        ],
        but: &[
            "doctor::a_good_bucket_is_green_in_every_check",
            "sidecar::a_role_is_assumed_and_its_token_serves_an_object",
            "sidecar_callers::envoys_own_callout_is_served_whatever_its_client_sends",
            "sidecar_callers::a_foreign_name_in_the_filters_settings_is_said",
            "sidecar_process::killed_at_any_moment_it_comes_back_as_it_was",
            "sidecar_process::with_a_token_only_those_who_show_it_are_served",
            "sources::every_source_opens_an_object_through_envoy",
            "sources::the_filter_reads_a_credentials_uri_server_that_is_not_ours",
        ],
    },
];

/// The tests that a run with both hosts does only with the wasm filter, since little can
/// differ. `cargo xtask test --host native` leaves none of them out.
const LITTLE_OF_NATIVE: &[Group] = &[
    Group {
        what: "of the core's matrices",
        why: "as the core, which both hosts share, decides what they try; \
              `--host native` runs them",
        tests: &[
            "access_urls::",
            "conditions::",
            "configuration::every_wrong_configuration_stops_envoy_with_its_message",
            "differences::",
            "generated::",
            "hosts::",
            "objects::ugly_keys_arrive_byte_for_byte_under_every_signature_in_both_positions",
            "operations::",
            "policies::every_combination_is_treated_as_promised",
            "signed_urls::",
        ],
        but: &[],
    },
    Group {
        what: "of Envoy's cache and other filters",
        why: "as other filters of Envoy decide what they try; `--host native` runs them",
        tests: &[
            "clients::",
            "from_cdn::",
            "rendered::",
            "shipped_cache::",
            "shipped_copies::",
            "shipped_cuts::",
            "shipped_keys::",
        ],
        but: &[
            "from_cdn::a_domain_with_signed_urls_is_moved",
            "rendered::each_target_with_an_envoy_of_its_own_serves_an_object",
            "rendered::the_access_log_has_no_query",
            "rendered::the_port_of_the_metrics_serves_nothing_else",
            "rendered::the_smallest_configuration_has_labels_of_metrics",
            "shipped_cache::a_rotation_and_throttling_heal_behind_the_cache",
            "shipped_cache::hits_cost_no_fetch_and_no_signature",
            "shipped_cuts::what_oss_cuts_is_not_kept_and_envoy_lives",
        ],
    },
    Group {
        what: "that take long",
        why: "as they wait for half a minute or more; `--host native` runs them",
        tests: &[
            "shipped_origin::long_downloads_are_whole",
            "sidecar_callers::a_foreign_name_in_the_filters_settings_is_said",
        ],
        but: &[],
    },
];

/// Fails if a list has a name that is not a test.
pub fn check_lists<'a>(tests: impl Iterator<Item = &'a str> + Clone) -> Result {
    let groups = [NOT_OF_WASM, NOT_OF_NATIVE, LITTLE_OF_NATIVE]
        .into_iter()
        .flatten();
    let names = groups.flat_map(|group| group.tests.iter().chain(group.but));
    let absent: Vec<_> = names
        .filter(|name| !tests.clone().any(|test| is_of(test, name)))
        .collect();
    match absent.as_slice() {
        [] => Ok(()),
        absent => Err(format!("xtask/src/hosts.rs: no such tests: {absent:?}")),
    }
}

/// The number of tests that do not run with a host, by group.
#[derive(Debug, Default)]
pub struct LeftOut(BTreeMap<String, usize>);

impl LeftOut {
    pub fn count(&mut self, host: Host, group: &Group) {
        let what = format!("{host} {}", group.what);
        *self.0.entry(what).or_default() += 1;
    }
}

/// The end of the summary line of a run.
impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let groups = self.0.iter().map(|(what, count)| format!("{count} {what}"));
        let groups: Vec<_> = groups.collect();
        write!(f, ", of which {}", groups.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_runs_with_the_hosts_that_it_concerns() {
        let what = |hosts: Hosts, host: Host, name: &str| {
            let test = Test {
                program: "".into(),
                name: name.into(),
                host,
                ignored: false,
            };
            hosts.leaves_out(&test).map(|group| group.what)
        };
        for (name, native, both) in [
            ("access::a_route", None, None),
            ("module::it_is_small", Some("of wasm"), Some("of wasm")),
            (
                "sidecar::any",
                Some("without a filter"),
                Some("without a filter"),
            ),
            (
                "sidecar::a_role_is_assumed_and_its_token_serves_an_object",
                None,
                None,
            ),
            ("generated::any", None, Some("of the core's matrices")),
        ] {
            assert_eq!(what(Hosts::Native, Host::Native, name), native, "{name}");
            assert_eq!(what(Hosts::Both, Host::Native, name), both, "{name}");
            assert_eq!(what(Hosts::Both, Host::Wasm, name), None, "{name}");
        }
        let newer = "envoys::envoy_1_38_3";
        assert!(what(Hosts::Wasm, Host::Wasm, newer).is_some());
        assert_eq!(what(Hosts::Both, Host::Native, newer), None);
    }

    #[test]
    fn a_list_that_names_no_test_is_wrong() {
        let names = [NOT_OF_WASM, NOT_OF_NATIVE, LITTLE_OF_NATIVE].into_iter();
        let names = names.flatten().flat_map(|group| group.tests).copied();
        let absent = check_lists(names.skip(1)).unwrap_err();
        assert!(absent.contains("envoys::envoy_1_38_3"), "{absent}");
    }
}
