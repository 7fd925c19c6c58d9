//! Telling a replica something at its own port, such as to take no new work, and asking how much of it is left, such as in flight. Knows
//! nothing of what follows.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::Method;
use tend_core::model::Quiesce;
use tend_core::plan::QuiesceTurn;

use super::probe::{Body, request, within};
use crate::daemon::way::Way;

/// How long each of the two answers may take. A replica that is slow to answer is asked again.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Tells the replica at `port` unless it was told, asks it, and returns what it has in flight.
pub(super) async fn perform(port: u16, quiesce: &Quiesce, turn: QuiesceTurn) -> Result<u64, String> {
    let tell = (turn != QuiesceTurn::Ask).then_some(quiesce.path.as_str());
    tell_and_ask(port, tell, &quiesce.in_flight_path, quiesce.in_flight_metric.as_deref()).await
}

/// POSTs to one path of the replica at `port`, if it is to be told, and returns the number that a GET of the other answers.
pub(crate) async fn tell_and_ask(
    port: u16,
    tell: Option<&str>,
    path: &str,
    metric: Option<&str>,
) -> Result<u64, String> {
    if let Some(tell) = tell {
        exchange(port, Method::POST, tell).await?;
    }
    let body = exchange(port, Method::GET, path).await?;
    count(&body, metric).map_err(|why| format!("GET {path} {why}"))
}

/// Makes one request and returns the body of its answer, which has to be a success.
async fn exchange(port: u16, method: Method, path: &str) -> Result<String, String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let host = address.to_string();
    let answer = within(
        ANSWER_MAX,
        request(method.clone(), Way::plain(address), &host, path, None, Body::Whole),
    );
    let answer = answer.await.map_err(|why| {
        let said = why.starts_with(method.as_str());
        if said { why } else { format!("{method} {path}: {why}") }
    })?;
    if !answer.status().is_success() {
        return Err(format!("{method} {path} answered {}", answer.status()));
    }
    Ok(String::from_utf8_lossy(answer.body()).into_owned())
}

/// Reads how much there is: the number alone, or the sum of the samples of a metric, whatever their labels.
///
/// A fraction counts as the next whole number: half a payment in flight is one.
fn count(body: &str, metric: Option<&str>) -> Result<u64, String> {
    let Some(metric) = metric else {
        let text = body.trim();
        let start: String = text.chars().take(40).collect();
        return text
            .parse()
            .map_err(|_| format!("answered `{start}` where a number of things is wanted"));
    };
    let mut sum = None;
    for line in body.lines() {
        let Some(value) = sample(line.trim(), metric) else {
            continue;
        };
        let value = value.filter(|value| value.is_finite() && *value >= 0.0);
        let value = value.ok_or_else(|| format!("has a sample of `{metric}` that is no number of things: `{line}`"))?;
        sum = Some(sum.unwrap_or(0.0) + value);
    }
    let sum: f64 = sum.ok_or_else(|| format!("has no sample of `{metric}`"))?;
    // More than fits is more than anybody has in flight; `as` stops at the largest number there is.
    Ok(sum.ceil() as u64)
}

/// Returns the value of a line that is a sample of the metric, which may be no number; none when it is another line.
fn sample(line: &str, metric: &str) -> Option<Option<f64>> {
    let rest = line.strip_prefix(metric)?;
    let values = match rest.chars().next() {
        None | Some(' ' | '\t') => Some(rest),
        Some('{') => after_labels(rest),
        Some(_) => return None,
    };
    // Behind the value may stand a time and an example, with labels and a value of its own.
    let value = values.and_then(|values| values.split_whitespace().next());
    Some(value.and_then(|value| value.parse().ok()))
}

/// Returns what follows the labels of a sample; none when they do not end. A label's value may hold a brace of its own.
fn after_labels(text: &str) -> Option<&str> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return text.get(at + 1..),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_the_number_alone() {
        assert_eq!(count("0", None), Ok(0));
        assert_eq!(count(" 17\n", None), Ok(17));
        for body in ["", "none", "-1", "3 jobs", "{\"in_flight\":0}", "0.0"] {
            assert!(count(body, None).is_err(), "{body}");
        }
    }

    #[test]
    fn the_samples_of_the_metric_are_added_up() {
        let body = "# HELP jobs How many.\n# TYPE jobs gauge\njobs_total 9\njobs{kind=\"a}b\"} 2\njobs{kind=\"c\"} 0.5 1700000000\n";
        assert_eq!(count(body, Some("jobs")), Ok(3));
        assert_eq!(count(body, Some("jobs_total")), Ok(9));
        assert_eq!(count("jobs 0\n", Some("jobs")), Ok(0));
        let example = "jobs{kind=\"a\\\"}\"} 3 # {trace=\"x\"} 0\n";
        assert_eq!(count(example, Some("jobs")), Ok(3));
    }

    #[test]
    fn what_is_no_count_is_never_taken_for_none_in_flight() {
        for body in [
            "",
            "jobs_total 0",
            "jobs",
            "jobs{",
            "jobs 0\njobs{kind=\"a",
            "jobs 0\njobs",
            "jobs NaN",
            "jobs -1",
            "jobs +Inf",
            "jobs many",
            "# jobs 0",
        ] {
            assert!(count(body, Some("jobs")).is_err(), "{body}");
        }
    }
}
