//! The request half of an attempt.

use std::rc::Rc;

use super::{Action, Headers, Next, Sent, State, Waiting, refuse};
use crate::access::Access;
use crate::config::{Route, Settings, Treatment};
use crate::host::{Host, Note};
use crate::metrics::{Counter, Leaving};
use crate::policy::edits::Edits;
use crate::policy::entry::enter;
use crate::policy::reply::{Reason, Refusal};
use crate::policy::{Admission, Incoming, Outgoing, admit};
use crate::worker::Worker;

fn pass(route: Rc<Route>, edits: Edits, worker: &mut Worker<impl Host>) -> Next {
    worker.count(Counter::Requests(Leaving::Unsigned));
    let sent = Sent {
        route,
        generation: None,
        disposition_is_own: true,
    };
    (State::Sent(sent), Action::Continue(edits))
}

/// Handles the headers of a request.
pub(super) fn arrive<H: Host>(
    headers: Headers,
    handle: &H::Handle,
    worker: &mut Worker<H>,
) -> Next {
    let Some(settings) = worker.settings(headers) else {
        return refuse(Reason::InternalError, worker);
    };
    let route = match settings {
        Settings::Known(Treatment::Sign(route)) => route,
        Settings::Known(Treatment::PassUnsigned(access)) => {
            return check(access.as_deref(), headers, worker);
        }
        Settings::Known(Treatment::Deny) => return refuse(Reason::RouteDenied, worker),
        Settings::None => return refuse(Reason::RouteNotConfigured, worker),
        Settings::Wrong(_) => return refuse(Reason::RouteMisconfigured, worker),
    };
    let Some(now) = worker.host.now() else {
        return refuse(Reason::InternalError, worker);
    };
    let incoming = incoming(headers, now, worker);
    let place = || worker.place(route.needs_note());
    let outgoing = match admit(&route, incoming, &place) {
        Err(reason) => return turn_away(route.access.as_deref(), reason, worker),
        Ok(Admission::Presigned { edits, note }) => {
            return match remember(note, worker) {
                true => pass(route, edits, worker),
                false => refuse(Reason::InternalError, worker),
            };
        }
        Ok(Admission::Signed(outgoing)) => outgoing,
    };
    worker.count_key(outgoing.key);
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

/// The facts that decide about a request at `now`, in milliseconds since 1970.
fn incoming<'a>(headers: Headers<'a>, now: u64, worker: &Worker<impl Host>) -> Incoming<'a> {
    Incoming {
        headers,
        now: now / 1000,
        guards: worker.checks_access(),
    }
}

/// Leaves a note for later attempts, if there is one. The result is `false` if the host could
/// not store it: a retry would be mapped twice, or refused.
fn remember(note: Option<Vec<u8>>, worker: &mut Worker<impl Host>) -> bool {
    note.is_none_or(|note| worker.host.note(Note::Mapped, &note))
}

/// Refuses a request, and clears its note. The note may come from an earlier request that was
/// redirected here, and must not admit a retry of this one.
fn turn_away(access: Option<&Access>, reason: Reason, worker: &mut Worker<impl Host>) -> Next {
    if access.is_some() {
        worker.note(Note::Mapped, "");
    }
    refuse(Refusal::by(access, reason), worker)
}

const ORIGINAL_PATH: &[u8] = b"x-envoy-original-path";

/// Checks a request that is forwarded unsigned.
fn check(access: Option<&Access>, headers: Headers, worker: &mut Worker<impl Host>) -> Next {
    let strips = access.is_some_and(Access::strips);
    // Without checks no clock is needed.
    let now = match access {
        Some(_) => worker.host.now(),
        None => Some(0),
    };
    let Some(now) = now else {
        return refuse(Reason::InternalError, worker);
    };
    let incoming = incoming(headers, now, worker);
    let place = strips.then(|| worker.place(true));
    let entered = match enter(access, &incoming, place.as_ref()) {
        Err(reason) => return turn_away(access, reason, worker),
        Ok(entered) => entered,
    };
    let note = entered.note(&entered.passed.path, place.as_ref(), true);
    let original = note.is_some();
    if !remember(note, worker) {
        return refuse(Reason::InternalError, worker);
    }
    worker.count_key(entered.passed.key);
    worker.count(Counter::Requests(Leaving::Unsigned));
    let path = entered.path().map(|path| (":path".into(), path.into()));
    // The path in this header is the client's, with its signature: a rewrite of the route put
    // it there.
    let original = original.then(|| ORIGINAL_PATH.to_vec());
    let edits = Edits {
        remove: original.into_iter().collect(),
        set: path.into_iter().collect(),
        ..Edits::default()
    };
    (State::Passed, Action::Continue(edits))
}

fn hold<H: Host>(waiting: Box<Waiting>, handle: &H::Handle, worker: &mut Worker<H>) -> Next {
    worker.park(waiting.wait, handle.clone());
    (State::Waiting(waiting), Action::Hold)
}

/// Handles a wake-up: the wait of a request may be over.
pub(super) fn wake<H: Host>(
    waiting: Box<Waiting>,
    handle: &H::Handle,
    worker: &mut Worker<H>,
) -> Next {
    let Some(now) = worker.host.now() else {
        return refuse(Reason::InternalError, worker);
    };
    if !worker.is_over(&waiting.wait, now) {
        return hold(waiting, handle, worker);
    }
    worker.waited(&waiting.wait, now);
    send(waiting.route, waiting.outgoing, now, worker)
}

/// Signs a request, if there are credentials.
fn send(
    route: Rc<Route>,
    mut outgoing: Outgoing,
    now: u64,
    worker: &mut Worker<impl Host>,
) -> Next {
    if !remember(outgoing.note.take(), worker) {
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
