//! What of a line may be shown: lines of users' own files go to terminals, logs of builds and tickets.
//!
//! Owns what hides a value. Knows nothing of what is wrong with the line.

use crate::source::Place;

/// What of a text's lines may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// Whole lines: nothing in it is secret.
    Lines,
    /// Lines in which what looks like a secret is hidden.
    Masked,
    /// What stands before the first `:` or `=`, unless the value is known to be no secret.
    Names,
    /// The name of a variable, whatever its value is; one caret points at it.
    Variables,
}

impl Shows {
    /// Returns how many characters are pointed at where `length` are meant.
    pub(crate) fn carets(self, length: u32) -> u32 {
        match self {
            Self::Variables => 1,
            _ => length,
        }
    }

    /// Returns what may be shown of a line; `known` when what stands at `place` is known to be no secret.
    pub(crate) fn of(self, line: &str, place: Place, known: bool) -> String {
        match self {
            Self::Lines => line.to_owned(),
            Self::Masked => masked(line),
            Self::Names if known && stands_alone(line, place) => line.to_owned(),
            Self::Names => name_only(line),
            Self::Variables => match line.find(['=', ':']) {
                Some(at) => format!("{}…", &line[..=at]),
                None => nothing(line),
            },
        }
    }
}

/// Returns the line up to its first value.
pub(crate) fn name_only(line: &str) -> String {
    match line.find([':', '=']) {
        Some(at) if line[at + 1..].trim().is_empty() => line.to_owned(),
        Some(at) => format!("{} …", &line[..=at]),
        None => nothing(line),
    }
}

/// Returns what says that there is something, and not what.
pub(crate) fn nothing(line: &str) -> String {
    if line.trim().is_empty() {
        String::new()
    } else {
        "…".to_owned()
    }
}

/// Returns whether nothing but the name of the value at `place` stands before it, so that nothing else is shown with it.
fn stands_alone(line: &str, place: Place) -> bool {
    let before: String = line.chars().take((place.column as usize).saturating_sub(1)).collect();
    let name = before.trim_end().trim_end_matches([':', '=']).trim_end();
    // A value in braces or brackets may have neighbours.
    let neighbours = line.contains(['{', '}']);
    // A URL that carries a password does so whatever the schema thinks of it.
    let password = line.contains("://") && line.contains('@');
    name.chars().all(|c| c.is_alphanumeric() || "_.- \t\"'".contains(c)) && !neighbours && !password
}

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

/// Returns the line with what looks like a secret hidden: passwords in addresses, and values of names that say they are secret.
///
/// Each hidden character is one `*`, so that the caret below the line stays where it belongs.
#[must_use]
pub fn masked(line: &str) -> String {
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
    use super::*;
    use crate::source::Sources;

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
    fn of_a_line_that_may_hold_a_secret_its_name_is_shown() {
        let source = Sources::default().add("x", "", Shows::Lines);
        let (name, value) = (source.at(1, 1), source.at(1, 4));
        for (shows, line, place, known, shown) in [
            (Shows::Lines, "A: hunter2", value, false, "A: hunter2"),
            (Shows::Names, "A: hunter2", value, false, "A: …"),
            (Shows::Names, "A: 12", value, true, "A: 12"),
            (Shows::Names, "A: {b: hunter2, c: 1}", value, true, "A: …"),
            (Shows::Names, "A: x://me:hunter2@db", value, true, "A: …"),
            (Shows::Names, "A:", name, false, "A:"),
            (Shows::Names, "hunter2", name, false, "…"),
            (Shows::Variables, "A=hunter2", name, true, "A=…"),
            (Shows::Variables, "A: hunter2", name, false, "A:…"),
            (Shows::Variables, "hunter2", name, false, "…"),
            (Shows::Variables, "", name, false, ""),
        ] {
            assert_eq!(shows.of(line, place, known), shown, "{shows:?} {line}");
        }
    }
}
