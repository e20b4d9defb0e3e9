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
use crate::policy::redact::{Redaction, needs_redaction, redact};
use crate::policy::reply::{REASON_HEADER, Reason, Refusal};
use crate::policy::{Admission, Incoming, Outgoing, admit};
use crate::words::Word;
use crate::worker::{Complaint, Wait, Worker};

/// One attempt at one request. `H` names its stream to the host.
#[derive(Debug)]
pub struct Exchange<H> {
    state: State,
    handle: H,
}

/// What has happened to it.
#[derive(Clone, Copy)]
#[expect(
    missing_debug_implementations,
    reason = "it has headers of the client, which nobody is to see"
)]
pub enum Event<'a> {
    /// The request's headers have come: names in lower case, pseudo-headers among them.
    RequestHeaders(&'a [(&'a [u8], &'a [u8])]),
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
    ReplaceBody(&'static str),
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
struct Waiting {
    route: Rc<Route>,
    outgoing: Outgoing,
    wait: Wait,
}

/// How it left.
#[derive(Debug)]
struct Sent {
    route: Rc<Route>,
    /// The generation of the credentials. `None`: without a signature of ours, so that
    /// an error says nothing of our credentials.
    generation: Option<u64>,
}

#[derive(Debug)]
struct Answered {
    /// An error to a request that we signed, until all is known of it.
    failure: Option<Failure>,
    /// What is to stand in place of the next piece of the body, if not OSS's.
    body: Option<&'static str>,
}

/// An error of OSS: what is known of it so far.
#[derive(Debug)]
struct Failure {
    route: Rc<Route>,
    generation: u64,
    status: u16,
    ec: Vec<u8>,
    xml: Vec<u8>,
    request_id: Vec<u8>,
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
    pub fn on(
        &mut self,
        event: Event,
        worker: &mut Worker<H>,
        host: &mut impl Host<Handle = H>,
    ) -> Action {
        let state = mem::replace(&mut self.state, State::Over);
        let (next, action) = self.next(state, event, worker, host);
        self.state = next;
        action
    }

    fn next(
        &self,
        state: State,
        event: Event,
        worker: &mut Worker<H>,
        host: &mut impl Host<Handle = H>,
    ) -> Next {
        match (state, event) {
            (State::Arrived, Event::RequestHeaders(headers)) => {
                arrive(headers, &self.handle, worker, host)
            }
            (State::Waiting(waiting), Event::Woken) => wake(waiting, &self.handle, worker, host),
            (State::Waiting(_), Event::Gone) => {
                worker.forget(&self.handle);
                (State::Over, go_on())
            }
            (State::Sent(_), Event::EditsFailed) => refuse(Reason::InternalError.into(), worker),
            (State::Sent(sent), Event::ResponseHeaders { response, last }) => {
                answer(sent, response, last, worker, host)
            }
            (State::Answered(answered), Event::ResponseBody { response, last }) => {
                pass_body(answered, response, last, worker, host)
            }
            (State::Answered(answered), Event::ResponseTrailers(response)) => {
                pass_trailers(answered, response)
            }
            (State::Answered(mut answered), Event::Gone) => {
                // Its body did not come to an end: Envoy tries again, or somebody went
                // away.
                answered.diagnose(worker, host);
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

fn refuse<H: PartialEq>(refusal: Refusal, worker: &mut Worker<H>) -> Next {
    worker.counters().count(Counter::Refused(refusal.reason));
    (State::Refused, Action::Reply(refusal))
}

/// A request has come.
fn arrive<H: Clone + PartialEq>(
    headers: &[(&[u8], &[u8])],
    handle: &H,
    worker: &mut Worker<H>,
    host: &mut impl Host<Handle = H>,
) -> Next {
    let route = match worker.settings(host) {
        Settings::Known(Treatment::Sign(route)) => route,
        Settings::Known(Treatment::PassUnsigned) => {
            worker
                .counters()
                .count(Counter::Requests(Leaving::Unsigned));
            return (State::Over, go_on());
        }
        Settings::Known(Treatment::Deny) => return refuse(Reason::RouteDenied.into(), worker),
        Settings::None => return refuse(Reason::RouteNotConfigured.into(), worker),
        Settings::Wrong(_) => return refuse(Reason::RouteMisconfigured.into(), worker),
    };
    // Asked for only where it may say something, since it is a call to the host.
    let earlier = match route.maps_paths() {
        true => host.noted(Note::Mapped),
        false => Vec::new(),
    };
    let earlier = &earlier;
    match admit(&route, Incoming { headers, earlier }) {
        Err(reason) => refuse(reason.into(), worker),
        Ok(Admission::Presigned(edits)) => {
            worker
                .counters()
                .count(Counter::Requests(Leaving::Unsigned));
            let generation = None;
            (
                State::Sent(Sent { route, generation }),
                Action::Continue(edits),
            )
        }
        Ok(Admission::Signed(outgoing)) => send_or_wait(route, outgoing, handle, worker, host),
    }
}

fn send_or_wait<H: Clone + PartialEq>(
    route: Rc<Route>,
    outgoing: Outgoing,
    handle: &H,
    worker: &mut Worker<H>,
    host: &mut impl Host<Handle = H>,
) -> Next {
    let Some(now) = host.now() else {
        return refuse(Reason::InternalError.into(), worker);
    };
    let account = route.account;
    let suspected = worker.suspected(account);
    let generation = worker
        .signer(account, now, host)
        .map(|signer| signer.generation());
    // The attempt before was refused with these, and newer ones may come soon. The note
    // is read only while there are suspects.
    let awaits_newer = suspected.filter(|suspected| {
        generation == Some(*suspected)
            && host.noted(Note::Suspect) == suspected.to_string().as_bytes()
    });
    if (generation.is_none() || awaits_newer.is_some())
        && let Some(wait) = worker.new_wait(account, awaits_newer, now)
    {
        worker.park(wait, handle.clone());
        let waiting = Waiting {
            route,
            outgoing,
            wait,
        };
        return (State::Waiting(waiting.into()), Action::Hold);
    }
    send(route, outgoing, now, worker, host)
}

/// The wait of a request may be over.
fn wake<H: Clone + PartialEq>(
    waiting: Box<Waiting>,
    handle: &H,
    worker: &mut Worker<H>,
    host: &mut impl Host<Handle = H>,
) -> Next {
    let Some(now) = host.now() else {
        return refuse(Reason::InternalError.into(), worker);
    };
    if !worker.is_over(&waiting.wait, now) {
        worker.park(waiting.wait, handle.clone());
        return (State::Waiting(waiting), Action::Hold);
    }
    worker
        .counters()
        .waited(now.saturating_sub(waiting.wait.since));
    let Waiting {
        route, outgoing, ..
    } = *waiting;
    send(route, outgoing, now, worker, host)
}

/// Signs a request, if there is anything to sign with.
fn send<H: PartialEq>(
    route: Rc<Route>,
    mut outgoing: Outgoing,
    now: u64,
    worker: &mut Worker<H>,
    host: &mut impl Host<Handle = H>,
) -> Next {
    let Some(signer) = worker.signer(route.account, now, host) else {
        let refusal = worker.no_credentials(route.account);
        return refuse(refusal, worker);
    };
    // Without it a retry would be mapped twice.
    if let Some(mapped) = outgoing.mapped.take()
        && !host.note(Note::Mapped, &mapped)
    {
        return refuse(Reason::InternalError.into(), worker);
    }
    let edits = outgoing.sign(&route, signer, now / 1000);
    let generation = Some(signer.generation());
    if let Some(name) = &route.log_credentials {
        host.note(Note::Credentials, name.as_bytes());
    }
    worker.counters().count(Counter::Requests(Leaving::Signed));
    (
        State::Sent(Sent { route, generation }),
        Action::Continue(edits),
    )
}

/// OSS has answered.
fn answer<H: PartialEq>(
    sent: Sent,
    response: &dyn Response,
    last: bool,
    worker: &mut Worker<H>,
    host: &mut impl Host<Handle = H>,
) -> Next {
    let Sent { route, generation } = sent;
    let status = response.header(":status");
    let status = std::str::from_utf8(&status)
        .ok()
        .and_then(|text| text.parse().ok());
    // Envoy lets no response without one pass.
    let Some(status) = status else {
        return (State::Over, go_on());
    };
    let generation = generation.filter(|_| is_error(status));
    let redacts = needs_redaction(&route, status);
    if !redacts && generation.is_none() {
        return (State::Over, go_on());
    }
    let Redaction { mut edits, body } = match redacts {
        true => redact(&route, status, response.names()),
        false => Redaction::default(),
    };
    let failure = generation.map(|generation| {
        let failure = Failure::new(route, generation, status, response);
        failure.act(&mut edits, worker, host);
        failure
    });
    let mut answered = Answered { failure, body };
    if last {
        answered.end(worker, host);
        return (State::Over, Action::Continue(edits));
    }
    let next = match answered {
        Answered {
            failure: None,
            body: None,
        } => State::Over,
        answered => State::Answered(answered.into()),
    };
    (next, Action::Continue(edits))
}

/// A piece of a body that matters.
fn pass_body<H: PartialEq>(
    mut answered: Box<Answered>,
    response: &dyn Response,
    last: bool,
    worker: &mut Worker<H>,
    host: &mut impl Host<Handle = H>,
) -> Next {
    if let Some(failure) = &mut answered.failure {
        let room = MAX_BODY.saturating_sub(failure.xml.len());
        if room > 0 {
            failure.xml.extend(response.body(room));
        }
    }
    let action = match &mut answered.body {
        // And nothing in place of the pieces that follow.
        Some(text) => Action::ReplaceBody(mem::take(text)),
        None => go_on(),
    };
    if last {
        answered.end(worker, host);
        return (State::Over, action);
    }
    (State::Answered(answered), action)
}

/// Trailers of a body that was replaced are removed.
fn pass_trailers(answered: Box<Answered>, response: &dyn Response) -> Next {
    let remove = match answered.body {
        Some(_) => response.names(),
        None => Vec::new(),
    };
    let edits = Edits {
        remove,
        ..Edits::default()
    };
    (State::Answered(answered), Action::Continue(edits))
}

impl Answered {
    /// The response is complete.
    fn end<H: PartialEq>(&mut self, worker: &mut Worker<H>, host: &mut impl Host<Handle = H>) {
        let logs = |failure: &Failure| failure.route.log_credentials.is_some();
        let logs = self.failure.as_ref().is_some_and(logs);
        if let Some(cause) = self.diagnose(worker, host)
            && logs
        {
            host.note(Note::Cause, cause.word().as_bytes());
        }
    }

    /// Tells the operator why OSS refused, from all that has come of the response.
    fn diagnose<H: PartialEq>(
        &mut self,
        worker: &mut Worker<H>,
        host: &mut impl Host<Handle = H>,
    ) -> Option<Cause> {
        let failure = self.failure.take()?;
        let cause = diagnose(&failure.response());
        let settings = (failure.route.name.as_str(), failure.route.bucket.as_str());
        worker.on_diagnosis(failure.complaint(), cause, settings, host);
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
            xml: header_xml(&response.header(headers::ERR)),
            request_id: response.header(headers::REQUEST_ID),
        }
    }

    /// Does at once what the headers alone take: a retry may follow, and need not come
    /// to the body.
    fn act<H: PartialEq>(
        &self,
        edits: &mut Edits,
        worker: &mut Worker<H>,
        host: &mut impl Host<Handle = H>,
    ) {
        let verdict = judge(&self.response());
        let cause = diagnose(&self.response());
        if verdict != Verdict::Innocent && worker.on_verdict(self.complaint(), verdict, host) {
            host.note(Note::Suspect, self.generation.to_string().as_bytes());
        }
        if self.route.log_credentials.is_some() {
            host.note(Note::Cause, cause.word().as_bytes());
        }
        if self.route.cause_header {
            let word = cause.word().as_bytes();
            edits.set.push((REASON_HEADER, Cow::Borrowed(word)));
        }
    }

    fn response(&self) -> ErrorResponse<'_> {
        ErrorResponse {
            status: self.status,
            ec: &self.ec,
            xml: &self.xml,
        }
    }

    fn complaint(&self) -> Complaint<'_> {
        Complaint {
            account: self.route.account,
            generation: self.generation,
            request_id: &self.request_id,
        }
    }
}
