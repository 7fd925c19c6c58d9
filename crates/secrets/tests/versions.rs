//! What may become of a version.

use tend_base::{Secret, Wall};
use tend_secrets::{Book, DUE_DAYS, Format, Origin, Recipe, SecretsError, State, Stored};

const NOW: Wall = Wall(1_800_000_000_000);

fn secret(value: &str) -> Secret {
    Secret::new(value.to_owned())
}

/// A book in which `db_password` was set to these values, each rotated to before the next.
fn rotated(values: &[&str]) -> Book {
    let mut book = Book::new(1000);
    for value in values {
        if book.put("db_password", secret(value), "alice", NOW).unwrap().state == State::Staged {
            book.promote("db_password", NOW).unwrap();
        }
    }
    book
}

fn states(book: &Book) -> Vec<(u64, State)> {
    let versions = &book.of("db_password").unwrap().versions;
    versions
        .iter()
        .map(|(number, version)| (*number, version.state))
        .collect()
}

#[test]
fn the_first_value_is_current_and_a_later_one_waits_to_be_rotated_to() {
    let mut book = rotated(&["one"]);
    assert_eq!(states(&book), [(1, State::Current)]);
    let stored = book.put("db_password", secret("two"), "alice", NOW).unwrap();
    assert_eq!(
        (stored.version, stored.state, stored.unchanged),
        (2, State::Staged, false)
    );
    assert_eq!(book.current("db_password"), Some(1));
    assert_eq!(book.promote("db_password", NOW).unwrap(), (Some(1), 2));
    assert_eq!(states(&book), [(1, State::Retired), (2, State::Current)]);
}

#[test]
fn the_same_value_again_is_no_new_version() {
    let mut book = rotated(&["one"]);
    assert!(book.put("db_password", secret("one"), "alice", NOW).unwrap().unchanged);
    book.put("db_password", secret("two"), "alice", NOW).unwrap();
    assert!(book.put("db_password", secret("two"), "alice", NOW).unwrap().unchanged);
    assert_eq!(states(&book), [(1, State::Current), (2, State::Staged)]);
}

#[test]
fn what_was_staged_and_never_used_is_wiped_by_the_next() {
    let mut book = rotated(&["one"]);
    book.put("db_password", secret("two"), "alice", NOW).unwrap();
    book.put("db_password", secret("three"), "alice", NOW).unwrap();
    assert_eq!(
        states(&book),
        [(1, State::Current), (2, State::Destroyed), (3, State::Staged)]
    );
    assert!(book.shown("db_password", Some(2)).is_err());
}

#[test]
fn a_retired_version_is_given_to_nobody() {
    let mut book = rotated(&["one", "two"]);
    assert!(matches!(
        book.given("db_password", 1),
        Err(SecretsError::NotUsable {
            state: State::Retired,
            ..
        })
    ));
    assert_eq!(book.given("db_password", 2).unwrap().expose(), "two");
    // Its value is still known, so that it can be found in what is written.
    assert_eq!(book.shown("db_password", Some(1)).unwrap().1.expose(), "one");
    assert_eq!(book.retired_versions(), [("db_password".to_owned(), 1)].into());
    // The same value once more is a version of its own, not the retired one.
    assert_eq!(book.put("db_password", secret("one"), "alice", NOW).unwrap().version, 3);
    assert!(matches!(
        book.given("db_password", 3),
        Err(SecretsError::NotUsable {
            state: State::Staged,
            ..
        })
    ));
}

#[test]
fn only_what_is_retired_is_destroyed() {
    let mut book = rotated(&["one", "two", "three"]);
    assert!(book.destroy("db_password", Some(3), NOW).is_err());
    assert_eq!(book.destroy("db_password", None, NOW).unwrap(), [1, 2]);
    assert!(book.shown("db_password", Some(1)).is_err());
    assert!(book.destroy("db_password", None, NOW).is_err());
    assert_eq!(book.values().count(), 1);
    assert_eq!(book.retire("db_password", None, NOW).unwrap(), 3);
    assert_eq!(book.current("db_password"), None);
    assert!(book.retire("db_password", Some(3), NOW).is_err());
    // A number is never given twice.
    assert_eq!(
        book.put("db_password", secret("four"), "alice", NOW).unwrap().version,
        4
    );
}

#[test]
fn a_generated_secret_remembers_how_and_is_due_after_ninety_days() {
    let mut book = Book::new(0);
    let recipe = Recipe {
        bytes: 32,
        format: Format::Hex,
    };
    book.generate("jwt_key", recipe, "alice", NOW).unwrap();
    let kept = book.of("jwt_key").unwrap();
    assert_eq!(kept.recipe, Some(recipe));
    assert_eq!(kept.due_at(), Some(Wall(NOW.0 + u64::from(DUE_DAYS) * 24 * 3_600_000)));
    assert_eq!(book.given("jwt_key", 1).unwrap().expose().len(), 64);
}

#[test]
fn what_cannot_be_a_name_or_a_value_is_refused() {
    for name in ["", "a/b", "..", ".hidden", "a b", "ключ", &"a".repeat(65)] {
        assert!(Book::new(0).put(name, secret("value"), "alice", NOW).is_err(), "{name}");
    }
    for name in ["db_password", "API-KEY.2", "7", &"a".repeat(64)] {
        assert!(Book::new(0).put(name, secret("value"), "alice", NOW).is_ok(), "{name}");
    }
    let mut book = Book::new(0);
    for value in ["", "a\0b", &"x".repeat((64 << 10) + 1)] {
        assert!(book.put("a", secret(value), "alice", NOW).is_err());
    }
    assert!(book.secrets.is_empty(), "what is refused leaves nothing behind");
}

#[test]
fn nothing_prints_a_value() {
    let mut book = rotated(&["hunter2"]);
    assert!(!format!("{book:?}").contains("hunter2"));
    let long = format!("hunter2{}", "x".repeat(64 << 10));
    let error = book.put("db_password", secret(&long), "alice", NOW).unwrap_err();
    assert!(!format!("{error} {error:?} {}", error.hint()).contains("hunter2"));
}

fn origin(version: u64, written: &str) -> Origin {
    Origin {
        address: "https://vault.example:8200".to_owned(),
        path: "kv/data/mps".to_owned(),
        field: "password".to_owned(),
        version,
        written: written.to_owned(),
    }
}

/// Takes what a Vault has; returns what was current before and what became of it.
fn follow(book: &mut Book, value: &str, at: Origin) -> (Option<u64>, Stored) {
    book.follow("db_password", secret(value), at, NOW).unwrap()
}

#[test]
fn what_a_vault_has_is_current_at_once_and_what_it_has_again_changes_nothing() {
    let mut book = Book::new(1000);
    let (before, first) = follow(&mut book, "one", origin(1, "a"));
    assert_eq!(
        (before, first.version, first.state, first.unchanged),
        (None, 1, State::Current, false)
    );
    let (before, same) = follow(&mut book, "one", origin(2, "b"));
    assert_eq!((before, same.version, same.unchanged), (None, 1, true));
    let kept = &book.of("db_password").unwrap().versions[&1];
    assert_eq!((&kept.origin, kept.made_by.as_str()), (&Some(origin(2, "b")), "vault"));
    // What a person staged in between was given to nobody.
    book.put("db_password", secret("staged"), "alice", NOW).unwrap();
    let (before, next) = follow(&mut book, "two", origin(3, "c"));
    assert_eq!((before, next.version, next.state), (Some(1), 3, State::Current));
    assert_eq!(
        states(&book),
        [(1, State::Retired), (2, State::Destroyed), (3, State::Current)]
    );
}

#[test]
fn what_was_taken_out_of_use_here_stays_so_until_something_is_written_there() {
    let mut book = Book::new(1000);
    follow(&mut book, "one", origin(1, "a"));
    book.retire("db_password", None, NOW).unwrap();
    for _ in 0..2 {
        let (before, again) = follow(&mut book, "one", origin(1, "a"));
        assert_eq!((before, again.version, again.unchanged), (None, 1, true));
        assert_eq!(book.current("db_password"), None);
        // Retired, then destroyed.
        let _ = book.destroy("db_password", None, NOW);
    }
    // The same number of a secret that was made anew there.
    let (_, anew) = follow(&mut book, "one", origin(1, "b"));
    assert_eq!((anew.version, anew.state, anew.unchanged), (2, State::Current, false));
}

#[test]
fn the_two_versions_of_a_rotation_change_places_until_one_is_retired() {
    let mut book = rotated(&["one"]);
    book.put("db_password", secret("two"), "alice", NOW).unwrap();
    let issued = |book: &Book| {
        let issued = book.issued()["db_password"];
        (issued.version, issued.also)
    };
    assert!(book.issue("db_password", 1, 2, true, NOW).unwrap());
    assert!(
        !book.issue("db_password", 1, 2, true, NOW).unwrap(),
        "once more is nothing new"
    );
    assert_eq!(issued(&book), (1, Some(2)));
    assert_eq!(book.given("db_password", 2).unwrap().expose(), "two");
    assert!(book.issue("db_password", 2, 1, true, NOW).unwrap());
    assert_eq!(issued(&book), (2, Some(1)));
    assert_eq!(book.given("db_password", 1).unwrap().expose(), "one");
    // One alone is given, and the other is not retired yet.
    book.issue("db_password", 2, 1, false, NOW).unwrap();
    assert_eq!(issued(&book), (2, None));
    assert_eq!(states(&book), [(1, State::Overlap), (2, State::Current)]);
    assert!(book.given("db_password", 1).is_err());
    assert!(book.retired_versions().is_empty());
    // What was staged is not what somebody stores now.
    book.put("db_password", secret("three"), "alice", NOW).unwrap();
    assert_eq!(book.shown("db_password", Some(1)).unwrap().1.expose(), "one");
    book.retire("db_password", Some(1), NOW).unwrap();
    assert_eq!(book.retired_versions(), [("db_password".to_owned(), 1)].into());
    // A retired version is never issued again.
    assert!(book.issue("db_password", 1, 2, false, NOW).is_err());
    assert!(book.issue("db_password", 2, 1, true, NOW).is_err());
}

#[test]
fn what_a_rotation_that_was_taken_back_threw_away_keeps_nothing_from_being_gone_back_to() {
    let mut book = rotated(&["one"]);
    book.put("db_password", secret("two"), "alice", NOW).unwrap();
    book.issue("db_password", 2, 1, true, NOW).unwrap();
    assert!(book.discard("db_password", 2, NOW).is_err(), "it is in use");
    book.issue("db_password", 1, 2, false, NOW).unwrap();
    book.discard("db_password", 2, NOW).unwrap();
    book.discard("db_password", 2, NOW).unwrap();
    assert_eq!(states(&book), [(1, State::Current), (2, State::Destroyed)]);
    assert!(book.retired_versions().is_empty(), "version 1 is in use");
    assert_eq!(book.issued()["db_password"], 1.into());
}
