//! Connections that are kept: used again, and replaced when they are dead.

use std::time::Duration;

use tend_fetch::{Address, Client, FetchError, Request, TlsSettings};

use tend_testkit::{Act, Scripted};

use crate::block_on;

fn keeping(kept_max: usize) -> Client {
    Client::new(TlsSettings::default(), kept_max)
}

fn get(server: &Scripted) -> Request {
    Request::get(Address::parse(&server.url("/")).unwrap())
}

fn post(server: &Scripted) -> Request {
    Request::post(Address::parse(&server.url("/")).unwrap(), "text/plain", "x")
}

#[test]
fn a_kept_connection_is_used_again() {
    let chunked = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\nb\n0\n\n";
    let server = Scripted::start(vec![vec![Act::ok("a"), Act::answer(chunked), Act::ok("c")]]);
    let client = keeping(1);
    block_on(async {
        for (request, expected) in [(get(&server), "a"), (post(&server), "b"), (get(&server), "c")] {
            assert_eq!(client.send(&request).await.unwrap().text(), expected);
        }
    });
    assert_eq!(server.asked().len(), 3);
    assert!(!server.asked()[0].to_lowercase().contains("connection: close"));
}

#[test]
fn no_more_connections_are_kept_than_allowed() {
    let one = Scripted::start(vec![vec![Act::ok("1"), Act::Hold], vec![Act::ok("1 anew")]]);
    let two = Scripted::start(vec![vec![Act::ok("2"), Act::ok("2 again")]]);
    let client = keeping(1);
    block_on(async {
        for (server, expected) in [(&one, "1"), (&two, "2"), (&two, "2 again"), (&one, "1 anew")] {
            assert_eq!(client.send(&get(server)).await.unwrap().text(), expected);
        }
    });
}

#[test]
fn a_kept_connection_that_is_dead() {
    // The other side takes the second request and ends the connection: nobody knows what it did with it.
    let script = || vec![vec![Act::ok("first"), Act::Read], vec![Act::ok("second")]];
    let server = Scripted::start(script());
    let client = keeping(1);
    block_on(async {
        client.send(&get(&server)).await.unwrap();
        assert_eq!(client.send(&get(&server)).await.unwrap().text(), "second");
    });
    assert_eq!(server.asked().len(), 3);
    let server = Scripted::start(script());
    block_on(async {
        client.send(&get(&server)).await.unwrap();
        let error = client.send(&post(&server)).await.unwrap_err();
        assert!(matches!(error, FetchError::Broken { .. }), "{error:?}");
        assert_eq!(server.asked().len(), 2, "what may have been taken is not sent again");
        assert_eq!(client.send(&post(&server)).await.unwrap().text(), "second");
    });
}

#[test]
fn a_connection_that_was_ended_meanwhile_costs_nothing() {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    // Whether the end is seen before the second request goes out or after it, that one gets through.
    let server = Scripted::start(vec![vec![Act::ok("first"), Act::Tell(tell)], vec![Act::ok("second")]]);
    let client = keeping(1);
    block_on(async {
        client.send(&get(&server)).await.unwrap();
        told.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(client.send(&get(&server)).await.unwrap().text(), "second");
    });
    let server = Scripted::start(vec![
        vec![Act::answer(
            "HTTP/1.1 200 OK\nConnection: close\nContent-Length: 5\n\nfirst",
        )],
        vec![Act::ok("second")],
    ]);
    block_on(async {
        client.send(&get(&server)).await.unwrap();
        assert_eq!(client.send(&post(&server)).await.unwrap().text(), "second");
    });
}

#[test]
fn requests_at_once_do_not_wait_for_each_other() {
    let server = Scripted::start(vec![vec![Act::Read, Act::Hold], vec![Act::ok("quick")]]);
    let client = keeping(2);
    block_on(async {
        let mut slow = get(&server);
        slow.within = Duration::from_secs(120);
        let mut slow = std::pin::pin!(client.send(&slow));
        let quick = async {
            while server.asked().is_empty() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            client.send(&get(&server)).await
        };
        tokio::select! {
            answered = &mut slow => panic!("{answered:?}"),
            answered = quick => assert_eq!(answered.unwrap().text(), "quick"),
        }
    });
}
