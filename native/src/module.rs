//! A configuration, shared by all threads.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use oss_origin_auth_core::config::Config;

use crate::abi::Configuration;
use crate::metrics::Metrics;

/// The required `filter_name`.
const FILTER: &str = "oss_origin_auth";

/// A configuration. Each thread has its own instance of it (`instance.rs`).
pub struct Module {
    /// The id, which no other configuration has had.
    pub id: u64,
    /// The metrics of the configuration.
    pub metrics: Arc<Metrics>,
    text: Vec<u8>,
    /// The environment variables that the configuration names, as they were when it was loaded.
    /// Some are secrets.
    variables: BTreeMap<String, Option<String>>,
}

/// Shows no variable.
impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Module({})", self.id)
    }
}

impl Module {
    /// Reads a configuration and its settings, on the main thread. The error is a message for
    /// the operator.
    pub fn read(
        config: Configuration,
        name: &[u8],
        text: &[u8],
    ) -> Result<(Arc<Module>, Config), String> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        if name != FILTER.as_bytes() {
            return Err(format!("`filter_name` must be `{FILTER}`"));
        }
        let variables = RefCell::new(BTreeMap::new());
        let settings = Config::parse(text, |name| {
            let value = std::env::var(name).ok();
            variables
                .borrow_mut()
                .insert(name.to_owned(), value.clone());
            value
        });
        let settings = settings.map_err(|error| error.to_string())?;
        let accounts = settings.credentials.iter();
        let metrics = Metrics::define(config, accounts.map(|source| source.name.as_str()))
            .map_err(|_| "Envoy refused to define the statistics")?;
        let module = Arc::new(Module {
            id: LAST.fetch_add(1, Ordering::Relaxed),
            metrics: Arc::new(metrics),
            text: text.to_owned(),
            variables: variables.into_inner(),
        });
        Ok((module, settings))
    }

    /// The settings, for another thread. They were valid when the configuration was loaded.
    pub fn settings(&self) -> Option<Config> {
        let variable = |name: &str| self.variables.get(name).cloned().flatten();
        Config::parse(&self.text, variable).ok()
    }
}

/// Makes the compiler check that a module may be shared between threads.
const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Module>();
};
