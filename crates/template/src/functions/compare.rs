//! `eq`, `lt` and their like: Go's rules about which types can be compared.

use std::cmp::Ordering;

use crate::functions::Trouble;
use crate::value::Value;

/// What a value is compared as.
enum Basic<'a> {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
}

fn basic(value: &Value) -> Option<Basic<'_>> {
    Some(match value {
        Value::Bool(value) => Basic::Bool(*value),
        Value::Int(value) | Value::Word { number: value, .. } => Basic::Int(*value),
        Value::Duration(value) => Basic::Int(value.0),
        Value::Float(value) => Basic::Float(*value),
        Value::Text(text) | Value::Safe(_, text) => Basic::Text(text),
        _ => return None,
    })
}

const INCOMPATIBLE: &str = "incompatible types for comparison";

/// Whether the first is equal to any of the others.
pub(crate) fn equal(first: &Value, others: &[Value]) -> Result<bool, Trouble> {
    if others.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in others {
        let same = match (basic(first), basic(other)) {
            (Some(Basic::Bool(one)), Some(Basic::Bool(two))) => one == two,
            (Some(Basic::Int(one)), Some(Basic::Int(two))) => one == two,
            (Some(Basic::Float(one)), Some(Basic::Float(two))) => one == two,
            (Some(Basic::Text(one)), Some(Basic::Text(two))) => one == two,
            (None, None) => match (first, other) {
                (Value::Nil, Value::Nil) => true,
                (Value::Nil, _) | (_, Value::Nil) => false,
                (Value::Time(one), Value::Time(two)) => one == two,
                (Value::Struct(one), Value::Struct(two)) if one.type_name == two.type_name => one == two,
                _ => return Err(format!("a {} cannot be compared", other.type_name()).into()),
            },
            // No value is equal to nothing but itself.
            _ if *first == Value::Nil || *other == Value::Nil => false,
            _ => return Err(incompatible(first, other)),
        };
        if same {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How two values are ordered; `None` when one is not a number.
pub(crate) fn order(one: &Value, two: &Value) -> Result<Option<Ordering>, Trouble> {
    match (basic(one), basic(two)) {
        (Some(Basic::Int(one)), Some(Basic::Int(two))) => Ok(Some(one.cmp(&two))),
        (Some(Basic::Float(one)), Some(Basic::Float(two))) => Ok(one.partial_cmp(&two)),
        (Some(Basic::Text(one)), Some(Basic::Text(two))) => Ok(Some(one.cmp(two))),
        (Some(Basic::Bool(_)), Some(Basic::Bool(_))) | (None, _) | (_, None) => {
            let which = if basic(one).is_none() { one } else { two };
            Err(format!("invalid type for comparison: {} has no order", which.type_name()).into())
        }
        _ => Err(incompatible(one, two)),
    }
}

fn incompatible(one: &Value, two: &Value) -> Trouble {
    format!("{INCOMPATIBLE}: a {} and a {}", one.type_name(), two.type_name()).into()
}
