//! Requests that stand in files: `METHOD path | name=value | name=value`, a line each; `{600}` is the time 600 s after the first sample.

/// A request of a file.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// As it stands in the file, with times filled in.
    pub(crate) line: String,
    pub(crate) method: String,
    pub(crate) path: String,
    /// Parameters as a query or a form.
    pub(crate) params: String,
}

/// Reads a file of requests.
pub(crate) fn read(text: &str, base: i64) -> Vec<Asked> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| one(&times(line, base))).collect()
}

/// Reads one.
pub(crate) fn one(line: &str) -> Asked {
    let mut parts = line.split(" | ");
    let head = parts.next().expect("a head");
    let (method, path) = head.split_once(' ').expect("a method and a path");
    let mut params = form_urlencoded::Serializer::new(String::new());
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        params.append_pair(name.trim(), value);
    }
    Asked {
        line: line.to_owned(),
        method: method.to_owned(),
        path: path.to_owned(),
        params: params.finish(),
    }
}

/// Puts times in.
fn times(line: &str, base: i64) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('{') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let end = after.find('}').unwrap_or(1);
        match after[1..end].parse::<f64>() {
            Ok(seconds) => {
                let time = base + (seconds * 1000.0) as i64;
                out.push_str(&format!("{}.{:03}", time / 1000, time % 1000));
                rest = &after[end + 1..];
            }
            Err(_) => {
                out.push('{');
                rest = &after[1..];
            }
        }
    }
    out + rest
}
