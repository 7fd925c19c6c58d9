//! `tend alerts fire-test`: sends a test of an alert by the real routes, waits for the receipts, and takes it back. What it sends is written in
//! `tend-alert`; nothing of it is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tend_alert::{Answer as Heard, Delivery, Language, RuleKind, Trial, TrialRoute};
use tend_base::Wall;
use tokio::task::JoinSet;

use crate::plan;
use crate::send::send;
use crate::server::Answer;
use crate::stack::{State, Watched};
use crate::view::STACK;
use crate::world::seconds_from_utc;

/// How long a receiver may take. It has as long again for the end of the test, and who asks waits for half a minute in all.
const WITHIN: Duration = Duration::from_secs(12);

/// What is asked.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Asked {
    /// The name of an alerting rule.
    rule: String,
    /// Who is to be told; everybody whom the rule's alerts go to where nobody is named.
    #[serde(default)]
    receivers: BTreeSet<String>,
    /// What the rule's series would add to its labels, or have instead.
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// How one means of a receiver took it.
#[derive(Debug, Serialize)]
struct Told {
    receiver: String,
    means: &'static str,
    #[serde(rename = "where")]
    at: String,
    told_at: String,
    /// `confirmed`, `failed` (it may help to try again) or `refused`.
    answer: &'static str,
    said: String,
    took_ms: u128,
}

/// Does what is asked in somebody's name; ends when every receiver answered or did not in time, and the test was taken back.
pub(crate) async fn fire(stack: Arc<Watched>, asked: Asked, by: String) -> Answer {
    // The rules may be under evaluation, which waits for another server where the stack has one: nobody else is to wait for that.
    let (of, what, whose) = (Arc::clone(&stack), asked.clone(), by.clone());
    let trials = match tokio::task::spawn_blocking(move || trials(&of, &what, &whose)).await {
        Ok(Ok(trials)) => trials,
        Ok(Err(answer)) => return answer,
        // It is not cancelled, so it panicked; so does who asked.
        Err(gone) => std::panic::resume_unwind(gone.into_panic()),
    };
    let routes = || trials.iter().map(|trial| trial.routes.iter());
    let firing = tell(&stack, routes().map(|routes| routes.flat_map(|route| &route.firing))).await;
    let resolved = tell(&stack, routes().map(|routes| routes.flat_map(|route| &route.resolved))).await;
    let (mut told, mut failed) = (BTreeSet::new(), BTreeSet::new());
    for one in firing.iter().chain(&resolved).flatten() {
        let names = if one.answer == "confirmed" {
            &mut told
        } else {
            &mut failed
        };
        names.insert(one.receiver.clone());
    }
    let ok = failed.is_empty() && firing.iter().all(|of_one| !of_one.is_empty());
    let tests: Vec<Value> = (trials.iter().zip(&firing).zip(&resolved))
        .map(|((trial, firing), resolved)| shown(&stack, trial, firing, resolved))
        .collect();
    told.retain(|name| !failed.contains(name));
    let data = json!({ "rule": asked.rule, "by": by, "told": told, "failed": failed });
    stack.outbox.put(crate::now_ms(), &stack.name, "alert.tested", data);
    Answer::json(&json!({ "rule": asked.rule, "ok": ok, "tests": tests }))
}

/// Writes a test for each rule of the name: rules for several severities often have one name.
fn trials(stack: &Watched, asked: &Asked, by: &str) -> Result<Vec<Trial>, Answer> {
    let now = crate::now_ms();
    let standing = stack.rules();
    let state = stack.state();
    let alerting = || {
        let rules = standing
            .engine
            .groups()
            .iter()
            .flat_map(tend_rules::StandingGroup::rules);
        rules
            .map(tend_rules::Standing::rule)
            .filter(|rule| matches!(rule.kind, RuleKind::Alert { .. }))
    };
    let mut trials: Vec<Trial> = Vec::new();
    for rule in alerting().filter(|rule| rule.name() == asked.rule) {
        // A label that a template makes of a series is not known before there is one.
        let plain = rule.labels.iter().filter(|(_, text)| !text.contains("{{"));
        let mut labels = plan::by_name(&state.external_labels);
        labels.insert(STACK.to_owned(), stack.name.clone());
        labels.extend(plain.map(|(name, text)| (name.clone(), text.clone())));
        labels.extend(asked.labels.clone());
        labels.insert("alertname".to_owned(), rule.name().to_owned());
        let trial = state
            .pipeline
            .trial(labels, texts(&state, rule.name(), by), now, &seconds_from_utc)
            .map_err(|error| Answer::text(400, error.to_string()))?;
        if trials.iter().all(|known| known.alert.labels != trial.alert.labels) {
            trials.push(trial);
        }
    }
    if trials.is_empty() {
        let names: BTreeSet<&str> = alerting().map(tend_alert::Rule::name).collect();
        let names: Vec<&str> = names.into_iter().collect();
        return Err(Answer::text(
            404,
            match names.is_empty() {
                true => "the stack has no alerting rules".to_owned(),
                false => format!(
                    "there is no alerting rule `{}`; there are: {}",
                    asked.rule,
                    names.join(", ")
                ),
            },
        ));
    }
    only(&mut trials, &asked.receivers)?;
    Ok(trials)
}

/// Leaves of the routes those of the receivers that are asked for.
fn only(trials: &mut [Trial], receivers: &BTreeSet<String>) -> Result<(), Answer> {
    if receivers.is_empty() {
        return Ok(());
    }
    let routes = || trials.iter().flat_map(|trial| &trial.routes);
    let goes_to: BTreeSet<&str> = routes().map(|route| route.receiver.as_str()).collect();
    if let Some(stray) = receivers.iter().find(|name| !goes_to.contains(name.as_str())) {
        let goes_to: Vec<&str> = goes_to.into_iter().collect();
        let told = format!(
            "its alerts do not go to a receiver `{stray}`; they go to: {}",
            goes_to.join(", ")
        );
        return Err(Answer::text(400, told));
    }
    for trial in trials {
        trial.routes.retain(|route| receivers.contains(&route.receiver));
    }
    Ok(())
}

/// What a test says, in the language of the stack.
fn texts(state: &State, rule: &str, by: &str) -> BTreeMap<String, String> {
    let [summary, description] = match state.language() {
        Language::English => [
            format!("[TEST] {rule}: a test of the way to you; nothing is wrong"),
            format!(
                "Sent by {by} with `tend alerts fire-test`, to see that such an alert gets here. It resolves by itself."
            ),
        ],
        Language::Chinese => [
            format!("【测试】{rule}：这是一次告警送达测试，没有发生任何故障"),
            format!("由 {by} 通过 `tend alerts fire-test` 发出，用于确认此类告警能够送达，会自动恢复，无需处理。"),
        ],
    };
    [("summary", summary), ("description", description)]
        .map(|(name, text)| (name.to_owned(), text))
        .into()
}

/// Sends all of them at once, and waits for their answers; they come back under the test they are of.
async fn tell<'a>(
    stack: &Arc<Watched>,
    tests: impl Iterator<Item = impl Iterator<Item = &'a Delivery>>,
) -> Vec<Vec<Told>> {
    let mut sending = JoinSet::new();
    let mut told = Vec::new();
    for (test, deliveries) in tests.enumerate() {
        told.push(Vec::new());
        for (at, delivery) in deliveries.enumerate() {
            let (stack, delivery) = (Arc::clone(stack), delivery.clone());
            sending.spawn(async move { ((test, at), tell_one(&stack, delivery).await) });
        }
    }
    let mut all = sending.join_all().await;
    all.sort_by_key(|(place, _)| *place);
    for ((test, _), one) in all {
        told[test].push(one);
    }
    told
}

async fn tell_one(stack: &Watched, delivery: Delivery) -> Told {
    let (config, templates, part) = {
        let state = stack.state();
        (
            state.pipeline.config().clone(),
            state.templates.clone(),
            state.part.clone(),
        )
    };
    let receiver = config.receivers.get(&delivery.receiver);
    let integration = receiver.and_then(|receiver| receiver.integrations.get(delivery.integration));
    let means = integration.map_or("", |integration| integration.kind.name());
    let (told_at, begun) = (crate::now_ms(), Instant::now());
    let sent = send(&stack.notifier, &config, &templates, &part, &delivery);
    let (answer, at, said) = match tokio::time::timeout(WITHIN, sent).await {
        Err(_) => (
            "failed",
            String::new(),
            format!("no answer within {} s", WITHIN.as_secs()),
        ),
        Ok((heard, _)) => match heard.answer {
            Heard::Confirmed => ("confirmed", heard.at, heard.said),
            Heard::Failed { .. } => ("failed", heard.at, heard.said),
            Heard::Refused { .. } => ("refused", heard.at, heard.said),
        },
    };
    Told {
        receiver: delivery.receiver,
        means,
        at,
        told_at: Wall(told_at.unsigned_abs()).to_rfc3339(),
        answer,
        said,
        took_ms: begun.elapsed().as_millis(),
    }
}

/// What is answered of one test.
fn shown(stack: &Watched, trial: &Trial, firing: &[Told], resolved: &[Told]) -> Value {
    let state = stack.state();
    let silences: Vec<Value> = state
        .pipeline
        .silences()
        .filter(|silence| trial.hushed.silenced_by.contains(&silence.id))
        .map(|silence| {
            json!({
                "id": silence.id,
                "by": silence.created_by,
                "reason": silence.reason,
                "ends_at": Wall(silence.ends_at.unsigned_abs()).to_rfc3339(),
            })
        })
        .collect();
    let inhibiting: Vec<&str> = state
        .pipeline
        .known()
        .filter(|alert| trial.hushed.inhibited_by.contains(&alert.fingerprint()))
        .map(tend_alert::Alert::name)
        .collect();
    let muted: Vec<&TrialRoute> = trial.routes.iter().filter(|route| route.muted).collect();
    json!({
        "labels": trial.alert.labels,
        "would_be": {
            "silenced_by": silences,
            "inhibited_by": inhibiting,
            "muted_for": muted.iter().map(|route| &route.receiver).collect::<Vec<_>>(),
        },
        "firing": firing,
        "resolved": resolved,
    })
}
