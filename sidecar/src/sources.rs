//! The sources of all names, built from the settings; a reload keeps those that
//! have not changed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::credential::Fetch;
use crate::metrics::Metrics;
use crate::providers::{self, World};
use crate::settings::SourceSettings;
use crate::source::Source;

/// The sources by name.
pub type Sources = HashMap<String, Arc<Source>>;

/// Builds a source for each name. A source of `known` whose settings have not changed is kept,
/// with the credentials that it holds.
pub fn build(
    settings: &BTreeMap<String, SourceSettings>,
    world: &World,
    metrics: &Arc<Metrics>,
    known: &Sources,
) -> Result<Sources, String> {
    let mut builder = Builder {
        settings,
        world,
        metrics,
        known,
        built: Sources::new(),
    };
    for name in settings.keys() {
        builder.source(name)?;
    }
    Ok(builder.built)
}

struct Builder<'a> {
    settings: &'a BTreeMap<String, SourceSettings>,
    world: &'a World,
    metrics: &'a Arc<Metrics>,
    known: &'a Sources,
    built: Sources,
}

impl Builder<'_> {
    /// Builds a source after its base. The settings are checked for circles when they are read.
    fn source(&mut self, name: &str) -> Result<Arc<Source>, String> {
        if let Some(source) = self.built.get(name) {
            return Ok(Arc::clone(source));
        }
        let own = self
            .settings
            .get(name)
            .ok_or_else(|| format!("credentials.{name}: missing"))?;
        let base = own.base().map(|from| self.source(from)).transpose()?;
        let base_is_known = base.as_ref().is_none_or(|base| {
            let known = self.known.get(base.name());
            known.is_some_and(|known| Arc::ptr_eq(known, base))
        });
        let unchanged = self
            .known
            .get(name)
            .filter(|source| source.settings() == own && base_is_known);
        let source = match unchanged {
            Some(source) => Arc::clone(source),
            None => {
                let base = base.map(|base| Arc::new(base) as Arc<dyn Fetch>);
                let provider = providers::build(own, base, self.world)
                    .map_err(|problem| format!("credentials.{name}.{problem}"))?;
                Arc::new(Source::new(name, own, provider, self.metrics))
            }
        };
        self.built.insert(name.to_owned(), Arc::clone(&source));
        Ok(source)
    }
}
