//! TLS: who is believed, and how we show who we are.

use std::os::unix::fs::MetadataExt;

use tend_fetch::{Address, Client, FetchError, Identity, Request, TlsSettings};

use tend_testkit::{Act, Authority, Scripted};

use crate::block_on;

fn ask(server: &Scripted, client: &Client) -> Result<String, FetchError> {
    let request = Request::get(Address::parse(&format!("https://{}/", server.address())).unwrap());
    block_on(client.send(&request)).map(|answer| answer.text())
}

fn believing(authority: &Authority) -> TlsSettings {
    TlsSettings {
        ca_file: Some(authority.file()),
        ..TlsSettings::default()
    }
}

#[test]
fn only_the_certificate_of_this_name_by_this_authority_is_believed() {
    let authority = Authority::new();
    let other = Authority::new();
    let named = |name: &str, settings: TlsSettings| TlsSettings {
        server_name: Some(name.to_owned()),
        ..settings
    };
    let anybody = TlsSettings {
        insecure_skip_verify: true,
        ..TlsSettings::default()
    };
    for (certificate, settings, believed) in [
        ("127.0.0.1", believing(&authority), true),
        ("127.0.0.1", believing(&other), false),
        ("127.0.0.1", TlsSettings::default(), false),
        ("other.example", believing(&authority), false),
        ("other.example", named("other.example", believing(&authority)), true),
        ("127.0.0.1", named("other.example", believing(&authority)), false),
        ("other.example", anybody, true),
    ] {
        let server = Scripted::tls(authority.server(certificate, false), vec![vec![Act::ok("in secret")]]);
        let answered = ask(&server, &Client::new(settings.clone(), 0));
        match (believed, answered) {
            (true, Ok(text)) => assert_eq!(text, "in secret"),
            // A machine without any root says that.
            (false, Err(FetchError::Tls { .. } | FetchError::NoRoots)) => assert!(server.asked().is_empty()),
            (_, answered) => panic!("{certificate}, {settings:?}: {answered:?}"),
        }
    }
}

#[test]
fn a_client_shows_its_certificate_where_it_is_asked_for() {
    let authority = Authority::new();
    let server = Scripted::tls(
        authority.server("127.0.0.1", true),
        (0..3).map(|_| vec![Act::ok("known")]).collect(),
    );
    let error = ask(&server, &Client::new(believing(&authority), 0)).unwrap_err();
    assert!(
        matches!(error, FetchError::Tls { .. } | FetchError::Broken { .. }),
        "{error:?}"
    );
    let (cert_file, key_file) = authority.identity();
    let settings = TlsSettings {
        identity: Some(Identity { cert_file, key_file }),
        ..believing(&authority)
    };
    assert_eq!(ask(&server, &Client::new(settings.clone(), 0)).unwrap(), "known");
    // Nobody shows what is another's as his own.
    let owner = std::fs::metadata(settings.ca_file.as_ref().unwrap()).unwrap().uid();
    for (owner, shown) in [(owner + 1, false), (owner, true)] {
        let settings = TlsSettings {
            owner: Some(owner),
            ..settings.clone()
        };
        match (shown, ask(&server, &Client::new(settings, 0))) {
            (true, Ok(text)) => assert_eq!(text, "known"),
            (false, Err(error @ FetchError::File { .. })) => {
                assert!(error.with_causes().contains("belongs to user"), "{error:?}");
            }
            (_, answered) => panic!("{answered:?}"),
        }
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named_and_one_that_changed_is_read_again() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Scripted::tls(
        authority.server("127.0.0.1", false),
        vec![vec![Act::ok("one")], vec![Act::ok("two")], vec![Act::ok("three")]],
    );
    let settings = believing(&authority);
    let path = settings.ca_file.clone().unwrap();
    let client = Client::new(settings, 0);
    assert_eq!(ask(&server, &client).unwrap(), "one");
    for (text, why) in [("", "no certificate"), ("-----BEGIN CERTIFICATE-----\n!!", "")] {
        std::fs::write(&path, text).unwrap();
        let error = ask(&server, &client).unwrap_err();
        assert!(matches!(error, FetchError::File { .. }), "{error:?}");
        let told = error.with_causes();
        assert!(
            told.contains("the root certificates in") && told.contains(why),
            "{told}"
        );
    }
    // Of another length than the first, whatever the resolution of its time is.
    std::fs::write(&path, format!("{}\n{}", other.roots(), authority.roots())).unwrap();
    assert_eq!(ask(&server, &client).unwrap(), "two");
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(ask(&server, &client).unwrap_err(), FetchError::File { .. }));
}
