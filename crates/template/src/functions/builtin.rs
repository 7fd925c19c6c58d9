//! The functions that every template has: those of Go's text/template.

use crate::format::{sprint, sprintf, sprintln};
use crate::functions::compare::{equal, order};
use crate::functions::{
    Answer, Call, Function, Param, Run, Trouble, escape_html, escape_js, function, made, query_escape, text,
};
use crate::value::{MapKind, Safe, Value};

const ANY: &[Param] = &[Param::Any];
const TWO: &[Param] = &[Param::Any, Param::Any];
const MORE: Option<Param> = Some(Param::Any);

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "and",
        params: ANY,
        rest: MORE,
        run: Run::And,
    },
    Function {
        name: "or",
        params: ANY,
        rest: MORE,
        run: Run::Or,
    },
    function("not", ANY, None, |_, args| Ok((!args[0].is_true()).into())),
    function("len", ANY, None, |_, args| length(&args[0])),
    function("index", ANY, MORE, |_, args| index(&args[0], &args[1..])),
    function("slice", ANY, MORE, |_, args| slice(&args[0], &args[1..])),
    function("call", ANY, MORE, |_, args| match &args[0] {
        Value::Nil => Err("there is no value to call".into()),
        other => Err(format!("a {} is not a function", other.type_name()).into()),
    }),
    function("print", &[], MORE, |call, args| Ok(sprint(args, call.limit)?.into())),
    function(
        "println",
        &[],
        MORE,
        |call, args| Ok(sprintln(args, call.limit)?.into()),
    ),
    function("printf", &[Param::Text], MORE, |call, args| {
        Ok(sprintf(text(args, 0), &args[1..], call.limit)?.into())
    }),
    function("html", &[], MORE, |call, args| {
        let escaped = made(call, escape_html(&joined(call, args)?))?;
        // Where it is going to be escaped once more, it says that it was.
        Ok(if call.html { safe(Safe::Html, &escaped) } else { escaped })
    }),
    function("js", &[], MORE, |call, args| {
        made(call, escape_js(&joined(call, args)?))
    }),
    function("urlquery", &[], MORE, |call, args| {
        made(call, query_escape(&joined(call, args)?))
    }),
    function("eq", ANY, MORE, |_, args| Ok(equal(&args[0], &args[1..])?.into())),
    function("ne", TWO, None, |_, args| Ok((!equal(&args[0], &args[1..])?).into())),
    function("lt", TWO, None, |_, args| {
        Ok(order(&args[0], &args[1])?.is_some_and(std::cmp::Ordering::is_lt).into())
    }),
    function("le", TWO, None, |_, args| {
        let (less, same) = (order(&args[0], &args[1])?, equal(&args[0], &args[1..])?);
        Ok((same || less.is_some_and(std::cmp::Ordering::is_lt)).into())
    }),
    // Go asks whether it is not less or equal, which a number that is none is not.
    function("gt", TWO, None, |_, args| {
        Ok(order(&args[0], &args[1])?.is_none_or(std::cmp::Ordering::is_gt).into())
    }),
    function("ge", TWO, None, |_, args| {
        Ok(order(&args[0], &args[1])?.is_none_or(std::cmp::Ordering::is_ge).into())
    }),
];

/// Marks a text as safe.
pub(super) fn safe(kind: Safe, value: &Value) -> Value {
    Value::Safe(kind, value.as_text().unwrap_or_default().into())
}

/// What an escaping function escapes: its one text, or all its arguments printed.
fn joined(call: &Call<'_>, args: &[Value]) -> Result<String, Trouble> {
    match args {
        [one] if one.as_text().is_some() => Ok(text(args, 0).to_owned()),
        _ => Ok(sprint(args, call.limit)?),
    }
}

fn length(value: &Value) -> Answer {
    let length = match value {
        Value::Text(text) | Value::Safe(_, text) => text.len(),
        Value::List(list) => list.items.len(),
        Value::Map(map) => map.entries.len(),
        Value::Nil => return Err("there is no value, and so no length".into()),
        other => return Err(format!("a {} has no length", other.type_name()).into()),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn position(value: &Value, length: usize, last: usize) -> Result<usize, Trouble> {
    let Value::Int(number) = value else {
        return Err(format!("a place in a list is a whole number, not a {}", value.type_name()).into());
    };
    let found = usize::try_from(*number).ok().filter(|at| *at <= last);
    found.ok_or_else(|| format!("there is no element {number}: there are {length}").into())
}

fn index(item: &Value, indexes: &[Value]) -> Answer {
    if *item == Value::Nil {
        return Err("there is no value to take an element of".into());
    }
    let mut item = item.clone();
    for index in indexes {
        item = match &item {
            Value::List(list) => {
                let length = list.items.len();
                let last = length.checked_sub(1).ok_or("the list is empty")?;
                list.items[position(index, length, last)?].clone()
            }
            Value::Text(text) => {
                let last = text.len().checked_sub(1).ok_or("the text is empty")?;
                Value::Int(i64::from(text.as_bytes()[position(index, text.len(), last)?]))
            }
            Value::Map(map) => {
                let Value::Text(name) = index else {
                    return Err(format!(
                        "the keys of a {} are texts, not a {}",
                        item.type_name(),
                        index.type_name()
                    )
                    .into());
                };
                match map.entries.get(name.as_ref()) {
                    Some(value) => value.clone(),
                    None if map.kind == MapKind::Any => Value::Nil,
                    None => "".into(),
                }
            }
            Value::Nil => return Err("there is no value to take an element of".into()),
            other => return Err(format!("a {} has no elements", other.type_name()).into()),
        };
    }
    Ok(item)
}

fn slice(item: &Value, indexes: &[Value]) -> Answer {
    let length = match item {
        Value::Text(text) | Value::Safe(_, text) if indexes.len() < 3 => text.len(),
        Value::Text(_) | Value::Safe(..) => return Err("a text is sliced by at most two numbers".into()),
        Value::List(list) if indexes.len() <= 3 => list.items.len(),
        Value::List(_) => {
            return Err(format!("a list is sliced by at most three numbers, not {}", indexes.len()).into());
        }
        Value::Nil => return Err("there is no value to slice".into()),
        other => return Err(format!("a {} cannot be sliced", other.type_name()).into()),
    };
    let mut ends = [0, length, length];
    for (end, index) in ends.iter_mut().zip(indexes) {
        *end = position(index, length, length)?;
    }
    let [from, to, most] = ends;
    if from > to || to > most {
        return Err(format!("it would end before it starts: {from}, {to}").into());
    }
    Ok(match item {
        Value::List(list) => Value::list(list.items[from..to].to_vec(), list.kind),
        other => {
            // Go cuts bytes; half a character becomes the sign for one that is broken.
            let text = other.as_text().unwrap_or_default();
            String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned().into()
        }
    })
}
