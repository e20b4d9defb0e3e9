//! Checks of an Envoy: it must serve the same object, and refuse certain requests.

use oss_origin_auth_core::oss::error::Cause;
use oss_origin_auth_core::oss::headers;
use oss_origin_auth_core::policy::reply::{REASON_HEADER, Reason, Refusal};
use oss_origin_auth_core::words::Word;

use crate::doctor::bucket::{MAX_BODY, Response};
use crate::doctor::explained::{Explained, odd};
use crate::doctor::options::{EnvoyUrl, Options};
use crate::doctor::plan::Plan;
use crate::doctor::report::{Check, Report};
use crate::doctor::trust::trust;
use crate::doctor::wire::{Answer, Message, Trouble, Wire};

/// The paths to ask Envoy for, as clients know them.
pub struct Paths {
    /// The object.
    pub object: Vec<u8>,
    /// The beginning of all paths of the route.
    pub root: Vec<u8>,
    /// The path of a key that does not exist.
    pub nobodys: Vec<u8>,
}

/// Runs the checks of Envoy. `direct` is OSS's own answer to the same request.
pub async fn check(
    options: &Options,
    url: &EnvoyUrl,
    paths: &Paths,
    plan: &Plan,
    direct: Option<&Answer>,
    report: &mut Report,
) {
    let tls = match url.is_tls {
        false => None,
        true => match trust(options.ca.as_deref()) {
            Ok(tls) => Some(tls),
            Err(problem) => {
                report.add(Check::unknown("envoy_get", problem));
                report.skip("envoy_list", "envoy_download", "Envoy was not asked");
                return;
            }
        },
    };
    let wire = Wire::new(&url.host, url.port, &url.host, tls, options.patience());
    let envoy = Envoy { wire, url };
    let got = envoy.ask("GET", &paths.object, "").await;
    if let Response::None(trouble) = &got {
        let fix = match trouble {
            Trouble::WantsCertificate => {
                "the doctor has no certificate to show: ask a listener of Envoy that wants none"
            }
            Trouble::Certificate(_) | Trouble::NoTls => {
                "give --envoy the scheme and the name that the listener has; --ca trusts its \
                 certificate"
            }
            _ => "see that Envoy runs, and that its listener has this address",
        };
        report.add(Check::failed("envoy_get", trouble.to_string(), fix));
        report.skip("envoy_list", "envoy_download", "Envoy does not answer");
        return;
    }
    report.add(match direct {
        Some(direct) => compare(&got, direct),
        None => alone(&got),
    });
    let operations = &plan.route.rules.operations;
    let lets = |operation: &str| operations.iter().any(|known| known == operation);
    let list = envoy.ask("GET", &paths.root, "").await;
    let list2 = envoy
        .ask("GET", &paths.root, "list-type=2&max-keys=1")
        .await;
    // An Envoy that serves nothing refuses everything; that shows nothing about the filter.
    let is_served = got.with_status(&[200]).is_some();
    let worst = [&list, &list2].map(|response| {
        let leaked = b"<ListBucketResult";
        refused("envoy_list", response, leaked, lets("list"), is_served)
    });
    report.add(worst_of(worst));
    let acl = envoy.ask("GET", &paths.object, "acl").await;
    report.add(refused(
        "envoy_acl",
        &acl,
        b"<AccessControlPolicy",
        lets("acl"),
        is_served,
    ));
    let deleted = envoy.ask("DELETE", &paths.nobodys, "tagging").await;
    report.add(delete(&deleted, is_served));
    report.add(download(&got, direct));
}

struct Envoy<'a> {
    wire: Wire,
    url: &'a EnvoyUrl,
}

impl Envoy<'_> {
    async fn ask(&self, method: &str, path: &[u8], query: &str) -> Response {
        let mark = match (query, path.contains(&b'?')) {
            ("", _) => "",
            (_, true) => "&",
            (_, false) => "?",
        };
        let message = Message {
            method: method.to_owned(),
            authority: self.url.authority.clone(),
            path: [path, mark.as_bytes(), query.as_bytes()].concat(),
            ..Message::default()
        };
        match self.wire.send(&message, MAX_BODY).await {
            Ok(answer) => Response::Given(answer),
            Err(trouble) => Response::None(trouble),
        }
    }
}

/// Whether Envoy serves the same object as OSS.
fn compare(got: &Response, direct: &Answer) -> Check {
    const CHECK: &str = "envoy_get";
    let Some(answer) = got.answer().filter(|answer| answer.cut.is_none()) else {
        return got.problem(CHECK);
    };
    if answer.status != direct.status {
        return not_served(CHECK, answer, direct.status);
    }
    if direct.status != 200 {
        let seen = format!("{}, as OSS answers itself", answer.status);
        return match direct.status {
            404 => Check::good(CHECK, seen),
            _ => Check::unknown(CHECK, seen),
        };
    }
    let differs = |name| {
        let (one, other) = (answer.header(name), direct.header(name));
        !one.is_empty() && !other.is_empty() && one != other
    };
    let mut different: Vec<&str> = Vec::new();
    different.extend(differs("content-length").then_some("length"));
    different.extend(differs("etag").then_some("ETag"));
    different.extend((answer.body != direct.body).then_some("bytes"));
    match different.as_slice() {
        [] => {
            let size = answer.body.len();
            Check::good(
                CHECK,
                format!("200, the same {size} bytes, length and ETag"),
            )
        }
        different => Check::failed(
            CHECK,
            format!("200, but other {} than OSS's", different.join(" and ")),
            FIX_OTHER,
        ),
    }
}

/// The check of Envoy's answer where OSS itself was not asked.
fn alone(got: &Response) -> Check {
    const CHECK: &str = "envoy_get";
    match got.answer() {
        Some(answer) if reason(answer).is_some() => not_served(CHECK, answer, 200),
        Some(answer) => {
            let status = answer.status;
            let seen = format!("{status}; OSS itself gave no answer to compare with");
            Check::unknown(CHECK, seen)
        }
        None => got.problem(CHECK),
    }
}

const FIX_OTHER: &str = "Envoy asks for another object, or serves an old copy: compare the route's \
     rewrite with `strip_prefix` and `key_prefix`, the bucket, and what a cache holds";

/// The check of an answer other than the object: Envoy's own, or OSS's answer to Envoy.
fn not_served(check: &'static str, answer: &Answer, wanted: u16) -> Check {
    let status = answer.status;
    let word = std::str::from_utf8(answer.header(REASON_HEADER)).unwrap_or_default();
    if let Some(reason) = Reason::of(word) {
        let message = Refusal::from(reason).message;
        let seen = format!("{status} instead of {wanted}: the filter says {word} ({message})");
        let fix = match reason {
            Reason::NoCredentials => {
                "see that the sidecar runs and that the filter's `sidecar.cluster` leads to it; \
                 Envoy's log says what it answers"
            }
            _ => {
                "compare the settings that Envoy has with those that are tried here \
                 (--config, --route); Envoy's log and docs/OPERATIONS.md say more"
            }
        };
        return Check {
            cause: Some(reason.word()),
            ..Check::failed(check, seen, fix)
        };
    }
    let by_header = Cause::of(word).map(Cause::fix);
    match Explained::of(answer) {
        Some(error) => {
            let seen = format!("{} instead of {wanted}", error.seen());
            let fix = match error.cause {
                Cause::NoSuchKey => FIX_OTHER.to_owned(),
                _ => by_header.map_or_else(|| error.fix(), str::to_owned),
            };
            error.mark(Check::failed(check, seen, fix))
        }
        None => Check::failed(
            check,
            format!("{} instead of {wanted}", odd(answer)),
            "Envoy answers this itself: see its access log (the response flags), the cluster's \
             address and TLS, and whether the filter is loaded",
        ),
    }
}

/// The check of a request that Envoy must refuse. `leaked` is the beginning of an answer that
/// it must not give.
fn refused(
    check: &'static str,
    response: &Response,
    leaked: &[u8],
    is_let: bool,
    is_served: bool,
) -> Check {
    let Some(answer) = response.answer() else {
        return response.problem(check);
    };
    let leaks = answer.body.windows(leaked.len()).any(|part| part == leaked);
    let is_of_oss = answer.is_of_oss();
    let is_redirect = answer.status < 400;
    let is_by_envoy = !is_of_oss && !is_redirect && answer.status != BUSY;
    match (answer.status, leaks, is_let) {
        (_, true, true) => Check::warning(
            check,
            "Envoy answers it, as `operations` says",
            "see that only those can ask who may",
        ),
        (_, true, false) => Check::failed(
            check,
            format!("{}: Envoy lets clients have it", answer.status),
            "the request is signed by other settings, or by something else than the filter: take \
             it off `operations`, and see that the route has the filter",
        ),
        (300..=499, false, _) if reason(answer).is_some() || (is_by_envoy && is_served) => {
            Check::good(check, format!("refused: {}", reason_of(answer)))
        }
        (400..=499, false, _) if is_of_oss => Check::unknown(
            check,
            format!("{}: it is OSS that refuses it, not Envoy", answer.status),
        )
        .fix("see that the route has the filter, and what its `operations` are"),
        (200, false, _) => Check::good(check, "200 with another object (`index_document`)"),
        _ => Check::unknown(check, odd(answer)),
    }
}

/// DELETE of the tags of a key that does not exist: it deletes nothing, even if it reaches OSS.
fn delete(response: &Response, is_served: bool) -> Check {
    const CHECK: &str = "envoy_delete";
    let Some(answer) = response.answer() else {
        return response.problem(CHECK);
    };
    let is_of_oss = answer.is_of_oss();
    // The filter checks these before the method, and the others after it.
    let is_refused = match reason(answer) {
        None => {
            let is_error = (400..500).contains(&answer.status) && answer.status != BUSY;
            is_served && is_error && !is_of_oss
        }
        Some(reason) => matches!(
            reason,
            Reason::MethodNotAllowed
                | Reason::RouteDenied
                | Reason::RouteNotConfigured
                | Reason::RouteMisconfigured
        ),
    };
    if is_refused {
        return Check::good(CHECK, format!("refused: {}", reason_of(answer)));
    }
    if reason(answer).is_none() && !is_of_oss && answer.status != 204 {
        return Check::unknown(CHECK, odd(answer));
    }
    Check::failed(
        CHECK,
        format!("{}: Envoy lets the method DELETE pass", reason_of(answer)),
        "take DELETE off `methods`, and see that the route has the filter",
    )
}

/// Too many requests: this says nothing about the request itself.
const BUSY: u16 = 429;

/// The reason for which the filter refused, if it did.
fn reason(answer: &Answer) -> Option<Reason> {
    let word = std::str::from_utf8(answer.header(REASON_HEADER)).ok()?;
    Reason::of(word)
}

fn reason_of(answer: &Answer) -> String {
    match reason(answer) {
        Some(reason) => format!("{} {}", answer.status, reason.word()),
        None => answer.status.to_string(),
    }
}

/// Whether browsers show what Envoy serves.
fn download(got: &Response, direct: Option<&Answer>) -> Check {
    const CHECK: &str = "envoy_download";
    let Some(answer) = got.with_status(&[200]) else {
        return Check::skipped(CHECK, "Envoy did not serve the object");
    };
    let force = answer.header(headers::FORCE_DOWNLOAD);
    let is_marked = force.eq_ignore_ascii_case(b"true");
    let disposition = answer.header("content-disposition");
    let is_attachment = disposition.trim_ascii().eq_ignore_ascii_case(b"attachment");
    let was_marked =
        direct.is_some_and(|direct| !direct.header(headers::FORCE_DOWNLOAD).is_empty());
    match is_marked || (is_attachment && was_marked) {
        true => Check::failed(
            CHECK,
            "browsers download the object instead of showing it",
            "set `forced_download`: \"remove\", or serve the bucket by its own domain \
             (`addressing`: \"cname\")",
        ),
        false => Check::good(CHECK, "browsers show the object, as far as OSS decides"),
    }
}

/// The worse one of two results of one check.
fn worst_of([one, other]: [Check; 2]) -> Check {
    use crate::doctor::report::Outcome::{Failed, Unknown};
    let rank = |check: &Check| match check.outcome {
        Failed => 2,
        Unknown => 1,
        _ => 0,
    };
    if rank(&other) > rank(&one) {
        other
    } else {
        one
    }
}
