//! The certificate that a client showed, as routes ask for it and replicas are told of it.

use rustls_pki_types::CertificateDer;
use tend_certificate::Facts;

/// Tells a replica that the client showed a certificate that was verified: `SUCCESS`, as nginx's `$ssl_client_verify` does. Absent otherwise.
pub(crate) const VERIFY_FIELD: &str = "x-client-certificate-verify";

/// Tells a replica whose certificate it is, as RFC 4514 writes names.
pub(crate) const SUBJECT_FIELD: &str = "x-client-certificate-subject";

/// What only the edge says to replicas: taken out of what clients write.
pub(crate) const CLIENT_FIELDS: [&str; 2] = [VERIFY_FIELD, SUBJECT_FIELD];

/// A client's certificate; that it is here says that it was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    /// `CN=alice,O=Example`, in ASCII.
    pub(crate) subject: Box<str>,
}

impl ClientCertificate {
    /// Reads the certificate of a client that was let in.
    pub(super) fn of(chain: Option<&[CertificateDer<'_>]>) -> Option<Self> {
        let facts = Facts::read(chain?.first()?);
        Some(Self {
            // A verified certificate that we cannot read has a name that says nothing, not none.
            subject: facts.map_or_else(String::new, |facts| facts.subject).into(),
        })
    }
}
