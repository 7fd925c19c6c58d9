//! Certificates are issued, kept as promised, renewed, and rehearsed without a trace.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tend_acme::{Answer, Challenge, Folder, Rehearsal, rehearse};
use tend_base::SystemClock;
use tend_certificate::{History, Outcome};

use crate::fixture::{Pebble, run, wish};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn pem_files(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.retain(|name| Path::new(name).extension().is_some());
    names.sort();
    names
}

#[test]
fn a_certificate_is_issued_by_http_01_and_kept_for_this_user_alone() {
    let pebble = Pebble::start();
    let wish = wish("pay.tend.test api.tend.test", Challenge::Http01);
    let (record, certificate) = pebble.renew(&wish).unwrap();
    assert_eq!(certificate.names, wish.names);
    assert!(
        certificate.issuer.starts_with("Pebble Intermediate CA"),
        "{}",
        certificate.issuer
    );
    assert!(!certificate.self_signed && certificate.chain_length == 2);
    assert_eq!(record.authority.as_deref(), Some(pebble.directory().as_str()));
    assert_eq!(pebble.folder.record(&wish.names).unwrap(), record);
    assert_eq!(
        pebble.folder.certificate(&record).unwrap().unwrap().unwrap(),
        certificate
    );
    let (chain, key) = pebble.folder.paths(record.current.as_ref().unwrap());
    assert_eq!(
        (mode(&chain), mode(&key), mode(pebble.folder.path())),
        (0o600, 0o600, 0o700)
    );
    // Both hosts were answered for, then nothing.
    let told = pebble.server.told();
    assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [2, 0]);
    assert!(!pebble.folder.is_under_way(&record, &pebble.directory()).unwrap());
    let keys: Vec<_> = std::fs::read_dir(pebble.folder.path().join("accounts"))
        .unwrap()
        .collect();
    assert_eq!(keys.len(), 1);
    assert_eq!(mode(&keys[0].as_ref().unwrap().path()), 0o600);
}

#[test]
fn a_certificate_is_issued_by_tls_alpn_01() {
    let pebble = Pebble::start();
    let wish = wish("pay.tend.test api.tend.test", Challenge::TlsAlpn01);
    let (_, certificate) = pebble.renew(&wish).unwrap();
    assert_eq!(certificate.names, wish.names);
    let told = pebble.server.told();
    assert!(told[0].iter().all(|answer| matches!(answer, Answer::TlsAlpn01 { .. })));
    assert!(!format!("{told:?}").contains("PRIVATE KEY"), "a key was printed");
}

#[test]
fn a_renewal_is_a_new_path_and_the_one_before_stays_for_who_still_reads_it() {
    let pebble = Pebble::start();
    let wish = wish("pay.tend.test", Challenge::Http01);
    let mut paths = Vec::new();
    let mut serials = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let (record, certificate) = pebble.renew(&wish).unwrap();
        paths.push(record.current.unwrap());
        serials.insert(certificate.serial);
    }
    assert_eq!(serials.len(), 3, "each is another certificate");
    let mut kept: Vec<String> = paths[1..]
        .iter()
        .flat_map(|files| [files.chain.clone(), files.key.clone()])
        .collect();
    kept.sort();
    assert_eq!(pem_files(&pebble.folder), kept);
    // The keys differ too: none is used for two certificates.
    let key = |index: usize| std::fs::read(pebble.folder.paths(&paths[index]).1).unwrap();
    assert_ne!(key(1), key(2));
    let record = pebble.folder.record(&wish.names).unwrap();
    assert_eq!(record.previous.as_ref(), Some(&paths[1]));
    assert!(record.history.tries.iter().all(|t| t.outcome == Outcome::Issued));
    // What no record names is left over from a kill, and goes when the folder is opened.
    std::fs::write(pebble.folder.path().join("left.over.key.pem"), "").unwrap();
    std::fs::write(pebble.folder.path().join(".x.1.tmp"), "").unwrap();
    Folder::open(pebble.folder.path()).unwrap();
    assert_eq!(pem_files(&pebble.folder), kept);
    // Nobody wants it any more.
    pebble.folder.forget(&wish.names).unwrap();
    assert!(pem_files(&pebble.folder).is_empty());
    assert!(pebble.folder.records().unwrap().is_empty());
}

#[test]
fn an_authority_that_refuses_its_own_nonces_is_asked_again() {
    let pebble = Pebble::start_with(&[("PEBBLE_WFE_NONCEREJECT", "20")]);
    for number in 0..4 {
        let wish = wish(&format!("host{number}.tend.test"), Challenge::Http01);
        pebble.renew(&wish).unwrap();
    }
    let log = pebble.log();
    assert!(log.contains("nonce"), "none was refused: {log}");
}

#[test]
fn hosts_that_are_proven_already_are_not_proven_again() {
    let pebble = Pebble::start_with(&[("PEBBLE_AUTHZREUSE", "100")]);
    let wish = wish("pay.tend.test", Challenge::Http01);
    pebble.renew(&wish).unwrap();
    pebble.server.set_deaf(true);
    pebble.renew(&wish).unwrap();
    let told = pebble.server.told();
    assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 0]);
}

#[test]
fn a_rehearsal_leaves_no_trace_but_says_what_would_fail() {
    let pebble = Pebble::start();
    let wish = wish("pay.tend.test", Challenge::Http01);
    let rehearsed = |how| {
        run(rehearse(
            &pebble.authority(),
            &pebble.folder,
            &wish,
            &pebble.server,
            how,
            &SystemClock,
        ))
    };
    assert_eq!(rehearsed(Rehearsal::Proof).unwrap(), None);
    assert!(!pebble.log().contains("Issued certificate"));
    let issued = rehearsed(Rehearsal::Issue).unwrap().unwrap();
    assert_eq!(issued.names, wish.names);
    assert!(pebble.log().contains("Issued certificate"));
    pebble.server.set_deaf(true);
    let error = rehearsed(Rehearsal::Proof).unwrap_err();
    assert!(error.to_string().contains("pay.tend.test"), "{error}");
    assert!(pem_files(&pebble.folder).is_empty());
    assert_eq!(pebble.folder.record(&wish.names).unwrap().history, History::default());
    assert_eq!(
        std::fs::read_dir(pebble.folder.path().join("orders")).unwrap().count(),
        0
    );
}

#[test]
fn where_a_rehearsal_is_wanted_first_nothing_is_asked_for_before_it_went_well() {
    let (stage, real) = (Pebble::start(), Pebble::start());
    let mut wish = wish("pay.tend.test", Challenge::Http01);
    wish.rehearse_at = Some((stage.authority(), Rehearsal::Issue));
    // The answers are those of the real one's server, which the stage does not ask: there it fails.
    let error = real.renew(&wish).unwrap_err();
    assert!(error.to_string().contains(&stage.directory()), "{error}");
    assert!(error.with_causes().contains("pay.tend.test") && !error.hint().is_empty());
    assert!(!real.log().contains("order-plz"), "the real one was asked");
    let record = real.folder.record(&wish.names).unwrap();
    assert_eq!(record.history.tries.len(), 1);
    assert_eq!(record.history.failures(), 1);
    wish.rehearse_at = Some((real.authority(), Rehearsal::Proof));
    let (record, _) = real.renew(&wish).unwrap();
    assert_eq!(record.authority, Some(real.directory()));
    assert!(real.log().contains("order-plz"));
}
