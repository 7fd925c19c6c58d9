//! A mail server of one's own: Postfix with its folders, its users and its ports, ended with whoever started it. Knows no client.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::{Authority, Folder, wait_until};

/// How long it may take to listen. Far above what it takes even on a busy machine.
const UP_WITHIN: Duration = Duration::from_secs(90);

/// Who may log in, and with what.
pub const MAIL_USER: (&str, &str) = ("ann", "right password");

static LAST: AtomicU16 = AtomicU16::new(0);

/// A Postfix that takes mail for `ann@example.com` and `bob@example.com`, and knows nobody else.
///
/// It listens at an address of loopback that is made from the id of this process, so its ports are nobody else's.
#[derive(Debug)]
pub struct Postfix {
    process: Child,
    address: String,
    first: u16,
    // Dropped last: the server still writes into it.
    folder: Folder,
}

impl Postfix {
    /// Starts one with a certificate for its address and for `mail.example.com`.
    ///
    /// # Panics
    /// When Debian's packages `postfix`, `sasl2-bin` and `libsasl2-modules` are not installed, this is not root, or it does not start.
    #[must_use]
    pub fn start(authority: &Authority) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "Postfix changes to users of its own: run this test as root"
        );
        let folder = Folder::new();
        let place = folder.path();
        fs::set_permissions(place, fs::Permissions::from_mode(0o755)).expect("own folder");
        let [_, high, middle, low] = std::process::id().to_be_bytes();
        let address = format!("127.{}.{middle}.{low}", 64 + high % 64);
        let first = 2525 + 10 * LAST.fetch_add(1, Ordering::Relaxed);
        let (certificate, key) = authority.sign(&[&address, "mail.example.com"]);
        folder.write("certificate.pem", certificate);
        let key = folder.write("key.pem", key);
        fs::set_permissions(key, fs::Permissions::from_mode(0o600)).expect("own file");
        for (name, mode) in [("queue", 0o755), ("data", 0o700), ("mail", 0o777)] {
            fs::create_dir(place.join(name)).expect("own folder");
            fs::set_permissions(place.join(name), fs::Permissions::from_mode(mode)).expect("own folder");
        }
        let here = place.display();
        folder.write("etc/main.cf", main_cf(&here.to_string()));
        folder.write("etc/master.cf", master_cf(&address, first));
        for (name, mechanisms) in [
            ("smtpd", "PLAIN LOGIN CRAM-MD5"),
            ("login", "LOGIN"),
            ("cram", "CRAM-MD5"),
        ] {
            folder.write(
                &format!("etc/sasl/{name}.conf"),
                format!(
                    "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: {mechanisms}\nsasldb_path: {here}/etc/sasl/db\n"
                ),
            );
        }
        let (user, password) = MAIL_USER;
        let users = format!(
            "printf %s '{password}' | saslpasswd2 -p -c -f etc/sasl/db -u mail.example.com {user} && chown postfix etc/sasl/db data"
        );
        let made = Command::new("sh").args(["-c", &users]).current_dir(place).output();
        let made = made.unwrap_or_else(|error| panic!("cannot run sh: {error}"));
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let process = postfix(place, "start-fg")
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run postfix: is the package installed? {error}"));
        let server = Self {
            process,
            address,
            first,
            folder,
        };
        wait_until(UP_WITHIN, "Postfix listens", || {
            (0..5).all(|offset| TcpStream::connect((server.address.as_str(), server.first + offset)).is_ok())
        });
        server
    }

    /// Returns where STARTTLS and a password are wanted.
    #[must_use]
    pub fn submission(&self) -> String {
        self.at(0)
    }

    /// Returns where TLS begins with the first byte, and a password is wanted.
    #[must_use]
    pub fn submissions(&self) -> String {
        self.at(1)
    }

    /// Returns where mail is taken from this machine without either.
    #[must_use]
    pub fn plain(&self) -> String {
        self.at(2)
    }

    /// Returns where a password is taken by `LOGIN` alone, under STARTTLS.
    #[must_use]
    pub fn login(&self) -> String {
        self.at(3)
    }

    /// Returns where a password is taken by `CRAM-MD5` alone, under STARTTLS.
    #[must_use]
    pub fn cram(&self) -> String {
        self.at(4)
    }

    fn at(&self, offset: u16) -> String {
        format!("{}:{}", self.address, self.first + offset)
    }

    /// Waits until so many mails are in a mailbox, and returns them.
    ///
    /// # Panics
    /// When there are not so many within a minute and a half.
    #[must_use]
    pub fn mails(&self, user: &str, count: usize) -> Vec<String> {
        let folder = self.folder.path().join("mail").join(user).join("new");
        let files = || -> Vec<PathBuf> {
            let entries = fs::read_dir(&folder).into_iter().flatten();
            entries.map(|entry| entry.expect("an entry").path()).collect()
        };
        wait_until(UP_WITHIN, "the mails are in the mailbox", || files().len() >= count);
        let read = |path: &PathBuf| fs::read_to_string(path).expect("a mail");
        files().iter().map(read).collect()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = postfix(self.folder.path(), "stop").output();
        // `stop` waits until it has ended, or kills it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn postfix(place: &Path, verb: &str) -> Command {
    let mut command = Command::new("postfix");
    command
        .arg("-c")
        .arg(place.join("etc"))
        .arg(verb)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn main_cf(here: &str) -> String {
    format!(
        "compatibility_level = 3.6
queue_directory = {here}/queue
data_directory = {here}/data
maillog_file = {here}/log
maillog_file_prefixes = {here}
myhostname = mail.example.com
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
virtual_mailbox_domains = example.com
virtual_mailbox_base = {here}/mail
virtual_mailbox_maps = inline:{{ann@example.com=ann/, bob@example.com=bob/}}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
smtpd_tls_cert_file = {here}/certificate.pem
smtpd_tls_key_file = {here}/key.pem
smtpd_tls_auth_only = yes
smtpd_sasl_local_domain = mail.example.com
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
"
    )
}

fn master_cf(address: &str, first: u16) -> String {
    let known = "-o smtpd_sasl_auth_enable=yes -o smtpd_client_restrictions=permit_sasl_authenticated,reject";
    let starttls = "-o smtpd_tls_security_level=encrypt";
    let mut out = String::new();
    for (offset, options) in [
        (0, format!("{starttls} {known}")),
        (1, format!("-o smtpd_tls_wrappermode=yes {known}")),
        (2, String::new()),
        (3, format!("{starttls} {known} -o smtpd_sasl_path=login")),
        (4, format!("{starttls} {known} -o smtpd_sasl_path=cram")),
    ] {
        out.push_str(&format!(
            "{address}:{} inet n - n - - smtpd\n  {options}\n",
            first + offset
        ));
    }
    out.push_str(
        "cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
virtual unix - n n - - virtual
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
smtp unix - - n - - smtp
relay unix - - n - - smtp
flush unix n - n 1000? 0 flush
showq unix n - n - - showq
",
    );
    out
}
