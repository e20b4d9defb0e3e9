//! A request's life, from top to bottom:
//!
//! ```text
//!            admitted, credentials at hand
//!  Arrived ───────────────────────────────────► Sent ───► Reading
//!   │   │                                        ▲ │  error    │
//!   │   │ admitted, none at hand                 │ │           │
//!   │   └──────────────────────► Waiting ────────┘ │           │
//!   │ refused, or passed unsigned │    │  they came│           │
//!   ▼                none in time │    │ client    ▼           ▼
//!  Over ◄─────────────────────────┴────┴─gone──────┴───────────┘
//! ```
//!
//! A request comes here once for every attempt: Envoy's retry is a new one.

use std::rc::Rc;

use crate::config::Route;
use crate::diagnosis::{Answer, Cause, diagnose, is_error};
use crate::request::{Changes, Outgoing, Refusal};
use crate::signing::Signer;

#[derive(Debug)]
pub enum Flow {
    /// Its headers have come; nothing is decided.
    Arrived,
    /// It may leave, and stands still until there are credentials.
    Waiting {
        route: Rc<Route>,
        outgoing: Outgoing,
    },
    /// It left with a signature.
    Sent(Sent),
    /// OSS answered with an error whose body tells more.
    Reading {
        sent: Sent,
        status: u16,
        ec: Vec<u8>,
    },
    /// It was answered here, or its client went away.
    Over,
}

/// How a request was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub route: Rc<Route>,
    /// Of the credentials.
    pub generation: u64,
}

#[derive(Debug)]
pub enum Event<'a> {
    /// It was judged; `signer` is what signs it now, if there is anything.
    Admitted {
        route: Rc<Route>,
        outgoing: Outgoing,
        signer: Option<&'a mut Signer>,
        /// Seconds since 1970.
        now: u64,
    },
    Refused(Refusal),
    /// It may leave without a signature of ours.
    Passed(Changes),
    /// Credentials came. `now` as above.
    Credentials {
        signer: &'a mut Signer,
        now: u64,
    },
    /// None came in time, or too many wait already.
    NoCredentials(Refusal),
    /// OSS answered with these headers.
    Answered {
        status: u16,
        ec: Vec<u8>,
        has_body: bool,
    },
    /// The body of an error: as much as there is, or as is read.
    Body(&'a [u8]),
    /// Its client went away.
    Gone,
}

/// What the host does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Change the headers and let it go on, or go on again.
    Send(Changes),
    /// Hold it.
    Wait,
    Reply(Refusal),
    /// Find the body of OSS's error.
    Read,
    /// Tell the operator, and drop the credentials if they are condemned.
    Diagnosed {
        sent: Sent,
        cause: Cause,
    },
    /// A late or repeated event: the request is no longer ours.
    Nothing,
}

impl Flow {
    pub fn on(&mut self, event: Event) -> Step {
        let (next, step) = match (std::mem::replace(self, Flow::Over), event) {
            (Flow::Arrived, Event::Refused(refusal)) => (Flow::Over, Step::Reply(refusal)),
            (Flow::Arrived, Event::Passed(changes)) => (Flow::Over, Step::Send(changes)),
            (
                Flow::Arrived,
                Event::Admitted {
                    route,
                    outgoing,
                    signer: Some(signer),
                    now,
                },
            ) => send(route, outgoing, signer, now),
            (
                Flow::Arrived,
                Event::Admitted {
                    route,
                    outgoing,
                    signer: None,
                    ..
                },
            ) => (Flow::Waiting { route, outgoing }, Step::Wait),

            (Flow::Waiting { route, outgoing }, Event::Credentials { signer, now }) => {
                send(route, outgoing, signer, now)
            }
            (Flow::Waiting { .. }, Event::NoCredentials(refusal)) => {
                (Flow::Over, Step::Reply(refusal))
            }

            (
                Flow::Sent(sent),
                Event::Answered {
                    status,
                    ec,
                    has_body,
                },
            ) => {
                // Of other errors the headers tell enough.
                if has_body && matches!(status, 400 | 403) {
                    (Flow::Reading { sent, status, ec }, Step::Read)
                } else if is_error(status) {
                    diagnosed(sent, status, &ec, b"")
                } else {
                    (Flow::Over, Step::Nothing)
                }
            }
            (Flow::Reading { sent, status, ec }, Event::Body(body)) => {
                diagnosed(sent, status, &ec, body)
            }

            (_, Event::Gone) => (Flow::Over, Step::Nothing),
            (state, _) => (state, Step::Nothing),
        };
        *self = next;
        step
    }

    /// The index of the credentials that it waits for.
    pub fn waits_for(&self) -> Option<usize> {
        match self {
            Flow::Waiting { route, .. } => Some(route.credentials),
            Flow::Arrived | Flow::Sent(_) | Flow::Reading { .. } | Flow::Over => None,
        }
    }
}

fn send(route: Rc<Route>, outgoing: Outgoing, signer: &mut Signer, now: u64) -> (Flow, Step) {
    let changes = outgoing.sign(&route, signer, now);
    let generation = signer.generation();
    (Flow::Sent(Sent { route, generation }), Step::Send(changes))
}

fn diagnosed(sent: Sent, status: u16, ec: &[u8], body: &[u8]) -> (Flow, Step) {
    let cause = diagnose(&Answer { status, ec, body });
    (Flow::Over, Step::Diagnosed { sent, cause })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::{Credentials, Secret};
    use crate::request::{Admission, Incoming, admit};
    use crate::signing::Version;

    fn route() -> Rc<Route> {
        Rc::new(Route {
            credentials: 3,
            ..Route::new("bucket", "cn-hangzhou", Version::V4)
        })
    }

    fn signer() -> Signer {
        Signer::new(
            Credentials {
                access_key_id: "id".into(),
                access_key_secret: Secret::new("secret"),
                security_token: None,
                expires_at: None,
            },
            7,
        )
    }

    fn refusal() -> Refusal {
        Refusal::new(503, "reason", "message")
    }

    fn admitted<'a>(signer: Option<&'a mut Signer>) -> Event<'a> {
        let headers: &[(&[u8], &[u8])] = &[(b":method", b"GET"), (b":path", b"/a")];
        Event::Admitted {
            route: route(),
            outgoing: match admit(
                Some(&route()),
                Incoming {
                    headers,
                    earlier: b"",
                },
            ) {
                Ok(Admission::Signed(outgoing)) => outgoing,
                other => panic!("{other:?}"),
            },
            signer,
            now: 0,
        }
    }

    fn waiting() -> Flow {
        let mut flow = Flow::Arrived;
        assert_eq!(flow.on(admitted(None)), Step::Wait);
        flow
    }

    #[test]
    fn with_credentials_at_hand_it_is_sent_at_once() {
        let mut flow = Flow::Arrived;
        let step = flow.on(admitted(Some(&mut signer())));
        assert!(
            matches!(step, Step::Send(changes) if changes.add.as_ref().and_then(|add| add.iter().next()).is_some_and(|first| first.0 == "authorization"))
        );
        assert!(matches!(flow, Flow::Sent(_)));
    }

    #[test]
    fn without_credentials_it_waits_for_those_of_its_route() {
        assert_eq!(waiting().waits_for(), Some(3));
    }

    #[test]
    fn what_is_refused_is_answered_and_over() {
        let mut flow = Flow::Arrived;
        assert_eq!(flow.on(Event::Refused(refusal())), Step::Reply(refusal()));
        assert!(matches!(flow, Flow::Over));
    }

    #[test]
    fn credentials_that_come_send_a_waiting_request() {
        let mut flow = waiting();
        let signer = &mut signer();
        assert!(matches!(
            flow.on(Event::Credentials { signer, now: 0 }),
            Step::Send(_)
        ));
        assert_eq!(flow.waits_for(), None);
    }

    #[test]
    fn a_late_answer_is_not_signed_twice() {
        let mut flow = waiting();
        let signer = &mut signer();
        flow.on(Event::Credentials { signer, now: 0 });
        assert_eq!(
            flow.on(Event::Credentials { signer, now: 0 }),
            Step::Nothing
        );
        assert_eq!(flow.on(Event::NoCredentials(refusal())), Step::Nothing);
        assert!(matches!(flow, Flow::Sent(_)));
    }

    #[test]
    fn a_request_that_waited_too_long_is_answered_once() {
        let mut flow = waiting();
        assert_eq!(
            flow.on(Event::NoCredentials(refusal())),
            Step::Reply(refusal())
        );
        assert_eq!(flow.on(Event::NoCredentials(refusal())), Step::Nothing);
        let signer = &mut signer();
        assert_eq!(
            flow.on(Event::Credentials { signer, now: 0 }),
            Step::Nothing
        );
    }

    #[test]
    fn nothing_is_sent_for_a_client_that_went_away() {
        let mut flow = waiting();
        assert_eq!(flow.on(Event::Gone), Step::Nothing);
        let signer = &mut signer();
        assert_eq!(
            flow.on(Event::Credentials { signer, now: 0 }),
            Step::Nothing
        );
    }

    fn sent() -> Flow {
        let mut flow = Flow::Arrived;
        flow.on(admitted(Some(&mut signer())));
        flow
    }

    fn answered(status: u16, ec: &str, has_body: bool) -> Event<'static> {
        let ec = ec.as_bytes().to_vec();
        Event::Answered {
            status,
            ec,
            has_body,
        }
    }

    fn diagnosis(cause: Cause) -> Step {
        let sent = Sent {
            route: route(),
            generation: 7,
        };
        Step::Diagnosed { sent, cause }
    }

    #[test]
    fn a_good_answer_ends_it() {
        for status in [200, 206, 304, 302, 500, 503] {
            let mut flow = sent();
            assert_eq!(flow.on(answered(status, "", true)), Step::Nothing);
            assert!(matches!(flow, Flow::Over));
        }
    }

    #[test]
    fn the_body_of_an_error_is_read_before_it_is_judged() {
        let mut flow = sent();
        assert_eq!(flow.on(answered(403, "0003-00000001", true)), Step::Read);
        let body = b"<Error><Code>SecurityTokenExpired</Code></Error>";
        assert_eq!(flow.on(Event::Body(body)), diagnosis(Cause::TokenExpired));
        assert_eq!(flow.on(Event::Body(body)), Step::Nothing, "judged once");
    }

    #[test]
    fn without_a_body_the_hint_must_do() {
        assert_eq!(
            sent().on(answered(403, "0002-00000007", false)),
            diagnosis(Cause::TokenExpired)
        );
        assert_eq!(
            sent().on(answered(404, "", true)),
            diagnosis(Cause::NoSuchKey)
        );
    }

    #[test]
    fn an_answer_to_what_was_not_sent_says_nothing() {
        for mut flow in [Flow::Arrived, waiting(), Flow::Over] {
            assert_eq!(
                flow.on(answered(403, "0002-00000007", false)),
                Step::Nothing
            );
        }
    }
}
