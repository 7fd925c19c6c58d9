//! Cross-origin requests (the Fetch standard): who may read an answer from a script, and what a preflight is told.
//!
//! Invariant: credentials are never allowed together with `*` (test `credentials_never_go_with_everybody`).

use tend_core::model::Cors;
use tend_routing::Fields;

use super::first;

/// What the edge says in the service's place: the service's own are taken out.
pub(super) const OURS: [&str; 6] = [
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-expose-headers",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
];

/// Those of [`OURS`] that are not for preflights only.
pub(super) const OF_EVERY_ANSWER: [&str; 3] = [OURS[0], OURS[1], OURS[2]];

/// Allowed without being named (the standard's safelist).
const SAFE_METHODS: [&str; 3] = ["GET", "HEAD", "POST"];

/// A route's rules for requests of other origins.
#[derive(Debug)]
pub(super) struct CorsRules {
    everybody: bool,
    exact: Vec<Box<str>>,
    /// What stands before and behind the one label.
    patterns: Vec<(Box<str>, Box<str>)>,
    credentials: bool,
    methods: String,
    headers: Option<String>,
    expose: Option<String>,
    max_age: Option<String>,
}

/// Who asks, as far as the rules care.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nobody who is allowed.
    #[default]
    None,
    /// It may read the answer; the value it is told.
    Allowed(Box<str>),
}

impl CorsRules {
    pub(super) fn new(cors: &Cors) -> Self {
        let listed = |names: &[String]| (!names.is_empty()).then(|| names.join(", "));
        let everybody = cors.origins.iter().any(|origin| origin == "*");
        let mut methods = SAFE_METHODS.map(str::to_owned).to_vec();
        methods.extend(
            cors.methods
                .iter()
                .filter(|name| !SAFE_METHODS.contains(&name.as_str()))
                .cloned(),
        );
        let (patterns, exact): (Vec<&String>, Vec<&String>) =
            cors.origins.iter().partition(|origin| origin.contains('*'));
        Self {
            everybody,
            exact: exact
                .into_iter()
                .map(|origin| origin.to_ascii_lowercase().into())
                .collect(),
            patterns: patterns
                .into_iter()
                .filter_map(|pattern| pattern.split_once("*."))
                .map(|(before, behind)| {
                    let behind = format!(".{behind}");
                    (before.to_ascii_lowercase().into(), behind.to_ascii_lowercase().into())
                })
                .collect(),
            credentials: cors.credentials && !everybody,
            methods: methods.join(", "),
            headers: listed(&cors.headers),
            expose: listed(&cors.expose),
            max_age: cors.max_age.map(|age| age.as_secs().to_string()),
        }
    }

    pub(super) fn origin(&self, fields: &Fields<'_>) -> Origin {
        let Some(origin) = first(fields, "origin").and_then(|origin| String::from_utf8(origin).ok()) else {
            return Origin::None;
        };
        if self.everybody {
            Origin::Allowed("*".into())
        } else if self.allows(&origin.to_ascii_lowercase()) {
            // As it was written, which is what the browser compares.
            Origin::Allowed(origin.into())
        } else {
            Origin::None
        }
    }

    fn allows(&self, origin: &str) -> bool {
        let label = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        self.exact.iter().any(|known| **known == *origin)
            || self.patterns.iter().any(|(before, behind)| {
                let middle = origin
                    .strip_prefix(&**before)
                    .and_then(|rest| rest.strip_suffix(&**behind));
                middle.is_some_and(label)
            })
    }

    /// Returns what answers depend on, and caches have to know.
    pub(super) fn varies(&self) -> &'static [&'static str] {
        if self.everybody { &[] } else { &["Origin"] }
    }

    /// Writes what every answer says.
    pub(super) fn describe(&self, origin: &Origin, mut write: impl FnMut(&'static str, String)) {
        let Origin::Allowed(origin) = origin else { return };
        write(OURS[0], origin.to_string());
        if self.credentials {
            write(OURS[1], "true".to_owned());
        }
        if let Some(expose) = &self.expose {
            write(OURS[2], expose.clone());
        }
    }

    /// Returns what an answer to a preflight says beside that. An origin that is not allowed learns nothing from it.
    pub(super) fn preflight(&self, origin: &Origin) -> Vec<(String, String)> {
        let mut fields = vec![(
            "vary".to_owned(),
            "Access-Control-Request-Method, Access-Control-Request-Headers".to_owned(),
        )];
        if *origin == Origin::None {
            return fields;
        }
        fields.push((OURS[3].to_owned(), self.methods.clone()));
        for (name, value) in [(OURS[4], &self.headers), (OURS[5], &self.max_age)] {
            fields.extend(value.iter().map(|value| (name.to_owned(), value.clone())));
        }
        fields
    }
}

/// Says whether the request asks what a later one would be allowed.
pub(super) fn is_preflight(method: &str, fields: &Fields<'_>) -> bool {
    method == "OPTIONS" && super::has(fields, "origin") && super::has(fields, "access-control-request-method")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(origins: &[&str]) -> CorsRules {
        CorsRules::new(&Cors {
            origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
            credentials: true,
            ..Cors::default()
        })
    }

    fn told(rules: &CorsRules, origin: &str) -> Vec<(&'static str, String)> {
        let origin = rules.origin(&|name, see| name == "origin" && see(origin.as_bytes()));
        let mut told = Vec::new();
        rules.describe(&origin, |name, value| told.push((name, value)));
        told
    }

    #[test]
    fn an_origin_is_allowed_by_name_or_by_one_label() {
        let rules = rules(&[
            "https://shop.example.com",
            "https://*.example.org",
            "http://*.example.net:8080",
        ]);
        for (origin, allowed) in [
            ("https://shop.example.com", true),
            ("https://a.example.org", true),
            ("https://a-1.example.org", true),
            ("http://a.example.net:8080", true),
            ("http://shop.example.com", false),
            ("https://shop.example.com:8443", false),
            ("https://shop.example.com.evil.test", false),
            ("https://example.org", false),
            ("https://.example.org", false),
            ("https://a.b.example.org", false),
            ("https://evil.test/.example.org", false),
            ("https://evil.test#.example.org", false),
            ("http://a.example.net", false),
            ("null", false),
            ("", false),
        ] {
            let told = told(&rules, origin);
            assert_eq!(!told.is_empty(), allowed, "{origin}");
            if allowed {
                assert_eq!(told[0].1, origin);
                assert_eq!(told[1], ("access-control-allow-credentials", "true".to_owned()));
            }
        }
        assert_eq!(rules.varies(), ["Origin"]);
    }

    #[test]
    fn credentials_never_go_with_everybody() {
        for origins in [&["*"][..], &["https://shop.example.com", "*"]] {
            let rules = rules(origins);
            for origin in ["https://shop.example.com", "https://evil.test", "null"] {
                assert_eq!(told(&rules, origin), [("access-control-allow-origin", "*".to_owned())]);
            }
            assert!(rules.varies().is_empty());
        }
    }
}
