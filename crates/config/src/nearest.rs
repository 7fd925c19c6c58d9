//! Which known word a misspelt one most likely is.

/// Returns the known word that `word` is most likely a slip of.
pub(crate) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '.'], "_");
    let lower = plain(word);
    // A text this long is no slip of anything, and comparing takes the product of the lengths.
    if lower.len() > 200 {
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
            *distance <= 1 + shorter / 5 && *distance * 2 <= shorter.max(1)
        })
        .min_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)))
        .map(|(_, _, candidate)| candidate)
}

/// Returns the sentence that suggests it.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|other| format!("did you mean `{other}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let keys = [
            "features.qr_rotation.default_ttl",
            "database.pool_size",
            "redis.pool_size",
            "app.port",
        ];
        for (word, key) in [
            ("features.qr_rotation.defualt_ttl", Some(keys[0])),
            ("features.qr-rotation.default-ttl", Some(keys[0])),
            ("database_pool_size", Some(keys[1])),
            ("redis.poolsize", Some(keys[2])),
            ("app.prot", Some(keys[3])),
            ("logging", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, keys.into_iter()), key, "{word}");
        }
    }
}
