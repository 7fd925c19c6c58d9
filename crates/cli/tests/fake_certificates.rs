//! The certificates that the daemon with canned answers tells of: one in each state.

use tend_api::messages::*;
use tend_base::Wall;

/// Returns the certificates of a scene; `at` is when everything happens.
pub(crate) fn certificates(none: bool, at: Wall) -> CertificateList {
    let certificate = |names: &[&str], state, error: Option<&str>| CertificateStatus {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        stack: Some("mps".parse().unwrap()),
        source: CertificateSource::Acme,
        state,
        authority: Some("https://ca.example/dir".to_owned()),
        files: Vec::new(),
        issuer: Some("R11".to_owned()),
        serial: Some("0a".to_owned()),
        not_before: Some(at),
        not_after: Some(Wall(at.0 + 90 * 86_400_000)),
        days_left: Some(90),
        renew_at: Some(Wall(at.0 + 58 * 86_400_000)),
        failures: error.map_or(0, |_| 3),
        error: error.map(str::to_owned),
        hint: None,
    };
    if none {
        return CertificateList {
            certificates: Vec::new(),
        };
    }
    CertificateList {
        certificates: vec![
            CertificateStatus {
                source: CertificateSource::Files,
                files: vec!["/etc/ssl/own.pem".into(), "/etc/ssl/own.key".into()],
                authority: None,
                issuer: None,
                not_after: None,
                days_left: None,
                renew_at: None,
                failures: 0,
                ..certificate(
                    &[],
                    CertificateState::Missing,
                    Some("could not read `/etc/ssl/own.pem`: No such file or directory"),
                )
            },
            certificate(
                &["api.example.com"],
                CertificateState::Expiring,
                Some("the authority at ca.example was not reached"),
            ),
            certificate(&["pay.example.com"], CertificateState::Valid, None),
            CertificateStatus {
                stack: None,
                days_left: Some(-3),
                renew_at: None,
                ..certificate(&["was.example.com"], CertificateState::Expired, None)
            },
        ],
    }
}
