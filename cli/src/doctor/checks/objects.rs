//! Checks of an object: it is read in several ways, and its special properties are reported.

use oss_origin_auth_core::config::choices::{ForcedDownload, Ranges};
use oss_origin_auth_core::oss::error::Cause;
use oss_origin_auth_core::oss::headers;

use crate::doctor::bucket::{Bucket, Response};
use crate::doctor::explained::{NOT_OSS, odd, untold};
use crate::doctor::options::Options;
use crate::doctor::plan::Endpoint;
use crate::doctor::report::{Check, Report};
use crate::doctor::wire::Answer;

/// Tries HEAD, GET and a range; returns the answer to the GET.
pub async fn read(
    options: &Options,
    bucket: &mut Bucket,
    path: &[u8],
    report: &mut Report,
) -> Response {
    let is_named = options.object.is_some();
    let head = bucket.ask("HEAD", path, &[]).await;
    report.add(judged("head", bucket, path, &head, is_named));
    let got = bucket.ask("GET", path, &[]).await;
    report.add(judged("get", bucket, path, &got, is_named));
    match got.object() {
        Some(answer) if is_named => report.add(range(bucket, path, answer).await),
        _ if is_named => report.add(Check::skipped("range", "the object was not read")),
        _ => report.add(Check::skipped("range", NO_OBJECT)),
    };
    got
}

const NO_OBJECT: &str = "give --object KEY, the key of an object that exists";

/// The check of an answer. Without a name, a key that does not exist is requested: a 404 also
/// shows that the signature and the role are accepted.
fn judged(
    check: &'static str,
    bucket: &mut Bucket,
    path: &[u8],
    response: &Response,
    is_named: bool,
) -> Check {
    if let Some(answer) = response.with_status(&[200]) {
        return match is_named {
            true if answer.is_of_oss() => Check::good(check, shown(answer)),
            true => {
                let seen = format!("{}; it is not an answer of OSS", odd(answer));
                Check::unknown(check, seen).fix(NOT_OSS)
            }
            false => Check::unknown(check, "an object exists under a random key"),
        };
    }
    match response.explained() {
        Some(error) if !is_named && error.cause == Cause::NoSuchKey => {
            let seen = format!("{}: signature and role are accepted", error.seen());
            error.mark(Check::good(check, seen))
        }
        Some(error) if error.cause == Cause::NoSuchKey => {
            let check = error.failed(check);
            let fix = format!(
                "{} OSS was asked for {}",
                check.fix,
                bucket.shown_path(path)
            );
            check.fix(fix)
        }
        Some(error) if error.cause == Cause::TokenExpired => {
            let check = error.failed(check);
            let fix = format!("{}{}", check.fix, bucket.compare_expiry());
            check.fix(fix)
        }
        _ => response.problem(check),
    }
}

/// The description of an object in one line.
fn shown(answer: &Answer) -> String {
    let size = match answer.length() {
        Some(length) => format!("{length} bytes"),
        None => format!("{} bytes or more", answer.body.len()),
    };
    let kind = answer.media_type().unwrap_or("?");
    let etag = answer.word("etag").unwrap_or("?");
    format!("{}, {size}, {kind}, ETag {etag}", answer.status)
}

/// Tries a range of the object, and one past its end.
async fn range(bucket: &mut Bucket, path: &[u8], whole: &Answer) -> Check {
    const CHECK: &str = "range";
    let size = whole.length().unwrap_or(whole.body.len() as u64);
    if size == 0 {
        return Check::skipped(CHECK, "the object is empty");
    }
    let last = size.min(10) - 1;
    let want = whole.body.get(..=last as usize).unwrap_or_default();
    let header = format!("bytes=0-{last}");
    let response = bucket.ask("GET", path, &[("range", &header)]).await;
    let Some(answer) = response.with_status(&[206]) else {
        return match response.with_status(&[200]) {
            Some(_) => Check::failed(CHECK, "200 instead of 206: the range is ignored", FIX_RANGE),
            None => response.problem(CHECK),
        };
    };
    if answer.body != want {
        return Check::failed(
            CHECK,
            "206 with other bytes than those of the object",
            FIX_RANGE,
        );
    }
    let header = format!("bytes={size}-");
    let past = bucket.ask("GET", path, &[("range", &header)]).await;
    let standard = bucket.plan.route.rules.ranges == Ranges::Standard;
    let status = past.answer().map_or(0, |answer| answer.status);
    match (status, standard) {
        (416, true) => Check::good(CHECK, "206 with the right bytes; 416 past the end"),
        (200, false) => Check::good(
            CHECK,
            "206 with the right bytes; past the end the whole object (`ranges` says so)",
        ),
        (0, _) => past.problem(CHECK),
        (status, _) => {
            let seen = format!("206 with the right bytes; past the end {status}");
            Check::unknown(CHECK, seen).fix("see `ranges` in docs/CONFIGURATION.md")
        }
    }
}

const FIX_RANGE: &str =
    "see what stands between this machine and OSS: a proxy or a cache that changes answers";

/// Checks that the object cannot be read without a signature. `is_object` says whether the
/// object was requested.
pub fn unsigned((response, is_object): &(Response, bool), report: &mut Report) {
    const CHECK: &str = "unsigned";
    if !is_object {
        let why = "the filter refuses the path, so the object was not asked for";
        report.add(Check::skipped(CHECK, why));
        return;
    }
    let Some(answer) = response.answer() else {
        report.add(response.problem(CHECK));
        return;
    };
    let error = response.explained();
    let fix = "set the ACL of the bucket and of the object to private, and turn on \"Block Public \
               Access\"";
    report.add(match (answer.status, error) {
        (200..=299, _) if answer.is_of_oss() => Check::failed(
            CHECK,
            format!("{}: anybody may read it without Envoy", answer.status),
            fix,
        ),
        (_, Some(error)) if error.cause == Cause::NoSuchKey => {
            let seen = format!(
                "{}: OSS looks for the object without checking who asks",
                error.seen()
            );
            error.mark(Check::failed(CHECK, seen, fix))
        }
        (400..=499, Some(error)) if error.is_refusal() => {
            Check::good(CHECK, format!("refused, as it should be: {}", error.seen()))
        }
        (_, Some(error)) => {
            let seen = format!("not because there is no signature: {}", error.seen());
            error.mark(Check::unknown(CHECK, seen))
        }
        (_, None) => untold(CHECK, answer),
    });
}

/// Reports special properties of the object and its endpoint.
pub async fn describe(options: &Options, bucket: &mut Bucket, got: &Response, report: &mut Report) {
    let read = got.object().filter(|_| options.object.is_some());
    report.add(match read {
        Some(answer) => forced_download(bucket, answer),
        None => not_read("forced_download", options),
    });
    report.add(public_endpoint(bucket, got));
    report.add(match (&options.encrypted, read) {
        (Some(key), _) => encrypted(bucket, key).await,
        (None, Some(answer)) => kms(answer),
        (None, None) => of_cause(got, "kms", &OF_KMS).unwrap_or_else(|| not_read("kms", options)),
    });
    report.add(match (&options.archived, read) {
        (Some(key), _) => archived(bucket, key).await,
        (None, Some(answer)) => archive(answer),
        (None, None) => {
            let cause = of_cause(got, "archive", &[Cause::Archived]);
            cause.unwrap_or_else(|| not_read("archive", options))
        }
    });
}

const OF_KMS: [Cause; 3] = [
    Cause::KmsForbidden,
    Cause::KmsNotActivated,
    Cause::KmsKeyUnusable,
];

fn not_read(check: &'static str, options: &Options) -> Check {
    let why = match options.object {
        Some(_) => "the object was not read",
        None => NO_OBJECT,
    };
    Check::skipped(check, why)
}

/// The failed check, if the error has one of these causes.
fn of_cause(response: &Response, check: &'static str, causes: &[Cause]) -> Option<Check> {
    let error = response.explained()?;
    causes.contains(&error.cause).then(|| error.failed(check))
}

fn forced_download(bucket: &Bucket, answer: &Answer) -> Check {
    const CHECK: &str = "forced_download";
    let is_marked = answer
        .header(headers::FORCE_DOWNLOAD)
        .eq_ignore_ascii_case(b"true");
    if !is_marked {
        return Check::good(CHECK, "OSS lets browsers show the object");
    }
    let seen = "OSS makes browsers download the object (x-oss-force-download)";
    let is_removed = bucket.plan.route.rules.forced_download == ForcedDownload::Remove;
    let fix = "serve the bucket by its own domain (`addressing`: \"cname\"), or set \
               `forced_download`: \"remove\"";
    match (is_removed, bucket.plan.is_of_file) {
        (true, _) => Check::good(CHECK, format!("{seen}; the filter removes the header")),
        (false, true) => Check::failed(CHECK, seen, fix),
        (false, false) => Check::warning(CHECK, seen, fix),
    }
}

fn public_endpoint(bucket: &Bucket, got: &Response) -> Check {
    const CHECK: &str = "public_endpoint";
    if let Some(check) = of_cause(got, CHECK, &[Cause::PublicEndpoint]) {
        return check;
    }
    let is_answered = got.with_status(&[200, 404]).is_some();
    match bucket.plan.endpoint() {
        Endpoint::Internal(_) => Check::good(CHECK, "the endpoint is internal"),
        Endpoint::Own => Check::good(CHECK, "the endpoint is a domain of its own"),
        Endpoint::Public(_) => Check::good(CHECK, "the endpoint is not of the mainland"),
        Endpoint::Mainland(_) if is_answered => Check::good(
            CHECK,
            "OSS serves this account by a public endpoint of the mainland",
        ),
        Endpoint::Mainland(_) => Check::skipped(CHECK, "nothing was read"),
    }
}

async fn encrypted(bucket: &mut Bucket, key: &str) -> Check {
    let path = bucket.path_of(Some(key));
    let response = bucket.ask("GET", &path, &[]).await;
    let Some(answer) = response.object() else {
        return response.problem("kms");
    };
    match is_encrypted(answer) {
        true => Check::good("kms", "the object is encrypted by KMS, and was read"),
        false => Check::unknown("kms", "the object of --encrypted is not encrypted by KMS"),
    }
}

fn is_encrypted(answer: &Answer) -> bool {
    answer.word("x-oss-server-side-encryption") == Some("KMS")
}

fn kms(answer: &Answer) -> Check {
    let seen = match is_encrypted(answer) {
        true => "the object is encrypted by KMS, and was read",
        false => "the object is not encrypted by KMS; --encrypted names one that is",
    };
    Check::good("kms", seen)
}

async fn archived(bucket: &mut Bucket, key: &str) -> Check {
    let path = bucket.path_of(Some(key));
    let response = bucket.ask("GET", &path, &[]).await;
    let Some(answer) = response.object() else {
        return response.problem("archive");
    };
    let check = archive(answer);
    match storage_class(answer).contains("Archive") {
        true => check,
        false => Check::unknown("archive", format!("{}: it is not archived", check.seen)),
    }
}

fn archive(answer: &Answer) -> Check {
    let class = storage_class(answer);
    Check::good("archive", format!("storage class {class}, and was read"))
}

fn storage_class(answer: &Answer) -> &str {
    answer.word("x-oss-storage-class").unwrap_or("not told")
}
