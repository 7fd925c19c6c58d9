//! The functions of Alertmanager's templates.

use std::collections::BTreeMap;

use crate::functions::builtin::safe;
use crate::functions::humanize::{humanize_duration, number};
use crate::functions::json::json;
use crate::functions::prometheus::replace_all;
use crate::functions::strings::{large, pattern, query_unescape, small, title_case};
use crate::functions::{Function, Param, function, made, text};
use crate::value::{ListKind, MapKind, Safe, Time, Value, between};

const TEXT: &[Param] = &[Param::Text];
const ANY: &[Param] = &[Param::Any];

pub(super) const FUNCTIONS: &[Function] = &[
    function("title", TEXT, None, |call, args| made(call, title_case(text(args, 0)))),
    function("toUpper", TEXT, None, |call, args| made(call, large(text(args, 0)))),
    function("toLower", TEXT, None, |call, args| made(call, small(text(args, 0)))),
    function("trimSpace", TEXT, None, |_, args| Ok(text(args, 0).trim().into())),
    function("join", &[Param::Text, Param::Texts], None, |call, args| {
        let Value::List(list) = &args[1] else {
            return Ok("".into());
        };
        let items: Vec<&str> = list.items.iter().filter_map(Value::as_text).collect();
        made(call, items.join(text(args, 0)))
    }),
    function("match", &[Param::Text, Param::Text], None, |_, args| {
        Ok(pattern(text(args, 0))?.is_match(text(args, 1)).into())
    }),
    function(
        "reReplaceAll",
        &[Param::Text, Param::Text, Param::Text],
        None,
        replace_all,
    ),
    function("safeHtml", TEXT, None, |_, args| Ok(safe(Safe::Html, &args[0]))),
    function("safeUrl", TEXT, None, |_, args| Ok(safe(Safe::Url, &args[0]))),
    function("urlUnescape", TEXT, None, |_, args| {
        match query_unescape(text(args, 0)) {
            Some(plain) => Ok(plain.into()),
            None => Err(format!(
                "`{}` has a `%` that is followed by no two hexadecimal digits",
                text(args, 0)
            )
            .into()),
        }
    }),
    function("stringSlice", &[], Some(Param::Text), |_, args| {
        Ok(Value::list(args.to_vec(), ListKind::Texts))
    }),
    function("date", &[Param::Text, Param::Time], None, |call, args| match &args[1] {
        Value::Time(time) => made(call, time.format(text(args, 0))),
        _ => Err("there is no time".into()),
    }),
    function("tz", &[Param::Text, Param::Time], None, |call, args| {
        let (Value::Time(time), zone) = (&args[1], text(args, 0)) else {
            return Err("there is no time".into());
        };
        match call.world.zone(zone, time.unix) {
            Some(offset) => Ok(Time { offset, ..time.clone() }.into()),
            None => Err(format!("there is no time zone `{zone}`; one is written like Europe/Paris").into()),
        }
    }),
    function("now", &[], None, |call, _| Ok(call.world.now().into())),
    function("since", &[Param::Time], None, |call, args| match &args[0] {
        Value::Time(time) => Ok(Value::Duration(between(time, &call.world.now()))),
        _ => Err("there is no time".into()),
    }),
    function("humanizeDuration", ANY, None, |_, args| {
        Ok(humanize_duration(number(&args[0])?).into())
    }),
    function("toJson", ANY, None, |call, args| made(call, json(&args[0])?)),
    function("list", &[], Some(Param::Any), |_, args| {
        Ok(Value::list(args.to_vec(), ListKind::Any))
    }),
    function("append", ANY, Some(Param::Any), |_, args| match &args[0] {
        Value::List(list) => {
            let items = list.items.iter().chain(&args[1..]).cloned().collect();
            Ok(Value::list(items, ListKind::Any))
        }
        Value::Nil => Ok(Value::list(args[1..].to_vec(), ListKind::Any)),
        other => Err(format!("a {} is not a list", other.type_name()).into()),
    }),
    function("dict", &[], Some(Param::Any), |_, args| {
        if !args.len().is_multiple_of(2) {
            return Err("names and values come in pairs; one of them is missing".into());
        }
        let entry = |pair: &[Value]| match &pair[0] {
            Value::Text(name) => Ok((name.to_string(), pair[1].clone())),
            other => Err(format!("a name is a text, not a {}", other.type_name())),
        };
        let entries = args.chunks(2).map(entry).collect::<Result<BTreeMap<_, _>, _>>()?;
        Ok(Value::map(entries, MapKind::Any))
    }),
];
