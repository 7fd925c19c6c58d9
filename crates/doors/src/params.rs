//! What a request asks for: parameters of query and form, times, lengths of time, limits, selectors.

use std::borrow::Cow;

use tend_promql::{Matcher, Timestamp, parse_duration, parse_matchers};

use crate::error::DoorError;
use crate::moment::parse_rfc3339;
use crate::request::Request;

/// Times beyond this are taken for it, in milliseconds: far enough from where arithmetic ends.
pub(crate) const TIME_MAX: i64 = i64::MAX / 4;

/// All of the time that can be asked for.
pub(crate) const ALWAYS: (Timestamp, Timestamp) = (-TIME_MAX, TIME_MAX);

/// The most parameters that are read of one request.
const PARAMS_MAX: usize = 20_000;

/// What a request brings along, those of its body first.
#[derive(Debug, Default)]
pub(crate) struct Params<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Params<'a> {
    /// Reads the query, and the body where it is a form.
    pub(crate) fn of(request: &Request<'a>) -> Params<'a> {
        let media = request
            .header("content-type")
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        let is_form = request.method == "POST" && media.eq_ignore_ascii_case("application/x-www-form-urlencoded");
        let body: &[u8] = if is_form { request.body } else { b"" };
        let pairs = form_urlencoded::parse(body).chain(form_urlencoded::parse(request.query.as_bytes()));
        Params(pairs.take(PARAMS_MAX).collect())
    }

    /// The first value of that name; empty when there is none.
    pub(crate) fn first<'s>(&'s self, name: &'s str) -> &'s str {
        self.all(name).next().unwrap_or_default()
    }

    /// All values of that name.
    pub(crate) fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s str> {
        let known = self.0.iter().filter(move |(known, _)| known == name);
        known.map(|(_, value)| value.as_ref())
    }

    /// A time, or what it is when it is left out.
    pub(crate) fn time(&self, name: &'static str, default: Timestamp) -> Result<Timestamp, DoorError> {
        let text = self.first(name);
        if text.is_empty() {
            return Ok(default);
        }
        let wrong = |what| DoorError::parameter(name, format!("invalid time value for '{name}': {what}"));
        parse_time(text).map_err(wrong)
    }

    /// A time that has to be there.
    pub(crate) fn needed_time(&self, name: &'static str) -> Result<Timestamp, DoorError> {
        parse_time(self.first(name)).map_err(|what| DoorError::parameter(name, what))
    }

    /// `start` and `end`, all of the time where they are left out.
    pub(crate) fn range(&self) -> Result<(Timestamp, Timestamp), DoorError> {
        Ok((self.time("start", ALWAYS.0)?, self.time("end", ALWAYS.1)?))
    }

    /// `limit`; `None` for no limit.
    pub(crate) fn limit(&self) -> Result<Option<usize>, DoorError> {
        let text = self.first("limit");
        if text.is_empty() {
            return Ok(None);
        }
        match integer(text) {
            Err(what) => Err(DoorError::parameter("limit", what)),
            Ok(limit) if limit < 0 => Err(DoorError::parameter("limit", "limit must be non-negative")),
            Ok(limit) => Ok(usize::try_from(limit).ok().filter(|limit| *limit > 0)),
        }
    }

    /// `match[]`: each selects series, and at least one matcher of it refuses a series without the label.
    pub(crate) fn matchers(&self) -> Result<Vec<Vec<Matcher>>, DoorError> {
        self.all("match[]")
            .map(|text| {
                parse_matchers(text).map_err(|error| {
                    DoorError::BadData(match error.text() {
                        // Prometheus' reader takes it, and the API refuses it in its own words.
                        "vector selector must contain at least one non-empty matcher" => {
                            "match[] must contain at least one non-empty matcher".to_owned()
                        }
                        _ => error.to_string(),
                    })
                })
            })
            .collect()
    }

    /// A switch as Alertmanager reads it, the last of that name: what is not one of its words for yes, is no.
    pub(crate) fn switch(&self, name: &str, default: bool) -> bool {
        const YES: [&str; 10] = [
            "true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled",
        ];
        let last = self.0.iter().rev().find(|(known, _)| known == name);
        match last.map_or("", |(_, value)| value.as_ref()) {
            "" => default,
            text => YES.contains(&text.to_ascii_lowercase().as_str()),
        }
    }
}

/// A whole number, with Go's text when it is none.
pub(crate) fn integer(text: &str) -> Result<i64, String> {
    text.parse::<i64>().map_err(|error| {
        let what = match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.Atoi: parsing {}: {what}", tend_promql::quoted(text))
    })
}

/// Seconds since 1970 with a fraction, or RFC 3339.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    if let Some(seconds) = number(text).filter(|seconds| seconds.is_finite()) {
        let (whole, fraction) = (seconds.trunc(), (seconds.fract() * 1000.0).round());
        // A cast of what is too large gives the largest.
        let millis = (whole as i64).saturating_mul(1000).saturating_add(fraction as i64);
        return Ok(millis.clamp(-TIME_MAX, TIME_MAX));
    }
    parse_rfc3339(text).ok_or_else(|| format!("cannot parse {} to a valid timestamp", tend_promql::quoted(text)))
}

/// A length of time in milliseconds: seconds with a fraction, or as `1h30m`.
pub(crate) fn duration(text: &str) -> Result<i64, String> {
    if let Some(seconds) = number(text).filter(|seconds| !seconds.is_nan()) {
        // What fits into 64 bits of nanoseconds.
        if seconds.abs() > 9_223_372_036.854_775 {
            let text = tend_promql::quoted(text);
            return Err(format!("cannot parse {text} to a valid duration. It overflows int64"));
        }
        return Ok((seconds * 1000.0) as i64);
    }
    parse_duration(text).ok_or_else(|| format!("cannot parse {} to a valid duration", tend_promql::quoted(text)))
}

/// A number without blanks around it.
fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_lengths_are_read() {
        for (text, wanted) in [
            ("1700000000", 1_700_000_000_000),
            ("1700000000.1234", 1_700_000_000_123),
            ("1e3", 1_000_000),
            ("-1.5", -1500),
            ("1e300", TIME_MAX),
            ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ] {
            assert_eq!(parse_time(text), Ok(wanted), "{text}");
        }
        for wrong in ["", "abc", "NaN", "Inf", " 1"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            (duration("15"), duration("1m30s"), duration("0.5"), duration("-3")),
            (Ok(15_000), Ok(90_000), Ok(500), Ok(-3000))
        );
        for wrong in ["", "x", "1m1h", "1e30", "Inf", "NaN"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
