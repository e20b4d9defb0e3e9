//! Checks of the network: the name of OSS's host, a connection, TLS, and the clock.

use oss_origin_auth_core::oss::headers;
use oss_origin_auth_core::oss::time::{parse_http_date, rfc3339_utc};

use crate::doctor::bucket::{Response, now};
use crate::doctor::explained::NOT_OSS;
use crate::doctor::plan::Endpoint;
use crate::doctor::report::{Check, Report};
use crate::doctor::trust::{AUTHORITY_AS_SERVER, SERVER_AS_AUTHORITY};
use crate::doctor::wire::{Trouble, Wire};

/// Checks whether OSS can be reached.
pub async fn check(wire: &Wire, endpoint: &Endpoint, report: &mut Report) -> bool {
    let host = &wire.host;
    match wire.resolve().await {
        Ok(addresses) => {
            let mut shown: Vec<String> = addresses.iter().map(|a| a.ip().to_string()).collect();
            shown.dedup();
            shown.truncate(4);
            let seen = format!("{} has {}", host.escape_debug(), shown.join(", "));
            report.add(Check::good("resolve", seen));
        }
        Err(trouble) => {
            let seen = format!("{}: {trouble}", host.escape_debug());
            report.add(Check::failed("resolve", seen, FIX_NAME));
            report.skip("connect", "tls", "the name has no address");
            return false;
        }
    }
    let port = wire.port;
    match wire.connect().await {
        Ok(_) => report.add(Check::good(
            "connect",
            format!("port {port} takes connections"),
        )),
        Err(trouble) => {
            let fix = match endpoint {
                Endpoint::Internal(region) => format!(
                    "the internal host answers only within its region ({region}); from elsewhere \
                     use the public one (oss-{region}.aliyuncs.com) or the bucket's own domain \
                     (`endpoint`); within the region see the firewall"
                ),
                _ => {
                    format!("allow connections to its port {port}: firewall, security group, route")
                }
            };
            let seen = format!("port {port}: {trouble}");
            report.add(Check::failed("connect", seen, fix));
            report.skip("tls", "tls", "there is no connection");
            return false;
        }
    };
    tls(wire, endpoint, report).await
}

async fn tls(wire: &Wire, endpoint: &Endpoint, report: &mut Report) -> bool {
    if !wire.is_tls() {
        report.add(Check::skipped("tls", "--plain-http is given"));
        return true;
    }
    let trouble = match wire.handshake().await {
        Ok(certificate) => {
            let expires = certificate.and_then(|certificate| certificate.expires);
            report.add(accepted(expires));
            return true;
        }
        Err(trouble) => trouble,
    };
    let fix = match (&trouble, endpoint) {
        (Trouble::Certificate(AUTHORITY_AS_SERVER), _) => {
            "give the server a certificate that the authority has issued (without CA:TRUE), and \
             name that of the authority with --ca and in Envoy's `trusted_ca`"
        }
        (Trouble::Certificate(SERVER_AS_AUTHORITY), _) => {
            "name the certificate of the authority (CA:TRUE) with --ca and in Envoy's \
             `trusted_ca`, not that of a server, and have it issue the server's"
        }
        (Trouble::WantsCertificate, _) => {
            "OSS requires none, so something else answers there: see what `resolve` shows, proxies \
             on the way, and --connect"
        }
        (Trouble::Certificate(_), Endpoint::Own) => {
            "give the domain a certificate of its name that has not expired (OSS console, \"Bind \
             Custom Domain\"), or trust its authority with --ca and in Envoy's `trusted_ca`"
        }
        (Trouble::Certificate(_), _) => {
            "somebody else answers in OSS's name, or this machine's clock or certificates are old: \
             see DNS and proxies, and what `--ca` and Envoy's `trusted_ca` name"
        }
        _ => {
            "speak TLS to the port that has it (443); --plain-http asks without, and then Envoy's \
             cluster must be without `transport_socket`, too"
        }
    };
    let seen = trouble.to_string();
    report.add(match trouble {
        Trouble::Certificate(_) | Trouble::NoTls | Trouble::WantsCertificate => {
            Check::failed("tls", seen, fix)
        }
        _ => Check::unknown("tls", seen).fix(fix),
    });
    false
}

fn accepted(expires: Option<u64>) -> Check {
    let Some(expires) = expires else {
        return Check::good("tls", "the certificate is valid");
    };
    let days = expires.saturating_sub(now()) / (24 * 3600);
    let until = rfc3339_utc(expires);
    let seen = format!("the certificate is valid until {until} ({days} days)");
    match days < SOON {
        true => Check::warning("tls", seen, "see that it is renewed in time"),
        false => Check::good("tls", seen),
    }
}

/// The number of days before its end by which a certificate should have been renewed.
const SOON: u64 = 7;

const FIX_NAME: &str = "compare `endpoint` with those of OSS's documentation (\"Regions and endpoints\") \
     and `bucket` with the console; see this machine's DNS; hosts named -internal may have an \
     address only within Alibaba Cloud";

/// Compares this machine's clock with the clocks of OSS and STS. Returns the number of seconds
/// by which the time of signatures must be corrected.
pub fn clock(unsigned: &Response, of_sts: Option<i64>, is_tls: bool, report: &mut Report) -> i64 {
    let answer = unsigned.answer();
    let date = answer
        .filter(|answer| answer.is_of_oss())
        .and_then(|answer| {
            let date = std::str::from_utf8(answer.header(headers::DATE)).ok()?;
            i64::try_from(parse_http_date(date)?)
                .ok()?
                .checked_sub_unsigned(now())
        });
    let sts = match of_sts {
        Some(ahead) => format!(", {}", compared("STS", ahead)),
        None => String::new(),
    };
    let Some(ahead) = date else {
        let why = match unsigned {
            Response::None(trouble) => trouble.to_string(),
            Response::Given(answer) if !answer.is_of_oss() => "the server is not OSS".to_owned(),
            Response::Given(_) | Response::Refused(_) => "its answer has no date".to_owned(),
        };
        let check = Check::unknown("clock", format!("OSS did not report its time: {why}{sts}"));
        report.add(
            match unsigned.answer().is_some_and(|one| !one.is_of_oss()) {
                true => check.fix(NOT_OSS),
                false => check,
            },
        );
        return 0;
    };
    let seen = format!("{}{sts}", compared("OSS", ahead));
    let worst = of_sts.map_or(0, i64::abs).max(ahead.abs());
    let is_believed =
        ahead.abs() <= MOST_SKEW || is_tls || of_sts.is_some_and(|of_sts| agree(of_sts, ahead));
    report.add(match worst {
        MOST_SKEW.. if !is_believed => Check::failed("clock", seen, NOT_BELIEVED),
        MOST_SKEW.. => Check::failed(
            "clock",
            seen,
            "synchronize this machine's clock (NTP): OSS and STS refuse signatures that are off by \
             more than 15 minutes; all that follows is signed by OSS's time",
        ),
        61.. => Check::warning(
            "clock",
            seen,
            "synchronize this machine's clock (NTP): tokens end earlier or later than it says, and \
             from 15 minutes on OSS refuses signatures",
        ),
        _ => Check::good("clock", seen),
    });
    match is_believed && ahead.abs() > 60 {
        true => ahead,
        false => 0,
    }
}

/// The greatest difference of clocks: 15 minutes (OSS, RequestTimeTooSkewed; STS,
/// InvalidTimeStamp).
const MOST_SKEW: i64 = 900;

/// The advice where a server's clock cannot be trusted: a server in OSS's place could choose
/// the time at which a signature is valid.
const NOT_BELIEVED: &str = "compare this machine's clock with another (NTP): OSS's time came without TLS, and STS's \
     does not confirm it, so all that follows is signed by this machine's time; OSS refuses that \
     if this clock is the wrong one";

/// Whether two clocks show the same time, up to the delay of an answer.
fn agree(one: i64, other: i64) -> bool {
    one.abs_diff(other) <= 120
}

fn compared(who: &str, ahead: i64) -> String {
    let seconds = ahead.abs();
    match ahead {
        -1..=1 => format!("{who}'s clock agrees with this machine's"),
        2.. => format!("{who}'s clock is {seconds} s ahead of this machine's"),
        _ => format!("{who}'s clock is {seconds} s behind this machine's"),
    }
}
