//! No value and no token is in anything that is printed.

use std::os::unix::fs::symlink;

use tend_base::Secret;
use tend_testkit::Folder;
use tend_vault::{Answer, Ask, Credential, Login, Method, Next, Session, Trouble};

use crate::scenarios::{Peer, approle, block_on, client, fields, path};
use crate::server::{Fault, Server};
use crate::session::At;

const PLANTED: &str = "planted-5f3a";

#[test]
fn nothing_prints_a_value() {
    let server = Server::start();
    let (client, root) = (client(&server), server.root());
    let at = path("kv/data/mps");
    block_on(client.write(&root, &at, &fields(&[("password", PLANTED)]), 0)).unwrap();
    let reading = block_on(client.read(&root, &at, None)).unwrap();
    let (role_id, secret_id) = server.role();
    let login = approle(&role_id, &secret_id);
    let token = block_on(client.log_in(&login)).unwrap();
    let clock = At::default();
    let mut session = Session::new(Method::AppRole, tend_vault::EVERY, [at.clone()], clock.now());
    assert_eq!(session.next(clock.now().mono), Next::Ask(Ask::LogIn));
    session.take(Answer::LoggedIn(token.clone()), clock.now(), 0);
    let ask = session.next(clock.now().mono);
    let news = session.take(Answer::Read(reading.clone()), clock.now(), 0).unwrap();
    let printed = format!("{reading:?} {token:?} {login:?} {session:?} {ask:?} {news:?} {client:?}");
    for hidden in [
        PLANTED,
        root.expose(),
        role_id.expose(),
        secret_id.expose(),
        token.secret.expose(),
    ] {
        assert!(!printed.contains(hidden), "{printed}");
    }
}

#[test]
fn what_a_server_says_back_of_a_value_is_hidden() {
    let server = Server::start();
    let client = client(&server);
    let echo = format!(
        "{{\"errors\":[\"cannot store {PLANTED} for {}\"]}}",
        server.root().expose()
    );
    server.misbehave(Some(Fault::Answer(400, Vec::new(), echo)));
    let (root, at, fields) = (server.root(), path("kv/data/mps"), fields(&[("p", PLANTED)]));
    let told = format!("{:?}", block_on(client.write(&root, &at, &fields, 0)).unwrap_err());
    assert!(told.contains("cannot store *** for ***"), "{told}");
}

#[test]
fn a_credential_is_one_word_in_a_file_of_the_right_user() {
    let folder = Folder::new();
    let own = rustix::process::geteuid().as_raw();
    let read = |name: &str, owner| {
        let path = folder.path().join(name);
        Credential::File { path, owner }.read()
    };
    folder.write("good", "  s.token\n");
    assert_eq!(read("good", None).unwrap(), Secret::new("s.token".to_owned()));
    assert_eq!(read("good", Some(own)).unwrap().expose(), "s.token");
    let stranger = read("good", Some(own + 1)).unwrap_err();
    assert!(stranger.to_string().contains("belongs to user"), "{stranger}");
    symlink(folder.path().join("good"), folder.path().join("link")).unwrap();
    assert!(
        read("link", Some(own + 1)).is_err(),
        "the owner is that of what a link leads to"
    );
    folder.write("empty", "\n");
    folder.write("words", "planted words");
    folder.write("long", "x".repeat(20_000));
    folder.write("bytes", [0xff, 0xfe]);
    let fifo = folder.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for name in ["empty", "words", "long", "bytes", "fifo", "gone", "."] {
        let error = read(name, None).unwrap_err();
        assert_eq!(error.trouble(), Trouble::Here, "{name}: {error}");
        assert!(
            !format!("{error:?} {}", error.with_causes()).contains("planted"),
            "{error}"
        );
    }
}

#[test]
fn a_token_file_is_read_anew_at_each_log_in() {
    let server = Server::start();
    let folder = Folder::new();
    let token = folder.write("token", "s.unknown");
    let login = Login::Token(Credential::File {
        path: token,
        owner: None,
    });
    let client = client(&server);
    assert_eq!(block_on(client.log_in(&login)).unwrap_err().trouble(), Trouble::Denied);
    folder.write("token", server.root().expose());
    assert!(block_on(client.log_in(&login)).is_ok());
}
