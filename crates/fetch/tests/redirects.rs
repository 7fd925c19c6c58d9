//! Where answers lead, and what goes along.

use tend_base::Secret;
use tend_fetch::{Address, Auth, Client, FetchError, Request, TlsSettings};

use tend_testkit::{Act, Authority, Scripted};

use crate::block_on;

fn leads(status: u16, location: &str) -> Act {
    Act::answer(&format!(
        "HTTP/1.1 {status} There\nLocation: {location}\nContent-Length: 0\n\n"
    ))
}

fn request(method: &'static str, server: &Scripted) -> Request {
    let mut request = Request::new(method, Address::parse(&server.url("/a/b")).unwrap());
    request.redirects = 3;
    request.auth = Some(Auth::Bearer(Secret::new("for-one".to_owned())));
    request.header("X-Open", "for-all").header("Cookie", "for-one");
    request.secret_header("X-Key", &Secret::new("for-one".to_owned()));
    request
}

#[test]
fn the_same_origin_is_told_all_and_another_one_no_secret() {
    let other = Scripted::start(vec![vec![Act::ok("there")]]);
    let there = other.url("/end?x=1");
    let server = Scripted::start(vec![vec![leads(301, "c")], vec![leads(307, &there)]]);
    let answer = block_on(Client::default().send(&request("GET", &server))).unwrap();
    assert_eq!(answer.text(), "there");
    let (first, last) = (server.asked(), other.asked());
    assert!(first[1].starts_with("GET /a/c HTTP/1.1\r\n"), "{first:?}");
    assert!(
        first[1].contains("Bearer for-one") && first[1].contains("x-key: for-one"),
        "{first:?}"
    );
    assert!(last[0].starts_with("GET /end?x=1 HTTP/1.1\r\n"), "{last:?}");
    assert!(last[0].contains("for-all") && !last[0].contains("for-one"), "{last:?}");
}

#[test]
fn a_post_follows_only_what_keeps_it_a_post() {
    let server = Scripted::start(vec![
        vec![leads(302, "/c")],
        vec![leads(308, "/c")],
        vec![Act::ok("taken")],
    ]);
    let mut asking = request("POST", &server);
    asking.body = "body".into();
    let answer = block_on(Client::default().send(&asking)).unwrap();
    assert_eq!((answer.status, answer.header("location")), (302, Some("/c")));
    assert_eq!(block_on(Client::default().send(&asking)).unwrap().text(), "taken");
    let last = server.asked().remove(2);
    assert!(last.starts_with("POST /c ") && last.ends_with("\r\n\r\nbody"), "{last}");
}

#[test]
fn nobody_is_led_in_circles_nor_out_of_tls() {
    let server = Scripted::start((0..4).map(|_| vec![leads(302, "/c")]).collect());
    let error = block_on(Client::default().send(&request("GET", &server))).unwrap_err();
    assert!(
        matches!(&error, FetchError::Redirect { why, .. } if why == "more than 3 steps"),
        "{error:?}"
    );
    assert_eq!(server.asked().len(), 4);
    let mut never = request("GET", &Scripted::start(Vec::new()));
    let server = Scripted::start(vec![vec![leads(302, "/c")]]);
    never.address = Address::parse(&server.url("/")).unwrap();
    never.redirects = 0;
    assert_eq!(block_on(Client::default().send(&never)).unwrap().status, 302);
    let authority = Authority::new();
    let plain = Scripted::start(Vec::new());
    let server = Scripted::tls(
        authority.server("127.0.0.1", false),
        vec![vec![leads(302, &plain.url("/"))]],
    );
    let mut asking = request("GET", &server);
    asking.address = Address::parse(&format!("https://{}/", server.address())).unwrap();
    let settings = TlsSettings {
        ca_file: Some(authority.file()),
        ..TlsSettings::default()
    };
    let error = block_on(Client::new(settings, 0).send(&asking)).unwrap_err();
    assert!(error.to_string().contains("is not encrypted"), "{error}");
    assert!(plain.asked().is_empty());
}
