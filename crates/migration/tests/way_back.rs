//! Going back and holding: a table of releases and what is said of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tend_base::Wall;
use tend_core::journal::Principal;
use tend_core::model::{Edge, Migration, MigrationClass, Release, Schema, Stack, StackName, StackSource};
use tend_migration::{Applied, Verdict, held, rollback, secrets};

/// A release; `migrations` such as `1 +2 -3 !4` are expand (`+` or nothing), contract and irreversible.
fn release(number: u64, migrations: &str, secrets: &[(&str, u64)]) -> Release {
    let stack = Stack {
        name: "mps".parse::<StackName>().expect("a name"),
        source: StackSource {
            files: Vec::new(),
            directory: PathBuf::from("/srv/mps"),
            owner_uid: 0,
            owner_gid: 0,
        },
        services: BTreeMap::new(),
        edge: Edge::default(),
        deploy: Default::default(),
        config: None,
        vault: None,
        metrics: None,
        alerts: None,
        rotations: Default::default(),
    };
    let migrations = migrations.split_whitespace().map(|word| Migration {
        name: format!("{}.sql", word.trim_start_matches(['+', '-', '!'])),
        class: match word.as_bytes()[0] {
            b'-' => MigrationClass::Contract,
            b'!' => MigrationClass::Irreversible,
            _ => MigrationClass::Expand,
        },
    });
    Release {
        number,
        file: stack.clone(),
        stack,
        artifacts: BTreeMap::new(),
        configuration: String::new(),
        secrets: versions(secrets),
        schema: Schema {
            migrations: migrations.collect(),
        },
        made_at: Wall(0),
        made_by: Principal::Daemon {
            pid: 1,
            build: String::new(),
        },
        promoted_from: None,
    }
}

fn versions(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
    of.iter()
        .map(|(name, version)| ((*name).to_owned(), *version))
        .collect()
}

fn reasons(verdict: Verdict) -> Vec<String> {
    match verdict {
        Verdict::Safe => Vec::new(),
        Verdict::Refused(reasons) => reasons.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn going_back_is_safe_exactly_when_the_earlier_code_can_live_with_every_migration_that_was_applied() {
    for (from, to, applied, refused) in [
        ("1 2", "1 2", None, &[][..]),
        ("1 2 3", "1", None, &[]),
        ("1 -2", "1", None, &["`2.sql` (contract)"]),
        (
            "1 !2 3 -4",
            "1",
            None,
            &["`2.sql` (irreversible)", "`4.sql` (contract)"],
        ),
        // Both know it, whatever its class: the earlier code was written to do without.
        ("1 -2 3", "1 -2", None, &[]),
        // It was held, so it was never applied.
        ("1 -2", "1", Some("1"), &[]),
        ("1 -2 3", "1 -2", Some("1 3"), &[]),
        // The deploy ended between the two.
        ("1 2 -3", "1", Some("1 2"), &[]),
        // The earlier release is of another branch.
        ("1 2", "1 5", None, &["needs migration `5.sql`"]),
        ("1 2", "1 2", Some("1"), &["needs migration `2.sql`"]),
        // Applied by hand or by a release that is gone: nothing is known of it.
        ("1", "1", Some("1 9"), &["`9.sql` (irreversible)"]),
    ] {
        let applied = applied.map_or(Applied::All, |names: &str| {
            let names: BTreeSet<String> = names.split(' ').map(|name| format!("{name}.sql")).collect();
            Applied::Only(names)
        });
        let verdict = rollback(&release(8, from, &[]), &release(7, to, &[]), &applied, &BTreeMap::new());
        let reasons = reasons(verdict);
        let told = |text: &&str| reasons.iter().any(|reason| reason.contains(text));
        assert!(
            reasons.len() == refused.len() && refused.iter().all(told),
            "{from} -> {to} ({applied:?}): {reasons:?}"
        );
    }
}

#[test]
fn a_reason_is_a_sentence_with_what_to_do_next() {
    let verdict = rollback(
        &release(8, "-2", &[]),
        &release(7, "", &[]),
        &Applied::All,
        &BTreeMap::new(),
    );
    assert_eq!(
        reasons(verdict),
        [
            "migration `2.sql` (contract) took away or tightened what release 7 was written for; go forward with a new release, or \
             restore the data, which is an act of its own"
        ]
    );
}

#[test]
fn a_retired_secret_is_never_used_again() {
    for (from, to, retired, refused, given) in [
        // Nothing was rotated.
        (&[("db", 3)][..], &[("db", 3)][..], &[][..], None, &[("db", 3)][..]),
        // Rotated, and the old one retired: the earlier code gets the present one.
        (&[("db", 4)], &[("db", 3)], &[("db", 3)], None, &[("db", 4)]),
        // Rotated, and the old one still valid: what is rotated stays so.
        (&[("db", 4)], &[("db", 3)], &[], None, &[("db", 4)]),
        // The running release has no such secret any more, and what the earlier one had is retired.
        (
            &[],
            &[("mail", 2)],
            &[("mail", 2)],
            Some("version 2 of secret `mail`"),
            &[("mail", 2)],
        ),
        (&[], &[("mail", 2)], &[("mail", 1)], None, &[("mail", 2)]),
        // Even the present one is retired.
        (
            &[("db", 4)],
            &[("db", 3)],
            &[("db", 4)],
            Some("versions up to 4 are retired"),
            &[("db", 4)],
        ),
        // A secret that only the running release has is nothing to the earlier one.
        (&[("new", 1)], &[], &[("new", 1)], None, &[]),
    ] {
        let (from, to) = (release(8, "", from), release(7, "", to));
        let found = reasons(rollback(&from, &to, &Applied::All, &versions(retired)));
        match refused {
            None => assert!(found.is_empty(), "{retired:?}: {found:?}"),
            Some(text) => assert!(found.len() == 1 && found[0].contains(text), "{retired:?}: {found:?}"),
        }
        assert_eq!(secrets(&from, &to), versions(given));
        // Invariant: what is safe never hands out a retired version.
        if refused.is_none() {
            let retired = versions(retired);
            assert!(
                secrets(&from, &to)
                    .iter()
                    .all(|(name, version)| retired.get(name).is_none_or(|last| version > last))
            );
        }
    }
}

#[test]
fn a_contract_migration_waits_until_every_release_that_may_have_to_run_knows_it() {
    for (running, next, back, wanted) in [
        // New with the next release: the running one, soon the way back, needs what it takes away.
        ("1", "1 2 -3", Some("1"), &["3.sql"][..]),
        ("1", "1 2 -3", None, &["3.sql"]),
        // The next deploy: the running code knows it, but the way back until then does not.
        ("1 -3", "1 -3 4", Some("1"), &["3.sql"]),
        // Once both know it, it may run.
        ("1 -3", "1 -3 4", Some("1 -3"), &[]),
        ("1 -3", "1 -3 4", None, &[]),
        // What nobody can live with waits as well, and additions never do.
        ("1", "1 !2 3 -4 5", Some("1"), &["2.sql", "4.sql"]),
        ("1", "1", Some("1"), &[]),
    ] {
        let back = back.map(|migrations| release(1, migrations, &[]));
        let held = held(&release(2, running, &[]), &release(3, next, &[]), back.as_ref());
        assert_eq!(held, wanted, "{running} -> {next}");
    }
}

#[test]
fn what_is_not_held_never_costs_the_way_back() {
    // Every class for each of three migrations, known to each of three releases or not.
    let sets: Vec<String> = (0..27)
        .map(|of| {
            let classes = ["", "-", "!"];
            [of % 3, of / 3 % 3, of / 9]
                .iter()
                .enumerate()
                .map(|(at, class)| format!("{}{at} ", classes[*class]))
                .collect()
        })
        .collect();
    let part = |set: &str, mask: usize| -> String {
        let words = set.split_whitespace().enumerate();
        words
            .filter(|(at, _)| mask & (1 << at) != 0)
            .map(|(_, word)| format!("{word} "))
            .collect()
    };
    for set in &sets {
        for masks in 0..64 {
            let (next, running) = (release(3, set, &[]), release(2, &part(set, masks % 8), &[]));
            let back = release(1, &part(set, masks / 8), &[]);
            let held = held(&running, &next, Some(&back));
            let names = next.schema.migrations.iter().map(|one| one.name.clone());
            let applied = Applied::Only(names.filter(|name| !held.contains(name)).collect());
            for earlier in [&running, &back] {
                let verdict = rollback(&next, earlier, &applied, &BTreeMap::new());
                assert_eq!(verdict, Verdict::Safe, "{set} {masks} to {}", earlier.number);
            }
        }
    }
}
