//! Chains and keys as they stand in files, whole and broken in every way people break them.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use tend_base::Wall;
use tend_certificate::{Certificate, CertificateError};

/// An authority with its root and one intermediate, and a certificate for two hosts.
struct Made {
    root: String,
    intermediate: String,
    leaf: String,
    key: String,
}

fn issuer(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn made() -> Made {
    let root = CertifiedIssuer::self_signed(issuer("Test Root"), KeyPair::generate().unwrap()).unwrap();
    let intermediate = CertifiedIssuer::signed_by(issuer("Test R3"), KeyPair::generate().unwrap(), &root).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["pay.example.com".to_owned(), "*.example.org".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2026, 11, 1);
    params.not_after = rcgen::date_time_ymd(2027, 1, 30);
    let leaf = params.signed_by(&key, &intermediate).unwrap();
    Made {
        root: root.pem(),
        intermediate: intermediate.pem(),
        leaf: leaf.pem(),
        key: key.serialize_pem(),
    }
}

fn self_signed(key: &KeyPair) -> String {
    CertificateParams::new(vec!["pay.example.com".to_owned()])
        .unwrap()
        .self_signed(key)
        .unwrap()
        .pem()
}

#[test]
fn a_chain_and_its_key_say_what_they_are_for() {
    let made = made();
    let chain = format!("{}{}{}", made.leaf, made.intermediate, made.root);
    let read = Certificate::read(chain.as_bytes(), made.key.as_bytes()).unwrap();
    assert_eq!(read.names.to_string(), "*.example.org, pay.example.com");
    assert_eq!(read.issuer, "Test R3");
    assert_eq!(read.chain_length, 3);
    assert!(!read.self_signed);
    assert!(!read.serial.is_empty());
    // 2026-11-01 and the last millisecond of the second at 2027-01-30.
    assert_eq!(read.not_before.to_rfc3339(), "2026-11-01T00:00:00.000Z");
    assert_eq!(read.not_after.to_rfc3339(), "2027-01-30T00:00:00.999Z");
    assert_eq!(Certificate::read_chain(chain.as_bytes()).unwrap(), read);
}

#[test]
fn dates_past_2049_are_read_too() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(1975, 1, 1);
    params.not_after = rcgen::date_time_ymd(4096, 1, 1);
    let text = params.self_signed(&key).unwrap().pem();
    let read = Certificate::read(text.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
    assert_eq!(read.not_before, Wall(157_766_400_000));
    assert_eq!(read.not_after.to_rfc3339(), "4096-01-01T00:00:00.999Z");
    assert!(read.self_signed);
}

#[test]
fn every_kind_of_key_is_matched_with_its_certificate() {
    let other = KeyPair::generate().unwrap().serialize_pem();
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let chain = self_signed(&key);
        Certificate::read(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        let mismatch = Certificate::read(chain.as_bytes(), other.as_bytes());
        assert!(matches!(mismatch, Err(CertificateError::KeyMismatch)), "{mismatch:?}");
    }
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let made = made();
    let good = format!("{}{}", made.leaf, made.intermediate);
    let nameless = {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(Vec::new()).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let cut = &made.leaf[..made.leaf.len() / 2];
    let not_base64 = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
    let not_a_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let jumped = format!("{}{}", made.leaf, made.root);
    let cases: &[(&str, &str, &str)] = &[
        ("", &made.key, "there is no certificate in the chain"),
        (cut, &made.key, "the chain is not well-formed PEM"),
        (not_base64, &made.key, "the chain is not well-formed PEM"),
        (
            not_a_certificate,
            &made.key,
            "certificate 1 of the chain cannot be read",
        ),
        (
            &jumped,
            &made.key,
            "certificate 2 of the chain is of `Test Root`, but the one before it was issued by `Test R3`",
        ),
        (&nameless.0, &nameless.1, "the certificate names no host"),
        (&good, "", "there is no private key in the key file"),
        (&good, &made.leaf, "there is no private key in the key file"),
        (
            &good,
            encrypted,
            "the private key is encrypted, and nobody is there to type its passphrase",
        ),
        (&good, no_key, "the private key cannot be used"),
    ];
    for (chain, key, wanted) in cases {
        let error = Certificate::read(chain.as_bytes(), key.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), *wanted);
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let made = made();
    let chain = rustls_pki_der(&made.leaf);
    // Every byte of the certificate in turn: removed with all after it, and turned into others.
    for at in 0..chain.len() {
        let _ = Certificate::read_chain(pem(&chain[..at]).as_bytes());
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = chain.clone();
            changed[at] ^= flip;
            let _ = Certificate::read(pem(&changed).as_bytes(), made.key.as_bytes());
        }
    }
    let key = rustls_pki_der(&made.key);
    for at in 0..key.len() {
        let text = pem(&key[..at]).replace("CERTIFICATE", "PRIVATE KEY");
        assert!(Certificate::read(made.leaf.as_bytes(), text.as_bytes()).is_err());
    }
}

fn rustls_pki_der(text: &str) -> Vec<u8> {
    let (_, body) = rustls::pki_types::pem::from_buf(&mut text.as_bytes()).unwrap().unwrap();
    body
}

fn pem(der: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for three in der.chunks(3) {
        let number = three.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let six = usize::try_from(number >> (18 - 6 * place) & 63).unwrap();
            text.push(if place > three.len() {
                '='
            } else {
                char::from(LETTERS[six])
            });
        }
    }
    text.push_str("\n-----END CERTIFICATE-----\n");
    text
}
