//! The functions of Prometheus' templates.

use std::collections::BTreeMap;

use crate::functions::builtin::safe;
use crate::functions::humanize::{
    humanize, humanize_1024, humanize_duration, humanize_percentage, humanize_timestamp, moment, number,
};
use crate::functions::strings::{duration_seconds, large, pattern, small, split_host_port, title};
use crate::functions::{Answer, Call, Function, Param, Run, function, made, query_escape, text};
use crate::value::{Duration, ListKind, MapKind, Safe, Value};

const NONE: &[Param] = &[];
const ANY: &[Param] = &[Param::Any];
const TEXT: &[Param] = &[Param::Text];

pub(super) const FUNCTIONS: &[Function] = &[
    function("query", TEXT, None, |call, args| {
        let samples = call.world.query(text(args, 0))?;
        Ok(Value::list(
            samples.into_iter().map(Value::sample).collect(),
            ListKind::Samples,
        ))
    }),
    function("first", &[Param::Samples], None, |_, args| {
        samples(args, 0)
            .first()
            .cloned()
            .ok_or_else(|| "first() of a query without a result".into())
    }),
    function("label", &[Param::Text, Param::Sample], None, |_, args| {
        Ok(label(&args[1], text(args, 0)).into())
    }),
    function("value", &[Param::Sample], None, |_, args| {
        Ok(args[0].field("Value").cloned().unwrap_or(Value::Nil))
    }),
    function("strvalue", &[Param::Sample], None, |_, args| {
        Ok(label(&args[0], "__value__").into())
    }),
    function("sortByLabel", &[Param::Text, Param::Samples], None, |_, args| {
        let by = text(args, 0);
        let mut sorted = samples(args, 1).to_vec();
        sorted.sort_by(|one, two| label(one, by).cmp(label(two, by)));
        Ok(Value::list(sorted, ListKind::Samples))
    }),
    function("args", NONE, Some(Param::Any), |_, args| {
        let entries: BTreeMap<_, _> = args
            .iter()
            .enumerate()
            .map(|(at, arg)| (format!("arg{at}"), arg.clone()))
            .collect();
        Ok(Value::map(entries, MapKind::Any))
    }),
    Function {
        name: "tmpl",
        params: &[Param::Text, Param::Any],
        rest: None,
        run: Run::Tmpl,
    },
    function("humanize", ANY, None, |_, args| Ok(humanize(number(&args[0])?).into())),
    function("humanize1024", ANY, None, |_, args| {
        Ok(humanize_1024(number(&args[0])?).into())
    }),
    function("humanizeDuration", ANY, None, |_, args| {
        Ok(humanize_duration(number(&args[0])?).into())
    }),
    function("humanizePercentage", ANY, None, |_, args| {
        Ok(humanize_percentage(number(&args[0])?).into())
    }),
    function("humanizeTimestamp", ANY, None, |_, args| {
        Ok(humanize_timestamp(number(&args[0])?)?.into())
    }),
    function("toTime", ANY, None, |_, args| Ok(moment(number(&args[0])?)?.into())),
    function("toDuration", ANY, None, |_, args| {
        let nanos = number(&args[0])? * 1e9;
        if !nanos.is_finite() || nanos.abs() > 9.223_372_036_854_775e18 {
            return Err("this is too long for a duration".into());
        }
        #[allow(clippy::cast_possible_truncation, reason = "it was just seen that it fits")]
        Ok(Value::Duration(Duration(nanos as i64)))
    }),
    function("now", NONE, None, |call, _| {
        let now = call.world.now();
        #[allow(
            clippy::cast_precision_loss,
            reason = "seconds and milliseconds are what is asked for"
        )]
        Ok(Value::Float(
            (now.unix * 1000 + i64::from(now.nanos / 1_000_000)) as f64 / 1000.0,
        ))
    }),
    function("parseDuration", TEXT, None, |_, args| {
        match duration_seconds(text(args, 0)) {
            Some(seconds) => Ok(seconds.into()),
            None => Err(format!("`{}` is not a duration such as 5m or 1h30m", text(args, 0)).into()),
        }
    }),
    function("title", TEXT, None, |call, args| made(call, title(text(args, 0)))),
    function("toUpper", TEXT, None, |call, args| made(call, large(text(args, 0)))),
    function("toLower", TEXT, None, |call, args| made(call, small(text(args, 0)))),
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
    function("graphLink", TEXT, None, |call, args| {
        made(call, format!("/graph?g0.expr={}&g0.tab=0", query_escape(text(args, 0))))
    }),
    function("tableLink", TEXT, None, |call, args| {
        made(call, format!("/graph?g0.expr={}&g0.tab=1", query_escape(text(args, 0))))
    }),
    function("urlQueryEscape", TEXT, None, |call, args| {
        made(call, query_escape(text(args, 0)))
    }),
    function("stripPort", TEXT, None, |_, args| {
        Ok(split_host_port(text(args, 0))
            .map_or(text(args, 0), |(host, _)| host)
            .into())
    }),
    function("stripDomain", TEXT, None, |_, args| {
        Ok(strip_domain(text(args, 0)).into())
    }),
    function("pathPrefix", NONE, None, |call, _| {
        Ok(path(call.world.external_url()).into())
    }),
    function("externalURL", NONE, None, |call, _| {
        Ok(call.world.external_url().into())
    }),
];

fn samples(args: &[Value], at: usize) -> &[Value] {
    match args.get(at) {
        Some(Value::List(list)) => &list.items,
        _ => &[],
    }
}

fn label<'a>(sample: &'a Value, name: &str) -> &'a str {
    match sample.field("Labels") {
        Some(Value::Map(labels)) => labels.entries.get(name).and_then(Value::as_text).unwrap_or_default(),
        _ => "",
    }
}

/// Replaces every match of a pattern; `$1` and `${name}` stand for what its parts matched.
pub(super) fn replace_all(call: &mut Call<'_>, args: &[Value]) -> Answer {
    let (pattern, with, within) = (pattern(text(args, 0))?, text(args, 1), text(args, 2));
    let mut out = String::new();
    let mut end = 0;
    for captures in pattern.captures_iter(within) {
        let Some(found) = captures.get(0) else { continue };
        out.push_str(&within[end..found.start()]);
        captures.expand(with, &mut out);
        end = found.end();
        // It is looked at while it grows: a pattern that matches everywhere multiplies.
        if out.len() > call.limit {
            return Err(crate::functions::Trouble::TooLong);
        }
    }
    out.push_str(&within[end..]);
    made(call, out)
}

fn strip_domain(text: &str) -> String {
    let (host, port) = split_host_port(text).unwrap_or((text, ""));
    if host.parse::<std::net::IpAddr>().is_ok() {
        return text.to_owned();
    }
    let host = host.split('.').next().unwrap_or_default();
    if port.is_empty() {
        host.to_owned()
    } else {
        format!("{host}:{port}")
    }
}

fn path(url: &str) -> &str {
    let after = url.split_once("://").map_or(url, |(_, after)| after);
    let path = after.find('/').map_or("", |at| &after[at..]);
    path.find(['?', '#']).map_or(path, |at| &path[..at])
}
