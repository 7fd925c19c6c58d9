//! Webhooks: servers that take, refuse, lead elsewhere, hang, or are not whom they say.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use tend_alert::Answer;
use tend_base::Secret;
use tend_notify::{Beat, Limits, Notifier, read_secrets};
use tend_testkit::{Act, Authority, Folder, Scripted};

use crate::told::{block_on, config, delivery, impatient, places, tell, told, word};

const WEBHOOK: &str = "webhook_configs";

fn hook(server: &Scripted) -> String {
    format!("{{url: '{}'}}", server.url("/hook/KEY-OF-THE-HOOK?k=v"))
}

#[test]
fn an_answer_says_how_it_ended() {
    let cut = "HTTP/1.1 200 OK\nContent-Length: 10\n\nhalf";
    let slowly = "HTTP/1.1 429 Slowly\nRetry-After: 17\nContent-Length: 4\n\nwait";
    for (act, expected, said) in [
        (Act::ok("thanks"), "confirmed", "status 200: thanks"),
        (Act::status(204, ""), "confirmed", "status 204:"),
        (Act::status(500, "oh\nno"), "failed", "status 500: oh no"),
        (Act::status(503, ""), "failed", "status 503:"),
        (Act::answer(slowly), "failed", "status 429: wait"),
        (Act::status(400, "what?"), "refused", "status 400: what?"),
        (Act::status(404, ""), "refused", "status 404:"),
        (Act::answer(cut), "failed", "the connection to"),
        (Act::answer("SSH-2.0-x\n\n"), "failed", "the connection to"),
    ] {
        let server = Scripted::start(vec![vec![act]]);
        let heard = tell(WEBHOOK, &hook(&server));
        assert_eq!(word(&heard), expected, "{heard:?}");
        assert!(heard.said.starts_with(said), "{heard:?}");
        assert_eq!(heard.at, server.address().to_string());
        let after = match heard.answer {
            Answer::Failed { after, .. } => after,
            _ => None,
        };
        assert_eq!(after, said.contains("429").then_some(17_000));
        let asked = server.asked().remove(0);
        assert!(
            asked.starts_with("POST /hook/KEY-OF-THE-HOOK?k=v HTTP/1.1\r\n"),
            "{asked}"
        );
        let body = asked.split_once("\r\n\r\n").unwrap().1;
        assert!(
            body.starts_with("{\"receiver\":\"r\",\"status\":\"firing\",") && body.contains("支付很慢"),
            "{body}"
        );
    }
}

#[test]
fn nobody_there_and_no_address_are_told_for_what_they_are() {
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let heard = tell(WEBHOOK, &format!("{{url: 'http://{}/'}}", held.local_addr().unwrap()));
    assert_eq!(word(&heard), "failed");
    assert!(
        heard.said.contains("was not reached") && heard.said.contains("does it run"),
        "{heard:?}"
    );
    let heard = tell(WEBHOOK, "{url: 'ftp://host/KEY'}");
    assert_eq!(word(&heard), "refused");
    assert!(
        heard.said.contains("no address") && !heard.said.contains("KEY"),
        "{heard:?}"
    );
}

#[test]
fn a_redirect_is_followed_where_it_stays_a_post_and_named_where_not() {
    let lead = |status: u16, to: &Scripted| {
        Act::answer(&format!(
            "HTTP/1.1 {status} There\nLocation: {}\nContent-Length: 0\n\n",
            to.url("/new/KEY")
        ))
    };
    let there = Scripted::start(vec![vec![Act::ok("ok")]]);
    let server = Scripted::start(vec![
        vec![lead(308, &there)],
        vec![lead(302, &there)],
        vec![lead(307, &there)],
    ]);
    assert_eq!(word(&tell(WEBHOOK, &hook(&server))), "confirmed");
    assert!(there.asked()[0].starts_with("POST /new/KEY "), "{:?}", there.asked());
    let heard = tell(WEBHOOK, &hook(&server));
    assert_eq!(word(&heard), "refused");
    let at = format!("http://{}", there.address());
    assert!(heard.said.contains(&at) && !heard.said.contains("/new"), "{heard:?}");
    let stays = hook(&server).replace('}', ", http_config: {follow_redirects: false}}");
    assert_eq!(word(&tell(WEBHOOK, &stays)), "refused");
    assert_eq!(there.asked().len(), 1);
}

#[test]
fn only_whom_the_settings_name_is_believed() {
    let authority = Authority::new();
    let ca = authority.file();
    let ca = ca.display();
    for (name, tls, expected, said) in [
        ("127.0.0.1", format!("{{ca_file: {ca}}}"), "confirmed", "status 200"),
        ("other.example", format!("{{ca_file: {ca}}}"), "failed", "TLS with"),
        (
            "other.example",
            format!("{{ca_file: {ca}, server_name: other.example}}"),
            "confirmed",
            "status 200",
        ),
        (
            "other.example",
            "{insecure_skip_verify: true}".to_owned(),
            "confirmed",
            "status 200",
        ),
        (
            "127.0.0.1",
            "{ca_file: /no/such/file}".to_owned(),
            "failed",
            "the root certificates in `/no/such/file`",
        ),
    ] {
        let server = Scripted::tls(authority.server(name, false), vec![vec![Act::ok("")]]);
        let means = format!(
            "{{url: 'https://{}/', http_config: {{tls_config: {tls}}}}}",
            server.address()
        );
        let heard = tell(WEBHOOK, &means);
        assert_eq!(word(&heard), expected, "{name} {tls}: {heard:?}");
        assert!(heard.said.starts_with(said), "{name} {tls}: {heard:?}");
        assert_eq!(server.asked().len(), usize::from(expected == "confirmed"));
    }
}

#[test]
fn an_answer_that_tells_the_secret() {
    let folder = Folder::new();
    let password = folder.write("password", "hunter2-hunter2\n");
    let echo = "you sent /hook/KEY-OF-THE-HOOK?k=v with hunter2-hunter2 as aHVudGVyMi1odW50ZXIy and Basic YW5uOmh1bnRlcjItaHVudGVyMg==";
    let server = Scripted::start(vec![vec![Act::status(403, echo)]]);
    let means = hook(&server).replace(
        '}',
        &format!(
            ", http_config: {{basic_auth: {{username: ann, password_file: {}}}}}}}",
            password.display()
        ),
    );
    let heard = tell(WEBHOOK, &means);
    assert!(
        server.asked()[0].contains("Basic YW5uOmh1bnRlcjItaHVudGVyMg=="),
        "{:?}",
        server.asked()
    );
    let told = format!("{heard:?}");
    for secret in ["KEY-OF-THE-HOOK", "hunter2", "aHVudGVy", "YW5uOmh1"] {
        assert!(!told.contains(secret), "{secret}: {told}");
    }
    assert!(heard.said.starts_with("status 403: you sent"), "{told}");
}

#[test]
fn a_secret_in_a_file_is_read_when_it_is_sent() {
    let folder = Folder::new();
    let path = folder.path().join("url");
    let (one, two) = (
        Scripted::start(vec![vec![Act::ok("")]]),
        Scripted::start(vec![vec![Act::ok("")]]),
    );
    let config = config(WEBHOOK, &format!("{{url_file: {}}}", path.display()));
    let notifier = Notifier::default();
    block_on(async {
        let heard = told(&notifier, &config, &delivery()).await;
        assert_eq!(word(&heard), "failed", "it may be put there: {heard:?}");
        assert!(
            heard.said.contains("`url_file`") && heard.said.contains("could not be read"),
            "{heard:?}"
        );
        std::fs::write(&path, "\n").unwrap();
        let heard = told(&notifier, &config, &delivery()).await;
        assert!(word(&heard) == "failed" && heard.said.contains("is empty"), "{heard:?}");
        for server in [&one, &two] {
            std::fs::write(&path, format!("{}\n", server.url("/"))).unwrap();
            assert_eq!(word(&told(&notifier, &config, &delivery()).await), "confirmed");
            assert_eq!(server.asked().len(), 1);
        }
    });
}

#[test]
fn a_file_of_somebody_else_is_not_sent_out() {
    let folder = Folder::new();
    let path = folder.write("url", "http://127.0.0.1:1/\n");
    let owner = std::fs::metadata(&path).unwrap().uid();
    let config = config(WEBHOOK, &format!("{{url_file: {}}}", path.display()));
    let integration = &config.receivers["r"].integrations[0];
    assert!(
        block_on(read_secrets(integration, places(Some(owner))))
            .unwrap()
            .contains_key("url")
    );
    let error = block_on(read_secrets(integration, places(Some(owner + 1)))).unwrap_err();
    assert!(error.with_causes().contains("has to belong to user"), "{error:?}");
}

#[test]
fn a_server_that_is_slow_is_given_up() {
    for script in [vec![Act::Hold], vec![Act::Read, Act::Hold]] {
        let server = Scripted::start(vec![script]);
        let heard = block_on(told(&impatient(), &config(WEBHOOK, &hook(&server)), &delivery()));
        assert_eq!(word(&heard), "failed");
        assert!(heard.said.contains("did not answer within 300ms"), "{heard:?}");
    }
    let server = Scripted::start(vec![vec![Act::Read, Act::Hold]]);
    let own = hook(&server).replace('}', ", timeout: 200ms}");
    let heard = tell(WEBHOOK, &own);
    assert!(heard.said.contains("did not answer within 200ms"), "{heard:?}");
}

#[test]
fn a_receiver_that_hangs_costs_nobody_else() {
    let limits = Limits {
        within: Duration::from_secs(120),
        to_each: 2,
        to_all: 3,
    };
    let notifier = Notifier::new(limits);
    // More wait for the one that hangs than all are allowed at once.
    let hanging = Scripted::start((0..2).map(|_| vec![Act::Read, Act::Hold]).collect());
    let good = Scripted::start((0..5).map(|_| vec![Act::ok("")]).collect());
    let (to_hanging, to_good) = (config(WEBHOOK, &hook(&hanging)), config(WEBHOOK, &hook(&good)));
    let delivery = delivery();
    block_on(async {
        let mut waiting: Vec<_> = (0..6)
            .map(|_| Box::pin(told(&notifier, &to_hanging, &delivery)))
            .collect();
        let hang = std::future::poll_fn(|context| {
            for one in &mut waiting {
                assert!(one.as_mut().poll(context).is_pending(), "nobody answers there");
            }
            std::task::Poll::<()>::Pending
        });
        let others = async {
            while hanging.asked().len() < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            for _ in 0..5 {
                assert_eq!(word(&told(&notifier, &to_good, &delivery).await), "confirmed");
            }
        };
        tokio::select! {
            () = hang => unreachable!("it is never ready"),
            () = others => {}
        }
    });
    assert_eq!(hanging.asked().len(), 2, "no more than two at once");
}

#[test]
fn a_proxy_is_gone_through_and_its_password_told_to_nobody() {
    let proxy = Scripted::start(vec![vec![Act::status(407, "not with hunter2-hunter2")]]);
    let means = format!(
        "{{url: 'http://inside.invalid/KEY', http_config: {{proxy_url: 'http://ann:hunter2-hunter2@{}'}}}}",
        proxy.address()
    );
    let heard = tell(WEBHOOK, &means);
    assert!(
        proxy.asked()[0].starts_with("POST http://inside.invalid/KEY HTTP/1.1\r\n"),
        "{:?}",
        proxy.asked()
    );
    assert_eq!(
        (word(&heard), heard.said.as_str()),
        ("refused", "status 407: not with ***")
    );
    let heard = tell(
        WEBHOOK,
        "{url: 'http://inside.invalid/', http_config: {proxy_url: 'socks5://ann:hunter2-hunter2@h'}}",
    );
    assert!(
        word(&heard) == "refused" && !heard.said.contains("hunter2"),
        "{heard:?}"
    );
}

#[test]
fn a_sign_of_life_is_a_get_and_tells_no_key() {
    let server = Scripted::start(vec![vec![Act::ok("OK")], vec![Act::status(404, "KEY")]]);
    let beat = Beat::new(&Secret::new(server.url("/ping/KEY-OF-THE-BEAT"))).unwrap();
    assert!(!format!("{beat:?}").contains("KEY"));
    let notifier = Notifier::default();
    block_on(async {
        let heard = notifier.beat(&beat).await;
        assert_eq!((word(&heard), heard.said.as_str()), ("confirmed", "status 200"));
        let heard = notifier.beat(&beat).await;
        assert_eq!((word(&heard), heard.said.as_str()), ("failed", "status 404"));
    });
    assert!(server.asked()[0].starts_with("GET /ping/KEY-OF-THE-BEAT HTTP/1.1\r\n"));
    let error = Beat::new(&Secret::new("ftp://x/KEY".to_owned())).unwrap_err();
    assert!(!error.with_causes().contains("KEY"));
}
