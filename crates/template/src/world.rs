//! What a template may ask of the world around it. Everything else it does is arithmetic on its data.

use crate::value::{Offset, Sample, Time};

/// Answers what a template asks. Called while it is rendered, as often as the template asks; answers for one rendering should be those of one
/// moment.
pub trait World {
    /// Evaluates a PromQL expression to samples in the order they are to be shown.
    ///
    /// # Errors
    /// Why it could not, for the person who wrote the template.
    fn query(&mut self, expression: &str) -> Result<Vec<Sample>, String>;

    /// The moment the template is rendered for.
    fn now(&self) -> Time;

    /// How far a time zone, such as `Europe/Paris`, is from UTC at a moment (seconds since 1970); `None` when there is no such zone.
    fn zone(&self, name: &str, unix: i64) -> Option<Offset>;

    /// The address under which people reach what sends this, without a slash at its end.
    fn external_url(&self) -> &str;
}

/// A world where nothing can be asked and time stands still: for rendering without queries, and for tests.
#[derive(Clone, Debug)]
pub struct Still {
    /// The moment.
    pub now: Time,
    /// See [`World::external_url`].
    pub external_url: String,
}

impl Default for Still {
    fn default() -> Self {
        Self {
            now: Time::utc(0, 0),
            external_url: String::new(),
        }
    }
}

impl World for Still {
    fn query(&mut self, _: &str) -> Result<Vec<Sample>, String> {
        Err("there is nothing to query here".to_owned())
    }

    fn now(&self) -> Time {
        self.now.clone()
    }

    fn zone(&self, name: &str, _: i64) -> Option<Offset> {
        matches!(name, "UTC" | "" | "Etc/UTC").then(Offset::utc)
    }

    fn external_url(&self) -> &str {
        &self.external_url
    }
}
