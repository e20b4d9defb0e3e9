//! Checks of the bucket's region, and of the role's permissions besides reading an object.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use oss_origin_auth_core::oss::error::{Cause, element};
use oss_origin_auth_core::oss::headers::CONTENT_MD5;

use crate::doctor::bucket::{Bucket, Response, random_key};
use crate::doctor::options::Options;
use crate::doctor::report::{Check, Report};

/// Checks the bucket's region, which OSS reports (GetBucketLocation).
pub async fn region(bucket: &mut Bucket, report: &mut Report) {
    const CHECK: &str = "region";
    let response = bucket
        .ask_beside("GET", b"", "location", Vec::new(), b"")
        .await;
    let wanted = bucket.plan.region().map(str::to_owned);
    let wanted = wanted.as_deref();
    if let Some(answer) = response.with_status(&[200]) {
        let told = element(&answer.body, "LocationConstraint").and_then(region_word);
        report.add(match (told, wanted) {
            (Some(told), Some(wanted)) if told != wanted => Check::failed(
                CHECK,
                format!("the bucket is in {told}, and signatures are for {wanted}"),
                format!("write `region`: \"{told}\", and the endpoint of that region"),
            ),
            (Some(told), _) => Check::good(CHECK, format!("the bucket is in {told}")),
            (None, _) => response.problem(CHECK),
        });
        return;
    }
    let check = response.problem(CHECK);
    report.add(match response.explained() {
        // V4 signatures are for one region, and OSS looks at that first.
        Some(error) if error.is_denial() => {
            let seen = match wanted {
                Some(wanted) => format!(
                    "OSS takes signatures for {wanted} (where the bucket lies the role may not \
                     ask: {})",
                    error.seen()
                ),
                None => format!("the role may not ask for it: {}", error.seen()),
            };
            error.mark(Check::good(CHECK, seen))
        }
        Some(error) if error.cause == Cause::WrongRegion => {
            let endpoint = bucket.plan.endpoint();
            let fix = match endpoint.region() {
                "" => error.fix(),
                region if Some(region) == wanted => error.fix(),
                region => format!("{} The endpoint is one of {region}.", error.fix()),
            };
            check.fix(fix)
        }
        _ => check,
    });
}

/// The region in a location: `oss-cn-hangzhou` is the region cn-hangzhou.
fn region_word(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let region = text.strip_prefix("oss-").unwrap_or(text);
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = (1..=40).contains(&region.len()) && region.bytes().all(is_plain);
    fits.then_some(region)
}

/// Checks the role's other permissions.
pub async fn check(options: &Options, bucket: &mut Bucket, report: &mut Report) {
    let response = bucket
        .ask_beside("GET", b"", "list-type=2&max-keys=1", Vec::new(), b"")
        .await;
    report.add(may_read(bucket, &response, &LIST));
    let response = bucket.ask_beside("GET", b"", "acl", Vec::new(), b"").await;
    report.add(acl(bucket, &response));
    match options.probe_write {
        true => report.add(write(bucket).await),
        false => report.add(Check::skipped("write", "give --probe-write to try it")),
    };
}

/// A permission besides reading objects.
struct More {
    check: &'static str,
    /// The beginning of the XML answer.
    begin: &'static str,
    what: &'static str,
    /// The word in `operations` that allows clients this request.
    operation: &'static str,
    right: &'static str,
}

const LIST: More = More {
    check: "list",
    begin: "<ListBucketResult",
    what: "list the bucket",
    operation: "list",
    right: "oss:ListObjects",
};

const ACL: More = More {
    check: "acl",
    begin: "<AccessControlPolicy",
    what: "see the bucket's ACL",
    operation: "acl",
    right: "oss:GetBucketAcl",
};

/// Whether the role may read more than objects. To serve objects it needs only `oss:GetObject`;
/// Alibaba CDN's own role has more.
fn may_read(bucket: &Bucket, response: &Response, more: &More) -> Check {
    let body = response.with_status(&[200]).map(|answer| &answer.body);
    let is_begin = |part: &[u8]| part == more.begin.as_bytes();
    let (check, what) = (more.check, more.what);
    if body.is_some_and(|body| body.windows(more.begin.len()).any(is_begin)) {
        let operations = &bucket.plan.route.rules.operations;
        if operations.iter().any(|known| known == more.operation) {
            let seen = format!("the role may {what}, which `operations` lets clients do");
            return Check::good(check, seen);
        }
        let right = more.right;
        return Check::warning(
            check,
            format!("the role may {what}; the filter lets no client do so"),
            format!(
                "leave {right} out of the role's policy; oss:GetObject is enough \
                 (docs/ALIBABA-SETUP.md)"
            ),
        );
    }
    match response.explained() {
        Some(error) if error.is_denial() => {
            let seen = format!("the role may not {what}: {}", error.seen());
            error.mark(Check::good(check, seen))
        }
        _ => response.problem(check),
    }
}

fn acl(bucket: &Bucket, response: &Response) -> Check {
    const CHECK: &str = ACL.check;
    let body = response.with_status(&[200]).map(|answer| &answer.body);
    let grant = body.and_then(|body| element(body, "Grant"));
    let fix = "set the bucket's ACL to private, and turn on \"Block Public Access\"";
    match grant {
        Some(b"public-read") => {
            Check::failed(CHECK, "the bucket is public-read: anybody may read it", fix)
        }
        Some(b"public-read-write") => Check::failed(
            CHECK,
            "the bucket is public-read-write: anybody may write to it",
            fix,
        ),
        _ => may_read(bucket, response, &ACL),
    }
}

/// Tries an upload that OSS always refuses, since its Content-MD5 does not match (OSS,
/// "PutObject": 400 InvalidDigest). OSS checks the permission to write first.
async fn write(bucket: &mut Bucket) -> Check {
    const CHECK: &str = "write";
    let prefix = bucket.plan.route.rules.key_prefix.clone();
    let key = format!("{prefix}{}", random_key());
    let headers = vec![
        (
            CONTENT_MD5.to_owned(),
            BASE64_STANDARD.encode([0; 16]).into_bytes(),
        ),
        ("x-oss-forbid-overwrite".to_owned(), b"true".to_vec()),
    ];
    let body = b"a probe of oss-origin-auth";
    let response = bucket
        .ask_beside("PUT", key.as_bytes(), "", headers, body)
        .await;
    let shown = key.escape_debug();
    // Whatever the answer was, the object must not exist.
    let left = bucket
        .ask_beside("HEAD", key.as_bytes(), "", Vec::new(), b"")
        .await;
    if left.with_status(&[200]).is_some() {
        return Check::failed(
            CHECK,
            format!("the role may write, and OSS has kept the object {shown}"),
            format!("delete {shown}; {FIX_WRITE}"),
        );
    }
    if let Some(check) = maybe_left(&response, &left, &shown.to_string()) {
        return check;
    }
    let code = response
        .answer()
        .and_then(|answer| element(&answer.body, "Code"));
    match (response.explained(), code) {
        (Some(error), Some(b"InvalidDigest")) => {
            let seen = format!("the role may write: {}", error.seen());
            error.mark(Check::failed(CHECK, seen, FIX_WRITE))
        }
        (Some(error), _) if error.is_denial() => {
            let seen = format!("the role may not write: {}", error.seen());
            error.mark(Check::good(CHECK, seen))
        }
        (Some(error), _) => {
            let seen = format!("the answer does not show it: {}", error.seen());
            error.mark(Check::unknown(CHECK, seen))
        }
        (None, _) => response.problem(CHECK),
    }
}

/// The warning for an upload that was or may have been accepted, where it is not known whether
/// the object exists. `left` is the answer to a HEAD of it.
fn maybe_left(response: &Response, left: &Response, key: &str) -> Option<Check> {
    const CHECK: &str = "write";
    let status = response.answer().map_or(0, |answer| answer.status);
    let fix = format!("check whether the object {key} exists, and delete it");
    if (200..300).contains(&status) {
        let seen = format!("{status}: the role may write, and OSS may have kept the object {key}");
        return Some(Check::failed(CHECK, seen, format!("{fix}; {FIX_WRITE}")));
    }
    // An error of the client (4xx) means that OSS stored nothing.
    let is_told = (400..500).contains(&status) || left.with_status(&[404]).is_some();
    let check = match response.explained() {
        Some(error) => error.mark(Check::unknown(CHECK, error.seen())),
        None => response.problem(CHECK),
    };
    (!is_told).then(|| check.fix(fix))
}

const FIX_WRITE: &str = "give the role a policy that reads alone: oss:GetObject on this bucket's \
     objects";
