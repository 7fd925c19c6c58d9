//! The endpoint as any client sees it: `docs/reference/config-watch.md`, sentence by sentence.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tend_testkit::wait_until;
use tend_watch::{EndpointSettings, Error, Notice, Outcome, Owner};

use crate::fixture::{DEADLINE, REPLICA, Served, Stream, ask, get, post, revision, send};

#[test]
fn a_replica_reads_its_newest_set_with_a_tag() {
    let served = Served::new();
    let early = get(&served.socket, "/v1/config", "");
    assert_eq!(early.status, 503);
    assert!(early.head.contains("retry-after") && early.json()["error"].is_string());

    served.publish(7, json!({ "a": 1, "b.c": ["x"], "b.d": null }));
    let answer = get(&served.socket, "/v1/config", "");
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({ "revision": 7, "values": { "a": 1, "b.c": ["x"], "b.d": null } })
    );
    assert!(
        answer.head.contains("etag: \"7\"") && answer.head.contains("application/json"),
        "{}",
        answer.head
    );

    let chosen = get(&served.socket, "/v1/config?keys=b.*", "").json();
    assert_eq!(
        chosen,
        json!({ "revision": 7, "values": { "b.c": ["x"], "b.d": null } })
    );
    assert_eq!(
        get(&served.socket, "/v1/config", "If-None-Match: \"7\"\r\n").status,
        304
    );
    assert_eq!(
        get(&served.socket, "/v1/config", "If-None-Match: \"6\"\r\n").status,
        200
    );
}

#[test]
fn a_long_poll_ends_with_another_revision_or_with_its_time() {
    let served = Served::new();
    served.publish(1, json!({ "a": 1 }));
    let quick = get(&served.socket, "/v1/config?after=0", "");
    assert_eq!(quick.json()["revision"], 1, "one that is behind is answered at once");
    // A client that knows a later one than there is has met another daemon, whose memory was lost.
    assert_eq!(get(&served.socket, "/v1/config?after=9", "").json()["revision"], 1);

    let socket = served.socket.clone();
    let waiting = std::thread::spawn(move || get(&socket, "/v1/config?after=1&wait=60", ""));
    served.publish(2, json!({ "a": 2 }));
    let answer = waiting.join().expect("no panic");
    assert_eq!(answer.json(), json!({ "revision": 2, "values": { "a": 2 } }));
    assert_eq!(get(&served.socket, "/v1/config?after=2&wait=0", "").status, 204);

    let bounded = Served::with(EndpointSettings {
        long_poll_max: Duration::from_millis(20),
        ..EndpointSettings::default()
    });
    assert_eq!(get(&bounded.socket, "/v1/config?after=0&wait=999999", "").status, 204);
}

#[test]
fn a_stream_tells_the_whole_first_and_then_what_differs() {
    let served = Served::new();
    let mut stream = Stream::open(&served.socket, "", None);
    served.publish(3, json!({ "a": 1, "b": 2, "c": 3 }));
    let (id, data) = stream.event();
    assert_eq!(id, 3);
    assert_eq!(
        data,
        json!({ "revision": 3, "whole": true, "changed": { "a": 1, "b": 2, "c": 3 }, "removed": [] })
    );
    served.publish(4, json!({ "a": 1, "b": 5, "d": "new" }));
    let (id, data) = stream.event();
    assert_eq!(id, 4);
    assert_eq!(
        data,
        json!({ "revision": 4, "whole": false, "changed": { "b": 5, "d": "new" }, "removed": ["c"] })
    );
}

#[test]
fn a_reader_that_returns_is_told_the_difference_or_all_where_that_is_not_known() {
    let served = Served::new();
    for number in 1..=40 {
        served.publish(number, json!({ "n": number, "same": true }));
    }
    let difference = Stream::open(&served.socket, "", Some(20)).event().1;
    assert_eq!(
        difference,
        json!({ "revision": 40, "whole": false, "changed": { "n": 40 }, "removed": [] })
    );
    for unknown in [2, 99] {
        let whole = Stream::open(&served.socket, "", Some(unknown)).event().1;
        assert_eq!(whole["whole"], true, "{unknown}");
        assert_eq!(whole["changed"], json!({ "n": 40, "same": true }), "{unknown}");
    }
    // Who has the newest hears nothing until there is a newer one.
    let mut current = Stream::open(&served.socket, "", Some(40));
    served.publish(41, json!({ "n": 41, "same": true }));
    assert_eq!(current.event().0, 41);
}

#[test]
fn a_subscriber_of_a_prefix_hears_of_every_revision_but_only_of_its_keys() {
    let served = Served::new();
    served.publish(1, json!({ "a.x": 1, "b": 1, "c": 1 }));
    let mut stream = Stream::open(&served.socket, "?keys=a.*,c", None);
    assert_eq!(stream.event().1["changed"], json!({ "a.x": 1, "c": 1 }));
    served.publish(2, json!({ "a.x": 1, "b": 2, "c": 1 }));
    let (id, data) = stream.event();
    assert_eq!((id, &data["changed"], &data["removed"]), (2, &json!({}), &json!([])));
    served.publish(3, json!({ "a.x": 1, "a.y": 2 }));
    let data = stream.event().1;
    assert_eq!(
        (&data["changed"], &data["removed"]),
        (&json!({ "a.y": 2 }), &json!(["c"]))
    );
}

#[test]
fn a_silent_stream_shows_that_it_lives() {
    let served = Served::with(EndpointSettings {
        heartbeat: Duration::from_millis(20),
        ..EndpointSettings::default()
    });
    let mut stream = Stream::open(&served.socket, "", None);
    assert_eq!(stream.line(), ": tend config watch 1");
    for _ in 0..3 {
        assert_eq!(stream.line(), "");
        assert_eq!(stream.line(), ": here");
    }
}

#[test]
fn acknowledgements_arrive_with_who_said_them() {
    let mut served = Served::new();
    served.publish(1, json!({}));
    served.publish(2, json!({}));
    assert_eq!(post(&served.socket, "/v1/config/ack", "{\"revision\":2}").status, 204);
    let ack = served.ack();
    assert_eq!(
        (&*ack.replica, ack.revision, &ack.outcome),
        (REPLICA, 2, &Outcome::Taken)
    );
    assert_eq!(ack.pid, i32::try_from(std::process::id()).ok());
    assert!(ack.at.0 > 0);

    let refused = post(
        &served.socket,
        "/v1/config/ack",
        "{\"revision\":1,\"error\":\"no such pair\"}",
    );
    assert_eq!(refused.status, 204);
    assert_eq!(served.ack().outcome, Outcome::Refused("no such pair".to_owned()));

    for (body, status) in [
        ("{\"revision\":3}", 409),
        ("{\"revision\":0}", 409),
        ("revision=1", 400),
        ("", 400),
    ] {
        let answer = post(&served.socket, "/v1/config/ack", body);
        assert_eq!(answer.status, status, "{body}");
        assert!(answer.json()["error"].is_string());
    }
    let large = format!("{{\"revision\":1,\"error\":\"{}\"}}", "x".repeat(70_000));
    assert_eq!(post(&served.socket, "/v1/config/ack", &large).status, 400);
}

#[test]
fn coming_and_going_is_told() {
    let mut served = Served::new();
    let stream = Stream::open(&served.socket, "", None);
    let notice = served.notice();
    assert!(
        matches!(&notice, Notice::Connected { replica, pid: Some(_), .. } if &**replica == REPLICA),
        "{notice:?}"
    );
    drop(stream);
    let notice = served.notice();
    assert!(
        matches!(&notice, Notice::Disconnected { replica, .. } if &**replica == REPLICA),
        "{notice:?}"
    );
}

#[test]
fn what_is_not_there_is_said() {
    let served = Served::new();
    for (request, status) in [
        ("GET / HTTP/1.0\r\n\r\n", 404),
        ("GET /v1/config/other HTTP/1.0\r\n\r\n", 404),
        ("POST /v1/config HTTP/1.0\r\n\r\n", 405),
        ("GET /v1/config/ack HTTP/1.0\r\n\r\n", 405),
        ("GET /v1/config?since=1 HTTP/1.0\r\n\r\n", 400),
        ("GET /v1/config/events?keys=a* HTTP/1.0\r\n\r\n", 400),
    ] {
        let answer = ask(&served.socket, request);
        assert_eq!(answer.status, status, "{request}");
        assert!(
            answer.json()["error"].as_str().is_some_and(|text| text.len() > 10),
            "{request}"
        );
        assert_eq!(answer.head.contains("allow:"), status == 405, "{request}");
    }
}

#[test]
fn the_socket_is_its_users_alone_and_takes_the_place_of_what_was_there() {
    let served = Served::new();
    let socket = served.folder.path().join("second.sock");
    let publisher = served.publisher();
    std::fs::write(&socket, "left over").expect("own folder");
    let metadata = std::fs::metadata(served.folder.path()).expect("own folder");
    let ourselves = Owner {
        uid: std::os::unix::fs::MetadataExt::uid(&metadata),
        gid: std::os::unix::fs::MetadataExt::gid(&metadata),
    };
    publisher
        .open("mps/api/2", &socket, Some(ourselves))
        .expect("a socket of our own");
    let mode = std::fs::symlink_metadata(&socket)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(served.folder.path()).expect("own folder").count(), 2);

    let long = served.folder.path().join("x".repeat(120));
    let error = publisher.open("mps/api/3", &long, None).expect_err("too long");
    assert!(
        matches!(error, Error::SocketPathTooLong { .. }) && error.hint().is_some(),
        "{error}"
    );
    let nowhere = publisher
        .open("mps/api/4", &served.folder.path().join("no/sock"), None)
        .expect_err("no folder");
    assert!(matches!(nowhere, Error::Socket { .. }), "{nowhere}");
}

#[test]
fn replicas_are_apart_and_one_that_is_removed_is_gone() {
    let mut served = Served::new();
    let other = served.folder.path().join("other.sock");
    let publisher = served.publisher();
    publisher.open("mps/api/2", &other, None).expect("a socket of our own");
    served.publish(1, json!({ "a": 1 }));
    publisher
        .publish("mps/api/2", &revision(5, json!({ "b": 2 })))
        .expect("the first");
    assert_eq!(
        get(&other, "/v1/config", "").json(),
        json!({ "revision": 5, "values": { "b": 2 } })
    );
    assert_eq!(get(&served.socket, "/v1/config", "").json()["revision"], 1);

    let mut stream = Stream::open(&other, "", None);
    assert_eq!(stream.event().0, 5);
    assert!(matches!(served.notice(), Notice::Connected { .. }));
    assert!(publisher.remove("mps/api/2"));
    assert!(!publisher.remove("mps/api/2"));
    assert!(!stream.rest().contains("event"));
    assert!(matches!(served.notice(), Notice::Disconnected { .. }));
    assert!(!other.exists());
    let error = publisher
        .publish("mps/api/2", &revision(6, json!({})))
        .expect_err("removed");
    assert!(matches!(error, Error::NoSuchReplica { revision: 6, .. }), "{error}");
}

#[test]
fn a_socket_that_another_endpoint_has_taken_over_is_left_alone() {
    let mut served = Served::new();
    let (second, _notices) = tend_watch::Endpoint::start(EndpointSettings::default()).expect("a thread");
    second
        .publisher()
        .open(REPLICA, &served.socket, None)
        .expect("it takes the place");
    served.end();
    second
        .publisher()
        .publish(REPLICA, &revision(1, json!({})))
        .expect("the first");
    assert_eq!(get(&served.socket, "/v1/config", "").status, 200);
}

#[test]
fn a_reader_that_stands_still_costs_nothing_and_then_gets_the_newest() {
    let served = Served::new();
    // Every revision has a hundred kilobytes of news: four gigabytes, were they kept.
    let filler = "x".repeat(100_000);
    served.publish(1, json!({ "n": 1, "filler": format!("{filler}1") }));
    let mut stream = Stream::open(&served.socket, "", None);
    const LAST: u64 = 40_000;
    let publisher = served.publisher();
    for number in 2..=LAST {
        let values = if number % 2000 == 0 || number == LAST {
            json!({ "n": number, "filler": format!("{filler}{number}") })
        } else {
            json!({ "n": number })
        };
        publisher.publish(REPLICA, &revision(number, values)).expect("newer");
    }
    let mut read = 0;
    loop {
        let (id, data) = stream.event();
        read += 1;
        assert_eq!(data["revision"], id);
        if id == LAST {
            assert_eq!(data["changed"]["n"], LAST);
            break;
        }
    }
    assert!(
        read < LAST / 10,
        "{read} events were kept for a reader that did not read"
    );
}

#[test]
fn a_replica_that_waits_too_often_still_reads_and_acknowledges() {
    let mut served = Served::new();
    served.publish(1, json!({}));
    let mut streams = Vec::new();
    for _ in 0..48 {
        streams.push(Stream::open(&served.socket, "", None));
    }
    let refused = get(&served.socket, "/v1/config/events", "");
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("waiting already"), "{}", refused.body);
    assert_eq!(get(&served.socket, "/v1/config", "").status, 200);
    assert_eq!(post(&served.socket, "/v1/config/ack", "{\"revision\":1}").status, 204);
    assert_eq!(served.ack().revision, 1);
    // And when they have gone there is room again.
    streams.clear();
    wait_until(DEADLINE, "a stream is given again", || {
        let request = "GET /v1/config/events HTTP/1.0\r\nHost: tend\r\n\r\n";
        let mut start = [0_u8; 12];
        std::io::Read::read_exact(&mut send(&served.socket, request), &mut start).expect("an answer");
        start.ends_with(b"200")
    });
}

#[test]
fn acknowledgements_wait_for_a_daemon_that_is_behind_and_none_is_lost() {
    let mut served = Served::with(EndpointSettings {
        notices: 2,
        ..EndpointSettings::default()
    });
    served.publish(1, json!({}));
    let socket = Arc::new(served.socket.clone());
    let replicas: Vec<_> = (0..20)
        .map(|_| {
            let socket = Arc::clone(&socket);
            std::thread::spawn(move || post(&socket, "/v1/config/ack", "{\"revision\":1}").status)
        })
        .collect();
    for _ in 0..20 {
        assert_eq!(served.ack().revision, 1);
    }
    for replica in replicas {
        assert_eq!(replica.join().expect("no panic"), 204);
    }
}
