//! What the daemon with canned answers says of secrets.

use tend_api::messages::{
    RecoveryKeyReport, SecretChanged, SecretList, SecretReport, SecretSource, SecretValue, SecretVersion,
};
use tend_api::{AddRecoveryKey, ApiError, ChangeSecrets, Class, Reply, RevealSecret, SecretChange};
use tend_base::{Exposed, Secret, Wall};
use tend_core::model::StackName;

use crate::fake::AT;

/// Two secrets: one that was rotated and is overdue, and one that tend makes.
pub(crate) fn list(stack: StackName) -> Reply {
    let version = |version: u64, state: &str, held_by: &[&str]| SecretVersion {
        version,
        state: state.to_owned(),
        made_at: Wall(AT.0 - 91 * 24 * 3_600_000),
        made_by: "ana".to_owned(),
        since: AT,
        held_by: held_by.iter().map(|replica| (*replica).to_owned()).collect(),
    };
    let password = SecretReport {
        name: "db_password".to_owned(),
        class: "restart-only".to_owned(),
        generated: false,
        due_at: Some(Wall(AT.0 - 24 * 3_600_000)),
        overdue: true,
        granted_to: vec!["mps/api".to_owned()],
        versions: vec![
            version(3, "staged", &[]),
            version(2, "current", &["mps/api/1", "mps/api/2"]),
            version(1, "retired", &[]),
        ],
        source: None,
        rotation: None,
    };
    let from_vault = SecretReport {
        name: "mail_key".to_owned(),
        overdue: false,
        due_at: Some(AT),
        versions: vec![version(1, "current", &[])],
        source: Some(SecretSource {
            address: "https://vault.example:8200".to_owned(),
            path: "kv/data/mps".to_owned(),
            field: "mail".to_owned(),
            version: Some(7),
            state: "sealed".to_owned(),
            since: Some(AT),
            read_at: Some(AT),
            why: Some("Vault at https://vault.example:8200 is sealed".to_owned()),
            hint: Some("unseal it".to_owned()),
        }),
        ..password.clone()
    };
    let key = SecretReport {
        name: "jwt_key".to_owned(),
        generated: true,
        overdue: false,
        due_at: Some(AT),
        granted_to: Vec::new(),
        class: "token-overlap".to_owned(),
        versions: vec![
            version(2, "current", &["mps/api/1"]),
            version(1, "overlap", &["mps/api/1"]),
        ],
        rotation: Some("waiting until nothing made with the old version is shown any more: 24h".to_owned()),
        ..password.clone()
    };
    Reply::json(&SecretList {
        stack,
        items: vec![password, key, from_vault],
        recovery_keys: 0,
    })
}

/// What became of a change.
pub(crate) fn change(change: &ChangeSecrets) -> Reply {
    let (message, next_step) = match &change.change {
        SecretChange::Set { name, .. } => (
            format!("{name}: version 3 is staged; the one before is still given to replicas"),
            Some(format!(
                "`tend secret rotate {name}` makes it current and replaces who holds another"
            )),
        ),
        SecretChange::Generate { name, .. } => (format!("{name}: version 1 is current"), None),
        SecretChange::Import { values, .. } => (format!("{} stored", values.len()), None),
        SecretChange::Retire { name, .. } => {
            return Reply::Refused(
                ApiError::new(Class::Conflict, format!("{name} is in use by mps/api/1"))
                    .hint("`tend secret rotate` gives them another version; or take it out of their `secrets:`"),
            );
        }
        SecretChange::FillVault { values, write, .. } => {
            let names: Vec<&str> = values.keys().map(String::as_str).collect();
            let done = if *write {
                "was written as version 1, and read back"
            } else {
                "would be written"
            };
            (format!("{}: {done}", names.join(", ")), None)
        }
        SecretChange::Destroy { name, .. } => (format!("{name}: destroyed 1"), None),
    };
    Reply::json(&SecretChanged {
        messages: vec![message],
        next_step,
    })
}

/// A value.
pub(crate) fn reveal(reveal: &RevealSecret) -> Reply {
    Reply::json(&SecretValue {
        name: reveal.name.clone(),
        version: reveal.version.unwrap_or(2),
        value: Exposed(Secret::new("hunter2".to_owned())),
    })
}

/// A key, made or taken.
pub(crate) fn recovery_key(add: &AddRecoveryKey) -> Reply {
    Reply::json(&RecoveryKeyReport {
        public: "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".to_owned(),
        key: add.public.is_none().then(|| {
            Exposed(Secret::new(
                "# public key: age1ql3z\nAGE-SECRET-KEY-1EXAMPLE\n".to_owned(),
            ))
        }),
    })
}
