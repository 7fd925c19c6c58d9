//! Configurations and what becomes of them: `tests/cases/NAME.conf` beside `NAME.expected`, which `UPDATE=1` rewrites; those of the
//! guides where they are there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tend_nginx::{Imported, Weight, import};
use tend_stackfile::{Files, Input, load};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> = all
        .filter(|path| path.extension().is_some_and(|end| end == "conf"))
        .collect();
    all.sort();
    assert!(all.len() >= 4);
    all
}

/// One file, and nothing beside it.
struct One(String);

impl Files for One {
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        match path.to_str() {
            Some("/s/stack.yml") => Ok(self.0.clone().into_bytes()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        }
    }

    fn is_file(&self, path: &Path) -> bool {
        path.to_str() == Some("/s/stack.yml")
    }

    fn owner(&self, _: &Path) -> std::io::Result<tend_stackfile::Owner> {
        Ok(tend_stackfile::Owner { uid: 0, gid: 0 })
    }
}

/// Returns the stack of a chapter, with the services that it needs.
pub(crate) fn stack(imported: &Imported) -> tend_core::model::Stack {
    let mut text = format!(
        "name: imported\nservices:\n  other:\n    command: ./other\n{}",
        imported.chapter
    );
    for name in imported.services.keys() {
        text = text.replacen(
            "services:\n",
            &format!("services:\n  {name}:\n    command: ./{name}\n"),
            1,
        );
    }
    let loaded = load(&Input {
        files: &One(text.clone()),
        paths: vec!["/s/stack.yml".into()],
        environment: BTreeMap::new(),
        profiles: Vec::new(),
        name: None,
    });
    match loaded {
        Ok(loaded) => loaded.stack,
        Err(report) => panic!("{report}\n{text}"),
    }
}

fn shown(imported: &Imported) -> String {
    let mut shown = imported.chapter.clone();
    for (service, servers) in &imported.services {
        let _ = writeln!(shown, "# service {service}: {}", servers.join(", "));
    }
    for note in &imported.notes {
        let weight = match note.weight {
            Weight::Lost => "lost",
            Weight::Changed => "changed",
            Weight::Needless => "needless",
        };
        let _ = writeln!(shown, "# line {}: {weight}: {}", note.line, note.text);
    }
    shown
}

#[test]
fn configurations_become_what_is_expected_and_load() {
    for path in cases() {
        let imported = import(&std::fs::read_to_string(&path).unwrap(), &mut |name| {
            (name == "conf.d/api.conf")
                .then(|| "server { listen 8081; location / { proxy_pass http://10.0.0.9; } }".to_owned())
        })
        .unwrap();
        stack(&imported);
        let (found, expected) = (shown(&imported), path.with_extension("expected"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expected, &found).unwrap();
        }
        let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(found, wanted, "{}", path.display());
    }
}

/// The fenced blocks of a guide that are configurations of nginx.
fn of_guide(text: &str) -> Vec<&str> {
    let blocks = text.split("```nginx\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or(block)).collect()
}

#[expect(clippy::print_stderr, reason = "a test that did not run says so by name")]
#[test]
fn the_configurations_of_the_guides_are_carried_over() {
    let guides = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/guides");
    let Ok(entries) = std::fs::read_dir(&guides) else {
        eprintln!("{} is not there: its configurations were not tried", guides.display());
        return;
    };
    let mut tried = 0;
    for entry in entries {
        let text = String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()).into_owned();
        for configuration in of_guide(&text) {
            let mut imported = import(configuration, &mut |_| None).unwrap();
            // One of them is a part: its certificate stands in another file.
            let uncertified = "a server with TLS and no certificate";
            if imported.notes.iter().any(|note| note.text == uncertified) {
                let certificates = "edge:\n  tls: { certificates: [{ chain: tls.pem, key: tls.key }] }\n";
                imported.chapter = imported.chapter.replacen("edge:\n", certificates, 1);
                imported.notes.retain(|note| note.text != uncertified);
            }
            let stack = stack(&imported);
            assert!(!stack.edge.routes.is_empty(), "{configuration}");
            assert!(
                stack.edge.listeners.iter().any(|listener| listener.tls),
                "{configuration}"
            );
            for note in imported.notes.iter().filter(|note| note.weight == Weight::Lost) {
                // Patterns of paths and constant answers are what the guides have and the edge does not.
                let known =
                    note.text.starts_with("`location ~") || note.text.starts_with("`return` of `location /health`");
                assert!(known, "line {}: {}", note.line, note.text);
            }
            tried += 1;
        }
    }
    assert_eq!(tried, 4, "the guides have four");
}

#[test]
fn what_nginx_would_not_read_is_refused() {
    let error = import("http {\n server {\n", &mut |_| None).unwrap_err();
    assert_eq!(error.to_string(), "line 2: the block `server` is not closed");
}
