//! `.Name` of a value: fields, keys, and the methods that Go's types have.

use std::collections::BTreeMap;

use crate::functions::Param;
use crate::value::duration::SECOND;
use crate::value::time::{DAYS, MONTHS};
use crate::value::{Duration, List, ListKind, Map, MapKind, Time, Value};

/// What a name means for a value.
pub(crate) enum Member {
    /// A field or a key.
    Value(Value),
    /// A key that a map of anything does not have.
    Absent,
    /// A method, which wants these arguments.
    Method(&'static [Param], Method),
    /// Nothing.
    None,
}

/// A method with the value it belongs to still to be given.
pub(crate) type Method = fn(&Value, &[Value]) -> Result<Value, String>;

/// Finds a member of a value.
pub(crate) fn member(receiver: &Value, name: &str) -> Member {
    let method = match receiver {
        Value::Time(_) => time_method(name),
        Value::Duration(_) => duration_method(name),
        Value::Word { .. } if name == "String" => Some((NO_PARAMS, string as Method)),
        Value::Map(map) if map.kind == MapKind::Labels => labels_method(name),
        Value::List(list) if list.kind == ListKind::Pairs => pairs_method(name),
        Value::List(list) if list.kind == ListKind::Alerts => alerts_method(name),
        _ => None,
    };
    if let Some((params, method)) = method {
        return Member::Method(params, method);
    }
    match receiver {
        Value::Struct(_) => receiver
            .field(name)
            .map_or(Member::None, |value| Member::Value(value.clone())),
        Value::Map(map) => match map.entries.get(name) {
            Some(value) => Member::Value(value.clone()),
            None if map.kind == MapKind::Any => Member::Absent,
            None => Member::Value(Value::from("")),
        },
        _ => Member::None,
    }
}

const NO_PARAMS: &[Param] = &[];

type Found = Option<(&'static [Param], Method)>;

fn string(receiver: &Value, _: &[Value]) -> Result<Value, String> {
    Ok(crate::format::display(receiver).into())
}

fn labels_method(name: &str) -> Found {
    Some(match name {
        "SortedPairs" => (NO_PARAMS, |receiver, _| {
            Ok(pairs(receiver, |pair| pair.clone(), ListKind::Pairs))
        }),
        "Names" => (NO_PARAMS, |receiver, _| {
            Ok(pairs(receiver, |pair| part(pair, "Name"), ListKind::Texts))
        }),
        "Values" => (NO_PARAMS, |receiver, _| {
            Ok(pairs(receiver, |pair| part(pair, "Value"), ListKind::Texts))
        }),
        "Remove" => (&[Param::Texts], |receiver, args| {
            let (Value::Map(map), [Value::List(names)]) = (receiver, args) else {
                return Ok(receiver.clone());
            };
            Ok(Value::map(without(map, names), MapKind::Labels))
        }),
        "String" => (NO_PARAMS, string),
        _ => return None,
    })
}

fn without(map: &Map, names: &List) -> BTreeMap<String, Value> {
    let removed = |name: &str| names.items.iter().any(|item| item.as_text() == Some(name));
    let kept = map.entries.iter().filter(|(name, _)| !removed(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The pairs of labels: the name of the alert first, the others sorted.
pub(crate) fn sorted_pairs(map: &Map) -> Vec<Value> {
    let mut names: Vec<&String> = map.entries.keys().collect();
    names.sort_by_key(|name| (name.as_str() != "alertname", name.as_str()));
    let pair = |name: &String| {
        let value = map.entries.get(name).cloned().unwrap_or(Value::Nil);
        Value::structure(
            "template.Pair",
            vec![("Name", "Name", name.as_str().into()), ("Value", "Value", value)],
        )
    };
    names.into_iter().map(pair).collect()
}

fn pairs(receiver: &Value, take: fn(&Value) -> Value, kind: ListKind) -> Value {
    let found = match receiver {
        Value::Map(map) => sorted_pairs(map),
        Value::List(list) => list.items.clone(),
        _ => Vec::new(),
    };
    Value::list(found.iter().map(take).collect(), kind)
}

fn part(pair: &Value, name: &str) -> Value {
    pair.field(name).cloned().unwrap_or(Value::Nil)
}

fn pairs_method(name: &str) -> Found {
    Some(match name {
        "Names" => (NO_PARAMS, |receiver, _| {
            Ok(pairs(receiver, |pair| part(pair, "Name"), ListKind::Texts))
        }),
        "Values" => (NO_PARAMS, |receiver, _| {
            Ok(pairs(receiver, |pair| part(pair, "Value"), ListKind::Texts))
        }),
        "String" => (NO_PARAMS, string),
        _ => return None,
    })
}

fn alerts_method(name: &str) -> Found {
    fn with_status(receiver: &Value, status: &str) -> Value {
        let Value::List(list) = receiver else {
            return receiver.clone();
        };
        let has = |alert: &&Value| alert.field("Status").and_then(Value::as_text) == Some(status);
        Value::list(list.items.iter().filter(has).cloned().collect(), ListKind::Alerts)
    }
    Some(match name {
        "Firing" => (NO_PARAMS, |receiver, _| Ok(with_status(receiver, "firing"))),
        "Resolved" => (NO_PARAMS, |receiver, _| Ok(with_status(receiver, "resolved"))),
        _ => return None,
    })
}

fn duration_method(name: &str) -> Found {
    fn of(receiver: &Value) -> Duration {
        if let Value::Duration(duration) = receiver {
            *duration
        } else {
            Duration(0)
        }
    }
    fn other(args: &[Value]) -> Duration {
        args.first().map_or(Duration(0), of)
    }
    Some(match name {
        "String" => (NO_PARAMS, string),
        "Seconds" => (NO_PARAMS, |receiver, _| Ok(of(receiver).seconds().into())),
        "Minutes" => (NO_PARAMS, |receiver, _| Ok(of(receiver).in_unit(60 * SECOND).into())),
        "Hours" => (NO_PARAMS, |receiver, _| Ok(of(receiver).in_unit(3600 * SECOND).into())),
        "Milliseconds" => (NO_PARAMS, |receiver, _| Ok((of(receiver).0 / 1_000_000).into())),
        "Microseconds" => (NO_PARAMS, |receiver, _| Ok((of(receiver).0 / 1_000).into())),
        "Nanoseconds" => (NO_PARAMS, |receiver, _| Ok(of(receiver).0.into())),
        "Abs" => (NO_PARAMS, |receiver, _| {
            Ok(Value::Duration(Duration(of(receiver).0.saturating_abs())))
        }),
        "Truncate" => (&[Param::Duration], |receiver, args| {
            Ok(Value::Duration(of(receiver).truncate(other(args))))
        }),
        "Round" => (&[Param::Duration], |receiver, args| {
            Ok(Value::Duration(of(receiver).round(other(args))))
        }),
        _ => return None,
    })
}

fn time_method(name: &str) -> Found {
    fn of(receiver: &Value) -> Time {
        if let Value::Time(time) = receiver {
            time.clone()
        } else {
            Time::none()
        }
    }
    fn order(receiver: &Value, args: &[Value]) -> std::cmp::Ordering {
        let (one, other) = (of(receiver), args.first().map_or_else(Time::none, of));
        (one.unix, one.nanos).cmp(&(other.unix, other.nanos))
    }
    fn nanos(args: &[Value]) -> i64 {
        if let Some(Value::Duration(duration)) = args.first() {
            duration.0
        } else {
            0
        }
    }
    /// To a multiple of a span since the year 1, as Go counts.
    fn multiple(receiver: &Value, args: &[Value], nearest: bool) -> Value {
        let (time, step) = (of(receiver), i128::from(nanos(args)));
        if step <= 0 {
            return Value::Time(time);
        }
        let since = i128::from(time.unix - crate::value::time::ZERO) * 1_000_000_000 + i128::from(time.nanos);
        let rest = since.rem_euclid(step);
        let shift = if nearest && rest * 2 >= step {
            step - rest
        } else {
            -rest
        };
        Value::Time(time.plus_nanos(i64::try_from(shift).unwrap_or(0)))
    }
    fn number(value: u32) -> Value {
        Value::Int(i64::from(value))
    }
    Some(match name {
        "String" => (NO_PARAMS, string),
        "Format" => (&[Param::Text], |receiver, args| {
            Ok(of(receiver)
                .format(args.first().and_then(Value::as_text).unwrap_or_default())
                .into())
        }),
        "Unix" => (NO_PARAMS, |receiver, _| Ok(of(receiver).unix.into())),
        "UnixMilli" => (NO_PARAMS, |receiver, _| {
            let time = of(receiver);
            Ok(time
                .unix
                .saturating_mul(1000)
                .saturating_add(i64::from(time.nanos / 1_000_000))
                .into())
        }),
        "UnixMicro" => (NO_PARAMS, |receiver, _| {
            let time = of(receiver);
            Ok(time
                .unix
                .saturating_mul(1_000_000)
                .saturating_add(i64::from(time.nanos / 1_000))
                .into())
        }),
        "UnixNano" => (NO_PARAMS, |receiver, _| Ok(of(receiver).unix_nanos().into())),
        "Year" => (NO_PARAMS, |receiver, _| Ok(of(receiver).civil().year.into())),
        "Month" => (NO_PARAMS, |receiver, _| {
            let month = of(receiver).civil().month;
            let text = MONTHS[(month as usize + 11) % 12];
            Ok(Value::Word {
                number: i64::from(month),
                text,
                of: "time.Month",
            })
        }),
        "Weekday" => (NO_PARAMS, |receiver, _| {
            let day = of(receiver).civil().weekday;
            Ok(Value::Word {
                number: i64::from(day),
                text: DAYS[day as usize % 7],
                of: "time.Weekday",
            })
        }),
        "Day" => (NO_PARAMS, |receiver, _| Ok(number(of(receiver).civil().day))),
        "YearDay" => (NO_PARAMS, |receiver, _| Ok(number(of(receiver).civil().yearday))),
        "Hour" => (NO_PARAMS, |receiver, _| Ok(number(of(receiver).civil().hour))),
        "Minute" => (NO_PARAMS, |receiver, _| Ok(number(of(receiver).civil().minute))),
        "Second" => (NO_PARAMS, |receiver, _| Ok(number(of(receiver).civil().second))),
        "Nanosecond" => (NO_PARAMS, |receiver, _| Ok(number(of(receiver).nanos))),
        // What the machine's own zone is, a template does not get to know: `Local` is UTC.
        "UTC" | "Local" => (NO_PARAMS, |receiver, _| {
            let time = of(receiver);
            Ok(Value::Time(Time::utc(time.unix, time.nanos)))
        }),
        "IsZero" => (NO_PARAMS, |receiver, _| Ok(of(receiver).is_none().into())),
        "Before" => (&[Param::Time], |receiver, args| {
            Ok(order(receiver, args).is_lt().into())
        }),
        "After" => (&[Param::Time], |receiver, args| {
            Ok(order(receiver, args).is_gt().into())
        }),
        "Equal" => (&[Param::Time], |receiver, args| {
            Ok(order(receiver, args).is_eq().into())
        }),
        "Add" => (&[Param::Duration], |receiver, args| {
            Ok(Value::Time(of(receiver).plus_nanos(nanos(args))))
        }),
        "Sub" => (&[Param::Time], |receiver, args| {
            let (one, other) = (of(receiver), args.first().map_or_else(Time::none, of));
            Ok(Value::Duration(between(&other, &one)))
        }),
        "Truncate" => (&[Param::Duration], |receiver, args| Ok(multiple(receiver, args, false))),
        "Round" => (&[Param::Duration], |receiver, args| Ok(multiple(receiver, args, true))),
        _ => return None,
    })
}

/// The span from one moment to another, as long as it fits.
pub(crate) fn between(from: &Time, to: &Time) -> Duration {
    let nanos =
        (i128::from(to.unix) - i128::from(from.unix)) * 1_000_000_000 + i128::from(to.nanos) - i128::from(from.nanos);
    let limit = if nanos < 0 { i64::MIN } else { i64::MAX };
    Duration(i64::try_from(nanos).unwrap_or(limit))
}
