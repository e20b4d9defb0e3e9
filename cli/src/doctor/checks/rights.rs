//! Where the bucket lies, and what the role may do with it besides reading an object.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use oss_origin_auth_core::oss::error::{Cause, element};
use oss_origin_auth_core::oss::headers::CONTENT_MD5;

use crate::doctor::bucket::{Bucket, Response, random_key};
use crate::doctor::options::Options;
use crate::doctor::report::{Check, Report};

/// The bucket's region, as OSS tells it (GetBucketLocation).
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
                format!("the bucket lies in {told}, and signatures are for {wanted}"),
                format!("write `region`: \"{told}\", and the endpoint of that region"),
            ),
            (Some(told), _) => Check::good(CHECK, format!("the bucket lies in {told}")),
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

/// `oss-cn-hangzhou` is the region cn-hangzhou.
fn region_word(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let region = text.strip_prefix("oss-").unwrap_or(text);
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = (1..=40).contains(&region.len()) && region.bytes().all(is_plain);
    fits.then_some(region)
}

/// What the role may do besides.
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

/// What a role may read besides objects.
struct More {
    check: &'static str,
    /// What the XML of the answer begins with.
    begin: &'static str,
    what: &'static str,
    /// The word of `operations` that lets clients have it.
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

/// A role that serves objects needs no more than `oss:GetObject`; Alibaba CDN's own has more.
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

/// Tries an upload that OSS refuses whoever asks: its Content-MD5 is that of other bytes
/// (OSS, "PutObject": 400 InvalidDigest). Who may not write is refused before.
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
    // However it was answered, nothing may be there.
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
            let seen = format!("it does not tell: {}", error.seen());
            error.mark(Check::unknown(CHECK, seen))
        }
        (None, _) => response.problem(CHECK),
    }
}

/// What is to be said if the upload was taken, or may have been, and nobody can say whether
/// the object is there. `left`: the answer to a HEAD of it.
fn maybe_left(response: &Response, left: &Response, key: &str) -> Option<Check> {
    const CHECK: &str = "write";
    let status = response.answer().map_or(0, |answer| answer.status);
    let fix = format!("look whether the object {key} is there, and delete it");
    if (200..300).contains(&status) {
        let seen = format!("{status}: the role may write, and OSS may have kept the object {key}");
        return Some(Check::failed(CHECK, seen, format!("{fix}; {FIX_WRITE}")));
    }
    // An error of the client is OSS's word that nothing was stored.
    let is_told = (400..500).contains(&status) || left.with_status(&[404]).is_some();
    let check = match response.explained() {
        Some(error) => error.mark(Check::unknown(CHECK, error.seen())),
        None => response.problem(CHECK),
    };
    (!is_told).then(|| check.fix(fix))
}

const FIX_WRITE: &str = "give the role a policy that reads alone: oss:GetObject on this bucket's \
     objects";
