//! TLS to real servers: who is judged, who is not, and who must not be talked to.

use std::net::TcpListener;
use std::path::Path;

use tend_database::{Address, DatabaseError, Login, TwoUsers};
use tend_testkit::Folder;

use crate::servers::{Mariadb, PASSWORD, Postgres, address, encoded, open_folder, write_as};

/// A folder with a certificate for `localhost` in it, signed by itself, and its key.
fn certificate(user: &str) -> (Folder, String, String) {
    let folder = open_folder();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = write_as(&folder, user, "server.pem", &made.cert.pem());
    let key = write_as(&folder, user, "server.key", &made.signing_key.serialize_pem());
    folder.write("root.pem", made.cert.pem());
    (folder, certificate.display().to_string(), key.display().to_string())
}

/// A port that was free a moment ago: neither server can choose one itself and tell it.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Logs in with each way to judge the server; `at` makes an address of a host and its parameters.
async fn judge(folder: &Path, at: impl Fn(&str, &str) -> Address) {
    let root = format!("sslrootcert={}/root.pem", folder.display());
    for parameters in [
        "sslmode=prefer",
        "sslmode=require",
        &format!("sslmode=verify-ca&{root}"),
        &format!("sslmode=verify-full&{root}"),
    ] {
        let login = TwoUsers::try_login(&at("localhost", parameters)).await;
        assert!(matches!(login, Ok(Login::Accepted)), "{parameters}: {login:?}");
    }
    // Another name than the one in the certificate, and an authority that is not known.
    for (host, parameters) in [
        ("127.0.0.1", format!("sslmode=verify-full&{root}")),
        ("localhost", "sslmode=verify-full".to_owned()),
    ] {
        let error = TwoUsers::try_login(&at(host, &parameters)).await.unwrap_err();
        assert!(matches!(error, DatabaseError::Unreachable { .. }), "{error:?}");
        assert!(error.with_causes().contains("certificate"), "{}", error.with_causes());
    }
}

#[tokio::test]
async fn postgresql_is_judged_as_it_was_asked_for() {
    let (folder, certificate, key) = certificate("postgres");
    let port = port();
    let more = [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        "ssl=on".to_owned(),
        format!("ssl_cert_file={certificate}"),
        format!("ssl_key_file={key}"),
    ];
    let server = Postgres::start_with(folder, &more);
    // Whoever comes by TCP without TLS is refused from here on.
    server.sql("postgres", "SELECT 1");
    let hba = server.folder.path().join("data/pg_hba.conf");
    std::fs::write(
        hba,
        "local all all scram-sha-256\nhostssl all all 127.0.0.1/32 scram-sha-256\n",
    )
    .unwrap();
    server.sql("postgres", "SELECT pg_reload_conf()");
    let at = |host: &str, parameters: &str| {
        address(&format!(
            "postgres://boss:{}@{host}:{port}/postgres?{parameters}",
            encoded(PASSWORD)
        ))
    };
    let plain = at("localhost", "sslmode=disable");
    let refuses_plain = async {
        while matches!(TwoUsers::try_login(&plain).await, Ok(Login::Accepted)) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::servers::DEADLINE, refuses_plain)
        .await
        .expect("the settings are read again");
    judge(server.folder.path(), at).await;
    let root = server.folder.path().join("root.pem");
    let any_name = at(
        "127.0.0.1",
        &format!("sslmode=verify-ca&sslrootcert={}", root.display()),
    );
    assert!(matches!(TwoUsers::try_login(&any_name).await, Ok(Login::Accepted)));
}

#[tokio::test]
async fn mariadb_is_judged_as_it_was_asked_for() {
    let (folder, certificate, key) = certificate("mysql");
    let port = port();
    let more = [
        "--bind-address=127.0.0.1".to_owned(),
        format!("--port={port}"),
        format!("--ssl-cert={certificate}"),
        format!("--ssl-key={key}"),
    ];
    let server = Mariadb::start_with(folder, &more);
    server.sql("CREATE USER shop@localhost IDENTIFIED BY 'shop' REQUIRE SSL; CREATE USER shop@'127.0.0.1' IDENTIFIED BY 'shop' REQUIRE SSL");
    let at = |host: &str, parameters: &str| address(&format!("mysql://shop:shop@{host}:{port}/?{parameters}"));
    let login = TwoUsers::try_login(&at("localhost", "sslmode=disable")).await;
    assert!(matches!(login, Ok(Login::Refused(_))), "{login:?}");
    judge(server.folder.path(), at).await;
}
