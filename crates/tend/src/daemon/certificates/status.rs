//! What is said of certificates with the state of a stack: those that are wanted for it, and a word on each that is late. Pure.

use tend_api::messages::{CertificateSource, CertificateState, CertificateStatus};
use tend_base::Wall;

const DAY_MILLIS: i64 = 24 * 3600 * 1000;

/// Returns the whole days from now to a moment; negative once it has passed.
pub(super) fn days_left(until: Wall, now: Wall) -> i64 {
    let millis = |at: Wall| i64::try_from(at.0).unwrap_or(i64::MAX);
    (millis(until) - millis(now)).div_euclid(DAY_MILLIS)
}

/// Says what people have to hear of certificates: which are missing, over, or were not replaced though two thirds of their life are over.
pub(crate) fn warnings(certificates: &[CertificateStatus], now: Wall) -> Vec<String> {
    certificates
        .iter()
        .filter_map(|certificate| warning(certificate, now))
        .collect()
}

fn warning(certificate: &CertificateStatus, now: Wall) -> Option<String> {
    let what = match (certificate.state, certificate.not_after) {
        (CertificateState::Missing, _) | (_, None) => "there is none, and TLS is refused for it".to_owned(),
        (CertificateState::Expired, Some(until)) => {
            format!("it has expired ({}), and clients refuse it", until.to_rfc3339())
        }
        (CertificateState::Valid | CertificateState::Expiring, Some(until)) => {
            let due = due(certificate, until)?;
            if now < due {
                return None;
            }
            let left = days_text(days_left(until, now));
            let whose = match certificate.source {
                CertificateSource::Acme => "tend tries to renew it",
                CertificateSource::Files => "whoever renews its files is late",
            };
            let until = until.to_rfc3339();
            format!("{left} left (until {until}), and two thirds of its life are over: {whose}")
        }
    };
    let whose = match (certificate.names.is_empty(), certificate.files.first()) {
        (true, Some(chain)) => chain.display().to_string(),
        _ => certificate.names.join(", "),
    };
    let why = certificate
        .error
        .as_ref()
        .map_or_else(String::new, |error| format!("; {error}"));
    Some(format!("certificate of {whose}: {what}{why}"))
}

/// Returns when two thirds of its life are over. Tend begins to renew a little before that, so one that is renewed is never late.
fn due(certificate: &CertificateStatus, until: Wall) -> Option<Wall> {
    let begun = certificate.not_before?;
    Some(Wall(begun.0 + until.0.saturating_sub(begun.0) / 3 * 2))
}

fn days_text(days: i64) -> String {
    match days {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600 * 1000;

    fn given(state: CertificateState) -> CertificateStatus {
        CertificateStatus {
            names: vec!["pay.example.com".to_owned()],
            stack: None,
            source: CertificateSource::Files,
            state,
            authority: None,
            files: vec!["/etc/ssl/pay.pem".into(), "/etc/ssl/pay.key".into()],
            issuer: None,
            serial: None,
            not_before: Some(Wall(0)),
            not_after: Some(Wall(90 * DAY)),
            days_left: None,
            renew_at: None,
            failures: 0,
            error: None,
            hint: None,
        }
    }

    #[test]
    fn a_certificate_is_spoken_of_once_two_thirds_of_its_life_are_over() {
        let valid = given(CertificateState::Valid);
        assert_eq!(
            warnings(std::slice::from_ref(&valid), Wall(60 * DAY - 1)),
            Vec::<String>::new()
        );
        assert_eq!(
            warnings(std::slice::from_ref(&valid), Wall(60 * DAY)),
            [
                "certificate of pay.example.com: 30 days left (until 1970-04-01T00:00:00.000Z), and two thirds of its life are over: whoever \
              renews its files is late"
            ]
        );
        let acme = CertificateStatus {
            source: CertificateSource::Acme,
            renew_at: Some(Wall(58 * DAY)),
            error: Some("the authority was not reached".to_owned()),
            ..valid
        };
        assert_eq!(
            warnings(std::slice::from_ref(&acme), Wall(59 * DAY)),
            Vec::<String>::new()
        );
        let said = warnings(&[acme], Wall(89 * DAY + 1));
        assert_eq!(
            said,
            [
                "certificate of pay.example.com: less than a day left (until 1970-04-01T00:00:00.000Z), and two thirds of its life are over: tend \
              tries to renew it; the authority was not reached"
            ]
        );
    }

    #[test]
    fn one_that_is_over_or_missing_is_spoken_of_by_its_file_where_it_has_no_name() {
        let over = warnings(&[given(CertificateState::Expired)], Wall(91 * DAY));
        assert!(
            over[0].contains("it has expired (1970-04-01T00:00:00.000Z)"),
            "{over:?}"
        );
        let missing = CertificateStatus {
            names: Vec::new(),
            not_after: None,
            error: Some("could not read it".to_owned()),
            ..given(CertificateState::Missing)
        };
        assert_eq!(
            warnings(&[missing], Wall(0)),
            ["certificate of /etc/ssl/pay.pem: there is none, and TLS is refused for it; could not read it"]
        );
    }

    #[test]
    fn days_are_counted_whole_and_go_on_below_nothing() {
        for (now, days) in [(0, 2), (1, 1), (DAY, 1), (DAY + 1, 0), (2 * DAY, 0), (2 * DAY + 1, -1)] {
            assert_eq!(days_left(Wall(2 * DAY), Wall(now)), days, "{now}");
        }
    }
}
