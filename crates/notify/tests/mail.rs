//! Mail servers that misbehave, played by a script: what is said to them, and how each end is told.

use tend_notify::Notifier;
use tend_testkit::{Act, Folder, Scripted};

use crate::told::{block_on, config, delivery, impatient, told, word};

const EMAIL: &str = "email_configs";

fn say(text: &str) -> Act {
    Act::Say(text.to_owned())
}

fn means(server: &Scripted, more: &str) -> String {
    format!(
        "{{to: 'Ann <ann@example.com>, bob@example.com', from: tend@example.com, smarthost: '{}', require_tls: false{more}}}",
        server.address()
    )
}

/// Greeting and `EHLO`, with what the server says that it can.
fn begin(abilities: &'static str) -> Vec<Act> {
    vec![say("220 mail\r\n"), Act::Line(abilities)]
}

fn script(parts: &[&[Act]]) -> Vec<Act> {
    parts.concat()
}

fn tell(server: &Scripted, more: &str) -> tend_notify::Heard {
    block_on(told(
        &Notifier::default(),
        &config(EMAIL, &means(server, more)),
        &delivery(),
    ))
}

#[test]
fn what_a_server_says_is_how_it_ended() {
    const PLAIN: &str = "250 mail\r\n";
    let ok = Act::Line("250 ok\r\n");
    let begun = begin(PLAIN);
    let to_data = script(&[&begun, &[ok.clone(), ok.clone(), ok.clone(), Act::Line("354 go\r\n")]]);
    let end = |reply: &'static str| script(&[&to_data, &[Act::Lines(reply)]]);
    for (acts, expected, said) in [
        (end("250 2.0.0 queued as 7\r\n"), "confirmed", "250 2.0.0 queued as 7"),
        (
            end("451 4.3.0 later\r\n"),
            "failed",
            "said `451 4.3.0 later` to the mail",
        ),
        (
            end("554 5.7.1 spam\r\n"),
            "refused",
            "said `554 5.7.1 spam` to the mail",
        ),
        (end(""), "failed", "broke to the mail"),
        (to_data.clone(), "failed", "broke"),
        (vec![say("421 busy\r\n")], "failed", "said `421 busy` at the greeting"),
        (
            vec![say("554 go away\r\n")],
            "refused",
            "said `554 go away` at the greeting",
        ),
        (vec![say("HTTP/1.1 400 Bad Request\r\n")], "failed", "is no SMTP"),
        (vec![say(&"x".repeat(10_000))], "failed", "is no SMTP"),
        (vec![say(&"220-more\r\n".repeat(1000))], "failed", "is no SMTP"),
        (Vec::new(), "failed", "broke at the greeting"),
        (
            script(&[&begun, &[Act::Line("550 5.1.8 no\r\n")]]),
            "refused",
            "to the sender",
        ),
        (
            script(&[
                &begun,
                &[
                    ok.clone(),
                    Act::Line("550 5.1.1 who?\r\n"),
                    Act::Line("550 5.1.1 who?\r\n"),
                ],
            ]),
            "refused",
            "said `550 5.1.1 who?` to a receiver",
        ),
        (
            script(&[
                &begun,
                &[
                    ok.clone(),
                    Act::Line("550 5.1.1 who?\r\n"),
                    Act::Line("452 4.2.2 full\r\n"),
                ],
            ]),
            "failed",
            "said `452 4.2.2 full` to a receiver",
        ),
        (begin("250-mail\r\n250 SIZE 100\r\n"), "refused", "it takes 100"),
    ] {
        let server = Scripted::start(vec![acts.clone()]);
        let heard = tell(&server, "");
        assert_eq!(word(&heard), expected, "{acts:?}: {heard:?}");
        assert!(heard.said.contains(said), "{acts:?}: {heard:?}");
    }
}

#[test]
fn a_mail_is_said_as_the_standard_wants() {
    let acts = [
        say("220-mail\r\n220 greets you\r\n"),
        // An old server, which knows no extensions.
        Act::Line("502 what?\r\n"),
        Act::Line("250 mail\r\n"),
        Act::Line("250 ok\r\n"),
        Act::Line("250 ok\r\n"),
        Act::Line("251 will forward\r\n"),
        Act::Line("354 go\r\n"),
        Act::Lines("250 taken\r\n"),
        Act::Line("221 bye\r\n"),
    ];
    let server = Scripted::start(vec![acts.to_vec()]);
    assert_eq!(
        word(&tell(&server, ", hello: tend.example, text: \".\\n.dot\\nend\"")),
        "confirmed"
    );
    let asked = server.asked();
    let expected = [
        "EHLO tend.example",
        "HELO tend.example",
        "MAIL FROM:<tend@example.com>",
        "RCPT TO:<ann@example.com>",
        "RCPT TO:<bob@example.com>",
        "DATA",
    ];
    assert_eq!(asked[..6], expected);
    assert!(asked[6].contains("\r\n\r\n..\r\n..dot\r\nend\r\n--"), "{}", asked[6]);
    assert!(
        asked[6].contains("Message-Id: <tend.0000000000000abc@example.com>\r\n"),
        "{}",
        asked[6]
    );
    assert!(
        asked[6].lines().all(|line| line.len() < 998 && line.is_ascii()),
        "{}",
        asked[6]
    );
}

#[test]
fn who_could_not_be_told_yet_is_told_by_the_next_try_and_nobody_twice() {
    let ok = Act::Line("250 ok\r\n");
    let end = [Act::Line("354 go\r\n"), Act::Lines("250 taken\r\n")];
    let begun = begin("250 mail\r\n");
    let later = Act::Line("451 4.7.1 greylisted\r\n");
    let server = Scripted::start(vec![
        script(&[&begun, &[ok.clone(), ok.clone(), later], &end]),
        script(&[&begun, &[ok.clone(), ok.clone()], &end]),
        script(&[&begun, &[ok.clone(), ok.clone(), ok], &end]),
    ]);
    let config = config(EMAIL, &means(&server, ""));
    let notifier = Notifier::default();
    let receivers = |from: usize| -> Vec<String> {
        let asked = server.asked();
        asked[from..]
            .iter()
            .filter(|line| line.starts_with("RCPT"))
            .cloned()
            .collect()
    };
    block_on(async {
        let heard = told(&notifier, &config, &delivery()).await;
        assert_eq!(word(&heard), "failed");
        assert!(heard.said.contains("greylisted"), "{heard:?}");
        let before = server.asked().len();
        // Written anew by a later flush, it is the same delivery still.
        let mut again = delivery();
        again.at += 60_000;
        assert_eq!(word(&told(&notifier, &config, &again).await), "confirmed");
        assert_eq!(receivers(before), ["RCPT TO:<bob@example.com>"]);
        let before = server.asked().len();
        let mut other = delivery();
        other.id += 1;
        assert_eq!(word(&told(&notifier, &config, &other).await), "confirmed");
        assert_eq!(receivers(before).len(), 2, "another delivery is told to all");
    });
}

#[test]
fn a_password_is_not_shown_to_who_listens() {
    let folder = Folder::new();
    let password = folder.write("password", "hunter2-hunter2\n");
    let more = format!(", auth_username: ann, auth_password_file: {}", password.display());
    // 0.0.0.0 leads to this machine, and is no address of loopback: what is not known to be here counts as elsewhere.
    let elsewhere = |server: &Scripted| means(server, &more).replace("127.0.0.1", "0.0.0.0");
    for (abilities, said) in [
        (
            "250-mail\r\n250 AUTH PLAIN LOGIN\r\n",
            "would be read by whoever listens",
        ),
        (
            "250-mail\r\n250-STARTTLS\r\n250 AUTH=LOGIN\r\n",
            "would be read by whoever listens",
        ),
    ] {
        let server = Scripted::start(vec![begin(abilities)]);
        let heard = block_on(told(
            &Notifier::default(),
            &config(EMAIL, &elsewhere(&server)),
            &delivery(),
        ));
        assert_eq!(word(&heard), "refused");
        assert!(heard.said.contains(said), "{heard:?}");
        assert!(!server.asked().join("\n").contains("AUTH"), "{:?}", server.asked());
    }
    // A proof shows no password.
    let server = Scripted::start(vec![script(&[
        &begin("250-mail\r\n250 AUTH PLAIN CRAM-MD5\r\n"),
        &[
            Act::Line("334 PGFAYj4=\r\n"),
            Act::Line("535 5.7.8 no, hunter2-hunter2\r\n"),
        ],
    ])]);
    let heard = block_on(told(
        &Notifier::default(),
        &config(EMAIL, &elsewhere(&server)),
        &delivery(),
    ));
    assert_eq!(word(&heard), "refused");
    assert!(heard.said.contains("535 5.7.8 no, ***"), "{heard:?}");
    assert_eq!(server.asked()[1], "AUTH CRAM-MD5");
    // The very machine hears nobody in between.
    let server = Scripted::start(vec![script(&[
        &begin("250-mail\r\n250 AUTH PLAIN\r\n"),
        &[Act::Line("535 no\r\n")],
    ])]);
    assert_eq!(word(&tell(&server, &more)), "refused");
    assert_eq!(server.asked()[1], "AUTH PLAIN AGFubgBodW50ZXIyLWh1bnRlcjI=");
}

#[test]
fn encryption_that_is_wanted_and_not_had_sends_nothing() {
    // What somebody in between put in before the encryption is not taken for the server's.
    for (acts, expected, said) in [
        (begin("250 mail\r\n"), "refused", "does not offer STARTTLS"),
        (
            script(&[
                &begin("250-mail\r\n250 STARTTLS\r\n"),
                &[Act::Line("454 4.7.0 not now\r\n")],
            ]),
            "failed",
            "to STARTTLS",
        ),
        (
            script(&[
                &begin("250-mail\r\n250 STARTTLS\r\n"),
                &[Act::Line("220 go\r\n250 injected\r\n"), Act::Hold],
            ]),
            "failed",
            "is no SMTP",
        ),
    ] {
        let server = Scripted::start(vec![acts.clone()]);
        let means = means(&server, "").replace(
            "require_tls: false",
            "require_tls: true, tls_config: {insecure_skip_verify: true}",
        );
        let heard = block_on(told(&Notifier::default(), &config(EMAIL, &means), &delivery()));
        assert_eq!(word(&heard), expected, "{heard:?}");
        assert!(heard.said.contains(said), "{heard:?}");
        assert!(!server.asked().join("\n").contains("MAIL FROM"), "{:?}", server.asked());
    }
}

#[test]
fn a_server_that_is_slow_is_given_up() {
    for acts in [vec![Act::Hold], script(&[&begin("250 mail\r\n"), &[Act::Hold]])] {
        let server = Scripted::start(vec![acts]);
        let heard = block_on(told(&impatient(), &config(EMAIL, &means(&server, "")), &delivery()));
        assert_eq!(word(&heard), "failed");
        assert!(heard.said.contains("did not answer within 300ms"), "{heard:?}");
    }
}

#[test]
fn what_cannot_be_a_server_is_refused() {
    for smarthost in ["mail", "mail:many", "'ma il:25'", "':25'"] {
        let means = format!("{{to: a@b, from: c@d, smarthost: {smarthost}}}");
        let heard = block_on(told(&Notifier::default(), &config(EMAIL, &means), &delivery()));
        assert_eq!(word(&heard), "refused", "{smarthost}");
        assert!(heard.said.contains("write HOST:PORT"), "{heard:?}");
    }
}
