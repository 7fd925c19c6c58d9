//! The key of the daemon's state: made once, kept sealed, opened by what opens the secrets.

use tend_base::Secret;
use tend_secrets::{Passphrase, SecretsError, Store};
use tend_testkit::Folder;

const PLANTED: &str = "{\"password\":\"pl4nted-v4lue\"}";

#[test]
fn what_is_sealed_opens_with_the_same_key_under_its_own_name_alone() {
    let folder = Folder::new();
    let sealed = {
        let key = Store::open(folder.path(), None).unwrap().state_key().unwrap();
        assert_eq!(format!("{key:?}"), "StateKey(***)");
        let (one, other) = (
            key.seal("stack mps", PLANTED).unwrap(),
            key.seal("stack mps", PLANTED).unwrap(),
        );
        assert!(one != other && !one.contains("pl4nted"), "{one}");
        one
    };
    // Another start has the same key.
    let key = Store::open(folder.path(), None).unwrap().state_key().unwrap();
    assert_eq!(key.open_text("stack mps", &sealed).unwrap(), PLANTED);
    let refused = |name: &str, text: &str| matches!(key.open_text(name, text), Err(SecretsError::NotSealed { .. }));
    assert!(refused("stack other", &sealed));
    assert!(refused("stack mps", &sealed[4..]));
    assert!(refused("stack mps", "AAAA") && refused("stack mps", "no base64"));
    let elsewhere = Folder::new();
    let other = Store::open(elsewhere.path(), None).unwrap().state_key().unwrap();
    assert!(other.open_text("stack mps", &sealed).is_err());
    assert_eq!(key.open_text("x", &key.seal("x", "").unwrap()).unwrap(), "");
}

#[test]
fn the_recovery_key_opens_the_state_too_and_without_any_key_it_is_refused() {
    let folder = Folder::new();
    let mut store = Store::open(folder.path(), None).unwrap();
    let sealed = store.state_key().unwrap().seal("stack mps", PLANTED).unwrap();
    let recovery = store.add_recovery_key(None).unwrap();
    drop(store);
    // The machine's key is lost: nothing is made anew in its place.
    std::fs::remove_file(folder.path().join("key")).unwrap();
    assert!(matches!(
        Store::open(folder.path(), None),
        Err(SecretsError::KeyGone { .. })
    ));
    let key = folder.path().join("key");
    std::fs::write(&key, recovery.secret.expose()).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let store = Store::open(folder.path(), None).unwrap();
    assert_eq!(
        store.state_key().unwrap().open_text("stack mps", &sealed).unwrap(),
        PLANTED
    );
}

#[test]
fn under_a_passphrase_the_state_needs_it() {
    let folder = Folder::new();
    let passphrase = Passphrase::new(&Secret::new("correct horse".to_owned()));
    let store = Store::open(folder.path(), Some(&passphrase)).unwrap();
    let sealed = store.state_key().unwrap().seal("a", PLANTED).unwrap();
    drop(store);
    assert!(matches!(
        Store::open(folder.path(), None),
        Err(SecretsError::NoPassphrase { .. })
    ));
    let store = Store::open(folder.path(), Some(&passphrase)).unwrap();
    assert_eq!(store.state_key().unwrap().open_text("a", &sealed).unwrap(), PLANTED);
}
