//! Secrets from a Vault: read there, kept here, given to replicas, and used on while it is sealed, away, or its secret is gone.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::rig::{Machine, kill, wait_until};

const FIRST: &str = "pl4nted-in-vault-first";
const SECOND: &str = "pl4nted-in-vault-second";
const THIRD: &str = "pl4nted-in-vault-third";
const TOKEN: &str = "s.the-token-of-the-stack";

/// What a server of ours knows; it answers as OpenBao was seen to (`crates/vault/tests`), as far as a reader asks.
struct Known {
    sealed: bool,
    /// The values of `password`, by version; nothing for one that was deleted.
    versions: Vec<Option<String>>,
}

struct Server {
    address: SocketAddr,
    known: Arc<Mutex<Known>>,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let known = Arc::new(Mutex::new(Known {
            sealed: false,
            versions: Vec::new(),
        }));
        let answering = Arc::clone(&known);
        // It ends with the test program; each connection has one request and a time to make it in.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A daemon that was killed leaves in the middle.
                let _ = serve(stream, &answering);
            }
        });
        Self { address, known }
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.known.lock().unwrap());
    }
}

fn serve(stream: TcpStream, known: &Mutex<Known>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    let (mut line, mut token, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut line)?;
    loop {
        let mut field = String::new();
        reader.read_line(&mut field)?;
        let Some((name, value)) = field.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "x-vault-token" => token = value.to_owned(),
            "content-length" => length = value.parse().unwrap_or(0),
            _ => {}
        }
    }
    let mut body = Vec::new();
    reader.by_ref().take(length).read_to_end(&mut body)?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut words = line.split(' ');
    let asked = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, body) = answer(&mut known.lock().unwrap(), asked, &token, &body);
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    reader.get_mut().write_all(head.as_bytes())
}

fn answer(known: &mut Known, (method, path): (&str, &str), token: &str, body: &Value) -> (u16, Value) {
    let metadata = |number: usize| json!({ "created_time": format!("2026-11-22T03:13:{number:02}Z"), "deletion_time": "", "destroyed": false, "version": number });
    // A version that is asked for is always the newest here.
    match path.split('?').next().unwrap_or_default() {
        _ if known.sealed => (503, json!({ "errors": ["Vault is sealed"] })),
        _ if token != TOKEN => (403, json!({ "errors": ["permission denied"] })),
        "/v1/auth/token/lookup-self" => (200, json!({ "data": { "ttl": 0, "type": "service" } })),
        "/v1/kv/data/shop" if method != "GET" => {
            if body["options"]["cas"] != known.versions.len() {
                return (
                    400,
                    json!({ "errors": ["check-and-set parameter did not match the current version"] }),
                );
            }
            known
                .versions
                .push(body["data"]["password"].as_str().map(str::to_owned));
            (200, json!({ "data": metadata(known.versions.len()) }))
        }
        "/v1/kv/data/shop" if !known.versions.is_empty() => {
            let number = known.versions.len();
            let newest = &known.versions[number - 1];
            let data = newest
                .as_ref()
                .map(|password| json!({ "password": password, "user": "shop" }));
            let status = if newest.is_some() { 200 } else { 404 };
            (
                status,
                json!({ "data": { "data": data, "metadata": metadata(number) } }),
            )
        }
        _ => (404, json!({ "errors": [] })),
    }
}

/// Says what it was given, by its digest, and stays.
fn stack(machine: &Machine, server: &Server) -> String {
    let folder = machine.stack(
        "shop",
        &format!(
            r#"
services:
  api:
    command: [sh, -c, 'printf "given "; printf %s "$$DB_PASSWORD" | sha256sum; echo "by mistake: $$DB_PASSWORD"; exec sleep 1000']
    start_period: 100ms
    secrets: [{{source: db_password, environment: DB_PASSWORD}}]
vault:
  address: http://{}
  every: 1s
  auth: {{token: {{file: ./vault-token}}}}
secrets:
  db_password: {{vault: {{path: kv/data/shop, field: password}}}}
"#,
            server.address
        ),
    );
    std::fs::write(Path::new(&folder).join("vault-token"), format!("{TOKEN}\n")).unwrap();
    folder
}

/// Sets the secret from standard input.
fn set(machine: &Machine, value: &str) -> String {
    let mut command = machine.command("tend", &["secret", "set", "db_password", "-s", "shop"]);
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

fn digest(value: &str) -> String {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(value.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap().stdout;
    String::from_utf8(out).unwrap().split(' ').next().unwrap().to_owned()
}

/// Returns what is told of the secret, and of where it comes from.
fn told(machine: &Machine) -> (Value, Value) {
    let list = machine.json(&["secret", "list", "-s", "shop"]);
    let item = list["items"][0].clone();
    (item["source"].clone(), item)
}

fn state(machine: &Machine) -> String {
    told(machine).0["state"].as_str().unwrap_or_default().to_owned()
}

fn count(machine: &Machine, value: &str) -> usize {
    let lines = machine.tend(&["logs", "shop/api", "-n", "50"]).ok();
    lines.matches(&format!("given {}", digest(value))).count()
}

/// Asserts that a value stands in no file of the daemon.
#[track_caller]
fn nowhere(machine: &Machine, folder: &Path, value: &str) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && path != machine.folder.join("state/bin") {
            nowhere(machine, &path, value);
        } else if kind.is_file() {
            let bytes = std::fs::read(&path).unwrap_or_default();
            let holds = bytes.windows(value.len()).any(|part| part == value.as_bytes());
            assert!(!holds, "{}", path.display());
        }
    }
}

#[test]
fn a_secret_in_a_vault_reaches_replicas_rolls_them_and_outlives_the_vault() {
    let (machine, server) = (Machine::new("vault"), Server::start());
    let folder = stack(&machine, &server);

    // Nothing there yet: nothing is started, and what is missing is named.
    let refused = machine.tend(&["up", &folder]);
    assert_ne!(refused.code, 0);
    let said = refused.said();
    assert!(said.contains("db_password") && said.contains("kv/data/shop"), "{said}");

    server.change(|known| known.versions.push(Some(FIRST.to_owned())));
    machine.tend(&["up", &folder]).ok();
    wait_until("the replica was given the first value", || count(&machine, FIRST) == 1);
    wait_until("it is told to be fresh", || state(&machine) == "fresh");
    let (source, item) = told(&machine);
    assert_eq!(
        (&source["path"], &source["version"]),
        (&"kv/data/shop".into(), &1.into())
    );
    assert_eq!(item["versions"][0]["made_by"], "vault");
    let shown = machine.tend(&["secret", "list", "-s", "shop"]).ok();
    assert!(
        shown.contains("kv/data/shop password") && shown.contains("fresh"),
        "{shown}"
    );

    // A value of one's own would be replaced by the next one there.
    let refused = machine.tend(&["secret", "generate", "db_password", "-s", "shop"]);
    assert_ne!(refused.code, 0);
    assert!(
        refused.said().contains("vault kv patch kv/shop password="),
        "{}",
        refused.said()
    );

    assert!(
        refused.said().contains("tend secret set db_password"),
        "{}",
        refused.said()
    );

    // Another version there is another version here, and the replica is replaced.
    server.change(|known| known.versions.push(Some(SECOND.to_owned())));
    wait_until("the replica was given the second value", || {
        count(&machine, SECOND) == 1
    });
    wait_until("it holds it", || {
        told(&machine).1["versions"][0]["held_by"][0] == "shop/api/1"
    });
    let (source, item) = told(&machine);
    assert_eq!(source["version"], 2);
    assert_eq!(
        (&item["versions"][0]["state"], &item["versions"][1]["state"]),
        (&"current".into(), &"retired".into())
    );
    assert_eq!(machine.events("secret.rotated").len(), 1);

    // Sealed: said everywhere, and what was read is used on, by a replica that starts anew and by a daemon that does.
    server.change(|known| known.sealed = true);
    wait_until("it is told to be sealed", || state(&machine) == "sealed");
    wait_until("it is in the journal", || {
        !machine.events("vault.unavailable").is_empty()
    });
    let status = machine.tend(&["status", "shop"]).said();
    assert!(status.contains("sealed"), "{status}");
    kill(machine.pids("shop", "api")[0]);
    wait_until("a new replica was given the same", || count(&machine, SECOND) == 2);
    kill(machine.daemon());
    machine.tend(&["up", &folder]).ok();
    wait_until("it is told to be sealed by the next daemon", || {
        state(&machine) == "sealed"
    });
    assert_eq!(told(&machine).0["version"], 2, "from the store");
    assert_eq!(machine.pids("shop", "api").len(), 1);

    server.change(|known| known.sealed = false);
    wait_until("it is fresh again", || state(&machine) == "fresh");
    wait_until("that is in the journal", || {
        !machine.events("vault.available").is_empty()
    });
    assert_eq!(
        count(&machine, SECOND),
        2,
        "nobody was replaced for a value that is the same"
    );

    // Deleted there: used on here.
    server.change(|known| known.versions.push(None));
    wait_until("it is told to be deleted", || state(&machine) == "deleted");
    let status = machine.tend(&["status", "shop"]).said();
    assert!(status.contains("deleted") && status.contains("db_password"), "{status}");
    assert_eq!(machine.states("shop", "api"), ["ready"]);

    // Written from here: there, and here as what was read there.
    let said = set(&machine, THIRD);
    assert!(said.contains("kv/data/shop as version 4"), "{said}");
    assert_eq!(
        server.known.lock().unwrap().versions.last().unwrap().as_deref(),
        Some(THIRD)
    );
    wait_until("the replica was given the third value", || count(&machine, THIRD) == 1);
    wait_until("it is told to be fresh with it", || state(&machine) == "fresh");
    assert_eq!(told(&machine).0["version"], 4);
    assert_eq!(
        told(&machine).1["versions"][0]["version"],
        3,
        "one new version here, whoever took it"
    );

    for value in [FIRST, SECOND, THIRD, TOKEN] {
        nowhere(&machine, &machine.folder.join("state"), value);
        nowhere(&machine, &machine.folder.join("run"), value);
    }
    machine.tend(&["down", "shop"]).ok();
}

#[test]
fn a_token_file_of_somebody_else_is_not_read_for_a_stack() {
    if !rustix::process::geteuid().is_root() {
        // Only root could read what is another user's.
        return;
    }
    let (machine, server) = (Machine::new("vault-token"), Server::start());
    server.change(|known| known.versions.push(Some(FIRST.to_owned())));
    let folder = stack(&machine, &server);
    for name in ["", "stack.yml", "compose.yaml"] {
        let path = Path::new(&folder).join(name);
        if path.exists() {
            std::os::unix::fs::chown(&path, Some(61_000), Some(61_000)).unwrap();
        }
    }
    let refused = machine.tend(&["up", &folder]);
    assert_ne!(refused.code, 0);
    let said = refused.said();
    assert!(
        said.contains("vault-token") && said.contains("belongs to user 0"),
        "{said}"
    );
}

#[test]
fn a_token_may_be_a_secret_of_the_store_and_of_the_environment() {
    let (machine, server) = (Machine::new("vault-stored"), Server::start());
    server.change(|known| known.versions.push(Some(FIRST.to_owned())));
    let folder = stack(&machine, &server);
    let file = Path::new(&folder).join("stack.yml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace("{file: ./vault-token}", "{secret: vault_token}");
    std::fs::write(&file, text + "  vault_token: {environment: SHOP_VAULT_TOKEN}\n").unwrap();
    let mut command = machine.command("tend", &["up", &folder]);
    let output = command.env("SHOP_VAULT_TOKEN", TOKEN).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    wait_until("the replica was given the value", || count(&machine, FIRST) == 1);
    wait_until("it is fresh", || {
        let list = machine.json(&["secret", "list", "-s", "shop"]);
        list["items"][0]["source"]["state"] == "fresh"
    });
    nowhere(&machine, &machine.folder.join("state"), TOKEN);
    machine.tend(&["down", "shop"]).ok();
}

/// Types the first fill, with variables.
fn fill(machine: &Machine, folder: &str, more: &[&str], variables: &[(&str, &str)]) -> String {
    let mut arguments = vec!["secret", "fill", folder];
    arguments.extend(more);
    let mut command = machine.command("tend", &arguments);
    let output = command.envs(variables.iter().copied()).output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
    for (_, value) in variables {
        assert!(!said.contains(value), "{said}");
    }
    said
}

#[test]
fn a_vault_that_has_nothing_is_filled_once_before_its_stack_is_up() {
    let machine = Machine::new("vault-fill");
    let server = Server::start();
    let folder = stack(&machine, &server);
    let written = || server.known.lock().unwrap().versions.clone();

    let none = fill(&machine, &folder, &["--write"], &[]);
    assert!(none.contains("is not there, and no value was found for it"), "{none}");
    // A value of two variables would be one by chance.
    let mut two = machine.command("tend", &["secret", "fill", &folder]);
    let two = two
        .env("DB_PASSWORD", FIRST)
        .env("db_password", SECOND)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&two.stderr).into_owned();
    assert!(
        !two.status.success() && said.contains("have different values"),
        "{said}"
    );

    std::fs::write(Path::new(&folder).join(".env"), format!("DB_PASSWORD={SECOND}\n")).unwrap();
    let looked = fill(&machine, &folder, &[], &[("DB_PASSWORD", FIRST)]);
    assert!(looked.contains("is not there, and would be written"), "{looked}");
    assert!(looked.contains("tend secret fill --write"), "{looked}");
    assert!(written().is_empty(), "it was only looked");

    let filled = fill(&machine, &folder, &["--write"], &[("DB_PASSWORD", FIRST)]);
    assert!(filled.contains("db_password is taken from DB_PASSWORD"), "{filled}");
    assert!(filled.contains("was written as version 1, and read back"), "{filled}");
    assert_eq!(written(), [Some(FIRST.to_owned())]);
    let events = machine.events("secret.filled");
    assert_eq!(
        (&events[0]["data"]["names"], &events[0]["data"]["path"]),
        (&json!(["db_password"]), &json!("kv/data/shop"))
    );

    // Never again, whatever the variables say by now: here that of the file.
    let again = fill(&machine, &folder, &["--write"], &[]);
    assert!(again.contains("is there, and is left as it is"), "{again}");
    assert_eq!(written().len(), 1);
    machine.tend(&["up", &folder]).ok();
    wait_until("the replica was given it", || {
        let lines = machine.tend(&["logs", "shop/api", "-n", "20"]).ok();
        lines.contains(&digest(FIRST))
    });

    // What somebody deleted there stays so.
    server.change(|known| known.versions.push(None));
    let deleted = fill(&machine, &folder, &["--write"], &[("DB_PASSWORD", THIRD)]);
    assert!(deleted.contains("was deleted there, and is left so"), "{deleted}");
    assert_eq!(written().len(), 2);
    machine.tend(&["down", "shop"]).ok();
}
