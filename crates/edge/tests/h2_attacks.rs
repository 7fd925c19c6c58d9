//! What a client of HTTP/2 may not do to the others: floods of every kind end the connection they come on, and nothing else.

use std::io::{Read, Write};
use std::time::Duration;

use tend_core::model::Protocol;

use crate::fixture::{PATIENCE, Upstream, eventually};
use crate::h2_peers::{Secure, run};
use crate::tls_client::TlsClient;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// `GET https://any.test/`, by HPACK's static table and one literal.
fn get() -> Vec<u8> {
    let mut block = vec![0x82, 0x87, 0x84, 0x01, 8];
    block.extend_from_slice(b"any.test");
    block
}

/// A connection that says whatever is wanted of it.
fn hostile(secure: &Secure) -> TlsClient {
    let mut client = secure.manner.connect(secure.listen, "any.test").unwrap();
    client.0.sock.set_write_timeout(Some(PATIENCE)).unwrap();
    client.0.write_all(PREFACE).unwrap();
    client.0.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
    client
}

/// Reads until the edge ends the connection; returns the reason of its GOAWAY, if it said one.
fn end_of(client: &mut TlsClient) -> Option<u32> {
    let mut reason = None;
    let mut head = [0; 9];
    while client.0.read_exact(&mut head).is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        if client.0.read_exact(&mut payload).is_err() {
            break;
        }
        if head[3] == GOAWAY {
            reason = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
    }
    reason
}

/// Sends `flood` again and again, at most `times`; returns whether the edge ended the connection before.
fn flooded(client: &mut TlsClient, times: u32, flood: impl Fn(u32) -> Vec<u8>) -> bool {
    for turn in 0..times {
        if client.0.write_all(&flood(turn)).is_err() {
            return true;
        }
    }
    false
}

/// While `attack` runs, others are served.
fn others_are_served(secure: &Secure, attack: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let attacker = scope.spawn(attack);
        run(async {
            loop {
                let client = secure.client().await;
                for _ in 0..20 {
                    assert_eq!(client.get("/").await.status, 200);
                }
                if attacker.is_finished() {
                    break;
                }
            }
        });
        attacker.join().unwrap();
    });
}

#[test]
fn rapid_reset_ends_the_connection() {
    let upstream = Upstream::named("api");
    let mut secure = Secure::before(&[upstream.address], Protocol::Http1);
    others_are_served(&secure, || {
        // All in one write: never looked at.
        let mut unseen = hostile(&secure);
        let mut all = Vec::new();
        for turn in 0..1000 {
            all.extend(frame(HEADERS, END_STREAM | END_HEADERS, 2 * turn + 1, &get()));
            all.extend(frame(RST_STREAM, 0, 2 * turn + 1, &8u32.to_be_bytes()));
        }
        let _ = unseen.0.write_all(&all);
        assert_eq!(end_of(&mut unseen), Some(11), "ENHANCE_YOUR_CALM");
    });
    eventually("nothing in flight", || {
        (secure.edge.stats().replicas[0].in_flight == 0).then_some(())
    });
}

#[test]
fn requests_that_are_looked_at_and_then_reset_end_the_connection_too() {
    // Never answers, so that every reset finds its request open.
    let upstream = Upstream::start(|_, _| {
        std::thread::sleep(Duration::from_millis(20));
        crate::fixture::Keep::Close
    });
    let mut secure = Secure::configured(&[upstream.address], Protocol::Http1, |_| {});
    secure.plan.snapshot.services[0].balance.max_fails = 0;
    secure.edge.serve(&secure.plan.next());
    let mut client = hostile(&secure);
    let ended = flooded(&mut client, 5000, |turn| {
        let request = frame(HEADERS, END_STREAM | END_HEADERS, 2 * turn + 1, &get());
        // The edge has a turn in between.
        let ping = frame(PING, 0, 0, &[0; 8]);
        let before = turn
            .checked_sub(10)
            .map(|turn| frame(RST_STREAM, 0, 2 * turn + 1, &8u32.to_be_bytes()));
        [request, ping, before.unwrap_or_default()].concat()
    });
    let reason = end_of(&mut client);
    assert!(ended || reason == Some(11), "{reason:?}");
}

#[test]
fn floods_of_continuations_end_the_connection() {
    let upstream = Upstream::named("api");
    let secure = Secure::before(&[upstream.address], Protocol::Http1);
    others_are_served(&secure, || {
        let mut endless = hostile(&secure);
        endless.0.write_all(&frame(HEADERS, END_STREAM, 1, &get())).unwrap();
        // Each has a field that is never indexed: 16 KB that would have to be kept.
        let mut field = vec![0x10, 1, b'x', 0x7f, 0x81, 0x7d];
        field.resize(16_000, b'y');
        let ended = flooded(&mut endless, 10_000, |_| frame(CONTINUATION, 0, 1, &field));
        assert!(ended || end_of(&mut endless).is_some());
        let mut empty = hostile(&secure);
        empty.0.write_all(&frame(HEADERS, END_STREAM, 1, &get())).unwrap();
        let ended = flooded(&mut empty, 100_000, |_| frame(CONTINUATION, 0, 1, &[]));
        assert!(ended || end_of(&mut empty).is_some());
    });
    assert!(
        upstream
            .requests
            .lock()
            .unwrap()
            .iter()
            .all(|request| request.header("x").is_none())
    );
}

#[test]
fn floods_of_what_has_to_be_answered_are_held_up_and_end() {
    let upstream = Upstream::named("api");
    let mut secure = Secure::configured(&[upstream.address], Protocol::Http1, |config| {
        config.patience.stall = Duration::from_millis(300);
    });
    others_are_served(&secure, || {
        for answered in [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100])] {
            let mut client = hostile(&secure);
            // The answers are not read: at some point the edge cannot write them, and reads no more questions.
            client
                .0
                .sock
                .set_write_timeout(Some(Duration::from_millis(200)))
                .unwrap();
            let many: Vec<u8> = answered.repeat(1000);
            assert!(flooded(&mut client, 100_000, |_| many.clone()));
        }
    });
    eventually("the connections to end", || {
        (secure.edge.stats().connections == 0).then_some(())
    });
}

#[test]
fn empty_data_is_not_taken_for_ever() {
    let upstream = Upstream::named("api");
    let secure = Secure::before(&[upstream.address], Protocol::Http1);
    let mut client = hostile(&secure);
    let mut post = get();
    post[0] = 0x83;
    client.0.write_all(&frame(HEADERS, END_HEADERS, 1, &post)).unwrap();
    let ended = flooded(&mut client, 100_000, |_| frame(DATA, 0, 1, &[]));
    assert!(ended || end_of(&mut client) == Some(11));
}
