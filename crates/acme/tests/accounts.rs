//! Accounts: one for an authority, kept, and made anew when the authority has ended it. Orders that the authority has ended.

use instant_acme::{Account, AuthorizationStatus};
use rcgen::KeyPair;
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde_json::Value;
use tend_acme::{Challenge, Record, Wish};
use tend_base::{Clock, SystemClock};

use crate::fixture::{Pebble, run, wish};

/// Returns what is kept of the account.
fn kept(pebble: &Pebble) -> Value {
    read_only(pebble, "accounts")
}

fn read_only(pebble: &Pebble, folder: &str) -> Value {
    let mut files = std::fs::read_dir(pebble.folder.path().join(folder)).unwrap();
    let path = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Opens the kept account by itself, as another program with its key could.
async fn open(pebble: &Pebble) -> Account {
    let kept = kept(pebble);
    let key = KeyPair::from_pem(kept["key"].as_str().unwrap()).unwrap();
    Account::builder_with_http(pebble.authority().http_client())
        .from_parts(
            kept["id"].as_str().unwrap().to_owned(),
            PrivatePkcs8KeyDer::from(key.serialize_der()),
            pebble.directory(),
        )
        .await
        .unwrap()
}

#[test]
fn one_account_is_used_again_and_its_address_can_change() {
    let pebble = Pebble::start();
    pebble.renew(&wish("pay.tend.test", Challenge::Http01)).unwrap();
    let first = kept(&pebble);
    assert_eq!(first["email"], "ops@tend.test");
    pebble.renew(&wish("api.tend.test", Challenge::Http01)).unwrap();
    assert_eq!(kept(&pebble), first);
    let other = Wish {
        email: Some("night@tend.test".to_owned()),
        ..wish("pay.tend.test", Challenge::Http01)
    };
    pebble.renew(&other).unwrap();
    let changed = kept(&pebble);
    assert_eq!(changed["email"], "night@tend.test");
    assert_eq!((&changed["id"], &changed["key"]), (&first["id"], &first["key"]));
}

#[test]
fn an_account_that_the_authority_has_ended_is_made_anew() {
    let pebble = Pebble::start();
    let wish = wish("pay.tend.test", Challenge::Http01);
    pebble.renew(&wish).unwrap();
    let first = kept(&pebble);
    run(async { open(&pebble).await.deactivate().await.unwrap() });
    pebble.renew(&wish).unwrap();
    let second = kept(&pebble);
    assert_ne!(second["id"], first["id"]);
    assert_ne!(
        second["key"], first["key"],
        "a key that may be in other hands is not used again"
    );
}

#[test]
fn an_account_that_the_authority_forgot_is_made_anew() {
    let pebble = Pebble::start();
    let other = Pebble::start();
    let wish = wish("pay.tend.test", Challenge::Http01);
    pebble.renew(&wish).unwrap();
    other.renew(&wish).unwrap();
    // As if the authority had lost all: the account of one, kept as that of the other.
    let mut account = kept(&pebble);
    let id = account["id"]
        .as_str()
        .unwrap()
        .replace(&pebble.port().to_string(), &other.port().to_string());
    account["id"] = format!("{id}f").into();
    account["authority"] = other.directory().into();
    let file = std::fs::read_dir(other.folder.path().join("accounts"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    std::fs::write(file.path(), account.to_string()).unwrap();
    other.renew(&wish).unwrap();
    assert_ne!(kept(&other)["key"], account["key"]);
}

#[test]
fn an_order_whose_proof_was_taken_back_is_followed_by_a_new_one() {
    let pebble = Pebble::start();
    let wish = wish("pay.tend.test", Challenge::Http01);
    pebble.renew(&wish).unwrap();
    // An order that was begun, and then its authorization is ended, as one that expired.
    let mut record = Record::new(["api.tend.test"].into_iter().collect());
    record.history.begin(SystemClock.now().wall);
    pebble.folder.write_record(&record).unwrap();
    let url = run(async {
        let account = open(&pebble).await;
        let names = [instant_acme::Identifier::Dns("api.tend.test".to_owned())];
        let mut order = account.new_order(&instant_acme::NewOrder::new(&names)).await.unwrap();
        let mut authorizations = order.authorizations();
        let mut authorization = authorizations.next().await.unwrap().unwrap();
        let state = authorization.deactivate().await.unwrap();
        assert_eq!(state.status, AuthorizationStatus::Deactivated);
        order.url().to_owned()
    });
    let order = serde_json::json!({
        "format": 1,
        "names": ["api.tend.test"],
        "authority": pebble.directory(),
        "account": kept(&pebble)["id"],
        "url": url,
        "key": KeyPair::generate().unwrap().serialize_pem(),
        "made_at": record.history.tries[0].at,
    });
    let path = pebble
        .folder
        .path()
        .join("orders")
        .join(format!("{}.json", record.names.id()));
    std::fs::write(&path, order.to_string()).unwrap();
    assert!(pebble.folder.is_under_way(&record, &pebble.directory()).unwrap());
    let wish = Wish {
        names: record.names.clone(),
        ..wish
    };
    let (record, _) = pebble.renew(&wish).unwrap();
    assert_eq!(record.history.tries.len(), 1, "it is the same try");
    assert!(!path.exists());
}
