//! Translates a filter into SQL. Knows nothing of what is done with the rows.
//!
//! A test compares the answers with those of `Filter::select` in memory.

use rusqlite::types::Value;
use tend_core::journal::{Filter, KindPattern, PrincipalFilter};

use crate::transaction::COLUMNS;

/// A statement with the values for its places.
pub(crate) struct Select {
    pub(crate) sql: String,
    pub(crate) values: Vec<Value>,
}

/// What led to an event and what it led to. A cause always has the lower number, so both recursions end.
const STORY: &str = "seq IN (
    WITH RECURSIVE
        causes (id) AS (
            VALUES (?)
            UNION SELECT cause FROM events JOIN causes ON seq = id WHERE cause < seq
        ),
        effects (id) AS (
            VALUES (?)
            UNION SELECT seq FROM events JOIN effects ON cause = id WHERE cause < seq
        )
    SELECT id FROM causes UNION SELECT id FROM effects
)";

/// Returns the statement that answers a filter.
pub(crate) fn select(filter: &Filter) -> Select {
    let mut wheres: Vec<String> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    let mut add = |condition: &str, of: Vec<Value>| {
        wheres.push(condition.to_owned());
        values.extend(of);
    };
    let number = |number: u64| vec![Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))];
    let text = |text: &str| vec![Value::Text(text.to_owned())];
    // With a limit, walking along the numbers and stopping early beats collecting everything by an index and sorting it; a `+` takes
    // a column out of the choice of index. A single kind has an index that is in the order of the numbers.
    let walk = if filter.limit.is_some() { "+" } else { "" };
    if let Some(since) = filter.since {
        add(&format!("{walk}at >= ?"), number(since.0));
    }
    if let Some(until) = filter.until {
        add(&format!("{walk}at < ?"), number(until.0));
    }
    if !filter.kinds.is_empty() {
        let mut kinds: Vec<String> = Vec::new();
        let walk = match filter.kinds.as_slice() {
            [KindPattern::Exactly(_)] => "",
            _ => walk,
        };
        let mut of = Vec::new();
        for pattern in &filter.kinds {
            match pattern {
                KindPattern::Exactly(kind) => {
                    kinds.push(format!("{walk}kind = ?"));
                    of.extend(text(kind.as_str()));
                }
                KindPattern::Group(group) => match group.strip_suffix('.') {
                    // `/` is the character after `.`: a range uses the index, where LIKE would not.
                    Some(stem) => {
                        kinds.push(format!("({walk}kind >= ? AND {walk}kind < ?)"));
                        of.extend(text(group));
                        of.extend(text(&format!("{stem}/")));
                    }
                    None => kinds.push("TRUE".to_owned()),
                },
            }
        }
        add(&format!("({})", kinds.join(" OR ")), of);
    }
    if let Some(stack) = &filter.stack {
        add(&format!("{walk}stack = ?"), text(stack.as_str()));
    }
    if let Some(service) = &filter.service {
        add("service = ?", text(service.as_str()));
    }
    if let Some(slot) = filter.slot {
        add("slot = ?", number(slot.into()));
    }
    if let Some(event) = filter.story_of {
        add(STORY, [number(event.0), number(event.0)].concat());
    }
    match &filter.principal {
        Some(PrincipalFilter::Type(name)) => add("principal ->> '$.type' = ?", text(name)),
        Some(PrincipalFilter::Named(name)) => add("principal ->> '$.name' = ?", text(name)),
        None => {}
    }
    if let Some(after) = filter.after {
        add("seq > ?", number(after.0));
    }
    if let Some(before) = filter.before {
        add("seq < ?", number(before.0));
    }
    let mut sql = format!("SELECT {COLUMNS} FROM events");
    if !wheres.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&wheres.join(" AND "));
    }
    sql.push_str(if filter.newest_first {
        " ORDER BY seq DESC"
    } else {
        " ORDER BY seq"
    });
    if let Some(limit) = filter.limit {
        sql.push_str(" LIMIT ?");
        values.extend(number(limit as u64));
    }
    Select { sql, values }
}
