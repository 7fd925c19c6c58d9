//! Answers about configurations: what is in force and where it stands, revisions, changes. What is valid and what is taken is
//! `tend-config`; who owns the stands of all stacks is the keeper. Here is what is told of them.
//!
//! Invariant: of a secret nothing but its name and version is told, also of a key that was none when its revision was taken.

use std::collections::BTreeMap;
use std::time::Duration;

use tend_api::messages::{
    Accepted, ConfigAsk, ConfigAway, ConfigChanged, ConfigDiff, ConfigDifference, ConfigHeld, ConfigHistory,
    ConfigHistoryItem, ConfigKey, ConfigLayer, ConfigLiveness, ConfigPlace, ConfigReplica, ConfigReport,
    ConfigRevision, ConfigViolation,
};
use tend_api::{
    ApiError, ChangeConfig, Class, ConfigChange, ConfigDiffQuery, ConfigHistoryQuery, ConfigQuery, ConfirmConfig, Reply,
};
use tend_base::Secret;
use tend_config::{
    Asked, Diagnostic, Diff, Entry, Held, Holding, Key, Liveness, Location, Report, Revision, Schema, SecretRef,
    SecretVersion, Stand, Taker, Value, Whence, plan,
};
use tend_core::journal::Principal;
use tend_core::model::{DeliveryForm, StackName};
use tokio::sync::mpsc;

use crate::daemon::configuration::{self, Ask, Change, View};

/// What is shown of a value that was in the open once and is secret by now.
const MASK: &str = "***";

/// Shows all keys, or one.
pub(crate) async fn look(asks: &mpsc::Sender<Ask>, query: ConfigQuery) -> Result<Reply, ApiError> {
    let ConfigQuery { stack, key } = query;
    let looked = configuration::look(asks, &stack).await?;
    let schema = match (looked.stand.schema(), &key) {
        (Ok(schema), Some(name)) if schema.find(name).is_none() => return Err(no_key(&stack, &schema, name)),
        (Ok(schema), _) => Some(schema),
        (Err(_), _) => None,
    };
    let only = match (&schema, key) {
        (Some(schema), Some(name)) => schema.find(&name).map(|key| key.name.clone()),
        (None, name) => name,
        (Some(_), None) => None,
    };
    Ok(Reply::json(&report(&looked, schema.as_ref(), stack, only.as_deref())))
}

/// Lists the revisions that are kept.
pub(crate) async fn history(asks: &mpsc::Sender<Ask>, query: ConfigHistoryQuery) -> Result<Reply, ApiError> {
    let ConfigHistoryQuery { stack, limit } = query;
    let looked = configuration::look(asks, &stack).await?;
    let schema = looked.stand.schema().ok();
    let count = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let items = looked.stand.history().changes().take(count);
    let items = items.map(|(revision, diff)| ConfigHistoryItem {
        revision: told(&looked.stand, revision),
        changes: differences(&diff, schema.as_ref()),
    });
    Ok(Reply::json(&ConfigHistory {
        stack,
        items: items.collect(),
    }))
}

/// Compares two revisions.
pub(crate) async fn diff(asks: &mpsc::Sender<Ask>, query: ConfigDiffQuery) -> Result<Reply, ApiError> {
    let ConfigDiffQuery { stack, from, to } = query;
    let looked = configuration::look(asks, &stack).await?;
    let stand = &looked.stand;
    let kept = |number: u64| stand.history().get(number).ok_or_else(|| no_revision(stand, number));
    let Some(current) = stand.history().current() else {
        return Err(no_revision(stand, to.or(from).unwrap_or(1)));
    };
    let to = to.map_or(Ok(current), kept)?;
    let from = match from {
        Some(number) => Some(kept(number)?),
        None => stand.history().before(to.number),
    };
    let empty = BTreeMap::new();
    let before = from.map_or(&empty, |from| &from.entries);
    let schema = stand.schema().ok();
    Ok(Reply::json(&ConfigDiff {
        stack,
        from: from.map(|from| told(stand, from)),
        to: told(stand, to),
        changes: differences(&Diff::between(before, &to.entries), schema.as_ref()),
    }))
}

/// Changes keys, sets a preset, or goes back.
pub(crate) async fn change(asks: &mpsc::Sender<Ask>, asked: ChangeConfig, by: Principal) -> Result<Reply, ApiError> {
    let ChangeConfig {
        stack,
        change,
        confirm_ms,
    } = asked;
    let change = match change {
        ConfigChange::Set(keys) => Change::Set(keys.into_iter().collect()),
        ConfigChange::Clear(keys) => Change::Clear(keys),
        ConfigChange::Preset(name) => Change::Preset(name),
        ConfigChange::Back(number) => Change::Back(number),
    };
    let confirm = confirm_ms.map(Duration::from_millis);
    let taken = configuration::change(asks, &stack, change, confirm, &by).await?;
    let looked = configuration::look(asks, &stack).await?;
    let stand = &looked.stand;
    let schema = stand.schema().ok();
    // Another change may have followed by now; what this one came to is told.
    let revision = match taken {
        Some(number) => stand.history().get(number),
        None => stand.history().current(),
    };
    let diff = match (taken, revision) {
        (Some(_), Some(revision)) => {
            let before = stand.history().before(revision.number);
            before.map_or_else(Diff::default, |before| before.diff(revision))
        }
        _ => Diff::default(),
    };
    let asks = schema
        .as_ref()
        .map(|schema| plan(&diff, schema, &looked.takers))
        .unwrap_or_default();
    let asks = asks.into_iter().filter(|(_, ask)| ask.asked != Asked::Nothing);
    Ok(Reply::json(&ConfigChanged {
        stack,
        taken: taken.is_some(),
        revision: revision.map(|revision| told(stand, revision)),
        changes: differences(&diff, schema.as_ref()),
        asks: asks
            .map(|(service, ask)| ConfigAsk {
                service,
                asked: ask.asked.to_string(),
                keys: ask.keys,
            })
            .collect(),
    }))
}

/// Keeps a change that is taken back otherwise.
pub(crate) async fn confirm(asks: &mpsc::Sender<Ask>, asked: ConfirmConfig, by: Principal) -> Result<Reply, ApiError> {
    let ConfirmConfig { stack, revision } = asked;
    let number = configuration::change(asks, &stack, Change::Confirm(revision), None, &by).await?;
    let number = number.unwrap_or_default();
    Ok(Reply::json(&Accepted {
        message: format!("{stack}: revision {number} stays"),
    }))
}

/// Returns everything there is to see, of all keys or one.
fn report(looked: &View, schema: Option<&Schema>, stack: StackName, only: Option<&str>) -> ConfigReport {
    let stand = &looked.stand;
    let current = stand.history().current();
    let keys = schema
        .into_iter()
        .flat_map(|schema| schema.keys.values().map(move |key| (schema, key)));
    let keys = keys.filter(|(_, key)| only.is_none_or(|only| key.name == only));
    let (refused, warnings) = found(looked, schema);
    let replicas = looked.holders.iter().filter_map(|(name, holding)| {
        let taker = taker_of(&looked.takers, name)?;
        let drift = schema.into_iter().flat_map(|schema| schema.keys.values());
        let drift = drift.filter(|key| held(stand, taker, holding, key).is_some_and(|(_, drift)| drift));
        Some(ConfigReplica {
            replica: name.clone(),
            delivery: delivery(&taker.delivery).to_owned(),
            revision: holding.revision,
            is_replaced: holding.is_replaced,
            refused: holding.refused.clone(),
            drift: drift.map(|key| key.name.clone()).collect(),
        })
    });
    let (liveness, missing) = match &looked.liveness {
        Liveness::Live => (ConfigLiveness::Live, Vec::new()),
        Liveness::Going(names) => (ConfigLiveness::Going, names.iter().cloned().collect()),
        Liveness::Late(names) => (ConfigLiveness::Late, names.iter().cloned().collect()),
    };
    ConfigReport {
        stack,
        environment: stand.sources.environment.clone(),
        revision: current.map(|current| told(stand, current)),
        keys: keys.map(|(schema, key)| key_report(looked, schema, key)).collect(),
        replicas: replicas.collect(),
        liveness,
        missing,
        refused,
        warnings,
        waits_for_deployment: looked.waits,
        away: looked.away.as_ref().map(|(since, why)| ConfigAway {
            table: stand.sources.table.clone().unwrap_or_default(),
            since: *since,
            why: why.clone(),
        }),
    }
}

/// Returns what is wrong with what lies there now, and what may not be as meant.
fn found(looked: &View, schema: Option<&Schema>) -> (Vec<ConfigViolation>, Vec<ConfigViolation>) {
    // Nothing is taken of it, so nothing has to be told apart.
    let mark = |_: &Secret| String::new();
    let stand = &looked.stand;
    let built = match schema {
        Some(schema) => stand.build(schema, stand.set_layer(), &mark),
        None => stand
            .schema()
            .and_then(|schema| stand.build(&schema, stand.set_layer(), &mark)),
    };
    let (refused, warnings) = match &built {
        Ok(set) => (Vec::new(), violations(&set.warnings)),
        Err(Report(found)) => (violations(found), Vec::new()),
    };
    match &looked.refused {
        // What is valid by itself may be refused all the same: a file that cannot be read, a service that runs.
        Some(text) if refused.is_empty() => {
            let message = text.lines().next().unwrap_or_default();
            let message = message.strip_prefix("error: ").unwrap_or(message);
            let violation = ConfigViolation {
                severity: "error".to_owned(),
                key: None,
                message: message.to_owned(),
                place: String::new(),
                help: None,
                text: format!("{}\n", text.trim_end()),
            };
            (vec![violation], warnings)
        }
        _ => (refused, warnings),
    }
}

fn key_report(looked: &View, schema: &Schema, key: &Key) -> ConfigKey {
    let stand = &looked.stand;
    let entry = stand
        .history()
        .current()
        .and_then(|current| current.entries.get(&key.name));
    let beneath = entry.map(|entry| entry.beneath.as_slice()).unwrap_or_default();
    let held = looked.holders.iter().filter_map(|(name, holding)| {
        let taker = taker_of(&looked.takers, name)?;
        let (value, drift) = held(stand, taker, holding, key)?;
        Some(ConfigHeld {
            replica: name.clone(),
            revision: holding.revision,
            value,
            drift,
        })
    });
    ConfigKey {
        key: key.name.clone(),
        value: entry.map(|entry| shown(&entry.held, Some(key))),
        place: entry.map(|entry| place(&entry.whence)),
        beneath: beneath
            .iter()
            .map(|said| ConfigLayer {
                value: said.held.as_ref().map(|held| shown(held, Some(key))),
                place: place(&said.whence),
            })
            .collect(),
        secret: key.secret,
        required: key.required.applies(&stand.sources.environment),
        variable: key.variable.clone(),
        takes: key.shape.expected(),
        unit: key.shape.unit.clone(),
        reload: key.reload.to_string(),
        asks: asks_of(key, schema, &looked.takers),
        owner: key.owner.clone(),
        description: key.description.clone(),
        held: held.collect(),
    }
}

/// Returns what a change of a key would ask of the services that are given it.
fn asks_of(key: &Key, schema: &Schema, takers: &[Taker]) -> Vec<ConfigAsk> {
    let secret = SecretRef {
        name: key.name.clone(),
        version: SecretVersion::Stored(0),
    };
    let held = match key.secret {
        true => Held::Secret(secret),
        false => Held::Value(Value::Bool(true)),
    };
    let gone = Diff(vec![tend_config::Change {
        key: key.name.clone(),
        before: Some(held),
        after: None,
    }]);
    let asks = plan(&gone, schema, takers).into_iter();
    let asks = asks.filter(|(_, ask)| ask.asked != Asked::Nothing);
    let asks = asks.map(|(service, ask)| ConfigAsk {
        service,
        asked: ask.asked.to_string(),
        keys: Vec::new(),
    });
    asks.collect()
}

/// Returns what a replica holds of a key, and whether that is known to be another value than the one in force; none when the key is not
/// given to it.
fn held(stand: &Stand, taker: &Taker, holding: &Holding, key: &Key) -> Option<(Option<String>, bool)> {
    if !taker.keys.covers(&key.name, key.secret) {
        return None;
    }
    let revision = holding.revision.and_then(|number| stand.history().get(number));
    let entry = |revision: &Revision| revision.entries.get(&key.name).map(|entry| entry.held.clone());
    let held = revision.map(entry);
    let current = stand.history().current().map(entry);
    let drift = held.is_some() && held != current;
    let value = held.flatten().map(|held| shown(&held, Some(key)));
    Some((value, drift))
}

/// Returns who a replica belongs to: its name ends with `SERVICE/SLOT`.
fn taker_of<'a>(takers: &'a [Taker], replica: &str) -> Option<&'a Taker> {
    let service = replica.rsplit('/').nth(1)?;
    takers.iter().find(|taker| taker.service == service)
}

fn delivery(form: &DeliveryForm) -> &'static str {
    match form {
        DeliveryForm::Environment => "environment",
        DeliveryForm::File { .. } => "file",
        DeliveryForm::Watch => "watch",
    }
}

/// Returns a value as it may be seen: what is secret by now is masked, whatever it was when it was taken.
fn shown(held: &Held, key: Option<&Key>) -> String {
    match held {
        Held::Value(_) if key.is_some_and(|key| key.secret) => MASK.to_owned(),
        held => held.to_string(),
    }
}

fn place(whence: &Whence) -> ConfigPlace {
    let bare = Whence {
        who: None,
        when: None,
        ..whence.clone()
    };
    ConfigPlace {
        layer: whence.layer.to_string(),
        place: bare.to_string(),
        who: whence.who.clone(),
        when: whence.when.clone(),
    }
}

fn differences(diff: &Diff, schema: Option<&Schema>) -> Vec<ConfigDifference> {
    let changes = diff.0.iter().map(|change| {
        let key = schema.and_then(|schema| schema.keys.get(&change.key));
        let after: Option<&Entry> = change.after.as_ref();
        ConfigDifference {
            key: change.key.clone(),
            before: change.before.as_ref().map(|held| shown(held, key)),
            after: after.map(|entry| shown(&entry.held, key)),
            place: after.map(|entry| place(&entry.whence)),
        }
    });
    changes.collect()
}

fn told(stand: &Stand, revision: &Revision) -> ConfigRevision {
    let in_force = stand
        .history()
        .current()
        .is_some_and(|current| current.number == revision.number);
    ConfigRevision {
        number: revision.number,
        taken_at: revision.when,
        taken_by: revision.who.clone(),
        back_to: revision.back_to,
        in_force,
        confirm_until: stand
            .waiting()
            .filter(|waiting| waiting.revision == revision.number)
            .map(|waiting| waiting.until),
    }
}

fn violations(found: &[Diagnostic]) -> Vec<ConfigViolation> {
    let told = found.iter().map(|violation| ConfigViolation {
        severity: violation.severity.to_string(),
        key: violation.key.clone(),
        message: violation.message.clone(),
        place: match &violation.location {
            Location::File { file, line: 0, .. } => file.display().to_string(),
            Location::File { file, line, column, .. } => format!("{}:{line}:{column}", file.display()),
            Location::Elsewhere(what) => what.clone(),
        },
        help: violation.help.clone(),
        text: violation.to_string(),
    });
    told.collect()
}

fn no_key(stack: &StackName, schema: &Schema, name: &str) -> ApiError {
    ApiError::new(Class::NotFound, format!("{stack} has no key `{name}`")).hint(schema.suggestion(name))
}

fn no_revision(stand: &Stand, number: u64) -> ApiError {
    let oldest = stand.history().all().first().map(|revision| revision.number);
    let error = tend_config::Error::NoRevision { number, oldest };
    ApiError::from_error(Class::NotFound, &error).hint(error.hint())
}
