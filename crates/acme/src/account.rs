//! Who we are to an authority: one account for each, made once and kept. Knows no orders.

use instant_acme::{Account, Key};
use rcgen::KeyPair;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tend_base::Secret;

use crate::error::AcmeError;
use crate::folder::KeptAccount;
use crate::order::{made, meant};
use crate::{Authority, Folder};

/// Returns the account with an authority; makes one where there is none.
///
/// Its key is on disk before the authority hears of it, and the authority answers the same key with the same account: so a kill in
/// between leaves no account that nobody has the key of.
pub(crate) async fn account(authority: &Authority, folder: &Folder, email: Option<&str>) -> Result<Account, AcmeError> {
    let directory = authority.directory();
    let mut kept = match folder.account(directory)? {
        Some(kept) => kept,
        None => {
            let key = KeyPair::generate().map_err(made("key for the account"))?;
            let kept = KeptAccount::new(directory, Secret::new(key.serialize_pem()));
            folder.write_account(&kept)?;
            kept
        }
    };
    let pair = KeyPair::from_pem(kept.key.expose()).map_err(made("key for the account"))?;
    let der = || PrivatePkcs8KeyDer::from(pair.serialize_der());
    let what = "the account";
    let refused = |error| meant(error, what, authority);
    let builder = Account::builder_with_http(authority.http_client());
    let account = match &kept.id {
        Some(id) => builder.from_parts(id.clone(), der(), directory.to_owned()).await,
        None => {
            let key = Key::from_pkcs8_der(der()).map_err(refused)?;
            let created = builder.create_from_key((key, PrivateKeyDer::Pkcs8(der())), directory.to_owned());
            created.await.map(|(account, _)| account)
        }
    };
    let account = account.map_err(refused)?;
    if kept.id.is_none() || kept.email.as_deref() != email {
        let contact = email.map(|email| format!("mailto:{email}"));
        let contacts: Vec<&str> = contact.as_deref().into_iter().collect();
        // A new account has none; asking it to have none would be a request for nothing.
        if kept.id.is_some() || email.is_some() {
            account.update_contacts(&contacts).await.map_err(refused)?;
        }
        kept.id = Some(account.id().to_owned());
        kept.email = email.map(str::to_owned);
        folder.write_account(&kept)?;
    }
    Ok(account)
}

/// Returns whether the authority says that it does not know the account, or not any more: then a new one is the only way on.
pub(crate) fn is_gone(error: &AcmeError) -> bool {
    matches!(error, AcmeError::Refused { kind, .. } if matches!(kind.as_str(), "accountDoesNotExist" | "unauthorized"))
}
