//! Another server, a Prometheus or a VictoriaMetrics, in the place of the store that is built in: it is asked for whole queries, and for series
//! where a query is evaluated here. Asks over HTTP and waits, so it is for threads that may wait.
//!
//! Invariant: a server that hangs keeps nobody for longer than [`WITHIN`] at a time: after that it is left alone for a while, and who asks is told
//! at once (test `a_server_that_hangs_is_left_alone_for_a_while`).

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tend_base::{Secret, with_causes};
use tend_fetch::{Address, Client, FetchError, Request, TlsSettings};
use tend_promql::{
    Labels, Matcher, Sample, Samples, Selection, Series, StoreError, Timestamp, Value, VectorSample, Whole,
};

/// The longest that one question may take.
const WITHIN: Duration = Duration::from_secs(10);

/// How long a server that did not answer in time is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(5);

/// The largest answer.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Another server.
pub(crate) struct Remote {
    base: Secret,
    /// Where it is, without what may be secret.
    at: String,
    client: Client,
    /// Of its own: who asks may hold what the monitor's event loop waits for. Taken out to be dropped.
    runtime: Option<tokio::runtime::Runtime>,
    /// Names that rules make here. They are read here: nobody else has them at the moment they are made.
    made: BTreeSet<String>,
    within: Duration,
    silent_until: Mutex<Option<Instant>>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // It may be dropped on an event loop, which must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Remote {
    /// A server by its base URL, and the names that are read here all the same.
    ///
    /// # Errors
    /// When the URL cannot be used, in words for a person.
    pub(crate) fn new(url: &Secret, made: BTreeSet<String>) -> Result<Self, String> {
        let wrong = |why: String| format!("`metrics.prometheus` cannot be used: {why}");
        let address = Address::parse(url.expose()).map_err(|error| wrong(with_causes(&error)))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            base: Secret::new(url.expose().trim_end_matches('/').to_owned()),
            at: address.at(),
            // A query is sent once: one on a kept connection that turns out to be dead would be lost.
            client: Client::new(TlsSettings::default(), 0),
            runtime: Some(runtime),
            made,
            within: WITHIN,
            silent_until: Mutex::new(None),
        })
    }

    /// Whether what matchers choose is made here.
    pub(crate) fn is_made(&self, name: &str) -> bool {
        self.made.contains(name) || name.starts_with("tend_score")
    }

    /// Answers a whole query; nothing where it reads what is made here.
    pub(crate) fn answer(&self, whole: &Whole<'_>) -> Option<Result<Value, StoreError>> {
        let made = match whole.expr.metric_names() {
            Some(names) => names.into_iter().any(|name| self.is_made(name)),
            // What is chosen by something else than a name is wherever most is.
            None => false,
        };
        if made {
            return None;
        }
        let query = whole.expr.to_string();
        let answered = match whole.step {
            None => self.ask("query", &[("query", &query), ("time", &seconds(whole.from))]),
            Some(step) => self.ask(
                "query_range",
                &[
                    ("query", &query),
                    ("start", &seconds(whole.from)),
                    ("end", &seconds(whole.to)),
                    ("step", &seconds(step)),
                ],
            ),
        };
        Some(
            answered.and_then(|data| {
                value(&data).ok_or_else(|| self.error("its answer is not one of the API of Prometheus"))
            }),
        )
    }

    /// Hands out the samples of series. Markers of series that ended are not among them: the API does not tell them.
    pub(crate) fn select(
        &self,
        selection: &Selection<'_>,
        each: &mut dyn FnMut(&Labels, Samples<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        // From before the first one on: a window may leave its oldest end out, or take it in.
        let width = selection.to.saturating_sub(selection.from).max(0).saturating_add(1);
        let query = format!("{}[{width}ms]", selector(selection.matchers));
        let data = self.ask("query", &[("query", &query), ("time", &seconds(selection.to))])?;
        let Some(Value::Matrix(all)) = value(&data) else {
            return Err(self.error("its answer is not one of the API of Prometheus"));
        };
        for series in all {
            let times: Vec<Timestamp> = series.samples.iter().map(|sample| sample.time).collect();
            let values: Vec<f64> = series.samples.iter().map(|sample| sample.value).collect();
            if each(&series.labels, Samples::new(&times, &values)).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Hands out the labels of series.
    pub(crate) fn series(
        &self,
        matchers: &[Matcher],
        (from, to): (Timestamp, Timestamp),
        each: &mut dyn FnMut(&Labels),
    ) -> Result<(), StoreError> {
        let data = self.list("series", matchers, (from, to))?;
        for one in data.as_array().into_iter().flatten() {
            each(&labels(one));
        }
        Ok(())
    }

    /// Asks an endpoint that lists texts of series.
    pub(crate) fn listed(
        &self,
        endpoint: &str,
        matchers: &[Matcher],
        range: (Timestamp, Timestamp),
    ) -> Result<BTreeSet<String>, StoreError> {
        let data = self.list(endpoint, matchers, range)?;
        let texts = data.as_array().into_iter().flatten().filter_map(Json::as_str);
        Ok(texts.map(str::to_owned).collect())
    }

    fn list(
        &self,
        endpoint: &str,
        matchers: &[Matcher],
        (from, to): (Timestamp, Timestamp),
    ) -> Result<Json, StoreError> {
        let mut asked = vec![("match[]", selector(matchers))];
        // A server takes no time that is further away than its own numbers reach.
        for (key, time) in [("start", from), ("end", to)] {
            if time.unsigned_abs() < 1 << 53 {
                asked.push((key, seconds(time)));
            }
        }
        let asked: Vec<(&str, &str)> = asked.iter().map(|(key, value)| (*key, value.as_str())).collect();
        self.ask(endpoint, &asked)
    }

    /// Asks an endpoint; returns `data` of its answer.
    fn ask(&self, endpoint: &str, asked: &[(&str, &str)]) -> Result<Json, StoreError> {
        if self.silent().is_some_and(|until| Instant::now() < until) {
            return Err(self.error("it did not answer in time and is left alone for a moment"));
        }
        let mut form = form_urlencoded::Serializer::new(String::new());
        let form = form.extend_pairs(asked).finish();
        // Values of a label are the one thing that is asked by GET alone; a query may be longer than a path.
        let gets = endpoint.starts_with("label/");
        let url = match gets {
            true => format!("{}/api/v1/{endpoint}?{form}", self.base.expose()),
            false => format!("{}/api/v1/{endpoint}", self.base.expose()),
        };
        let address = Address::parse(&url).map_err(|error| self.error(&with_causes(&error)))?;
        let mut request = match gets {
            true => Request::get(address),
            false => Request::post(address, "application/x-www-form-urlencoded", form),
        };
        request.within = self.within;
        request.answer_bytes_max = ANSWER_BYTES_MAX;
        let runtime = self
            .runtime
            .as_ref()
            .expect("invariant: taken when it is dropped alone");
        let answer = runtime.block_on(self.client.send(&request)).map_err(|error| {
            if matches!(error, FetchError::Silent { .. } | FetchError::Unconnected { .. }) {
                *self.silent() = Some(Instant::now() + LEFT_ALONE);
            }
            self.error(&with_causes(&error))
        })?;
        if answer.cut {
            return Err(self.error("its answer is larger than 256 MiB; ask for less"));
        }
        let body: Json = serde_json::from_slice(&answer.body)
            .map_err(|_| self.error(&format!("it answered {} and no JSON", answer.status)))?;
        match body["status"].as_str() {
            Some("success") => Ok(body["data"].clone()),
            _ => Err(self.error(body["error"].as_str().unwrap_or("it gives no reason"))),
        }
    }

    fn silent(&self) -> MutexGuard<'_, Option<Instant>> {
        self.silent_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, why: &str) -> StoreError {
        StoreError::new(format!("{} (`metrics.prometheus`) was asked: {why}", self.at))
    }
}

/// A time, or a length of time, as the API takes it.
fn seconds(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    format!("{sign}{}.{:03}", ms / 1000, ms % 1000)
}

/// Matchers as a selector.
fn selector(matchers: &[Matcher]) -> String {
    let all: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    match all.is_empty() {
        // Everything has a name.
        true => "{__name__=~\".+\"}".to_owned(),
        false => format!("{{{}}}", all.join(",")),
    }
}

fn labels(json: &Json) -> Labels {
    let pairs = json.as_object().into_iter().flatten();
    Labels::from_pairs(pairs.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())))
}

/// A time and a value.
fn sample(json: &Json) -> Option<Sample> {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "times have no more than three digits behind the point"
    )]
    let time = (json.get(0)?.as_f64()? * 1000.0).round() as i64;
    let value = match json.get(1)?.as_str()? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        number => number.parse().ok()?,
    };
    Some(Sample { time, value })
}

/// What `data` of an answer says; nothing where it is something else.
fn value(data: &Json) -> Option<Value> {
    let result = &data["result"];
    Some(match data["resultType"].as_str()? {
        "scalar" => Value::Scalar(sample(result)?),
        "string" => Value::Text(result.get(1)?.as_str()?.to_owned()),
        "vector" => {
            let all = result.as_array()?.iter();
            let all = all.map(|one| {
                Some(VectorSample {
                    labels: labels(&one["metric"]),
                    sample: sample(&one["value"])?,
                })
            });
            Value::Vector(all.collect::<Option<_>>()?)
        }
        "matrix" => {
            let mut all = Vec::new();
            for one in result.as_array()? {
                let samples: Option<Vec<Sample>> = one["values"].as_array()?.iter().map(sample).collect();
                all.push(Series {
                    labels: labels(&one["metric"]),
                    samples: samples?,
                });
            }
            all.sort_by(|one, other| one.labels.cmp(&other.labels));
            Value::Matrix(all)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::TcpListener;
    use std::ops::ControlFlow;
    use std::time::Duration;

    use serde_json::json;
    use tend_base::Secret;
    use tend_promql::{Matcher, Selection, Value, Whole, parse};

    use super::{Remote, seconds, selector, value};

    #[test]
    fn times_and_selectors_are_written_as_the_api_reads_them() {
        assert_eq!(seconds(1_700_000_000_007), "1700000000.007");
        assert_eq!(seconds(-20), "-0.020");
        let matchers = [Matcher::equal("__name__", "up"), Matcher::equal("job", "a\"b")];
        assert_eq!(selector(&matchers), "{__name__=\"up\",job=\"a\\\"b\"}");
        assert_eq!(selector(&[]), "{__name__=~\".+\"}");
    }

    #[test]
    fn values_are_read_also_those_that_are_no_numbers_of_json() {
        let data = json!({ "resultType": "vector", "result": [
            { "metric": { "__name__": "a" }, "value": [1.5, "+Inf"] },
            { "metric": {}, "value": [1.5, "1e-3"] },
        ] });
        let Some(Value::Vector(all)) = value(&data) else {
            panic!("no vector")
        };
        assert_eq!(
            all.iter().map(|one| one.sample.value).collect::<Vec<_>>(),
            [f64::INFINITY, 0.001]
        );
        assert_eq!(all[0].sample.time, 1500);
        assert_eq!(
            value(&json!({ "resultType": "vector", "result": [{ "metric": {}, "value": [1, "x"] }] })),
            None
        );
        assert_eq!(value(&json!({ "resultType": "other", "result": [] })), None);
    }

    #[test]
    fn what_rules_make_is_not_asked_elsewhere() {
        let remote = Remote::new(
            &Secret::new("http://127.0.0.1:1/".to_owned()),
            BTreeSet::from(["a:sum".to_owned()]),
        )
        .unwrap();
        let answer = |text: &str| {
            let expr = parse(text).unwrap();
            remote.answer(&Whole {
                expr: &expr,
                from: 0,
                to: 0,
                step: None,
            })
        };
        assert!(answer("sum(a:sum) + b").is_none());
        assert!(answer("tend_score_value").is_none());
        let error = answer("rate(b[5m])").unwrap().unwrap_err().to_string();
        assert!(
            error.contains("127.0.0.1:1") && error.contains("metrics.prometheus"),
            "{error}"
        );
    }

    #[test]
    fn a_server_that_hangs_is_left_alone_for_a_while() {
        // Connections are taken by the kernel, and nobody answers.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let mut remote = Remote::new(&Secret::new(url), BTreeSet::new()).unwrap();
        remote.within = Duration::from_millis(50);
        let up = [Matcher::equal("__name__", "up")];
        let ask = || remote.select(&Selection::new(&up, 0, 1), &mut |_, _| ControlFlow::Continue(()));
        assert!(!ask().unwrap_err().to_string().contains("left alone"));
        assert!(ask().unwrap_err().to_string().contains("left alone"));
    }
}
