//! Through a proxy: what it is told, and what it is not.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use tend_base::Secret;
use tend_fetch::{Address, Auth, Client, FetchError, Request, TlsSettings};
use tend_testkit::{Act, Authority, Scripted};

use crate::block_on;

fn through(url: &str, tls: TlsSettings) -> Client {
    Client::new(tls, 0).through(Address::parse(url).unwrap()).unwrap()
}

#[test]
fn what_is_plain_is_asked_of_the_proxy_with_its_host() {
    let proxy = Scripted::start(vec![vec![Act::ok("by the proxy")]]);
    let client = through(&format!("http://u:p@{}", proxy.address()), TlsSettings::default());
    // Nobody has to know this name but the proxy.
    let request = Request::get(Address::parse("http://inside.invalid:81/a?b=c").unwrap());
    assert_eq!(block_on(client.send(&request)).unwrap().text(), "by the proxy");
    let asked = proxy.asked().remove(0).to_lowercase();
    assert!(
        asked.starts_with("get http://inside.invalid:81/a?b=c http/1.1\r\n"),
        "{asked}"
    );
    assert!(asked.contains("host: inside.invalid:81\r\n"), "{asked}");
    assert!(asked.contains("proxy-authorization: basic dtpw\r\n"), "{asked}");
}

#[test]
fn what_is_encrypted_goes_through_unread() {
    let authority = Authority::new();
    let server = Scripted::tls(authority.server("127.0.0.1", false), vec![vec![Act::ok("in secret")]]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (proxy, there) = (listener.local_addr().unwrap(), server.address());
    // A proxy for one connection: remembers all that it could read.
    let thread = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let mut server = TcpStream::connect(there).unwrap();
        client
            .write_all(b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n")
            .unwrap();
        let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let back = std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let mut seen = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = client.read(&mut piece) {
            seen.extend_from_slice(&piece[..count]);
            if server.write_all(&piece[..count]).is_err() {
                break;
            }
        }
        let _ = server.shutdown(std::net::Shutdown::Both);
        let _ = back.join().unwrap();
        (
            String::from_utf8(head).unwrap(),
            String::from_utf8_lossy(&seen).into_owned(),
        )
    });
    let settings = TlsSettings {
        ca_file: Some(authority.file()),
        ..TlsSettings::default()
    };
    let client = through(&format!("http://u:p@{proxy}"), settings);
    let mut request = Request::get(Address::parse(&format!("https://{there}/KEY")).unwrap());
    request.auth = Some(Auth::Bearer(Secret::new("TOKEN".to_owned())));
    assert_eq!(block_on(client.send(&request)).unwrap().text(), "in secret");
    let asked = server.asked().remove(0).to_lowercase();
    assert!(
        asked.starts_with("get /key http/1.1\r\n") && !asked.contains("proxy-authorization"),
        "{asked}"
    );
    let (head, seen) = thread.join().unwrap();
    let expected = format!("CONNECT {there} HTTP/1.1\r\nHost: {there}\r\nProxy-Authorization: Basic dTpw\r\n\r\n");
    assert_eq!(head, expected);
    assert!(!seen.contains("KEY") && !seen.contains("TOKEN"), "{seen}");
}

#[test]
fn a_proxy_that_refuses_says_so() {
    for (act, why) in [
        (
            Act::answer("HTTP/1.1 407 Proxy Authentication Required\nContent-Length: 0\n\n"),
            "407 Proxy Auth",
        ),
        (Act::answer("SSH-2.0-x\n\n"), "nothing of HTTP"),
        (Act::Answer(vec![b'x'; 20_000]), "without an end"),
    ] {
        let proxy = Scripted::start(vec![vec![act]]);
        let settings = TlsSettings {
            insecure_skip_verify: true,
            ..TlsSettings::default()
        };
        let client = through(&format!("http://{}", proxy.address()), settings);
        let request = Request::get(Address::parse("https://inside.invalid/").unwrap());
        let error = block_on(client.send(&request)).unwrap_err();
        assert!(matches!(error, FetchError::Proxy { .. }), "{error:?}");
        let told = error.to_string();
        assert!(told.contains(why) && told.contains("inside.invalid:443"), "{told}");
    }
    let proxy = Address::parse("https://u:SECRET@proxy").unwrap();
    let error = Client::default().through(proxy).unwrap_err();
    assert!(!error.to_string().contains("SECRET"), "{error}");
}
