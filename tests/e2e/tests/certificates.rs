//! Certificates from a real authority to a real client: issued, shown, renewed, and kept through kills and failures.

use std::path::PathBuf;
use std::process::Command;

use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use tend_testkit::Pebble;

use crate::rig::{Machine, READY, free_port, kill, wait_until, web};

/// The host everything is about; the authority's DNS and curl lead it to loopback.
const HOST: &str = "pay.tend.test";

/// A machine whose edge answers an authority's challenges.
struct Town {
    machine: Machine,
    authority: Pebble,
    plain: u16,
    tls: u16,
    /// What the authority issues can be believed by.
    issuing_root: PathBuf,
}

impl Town {
    fn new(name: &str) -> Self {
        let machine = Machine::new(name);
        let (plain, tls) = (free_port(), free_port());
        let authority = Pebble::start(plain, tls, &[]);
        let issuing_root = machine.folder.join("issuing-root.pem");
        let fetched = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--insecure", "--output"])
            .arg(&issuing_root)
            .arg(authority.issuing_root_url())
            .status()
            .unwrap();
        assert!(fetched.success());
        Self {
            machine,
            authority,
            plain,
            tls,
            issuing_root,
        }
    }

    /// Returns the folder of a stack that wants its certificate from the authority.
    fn stack(&self, challenge: &str, more: &str) -> String {
        let Self { plain, tls, .. } = self;
        let (directory, root) = (self.authority.directory(), self.authority.root().display());
        let text = format!(
            "{}edge:\n  listen:\n    - {{ address: \"127.0.0.1:{plain}\", redirect_to_https: {tls} }}\n    \
             - {{ address: \"127.0.0.1:{tls}\", tls: true }}\n  \
             routes:\n    - {{ host: {HOST}, path: /, service: web }}\n  \
             tls:\n    acme:\n      terms_agreed: true\n      email: ops@tend.test\n      directory: {directory}\n      \
             root: {root}\n      challenge: {challenge}\n{more}",
            web(&[READY]),
        );
        self.machine.stack("shop", &text)
    }

    /// Asks as a client does that believes the authority and nobody else.
    fn get(&self) -> Result<String, String> {
        ask(self.tls, &self.issuing_root)
    }

    fn issued(&self, kind: &str) -> Vec<Value> {
        self.machine.events(kind)
    }

    /// Returns the only certificate, as `tend cert list` has it.
    fn listed(&self) -> Value {
        let mut list = self.machine.json(&["cert", "list"]);
        let list = list["certificates"].as_array_mut().unwrap();
        assert_eq!(list.len(), 1, "{list:?}");
        list.remove(0)
    }

    fn wait_issued(&self) -> Value {
        let mut issued = Vec::new();
        wait_until("a certificate is issued", || {
            issued = self.issued("certificate.issued");
            let failed = self.issued("certificate.failed");
            assert!(failed.is_empty(), "{failed:?}");
            !issued.is_empty()
        });
        assert_eq!(issued.len(), 1);
        issued.remove(0)
    }
}

fn ask(port: u16, root: &std::path::Path) -> Result<String, String> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--max-time", "10", "--cacert"])
        .arg(root)
        .args(["--resolve", &format!("{HOST}:{port}:127.0.0.1")])
        .arg(format!("https://{HOST}:{port}/pid"))
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[test]
fn a_stack_gets_its_certificate_renews_it_and_keeps_it_when_the_authority_is_gone() {
    let mut town = Town::new("acme-http");
    town.machine.tend(&["up", &town.stack("http-01", "")]).ok();
    let issued = town.wait_issued();
    let data = &issued["data"];
    assert_eq!(data["names"], serde_json::json!([HOST]));
    assert_eq!(
        data["seen"],
        serde_json::json!([format!("127.0.0.1:{}", town.tls)]),
        "{data}"
    );
    town.get().unwrap();
    let listed = town.listed();
    assert_eq!(listed["state"], "valid");
    assert_eq!(listed["serial"], data["serial"]);
    assert_eq!(listed["stack"], "shop");

    // Tried out, nothing is another; renewed, everything is.
    let tried = town.machine.tend(&["cert", "renew", HOST, "--dry-run"]).ok();
    assert!(tried.contains("nothing was changed"), "{tried}");
    assert_eq!(town.listed()["serial"], listed["serial"]);
    let renewed = town.machine.tend(&["cert", "renew"]).ok();
    assert!(
        renewed.contains(&format!("seen at 127.0.0.1:{}", town.tls)),
        "{renewed}"
    );
    town.get().unwrap();
    let serial = town.listed()["serial"].clone();
    assert_ne!(serial, listed["serial"]);
    assert_eq!(town.issued("certificate.renewed").len(), 1);
    assert_eq!(town.issued("certificate.rehearsed").len(), 1);

    // Whoever is killed, clients are shown the same.
    kill(town.machine.edge());
    wait_until("the next edge shows it", || town.get().is_ok());
    kill(town.machine.daemon());
    town.get().unwrap();
    town.machine.start_daemon();
    kill(town.machine.edge());
    wait_until("the next edge of the next daemon shows it", || town.get().is_ok());
    assert_eq!(town.listed()["serial"], serial);

    // The authority is gone: said, and what is there is shown on.
    town.authority.stop();
    let failed = town.machine.tend(&["cert", "renew", HOST]);
    assert_eq!(failed.code, 1, "{}", failed.said());
    assert!(failed.said().contains("was not reached"), "{}", failed.said());
    town.get().unwrap();
    let listed = town.listed();
    assert_eq!((&listed["serial"], &listed["state"]), (&serial, &Value::from("valid")));
    assert!(
        listed["error"].as_str().unwrap().contains("was not reached"),
        "{listed}"
    );
    let events = town.issued("certificate.failed");
    assert_eq!(events[0]["data"]["kept_until"], listed["not_after"]);
    let absent = town.machine.tend(&["cert", "renew", "other.tend.test"]);
    assert_eq!(absent.code, 4, "{}", absent.said());
}

#[test]
fn a_daemon_killed_while_a_certificate_is_issued_goes_on_with_the_same_order() {
    let town = Town::new("acme-killed");
    town.machine
        .tend(&["up", "--no-wait", &town.stack("tls-alpn-01", "")])
        .ok();
    let orders = town.machine.folder.join("state/certificates/orders");
    let is_order = |path: PathBuf| path.extension().is_some_and(|extension| extension == "json");
    let underway = || {
        let entries = std::fs::read_dir(&orders);
        entries
            .into_iter()
            .flatten()
            .flatten()
            .any(|entry| is_order(entry.path()))
    };
    wait_until("an order is under way", underway);
    kill(town.machine.daemon());
    town.machine.start_daemon();
    let issued = town.wait_issued();
    assert_eq!(issued["data"]["seen"].as_array().unwrap().len(), 1, "{issued}");
    town.get().unwrap();
    wait_until("the order is done with", || !underway());
    // No answer is left where an authority, or anybody, could ask for it.
    let snapshot = std::fs::read_to_string(town.machine.folder.join("state/edge/snapshot.json")).unwrap();
    let snapshot: Value = serde_json::from_str(&snapshot).unwrap();
    assert_eq!(snapshot.get("challenges"), None, "{snapshot}");
    assert_eq!(snapshot["certificates"].as_array().unwrap().len(), 1);
}

#[test]
fn a_stack_whose_certificate_cannot_be_shown_is_refused_before_anything_changes() {
    let machine = Machine::new("given-bad");
    let port = free_port();
    let made = || {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([HOST.to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let text = format!(
        "{}edge:\n  listen:\n    - {{ address: \"127.0.0.1:{port}\", tls: true }}\n  \
         routes:\n    - host: {HOST}\n      path: /\n      service: web\n      \
         error_pages: [{{ statuses: [503], file: soon.html }}]\n  \
         tls:\n    certificates:\n      - {{ chain: own.pem, key: own.key }}\n",
        web(&[READY]),
    );
    let folder = PathBuf::from(machine.stack("shop", &text));
    let up = || machine.tend(&["up", &folder.display().to_string()]);
    let missing = up();
    assert_eq!(missing.code, 3, "{}", missing.said());
    assert!(missing.said().contains("own.pem`: No such file"), "{}", missing.said());
    // Half of a renewal.
    std::fs::write(folder.join("own.pem"), made().0).unwrap();
    std::fs::write(folder.join("own.key"), made().1).unwrap();
    let other = up();
    assert_eq!(other.code, 3, "{}", other.said());
    assert!(
        other.said().contains("is not the key of this certificate"),
        "{}",
        other.said()
    );
    let stacks = machine.json(&["ls"]);
    assert_eq!(stacks["stacks"], serde_json::json!([]), "nothing was changed");
    let (chain, key) = made();
    std::fs::write(folder.join("own.pem"), chain).unwrap();
    std::fs::write(folder.join("own.key"), key).unwrap();
    let came = up();
    assert_eq!(came.code, 0, "{}", came.said());
    assert!(came.said().contains("soon.html` of the route"), "{}", came.said());
    assert!(
        machine
            .tend(&["status", "shop"])
            .ok()
            .contains("soon.html` of the route")
    );

    // What was right once and is replaced by half: a deploy is refused too.
    std::fs::write(folder.join("own.key"), made().1).unwrap();
    let file = folder.join("stack.yml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("path: /", "path: /a")).unwrap();
    let deployed = machine.tend(&["deploy", &folder.display().to_string()]);
    assert_eq!(deployed.code, 10, "{}", deployed.said());
    assert!(
        deployed.said().contains("is not the key of this certificate"),
        "{}",
        deployed.said()
    );
}

#[test]
fn certificates_in_files_are_taken_when_both_fit_and_the_last_good_is_shown_until_then() {
    let machine = Machine::new("given");
    let port = free_port();
    let made = || {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([HOST.to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let text = format!(
        "{}edge:\n  listen:\n    - {{ address: \"127.0.0.1:{port}\", tls: true }}\n  \
         routes:\n    - {{ host: {HOST}, path: /, service: web }}\n  \
         tls:\n    certificates:\n      - {{ chain: own.pem, key: own.key }}\n",
        web(&[READY]),
    );
    let folder = PathBuf::from(machine.stack("shop", &text));
    let (first, key) = made();
    std::fs::write(folder.join("own.pem"), &first).unwrap();
    std::fs::write(folder.join("own.key"), key).unwrap();
    let believed = |pem: &str| {
        let root = folder.join("believed.pem");
        std::fs::write(&root, pem).unwrap();
        ask(port, &root).is_ok()
    };
    machine.tend(&["up", &folder.display().to_string()]).ok();
    wait_until("the first is shown", || believed(&first));
    let status = machine.json(&["status", "shop"]);
    let certificate = &status["certificates"][0];
    assert_eq!(certificate["names"], serde_json::json!([HOST]), "{status}");
    assert!(
        certificate["days_left"].as_i64().is_some_and(|days| days > 0),
        "{certificate}"
    );
    // Half of a renewal.
    let (second, key) = made();
    std::fs::write(folder.join("own.pem"), &second).unwrap();
    wait_until("it is said that the files do not fit", || {
        !machine.events("certificate.failed").is_empty()
    });
    assert!(believed(&first));
    let failed = &machine.events("certificate.failed")[0]["data"];
    assert!(
        failed["error"]
            .as_str()
            .unwrap()
            .contains("is not the key of this certificate"),
        "{failed}"
    );
    kill(machine.daemon());
    machine.start_daemon();
    kill(machine.edge());
    wait_until("the first is shown by whoever came after", || believed(&first));
    std::fs::write(folder.join("own.key"), key).unwrap();
    wait_until("the second is shown", || believed(&second));
    let read = machine.events("certificate.read");
    assert!(read.len() >= 2, "{read:?}");
    let list = machine.json(&["cert", "list"]);
    assert_eq!(list["certificates"][0]["source"], "files");
    assert_eq!(list["certificates"][0]["error"], Value::Null);
}
