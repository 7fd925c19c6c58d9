//! A server that misbehaves: what it answers is bounded, and told for what it is.

use std::time::Duration;

use tend_base::Secret;
use tend_vault::{Answer, Ask, Condition, Freshness, Method, Next, Session, Trouble, VaultError};

use crate::scenarios::{Peer, block_on, client, path};
use crate::server::{Fault, Server};
use crate::session::At;

fn said(status: u16, body: &str) -> Option<Fault> {
    Some(Fault::Answer(status, Vec::new(), body.to_owned()))
}

fn read(server: &Server) -> Result<tend_vault::Reading, VaultError> {
    block_on(client(server).read(&server.root(), &path("kv/data/mps"), None))
}

#[test]
fn what_is_no_answer_of_vault_is_told_as_that() {
    let server = Server::start();
    let deep = format!("{{\"data\":{}{}}}", "[".repeat(4000), "]".repeat(4000));
    let hidden = r#"{"data":{"data":"planted-secret","metadata":{"version":1,"created_time":"x"}}}"#;
    for (status, body, trouble, why) in [
        (200, "<html>welcome</html>", Trouble::Failing, "line 1"),
        (200, "", Trouble::Failing, "line 1"),
        (200, "{}", Trouble::Failing, "no `data`"),
        (200, deep.as_str(), Trouble::Failing, "deeper"),
        (200, hidden, Trouble::Failing, "column"),
        (404, "<html>nginx</html>", Trouble::Failing, "404"),
        (403, "", Trouble::Failing, "403"),
        (302, "", Trouble::Standby, "standby"),
        (500, "<html>oops</html>", Trouble::Failing, "500"),
        (
            502,
            r#"{"errors":["upstream\nis\u0007 gone"]}"#,
            Trouble::Failing,
            "502: upstream is gone",
        ),
        (
            500,
            r#"{"errors":["local node not active but active cluster node not found"]}"#,
            Trouble::Standby,
            "standby",
        ),
        (503, r#"{"errors":["Vault is sealed"]}"#, Trouble::Sealed, "sealed"),
        (
            503,
            r#"{"errors":["down for maintenance"]}"#,
            Trouble::Failing,
            "maintenance",
        ),
        (
            412,
            r#"{"errors":["required index state not present"]}"#,
            Trouble::Failing,
            "412",
        ),
        (473, "", Trouble::Standby, "standby"),
        (
            405,
            r#"{"errors":["unsupported operation"]}"#,
            Trouble::Refused,
            "unsupported",
        ),
    ] {
        server.misbehave(said(status, body));
        let error = read(&server).unwrap_err();
        let told = error.with_causes();
        assert_eq!(error.trouble(), trouble, "{status} {told}");
        assert!(told.contains(why), "{status}: {told}");
        assert!(!format!("{told} {error:?}").contains("planted-secret"), "{told}");
        assert!(told.len() < 600 && !told.contains('\u{7}'), "{told}");
    }
    server.misbehave(None);
    assert_eq!(read(&server).unwrap_err().trouble(), Trouble::NotThere);
}

#[test]
fn an_answer_without_end_is_not_taken_in() {
    let server = Server::start();
    server.misbehave(said(200, &format!("{{\"data\":\"{}\"}}", "x".repeat(5 << 20))));
    let error = read(&server).unwrap_err();
    assert!(error.to_string().contains("longer than"), "{error}");
    let long = format!("{{\"errors\":[\"{}\"]}}", "why ".repeat(10_000));
    server.misbehave(said(400, &long));
    let told = read(&server).unwrap_err().to_string();
    assert!(told.len() < 500 && told.ends_with('…'), "{told}");
}

#[test]
fn a_connection_that_is_cut_and_a_server_that_is_gone_are_away() {
    let server = Server::start();
    server.misbehave(Some(Fault::Cut));
    assert_eq!(read(&server).unwrap_err().trouble(), Trouble::Away);
    let (client, root) = (client(&server), server.root());
    drop(server);
    let error = block_on(client.read(&root, &path("kv/data/mps"), None)).unwrap_err();
    assert!(matches!(error, VaultError::Unreachable { .. }), "{error}");
    assert!(error.hint().contains("curl"));
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_without_an_end() {
    let server = Server::start();
    server.misbehave(Some(Fault::Silence));
    let error = read(&server).unwrap_err();
    assert!(matches!(error, VaultError::Silent { .. }), "{error}");
}

#[test]
fn a_server_says_when_to_come_back_and_where_the_active_one_is() {
    let server = Server::start();
    let fields = vec![("retry-after", "17".to_owned())];
    let body = r#"{"errors":["request path \"kv/data/mps\": rate limit quota exceeded"]}"#;
    server.misbehave(Some(Fault::Answer(429, fields, body.to_owned())));
    let error = read(&server).unwrap_err();
    assert_eq!(error.trouble(), Trouble::Throttled(Some(Duration::from_secs(17))));
    let fields = vec![("location", "https://active.example:8200/v1/kv/data/mps".to_owned())];
    server.misbehave(Some(Fault::Answer(307, fields, String::new())));
    let error = read(&server).unwrap_err();
    assert!(error.hint().contains("active.example"), "{}", error.hint());
    assert_eq!(server.asked().len(), 2, "no token is carried to another server");
}

#[test]
fn a_token_that_cannot_be_one_is_sent_nowhere() {
    let server = Server::start();
    let odd = Secret::new("with\r\nInjected: field".to_owned());
    let error = block_on(client(&server).look_up(&odd)).unwrap_err();
    assert!(!error.with_causes().contains("Injected"), "{error}");
    assert!(server.asked().is_empty());
}

#[test]
fn a_session_at_a_server_that_garbles_goes_on_when_it_speaks_again() {
    let server = Server::start();
    let (client, root) = (client(&server), server.root());
    let at = path("kv/data/mps");
    let login = tend_vault::Login::Token(tend_vault::Credential::Value(root.clone()));
    let mut clock = At::default();
    let mut session = Session::new(Method::Token, Duration::from_secs(30), [at.clone()], clock.now());
    let step = |session: &mut Session, clock: &mut At| match session.next(clock.now().mono) {
        Next::Ask(ask) => {
            let answer = block_on(client.perform(&ask, &login));
            session.take(answer, clock.now(), 0)
        }
        Next::Wait(until) => {
            clock.to(until);
            None
        }
    };
    server.misbehave(said(200, "<html>"));
    step(&mut session, &mut clock);
    assert_eq!(session.standing().condition, Condition::Failing);
    server.misbehave(None);
    block_on(client.write(&root, &at, &crate::scenarios::fields(&[("p", "v")]), 0)).unwrap();
    let news = (0..10).find_map(|_| step(&mut session, &mut clock)).unwrap();
    assert_eq!(news.version.number, 1);
    assert_eq!(session.of(&at).unwrap().freshness, Freshness::Fresh);
    let Next::Wait(_) = session.next(clock.now().mono) else {
        panic!("nothing is due");
    };
    // An answer to nothing is not taken.
    assert!(session.take(Answer::Alive, clock.now(), 0).is_none());
    assert!(!matches!(session.next(clock.now().mono), Next::Ask(Ask::LogIn)));
}
