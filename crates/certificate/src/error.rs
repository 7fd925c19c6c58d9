//! What can be wrong with a certificate and its key, for a person. Knows no paths: who read the files says which they were.

/// Why a chain and a key cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The text is no PEM.
    #[error("the {of} is not well-formed PEM")]
    Pem {
        /// `chain` or `key`.
        of: &'static str,
        /// What the reader says.
        source: rustls_pki_types::pem::Error,
    },
    /// No certificate in the chain.
    #[error("there is no certificate in the chain")]
    NoCertificate,
    /// A certificate that cannot be read.
    #[error("certificate {position} of the chain cannot be read")]
    Unreadable {
        /// From 1; the first is the one clients are shown.
        position: usize,
        /// What the reader says.
        source: webpki::Error,
    },
    /// A certificate whose dates cannot be read.
    #[error("certificate {position} of the chain does not say from when to when it is valid")]
    Dates {
        /// From 1.
        position: usize,
    },
    /// A certificate that is valid for no host name.
    #[error("the certificate names no host")]
    NoNames,
    /// A chain whose order is broken.
    #[error("certificate {position} of the chain is of `{subject}`, but the one before it was issued by `{issuer}`")]
    Order {
        /// Of the certificate that is out of place, from 2.
        position: usize,
        /// Whose it is.
        subject: String,
        /// Whose it should be.
        issuer: String,
    },
    /// No private key.
    #[error("there is no private key in the key file")]
    NoKey,
    /// A key that only a passphrase opens.
    #[error("the private key is encrypted, and nobody is there to type its passphrase")]
    KeyEncrypted,
    /// A key of a kind that cannot be used.
    #[error("the private key cannot be used")]
    Key {
        /// What the reader says; it does not show the key.
        source: rustls::Error,
    },
    /// A key of another certificate.
    #[error("the private key is not the key of this certificate")]
    KeyMismatch,
}

impl CertificateError {
    /// Returns what a person can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Pem { .. } => {
                "PEM files begin with a line such as -----BEGIN CERTIFICATE-----; was the file cut, or is it DER?"
            }
            Self::NoCertificate => {
                "name the file with the certificate followed by its intermediates, often called fullchain.pem"
            }
            Self::Unreadable { .. } | Self::Dates { .. } => "`openssl x509 -text -noout -in FILE` shows what is in it",
            Self::NoNames => {
                "ask for one with subject alternative names: a common name alone has not been accepted for years"
            }
            Self::Order { .. } => {
                "put the server's certificate first, then the one that issued it, and so on; the root can be left out"
            }
            Self::NoKey => "name the file with the line -----BEGIN PRIVATE KEY-----",
            Self::KeyEncrypted => {
                "`openssl pkey -in FILE -out NEW` writes it without a passphrase; give NEW the mode 0600"
            }
            Self::Key { .. } => "RSA keys of 2048 bits and more, ECDSA on P-256 and P-384, and Ed25519 can be used",
            Self::KeyMismatch => "were chain and key taken from the same order? a renewal usually makes a new key",
        }
    }
}
