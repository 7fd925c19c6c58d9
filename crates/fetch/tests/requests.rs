//! What is sent, and what is said when it cannot be.

use tend_base::Secret;
use tend_fetch::{Address, Auth, Client, FetchError, Request};
use tokio::net::TcpSocket;

use tend_testkit::{Act, Folder, Scripted, scripted_socket};

use crate::block_on;

#[test]
fn a_request_is_what_was_asked_for() {
    let server = Scripted::start(vec![vec![Act::ok("taken")]]);
    let mut request = Request::post(
        Address::parse(&server.url("/hook?x=1#gone")).unwrap(),
        "application/json",
        "{}",
    );
    request.auth = Some(Auth::Bearer(Secret::new("abc".to_owned())));
    request
        .header("X-One", "1")
        .secret_header("X-Two", &Secret::new("2".to_owned()));
    // What frames a request is nobody's to set.
    request.header("Content-Length", "7").header("Host", "elsewhere");
    let answer = block_on(Client::default().send(&request)).unwrap();
    assert_eq!(
        (answer.status, answer.text().as_str(), answer.cut),
        (200, "taken", false)
    );
    assert_eq!(answer.header("content-length"), Some("5"));
    let asked = server.asked().remove(0).to_lowercase();
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.split("\r\n").collect();
    assert_eq!(lines.remove(0), "post /hook?x=1 http/1.1");
    lines.sort_unstable();
    let host = format!("host: {}", server.address());
    let agent = format!("user-agent: tend/{}", env!("CARGO_PKG_VERSION"));
    let expected = [
        "accept-encoding: gzip",
        "authorization: bearer abc",
        "connection: close",
        "content-length: 2",
        "content-type: application/json",
        host.as_str(),
        agent.as_str(),
        "x-one: 1",
        "x-two: 2",
    ];
    assert_eq!(lines, expected);
    assert_eq!(body, "{}");
}

#[test]
fn who_asks_is_said_as_configured() {
    let secret = |text: &str| Secret::new(text.to_owned());
    let basic = Auth::Basic {
        user: "ann".to_owned(),
        password: secret("p:w"),
    };
    for (userinfo, auth, expected) in [
        ("", None, None),
        ("ann:p%3Aw@", None, Some("Basic YW5uOnA6dw==")),
        ("bob:x@", Some(basic), Some("Basic YW5uOnA6dw==")),
        ("", Some(Auth::Custom(secret("Token t"))), Some("Token t")),
    ] {
        let server = Scripted::start(vec![vec![Act::ok("")]]);
        let mut request = Request::get(Address::parse(&format!("http://{userinfo}{}/", server.address())).unwrap());
        request.auth = auth;
        block_on(Client::default().send(&request)).unwrap();
        let asked = server.asked().remove(0);
        let found = asked.split("\r\n").find_map(|line| {
            line.split_once(": ")
                .filter(|(name, _)| name.eq_ignore_ascii_case("authorization"))
        });
        assert_eq!(found.map(|(_, value)| value), expected);
    }
}

#[test]
fn a_socket_is_asked_like_a_host() {
    let folder = Folder::new();
    let path = folder.path().join("s");
    let thread = scripted_socket(&path, Act::ok("from a socket"));
    let address = Address::parse(&format!("unix:{}:/metrics", path.display())).unwrap();
    let answer = block_on(Client::default().send(&Request::get(address.clone()))).unwrap();
    assert_eq!(answer.text(), "from a socket");
    let asked = thread.join().unwrap().remove(0).to_lowercase();
    assert!(
        asked.starts_with("get /metrics http/1.1\r\n") && asked.contains("host: localhost\r\n"),
        "{asked}"
    );
    let error = block_on(Client::default().send(&Request::get(address))).unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
    assert!(
        error.with_causes().contains("/s was not reached"),
        "{}",
        error.with_causes()
    );
}

#[test]
fn an_answer_of_any_status_is_an_answer() {
    for (text, status) in [
        ("HTTP/1.1 500 Oh\nContent-Length: 3\n\nwhy", 500),
        ("HTTP/1.0 404 No\n\nwhy", 404),
        ("HTTP/1.1 204 Nothing\n\n", 204),
        (
            "HTTP/1.1 103 Early\n\nHTTP/1.1 429 Slowly\nTransfer-Encoding: chunked\n\n3\nwhy\n0\n\n",
            429,
        ),
    ] {
        let server = Scripted::start(vec![vec![Act::answer(text)]]);
        let request = Request::get(Address::parse(&server.url("/")).unwrap());
        let answer = block_on(Client::default().send(&request)).unwrap();
        assert_eq!(answer.status, status);
        assert_eq!(answer.text(), if status == 204 { "" } else { "why" });
    }
}

#[test]
fn nothing_secret_is_shown() {
    // Held by somebody who does not listen.
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let gone = held.local_addr().unwrap();
    let garbage = Scripted::start(vec![vec![Act::answer("SSH-2.0-KEYSECRET\n\n")]]);
    let odd = Scripted::start(Vec::new());
    let mut errors = Vec::new();
    for (at, header) in [
        (gone, "KEYSECRET"),
        (garbage.address(), "KEYSECRET"),
        (odd.address(), "KEYSECRET\n"),
    ] {
        let address = Address::parse(&format!("http://u:KEYSECRET@{at}/KEYSECRET?k=KEYSECRET")).unwrap();
        let mut request = Request::post(address, "text/plain", "x");
        request.secret_header("X-Key", &Secret::new(header.to_owned()));
        request.auth = Some(Auth::Bearer(Secret::new("KEYSECRET".to_owned())));
        let shown = format!("{request:?}");
        assert!(!shown.contains("KEYSECRET"), "{shown}");
        errors.push(block_on(Client::default().send(&request)).unwrap_err());
    }
    for (error, at) in errors.iter().zip([gone, garbage.address(), odd.address()]) {
        let told = format!("{} {error:?} {}", error.with_causes(), error.hint());
        assert!(!told.contains("KEYSECRET") && told.contains(&at.to_string()), "{told}");
    }
    assert!(matches!(errors[0], FetchError::Unreachable { .. }), "{:?}", errors[0]);
    assert!(matches!(errors[1], FetchError::Broken { .. }), "{:?}", errors[1]);
    assert!(matches!(errors[2], FetchError::Unwritable { .. }), "{:?}", errors[2]);
    assert!(odd.asked().is_empty());
}
