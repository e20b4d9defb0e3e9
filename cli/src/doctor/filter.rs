//! The filter's core for one request at a time, so that `doctor` sends what the filter in Envoy
//! would send. Requests that the filter always refuses (listing, writing) are signed without
//! it.

use std::rc::Rc;

use log::Level;
use oss_origin_auth_core::config::Route;
use oss_origin_auth_core::config::choices::Addressing;
use oss_origin_auth_core::credentials::Credentials;
use oss_origin_auth_core::exchange::{Action, Event, Exchange};
use oss_origin_auth_core::fetch::SharedData;
use oss_origin_auth_core::fetch::account::Fetch;
use oss_origin_auth_core::host::{Attribute, Host, Note};
use oss_origin_auth_core::metrics::{Counter, Gauge};
use oss_origin_auth_core::oss::headers::OF_SIGNATURE;
use oss_origin_auth_core::oss::target::Target;
use oss_origin_auth_core::policy::edits::Edits;
use oss_origin_auth_core::policy::reply::Refusal;
use oss_origin_auth_core::signing::{Request, Signer};
use oss_origin_auth_core::worker::Worker;

use super::plan::Plan;
use super::wire::Message;

/// The filter with one set of credentials.
pub struct Filter {
    worker: Worker<Memory>,
    route: Rc<Route>,
    signer: Signer,
}

impl Filter {
    /// A filter with the settings of a plan. `now` is OSS's time in seconds since 1970.
    pub fn new(plan: &Plan, credentials: &Credentials, now: u64) -> Result<Filter, String> {
        let memory = Memory {
            now,
            route_name: plan.route_name.clone(),
        };
        Ok(Filter {
            worker: Worker::new(plan.with(credentials)?, 1, memory),
            route: Rc::clone(&plan.route),
            signer: Signer::new(credentials.clone(), 0),
        })
    }

    /// Sets the clock, in seconds since 1970.
    pub fn set_clock(&mut self, now: u64) {
        self.worker.host.now = now;
    }

    /// Runs the filter on a client's request; returns the request to send, or the refusal. The
    /// names of headers are in lower case.
    pub fn pass(
        &mut self,
        method: &str,
        path: &[u8],
        headers: &[(&str, &str)],
    ) -> Result<Message, Refusal> {
        let mut incoming: Vec<(&[u8], &[u8])> = vec![
            (b":method", method.as_bytes()),
            (b":authority", b"localhost"),
            (b":path", path),
            (b"user-agent", USER_AGENT.as_bytes()),
        ];
        let headers = headers.iter();
        incoming.extend(headers.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        let mut exchange = Exchange::new(());
        match exchange.on(Event::RequestHeaders(&incoming), &mut self.worker) {
            Action::Continue(edits) => Ok(edited(&incoming, edits)),
            Action::Reply(refusal) => Err(refusal),
            // The credentials exist, unless they have just expired.
            Action::Hold | Action::ReplaceBody(_) => {
                use oss_origin_auth_core::policy::reply::Reason;
                Err(Reason::NoCredentials.into())
            }
        }
    }

    /// Signs a request for a key (or for the bucket, without a key) with a query, without the
    /// filter's rules. `headers` may have headers to sign, with names in lower case.
    pub fn sign(
        &mut self,
        method: &str,
        key: &[u8],
        query: &str,
        headers: Vec<(String, Vec<u8>)>,
    ) -> Message {
        let plain = Target::of_key(key.to_vec());
        let with_query = [plain.path(), b"?", query.as_bytes()].concat();
        let target = Target::parse(&with_query).unwrap_or(plain);
        let request = Request {
            method,
            bucket: Some(&self.route.bucket),
            target: &target,
            headers: &headers,
            host: None,
        };
        let now = self.worker.host.now;
        let signed = self.signer.sign(&self.route.scheme, &request, now);
        let signed = signed.iter();
        let signed = signed.map(|(name, value)| (name.to_owned(), value.to_vec()));
        let in_path = self.route.rules.addressing == Addressing::PathStyle;
        let path = match in_path {
            true => [b"/", self.route.bucket.as_bytes(), &target.wire()].concat(),
            false => target.wire().into_owned(),
        };
        Message {
            method: method.to_owned(),
            authority: self.route.host.clone(),
            path,
            headers: signed.chain(headers.clone()).chain(agent()).collect(),
            body: Vec::new(),
        }
    }
}

impl Message {
    /// The same request without its signature.
    pub fn unsigned(mut self) -> Message {
        self.headers
            .retain(|(name, _)| !OF_SIGNATURE.has(name.as_bytes()));
        self
    }
}

const USER_AGENT: &str = concat!("oss-origin-auth-doctor/", env!("CARGO_PKG_VERSION"));

fn agent() -> Option<(String, Vec<u8>)> {
    Some(("user-agent".into(), USER_AGENT.into()))
}

/// The request after the filter's edits.
fn edited(incoming: &[(&[u8], &[u8])], edits: Edits) -> Message {
    let name = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let incoming = incoming.iter();
    let mut headers: Vec<(String, Vec<u8>)> = incoming
        .map(|(known, value)| (name(known), value.to_vec()))
        .filter(|(known, _)| !edits.remove.iter().any(|gone| gone == known.as_bytes()))
        .collect();
    for (known, value) in &edits.set {
        headers.retain(|(other, _)| other != known);
        headers.push((known.to_string(), value.to_vec()));
    }
    let added = edits.add.iter().flat_map(|added| added.iter());
    headers.extend(added.map(|(known, value)| (known.to_owned(), value.to_vec())));
    let take = |wanted: &str| {
        let found = headers.iter().find(|(known, _)| known == wanted);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    Message {
        method: name(&take(":method")),
        authority: name(&take(":authority")),
        path: take(":path"),
        body: Vec::new(),
        headers: headers
            .iter()
            .filter(|(known, _)| !known.starts_with(':'))
            .cloned()
            .collect(),
    }
}

/// A host of the core for one request.
#[derive(Debug)]
struct Memory {
    now: u64,
    route_name: String,
}

impl SharedData for Memory {
    fn get(&self, _: &str) -> (Option<Vec<u8>>, u32) {
        (None, 0)
    }

    fn set(&mut self, _: &str, _: &[u8], _: u32) -> bool {
        true
    }
}

impl Host for Memory {
    type Handle = ();

    fn now(&self) -> Option<u64> {
        Some(self.now * 1000)
    }

    // The checks report everything, so nothing is logged.
    fn log(&self, _: Level, _: &str) {}

    fn count(&mut self, _: Counter, _: u64) {}

    fn gauge(&mut self, _: Gauge, _: u64) {}

    fn record_wait(&mut self, _: u64) {}

    fn callout(&mut self, _: Fetch) {}

    fn wake(&mut self, (): ()) {}

    fn attribute(&self, attribute: Attribute) -> Vec<u8> {
        match attribute {
            Attribute::RouteName => self.route_name.clone().into_bytes(),
            Attribute::ClusterName | Attribute::RouteMetadata | Attribute::ClusterMetadata => {
                Vec::new()
            }
        }
    }

    fn attempt(&self) -> u64 {
        1
    }

    fn noted(&self, _: Note) -> Vec<u8> {
        Vec::new()
    }

    fn note(&mut self, _: Note, _: &[u8]) -> bool {
        true
    }
}
