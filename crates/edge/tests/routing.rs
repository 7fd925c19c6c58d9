//! Where requests go: host, path, balance; and what is said of it.

use crate::fixture::{Client, Edge, Plan, Upstream, api, free_address};

#[test]
fn a_request_is_answered_by_the_service_of_its_host_and_path() {
    let (shop, pay, any) = (Upstream::named("shop"), Upstream::named("pay"), Upstream::named("any"));
    let mut edge = Edge::start();
    let listen = free_address();
    let mut plan = Plan::new(listen)
        .service("shop", &[shop.address])
        .service("pay", &[pay.address])
        .service("any", &[any.address])
        .route(Some("shop.test"), "/", "shop")
        .route(Some("shop.test"), "/pay", "pay")
        .route(None, "/any", "any");
    edge.serve(&plan.next());
    let mut client = Client::connect(listen);
    for (host, path, status, body) in [
        ("shop.test", "/", 200, "shop"),
        ("SHOP.test:8080", "/x?y=/pay", 200, "shop"),
        ("shop.test", "/pay/1", 200, "pay"),
        ("shop.test", "/payment", 200, "shop"),
        ("other.test", "/any", 200, "any"),
        ("other.test", "/", 404, "tend edge: no route"),
    ] {
        client.write(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let response = client.read();
        assert_eq!(response.status, status, "{host}{path}");
        assert!(response.text().starts_with(body), "{host}{path}: {response:?}");
        let error = (status == 404).then_some("no_route");
        assert_eq!(response.header("x-tend-error"), error);
    }
}

#[test]
fn a_replica_learns_who_asked_and_the_client_who_answered() {
    let upstream = Upstream::named("ok");
    let (_edge, listen, _) = api(&[upstream.address]);
    let mut client = Client::connect(listen);
    client.write(
        "GET /a?b=c HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-For: 6.6.6.6\r\nx_real_ip: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
         Forwarded: for=6.6.6.6\r\nConnection: keep-alive, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n\
         traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n",
    );
    let response = client.read();
    assert_eq!(response.header("x-tend-replica"), Some("mps/api/1"));
    let request = upstream.last();
    assert_eq!((request.method(), request.target()), ("GET", "/a?b=c"));
    for (name, value) in [
        ("host", Some("shop.test")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-real-ip", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("shop.test")),
        ("x_real_ip", None),
        ("forwarded", None),
        ("x-secret", None),
        ("connection", None),
        ("keep-alive", None),
        ("te", None),
        ("via", None),
    ] {
        assert_eq!(request.header(name), value, "{name}: {request:?}");
    }
    let given = request.header("x-request-id").unwrap();
    assert_eq!(given.len(), 32);
    assert_eq!(response.header("x-request-id"), Some(given));
}
