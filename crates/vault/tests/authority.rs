//! A certificate for loopback, and the authority that signed it. Knows no server.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

pub(crate) struct Made {
    pub(crate) roots: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

pub(crate) fn make() -> Made {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let roots = authority.self_signed(&authority_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let certificate = own.signed_by(&key, &issuer).unwrap().pem();
    Made {
        roots,
        certificate,
        key: key.serialize_pem(),
    }
}
