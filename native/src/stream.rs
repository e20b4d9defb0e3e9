//! One attempt at one request, and the one place where the core's actions are carried out.

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
    /// The number of the last stream of this thread.
    static LAST: Cell<Handle> = const { Cell::new(0) };
    /// The ends of the signatures with which streams of this thread may leave: they are signed
    /// and not answered.
    static LEAVING: RefCell<Slab<End>> = const { RefCell::new(Slab::new()) };
    /// Those of this thread that wait.
    static WAITING: RefCell<BTreeMap<Handle, Rc<Stream>>> = const { RefCell::new(BTreeMap::new()) };
}

/// What becomes of what a hook has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Continue,
    /// It is held.
    Hold,
    /// It ends here: the request has been answered.
    Answered,
}

/// Its hooks may be called from within one another: a local reply passes the response's, and
/// may be the end. So nothing of it is borrowed while Envoy is called.
pub struct Stream {
    number: Handle,
    /// Envoy's side of it, until it is destroyed.
    filter: Cell<Option<Filter>>,
    instance: Instance,
    exchange: RefCell<Exchange<Handle>>,
    /// The signature to take off again.
    signed: RefCell<Option<Signature>>,
    /// Its key in [`LEAVING`].
    leaving: Cell<Option<usize>>,
    wants_body: Cell<bool>,
}

/// A signature on a request.
struct Signature {
    headers: SignedHeaders,
    /// How many attempts had begun by then; `None` if Envoy does not tell.
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

    /// Headers have come.
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

    /// A piece of the request's body, or its trailers.
    pub fn on_request_rest(self: &Rc<Stream>) -> Verdict {
        self.on(Event::RequestRest, Part::Request)
    }

    /// Headers of the response have come: they pass, whatever happens.
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

    /// A piece of the response's body.
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

    /// Trailers of the response.
    pub fn on_response_trailers(self: &Rc<Stream>) {
        let Some(filter) = self.filter.get() else {
            return;
        };
        let part = Part::ResponseTrailers;
        self.on(Event::ResponseTrailers(&Passing { filter, part }), part);
    }

    /// Its access log is written next.
    pub fn on_complete(self: &Rc<Stream>) {
        self.take_signature_off();
    }

    /// Its waker has called it: it looks after all of its thread that wait.
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

    /// What it has waited for may be there.
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

    /// The module is at fault: the request does not leave.
    pub fn on_fault(&self) -> Verdict {
        if let Some(filter) = self.filter.get() {
            reply(filter, &Refusal::from(Reason::InternalError));
        }
        Verdict::Answered
    }

    /// Envoy has done with it.
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

    /// `None` as of [`Instance::decide`], or if Envoy has done with the stream.
    fn decide(&self, event: Event) -> Option<Action> {
        self.instance
            .decide(self.filter.get()?, &self.exchange, event)
    }

    /// Carries out what [`Stream::decide`] has said of an event that brought `part`.
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
        // A request that could be neither edited nor answered does not leave.
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

    /// Makes all edits that can be made; the error is the first.
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
            // Where an earlier attempt may still leave, the signature stays on.
            let is_alone = !self.leaves_with(&signed, &before);
            let signature = Signature {
                headers: signed,
                attempt,
            };
            self.signed.replace(is_alone.then_some(signature));
        }
        result
    }

    /// Notes that this stream may leave with this signature from now on. Whether others may,
    /// which have left theirs on the request (`before`): they share its headers.
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

    /// The request has left, and its answer is here or never will be: what Envoy makes of the
    /// request from now on, as a redirect or a line of its access log, is not to have the
    /// signature. On a cluster Envoy 1.40 gives a filter no occasion for it when nobody answers.
    ///
    /// All attempts share the request's headers. Where one does not wait for the answer to
    /// another (hedging), it may be about to leave with the signature that is on them; so what
    /// other attempts bear stays on.
    fn take_signature_off(&self) {
        self.leaves_no_longer();
        let signed = self.signed.borrow_mut().take();
        let (Some(filter), Some(Signature { headers, attempt })) = (self.filter.get(), signed)
        else {
            return;
        };
        // Among a listener's filters Envoy has not begun with it, and counts later.
        let is_attempt = attempt.is_some_and(|attempt| attempt > 0);
        if is_attempt && attempts(filter) != attempt {
            return;
        }
        for (name, _) in headers.iter() {
            let _ = filter.remove_header(Part::Request, name.as_bytes());
        }
    }
}

/// As much of a signature as tells it from others. None of ours is shorter.
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
