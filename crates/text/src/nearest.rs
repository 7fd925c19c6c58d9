//! Which known word a misspelt one most likely is.

/// Bytes of a word that is compared; a longer one is no slip of anything, and comparing takes the product of the lengths.
const BYTES_MAX: usize = 200;

/// Returns the known word that `word` is most likely a slip of: one slip, and another for every four letters.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    within(word, known, 4)
}

/// Returns the known name that `word` is most likely a slip of: one slip, and another for every five letters. Names are made of
/// several words and share most of them with other names, so that less of a difference makes another one.
pub fn nearest_name<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    within(word, known, 5)
}

/// Returns the sentence that suggests a word.
#[must_use]
pub fn did_you_mean(word: &str) -> String {
    format!("did you mean `{word}`?")
}

fn within<'a>(word: &str, known: impl Iterator<Item = &'a str>, letters: usize) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '.'], "_");
    let lower = plain(word);
    if lower.len() > BYTES_MAX {
        return None;
    }
    known
        .map(|candidate| {
            let other = plain(candidate);
            (
                strsim::damerau_levenshtein(&lower, &other),
                strsim::jaro_winkler(&lower, &other),
                candidate,
            )
        })
        .filter(|(distance, _, candidate)| {
            let shorter = candidate.len().min(lower.len());
            *distance <= 1 + shorter / letters && *distance * 2 <= shorter.max(1)
        })
        .min_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)))
        .map(|(_, _, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_in_words_are_recognised_and_strangers_are_not() {
        let words = [
            "environment",
            "env_file",
            "replicas",
            "restart",
            "ports",
            "port",
            "command",
        ];
        for (word, meant) in [
            ("enviroment", Some("environment")),
            ("env-file", Some("env_file")),
            ("replica", Some("replicas")),
            ("Ports", Some("ports")),
            ("comand", Some("command")),
            ("banana", None),
        ] {
            assert_eq!(nearest(word, words.into_iter()), meant, "{word}");
        }
        let long = "environment".repeat(20);
        assert_eq!(nearest(&long, [long.as_str()].into_iter()), None);
    }

    #[test]
    fn slips_in_names_are_recognised_and_strangers_are_not() {
        let names = [
            "features.qr_rotation.default_ttl",
            "database.pool_size",
            "redis.pool_size",
            "app.port",
        ];
        for (word, meant) in [
            ("features.qr_rotation.defualt_ttl", Some(names[0])),
            ("features.qr-rotation.default-ttl", Some(names[0])),
            ("database_pool_size", Some(names[1])),
            ("redis.poolsize", Some(names[2])),
            ("app.prot", Some(names[3])),
            ("logging", None),
            ("x", None),
        ] {
            assert_eq!(nearest_name(word, names.into_iter()), meant, "{word}");
        }
    }
}
