//! What the state is sealed with: the store's wish for a seal, met with the key that the store of secrets keeps.

use std::error::Error;

use tend_secrets::StateKey;
use tend_store::Seal;

/// Seals the documents of the state.
pub(crate) struct AtRest(pub(super) StateKey);

impl Seal for AtRest {
    fn seal(&self, name: &str, text: &str) -> Result<String, Box<dyn Error + Send + Sync>> {
        Ok(self.0.seal(name, text)?)
    }

    fn open(&self, name: &str, sealed: &str) -> Result<String, Box<dyn Error + Send + Sync>> {
        Ok(self.0.open_text(name, sealed)?)
    }
}
