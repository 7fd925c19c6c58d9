//! The scenarios at OpenBao itself. Run by `cargo xtask conformance vault`, which says in `TEND_OPENBAO` where its program is.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tend_base::Secret;
use tend_testkit::{Folder, wait_until};

use crate::authority;
use crate::scenarios::{DEADLINE, Peer, tests_of_scenarios};

tests_of_scenarios!(OpenBao::start);

/// A server of its own, in memory.
struct OpenBao {
    child: Child,
    port: u16,
    tls_port: u16,
    roots: PathBuf,
    key: String,
    root: String,
    role: (String, String),
    _folder: Folder,
}

impl Drop for OpenBao {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl OpenBao {
    fn start() -> Self {
        let program = std::env::var_os("TEND_OPENBAO")
            .expect("TEND_OPENBAO names the program `bao`; use `cargo xtask conformance vault`");
        let folder = Folder::new();
        let made = authority::make();
        let roots = folder.write("roots.pem", &made.roots);
        let certificate = folder.write("certificate.pem", &made.certificate);
        let key = folder.write("key.pem", &made.key);
        let (port, tls_port) = (free_port(), free_port());
        let configuration = format!(
            "storage \"inmem\" {{}}\n\
             listener \"tcp\" {{\n  address = \"127.0.0.1:{port}\"\n  tls_disable = true\n}}\n\
             listener \"tcp\" {{\n  address = \"127.0.0.1:{tls_port}\"\n  tls_cert_file = {certificate:?}\n  tls_key_file = {key:?}\n}}\n\
             api_addr = \"http://127.0.0.1:{port}\"\n\
             cluster_addr = \"http://127.0.0.1:{cluster}\"\n",
            cluster = free_port()
        );
        let configuration = folder.write("server.hcl", configuration);
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(program)
            .args(["server", "-config"])
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut bao = Self {
            child,
            port,
            tls_port,
            roots,
            key: String::new(),
            root: String::new(),
            role: Default::default(),
            _folder: folder,
        };
        wait_until(DEADLINE, "OpenBao listens", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        let (status, made) = bao.ask("PUT", "sys/init", r#"{"secret_shares":1,"secret_threshold":1}"#, None);
        assert_eq!(status, 200, "{made}");
        bao.key = made["keys"][0].as_str().unwrap().to_owned();
        bao.root = made["root_token"].as_str().unwrap().to_owned();
        bao.unseal();
        bao.set_up();
        bao
    }

    fn set_up(&mut self) {
        let kv = r#"{"type":"kv","options":{"version":"2"}}"#;
        let policy = json!({ "policy": "path \"kv/data/mps*\" { capabilities = [\"read\"] }" }).to_string();
        let role = r#"{"token_policies":"reader","token_ttl":"1h","token_max_ttl":"4h"}"#;
        for (method, path, body) in [
            ("POST", "sys/mounts/kv", kv),
            ("POST", "sys/auth/approle", r#"{"type":"approle"}"#),
            ("PUT", "sys/policies/acl/reader", &policy),
            ("POST", "auth/approle/role/mps", role),
            ("POST", "sys/namespaces/team", "{}"),
        ] {
            let (status, said) = self.admin(method, path, body);
            assert!(matches!(status, 200 | 204), "{path}: {status} {said}");
        }
        let (status, said) = self.request("POST", "sys/mounts/kv", kv, Some(&self.root), Some("team"));
        assert_eq!(status, 204, "{said}");
        let of = |answer: (u16, Value), name: &str| answer.1["data"][name].as_str().unwrap().to_owned();
        let role_id = of(self.admin("GET", "auth/approle/role/mps/role-id", ""), "role_id");
        let secret_id = of(self.admin("POST", "auth/approle/role/mps/secret-id", ""), "secret_id");
        self.role = (role_id, secret_id);
        // A KV engine of version 2 is not ready at once.
        wait_until(DEADLINE, "the engine is ready", || {
            self.admin("GET", "kv/config", "").0 == 200
        });
    }

    fn ask(&self, method: &str, path: &str, body: &str, token: Option<&str>) -> (u16, Value) {
        self.request(method, path, body, token, None)
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        body: &str,
        token: Option<&str>,
        namespace: Option<&str>,
    ) -> (u16, Value) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let token = token.map_or_else(String::new, |token| format!("X-Vault-Token: {token}\r\n"));
        let namespace = namespace.map_or_else(String::new, |name| format!("X-Vault-Namespace: {name}\r\n"));
        let head = format!(
            "{method} /v1/{path} HTTP/1.0\r\nHost: vault\r\n{token}{namespace}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

impl Peer for OpenBao {
    fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn tls(&self) -> (String, PathBuf) {
        (format!("https://127.0.0.1:{}", self.tls_port), self.roots.clone())
    }

    fn root(&self) -> Secret {
        Secret::new(self.root.clone())
    }

    fn role(&self) -> (Secret, Secret) {
        (Secret::new(self.role.0.clone()), Secret::new(self.role.1.clone()))
    }

    fn admin(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        self.ask(method, path, body, Some(&self.root))
    }

    fn seal(&self) {
        assert_eq!(self.admin("PUT", "sys/seal", "").0, 204);
    }

    fn unseal(&self) {
        let body = json!({ "key": self.key }).to_string();
        assert_eq!(self.ask("PUT", "sys/unseal", &body, None).0, 200);
        // Unsealed is not yet active.
        wait_until(DEADLINE, "OpenBao is active", || {
            self.ask("GET", "sys/health", "", None).0 == 200
        });
    }
}
