//! Hides the passwords of databases in a tree that is to be printed; lines that are shown are masked by `tend_text`.

use crate::yaml::{Map, Node, Value};

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

#[cfg(test)]
mod tests {
    use super::without_password;

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
