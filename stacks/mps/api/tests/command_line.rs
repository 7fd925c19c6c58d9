//! The program's arguments, exit statuses, and what it says when it cannot start.

use std::net::TcpListener;

use crate::fixture::{Folder, Replica, run};

#[test]
fn the_check_exits_by_what_it_finds() {
    let folder = Folder::new();
    assert_eq!(
        run(&folder.0, &["--check-ledger"], &[]).status.code(),
        Some(1),
        "there are no books yet"
    );
    assert!(!folder.0.join("mps.sqlite").exists(), "and looking for them makes none");
    drop(Replica::start(&folder.0, 0, &[]));
    let check = run(&folder.0, &["--check-ledger"], &[]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    assert!(
        String::from_utf8_lossy(&check.stdout).contains("\"balanced\": true"),
        "{check:?}"
    );

    let books = rusqlite::Connection::open(folder.0.join("mps.sqlite")).expect("the file opens");
    books
        .execute("UPDATE app_member_cards SET balance = balance + 1", [])
        .expect("the table is there");
    let check = run(&folder.0, &["--check-ledger"], &[]);
    assert_eq!(check.status.code(), Some(1), "{check:?}");
    assert!(
        String::from_utf8_lossy(&check.stdout).contains("each card holds the sum of its entries"),
        "{check:?}"
    );
}

#[test]
fn what_keeps_it_from_starting_is_one_clear_sentence() {
    let folder = Folder::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    let file = folder.0.join("file");
    std::fs::write(&file, "").expect("own folder");
    let below_a_file = format!("sqlite:{}", file.join("mps.sqlite").display());
    let nothing = ("LOG_LEVEL", "info");
    let cases = [
        ("--chek", nothing, 2, "unknown arguments `--chek`"),
        (
            "",
            ("PORT", "http"),
            1,
            "`PORT` has the value `http`, expected a port, 0 to 65535",
        ),
        ("", ("PORT", &port), 1, "could not listen on 127.0.0.1"),
        ("", ("DATABASE_URL", &below_a_file), 1, "could not"),
        (
            "",
            ("DATABASE_URL", "postgresql://mps:secret@127.0.0.1:1/mps"),
            1,
            "could not connect to the PostgreSQL server",
        ),
        ("", ("MPS_BREAK", "exit"), 1, "broken on purpose"),
        ("migrate --to 99", nothing, 1, "there is no migration 99"),
        ("migrate --to", nothing, 2, "unknown arguments `migrate --to`"),
        (
            "--check-ledger",
            ("DATABASE_URL", "sqlite:/proc/none/mps.sqlite"),
            1,
            "could not",
        ),
    ];
    for (arguments, setting, code, says) in cases {
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        let output = run(&folder.0, &arguments, &[setting]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(error.contains(says), "{error}");
        assert!(code == 2 || error.contains("next: "), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
