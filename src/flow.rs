//! A request's life, from top to bottom:
//!
//! ```text
//!            admitted, credentials at hand
//!  Arrived ───────────────────────────────────► Sent
//!   │   │                                        ▲
//!   │   │ admitted, none at hand                 │ they came
//!   │   └──────────────────────► Waiting ────────┘
//!   │ not admitted                │    │
//!   ▼                 none in time│    │ client gone
//!  Over ◄─────────────────────────┴────┘
//! ```
//!
//! A request comes here once for every attempt: Envoy's retry is a new one.

use std::rc::Rc;

use crate::config::Route;
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
    Sent,
    /// It was answered here, or its client went away.
    Over,
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
    /// Credentials came. `now` as above.
    Credentials {
        signer: &'a mut Signer,
        now: u64,
    },
    /// None came in time, or too many wait already.
    NoCredentials(Refusal),
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
    /// A late or repeated event: the request is no longer ours.
    Nothing,
}

impl Flow {
    pub fn on(&mut self, event: Event) -> Step {
        let (next, step) = match (std::mem::replace(self, Flow::Over), event) {
            (Flow::Arrived, Event::Refused(refusal)) => (Flow::Over, Step::Reply(refusal)),
            (
                Flow::Arrived,
                Event::Admitted {
                    route,
                    outgoing,
                    signer: Some(signer),
                    now,
                },
            ) => (Flow::Sent, Step::Send(outgoing.sign(&route, signer, now))),
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
                (Flow::Sent, Step::Send(outgoing.sign(&route, signer, now)))
            }
            (Flow::Waiting { .. }, Event::NoCredentials(refusal)) => {
                (Flow::Over, Step::Reply(refusal))
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
            Flow::Arrived | Flow::Sent | Flow::Over => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::{Credentials, Secret};
    use crate::request::{Incoming, admit};
    use crate::signing::Version;

    fn route() -> Rc<Route> {
        Rc::new(Route {
            bucket: "bucket".into(),
            region: "cn-hangzhou".into(),
            signature_version: Version::V4,
            credentials: 3,
        })
    }

    fn signer() -> Signer {
        Signer::new(Credentials {
            access_key_id: "id".into(),
            access_key_secret: Secret::new("secret"),
            security_token: None,
            expires_at: None,
        })
    }

    fn refusal() -> Refusal {
        Refusal::new(503, "reason", "message")
    }

    fn admitted<'a>(signer: Option<&'a mut Signer>) -> Event<'a> {
        let headers: &[(&[u8], &[u8])] = &[(b":method", b"GET"), (b":path", b"/a")];
        Event::Admitted {
            route: route(),
            outgoing: admit(Some(&route()), Incoming { headers }).unwrap(),
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
        assert!(matches!(step, Step::Send(changes) if changes.set[0].0 == "authorization"));
        assert!(matches!(flow, Flow::Sent));
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
        assert!(matches!(flow, Flow::Sent));
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
}
