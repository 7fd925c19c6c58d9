//! Time and size.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tend_fetch::{Address, Client, FetchError, Request};

use tend_testkit::{Act, Scripted};

use crate::block_on;

fn get(server: &Scripted) -> Request {
    Request::get(Address::parse(&server.url("/")).unwrap())
}

#[test]
fn a_server_that_is_slow_is_not_waited_for() {
    for script in [
        vec![Act::Hold],
        vec![Act::Read, Act::Hold],
        vec![Act::answer("HTTP/1.1 200 OK\nContent-Length: 10\n\nhalf"), Act::Hold],
    ] {
        let server = Scripted::start(vec![script]);
        let mut request = get(&server);
        request.within = Duration::from_millis(200);
        let error = block_on(Client::default().send(&request)).unwrap_err();
        assert!(matches!(error, FetchError::Silent { .. }), "{error:?}");
        assert!(error.to_string().contains("did not answer within 200ms"), "{error}");
    }
}

#[test]
fn a_host_that_says_nothing_of_tls_is_not_waited_for() {
    let server = Scripted::start(vec![vec![Act::Hold]]);
    let mut request = Request::get(Address::parse(&format!("https://{}/", server.address())).unwrap());
    request.connect_within = Duration::from_millis(200);
    request.within = Duration::from_secs(300);
    let error = block_on(Client::default().send(&request)).unwrap_err();
    assert!(matches!(error, FetchError::Unconnected { .. }), "{error:?}");
}

#[test]
fn an_answer_that_ends_early_is_none() {
    for text in [
        "",
        "HTTP/1.1 20",
        "HTTP/1.1 200 OK\nContent-Length: 10\n\nhalf",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nabc",
    ] {
        let server = Scripted::start(vec![vec![Act::answer(text)]]);
        let error = block_on(Client::default().send(&get(&server))).unwrap_err();
        assert!(matches!(error, FetchError::Broken { .. }), "{text:?}: {error:?}");
        assert!(error.is_transient());
    }
}

#[test]
fn a_long_answer_is_cut_and_says_so() {
    let body = "0123456789".repeat(10_000);
    let server = Scripted::start(vec![vec![Act::ok(&body)], vec![Act::ok(&body)]]);
    let mut request = get(&server);
    for (limit, cut) in [(99_999, true), (100_000, false)] {
        request.answer_bytes_max = limit;
        let answer = block_on(Client::default().send(&request)).unwrap();
        assert_eq!((answer.body.len(), answer.cut), (limit, cut));
        assert_eq!(&answer.body[..], &body.as_bytes()[..limit]);
    }
}

#[test]
fn a_packed_answer_is_unpacked_within_the_limit() {
    let text = "up 1\n".repeat(50_000);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        packed.len()
    )
    .into_bytes();
    bytes.extend(&packed);
    let act = Act::Answer(bytes);
    let server = Scripted::start(vec![vec![act.clone()], vec![act]]);
    let mut request = get(&server);
    let answer = block_on(Client::default().send(&request)).unwrap();
    assert_eq!((answer.text(), answer.cut), (text, false));
    assert_eq!(answer.header("content-encoding"), None);
    request.answer_bytes_max = 1000;
    let answer = block_on(Client::default().send(&request)).unwrap();
    assert_eq!((answer.body.len(), answer.cut), (1000, true));
}

#[test]
fn what_is_not_packed_as_it_says_is_an_error() {
    let text = "HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 5\n\nplain";
    let server = Scripted::start(vec![vec![Act::answer(text)]]);
    let error = block_on(Client::default().send(&get(&server))).unwrap_err();
    assert!(matches!(error, FetchError::Garbled { .. }), "{error:?}");
}
