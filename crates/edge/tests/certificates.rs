//! Certificates for tests, made by `openssl`, so that nothing of ours says what a certificate is.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tend_routing::Certificate;

/// An authority in a folder, and what it signed.
pub(crate) struct Authority {
    folder: PathBuf,
    name: &'static str,
}

impl Authority {
    pub(crate) fn new(folder: &Path, name: &'static str) -> Self {
        let subject = format!("/CN={name}");
        let config = folder.join("openssl.cnf");
        std::fs::write(&config, "[req]\ndistinguished_name=dn\n[dn]\n").unwrap();
        run(
            folder,
            &format!(
                "req -config openssl.cnf -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -keyout {name}.key -out {name}.pem \
                 -addext basicConstraints=critical,CA:TRUE"
            ),
            &["-subj", &subject],
        );
        Self {
            folder: folder.to_owned(),
            name,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.pem", self.name))
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(self.path()).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        roots
    }

    /// Signs a certificate for the names, valid for so many days; `file` is its own.
    pub(crate) fn sign(&self, file: &str, subject: &str, names: &[&str], days: u32) -> Certificate {
        let alternatives: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
        let extension = if names.is_empty() {
            "extendedKeyUsage=clientAuth\n".to_owned()
        } else {
            format!("subjectAltName={}\n", alternatives.join(","))
        };
        std::fs::write(self.folder.join(format!("{file}.ext")), extension).unwrap();
        run(
            &self.folder,
            &format!(
                "req -config openssl.cnf -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {file}.key -out {file}.csr -utf8"
            ),
            &["-subj", subject],
        );
        let authority = self.name;
        run(
            &self.folder,
            &format!(
                "x509 -req -in {file}.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial -days {days} -out {file}.pem -extfile {file}.ext"
            ),
            &[],
        );
        Certificate {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            chain: self.folder.join(format!("{file}.pem")),
            key: self.folder.join(format!("{file}.key")),
        }
    }
}

impl Authority {
    /// Signs a certificate for the name that was valid in January 2020 only.
    pub(crate) fn sign_expired(&self, file: &str, name: &str) -> Certificate {
        // The key and the request are those of a certificate that is thrown away: only `openssl ca` takes dates.
        let certificate = self.sign(file, &format!("/CN={name}"), &[name], 1);
        let authority = self.name;
        let config = "[ca]\ndefault_ca=any\n[any]\ndatabase=index.txt\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\npolicy=names\n\
                      [names]\ncommonName=supplied\n";
        std::fs::write(self.folder.join("ca.cnf"), config).unwrap();
        std::fs::write(self.folder.join("index.txt"), "").unwrap();
        run(
            &self.folder,
            &format!(
                "ca -config ca.cnf -batch -notext -in {file}.csr -cert {authority}.pem -keyfile {authority}.key \
                 -startdate 20200101000000Z -enddate 20200201000000Z -extfile {file}.ext -out {file}.pem"
            ),
            &[],
        );
        certificate
    }
}

/// Reads a certificate and its key as a client shows them.
pub(crate) fn identity(certificate: &Certificate) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::pem_file_iter(&certificate.chain).unwrap();
    let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
    (chain.map(Result::unwrap).collect(), key)
}

fn run(folder: &Path, arguments: &str, more: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .args(more)
        .current_dir(folder)
        .output()
        .expect("openssl is in PATH");
    assert!(
        output.status.success(),
        "openssl {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
