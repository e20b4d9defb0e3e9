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
//! What is only checked here, and leaves unsigned, is Passed: of it nothing more matters.
//! Envoy's retry is an exchange of its own. No response stands still: what its headers
//! say of the credentials is acted on at once, and its body only explains, as it passes.

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
    /// It has been checked and has left, and nobody looks at its answer.
    Passed,
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

    /// Whether [`Event::Gone`] means anything: somebody waits, or not all is told of an error.
    /// Without that it need not come.
    pub fn minds_its_end(&self) -> bool {
        matches!(self.state, State::Waiting(_) | State::Answered(_))
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
