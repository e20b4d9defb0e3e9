//! The response half of an attempt.

use std::borrow::Cow;
use std::rc::Rc;

use super::{Action, Next, Sent, State, go_on};
use crate::config::Route;
use crate::host::{Host, Note, Response};
use crate::oss::error::{
    Cause, ErrorResponse, MAX_BODY, Verdict, diagnose, header_xml, is_error, verdict,
};
use crate::oss::headers;
use crate::policy::edits::Edits;
use crate::policy::redact::{Body, Redaction, forced_download, needs_redaction, redact};
use crate::policy::reply::{REASON_HEADER, RETRY_HEADER};
use crate::words::Word;
use crate::worker::{OssError, Worker};

/// A response that needs more work.
#[derive(Debug)]
pub(super) struct Answered {
    /// The error to a request that we signed, until all is known about it.
    failure: Option<Failure>,
    body: Replaced,
    /// The part of the error's XML that has arrived.
    xml: Vec<u8>,
}

/// The state of a body that may be replaced.
#[derive(Debug)]
enum Replaced {
    /// The body passes unchanged.
    No,
    /// The body will be replaced with this one.
    By(Body),
    /// The body has been replaced.
    Done,
}

/// The facts known so far about an error of OSS.
#[derive(Debug)]
struct Failure {
    route: Rc<Route>,
    generation: u64,
    status: u16,
    ec: Vec<u8>,
    request_id: Vec<u8>,
    /// OSS's time, if the status is 403. Other errors do not depend on our clock.
    date: Vec<u8>,
    /// The expected expiry of the credentials, in seconds since 1970, if OSS says that they
    /// have expired.
    expires_at: Option<u64>,
}

/// The longest part of a request id that is logged. OSS's ids have 24 bytes.
const MAX_ID: usize = 64;

/// Handles the headers of a response.
pub(super) fn answer(
    sent: Sent,
    response: &dyn Response,
    last: bool,
    worker: &mut Worker<impl Host>,
) -> Next {
    let status = String::from_utf8(response.header(":status")).ok();
    let status = status.and_then(|text| text.parse().ok());
    // A response without a status does not occur: Envoy rejects it.
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
        let mut failure = Failure::new(route, generation, status, response);
        failure.act(&xml, &mut edits, worker);
        failure
    });
    let body = body.map_or(Replaced::No, Replaced::By);
    let answered = Answered { failure, body, xml };
    finish(answered.into(), last, Action::Continue(edits), worker)
}

/// The next state after the headers: more work, unless the response has ended.
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

/// Handles a piece of a body that is needed.
pub(super) fn pass_body(
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

/// Removes the trailers of a body that was replaced.
pub(super) fn pass_trailers(answered: Box<Answered>, response: &dyn Response) -> Next {
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
    /// Handles the end of the response.
    fn end(&mut self, worker: &mut Worker<impl Host>) {
        let logs = |failure: &Failure| failure.route.log_credentials.is_some();
        let logs = self.failure.as_ref().is_some_and(logs);
        if let Some(cause) = self.diagnose(worker).filter(|_| logs) {
            worker.note(Note::Cause, cause.word());
        }
    }

    /// Reports to the operator why OSS refused, from all that has arrived of the response.
    pub(super) fn diagnose(&mut self, worker: &mut Worker<impl Host>) -> Option<Cause> {
        let failure = self.failure.take()?;
        let cause = diagnose(&failure.response(&self.xml));
        failure.correct_clock(cause, worker);
        worker.on_diagnosis(&OssError {
            route: &failure.route,
            cause,
            response: failure.response(&self.xml),
            request_id: &failure.request_id,
            date: &failure.date,
            expires_at: failure.expires_at.filter(|_| cause == Cause::TokenExpired),
        });
        Some(cause)
    }
}

impl Failure {
    fn new(route: Rc<Route>, generation: u64, status: u16, response: &dyn Response) -> Failure {
        let mut request_id = response.header(headers::REQUEST_ID);
        request_id.truncate(MAX_ID);
        Failure {
            route,
            generation,
            status,
            ec: response.header(headers::EC),
            request_id,
            date: match status {
                403 => response.header(headers::DATE),
                _ => Vec::new(),
            },
            expires_at: None,
        }
    }

    /// Acts at once on the headers alone: a retry may follow before the body is complete. `xml`
    /// is the XML in a header.
    fn act(&mut self, xml: &[u8], edits: &mut Edits, worker: &mut Worker<impl Host>) {
        let verdict = verdict(&self.response(xml));
        let cause = diagnose(&self.response(xml));
        let (account, generation) = (self.route.account, self.generation);
        if cause == Cause::TokenExpired {
            self.expires_at = worker.expiry(account, generation);
        }
        if worker.on_verdict(&self.route, generation, &self.request_id, verdict) {
            worker.note(Note::Suspect, &generation.to_string());
        }
        let corrects = self.correct_clock(cause, worker);
        let mut others = || worker.has_others(account, generation);
        if corrects || (verdict != Verdict::Innocent && others()) {
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

    /// Corrects the clock after an error. The result says whether a retry may be signed with
    /// OSS's time.
    fn correct_clock(&self, cause: Cause, worker: &mut Worker<impl Host>) -> bool {
        cause == Cause::ClockSkew && worker.on_clock_skew(&self.route.host, &self.date)
    }

    fn response<'a>(&'a self, xml: &'a [u8]) -> ErrorResponse<'a> {
        ErrorResponse {
            status: self.status,
            ec: &self.ec,
            xml,
        }
    }
}
