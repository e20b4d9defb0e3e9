//! The log line about an error of OSS.

use crate::config::Route;
use crate::oss::details::{Details, request_id};
use crate::oss::error::{Cause, ErrorResponse};
use crate::oss::time::{http_date, parse_http_date};
use crate::words::Word;

/// An error that OSS sent in answer to a request on a route.
#[derive(Debug)]
pub struct OssError<'a> {
    /// The settings of the route.
    pub route: &'a Route,
    /// The cause of the error.
    pub cause: Cause,
    /// The part of the response that has arrived.
    pub response: ErrorResponse<'a>,
    /// OSS's id of the request.
    pub request_id: &'a [u8],
    /// The header `Date`, where it matters.
    pub date: &'a [u8],
    /// The expected expiry of the credentials, in seconds since 1970, if OSS says that they
    /// have expired.
    pub expires_at: Option<u64>,
}

impl OssError<'_> {
    /// The log line. `credentials` is the name of the credentials; `now` is in seconds since
    /// 1970.
    pub fn line(&self, credentials: &str, now: u64) -> String {
        let details = Details::of(&self.response, self.cause);
        let (name, bucket) = (&self.route.name, &self.route.bucket);
        let id = request_id(self.request_id).unwrap_or("none");
        let word = self.cause.word();
        let mut line = format!(
            "OSS refused: {word} (settings {name}, bucket {bucket}, credentials \
             {credentials}, request id {id}"
        );
        for (what, value) in [(", EC ", details.ec), (", code ", details.code)] {
            if let Some(value) = value {
                line += what;
                line += value;
            }
        }
        line += "): ";
        line += self.cause.fix();
        line.push('.');
        line += &self.times(now).unwrap_or_default();
        line += &details.sentences();
        line
    }

    /// A sentence that compares the clocks and the expiry of a token.
    fn times(&self, now: u64) -> Option<String> {
        let end = http_date(self.expires_at?);
        let ours = http_date(now);
        let theirs = std::str::from_utf8(self.date)
            .ok()
            .and_then(parse_http_date);
        let theirs = theirs.map_or_else(|| "not known".to_owned(), http_date);
        Some(format!(
            " The token expires at {end}; OSS's time is {theirs}, this machine's is {ours}."
        ))
    }
}
