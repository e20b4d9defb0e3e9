//! Durations in the formats of Envoy and Kubernetes.

use serde_json::Value;

/// The seconds of a duration: `15s`, `0.5s`, `250ms`, `1h30m`, or a number; `None` if it is not
/// a duration.
pub fn seconds(value: &Value) -> Option<f64> {
    let Some(text) = value.as_str() else {
        return value.as_f64();
    };
    if let Ok(number) = text.parse() {
        return Some(number).filter(|number: &f64| number.is_finite());
    }
    let mut rest = text.trim();
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest.get(..end)?.parse().ok()?;
        rest = rest.get(end..)?;
        let end = rest.find(|letter: char| letter.is_ascii_digit());
        let end = end.unwrap_or(rest.len());
        total += number
            * UNITS
                .iter()
                .find(|(unit, _)| rest.get(..end) == Some(unit))?
                .1;
        rest = rest.get(end..)?;
    }
    Some(total)
}

const UNITS: [(&str, f64); 6] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3_600.0),
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn durations_are_read_as_they_are_written() {
        for (written, read) in [
            (json!("15s"), Some(15.0)),
            (json!("0s"), Some(0.0)),
            (json!("0.5s"), Some(0.5)),
            (json!("250ms"), Some(0.25)),
            (json!("1h30m"), Some(5_400.0)),
            (json!(0), Some(0.0)),
            (json!("3"), Some(3.0)),
            (json!("soon"), None),
            (json!("1.2.3s"), None),
            (json!("5é"), None),
            (json!({}), None),
        ] {
            assert_eq!(seconds(&written), read, "{written}");
        }
    }
}
