//! Reads and writes the query part of a call's address. Knows names and values, not what they mean.

use std::str::FromStr;

use crate::{ApiError, Class};

/// The parameters of an address.
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// Returns the value of `name`, `None` when it is not there.
    pub(crate) fn get<T>(&self, name: &str) -> Result<Option<T>, ApiError>
    where
        T: FromStr,
        T::Err: std::fmt::Display,
    {
        let Some((_, value)) = self.0.iter().find(|(key, _)| key == name) else {
            return Ok(None);
        };
        value.parse().map(Some).map_err(|error: T::Err| {
            ApiError::new(Class::Usage, format!("`{name}={value}` is not understood")).detail(error.to_string())
        })
    }

    /// Returns all values of a parameter that may stand several times.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
            .collect()
    }
}

/// Puts an address together from its path and parameters; absent ones are left out.
pub(crate) struct Address {
    path: String,
    query: form_urlencoded::Serializer<'static, String>,
}

impl Address {
    pub(crate) fn new(path: String) -> Self {
        Self {
            path,
            query: form_urlencoded::Serializer::new(String::new()),
        }
    }

    pub(crate) fn with(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.query.append_pair(name, &value.to_string());
        }
        self
    }

    pub(crate) fn finish(mut self) -> String {
        let query = self.query.finish();
        if query.is_empty() {
            self.path
        } else {
            format!("{}?{query}", self.path)
        }
    }
}
