#![cfg(target_arch = "wasm32")]
//! The only module that speaks to Envoy: it turns callbacks into events, and
//! steps into calls. It decides nothing.

mod abi;
mod bodies;
mod stats;
mod worker;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

use bodies::Wanted;
use oss_origin_auth_core::config::{Config, Metadata, Route, Sidecar};
use oss_origin_auth_core::credentials::keyring::Fetch;
use oss_origin_auth_core::diagnosis::{self, is_error};
use oss_origin_auth_core::flow::{Event, Flow, Step};
use oss_origin_auth_core::request::{Changes, Refusal};
use oss_origin_auth_core::response::{Redaction, needs_redaction, redact};
use oss_origin_auth_core::signing::SignedHeaders;
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

fn with<T>(worker: &Shared, act: impl FnOnce(&mut Worker) -> T) -> Option<T> {
    worker.try_borrow_mut().ok()?.as_mut().map(act)
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, _: usize, body_size: usize, _: usize) {
        let status = abi::header(abi::Headers::Callout, ":status")
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
        match Config::parse(&text, abi::environment) {
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
        for (index, sidecar, fetch) in self.with_worker(Worker::due_fetches).unwrap_or_default() {
            let token = dispatch(&sidecar, fetch);
            self.with_worker(|worker| worker.on_dispatched(index, fetch, token));
        }
        self.answer_waiting();
        self.with_worker(Worker::flush_stats);
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
            flow: Flow::Arrived,
            waiting: false,
            sent: false,
            body: None,
            body_wanted: None,
            request_id: Vec::new(),
        }))
    }
}

impl Root {
    fn with_worker<T>(&self, act: impl FnOnce(&mut Worker) -> T) -> Option<T> {
        with(&self.worker, act)
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
                _ => {}
            }
        }
        let _ = abi::act_on(self.root);
    }
}

/// One attempt of one request.
struct Stream {
    stream: u32,
    worker: Shared,
    /// [`Flow::Over`] while the worker has it: see `waiting`.
    flow: Flow,
    /// Whether it waits, or has waited, among the worker's.
    waiting: bool,
    /// Whether its headers have left with a signature.
    sent: bool,
    /// What is to stand in place of the next piece of its response's body.
    body: Option<&'static str>,
    /// From the headers of the response on, where its body matters.
    body_wanted: Option<Wanted>,
    /// OSS's, of a response that is an error.
    request_id: Vec<u8>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let (step, flow) = self.judge();
        self.flow = flow;
        match step {
            Step::Send(changes) => match apply(&changes) {
                Ok(()) => {
                    self.sent = true;
                    Action::Continue
                }
                Err(_) => {
                    reply(&unsignable());
                    Action::Pause
                }
            },
            Step::Wait => {
                self.waiting = true;
                let _ = abi::set_tick_period(worker::BUSY_TICK_MS);
                Action::Pause
            }
            Step::Reply(refusal) => {
                reply(&refusal);
                Action::Pause
            }
            _ => Action::Pause,
        }
    }

    // A body, or its end, must not push out headers that wait for a signature.
    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        self.unless_unsent()
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.unless_unsent()
    }

    // No response is ever held: Envoy may delete the stream meanwhile, and what
    // resumes it then takes the process or the VM down.
    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        self.take_back();
        let Some(route) = self.flow.route().cloned() else {
            return Action::Continue;
        };
        let response_header = |name| abi::header(abi::Headers::Response, name).unwrap_or_default();
        let status = response_header(":status");
        let status = std::str::from_utf8(&status).ok();
        let status = status.and_then(|text| text.parse().ok()).unwrap_or(0);
        let redacted = needs_redaction(&route, status);
        if !redacted && !is_error(status) {
            self.flow = Flow::Over;
            return Action::Continue;
        }
        let event = Event::Answered {
            status,
            ec: response_header("x-oss-ec"),
            err: response_header("x-oss-err"),
        };
        self.request_id = response_header("x-oss-request-id");
        if redacted {
            self.redact(&route, status);
        }
        let step = self.flow.on(event);
        self.perform(step);
        if end_of_stream {
            self.end();
        } else {
            self.body_wanted = Some(Wanted::new());
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if let Flow::Failed(_) = self.flow {
            let piece = abi::buffer(abi::Buffer::ResponseBody, size.min(diagnosis::MAX_BODY));
            self.flow.on(Event::Body(&piece.unwrap_or_default()));
            if end_of_stream {
                self.end();
            }
        }
        if let Some(body) = self.body {
            let _ = abi::replace_response_body(body.as_bytes());
            // And nothing in place of the pieces that follow.
            self.body = Some("");
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        if self.body.is_some() {
            let trailers = abi::header_map(abi::Headers::ResponseTrailers).unwrap_or_default();
            for (name, _) in abi::header_pairs(&trailers) {
                let _ = abi::remove_header(abi::Headers::ResponseTrailers, name);
            }
        }
        Action::Continue
    }
}

impl Stream {
    fn judge(&self) -> (Step, Flow) {
        let headers = abi::header_map(abi::Headers::Request);
        let decided = headers.ok().and_then(|headers| {
            self.with_worker(|worker| {
                let (name, metadata) = worker.wanted_metadata();
                let read = |wanted: bool, path: &str| match wanted {
                    true => abi::property(path).unwrap_or_default(),
                    false => Vec::new(),
                };
                let metadata = Metadata {
                    route_name: read(name || metadata.route, ROUTE_NAME),
                    route: read(metadata.route, ROUTE_METADATA),
                    cluster: read(metadata.cluster, CLUSTER_METADATA),
                };
                let remembered = |name: &str| abi::property(name).unwrap_or_default();
                let headers = abi::header_pairs(&headers);
                worker.on_request(self.stream, metadata, &headers, remembered)
            })
        });
        // Without headers or settings nothing can be said for a request.
        decided.unwrap_or_else(|| (Step::Reply(unsignable()), Flow::Over))
    }

    /// Changes the response as the route's settings say.
    fn redact(&mut self, route: &Route, status: u16) {
        let headers = abi::header_map(abi::Headers::Response).unwrap_or_default();
        let Redaction { remove, set, body } = redact(route, status, &abi::header_pairs(&headers));
        for name in &remove {
            let _ = abi::remove_header(abi::Headers::Response, name);
        }
        for (name, value) in &set {
            let _ = abi::set_header(abi::Headers::Response, name, value.as_bytes());
        }
        self.body = body;
    }

    /// Takes the flow over from the worker, if it has it and is done with it.
    fn take_back(&mut self) {
        if self.waiting
            && let Some(flow) = self.with_worker(|worker| worker.take_resumed(self.stream))
            && let Some(flow) = flow
        {
            self.flow = flow;
            self.waiting = false;
            self.sent = true;
        }
    }

    fn unless_unsent(&mut self) -> Action {
        self.take_back();
        match self.sent {
            true => Action::Continue,
            false => Action::Pause,
        }
    }

    /// Does what an answer of OSS takes.
    fn perform(&self, step: Step) {
        match step {
            Step::Judged {
                sent,
                verdict,
                cause,
            } => {
                let judged =
                    |worker: &mut Worker| worker.on_judged(&sent, verdict, &self.request_id);
                if self.with_worker(judged) == Some(true) {
                    let generation = sent.generation.to_string();
                    let _ = abi::set_filter_state(worker::REFUSED, generation.as_bytes());
                }
                if sent.route.log_credentials.is_some() {
                    let _ = abi::set_filter_state(LOGGED_CAUSE, cause.name().as_bytes());
                }
                if sent.route.cause_header {
                    let cause = cause.name().as_bytes();
                    let _ = abi::set_header(abi::Headers::Response, REASON_HEADER, cause);
                }
            }
            Step::Diagnosed { sent, cause } => {
                if sent.route.log_credentials.is_some() {
                    let _ = abi::set_filter_state(LOGGED_CAUSE, cause.name().as_bytes());
                }
                self.with_worker(|worker| worker.on_diagnosed(&sent, cause, &self.request_id));
            }
            _ => {}
        }
    }

    /// No more of the response will come.
    fn end(&mut self) {
        let step = self.flow.on(Event::Ended);
        self.perform(step);
    }

    fn with_worker<T>(&self, act: impl FnOnce(&mut Worker) -> T) -> Option<T> {
        with(&self.worker, act)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.waiting {
            self.with_worker(|worker| worker.on_gone(self.stream));
        }
        // Its body did not come to an end: Envoy tries again, or somebody went away.
        if let Flow::Failed(_) = self.flow
            && let Step::Diagnosed { sent, cause } = self.flow.on(Event::Ended)
        {
            self.with_worker(|worker| worker.on_diagnosed(&sent, cause, &self.request_id));
        }
    }
}

/// Why a request was refused, here or by OSS.
const REASON_HEADER: &str = "x-oss-origin-auth";
/// `%FILTER_STATE(wasm.oss_origin_auth.cause:PLAIN)%` in an access log.
const LOGGED_CAUSE: &str = "oss_origin_auth.cause";
const LOGGED_CREDENTIALS: &str = "oss_origin_auth.credentials";
const ROUTE_NAME: &str = "xds\0route_name";
const ROUTE_METADATA: &str = "xds\0route_metadata\0filter_metadata\0oss_origin_auth\0config";
const CLUSTER_METADATA: &str = "xds\0cluster_metadata\0filter_metadata\0oss_origin_auth\0config";

fn apply(changes: &Changes) -> abi::Result<()> {
    for name in &changes.remove {
        abi::remove_header(abi::Headers::Request, name)?;
    }
    let set = |name, value| abi::set_header(abi::Headers::Request, name, value);
    if let Some(host) = &changes.host {
        set(":authority", host.as_bytes())?;
    }
    if let Some(path) = &changes.path {
        set(":path", path)?;
    }
    for (name, value) in changes.add.iter().flat_map(SignedHeaders::iter) {
        abi::add_header(abi::Headers::Request, name, value)?;
    }
    if let Some(mapped) = &changes.mapped {
        abi::set_filter_state(worker::MAPPED, mapped)?;
    }
    if let Some(credentials) = &changes.log_credentials {
        let _ = abi::set_filter_state(LOGGED_CREDENTIALS, credentials.as_bytes());
    }
    Ok(())
}

fn reply(refusal: &Refusal) {
    let retry_after = refusal.retry_after.map(|seconds| seconds.to_string());
    let mut headers = vec![
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        (REASON_HEADER, refusal.reason),
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
fn dispatch(sidecar: &Sidecar, fetch: Fetch) -> Option<u32> {
    let mut headers = vec![
        (":method", "GET"),
        (":path", sidecar.path.as_str()),
        (":authority", &sidecar.authority),
        ("accept", "application/json"),
    ];
    let authorization = sidecar.token.as_ref();
    let authorization = authorization.map(|token| ["Bearer ", token.expose()].concat());
    if let Some(authorization) = &authorization {
        headers.push(("authorization", authorization));
    }
    if fetch.anew {
        headers.push(("cache-control", "no-cache"));
    }
    hostcalls::dispatch_http_call(
        &sidecar.cluster,
        headers,
        None,
        Vec::new(),
        Duration::from_millis(sidecar.timeout_ms),
    )
    .ok()
}
