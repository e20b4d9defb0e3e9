//! The time formats of OSS and of the credentials-URI protocol. Times
//! are seconds since 1970-01-01T00:00:00Z.

/// Formats a time like `20251205T144803Z`, as in `x-oss-date` of V4. The first eight characters
/// are the date of the credential scope.
pub fn basic(unix_time: u64) -> String {
    let [year, month, day, hour, minute, second] = civil(unix_time);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Formats a time like `Fri, 05 Dec 2025 14:48:03 GMT`, as in `Date` (RFC 9110, section 5.6.7).
pub fn http_date(unix_time: u64) -> String {
    const WEEKDAYS: &str = "Thu Fri Sat Sun Mon Tue Wed";
    let name = |of: &'static str, place| of.split(' ').nth(place as usize).unwrap_or_default();
    let [year, month, day, hour, minute, second] = civil(unix_time);
    let (weekday, month) = (name(WEEKDAYS, unix_time / DAY % 7), name(MONTHS, month - 1));
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Parses the format of [`http_date`]. The day of the week is not checked.
pub fn parse_http_date(text: &str) -> Option<u64> {
    let (_, text) = text.split_once(", ")?;
    let mut parts = text.strip_suffix(" GMT")?.split(' ');
    let (day, month, year, clock) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = (1..)
        .zip(MONTHS.split(' '))
        .find(|(_, name)| *name == month);
    let date = format!("{year}-{:02}-{day}T{clock}Z", month?.0);
    parts.next().is_none().then(|| parse_rfc3339_utc(&date))?
}

/// Formats a time like `2025-12-05T14:48:03Z`, as in the credentials-URI protocol and in
/// requests to STS.
pub fn rfc3339_utc(unix_time: u64) -> String {
    let [year, month, day, hour, minute, second] = civil(unix_time);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Parses a time like `2006-01-02T15:04:05Z`, as in the `Expiration` of the credentials-URI
/// protocol. A fraction of a second is accepted and dropped.
pub fn parse_rfc3339_utc(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z')?;
    let (text, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (date, clock) = text.split_once('T')?;
    let [year, month, day] = fields(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = fields(clock, ':', [2, 2, 2])?;
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days_from_civil(year, month, day)? * DAY + hour * 3600 + minute * 60 + second)
}

const DAY: u64 = 24 * 3600;
const MONTHS: &str = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";

/// The year, month, day, hour, minute and second of a time. Days are counted in eras of 400
/// years that begin on 1 March, so that the leap day is the last day of its year.
fn civil(unix_time: u64) -> [u64; 6] {
    let days = unix_time / DAY + DAYS_FROM_0000_03_01;
    let of_era = days % DAYS_OF_ERA;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / (DAYS_OF_ERA - 1)) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = from_march % 10 + if from_march < 10 { 3 } else { 1 };
    let year = days / DAYS_OF_ERA * 400 + year_of_era + u64::from(month <= 2);
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let seconds = unix_time % DAY;
    [
        year,
        month,
        day,
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
    ]
}

const DAYS_OF_ERA: u64 = 146_097;
const DAYS_FROM_0000_03_01: u64 = 719_468;

/// The number of days since 1970-01-01; `None` for a date that does not exist or is earlier.
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day == 0 || day > last {
        return None;
    }
    let (year, from_march) = if month > 2 {
        (year, month - 3)
    } else {
        (year.checked_sub(1)?, month + 9)
    };
    let year_of_era = year % 400;
    let of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * from_march + 2) / 5 + day
            - 1;
    (year / 400 * DAYS_OF_ERA + of_era).checked_sub(DAYS_FROM_0000_03_01)
}

fn fields(text: &str, separator: char, widths: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(separator);
    let mut values = [0; 3];
    for (value, width) in values.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *value = part.parse().ok()?;
    }
    parts.next().is_none().then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected values come from GNU date: `date -u -d @N`.
    #[test]
    fn formats_agree_with_the_calendar() {
        for (unix_time, basic_form, http_form) in [
            (0, "19700101T000000Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
            (
                951_782_400,
                "20000229T000000Z",
                "Tue, 29 Feb 2000 00:00:00 GMT",
            ),
            (
                1_709_251_199,
                "20240229T235959Z",
                "Thu, 29 Feb 2024 23:59:59 GMT",
            ),
            (
                1_764_946_083,
                "20251205T144803Z",
                "Fri, 05 Dec 2025 14:48:03 GMT",
            ),
            (
                4_107_542_400,
                "21000301T000000Z",
                "Mon, 01 Mar 2100 00:00:00 GMT",
            ),
        ] {
            assert_eq!(basic(unix_time), basic_form);
            assert_eq!(http_date(unix_time), http_form);
        }
    }

    #[test]
    fn parsing_reverses_formatting_on_every_day_of_two_centuries() {
        for day in 0..73_000 {
            let unix_time = day * DAY + 3661;
            let b = basic(unix_time);
            let text = format!("{}-{}-{}T01:01:01Z", &b[..4], &b[4..6], &b[6..8]);
            assert_eq!(rfc3339_utc(unix_time), text);
            assert_eq!(parse_http_date(&http_date(unix_time)), Some(unix_time));
            assert_eq!(parse_rfc3339_utc(&text), Some(unix_time), "{text}");
        }
    }

    #[test]
    fn another_format_is_no_time() {
        for text in [
            "",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05+08:00",
            "2026-1-2T3:4:5Z",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05.xZ",
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "1767322800",
            "２０２６-01-02T03:04:05Z",
            "-026-01-02T03:04:05Z",
        ] {
            assert_eq!(parse_rfc3339_utc(text), None, "{text}");
        }
        assert_eq!(parse_rfc3339_utc("1970-01-01T00:00:01.999Z"), Some(1));
        for text in [
            "",
            "Fri, 05 Dec 2025 14:48:03",
            "Fri, 05 Dez 2025 14:48:03 GMT",
            "Fri, 5 Dec 2025 14:48:03 GMT",
            "Fri, 31 Feb 2025 14:48:03 GMT",
            "Fri, 05 Dec 2025 14:48:03 +0800 GMT",
            "Friday, 05-Dec-25 14:48:03 GMT",
            "Fri Dec  5 14:48:03 2025",
            "05 Dec 2025 14:48:03 GMT",
        ] {
            assert_eq!(parse_http_date(text), None, "{text}");
        }
    }
}
