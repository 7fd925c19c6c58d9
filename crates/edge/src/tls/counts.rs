//! What became of handshakes: counters, and the kinds of failures by which they are told.

use std::sync::atomic::{AtomicU64, Ordering};

use rustls::{Error, PeerIncompatible, ProtocolVersion};

use crate::message::TlsStats;

/// Why a handshake came to nothing, as [`TlsStats::failures`] names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The client left.
    Closed,
    /// It took too long.
    Timeout,
    /// The client spoke HTTP without TLS.
    PlainHttp,
    /// What the client sent is not TLS, or breaks its rules.
    NotTls,
    /// It speaks no version that is spoken here.
    Version,
    /// It speaks the version, but no cipher, group, signature or protocol that is spoken here.
    Parameters,
    /// There is no certificate to show it.
    NoCertificate,
    /// It showed no certificate, or one that is not trusted.
    ClientCertificate,
    /// It did not like what it was shown, and said so.
    Refused,
}

impl Failure {
    const ALL: [Self; 9] = [
        Self::Closed,
        Self::Timeout,
        Self::PlainHttp,
        Self::NotTls,
        Self::Version,
        Self::Parameters,
        Self::NoCertificate,
        Self::ClientCertificate,
        Self::Refused,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Timeout => "timeout",
            Self::PlainHttp => "plain_http",
            Self::NotTls => "not_tls",
            Self::Version => "version",
            Self::Parameters => "parameters",
            Self::NoCertificate => "no_certificate",
            Self::ClientCertificate => "client_certificate",
            Self::Refused => "refused",
        }
    }

    /// Returns what rustls means by an error.
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::PeerIncompatible(
                PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled,
            ) => Self::Version,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::Parameters,
            Error::NoCertificatesPresented | Error::InvalidCertificate(_) => Self::ClientCertificate,
            Error::AlertReceived(_) => Self::Refused,
            // The one thing rustls says in so many words: the resolver had nothing.
            Error::General(_) => Self::NoCertificate,
            _ => Self::NotTls,
        }
    }
}

/// The counters of all threads.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    v12: AtomicU64,
    v13: AtomicU64,
    resumed: AtomicU64,
    failures: [AtomicU64; Failure::ALL.len()],
}

impl Handshakes {
    pub(super) fn done(&self, version: Option<ProtocolVersion>, resumed: bool) {
        let count = match version {
            Some(ProtocolVersion::TLSv1_2) => &self.v12,
            _ => &self.v13,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if resumed {
            self.resumed.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn failed(&self, why: Failure) {
        let kind = Failure::ALL.iter().position(|known| *known == why);
        self.failures[kind.unwrap_or(0)].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the counters; the certificates are the snapshot's to tell.
    pub(crate) fn stats(&self) -> TlsStats {
        TlsStats {
            v12: self.v12.load(Ordering::Relaxed),
            v13: self.v13.load(Ordering::Relaxed),
            resumed: self.resumed.load(Ordering::Relaxed),
            failures: Failure::ALL
                .iter()
                .zip(&self.failures)
                .map(|(kind, count)| (kind.as_str().to_owned(), count.load(Ordering::Relaxed)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            certificates: Vec::new(),
        }
    }
}
