//! The only module that speaks to Envoy: it turns callbacks into events, and
//! steps into calls. It decides nothing.

mod abi;
mod worker;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

use crate::config::{Config, Sidecar};
use crate::flow::Step;
use crate::request::{Changes, Refusal};
use worker::Worker;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|root| Box::new(Root { root, worker: Rc::default() }));
}}

/// One per worker thread and filter configuration; the main thread has one
/// too. Fetches credentials; the requests of its worker wait for it.
struct Root {
    root: u32,
    worker: Shared,
}

/// Empty until there is a configuration. Callbacks may come in one another's
/// calls to the host, so it is never borrowed across such a call.
type Shared = Rc<RefCell<Option<Worker>>>;

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, _: usize, body_size: usize, _: usize) {
        let status = abi::header(abi::Map::CalloutHeaders, ":status")
            .ok()
            .and_then(|status| std::str::from_utf8(&status).ok()?.parse().ok())
            .unwrap_or(0);
        let body = match body_size {
            0 => Vec::new(),
            size if size > worker::MAX_BODY => Vec::new(),
            size => abi::buffer(abi::Buffer::CalloutBody, size).unwrap_or_default(),
        };
        self.with_worker(|worker| worker.on_answer(token, status, body_size, &body));
        self.answer_waiting();
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let text = abi::buffer(abi::Buffer::PluginConfiguration, usize::MAX).unwrap_or_default();
        match Config::parse(&text, |name| std::env::var(name).ok()) {
            Ok(config) => {
                self.worker.replace(Some(Worker::new(config)));
                // A callout from here crashes Envoy where the filter sits on a
                // static cluster; the first tick does it.
                let _ = abi::set_tick_period(worker::FIRST_TICK_MS);
                true
            }
            Err(error) => {
                log::error!("oss-origin-auth: configuration refused: {error}");
                false
            }
        }
    }

    fn on_tick(&mut self) {
        for (index, sidecar) in self.with_worker(Worker::due_fetches).unwrap_or_default() {
            let token = dispatch(&sidecar);
            self.with_worker(|worker| worker.on_dispatched(index, token));
        }
        self.answer_waiting();
        if let Some(period) = self.with_worker(|worker| worker.tick_change()).flatten() {
            let _ = abi::set_tick_period(period);
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, stream: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream {
            stream,
            worker: Rc::clone(&self.worker),
            waiting: false,
        }))
    }
}

impl Root {
    fn with_worker<T>(&self, act: impl FnOnce(&mut Worker) -> T) -> Option<T> {
        self.worker.try_borrow_mut().ok()?.as_mut().map(act)
    }

    /// Lets the waiting requests go on for whom the wait is over.
    fn answer_waiting(&self) {
        for (stream, step) in self.with_worker(Worker::finished_waits).unwrap_or_default() {
            if abi::act_on(stream).is_err() {
                continue;
            }
            match step {
                Step::Send(changes) => {
                    if apply(&changes).is_ok() {
                        let _ = abi::resume_request();
                    } else {
                        reply(&unsignable());
                    }
                }
                Step::Reply(refusal) => reply(&refusal),
                Step::Wait | Step::Nothing => {}
            }
        }
        let _ = abi::act_on(self.root);
    }
}

/// One attempt of one request.
struct Stream {
    stream: u32,
    worker: Shared,
    waiting: bool,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        match self.judge() {
            Step::Send(changes) => match apply(&changes) {
                Ok(()) => Action::Continue,
                Err(_) => {
                    reply(&unsignable());
                    Action::Pause
                }
            },
            Step::Wait => {
                self.waiting = true;
                let _ = abi::set_tick_period(worker::WAITING_TICK_MS);
                Action::Pause
            }
            Step::Reply(refusal) => {
                reply(&refusal);
                Action::Pause
            }
            Step::Nothing => Action::Pause,
        }
    }
}

impl Stream {
    fn judge(&self) -> Step {
        let headers = abi::header_map(abi::Map::RequestHeaders);
        let mut worker = self.worker.try_borrow_mut();
        match (headers, worker.as_mut().map(|worker| worker.as_mut())) {
            (Ok(headers), Ok(Some(worker))) => {
                let route = match worker.needs_route() {
                    true => abi::property("xds\0route_name").unwrap_or_default(),
                    false => Vec::new(),
                };
                worker.on_request(self.stream, &route, &abi::header_pairs(&headers))
            }
            // Without headers or settings nothing can be said for a request.
            _ => Step::Reply(unsignable()),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.waiting
            && let Ok(mut worker) = self.worker.try_borrow_mut()
            && let Some(worker) = worker.as_mut()
        {
            worker.on_gone(self.stream);
        }
    }
}

fn apply(changes: &Changes) -> abi::Result<()> {
    for name in &changes.remove {
        abi::remove_request_header(name)?;
    }
    if let Some(path) = &changes.path {
        abi::set_request_header(":path", path)?;
    }
    for (name, value) in &changes.set {
        abi::set_request_header(name, value)?;
    }
    Ok(())
}

fn reply(refusal: &Refusal) {
    let retry_after = refusal.retry_after.map(|seconds| seconds.to_string());
    let mut headers = vec![
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("x-oss-origin-auth", refusal.reason),
    ];
    if let Some(seconds) = &retry_after {
        headers.push(("retry-after", seconds));
    }
    let details = format!("oss_origin_auth_{}", refusal.reason);
    let _ = abi::reply(refusal.status, &details, &headers, &refusal.body());
}

fn unsignable() -> Refusal {
    Refusal::new(500, "internal_error", "The request could not be signed.")
}

/// Sends a request for credentials. `None` if Envoy knows no such cluster.
fn dispatch(sidecar: &Sidecar) -> Option<u32> {
    hostcalls::dispatch_http_call(
        &sidecar.cluster,
        vec![
            (":method", "GET"),
            (":path", &sidecar.path),
            (":authority", &sidecar.authority),
            ("accept", "application/json"),
        ],
        None,
        Vec::new(),
        Duration::from_millis(sidecar.timeout_ms),
    )
    .ok()
}
