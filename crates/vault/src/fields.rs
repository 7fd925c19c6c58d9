//! What a secret of KV v2 holds: named fields, whose texts cannot be printed. Knows nothing of how it came.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use tend_base::Secret;

use crate::{KvPath, VaultError};

/// The fields of one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, Field>);

/// What one field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A text, a whole number in decimals, `true` or `false`.
    Text(Secret),
    /// Something that is no single text: `a list`, `a map`, `null`, or a number whose decimals may not be those that were written.
    Other(&'static str),
}

impl Fields {
    /// Returns the text of a field.
    ///
    /// # Errors
    /// When there is no such field, or it holds something else; neither tells a value.
    pub fn text(&self, path: &KvPath, field: &str) -> Result<&Secret, VaultError> {
        match self.0.get(field) {
            Some(Field::Text(text)) => Ok(text),
            Some(Field::Other(what)) => Err(VaultError::NotText {
                path: path.clone(),
                field: field.to_owned(),
                what,
            }),
            None => Err(VaultError::NoField {
                path: path.clone(),
                field: field.to_owned(),
                there: self.0.keys().cloned().collect(),
            }),
        }
    }

    /// Returns the fields by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Field)> {
        self.0.iter().map(|(name, field)| (name.as_str(), field))
    }
}

impl FromIterator<(String, Field)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, Field)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(from).map(Self)
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyField)
    }
}

struct AnyField;

impl<'de> Visitor<'de> for AnyField {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Field, E> {
        Ok(Field::Text(Secret::new(text.to_owned())))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Field, E> {
        Ok(Field::Text(Secret::new(text)))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Field, E> {
        Ok(Field::Text(Secret::new(value.to_string())))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Field, E> {
        Ok(Field::Text(Secret::new(number.to_string())))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Field, E> {
        Ok(Field::Text(Secret::new(number.to_string())))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Field, E> {
        Ok(Field::Other("a number with a fraction or too many digits"))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Field, E> {
        Ok(Field::Other("null"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Field, A::Error> {
        while items.next_element::<de::IgnoredAny>()?.is_some() {}
        Ok(Field::Other("a list"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Field, A::Error> {
        while entries.next_entry::<de::IgnoredAny, de::IgnoredAny>()?.is_some() {}
        Ok(Field::Other("a map"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_one_text_is_given_as_one() {
        let fields: Fields = serde_json::from_str(
            r#"{"text":"a\"b","number":9007199254740993,"below":-5,"flag":true,"float":1.10,"none":null,"list":[1],"map":{"a":{}}}"#,
        )
        .unwrap();
        let path = KvPath::parse("kv/data/mps").unwrap();
        let text = |field: &str| fields.text(&path, field).map(|text| text.expose().to_owned());
        assert_eq!(text("text").unwrap(), "a\"b");
        assert_eq!(text("number").unwrap(), "9007199254740993");
        assert_eq!(text("below").unwrap(), "-5");
        assert_eq!(text("flag").unwrap(), "true");
        for (field, why) in [
            ("float", "fraction"),
            ("none", "null"),
            ("list", "a list"),
            ("map", "a map"),
            ("gone", "below, flag"),
        ] {
            let error = text(field).unwrap_err();
            assert!(format!("{error} {}", error.hint()).contains(why), "{field}: {error}");
        }
    }
}
