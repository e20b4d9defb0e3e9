//! Hooks of a configuration, on the main thread.

use std::sync::Arc;

use log::Level;

use crate::abi::{self, Configuration};
use crate::instance::{Instance, Reply};
use crate::module::Module;
use crate::{fault, store, ticker};

/// Reads a configuration, and reports an error in it to Envoy's log.
pub fn take(config: Configuration, name: &[u8], text: &[u8]) -> Option<Arc<Module>> {
    fault::report_panics();
    match begin(config, name, text) {
        Ok(module) => Some(module),
        Err(problem) => {
            let message = format!("oss-origin-auth: configuration refused: {problem}");
            abi::log(Level::Error, &message);
            None
        }
    }
}

fn begin(config: Configuration, name: &[u8], text: &[u8]) -> Result<Arc<Module>, String> {
    let (module, settings) = Module::read(config, name, text)?;
    Instance::add(&module, settings);
    let waker = config
        .waker()
        .ok_or("Envoy has no scheduler for the configuration")?;
    match ticker::add(module.id, waker) {
        true => Ok(module),
        false => Err("the module's thread cannot be started".to_owned()),
    }
}

/// Envoy has destroyed the configuration, usually on the main thread, where its fetches run.
pub fn end(module: &Arc<Module>) {
    Instance::end(module);
    if ticker::remove(module.id) {
        store::clear();
    }
}

/// The configuration's waker has called.
pub fn on_tick(module: &Arc<Module>, config: Configuration) {
    ticker::has_come(module.id);
    Instance::of(module).on_tick(config);
}

/// A callout was answered, or has failed.
pub fn on_callout(module: &Arc<Module>, config: Configuration, id: u64, reply: Option<Reply>) {
    Instance::of(module).on_callout(config, id, reply);
}
