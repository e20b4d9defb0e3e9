//! The policy of a route: which client requests are sent to OSS and in which form, or why they
//! are refused; and what a client sees of the response.

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

/// A client's request, as the host provides it.
#[derive(Clone, Copy)]
#[expect(
    missing_debug_implementations,
    reason = "it has headers of the client, which nobody is to see"
)]
pub struct Incoming<'a> {
    /// The headers: names in lower case, including pseudo-headers (`:method`, `:path`).
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// The time, in seconds since 1970.
    pub now: u64,
    /// Whether some requests must pass checks that others need not pass: see
    /// [`Config::checks_access`](crate::config::Config::checks_access).
    pub guards: bool,
}

/// Asks for the place where the filter meets the request. It is called only if that makes a
/// difference, because it costs a call to the host. A request that is sent unchanged does not
/// depend on it.
pub type AskPlace<'a> = &'a dyn Fn() -> Place;

impl<'a> Incoming<'a> {
    /// The first value of a header; empty if there is none.
    pub fn header(&self, name: &[u8]) -> &'a [u8] {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| *known == name);
        found.map_or(&b""[..], |(_, value)| *value)
    }
}

/// The decision about a request that is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The request must be signed.
    Signed(Outgoing),
    /// The request has a signature of its own, which OSS will verify.
    Presigned {
        /// The edits to make before it is sent.
        edits: Edits,
        /// The note for later attempts: see [`Entered::note`].
        note: Option<Vec<u8>>,
    },
}

/// A request that is sent once it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    method: Method,
    target: Target,
    /// The new `:path`, if the client's is not canonical.
    path: Option<Vec<u8>>,
    host: Host,
    /// The note for later attempts: see [`Entered::note`].
    pub note: Option<Vec<u8>>,
    /// The key that signed the client's URL.
    pub key: Option<Key>,
    headers: Split,
}

/// How a request's `Host` becomes the one of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    /// The host is already right.
    Same,
    /// The filter sets the host.
    Set,
    /// The route sets the host after the filter. The signature covers it, so OSS refuses the
    /// request if it arrives with another host.
    Signed,
}

/// A request for which the decision is being made.
struct Asked<'a> {
    route: &'a Route,
    incoming: Incoming<'a>,
    ask_place: AskPlace<'a>,
    method: Method,
    entered: &'a Entered<'a>,
    /// The client's path and query, after the checks.
    target: Target,
    /// Whether the query has a parameter of a signed URL.
    signs_itself: bool,
}

/// Decides whether a request may be sent, and in which form.
pub fn admit(route: &Route, incoming: Incoming, ask_place: AskPlace) -> Result<Admission, Reason> {
    let host_now = incoming.header(b":authority");
    let method = allowed_method(route, incoming.header(b":method"))?;
    // Without the note of an earlier attempt, a mapped path would be mapped again.
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
    /// Admits a request that the filter will sign. `host_now` is the current host, which an
    /// earlier attempt may have set.
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
            // The request is sent as the client spelled it, except for the rewrites of the
            // route.
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

    /// Admits a client's signed URL. Any change to its path or query would break the signature.
    /// Two signatures are never sent, and the settings apply here as well.
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

/// Whether two texts are equal, compared in steps of eight bytes. Slices are compared by WASI's
/// C library, which goes byte by byte, and these are the longest texts of every request.
fn are_same(some: &[u8], others: &[u8]) -> bool {
    let ((words, rest), (other_words, other_rest)) = (some.as_chunks(), others.as_chunks());
    let mut pairs = words.iter().zip(other_words);
    some.len() == others.len()
        && pairs.all(|(one, other)| u64::from_ne_bytes(*one) == u64::from_ne_bytes(*other))
        && rest == other_rest
}

impl Outgoing {
    /// Whether the client asked for a `content-disposition` of its own in the response.
    pub fn asks_for_disposition(&self) -> bool {
        let mut parameters = self.target.parameters().iter();
        parameters.any(|parameter| parameter.name == b"response-content-disposition")
    }

    /// Signs the request at `now`, in seconds since 1970, and returns the edits of its headers.
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
