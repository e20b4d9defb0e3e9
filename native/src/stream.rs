//! One attempt at a request. The core's actions are performed only here.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use oss_origin_auth_core::exchange::{Action, Event, Exchange};
use oss_origin_auth_core::oss::headers::AUTHORIZATION;
use oss_origin_auth_core::policy::edits::Edits;
use oss_origin_auth_core::policy::reply::{Reason, Refusal};
use oss_origin_auth_core::signing::SignedHeaders;
use slab::Slab;

use crate::abi::{Filter, Header, Part, Result};
use crate::envoy::{Handle, Passing, attempts};
use crate::instance::Instance;
use crate::module::Module;
use crate::{fault, ticker};

thread_local! {
    /// The number of this thread's last stream.
    static LAST: Cell<Handle> = const { Cell::new(0) };
    /// The ends of the signatures that streams of this thread may still send: the requests are
    /// signed and not yet answered.
    static LEAVING: RefCell<Slab<End>> = const { RefCell::new(Slab::new()) };
    /// The waiting streams of this thread.
    static WAITING: RefCell<BTreeMap<Handle, Rc<Stream>>> = const { RefCell::new(BTreeMap::new()) };
}

/// What happens to the message of a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The message continues.
    Continue,
    /// The message is held.
    Hold,
    /// The request got a local reply and ends here.
    Answered,
}

/// A stream. Envoy may call one of its hooks from within another: a local reply runs the
/// response hooks and may destroy the stream. So nothing of it is borrowed while Envoy is
/// called.
pub struct Stream {
    number: Handle,
    /// Envoy's filter, until it is destroyed.
    filter: Cell<Option<Filter>>,
    instance: Instance,
    exchange: RefCell<Exchange<Handle>>,
    /// The signature that must be removed later.
    signed: RefCell<Option<Signature>>,
    /// The key in [`LEAVING`].
    leaving: Cell<Option<usize>>,
    wants_body: Cell<bool>,
}

/// A signature on a request.
struct Signature {
    headers: SignedHeaders,
    /// The number of attempts when the signature was made; `None` if Envoy does not report it.
    attempt: Option<u64>,
}

/// Shows nothing of the request.
impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Stream")
    }
}

impl Stream {
    /// A stream of this configuration.
    pub fn new(module: &Arc<Module>, filter: Filter) -> Rc<Stream> {
        let number = LAST.replace(LAST.get() + 1);
        Rc::new(Stream {
            number,
            filter: Cell::new(Some(filter)),
            instance: Instance::of(module),
            exchange: RefCell::new(Exchange::new(number)),
            signed: RefCell::default(),
            leaving: Cell::new(None),
            wants_body: Cell::new(false),
        })
    }

    /// Handles request headers.
    pub fn on_request_headers(self: &Rc<Stream>) -> Verdict {
        let Some(filter) = self.filter.get() else {
            return Verdict::Answered;
        };
        let action = filter.headers(Part::Request, |headers| {
            self.decide(Event::RequestHeaders(headers))
        });
        let verdict = self.perform(action, Part::Request);
        if verdict == Verdict::Hold {
            self.wait(filter);
        }
        verdict
    }

    /// Handles a piece of the request body, or the request trailers.
    pub fn on_request_rest(self: &Rc<Stream>) -> Verdict {
        self.on(Event::RequestRest, Part::Request)
    }

    /// Handles response headers, which always continue.
    pub fn on_response_headers(self: &Rc<Stream>, last: bool) {
        let Some(filter) = self.filter.get() else {
            return;
        };
        let part = Part::Response;
        let response = &Passing { filter, part };
        self.on(Event::ResponseHeaders { response, last }, part);
        let wants_body = self.exchange.try_borrow().is_ok_and(|e| e.wants_body());
        self.wants_body.set(wants_body);
        self.take_signature_off();
    }

    /// Handles a piece of the response body.
    pub fn on_response_body(self: &Rc<Stream>, last: bool) {
        if !self.wants_body.get() {
            return;
        }
        let Some(filter) = self.filter.get() else {
            return;
        };
        let part = Part::Response;
        let response = &Passing { filter, part };
        self.on(Event::ResponseBody { response, last }, part);
    }

    /// Handles response trailers.
    pub fn on_response_trailers(self: &Rc<Stream>) {
        let Some(filter) = self.filter.get() else {
            return;
        };
        let part = Part::ResponseTrailers;
        self.on(Event::ResponseTrailers(&Passing { filter, part }), part);
    }

    /// Handles the end of the stream; Envoy writes its access log next.
    pub fn on_complete(self: &Rc<Stream>) {
        self.take_signature_off();
    }

    /// Handles a call of the stream's waker: checks all waiting streams of this thread.
    pub fn on_scheduled(self: &Rc<Stream>) {
        ticker::waiting_has_come(self.instance.id(), self.number);
        let Some(filter) = self.filter.get() else {
            return;
        };
        for number in self.instance.look(filter) {
            let waiting = WAITING.with_borrow(|waiting| waiting.get(&number).cloned());
            if let Some(stream) = waiting {
                stream.wake();
            }
        }
    }

    /// Handles a wake-up: the wait may be over.
    fn wake(&self) {
        let verdict = fault::guarded(None, || Some(self.on(Event::Woken, Part::Request)));
        let verdict =
            verdict.unwrap_or_else(|| fault::guarded(Verdict::Answered, || self.on_fault()));
        if verdict == Verdict::Hold {
            return;
        }
        self.wait_no_longer();
        if let Some(filter) = self.filter.get().filter(|_| verdict == Verdict::Continue) {
            filter.continue_request();
        }
    }

    /// Handles a panic: the request is not forwarded.
    pub fn on_fault(&self) -> Verdict {
        if let Some(filter) = self.filter.get() {
            reply(filter, &Refusal::from(Reason::InternalError));
        }
        Verdict::Answered
    }

    /// Handles the destruction of the stream.
    pub fn end(self: &Rc<Stream>) {
        self.wait_no_longer();
        self.decide(Event::Gone);
        self.leaves_no_longer();
        self.filter.set(None);
    }

    fn on(&self, event: Event, part: Part) -> Verdict {
        let action = self.decide(event);
        self.perform(action, part)
    }

    /// Asks the core for an action. `None` as in [`Instance::decide`], or if Envoy has
    /// destroyed the stream.
    fn decide(&self, event: Event) -> Option<Action> {
        self.instance
            .decide(self.filter.get()?, &self.exchange, event)
    }

    /// Performs the action that [`Stream::decide`] returned for an event with `part`.
    fn perform(&self, action: Option<Action>, part: Part) -> Verdict {
        let is_request = part == Part::Request;
        let action = action.unwrap_or_else(|| match is_request {
            true => Action::Reply(Refusal::from(Reason::InternalError)),
            false => Action::Continue(Edits::default()),
        });
        let result = match self.carry_out(action, part) {
            Err(_) if is_request => match self.decide(Event::EditsFailed) {
                Some(action) => self.carry_out(action, part),
                None => Ok(Verdict::Answered),
            },
            result => result,
        };
        // A request that could neither be edited nor answered must not be forwarded.
        result.unwrap_or(match is_request {
            true => Verdict::Answered,
            false => Verdict::Continue,
        })
    }

    fn carry_out(&self, action: Action, part: Part) -> Result<Verdict> {
        let Some(filter) = self.filter.get() else {
            return Ok(Verdict::Answered);
        };
        match action {
            Action::Continue(edits) => self.apply(edits, filter, part)?,
            Action::Hold => return Ok(Verdict::Hold),
            Action::Reply(refusal) => {
                reply(filter, &refusal);
                return Ok(Verdict::Answered);
            }
            Action::ReplaceBody(text) => filter.replace_response_body(&text)?,
        }
        Ok(Verdict::Continue)
    }

    /// Makes all edits that are possible, and returns the first error.
    fn apply(&self, edits: Edits, filter: Filter, part: Part) -> Result<()> {
        let mut result = Ok(());
        let attempt = edits.add.as_ref().and_then(|_| attempts(filter));
        let before = match attempt {
            Some(2..) => filter.header(part, AUTHORIZATION),
            _ => Vec::new(),
        };
        for name in &edits.remove {
            result = result.and(filter.remove_header(part, name));
        }
        for (name, value) in &edits.set {
            result = result.and(filter.set_header(part, name.as_bytes(), value));
        }
        if let Some(signed) = edits.add {
            for (name, value) in signed.iter() {
                result = result.and(filter.add_header(part, name.as_bytes(), value));
            }
            // If an earlier attempt may still be sent, the signature stays on.
            let is_alone = !self.leaves_with(&signed, &before);
            let signature = Signature {
                headers: signed,
                attempt,
            };
            self.signed.replace(is_alone.then_some(signature));
        }
        result
    }

    /// Records that this stream may now be sent with this signature. The result says whether
    /// other attempts may still be sent with theirs (`before`), which they have left on the
    /// request: they share its headers.
    fn leaves_with(&self, signed: &SignedHeaders, before: &[u8]) -> bool {
        let (_, signature) = signed.iter().next().unwrap_or_default();
        self.leaves_no_longer();
        LEAVING.with_borrow_mut(|leaving| {
            let mut others = false;
            if !before.is_empty() {
                let known = leaving.iter_mut().map(|(_, known)| known);
                for known in known.filter(|known| **known == end_of(before)) {
                    *known = end_of(signature);
                    others = true;
                }
            }
            self.leaving.set(Some(leaving.insert(end_of(signature))));
            others
        })
    }

    fn leaves_no_longer(&self) {
        if let Some(key) = self.leaving.take() {
            LEAVING.with_borrow_mut(|leaving| leaving.try_remove(key));
        }
    }

    fn wait(self: &Rc<Stream>, filter: Filter) {
        WAITING.with_borrow_mut(|waiting| waiting.insert(self.number, Rc::clone(self)));
        if let Some(waker) = filter.waker() {
            ticker::add_waiting(self.instance.id(), self.number, waker);
            self.instance.call_main();
        }
    }

    fn wait_no_longer(&self) {
        let waited = WAITING.with_borrow_mut(|waiting| waiting.remove(&self.number));
        if waited.is_some() {
            ticker::remove_waiting(self.instance.id(), self.number);
        }
    }

    /// Removes the signature: the request was sent, and its response has arrived or never will.
    /// Later uses of the request in Envoy, such as a redirect or an access log line, must not
    /// see the signature. On a cluster, Envoy 1.40 calls no hook for this if nobody answers.
    ///
    /// All attempts share the request's headers. With hedging an attempt does not wait for the
    /// response to another, and may be about to be sent with the signature on the headers. So
    /// signatures of other attempts stay on.
    fn take_signature_off(&self) {
        self.leaves_no_longer();
        let signed = self.signed.borrow_mut().take();
        let (Some(filter), Some(Signature { headers, attempt })) = (self.filter.get(), signed)
        else {
            return;
        };
        // Among the listener's filters Envoy has not begun an attempt yet, and counts it later.
        let is_attempt = attempt.is_some_and(|attempt| attempt > 0);
        if is_attempt && attempts(filter) != attempt {
            return;
        }
        for (name, _) in headers.iter() {
            let _ = filter.remove_header(Part::Request, name.as_bytes());
        }
    }
}

/// The last bytes of a signature, which are enough to distinguish it from others. No signature
/// is shorter.
type End = [u8; 16];

fn end_of(signature: &[u8]) -> End {
    signature.last_chunk().copied().unwrap_or_default()
}

/// Sends a local reply.
fn reply(filter: Filter, refusal: &Refusal) {
    let headers = refusal.headers();
    let headers: Vec<Header> = headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    let (body, details) = (refusal.body(), refusal.details());
    filter.reply(refusal.status(), &headers, &body, &details);
}
