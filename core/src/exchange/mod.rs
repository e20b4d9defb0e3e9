//! One attempt at a request, from its headers to the end of its response. Only this module
//! knows the state of the attempt.
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
//! A request that is only checked, and forwarded unsigned, is Passed: its response is not
//! looked at. A retry of Envoy is a separate exchange. No response is held: its headers are
//! enough to act on the credentials at once, and its body, as it passes, only adds the
//! explanation.

mod request;
mod response;

use std::mem;
use std::rc::Rc;

use crate::config::Route;
use crate::host::{Host, Response};
use crate::metrics::Counter;
use crate::policy::Outgoing;
use crate::policy::edits::Edits;
use crate::policy::reply::{Reason, Refusal};
use crate::worker::{Wait, Worker};
use request::{arrive, wake};
use response::{Answered, answer, pass_body, pass_trailers};

/// One attempt at a request. `H` is the host's handle of its stream.
#[derive(Debug)]
pub struct Exchange<H> {
    state: State,
    handle: H,
}

/// The names and values of headers.
type Headers<'a> = &'a [(&'a [u8], &'a [u8])];

/// An event of an attempt.
#[derive(Clone, Copy)]
#[expect(
    missing_debug_implementations,
    reason = "it has headers of the client, which nobody is to see"
)]
pub enum Event<'a> {
    /// The request headers arrived. Their names are in lower case and include pseudo-headers.
    RequestHeaders(Headers<'a>),
    /// A piece of the request body, or the request trailers, arrived.
    RequestRest,
    /// The host could not make the edits.
    EditsFailed,
    /// The wait may be over.
    Woken,
    /// The response headers arrived.
    ResponseHeaders {
        /// The response.
        response: &'a dyn Response,
        /// Whether the response ends here, without body and trailers.
        last: bool,
    },
    /// A piece of the response body arrived.
    ResponseBody {
        /// The response.
        response: &'a dyn Response,
        /// Whether the response ends here.
        last: bool,
    },
    /// The response trailers arrived.
    ResponseTrailers(&'a dyn Response),
    /// Envoy has deleted the stream: no event follows.
    Gone,
}

/// The action that the host performs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make these edits, and let the message of the event continue; after [`Event::Woken`], the
    /// request that was held.
    Continue(Edits),
    /// Hold the request; after [`Event::Woken`], keep holding it.
    Hold,
    /// Send this local reply.
    Reply(Refusal),
    /// Replace the piece of the body with these bytes, and let it continue.
    ReplaceBody(Vec<u8>),
}

#[derive(Debug)]
enum State {
    /// No event has arrived yet.
    Arrived,
    /// The request is admitted, and is held until there are credentials.
    Waiting(Box<Waiting>),
    /// The request was forwarded.
    Sent(Sent),
    /// The request got a local reply.
    Refused,
    /// The request was checked and forwarded unsigned. Its response is not looked at.
    Passed,
    /// OSS has responded, and the response needs more work.
    Answered(Box<Answered>),
    /// Nothing is left to do.
    Over,
}

#[derive(Debug)]
struct Sent {
    route: Rc<Route>,
    /// The generation of the credentials. `None` means that we did not sign the request, so
    /// that an error says nothing about our credentials.
    generation: Option<u64>,
    /// Whether the client asked for the `content-disposition` of the response.
    disposition_is_own: bool,
}

#[derive(Debug)]
struct Waiting {
    route: Rc<Route>,
    outgoing: Outgoing,
    wait: Wait,
}

/// The next state of the exchange, and the host's action.
type Next = (State, Action);

impl<H: Clone + PartialEq> Exchange<H> {
    /// An attempt of which no event has arrived yet.
    pub fn new(handle: H) -> Exchange<H> {
        let state = State::Arrived;
        Exchange { state, handle }
    }

    /// Whether the pieces of the response body are needed.
    pub fn wants_body(&self) -> bool {
        matches!(self.state, State::Answered(_))
    }

    /// Whether [`Event::Gone`] has an effect: the request waits, or an error is not fully
    /// reported. Otherwise the host need not send it.
    pub fn needs_gone(&self) -> bool {
        matches!(self.state, State::Waiting(_) | State::Answered(_))
    }

    /// Handles an event and returns the host's next action.
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
            (State::Sent(_) | State::Passed, Event::EditsFailed) => {
                refuse(Reason::InternalError, worker)
            }
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
                // The body did not arrive completely: Envoy retries, or a peer has closed the
                // connection.
                answered.diagnose(worker);
                (State::Over, go_on())
            }
            // A piece of the body, or its end, must not release a request that is not signed
            // yet.
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
