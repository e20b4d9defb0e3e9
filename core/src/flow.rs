//! A request's life, from top to bottom:
//!
//! ```text
//!            admitted, credentials at hand         error
//!  Arrived ───────────────────────────────► Sent ───────► Failed
//!   │   │                                    ▲ │             │
//!   │   │ admitted; none at hand, or these   │ │ good        │ its body has
//!   │   │ were refused in the attempt before │ │ answer      │ passed, or
//!   │   └──────────────────► Waiting ────────┘ │             │ never will
//!   │ refused                 │    │ they came,│             │
//!   │                    none │    │ or time   │             │
//!   ▼                 in time │    │ is up     ▼             ▼
//!  Over ◄─────────────────────┴────┴───────────┴─────────────┘
//! ```
//!
//! What passes unsigned is `Passed` until it is answered, and then `Over`. A request
//! comes here once for every attempt: Envoy's retry is a new one. No
//! response stands still: what its headers say of the credentials is acted on at
//! once, and its body only explains, as it passes.

use std::rc::Rc;

use crate::config::Route;
use crate::diagnosis::{Answer, Cause, MAX_BODY, Verdict, diagnose, header_xml, is_error, judge};
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
        /// The generation that its attempt before was refused with: newer
        /// credentials are better, these are good enough.
        newer_than: Option<u64>,
    },
    /// It left with a signature.
    Sent(Sent),
    /// It left without a signature of ours: only what clients see of the answer is
    /// our matter.
    Passed(Rc<Route>),
    /// OSS answered with an error, whose body may tell more as it passes.
    Failed(Failure),
    /// It was answered, here or by OSS, or its client went away.
    Over,
}

/// How a request was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub route: Rc<Route>,
    /// Of the credentials.
    pub generation: u64,
}

/// An error of OSS: what is known of it so far.
#[derive(Debug)]
pub struct Failure {
    sent: Sent,
    status: u16,
    ec: Vec<u8>,
    xml: Vec<u8>,
}

#[derive(Debug)]
pub enum Event<'a> {
    /// It was judged; `signer` is what signs it now, if there is anything.
    Admitted {
        route: Rc<Route>,
        outgoing: Outgoing,
        signer: Option<&'a mut Signer>,
        /// Newer credentials than those of `signer` may come soon, and the attempt
        /// before was refused with these.
        awaits_newer: bool,
        /// Seconds since 1970.
        now: u64,
    },
    Refused(Refusal),
    /// It may leave without a signature of ours.
    Passed {
        route: Rc<Route>,
        changes: Changes,
    },
    /// Credentials came, or older ones must do. `now` as above.
    Credentials {
        signer: &'a mut Signer,
        now: u64,
    },
    /// None came in time, or too many wait already.
    NoCredentials(Refusal),
    /// OSS answered with these headers.
    Answered {
        status: u16,
        /// `x-oss-ec`
        ec: Vec<u8>,
        /// `x-oss-err`, which an answer to HEAD has in place of a body.
        err: Vec<u8>,
    },
    /// The next piece of the body of an error.
    Body(&'a [u8]),
    /// The response is complete, or no more of it will come.
    Ended,
}

/// What the host does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Change the headers and let it go on, or go on again.
    Send(Changes),
    /// Hold it.
    Wait,
    Reply(Refusal),
    /// Do to the credentials what the verdict takes. `cause` is what the headers
    /// alone say.
    Judged {
        sent: Sent,
        verdict: Verdict,
        cause: Cause,
    },
    /// Tell the operator.
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
            (Flow::Arrived, Event::Passed { route, changes }) => {
                (Flow::Passed(route), Step::Send(changes))
            }
            (
                Flow::Arrived,
                Event::Admitted {
                    route,
                    outgoing,
                    signer,
                    awaits_newer,
                    now,
                },
            ) => match signer {
                Some(signer) if !awaits_newer => send(route, outgoing, signer, now),
                signer => {
                    let waiting = Flow::Waiting {
                        route,
                        outgoing,
                        newer_than: signer.map(|signer| signer.generation()),
                    };
                    (waiting, Step::Wait)
                }
            },

            (
                Flow::Waiting {
                    route, outgoing, ..
                },
                Event::Credentials { signer, now },
            ) => send(route, outgoing, signer, now),
            (Flow::Waiting { .. }, Event::NoCredentials(refusal)) => {
                (Flow::Over, Step::Reply(refusal))
            }

            (Flow::Sent(sent), Event::Answered { status, ec, err }) if is_error(status) => {
                let failure = Failure {
                    sent,
                    status,
                    ec,
                    xml: header_xml(&err),
                };
                let step = Step::Judged {
                    sent: failure.sent.clone(),
                    verdict: judge(&failure.answer()),
                    cause: diagnose(&failure.answer()),
                };
                (Flow::Failed(failure), step)
            }
            (Flow::Sent(_) | Flow::Passed(_), Event::Answered { .. }) => {
                (Flow::Over, Step::Nothing)
            }
            (Flow::Failed(mut failure), Event::Body(piece)) => {
                let room = MAX_BODY.saturating_sub(failure.xml.len());
                let piece = piece.get(..room).unwrap_or(piece);
                failure.xml.extend_from_slice(piece);
                (Flow::Failed(failure), Step::Nothing)
            }
            (Flow::Failed(failure), Event::Ended) => {
                let cause = diagnose(&failure.answer());
                let sent = failure.sent;
                (Flow::Over, Step::Diagnosed { sent, cause })
            }

            (_, Event::Ended) => (Flow::Over, Step::Nothing),
            (state, _) => (state, Step::Nothing),
        };
        *self = next;
        step
    }

    /// The index of the credentials that it waits for, and the generation that
    /// they are to be newer than.
    pub fn waits_for(&self) -> Option<(usize, Option<u64>)> {
        match self {
            Flow::Waiting {
                route, newer_than, ..
            } => Some((route.credentials, *newer_than)),
            _ => None,
        }
    }

    /// The settings of a request that has left, until it is answered.
    pub fn route(&self) -> Option<&Rc<Route>> {
        match self {
            Flow::Sent(sent) => Some(&sent.route),
            Flow::Passed(route) => Some(route),
            _ => None,
        }
    }
}

impl Failure {
    fn answer(&self) -> Answer<'_> {
        Answer {
            status: self.status,
            ec: &self.ec,
            xml: &self.xml,
        }
    }
}

fn send(route: Rc<Route>, outgoing: Outgoing, signer: &mut Signer, now: u64) -> (Flow, Step) {
    let changes = outgoing.sign(&route, signer, now);
    let generation = signer.generation();
    (Flow::Sent(Sent { route, generation }), Step::Send(changes))
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
            awaits_newer: false,
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
        assert_eq!(waiting().waits_for(), Some((3, None)));
    }

    #[test]
    fn what_is_refused_is_answered_and_over() {
        let mut flow = Flow::Arrived;
        assert_eq!(flow.on(Event::Refused(refusal())), Step::Reply(refusal()));
        assert!(matches!(flow, Flow::Over));
    }

    #[test]
    fn what_passes_unsigned_keeps_its_settings_until_it_is_answered() {
        let mut flow = Flow::Arrived;
        let changes = Changes::default();
        let passed = Event::Passed {
            route: route(),
            changes: changes.clone(),
        };
        assert_eq!(flow.on(passed), Step::Send(changes));
        assert_eq!(flow.route(), Some(&route()));
        // It says nothing of our credentials.
        assert_eq!(flow.on(answered(403, "0002-00000007")), Step::Nothing);
        assert_eq!(flow.route(), None);
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
        assert_eq!(flow.on(Event::Ended), Step::Nothing);
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

    fn answered(status: u16, ec: &str) -> Event<'static> {
        Event::Answered {
            status,
            ec: ec.as_bytes().to_vec(),
            err: Vec::new(),
        }
    }

    fn judged(verdict: Verdict, cause: Cause) -> Step {
        Step::Judged {
            sent: our_sent(),
            verdict,
            cause,
        }
    }

    fn diagnosed(cause: Cause) -> Step {
        Step::Diagnosed {
            sent: our_sent(),
            cause,
        }
    }

    fn our_sent() -> Sent {
        Sent {
            route: route(),
            generation: 7,
        }
    }

    #[test]
    fn what_was_refused_with_these_credentials_waits_for_newer_ones_or_takes_them() {
        let mut flow = Flow::Arrived;
        let mut signer = signer();
        let Event::Admitted {
            route,
            outgoing,
            now,
            ..
        } = admitted(None)
        else {
            unreachable!()
        };
        let step = flow.on(Event::Admitted {
            route,
            outgoing,
            signer: Some(&mut signer),
            awaits_newer: true,
            now,
        });
        assert_eq!(step, Step::Wait);
        assert_eq!(flow.waits_for(), Some((3, Some(7))));
        let signer = &mut signer;
        assert!(matches!(
            flow.on(Event::Credentials { signer, now: 0 }),
            Step::Send(_)
        ));
    }

    #[test]
    fn a_good_answer_ends_it() {
        for status in [200, 206, 304, 302, 500, 503] {
            let mut flow = sent();
            assert_eq!(flow.on(answered(status, "")), Step::Nothing);
            assert!(matches!(flow, Flow::Over));
        }
    }

    #[test]
    fn the_headers_of_an_error_are_acted_on_before_its_body_comes() {
        for (ec, verdict, cause) in [
            (
                "0002-00000007",
                Verdict::Rejected(Cause::TokenExpired),
                Cause::TokenExpired,
            ),
            ("", Verdict::Suspect, Cause::Unknown),
            ("0003-00000001", Verdict::Innocent, Cause::AccessDenied),
        ] {
            assert_eq!(sent().on(answered(403, ec)), judged(verdict, cause));
        }
    }

    #[test]
    fn a_body_explains_as_it_passes_in_whatever_pieces() {
        let body = b"<Error><Code>AccessDenied</Code><Message>forbidden by kms.</Message></Error>";
        for size in [1, 10, 1000] {
            let mut flow = sent();
            flow.on(answered(403, "0003-00000999"));
            for piece in body.chunks(size) {
                assert_eq!(flow.on(Event::Body(piece)), Step::Nothing);
            }
            assert_eq!(flow.on(Event::Ended), diagnosed(Cause::KmsForbidden));
            assert_eq!(flow.on(Event::Ended), Step::Nothing, "told once");
        }
    }

    #[test]
    fn a_body_without_end_takes_no_more_memory_than_is_read_of_it() {
        let mut flow = sent();
        flow.on(answered(403, "0003-00000001"));
        for _ in 0..100 {
            flow.on(Event::Body(&[b' '; 1000]));
        }
        let Flow::Failed(failure) = &flow else {
            panic!("{flow:?}")
        };
        assert_eq!(failure.xml.len(), MAX_BODY);
    }

    #[test]
    fn without_a_body_the_headers_must_do() {
        for (status, ec, cause) in [
            (403, "0002-00000007", Cause::TokenExpired),
            (404, "", Cause::NoSuchKey),
        ] {
            let mut flow = sent();
            flow.on(answered(status, ec));
            assert_eq!(flow.on(Event::Ended), diagnosed(cause));
        }
    }

    #[test]
    fn an_answer_to_what_was_not_sent_says_nothing() {
        for mut flow in [Flow::Arrived, waiting(), Flow::Over] {
            assert_eq!(flow.on(answered(403, "0002-00000007")), Step::Nothing);
            assert_eq!(flow.on(Event::Body(b"x")), Step::Nothing);
        }
    }
}
