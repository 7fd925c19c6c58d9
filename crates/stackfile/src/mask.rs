//! Hides what may be secret in a line that is shown: passwords in addresses, and values of names that say they are secret.
//!
//! A line of the user's own file goes to terminals, logs of builds and tickets. Each hidden character is one `*`, so that the
//! caret below the line stays where it belongs.

use crate::yaml::{Map, Node, Value};

/// Parts of names whose values are hidden.
const TELLING: [&str; 7] = [
    "password",
    "passwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "private_key",
];

/// Returns the line with secrets hidden.
pub(crate) fn masked(line: &str) -> String {
    let mut hidden: Vec<bool> = vec![false; line.len()];
    hide_passwords(line, &mut hidden);
    hide_values(line, &mut hidden);
    line.char_indices()
        .map(|(at, c)| if hidden[at] { '*' } else { c })
        .collect()
}

/// `scheme://user:password@host`; what is a variable is none of the secret.
fn hide_passwords(line: &str, hidden: &mut [bool]) {
    for (at, _) in line.match_indices("://") {
        let start = at + 3;
        let rest = &line[start..];
        // What follows this scheme is a password's place more often than a path with an `@`, so a `/` in it is hidden too.
        let ends = if is_database(&line[..at]) { "\"'" } else { "/\"'" };
        let end = rest
            .find(|c: char| c.is_whitespace() || ends.contains(c))
            .unwrap_or(rest.len());
        let Some(host) = rest[..end].rfind('@') else {
            continue;
        };
        if let Some(colon) = rest[..host].find(':')
            && !rest[colon + 1..host].starts_with('$')
        {
            hidden[start + colon + 1..start + host].fill(true);
        }
    }
}

fn is_database(before: &str) -> bool {
    ["postgres", "postgresql", "mysql"]
        .iter()
        .any(|scheme| before.ends_with(scheme))
}

/// Hides the passwords of `deploy.databases` and `config.table` in a tree that is to be printed.
pub(crate) fn hide_database_passwords(tree: &mut Node) {
    let Value::Map(top) = &mut tree.value else {
        return;
    };
    if let Some(Value::Map(deploy)) = value_at(top, "deploy")
        && let Some(Value::List(databases)) = value_at(deploy, "databases")
    {
        for database in databases {
            hide_password_at(&mut database.value, "postgres");
        }
    }
    if let Some(Value::Map(config)) = value_at(top, "config")
        && let Some(table) = value_at(config, "table")
    {
        hide_password_at(table, "url");
    }
}

fn hide_password_at(value: &mut Value, key: &str) {
    if let Value::Map(map) = value
        && let Some(Value::Scalar(url)) = value_at(map, key)
        // A file has no password; another text that is no URL may be anything.
        && !url.text.starts_with("sqlite:")
    {
        url.text = without_password(&url.text);
        url.written = None;
    }
}

/// Returns a database's URL with `***` for what may be its password, in the authority or the query.
///
/// Unlike a line of a file, this is a value: a `$` in it starts no variable.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return "***".to_owned();
    };
    let rest = match rest.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:***@{host}"),
            None => rest.to_owned(),
        },
        None => rest.to_owned(),
    };
    let Some((place, query)) = rest.split_once('?') else {
        return format!("{scheme}://{rest}");
    };
    let query: Vec<String> = query
        .split('&')
        .map(|part| match part.split_once('=') {
            Some((name, _)) if name.to_ascii_lowercase().contains("pass") => format!("{name}=***"),
            _ => part.to_owned(),
        })
        .collect();
    format!("{scheme}://{place}?{}", query.join("&"))
}

fn value_at<'a>(map: &'a mut Map, key: &str) -> Option<&'a mut Value> {
    let at = map.position(key)?;
    Some(&mut map.0[at].value.value)
}

/// `DB_PASSWORD: value`, `DB_PASSWORD=value`.
fn hide_values(line: &str, hidden: &mut [bool]) {
    // Letters outside of ASCII keep their length, so that places in one are places in the other.
    let lower = line.to_ascii_lowercase();
    for word in TELLING {
        for (at, _) in lower.match_indices(word) {
            let after = &line[at..];
            let name = after
                .find(|c: char| !(c.is_ascii_alphanumeric() || "_-\"'".contains(c)))
                .unwrap_or(after.len());
            let value = &after[name..];
            let gap = match value.chars().next() {
                Some('=') => 1,
                Some(':') if value.starts_with(": ") => value.len() - value[1..].trim_start().len(),
                _ => continue,
            };
            let value = value[gap..].trim_start_matches(['"', '\'']);
            let start = line.len() - value.len();
            // A key of ours or Compose's has a mapping or list below or beside it, and a variable is no secret.
            if value.starts_with(['{', '[', '$']) {
                continue;
            }
            let end = value
                .find(|c: char| c.is_whitespace() || "\"',}]".contains(c))
                .unwrap_or(value.len());
            hidden[start..start + end].fill(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{masked, without_password};

    #[test]
    fn what_may_be_secret_is_hidden_and_nothing_moves() {
        for (line, shown) in [
            ("  DB_PASSWORD: hunter2", "  DB_PASSWORD: *******"),
            ("  - API_TOKEN=abc # x", "  - API_TOKEN=*** # x"),
            ("  {A_SECRET: \"né\", B: c}", "  {A_SECRET: \"**\", B: c}"),
            ("  URL: postgres://me:pw@db/x", "  URL: postgres://me:**@db/x"),
            ("  URL: postgres://me:${PW}@db/x", "  URL: postgres://me:${PW}@db/x"),
            ("  DB_PASSWORD: ${PW:?}", "  DB_PASSWORD: ${PW:?}"),
            ("    secrets: [key]", "    secrets: [key]"),
            ("  DB_PASSWORD:", "  DB_PASSWORD:"),
            ("  command: run --token=abc", "  command: run --token=***"),
            (
                "  postgres: postgresql://me:p/w@x@db/x",
                "  postgres: postgresql://me:*****@db/x",
            ),
            ("  url: http://api/x@y:z", "  url: http://api/x@y:z"),
        ] {
            assert_eq!(masked(line), shown);
            assert_eq!(masked(line).chars().count(), line.chars().count());
        }
    }

    #[test]
    fn no_password_is_left_in_the_url_of_a_database() {
        for (url, shown) in [
            ("postgres://me:pw@db/x", "postgres://me:***@db/x"),
            ("postgres://me:$pw@db/x", "postgres://me:***@db/x"),
            ("postgresql://me:p/w@1?2:3@db:5432/x", "postgresql://me:***@db:5432/x"),
            (
                "postgres://me@db/x?sslmode=require",
                "postgres://me@db/x?sslmode=require",
            ),
            (
                "postgres://db/x?user=me&password=$p@w&sslmode=require",
                "postgres://db/x?user=me&password=***&sslmode=require",
            ),
            ("postgres://db/x", "postgres://db/x"),
            ("me:pw@db", "***"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
