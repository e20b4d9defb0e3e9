//! One attempt at one request, from its headers to the end of its response: the only
//! place that knows how far it has come.
//!
//! ```text
//!            admitted, credentials at hand         answered
//!  Arrived ───────────────────────────────► Sent ──────────► Answered
//!   │   │                                    ▲ │                │
//!   │   │ admitted; none at hand, or these   │ │ answered,      │ its body has
//!   │   │ were refused in the attempt before │ │ nothing to do  │ passed, or
//!   │   └──────────────────► Waiting ────────┘ │                │ never will
//!   │ refused                   │ none in time │                │
//!   ▼                           ▼              ▼                ▼
//!  Refused ◄────────────────────┘             Over ◄────────────┘
//! ```
//!
//! Envoy's retry is an exchange of its own. No response stands still: what its headers
//! say of the credentials is acted on at once, and its body only explains, as it passes.

use std::borrow::Cow;
use std::mem;
use std::rc::Rc;

use crate::config::{Route, Settings, Treatment};
use crate::host::{Host, Note, Response};
use crate::metrics::{Counter, Leaving};
use crate::oss::error::{
    Cause, ErrorResponse, MAX_BODY, Verdict, diagnose, header_xml, is_error, judge,
};
use crate::oss::headers;
use crate::policy::edits::Edits;
use crate::policy::redact::{Body, Redaction, forced_download, needs_redaction, redact};
use crate::policy::reply::{REASON_HEADER, RETRY_HEADER, Reason, Refusal};
use crate::policy::{Admission, Incoming, Outgoing, admit};
use crate::words::Word;
use crate::worker::{Wait, Worker};

/// One attempt at one request. `H` names its stream to the host.
#[derive(Debug)]
pub struct Exchange<H> {
    state: State,
    handle: H,
}

/// Names and values.
type Headers<'a> = &'a [(&'a [u8], &'a [u8])];

/// What has happened to it.
#[derive(Clone, Copy)]
#[expect(
    missing_debug_implementations,
    reason = "it has headers of the client, which nobody is to see"
)]
pub enum Event<'a> {
    /// The request's headers have come: names in lower case, pseudo-headers among them.
    RequestHeaders(Headers<'a>),
    /// A piece of the request's body, or its trailers.
    RequestRest,
    /// The host did not manage to do the edits.
    EditsFailed,
    /// The wait may be over.
    Woken,
    /// The response's headers have come, and nothing more if `last`.
    ResponseHeaders {
        /// The response.
        response: &'a dyn Response,
        /// Whether there is neither body nor trailers.
        last: bool,
    },
    /// A piece of the response's body, and nothing more if `last`.
    ResponseBody {
        /// The response.
        response: &'a dyn Response,
        /// Whether it is the end.
        last: bool,
    },
    /// The response's trailers have come.
    ResponseTrailers(&'a dyn Response),
    /// Envoy has done with it: nothing more will happen.
    Gone,
}

/// What the host does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make these edits, and let go on what the event has brought: with
    /// [`Event::Woken`] the request that was held.
    Continue(Edits),
    /// Hold the request; with [`Event::Woken`], go on holding it.
    Hold,
    /// Answer the request.
    Reply(Refusal),
    /// Put this in place of the piece of the body, and let it go on.
    ReplaceBody(Vec<u8>),
}

#[derive(Debug)]
enum State {
    /// Nothing has come.
    Arrived,
    /// It may leave, and is held until there are credentials.
    Waiting(Box<Waiting>),
    /// It has left.
    Sent(Sent),
    /// It was answered here.
    Refused,
    /// OSS has answered, and something is left to do with the answer.
    Answered(Box<Answered>),
    /// Nothing is left to do.
    Over,
}

#[derive(Debug)]
struct Sent {
    route: Rc<Route>,
    /// The generation of the credentials. `None`: without a signature of ours, so that an
    /// error says nothing of our credentials.
    generation: Option<u64>,
    /// Whether a disposition in the answer is the client's own wish.
    disposition_is_own: bool,
}

#[derive(Debug)]
struct Waiting {
    route: Rc<Route>,
    outgoing: Outgoing,
    wait: Wait,
}

#[derive(Debug)]
struct Answered {
    /// An error to a request that we signed, until all is known of it.
    failure: Option<Failure>,
    body: Replaced,
    /// What has come of the error's XML.
    xml: Vec<u8>,
}

/// What becomes of a body.
#[derive(Debug)]
enum Replaced {
    /// It passes as it is.
    No,
    /// This is to stand in its place.
    By(Body),
    /// What stands in its place has passed.
    Done,
}

/// An error of OSS: what is known of it so far.
#[derive(Debug)]
struct Failure {
    route: Rc<Route>,
    generation: u64,
    status: u16,
    ec: Vec<u8>,
    request_id: Vec<u8>,
    /// OSS's time, of a 403: what else there is says nothing of ours.
    date: Vec<u8>,
}

/// What a request becomes, and what the host does.
type Next = (State, Action);

impl<H: Clone + PartialEq> Exchange<H> {
    /// An attempt of which nothing has come yet.
    pub fn new(handle: H) -> Exchange<H> {
        let state = State::Arrived;
        Exchange { state, handle }
    }

    /// Whether the pieces of the response's body matter.
    pub fn wants_body(&self) -> bool {
        matches!(self.state, State::Answered(_))
    }

    /// Takes in what has happened: what the host does next.
    pub fn on(&mut self, event: Event, worker: &mut Worker<impl Host<Handle = H>>) -> Action {
        let state = mem::replace(&mut self.state, State::Over);
        let (next, action) = self.next(state, event, worker);
        self.state = next;
        action
    }

    fn next(&self, state: State, event: Event, worker: &mut Worker<impl Host<Handle = H>>) -> Next {
        match (state, event) {
            (State::Arrived, Event::RequestHeaders(headers)) => {
                arrive(headers, &self.handle, worker)
            }
            (State::Waiting(waiting), Event::Woken) => wake(waiting, &self.handle, worker),
            (State::Waiting(_), Event::Gone) => {
                worker.forget(&self.handle);
                (State::Over, go_on())
            }
            (State::Sent(_), Event::EditsFailed) => refuse(Reason::InternalError, worker),
            (State::Sent(sent), Event::ResponseHeaders { response, last }) => {
                answer(sent, response, last, worker)
            }
            (State::Answered(answered), Event::ResponseBody { response, last }) => {
                pass_body(answered, response, last, worker)
            }
            (State::Answered(answered), Event::ResponseTrailers(response)) => {
                pass_trailers(answered, response)
            }
            (State::Answered(mut answered), Event::Gone) => {
                // Its body did not come to an end: Envoy tries again, or somebody went
                // away.
                answered.diagnose(worker);
                (State::Over, go_on())
            }
            // What has not been signed is not pushed out by a body or its end.
            (
                state @ (State::Arrived | State::Waiting(_) | State::Refused),
                Event::RequestRest | Event::EditsFailed,
            )
            | (state, Event::RequestHeaders(_) | Event::Woken) => (state, Action::Hold),
            (state, _) => (state, go_on()),
        }
    }
}

fn go_on() -> Action {
    Action::Continue(Edits::default())
}

fn refuse(refusal: impl Into<Refusal>, worker: &mut Worker<impl Host>) -> Next {
    let refusal = refusal.into();
    worker.count(Counter::Refused(refusal.reason));
    (State::Refused, Action::Reply(refusal))
}

fn pass(route: Rc<Route>, edits: Edits, worker: &mut Worker<impl Host>) -> Next {
    worker.count(Counter::Requests(Leaving::Unsigned));
    let sent = Sent {
        route,
        generation: None,
        disposition_is_own: true,
    };
    (State::Sent(sent), Action::Continue(edits))
}

/// A request has come.
fn arrive<H: Host>(headers: Headers, handle: &H::Handle, worker: &mut Worker<H>) -> Next {
    let route = match worker.settings() {
        Settings::Known(Treatment::Sign(route)) => route,
        Settings::Known(Treatment::PassUnsigned) => {
            worker.count(Counter::Requests(Leaving::Unsigned));
            return (State::Over, go_on());
        }
        Settings::Known(Treatment::Deny) => return refuse(Reason::RouteDenied, worker),
        Settings::None => return refuse(Reason::RouteNotConfigured, worker),
        Settings::Wrong(_) => return refuse(Reason::RouteMisconfigured, worker),
    };
    let place = &|| worker.place(&route);
    let outgoing = match admit(&route, Incoming { headers, place }) {
        Err(reason) => return refuse(reason, worker),
        Ok(Admission::Presigned(edits)) => return pass(route, edits, worker),
        Ok(Admission::Signed(outgoing)) => outgoing,
    };
    let Some(now) = worker.host.now() else {
        return refuse(Reason::InternalError, worker);
    };
    match worker.new_wait(route.account, now) {
        None => send(route, outgoing, now, worker),
        Some(wait) => {
            let waiting = Waiting {
                route,
                outgoing,
                wait,
            };
            hold(waiting.into(), handle, worker)
        }
    }
}

fn hold<H: Host>(waiting: Box<Waiting>, handle: &H::Handle, worker: &mut Worker<H>) -> Next {
    worker.park(waiting.wait, handle.clone());
    (State::Waiting(waiting), Action::Hold)
}

/// The wait of a request may be over.
fn wake<H: Host>(waiting: Box<Waiting>, handle: &H::Handle, worker: &mut Worker<H>) -> Next {
    let Some(now) = worker.host.now() else {
        return refuse(Reason::InternalError, worker);
    };
    if !worker.is_over(&waiting.wait, now) {
        return hold(waiting, handle, worker);
    }
    worker.waited(&waiting.wait, now);
    send(waiting.route, waiting.outgoing, now, worker)
}

/// Signs a request, if there is anything to sign with.
fn send(route: Rc<Route>, outgoing: Outgoing, now: u64, worker: &mut Worker<impl Host>) -> Next {
    // Without it a retry would be mapped twice.
    if let Some(mapped) = &outgoing.mapped
        && !worker.host.note(Note::Mapped, mapped)
    {
        return refuse(Reason::InternalError, worker);
    }
    let time = worker.time_of(&route.host, now);
    let Some(signer) = worker.signer(route.account, now) else {
        let refusal = worker.no_credentials(route.account);
        return refuse(refusal, worker);
    };
    let generation = Some(signer.generation());
    let disposition_is_own = outgoing.asks_for_disposition();
    let edits = outgoing.sign(&route, signer, time);
    if let Some(name) = &route.log_credentials {
        worker.note(Note::Credentials, name);
    }
    worker.count(Counter::Requests(Leaving::Signed));
    let sent = Sent {
        route,
        generation,
        disposition_is_own,
    };
    (State::Sent(sent), Action::Continue(edits))
}

/// OSS has answered.
fn answer(sent: Sent, response: &dyn Response, last: bool, worker: &mut Worker<impl Host>) -> Next {
    let status = String::from_utf8(response.header(":status")).ok();
    let status = status.and_then(|text| text.parse().ok());
    // Envoy lets no response without one pass.
    let Some(status) = status else {
        return (State::Over, go_on());
    };
    let Sent {
        route, generation, ..
    } = sent;
    let has_id = || !response.header(headers::REQUEST_ID).is_empty();
    let generation = generation.filter(|_| is_error(status, has_id));
    let redacts = needs_redaction(&route, status);
    let forced = match sent.disposition_is_own {
        true => Vec::new(),
        false => forced_download(
            &route,
            status,
            |name| response.header(name),
            || response.names(),
        ),
    };
    if !redacts && generation.is_none() {
        let edits = Edits {
            remove: forced,
            ..Edits::default()
        };
        return (State::Over, Action::Continue(edits));
    }
    let xml = match status >= 400 {
        true => header_xml(&response.header(headers::ERR)),
        false => Vec::new(),
    };
    let Redaction { mut edits, body } = match redacts {
        true => redact(&route, status, || response.names(), &xml),
        false => Redaction::default(),
    };
    edits.remove.extend(forced);
    let failure = generation.map(|generation| {
        let failure = Failure::new(route, generation, status, response);
        failure.act(&xml, &mut edits, worker);
        failure
    });
    let body = body.map_or(Replaced::No, Replaced::By);
    let answered = Answered { failure, body, xml };
    finish(answered.into(), last, Action::Continue(edits), worker)
}

/// What is left to do with an answer, if this was not the last of it.
fn finish(
    mut answered: Box<Answered>,
    last: bool,
    action: Action,
    worker: &mut Worker<impl Host>,
) -> Next {
    let replaced = !matches!(answered.body, Replaced::No);
    if (answered.failure.is_some() || replaced) && !last {
        return (State::Answered(answered), action);
    }
    answered.end(worker);
    (State::Over, action)
}

/// A piece of a body that matters.
fn pass_body(
    mut answered: Box<Answered>,
    response: &dyn Response,
    last: bool,
    worker: &mut Worker<impl Host>,
) -> Next {
    let explains = answered.failure.is_some() || matches!(answered.body, Replaced::By(_));
    let room = MAX_BODY.saturating_sub(answered.xml.len());
    if explains && room > 0 {
        answered.xml.extend(response.body(room));
    }
    let action = match answered.body {
        Replaced::No => go_on(),
        Replaced::By(body) if last || body.is_known(&answered.xml) => {
            answered.body = Replaced::Done;
            Action::ReplaceBody(body.of(&answered.xml))
        }
        Replaced::By(_) | Replaced::Done => Action::ReplaceBody(Vec::new()),
    };
    finish(answered, last, action, worker)
}

/// Trailers of a body that was replaced are removed.
fn pass_trailers(answered: Box<Answered>, response: &dyn Response) -> Next {
    let remove = match answered.body {
        Replaced::No => Vec::new(),
        Replaced::By(_) | Replaced::Done => response.names(),
    };
    let edits = Edits {
        remove,
        ..Edits::default()
    };
    (State::Answered(answered), Action::Continue(edits))
}

impl Answered {
    /// The response is complete.
    fn end(&mut self, worker: &mut Worker<impl Host>) {
        let logs = |failure: &Failure| failure.route.log_credentials.is_some();
        let logs = self.failure.as_ref().is_some_and(logs);
        if let Some(cause) = self.diagnose(worker).filter(|_| logs) {
            worker.note(Note::Cause, cause.word());
        }
    }

    /// Tells the operator why OSS refused, from all that has come of the response.
    fn diagnose(&mut self, worker: &mut Worker<impl Host>) -> Option<Cause> {
        let failure = self.failure.take()?;
        let cause = diagnose(&failure.response(&self.xml));
        failure.correct_clock(cause, worker);
        worker.on_diagnosis(&failure.route, &failure.request_id, cause);
        Some(cause)
    }
}

impl Failure {
    fn new(route: Rc<Route>, generation: u64, status: u16, response: &dyn Response) -> Failure {
        Failure {
            route,
            generation,
            status,
            ec: response.header(headers::EC),
            request_id: response.header(headers::REQUEST_ID),
            date: match status {
                403 => response.header(headers::DATE),
                _ => Vec::new(),
            },
        }
    }

    /// Does at once what the headers alone take, `xml` being that in a header: a retry may
    /// follow, and need not come to the body.
    fn act(&self, xml: &[u8], edits: &mut Edits, worker: &mut Worker<impl Host>) {
        let verdict = judge(&self.response(xml));
        let cause = diagnose(&self.response(xml));
        let generation = self.generation;
        if worker.on_verdict(&self.route, generation, &self.request_id, verdict) {
            worker.note(Note::Suspect, &generation.to_string());
        }
        self.correct_clock(cause, worker);
        let account = self.route.account;
        let mut others = || worker.has_others(account, generation);
        if cause == Cause::ClockSkew || (verdict != Verdict::Innocent && others()) {
            edits.set.push((RETRY_HEADER.into(), Cow::Borrowed(b"1")));
        }
        if self.route.log_credentials.is_some() {
            worker.note(Note::Cause, cause.word());
        }
        if self.route.rules.cause_header {
            let word = cause.word().as_bytes();
            let header = (REASON_HEADER.into(), Cow::Borrowed(word));
            edits.set.push(header);
        }
    }

    fn correct_clock(&self, cause: Cause, worker: &mut Worker<impl Host>) {
        if cause == Cause::ClockSkew {
            worker.on_clock_skew(&self.route.host, &self.date);
        }
    }

    fn response<'a>(&'a self, xml: &'a [u8]) -> ErrorResponse<'a> {
        ErrorResponse {
            status: self.status,
            ec: &self.ec,
            xml,
        }
    }
}
