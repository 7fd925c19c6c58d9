//! What a server does, seen through the client: the same at a server of our own and at OpenBao. Knows neither.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tend_base::{Clock, Secret, SystemClock};
use tend_vault::{
    Address, Client, Condition, Credential, Freshness, KvPath, Login, Method, Namespace, Next, Reading, Session,
    Trouble, VaultError,
};

/// Many times what anything takes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A server with a KV engine of version 2 at `kv`, another in the namespace `team`, and a role that may `read` `kv/data/mps*` there,
/// and whose tokens live an hour.
pub(crate) trait Peer {
    /// `http://…`
    fn address(&self) -> String;
    /// `https://…`, and the certificate of its authority.
    fn tls(&self) -> (String, PathBuf);
    /// May do everything, for ever.
    fn root(&self) -> Secret;
    /// Role id and secret id.
    fn role(&self) -> (Secret, Secret);
    /// Does something as root, below `/v1/`; returns status and answer.
    fn admin(&self, method: &str, path: &str, body: &str) -> (u16, serde_json::Value);
    fn seal(&self);
    fn unseal(&self);
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(DEADLINE, future)
            .await
            .expect("not within the deadline")
    })
}

pub(crate) fn client(peer: &impl Peer) -> Client {
    Client::new(Address::parse(&peer.address()).unwrap(), None, None)
}

pub(crate) fn approle(role_id: &Secret, secret_id: &Secret) -> Login {
    Login::AppRole {
        mount: "approle".to_owned(),
        role_id: Credential::Value(role_id.clone()),
        secret_id: Some(Credential::Value(secret_id.clone())),
    }
}

pub(crate) fn path(text: &str) -> KvPath {
    KvPath::parse(text).unwrap()
}

pub(crate) fn fields(of: &[(&str, &str)]) -> BTreeMap<String, Secret> {
    let each = of.iter();
    each.map(|(name, value)| ((*name).to_owned(), Secret::new((*value).to_owned())))
        .collect()
}

fn text(reading: &Reading, at: &KvPath, field: &str) -> (u64, String) {
    match reading {
        Reading::Found { version, fields } => (version.number, fields.text(at, field).unwrap().expose().to_owned()),
        Reading::Deleted { .. } => panic!("deleted"),
    }
}

pub(crate) fn a_role_logs_in_reads_and_renews(peer: &impl Peer) {
    block_on(async {
        let (client, root) = (client(peer), peer.root());
        let at = path("kv/data/mps");
        client
            .write(&root, &at, &fields(&[("password", "one")]), 0)
            .await
            .unwrap();
        let (role_id, secret_id) = peer.role();
        let token = client.log_in(&approle(&role_id, &secret_id)).await.unwrap();
        assert_eq!(token.lease.life, Some(Duration::from_secs(3600)));
        assert!(token.lease.renewable);
        let read = client.read(&token.secret, &at, None).await.unwrap();
        assert_eq!(text(&read, &at, "password"), (1, "one".to_owned()));
        let renewed = client.renew(&token.secret).await.unwrap();
        assert_eq!(
            (renewed.life, renewed.renewable),
            (Some(Duration::from_secs(3600)), true)
        );
        let looked = client.look_up(&token.secret).await.unwrap().life.unwrap();
        assert!(
            looked > Duration::from_secs(3000) && looked <= Duration::from_secs(3600),
            "{looked:?}"
        );
    });
}

pub(crate) fn a_role_with_a_wrong_secret_id_is_refused_without_saying_it(peer: &impl Peer) {
    let (role_id, _) = peer.role();
    let wrong = Secret::new("not-the-secret-id".to_owned());
    let error = block_on(client(peer).log_in(&approle(&role_id, &wrong))).unwrap_err();
    assert_eq!(error.trouble(), Trouble::Refused, "{error}");
    assert!(error.hint().contains("role id"), "{}", error.hint());
    assert!(!format!("{error:?}").contains("not-the-secret-id"));
}

pub(crate) fn a_token_is_looked_up(peer: &impl Peer) {
    let login = Login::Token(Credential::Value(peer.root()));
    let token = block_on(client(peer).log_in(&login)).unwrap();
    assert_eq!(token.lease.life, None, "it lives for ever");
    let unknown = Login::Token(Credential::Value(Secret::new("s.unknown".to_owned())));
    let error = block_on(client(peer).log_in(&unknown)).unwrap_err();
    assert_eq!(error.trouble(), Trouble::Denied, "{error}");
    let error = block_on(client(peer).renew(&peer.root())).unwrap_err();
    assert_eq!(
        error.trouble(),
        Trouble::Refused,
        "what lives for ever is not renewed: {error}"
    );
}

pub(crate) fn writing_is_check_and_set(peer: &impl Peer) {
    block_on(async {
        let (client, root) = (client(peer), peer.root());
        let at = path("kv/data/app/db");
        let one = client
            .write(&root, &at, &fields(&[("password", "one"), ("user", "u")]), 0)
            .await
            .unwrap();
        assert_eq!(one.number, 1);
        let error = client
            .write(&root, &at, &fields(&[("password", "x")]), 0)
            .await
            .unwrap_err();
        assert!(matches!(error, VaultError::Conflict { expected: 0, .. }), "{error}");
        let two = client
            .patch(&root, &at, &fields(&[("password", "two\"\n")]), 1)
            .await
            .unwrap();
        assert_eq!(two.number, 2);
        let error = client
            .patch(&root, &at, &fields(&[("password", "x")]), 1)
            .await
            .unwrap_err();
        assert!(matches!(error, VaultError::Conflict { expected: 1, .. }), "{error}");
        let read = client.read(&root, &at, None).await.unwrap();
        assert_eq!(text(&read, &at, "password"), (2, "two\"\n".to_owned()));
        assert_eq!(text(&read, &at, "user"), (2, "u".to_owned()), "a patch leaves the rest");
        let three = client
            .write(&root, &at, &fields(&[("password", "three")]), 2)
            .await
            .unwrap();
        assert_eq!(three.number, 3);
        let read = client.read(&root, &at, None).await.unwrap();
        let Reading::Found { fields, .. } = &read else {
            panic!("{read:?}")
        };
        assert_eq!(fields.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["password"]);
        let first = client.read(&root, &at, Some(1)).await.unwrap();
        assert_eq!(text(&first, &at, "password"), (1, "one".to_owned()));
        let metadata = client.metadata(&root, &at).await.unwrap();
        assert_eq!(metadata.current_version, 3);
        assert_eq!(metadata.versions.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(client.list(&root, "kv", "").await.unwrap(), ["app/"]);
        assert_eq!(client.list(&root, "kv", "app").await.unwrap(), ["db"]);
        let error = client.list(&root, "kv", "none").await.unwrap_err();
        assert_eq!(error.trouble(), Trouble::NotThere);
    });
}

pub(crate) fn a_first_fill_writes_what_is_not_there_and_touches_nothing_else(peer: &impl Peer) {
    block_on(async {
        let (client, root) = (client(peer), peer.root());
        let at = path("kv/data/shop");
        let wanted = fields(&[("password", "first"), ("user", "shop")]);
        let names = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>();

        let looked = client.fill(&root, &at, &wanted, false).await.unwrap();
        assert_eq!(
            (names(&looked.missing), looked.written),
            (vec!["password".to_owned(), "user".to_owned()], None)
        );
        assert_eq!(
            client.read(&root, &at, None).await.unwrap_err().trouble(),
            Trouble::NotThere
        );

        let filled = client.fill(&root, &at, &wanted, true).await.unwrap();
        assert_eq!(filled.written.map(|version| version.number), Some(1));
        // Once more, with other values: nothing is written.
        let other = fields(&[("password", "second"), ("user", "shop")]);
        let again = client.fill(&root, &at, &other, true).await.unwrap();
        assert_eq!(
            (again.there.len(), names(&again.missing), again.written),
            (2, Vec::new(), None)
        );
        // A field that is new is added, and the others are what they were.
        let more = fields(&[("password", "third"), ("pin", "1234")]);
        let added = client.fill(&root, &at, &more, true).await.unwrap();
        assert_eq!(
            (names(&added.there), names(&added.missing)),
            (vec!["password".to_owned()], vec!["pin".to_owned()])
        );
        assert_eq!(added.written.map(|version| version.number), Some(2));
        let read = client.read(&root, &at, None).await.unwrap();
        assert_eq!(text(&read, &at, "password"), (2, "first".to_owned()));
        assert_eq!(text(&read, &at, "user"), (2, "shop".to_owned()));
        assert_eq!(text(&read, &at, "pin"), (2, "1234".to_owned()));
        // What somebody deleted stays deleted.
        assert_eq!(peer.admin("DELETE", "kv/data/shop", "").0, 204);
        let deleted = client.fill(&root, &at, &wanted, true).await.unwrap();
        assert!(deleted.deleted && deleted.written.is_none(), "{deleted:?}");
        assert!(matches!(
            client.read(&root, &at, None).await.unwrap(),
            Reading::Deleted { .. }
        ));
    });
}

pub(crate) fn what_is_not_there_deleted_or_denied_is_told_apart(peer: &impl Peer) {
    block_on(async {
        let (client, root) = (client(peer), peer.root());
        let (role_id, secret_id) = peer.role();
        let token = client.log_in(&approle(&role_id, &secret_id)).await.unwrap().secret;
        let error = client.read(&token, &path("kv/data/mps"), None).await.unwrap_err();
        assert_eq!(error.trouble(), Trouble::NotThere, "{error}");
        let error = client.read(&root, &path("none/data/mps"), None).await.unwrap_err();
        assert_eq!(error.trouble(), Trouble::NotThere, "{error}");
        assert!(error.to_string().contains("no handler for route"), "{error}");

        let at = path("kv/data/mps");
        client
            .write(&root, &at, &fields(&[("password", "one")]), 0)
            .await
            .unwrap();
        assert_eq!(peer.admin("DELETE", "kv/data/mps", "").0, 204);
        let deleted = client.read(&token, &at, None).await.unwrap();
        assert!(
            matches!(&deleted, Reading::Deleted { version } if version.number == 1 && !version.destroyed),
            "{deleted:?}"
        );
        assert_eq!(peer.admin("PUT", "kv/destroy/mps", "{\"versions\":[1]}").0, 204);
        let destroyed = client.read(&token, &at, None).await.unwrap();
        assert!(
            matches!(&destroyed, Reading::Deleted { version } if version.destroyed),
            "{destroyed:?}"
        );

        client
            .write(&root, &path("kv/data/other"), &fields(&[("a", "b")]), 0)
            .await
            .unwrap();
        let error = client.read(&token, &path("kv/data/other"), None).await.unwrap_err();
        assert_eq!(error.trouble(), Trouble::Denied, "{error}");
        assert!(error.hint().contains("policy"));
        assert!(client.look_up(&token).await.is_ok(), "the token itself is fine");

        let body = serde_json::json!({ "token": token.expose() }).to_string();
        assert_eq!(peer.admin("POST", "auth/token/revoke", &body).0, 204);
        for error in [
            client.read(&token, &at, None).await.unwrap_err(),
            client.look_up(&token).await.unwrap_err(),
            client.renew(&token).await.unwrap_err(),
        ] {
            assert_eq!(error.trouble(), Trouble::Denied, "{error}");
        }
    });
}

pub(crate) fn a_sealed_server_says_so_and_goes_on_when_unsealed(peer: &impl Peer) {
    block_on(async {
        let (client, root) = (client(peer), peer.root());
        let at = path("kv/data/mps");
        client
            .write(&root, &at, &fields(&[("password", "one")]), 0)
            .await
            .unwrap();
        let (role_id, secret_id) = peer.role();
        let login = approle(&role_id, &secret_id);
        let token = client.log_in(&login).await.unwrap().secret;
        peer.seal();
        for error in [
            client.read(&token, &at, None).await.unwrap_err(),
            client.log_in(&login).await.unwrap_err(),
            client.renew(&token).await.unwrap_err(),
        ] {
            assert_eq!(error.trouble(), Trouble::Sealed, "{error}");
            assert!(error.hint().contains("unseal"));
        }
        peer.unseal();
        let begun = Instant::now();
        loop {
            match client.read(&token, &at, None).await {
                Ok(read) => break assert_eq!(text(&read, &at, "password"), (1, "one".to_owned())),
                Err(error) => assert!(begun.elapsed() < DEADLINE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

pub(crate) fn a_namespace_has_secrets_of_its_own(peer: &impl Peer) {
    block_on(async {
        let root = peer.root();
        let at = path("kv/data/mps");
        let of = |name: &str| {
            let namespace = Some(Namespace::parse(name).unwrap());
            Client::new(Address::parse(&peer.address()).unwrap(), namespace, None)
        };
        of("team")
            .write(&root, &at, &fields(&[("p", "of the team")]), 0)
            .await
            .unwrap();
        client(peer)
            .write(&root, &at, &fields(&[("p", "of all")]), 0)
            .await
            .unwrap();
        let read = of("/team/").read(&root, &at, None).await.unwrap();
        assert_eq!(text(&read, &at, "p").1, "of the team");
        let read = client(peer).read(&root, &at, None).await.unwrap();
        assert_eq!(text(&read, &at, "p").1, "of all");
        let error = of("nobody").read(&root, &at, None).await.unwrap_err();
        assert_eq!(error.trouble(), Trouble::NotThere, "{error}");
    });
}

pub(crate) fn over_tls_only_a_known_authority_is_believed(peer: &impl Peer) {
    block_on(async {
        let (address, roots) = peer.tls();
        let address = Address::parse(&address).unwrap();
        let client = Client::new(address.clone(), None, Some(roots));
        assert!(client.look_up(&peer.root()).await.is_ok());
        let stranger = Client::new(address, None, None);
        let error = stranger.look_up(&peer.root()).await.unwrap_err();
        assert_eq!(error.trouble(), Trouble::Away, "{error}");
        assert!(error.with_causes().contains("certificate"), "{}", error.with_causes());
    });
}

/// Performs what a session asks, with a real clock, until something is so; returns the passwords that were news meanwhile.
async fn run_until(
    session: &mut Session,
    client: &Client,
    login: &Login,
    what: &str,
    mut is_so: impl FnMut(&Session, &[String]) -> bool,
) -> Vec<String> {
    let (begun, mut news) = (Instant::now(), Vec::new());
    while !is_so(session, &news) {
        assert!(
            begun.elapsed() < DEADLINE,
            "not in time: {what}; {:?}",
            session.standing()
        );
        match session.next(SystemClock.now().mono) {
            Next::Ask(ask) => {
                let answer = client.perform(&ask, login).await;
                if let Some(told) = session.take(answer, SystemClock.now(), 0) {
                    news.push(told.fields.text(&told.path, "password").unwrap().expose().to_owned());
                }
            }
            Next::Wait(until) => {
                let pause = until.since(SystemClock.now().mono).min(Duration::from_millis(20));
                tokio::time::sleep(pause).await;
            }
        }
    }
    news
}

pub(crate) fn a_session_keeps_what_it_read_through_seals_and_lost_tokens(peer: &impl Peer) {
    block_on(async {
        let (client, root) = (client(peer), peer.root());
        let at = path("kv/data/mps");
        client
            .write(&root, &at, &fields(&[("password", "one")]), 0)
            .await
            .unwrap();
        let (role_id, secret_id) = peer.role();
        let login = approle(&role_id, &secret_id);
        let every = Duration::from_millis(50);
        let mut session = Session::new(Method::AppRole, every, [at.clone()], SystemClock.now());
        let freshness = |session: &Session| session.of(&at).unwrap().freshness;
        let news = run_until(&mut session, &client, &login, "the first", |_, news| !news.is_empty()).await;
        assert_eq!((news, freshness(&session)), (vec!["one".to_owned()], Freshness::Fresh));

        client
            .write(&root, &at, &fields(&[("password", "two")]), 1)
            .await
            .unwrap();
        let news = run_until(&mut session, &client, &login, "the second", |_, news| !news.is_empty()).await;
        assert_eq!(
            (news, session.of(&at).unwrap().version),
            (vec!["two".to_owned()], Some(2))
        );

        peer.seal();
        let news = run_until(&mut session, &client, &login, "sealed", |session, _| {
            session.standing().condition == Condition::Sealed
        });
        assert_eq!(news.await, [""; 0], "nothing is news while it is sealed");
        let stale = session.of(&at).unwrap();
        assert_eq!((stale.freshness, stale.version), (Freshness::Stale, Some(2)));
        assert_eq!(stale.since, Some(session.standing().since));
        peer.unseal();
        let news = run_until(&mut session, &client, &login, "fresh again", |session, _| {
            freshness(session) == Freshness::Fresh
        });
        assert_eq!(news.await, [""; 0], "what was known is no news");

        let lost = session.token().unwrap().clone();
        let body = serde_json::json!({ "token": lost.expose() }).to_string();
        assert_eq!(peer.admin("POST", "auth/token/revoke", &body).0, 204);
        client
            .write(&root, &at, &fields(&[("password", "three")]), 2)
            .await
            .unwrap();
        let news = run_until(&mut session, &client, &login, "logged in anew", |_, news| {
            !news.is_empty()
        })
        .await;
        assert_eq!(news, ["three"]);
        assert_ne!(session.token(), Some(&lost));

        assert_eq!(peer.admin("DELETE", "kv/data/mps", "").0, 204);
        let news = run_until(&mut session, &client, &login, "deleted", |session, _| {
            freshness(session) == Freshness::Deleted
        });
        assert_eq!(news.await, [""; 0], "what was read stays");
        assert_eq!(session.of(&at).unwrap().version, Some(3));
    });
}

/// Makes a test of each scenario; `$start` starts a server.
macro_rules! tests_of_scenarios {
    ($start:path: $($name:ident),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                crate::scenarios::$name(&$start());
            }
        )+
    };
    ($start:path) => {
        crate::scenarios::tests_of_scenarios!(
            $start:
            a_role_logs_in_reads_and_renews,
            a_role_with_a_wrong_secret_id_is_refused_without_saying_it,
            a_token_is_looked_up,
            writing_is_check_and_set,
            a_first_fill_writes_what_is_not_there_and_touches_nothing_else,
            what_is_not_there_deleted_or_denied_is_told_apart,
            a_sealed_server_says_so_and_goes_on_when_unsealed,
            a_namespace_has_secrets_of_its_own,
            over_tls_only_a_known_authority_is_believed,
            a_session_keeps_what_it_read_through_seals_and_lost_tokens,
        );
    };
}
pub(crate) use tests_of_scenarios;
