//! What is on disk, and who can open it: tend, the real `age`, and nobody else.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tend_base::{Secret, Wall};
use tend_secrets::{Book, Passphrase, SecretsError, Store};
use tend_testkit::Folder;

const PLANTED: &str = "pl4nted-v4lue";

fn book() -> Book {
    let mut book = Book::new(1000);
    book.put("db_password", Secret::new(PLANTED.to_owned()), "alice", Wall(1))
        .unwrap();
    book
}

fn stored(folder: &Folder) -> Store {
    let store = Store::open(folder.path(), None).unwrap();
    store.write("mps", &book()).unwrap();
    store
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(&Secret::new(text.to_owned()))
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn age(arguments: &[&str], files: &[&Path]) -> (bool, String) {
    let run = Command::new("age")
        .args(arguments)
        .args(files)
        .stdin(Stdio::null())
        .output();
    let run = run.expect("Debian's package `age` is there: ./check asks for it");
    (run.status.success(), String::from_utf8_lossy(&run.stdout).into_owned())
}

#[test]
fn what_was_written_is_read_again_and_only_the_owner_can() {
    let folder = Folder::new();
    assert_eq!(stored(&folder).read("mps").unwrap(), Some(book()));
    let again = Store::open(folder.path(), None).unwrap();
    assert_eq!(again.read("mps").unwrap(), Some(book()));
    assert_eq!(again.read("other").unwrap(), None);
    assert_eq!(again.stacks().unwrap(), ["mps"]);
    for file in ["key", "recipients", "stacks/mps.age"] {
        let mode = std::fs::metadata(folder.path().join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert_eq!(
        std::fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

#[test]
fn no_file_holds_the_value() {
    let folder = Folder::new();
    stored(&folder).write("mps", &book()).unwrap();
    for file in ["key", "recipients", "stacks/mps.age"] {
        let bytes = std::fs::read(folder.path().join(file)).unwrap();
        assert!(
            !bytes.windows(PLANTED.len()).any(|part| part == PLANTED.as_bytes()),
            "{file}"
        );
    }
}

#[test]
fn the_real_age_opens_a_file_with_the_key() {
    let folder = Folder::new();
    stored(&folder);
    let (key, file) = (folder.path().join("key"), folder.path().join("stacks/mps.age"));
    let (opened, text) = age(&["-d", "-i"], &[&key, &file]);
    assert!(opened && text.contains(PLANTED), "{text}");
    let other = folder.path().join("other.key");
    assert!(
        Command::new("age-keygen")
            .arg("-o")
            .arg(&other)
            .output()
            .unwrap()
            .status
            .success()
    );
    let (opened, text) = age(&["-d", "-i"], &[&other, &file]);
    assert!(!opened && !text.contains(PLANTED));
}

#[test]
fn the_recovery_key_opens_what_was_there_before_and_what_comes_after() {
    let folder = Folder::new();
    let mut store = stored(&folder);
    let key = store.add_recovery_key(None).unwrap();
    store.write("later", &book()).unwrap();
    assert_eq!(store.recovery_keys(), [key.public]);
    let kept = folder.write("recovery.key", key.secret.expose());
    for stack in ["mps", "later"] {
        let (opened, text) = age(
            &["-d", "-i"],
            &[&kept, &folder.path().join(format!("stacks/{stack}.age"))],
        );
        assert!(opened && text.contains(PLANTED), "{stack}");
    }
    // The machine's key is lost: the recovery key in its place opens the store.
    let machine = folder.path().join("key");
    std::fs::remove_file(&machine).unwrap();
    assert!(matches!(
        Store::open(folder.path(), None),
        Err(SecretsError::KeyGone { .. })
    ));
    std::fs::copy(&kept, &machine).unwrap();
    chmod(&machine, 0o600);
    assert_eq!(
        Store::open(folder.path(), None).unwrap().read("mps").unwrap(),
        Some(book())
    );
}

#[test]
fn a_public_key_made_elsewhere_is_taken_and_what_is_none_is_refused() {
    let folder = Folder::new();
    let mut store = stored(&folder);
    let key = folder.path().join("elsewhere.key");
    assert!(
        Command::new("age-keygen")
            .arg("-o")
            .arg(&key)
            .output()
            .unwrap()
            .status
            .success()
    );
    let public = Command::new("age-keygen").arg("-y").arg(&key).output().unwrap().stdout;
    let public = String::from_utf8(public).unwrap();
    assert_eq!(store.add_recovery_key(Some(&public)).unwrap().secret.expose(), "");
    let (opened, text) = age(&["-d", "-i"], &[&key, &folder.path().join("stacks/mps.age")]);
    assert!(opened && text.contains(PLANTED));
    assert!(matches!(
        store.add_recovery_key(Some("age1nonsense")),
        Err(SecretsError::Recipient { .. })
    ));
}

#[test]
fn a_passphrase_protects_the_key_from_the_first_start_or_from_a_later_one() {
    for first in [Some("correct horse"), None] {
        let folder = Folder::new();
        let given = first.map(passphrase);
        Store::open(folder.path(), given.as_ref())
            .unwrap()
            .write("mps", &book())
            .unwrap();
        let again = Store::open(folder.path(), Some(&passphrase("correct horse"))).unwrap();
        assert_eq!(again.read("mps").unwrap(), Some(book()));
        assert!(
            !folder.path().join("key").exists(),
            "the key is no longer there without its passphrase"
        );
        assert!(matches!(
            Store::open(folder.path(), None),
            Err(SecretsError::NoPassphrase { .. })
        ));
        let wrong = Store::open(folder.path(), Some(&passphrase("battery staple")));
        assert!(matches!(wrong, Err(SecretsError::Passphrase { .. })));
    }
}

#[test]
fn a_passphrase_comes_from_a_file() {
    let folder = Folder::new();
    let path = folder.write("passphrase", "correct horse\n");
    let store = Store::open(&folder.path().join("s"), Some(&Passphrase::of_file(&path).unwrap())).unwrap();
    store.write("mps", &book()).unwrap();
    assert!(Store::open(&folder.path().join("s"), Some(&passphrase("correct horse"))).is_ok());
    let empty = folder.write("empty", "\n");
    assert!(matches!(Passphrase::of_file(&empty), Err(SecretsError::Read { .. })));
}

#[test]
fn each_thing_that_is_wrong_is_said_with_what_to_do() {
    let refused = |spoil: &dyn Fn(&Path) -> PathBuf| {
        let folder = Folder::new();
        stored(&folder);
        let spoilt = spoil(folder.path());
        let outcome = Store::open(folder.path(), None).and_then(|store| store.read("mps"));
        let error = outcome.expect_err("it is spoilt");
        assert!(error.to_string().contains(&*spoilt.to_string_lossy()), "{error}");
        assert!(!error.hint().is_empty() && !error.with_causes().contains(PLANTED));
        error
    };
    let open_key = refused(&|folder| {
        chmod(&folder.join("key"), 0o640);
        folder.join("key")
    });
    assert!(
        matches!(open_key, SecretsError::KeyOpen { mode: 0o640, .. }),
        "{open_key}"
    );
    assert!(open_key.hint().contains("chmod 600"));
    let other_key = refused(&|folder| {
        let other = Folder::new();
        Store::open(other.path(), None).unwrap();
        std::fs::copy(other.path().join("key"), folder.join("key")).unwrap();
        folder.join("stacks/mps.age")
    });
    assert!(matches!(other_key, SecretsError::WrongKey { .. }), "{other_key}");
    let no_key = refused(&|folder| {
        std::fs::write(folder.join("key"), "nonsense\n").unwrap();
        folder.join("key")
    });
    assert!(matches!(no_key, SecretsError::KeyFormat { .. }), "{no_key}");
    // Cut, changed in the middle, and no age file at all.
    let spoils: [fn(&mut Vec<u8>); 3] = [
        |bytes| bytes.truncate(bytes.len() - 10),
        |bytes| {
            let last = bytes.len() - 20;
            bytes[last] ^= 1;
        },
        |bytes| *bytes = b"{}".to_vec(),
    ];
    for spoil in spoils {
        let damaged = refused(&|folder| {
            let path = folder.join("stacks/mps.age");
            let mut bytes = std::fs::read(&path).unwrap();
            spoil(&mut bytes);
            std::fs::write(&path, bytes).unwrap();
            path
        });
        assert!(matches!(damaged, SecretsError::Damaged { .. }), "{damaged}");
    }
}
