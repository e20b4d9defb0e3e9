//! Finds the settings of a request.

use log::Level;

use super::Worker;
use crate::config::choices::MetadataOf;
use crate::config::{Facts, RuleInput, Settings};
use crate::host::{Attribute, Host, Note};

/// The names (in lower case) and values of the headers.
type Headers<'a> = &'a [(&'a [u8], &'a [u8])];

impl<H: Host> Worker<H> {
    /// The settings of the request of this callback's stream. `None` means that the host
    /// refused a call that they depend on.
    pub(crate) fn settings(&mut self, headers: Headers) -> Option<Settings> {
        let reads = |of| self.config.reads_metadata(of);
        let mut facts = Facts {
            route_name: self.read(self.config.needs_route_name(), Attribute::RouteName),
            rule: None,
            route_metadata: self.read(reads(MetadataOf::Route), Attribute::RouteMetadata),
            cluster_metadata: self.read(reads(MetadataOf::Cluster), Attribute::ClusterMetadata),
        };
        facts.rule = self.rule(&facts.route_name, headers)?;
        let settings = self.metadata.settings(&self.config, facts);
        if let Settings::Wrong(Some(error)) = &settings {
            let message = format!("settings in metadata refused: {error}");
            self.host.log(Level::Error, &message);
        }
        Some(settings)
    }

    fn read(&self, wanted: bool, attribute: Attribute) -> Vec<u8> {
        match wanted {
            true => self.host.attribute(attribute),
            false => Vec::new(),
        }
    }

    /// The rule of the request, if one matches. On a cluster a retry sees the host that the
    /// filter has set, so the rule of the first attempt is used. `None` means that it could not
    /// be noted.
    fn rule(&mut self, route_name: &[u8], headers: Headers) -> Option<Option<usize>> {
        let needs_authority = self.config.needs_authority();
        let attempt = match needs_authority {
            true => self.host.attempt(),
            false => 0,
        };
        if attempt > 1 {
            return self.noted_rule();
        }
        let cluster_name = self.read(self.config.needs_cluster_name(), Attribute::ClusterName);
        let input = RuleInput {
            route_name,
            cluster_name: &cluster_name,
            authority: authority(headers).filter(|_| needs_authority),
        };
        let rule = self.config.rule_of(input);
        if attempt == 0 {
            return Some(rule);
        }
        let note = self.note_of(rule);
        let is_noted = self.host.note(Note::Rule, note.as_bytes());
        is_noted.then_some(rule)
    }

    /// The rule that the first attempt has noted. `None` means that there is no such note of this
    /// configuration: it has changed meanwhile, or another filter has written the note. The same
    /// index could be the rule of another bucket there.
    fn noted_rule(&self) -> Option<Option<usize>> {
        let noted = self.host.noted(Note::Rule);
        if noted == self.note_of(None).as_bytes() {
            return Some(None);
        }
        let (_, place) = std::str::from_utf8(&noted).ok()?.split_once(':')?;
        let place = place.parse().ok()?;
        let is_of_here = noted == self.note_of(Some(place)).as_bytes();
        (is_of_here && self.config.has_rule(place)).then_some(Some(place))
    }

    fn note_of(&self, rule: Option<usize>) -> String {
        let fingerprint = self.config.fingerprint;
        match rule {
            Some(place) => format!("{fingerprint:x}:{place}"),
            None => format!("{fingerprint:x}:none"),
        }
    }
}

/// The host of a request, if there is exactly one.
fn authority<'a>(headers: Headers<'a>) -> Option<&'a [u8]> {
    let mut named = headers.iter().filter(|(name, _)| *name == b":authority");
    let (_, value) = named.next()?;
    named.next().is_none().then_some(*value)
}
