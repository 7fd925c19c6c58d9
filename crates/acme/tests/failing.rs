//! Tries that fail: what is kept stays, and a person is told why and what to do.

use tend_acme::{AcmeError, Authority, Challenge, LETS_ENCRYPT};
use tend_base::SystemClock;
use tend_certificate::Outcome;

use crate::fixture::{Pebble, run, wish};

#[test]
fn a_try_that_fails_leaves_the_last_good_one() {
    for challenge in [Challenge::Http01, Challenge::TlsAlpn01] {
        let pebble = Pebble::start();
        let wish = wish("pay.tend.test api.tend.test", challenge);
        let (good, certificate) = pebble.renew(&wish).unwrap();
        pebble.server.set_deaf(true);
        let error = pebble.renew(&wish).unwrap_err();
        let AcmeError::Unproven { name, .. } = &error else {
            panic!("{error:?}");
        };
        assert!(wish.names.iter().any(|host| host == name), "{name}");
        let text = error.with_causes();
        assert!(
            text.contains(&challenge.to_string()) && !error.hint().is_empty(),
            "{text}"
        );
        let record = pebble.folder.record(&wish.names).unwrap();
        assert_eq!(record.current, good.current);
        assert_eq!(
            pebble.folder.certificate(&record).unwrap().unwrap().unwrap(),
            certificate
        );
        assert_eq!(record.history.last_error.as_deref(), Some(text.as_str()));
        let outcomes: Vec<Outcome> = record.history.tries.iter().map(|t| t.outcome).collect();
        assert_eq!(outcomes, [Outcome::Issued, Outcome::Failed]);
        assert_eq!(
            pebble.server.told().last().map(Vec::len),
            Some(0),
            "answers are taken away"
        );
        // Put right, the next try is an order of its own and succeeds.
        pebble.server.set_deaf(false);
        let (record, _) = pebble.renew(&wish).unwrap();
        assert_ne!(record.current, good.current);
        assert_eq!(record.history.last_error, None);
        assert_eq!(record.history.failures(), 0);
    }
}

#[test]
fn what_the_authority_does_not_issue_is_refused_in_its_words() {
    let pebble = Pebble::start();
    let error = pebble.renew(&wish("a_b.tend.test", Challenge::Http01)).unwrap_err();
    assert!(
        matches!(&error, AcmeError::Refused { what: "an order", .. }),
        "{error:?}"
    );
    assert!(
        error.to_string().starts_with("the authority refused an order: "),
        "{error}"
    );
    assert!(!error.is_transient());
    // We do not even ask for what cannot be proven.
    let error = pebble.renew(&wish("*.tend.test", Challenge::Http01)).unwrap_err();
    assert!(matches!(&error, AcmeError::Wildcard { .. }), "{error:?}");
    assert!(!pebble.log().contains("*.tend.test"));
}

#[test]
fn an_authority_that_cannot_be_reached_or_believed_is_named() {
    let pebble = Pebble::start();
    let wish = wish("pay.tend.test", Challenge::Http01);
    let ask = |authority: &Authority| {
        run(tend_acme::renew(
            authority,
            &pebble.folder,
            &wish,
            &pebble.server,
            &SystemClock,
        ))
        .unwrap_err()
    };
    // Its own root is not among those of this machine; nor is anybody who has none.
    match Authority::new(&pebble.directory(), None) {
        Ok(authority) => {
            let error = ask(&authority);
            assert!(matches!(&error, AcmeError::Broken { .. }), "{error:?}");
            assert!(error.with_causes().contains("certificate"), "{}", error.with_causes());
            assert!(error.is_transient());
        }
        Err(error) => assert!(matches!(&error, AcmeError::NoRoots), "{error:?}"),
    }
    let root = Some(pebble.root());
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = ask(&Authority::new(&format!("https://{nobody}/dir"), root).unwrap());
    assert!(matches!(&error, AcmeError::Unreachable { .. }), "{error:?}");
    let elsewhere = pebble.directory().replace("/dir", "/elsewhere");
    let error = ask(&Authority::new(&elsewhere, root).unwrap());
    assert!(matches!(&error, AcmeError::NotAcme { status: 404, .. }), "{error:?}");
    let record = pebble.folder.record(&wish.names).unwrap();
    assert!(record.history.failures() >= 2);
    for wrong in ["http://127.0.0.1/dir", "dir", ""] {
        assert!(
            matches!(Authority::new(wrong, root), Err(AcmeError::Address { .. })),
            "{wrong}"
        );
    }
    let empty = pebble.place.write("empty.pem", "");
    assert!(matches!(
        Authority::new(LETS_ENCRYPT, Some(&empty)),
        Err(AcmeError::Roots { .. })
    ));
    let nowhere = pebble.place.path().join("nowhere.pem");
    assert!(matches!(
        Authority::new(LETS_ENCRYPT, Some(&nowhere)),
        Err(AcmeError::Read { .. })
    ));
}
