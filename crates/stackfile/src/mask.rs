//! Hides what is secret in a tree that is to be printed: passwords of databases, and addresses and keys of who is told of alerts. Lines that
//! are shown are masked by `tend_text`.

use crate::yaml::{Map, Node, Value};

/// Hides the passwords of `deploy.databases` and `config.table`, and the secrets of `metrics` and `alerts`, in a tree that is to be printed.
pub(crate) fn hide_secrets(tree: &mut Node) {
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
    for chapter in ["metrics", "alerts"] {
        if let Some(chapter) = value_at(top, chapter) {
            hide_below(chapter);
        }
    }
}

/// Hides what stands at keys that take a secret, wherever they are. What only says where the secret is stays.
fn hide_below(value: &mut Value) {
    match value {
        Value::List(items) => items.iter_mut().for_each(|item| hide_below(&mut item.value)),
        Value::Map(map) => {
            for entry in &mut map.0 {
                let Value::Scalar(scalar) = &mut entry.value.value else {
                    hide_below(&mut entry.value.value);
                    continue;
                };
                match entry.key.as_str() {
                    "url" | "prometheus" => scalar.text = without_secrets(&scalar.text),
                    "bearer" | "password" | "sign_key" | "bot_token" | "routing_key" => {
                        "***".clone_into(&mut scalar.text)
                    }
                    _ => continue,
                }
                scalar.written = None;
            }
        }
        Value::Scalar(_) => {}
    }
}

/// Returns an address with `***` for its password; of one of the web for all behind the host too, since robots of chats are known by it.
fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return "***".to_owned();
    };
    if !scheme.starts_with("http") {
        return without_password(url);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rsplit('@').next().unwrap_or_default();
    match rest[end..].trim_matches('/').is_empty() {
        true => format!("{scheme}://{host}"),
        false => format!("{scheme}://{host}/***"),
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
    use super::{without_password, without_secrets};

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

    #[test]
    fn of_an_address_of_the_web_the_host_is_left() {
        for (url, shown) in [
            (
                "https://hooks.slack.com/services/T0/B0/x",
                "https://hooks.slack.com/***",
            ),
            ("https://me:pw@host:8443?key=x", "https://host:8443/***"),
            ("http://127.0.0.1:9090/", "http://127.0.0.1:9090"),
            ("redis://:pw@cache:6379/0", "redis://:***@cache:6379/0"),
            ("planted", "***"),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }
}
