//! Reading a chain and its key as they stand in files. Judges whether they can be served, not whether a client would trust them.

use rustls::sign::SigningKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tend_base::{Wall, to_hex};
use webpki::EndEntityCert;

use crate::{CertificateError, Names, der};

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The hosts it is for.
    pub names: Names,
    /// It is not valid before.
    pub not_before: Wall,
    /// It is not valid after.
    pub not_after: Wall,
    /// Who issued it, as people call them.
    pub issuer: String,
    /// Its number among those of its issuer, in hexadecimal digits.
    pub serial: String,
    /// It issued itself: no client trusts it that was not told to.
    pub self_signed: bool,
    /// Certificates in the chain, this one included.
    pub chain_length: usize,
}

impl Certificate {
    /// Reads a chain and the key of its first certificate, both PEM, as a TLS server would serve them.
    ///
    /// Whether the dates are over or to come is not looked at: an expired certificate is still one.
    ///
    /// # Errors
    /// When they cannot be served: unreadable, in the wrong order, or not of each other.
    pub fn read(chain: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let certificates = certificates(chain)?;
        let first = certificates.first().ok_or(CertificateError::NoCertificate)?;
        let certificate = Self::of(&certificates)?;
        let key = signing_key(key)?;
        let parsed =
            EndEntityCert::try_from(first).map_err(|source| CertificateError::Unreadable { position: 1, source })?;
        // Every kind of key that rustls reads tells its public half.
        match key.public_key() {
            Some(public) if public == parsed.subject_public_key_info() => Ok(certificate),
            _ => Err(CertificateError::KeyMismatch),
        }
    }

    /// Reads a chain alone.
    ///
    /// # Errors
    /// When it is unreadable or in the wrong order.
    pub fn read_chain(chain: &[u8]) -> Result<Self, CertificateError> {
        Self::of(&certificates(chain)?)
    }

    fn of(chain: &[CertificateDer<'_>]) -> Result<Self, CertificateError> {
        let mut parsed = Vec::with_capacity(chain.len());
        for (index, certificate) in chain.iter().enumerate() {
            let position = index + 1;
            let unreadable = |source| CertificateError::Unreadable { position, source };
            let cert = EndEntityCert::try_from(certificate).map_err(unreadable)?;
            let dates = der::fields(certificate)
                .ok_or(CertificateError::Dates { position })?
                .valid;
            parsed.push((cert, dates));
        }
        for (index, pair) in parsed.windows(2).enumerate() {
            let (issued, issuer) = (&pair[0].0, &pair[1].0);
            if issued.issuer() != issuer.subject() {
                return Err(CertificateError::Order {
                    position: index + 2,
                    subject: der::person_name(issuer.subject()),
                    issuer: der::person_name(issued.issuer()),
                });
            }
        }
        let (first, (not_before, not_after)) = parsed.first().ok_or(CertificateError::NoCertificate)?;
        let names: Names = first.valid_dns_names().collect();
        if names.is_empty() {
            return Err(CertificateError::NoNames);
        }
        Ok(Self {
            names,
            not_before: Wall(*not_before),
            not_after: Wall(*not_after),
            issuer: der::person_name(first.issuer()),
            serial: to_hex(first.serial()),
            self_signed: first.issuer() == first.subject(),
            chain_length: parsed.len(),
        })
    }
}

fn certificates(chain: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| CertificateError::Pem { of: "chain", source })
}

fn signing_key(key: &[u8]) -> Result<std::sync::Arc<dyn SigningKey>, CertificateError> {
    let found = match PrivateKeyDer::from_pem_slice(key) {
        Ok(found) => found,
        Err(rustls_pki_types::pem::Error::NoItemsFound) => {
            let text = String::from_utf8_lossy(key);
            return Err(if text.contains("BEGIN ENCRYPTED PRIVATE KEY") {
                CertificateError::KeyEncrypted
            } else {
                CertificateError::NoKey
            });
        }
        Err(source) => return Err(CertificateError::Pem { of: "key", source }),
    };
    rustls::crypto::ring::sign::any_supported_type(&found).map_err(|source| CertificateError::Key { source })
}
