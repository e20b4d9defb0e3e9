//! What may leave for OSS: a client's request in, the request to sign out, or
//! the reason why not; and what a client sees of the answer.

pub mod edits;
pub mod entry;
mod headers;
mod parameters;
mod paths;
mod place;
pub mod redact;
pub mod reply;

use crate::access::Key;
use crate::config::Route;
use crate::config::choices::{Method, PresignedUrls};
use crate::oss::parameters::{belongs_to_signature, is_signature_parameter};
use crate::oss::signed_url;
use crate::oss::target::Target;
use crate::signing::{Request, Signer};
use crate::words::Word;
use edits::Edits;
use entry::Entered;
use headers::Split;
use parameters::Asks;
pub use place::Place;
use reply::Reason;

/// A client's request, as the host gives it.
#[derive(Clone, Copy)]
#[expect(
    missing_debug_implementations,
    reason = "it has headers of the client, which nobody is to see"
)]
pub struct Incoming<'a> {
    /// Names in lower case, pseudo-headers (`:method`, `:path`) among them.
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// The time, in seconds since 1970.
    pub now: u64,
    /// Whether some requests are checked that may pass elsewhere.
    pub guards: bool,
}

/// Where a request meets the filter. It is asked only where that makes a difference, since it
/// is a call to the host: what leaves as it has come leaves so everywhere.
pub type AskPlace<'a> = &'a dyn Fn() -> Place;

impl<'a> Incoming<'a> {
    /// The first value of a header; empty if there is none.
    pub fn header(&self, name: &[u8]) -> &'a [u8] {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| *known == name);
        found.map_or(&b""[..], |(_, value)| *value)
    }
}

/// What the settings say of a request that is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may leave once it is signed.
    Signed(Outgoing),
    /// It carries a signature of its own, which OSS will judge.
    Presigned {
        /// What to do to it before it leaves.
        edits: Edits,
        /// To be remembered for the attempts that follow: see [`Entered::note`].
        note: Option<Vec<u8>>,
    },
}

/// A request that may leave once it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    method: Method,
    target: Target,
    /// The new `:path`, where the client's is not the canonical one.
    path: Option<Vec<u8>>,
    host: Host,
    /// To be remembered for the attempts that follow: see [`Entered::note`].
    pub note: Option<Vec<u8>>,
    /// Which key has signed the client's URL.
    pub key: Option<Key>,
    headers: Split,
}

/// How a request's `Host` becomes that of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    /// It is that already.
    Same,
    /// The filter sets it.
    Set,
    /// The route sets it, behind the filter. The signature covers it, so that OSS refuses
    /// a request that leaves with another.
    Signed,
}

/// A request while it is judged.
struct Asked<'a> {
    route: &'a Route,
    incoming: Incoming<'a>,
    ask_place: AskPlace<'a>,
    method: Method,
    entered: &'a Entered<'a>,
    /// What is left of the client's path and query.
    target: Target,
    /// Whether there is a parameter of a signed URL.
    signs_itself: bool,
}

/// Decides whether a request may leave, and in which form.
pub fn admit(route: &Route, incoming: Incoming, ask_place: AskPlace) -> Result<Admission, Reason> {
    let host_now = incoming.header(b":authority");
    let method = allowed_method(route, incoming.header(b":method"))?;
    // A path that an earlier attempt has mapped would be mapped again.
    let place = route.needs_note().then(ask_place);
    let entered = entry::enter(route.access.as_deref(), &incoming, place.as_ref())?;
    let path = &*entered.passed.path;
    let target = Target::parse(path).ok_or(Reason::MalformedPath)?;
    paths::check_spelling(route, path, &target)?;
    let signs_itself = target
        .parameters()
        .iter()
        .any(|parameter| is_signature_parameter(&parameter.name));
    let asked = Asked {
        route,
        incoming,
        ask_place,
        method,
        entered: &entered,
        target,
        signs_itself,
    };
    match (signs_itself, route.rules.presigned_urls) {
        (true, PresignedUrls::Refuse) => Err(Reason::PresignedUrl),
        (true, PresignedUrls::Pass | PresignedUrls::Require) => {
            asked.pass(place.as_ref(), host_now)
        }
        (false, PresignedUrls::Require) => Err(Reason::PresignedUrlRequired),
        (true, PresignedUrls::Strip) | (false, _) => asked.sign(place.as_ref(), host_now),
    }
}

fn allowed_method(route: &Route, method: &[u8]) -> Result<Method, Reason> {
    let mut allowed = route.rules.methods.0.iter();
    let known = allowed.find(|known| known.word().as_bytes() == method);
    known.copied().ok_or(Reason::MethodNotAllowed)
}

impl Asked<'_> {
    /// A request that leaves with our signature. `host_now`: what is there, which may be of
    /// an earlier attempt.
    fn sign(self, place: Option<&Place>, host_now: &[u8]) -> Result<Admission, Reason> {
        let Asked {
            route,
            incoming,
            ask_place,
            method,
            entered,
            ..
        } = self;
        let headers = headers::split(route, method, &incoming)?;
        let is_bucket = paths::is_bucket(route, &self.target);
        let asks = Asks::of(route, method, &self.target, is_bucket)?;
        let index = !method.is_write() && !asks.is_operation();
        let asked_parameters = self.target.parameters().len();
        let mut target = paths::map(route, self.target, index)?;
        if target.key().is_empty() && !asks.is_operation() {
            return Err(Reason::BucketOperation);
        }
        let strips = self.signs_itself;
        target.try_retain_parameters(|parameter| match strips {
            true if belongs_to_signature(&parameter.name) => Ok(false),
            _ => asks.lets_leave(route, method, parameter),
        })?;

        let wire = paths::wire(route, &target);
        let is_host = are_same(host_now, route.host.as_bytes());
        let is_same = is_host && are_same(&wire, entered.now);
        let is_listener = || match place {
            Some(place) => *place == Place::Listener,
            None => ask_place() == Place::Listener,
        };
        let (mut path, mut host) = (None, Host::Same);
        if !is_same && is_listener() {
            // It leaves as the client has spelled it, but for what the route rewrites.
            if target.parameters().len() != asked_parameters {
                return Err(match self.signs_itself {
                    true => Reason::PresignedUrl,
                    false => Reason::ParameterNotAllowed,
                });
            }
            place::check_unambiguous(&entered.passed.path)?;
            path = entered.path();
            host = if is_host { Host::Same } else { Host::Signed };
        } else if !is_same {
            path = (*wire != *entered.now).then(|| wire.to_vec());
            host = if is_host { Host::Same } else { Host::Set };
        }
        let note = entered.note(&wire, place, route.access.is_some());
        Ok(Admission::Signed(Outgoing {
            method,
            target,
            path,
            host,
            note,
            key: entered.passed.key,
            headers,
        }))
    }

    /// A client's signed URL. Any change to its path or query would break it. Not even
    /// here do two signatures leave, or what is not allowed.
    fn pass(self, place: Option<&Place>, host_now: &[u8]) -> Result<Admission, Reason> {
        let Asked {
            route,
            method,
            entered,
            ..
        } = self;
        if !signed_url::is_whole(self.target.parameters()) {
            return Err(Reason::PresignedUrl);
        }
        let target = paths::as_it_stands(route, &self.target).ok_or(Reason::OutsidePrefix)?;
        let asks = Asks::of(route, method, &target, target.key().is_empty())?;
        if target.key().is_empty() && !asks.is_operation() {
            return Err(Reason::BucketOperation);
        }
        let mut parameters = target.parameters().iter();
        if !parameters.all(|parameter| asks.is_in_signed_url(route, method, parameter)) {
            return Err(Reason::ParameterNotAllowed);
        }
        let sets_host = host_now != route.host.as_bytes() && (self.ask_place)() != Place::Listener;
        let host = || (":authority".into(), route.host.clone().into_bytes().into());
        Ok(Admission::Presigned {
            edits: Edits {
                remove: headers::unwanted(route, method, &self.incoming)?,
                set: sets_host.then(host).into_iter().collect(),
                add: None,
            },
            note: entered.note(entered.now, place, route.access.is_some()),
        })
    }
}

/// Whether all bytes are the same, eight at a time: WASI's C library, by which slices are
/// compared, takes one at a time, and these are the longest that every request has.
fn are_same(some: &[u8], others: &[u8]) -> bool {
    let ((words, rest), (other_words, other_rest)) = (some.as_chunks(), others.as_chunks());
    let mut pairs = words.iter().zip(other_words);
    some.len() == others.len()
        && pairs.all(|(one, other)| u64::from_ne_bytes(*one) == u64::from_ne_bytes(*other))
        && rest == other_rest
}

impl Outgoing {
    /// Whether the client has asked for an answer with a disposition of its own.
    pub fn asks_for_disposition(&self) -> bool {
        let mut parameters = self.target.parameters().iter();
        parameters.any(|parameter| parameter.name == b"response-content-disposition")
    }

    /// Signs the request as of `now`, in seconds since 1970: what to do to its headers.
    pub fn sign(self, route: &Route, signer: &mut Signer, now: u64) -> Edits {
        let host = route.host.as_str();
        let request = Request {
            method: self.method.word(),
            bucket: Some(&route.bucket),
            target: &self.target,
            headers: &self.headers.signed,
            host: (self.host == Host::Signed).then_some(host),
        };
        let host = (self.host == Host::Set).then(|| (":authority", host.as_bytes().to_vec()));
        let path = self.path.map(|path| (":path", path));
        let mapped = host.into_iter().chain(path);
        let mapped = mapped.map(|(name, value)| (name.into(), value.into()));
        let ours = self.headers.set.into_iter();
        Edits {
            add: Some(signer.sign(&route.scheme, &request, now)),
            set: mapped
                .chain(ours.map(|(name, value)| (name.into(), value.into())))
                .collect(),
            remove: self.headers.remove,
        }
    }
}

#[cfg(test)]
mod tests;
