//! The checks, in their order.

mod credentials;
mod envoy;
mod network;
mod objects;
mod rights;

use super::bucket::{Bucket, Response};
use super::options::Options;
use super::plan::{Plan, Problem};
use super::report::{Check, Report};
use super::trust::trust;
use super::wire::Wire;

/// Runs all checks that are possible.
pub async fn examine(options: &Options) -> Report {
    let mut report = Report::new(options.json);
    let (plan, wire) = match settings(options) {
        Ok((plan, wire)) => {
            report.add(Check::good("settings", plan.shown()));
            (plan, wire)
        }
        Err((problem, fix)) => {
            match problem {
                Problem::Argument(text) => {
                    report.refuse_arguments(Check::failed("settings", text, fix));
                }
                Problem::Settings(text) => report.add(Check::failed("settings", text, fix)),
            }
            report.skip("credentials", "envoy_download", "the settings are wrong");
            return report;
        }
    };
    let known = credentials::check(options, &plan, &mut report).await;
    let endpoint = plan.endpoint();
    let is_tls = wire.is_tls();
    let is_reached = network::check(&wire, &endpoint, &mut report).await;
    let has_credentials = known.credentials.is_some();
    let bucket = Bucket::new(plan, wire, known.credentials.as_ref());
    let mut bucket = match bucket {
        Ok(bucket) => bucket,
        Err(problem) => {
            report.add(Check::unknown("clock", problem));
            report.skip("region", "envoy_download", "the settings cannot be used");
            return report;
        }
    };
    let path = bucket.path_of(options.object.as_deref());
    let mut direct = None;
    if is_reached {
        let unsigned = bucket.ask_unsigned(&path).await;
        let ahead = network::clock(&unsigned.0, known.ahead, is_tls, &mut report);
        bucket.set_ahead(ahead);
        if has_credentials {
            direct = signed(options, &mut bucket, &path, &unsigned, &mut report).await;
        } else {
            report.skip("region", "range", NO_CREDENTIALS);
            objects::unsigned(&unsigned, &mut report);
            report.skip("forced_download", "write", NO_CREDENTIALS);
        }
    } else {
        report.skip("clock", "write", "OSS was not reached");
    }
    match &options.envoy {
        None => report.skip("envoy_get", "envoy_download", "give --envoy URL to try it"),
        Some(url) => {
            let paths = envoy::Paths {
                object: path,
                root: bucket.root(),
                nobodys: bucket.path_of(None),
            };
            let direct = direct.as_ref().and_then(Response::answer);
            envoy::check(options, url, &paths, &bucket.plan, direct, &mut report).await;
        }
    }
    report
}

const NO_CREDENTIALS: &str = "there are no credentials";

/// The settings and the connection to OSS, or the error and the way to fix it.
fn settings(options: &Options) -> Result<(Plan, Wire), (Problem, &'static str)> {
    let of_settings = |problem| (problem, FIX_SETTINGS);
    let plan = Plan::new(options).map_err(of_settings)?;
    let tls = match options.plain_http {
        true => None,
        false => {
            let trusted = trust(options.ca.as_deref());
            let wrong = match options.ca {
                Some(_) => Problem::Argument,
                None => Problem::Settings,
            };
            Some(trusted.map_err(|problem| (wrong(problem), FIX_CA))?)
        }
    };
    let (name, port) = match plan.route.host.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().ok()),
        None => (plan.route.host.as_str(), None),
    };
    let usual = if options.plain_http { 80 } else { 443 };
    let place = options.connect.clone();
    let (host, port) = place.unwrap_or_else(|| (name.to_owned(), port.unwrap_or(usual)));
    let wire = Wire::new(&host, port, name, tls, options.patience());
    Ok((plan, wire))
}

const FIX_SETTINGS: &str = "correct what the message names; `oss-origin-auth doctor --help` lists the \
     flags, docs/CONFIGURATION.md the settings, and `oss-origin-auth check-config` checks a whole file";
const FIX_CA: &str = "name a file with the certificates of the authorities that are trusted, in PEM; \
     Debian's package ca-certificates has those of the web";

/// The checks that need credentials; returns the answer to a GET of the object.
async fn signed(
    options: &Options,
    bucket: &mut Bucket,
    path: &[u8],
    unsigned: &(Response, bool),
    report: &mut Report,
) -> Option<Response> {
    rights::region(bucket, report).await;
    let got = objects::read(options, bucket, path, report).await;
    objects::unsigned(unsigned, report);
    objects::describe(options, bucket, &got, report).await;
    let is_known = got.object().is_some();
    if is_known || got.explained().is_some_and(|error| error.is_of_object()) {
        rights::check(options, bucket, report).await;
    } else {
        report.skip(
            "list",
            "write",
            "a signed GET was not answered as it should be",
        );
    }
    Some(got)
}
