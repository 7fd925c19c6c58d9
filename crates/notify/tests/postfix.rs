//! Mail given to a real Postfix, with each way of encryption and of proving who one is.

use tend_alert::{Context, Language, Notification, notification};
use tend_base::Secret;
use tend_notify::Notifier;
use tend_template::{Still, Time};
use tend_testkit::{Authority, Folder, MAIL_USER, Postfix};

use crate::told::{AT, block_on, config, delivery, told, word};

const EMAIL: &str = "email_configs";

#[test]
fn postfix_takes_what_is_written_from_who_may() {
    let authority = Authority::new();
    let postfix = Postfix::start(&authority);
    let folder = Folder::new();
    let (user, password) = MAIL_USER;
    let (right, wrong) = (
        folder.write("right", format!("{password}\n")),
        folder.write("wrong", "wrong password"),
    );
    let (right, wrong, ca) = (right.display(), wrong.display(), authority.file());
    let ca = format!("tls_config: {{ca_file: {}}}", ca.display());
    let with = |file: &dyn std::fmt::Display| format!("{ca}, auth_username: {user}, auth_password_file: {file}");
    let (submission, submissions) = (postfix.submission(), postfix.submissions());
    let ann = "ann@example.com";
    let mut taken = 0;
    for (to, smarthost, more, expected, said) in [
        (ann, &submission, with(&right), "confirmed", "250 2.0.0 Ok: queued as"),
        (
            ann,
            &submission,
            with(&wrong),
            "refused",
            "535 5.7.8 Error: authentication failed",
        ),
        (ann, &submission, ca.clone(), "refused", "Client host rejected"),
        (
            ann,
            &submissions,
            format!("{}, force_implicit_tls: true", with(&right)),
            "confirmed",
            "250 2.0.0 Ok",
        ),
        (
            ann,
            &submissions,
            format!("{}, force_implicit_tls: true", with(&wrong)),
            "refused",
            "535 5.7.8",
        ),
        (ann, &postfix.login(), with(&right), "confirmed", "250 2.0.0 Ok"),
        (ann, &postfix.login(), with(&wrong), "refused", "535 5.7.8"),
        (ann, &postfix.cram(), with(&right), "confirmed", "250 2.0.0 Ok"),
        (ann, &postfix.cram(), with(&wrong), "refused", "535 5.7.8"),
        (
            ann,
            &postfix.plain(),
            "require_tls: false".to_owned(),
            "confirmed",
            "250 2.0.0 Ok",
        ),
        (
            ann,
            &postfix.plain(),
            "require_tls: true".to_owned(),
            "refused",
            "does not offer STARTTLS",
        ),
        // Not known here, and of another name.
        (
            ann,
            &submission,
            "tls_config: {server_name: mail.example.com}".to_owned(),
            "failed",
            "",
        ),
        (
            ann,
            &submission,
            ca.replace('}', ", server_name: other.example}"),
            "failed",
            "TLS with",
        ),
        (
            ann,
            &submission,
            with(&right).replace("ca_file", "server_name: mail.example.com, ca_file"),
            "confirmed",
            "250 2.0.0 Ok",
        ),
        (
            "ann@example.com, nobody@example.com",
            &submission,
            with(&right),
            "confirmed",
            "User unknown",
        ),
        ("nobody@example.com", &submission, with(&right), "refused", "550 5.1.1"),
    ] {
        let means = format!("{{to: '{to}', from: tend@example.com, smarthost: '{smarthost}', {more}}}");
        let heard = block_on(told(&Notifier::default(), &config(EMAIL, &means), &delivery()));
        assert_eq!(word(&heard), expected, "{means}: {heard:?}");
        assert!(
            heard.said.contains(said) && !heard.said.contains(password),
            "{means}: {heard:?}"
        );
        taken += usize::from(expected == "confirmed");
    }
    assert_eq!(postfix.mails("ann", taken).len(), taken);
}

#[test]
fn the_mail_in_the_mailbox_is_the_one_that_was_written() {
    let authority = Authority::new();
    let postfix = Postfix::start(&authority);
    let means = format!(
        "{{to: 'Bob 王 <bob@example.com>', from: 'Tend <tend@example.com>', smarthost: '{}', require_tls: false, headers: {{Subject: 支付很慢}}, text: \".\\n.dot\\n..\\n{}\\nend .\"}}",
        postfix.plain(),
        "长".repeat(600)
    );
    let config = config(EMAIL, &means);
    assert_eq!(
        word(&block_on(told(&Notifier::default(), &config, &delivery()))),
        "confirmed"
    );
    let mut world = Still {
        now: Time::from_millis(AT),
        external_url: "http://tend".to_owned(),
    };
    let mut context = Context {
        config: &config,
        templates: &[],
        world: &mut world,
        language: Language::English,
        secrets: std::collections::BTreeMap::<String, Secret>::new(),
        now: AT,
    };
    let Ok(Notification::Mail(mail)) = notification(&delivery(), &mut context) else {
        panic!("it is a mail");
    };
    let written = mail.message.replace("\r\n", "\n");
    let stored = postfix.mails("bob", 1).remove(0);
    // Postfix puts its own headers in front.
    assert!(stored.starts_with("Return-Path: <tend@example.com>\n"), "{stored}");
    assert!(stored.ends_with(&written), "{stored}\n=====\n{written}");
    assert!(stored.contains("\n.\n.dot\n..\n"), "{stored}");
}
