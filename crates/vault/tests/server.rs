//! A server that speaks the HTTP API as OpenBao 2.7 was seen to, as far as the scenarios ask; and one that misbehaves when told to.
//!
//! Both pass the same scenarios (`tests/openbao.rs`): what is answered here is no guess. It keeps no secret from anybody.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::JoinHandle;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Map, Value, json};
use tend_base::Secret;
use tend_testkit::Folder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::authority;
use crate::scenarios::Peer;

const ROOT: &str = "s.root-token";
const ROLE_ID: &str = "fb3effe2-14f3-d5d4-ee69-f00f1769fa0f";
const SECRET_ID: &str = "d92cb13d-6034-a963-ab8b-61c8bd83aafc";
const LIFE: u64 = 3600;

/// What it does instead of answering.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Answers with this status, fields and body, whatever was asked.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Takes the request and says nothing.
    Silence,
    /// Ends the connection.
    Cut,
}

#[derive(Default)]
struct State {
    sealed: bool,
    fault: Option<Fault>,
    /// By namespace and path, all versions.
    secrets: BTreeMap<(String, String), Vec<Version>>,
    /// Tokens of the role.
    tokens: Vec<String>,
    asked: Vec<String>,
    made: u64,
}

struct Version {
    data: Map<String, Value>,
    made: u64,
    deleted: bool,
    destroyed: bool,
}

pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
    tls_address: SocketAddr,
    roots: PathBuf,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _folder: Folder,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the server failed");
        }
    }
}

impl Server {
    pub(crate) fn start() -> Self {
        let folder = Folder::new();
        let made = authority::make();
        let roots = folder.write("roots.pem", &made.roots);
        let state: Arc<Mutex<State>> = Arc::default();
        let (serving, (end, ended)) = (Arc::clone(&state), tokio::sync::oneshot::channel::<()>());
        let (bound, addresses) = mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let tls = TcpListener::bind("127.0.0.1:0").await.unwrap();
                bound
                    .send((plain.local_addr().unwrap(), tls.local_addr().unwrap()))
                    .unwrap();
                let acceptor = acceptor(&made);
                let serve_plain = async {
                    loop {
                        let (stream, _) = plain.accept().await.unwrap();
                        tokio::spawn(converse(stream, Arc::clone(&serving)));
                    }
                };
                let serve_tls = async {
                    loop {
                        let (stream, _) = tls.accept().await.unwrap();
                        let (acceptor, state) = (acceptor.clone(), Arc::clone(&serving));
                        tokio::spawn(async move {
                            // A client that does not believe us leaves.
                            if let Ok(stream) = acceptor.accept(stream).await {
                                converse(stream, state).await;
                            }
                        });
                    }
                };
                tokio::select! {
                    () = serve_plain => {}
                    () = serve_tls => {}
                    _ = ended => {}
                }
            });
        });
        let (address, tls_address) = addresses.recv().unwrap();
        Self {
            state,
            address,
            tls_address,
            roots,
            end: Some(end),
            thread: Some(thread),
            _folder: folder,
        }
    }

    /// From now on it does this.
    pub(crate) fn misbehave(&self, fault: Option<Fault>) {
        self.state().fault = fault;
    }

    /// Returns what was asked so far, as `GET path`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Peer for Server {
    fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    fn tls(&self) -> (String, PathBuf) {
        (format!("https://{}", self.tls_address), self.roots.clone())
    }

    fn root(&self) -> Secret {
        Secret::new(ROOT.to_owned())
    }

    fn role(&self) -> (Secret, Secret) {
        (Secret::new(ROLE_ID.to_owned()), Secret::new(SECRET_ID.to_owned()))
    }

    fn admin(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let asked = Asked {
            method: method.to_owned(),
            path: path.to_owned(),
            query: String::new(),
            token: ROOT.to_owned(),
            namespace: String::new(),
            body: body.as_bytes().to_vec(),
        };
        answer(&mut self.state(), &asked)
    }

    fn seal(&self) {
        self.state().sealed = true;
    }

    fn unseal(&self) {
        self.state().sealed = false;
    }
}

fn acceptor(made: &authority::Made) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certificate = CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<Mutex<State>>) {
    let service = service_fn(|request| respond(request, Arc::clone(&state)));
    // A connection that was cut, by either side, is no failure of the server.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

struct Asked {
    method: String,
    path: String,
    query: String,
    token: String,
    namespace: String,
    body: Vec<u8>,
}

/// The end of a connection in the place of an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

async fn respond(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Result<Response<Full<Bytes>>, Cut> {
    let field = |name: &str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let path = request.uri().path().strip_prefix("/v1/").unwrap_or_default();
    let mut asked = Asked {
        method: request.method().to_string(),
        path: path.to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        token: field("x-vault-token"),
        namespace: field("x-vault-namespace"),
        body: Vec::new(),
    };
    let is_request = field("x-vault-request") == "true";
    asked.body = request
        .into_body()
        .collect()
        .await
        .map_err(|_| Cut)?
        .to_bytes()
        .to_vec();
    let fault = {
        let mut state = state.lock().unwrap();
        state.asked.push(format!("{} {}", asked.method, asked.path));
        state.fault.clone()
    };
    let (status, fields, body) = match fault {
        Some(Fault::Cut) => return Err(Cut),
        Some(Fault::Silence) => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
        Some(Fault::Answer(status, fields, body)) => (status, fields, body),
        None if !is_request => (
            400,
            Vec::new(),
            json!({ "errors": ["missing 'X-Vault-Request' header"] }).to_string(),
        ),
        None => {
            let (status, body) = answer(&mut state.lock().unwrap(), &asked);
            (
                status,
                Vec::new(),
                if status == 204 { String::new() } else { body.to_string() },
            )
        }
    };
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(Bytes::from(body))).unwrap())
}

fn errors(status: u16, said: &[&str]) -> (u16, Value) {
    (status, json!({ "errors": said }))
}

fn envelope(data: Value, auth: Value) -> Value {
    json!({
        "request_id": "65b16002-0a21-8d3e-cb4d-56d250c2dbf6", "lease_id": "", "renewable": false, "lease_duration": 0,
        "data": data, "wrap_info": null, "warnings": null, "auth": auth,
    })
}

fn data(data: Value) -> (u16, Value) {
    (200, envelope(data, Value::Null))
}

fn auth(token: &str) -> (u16, Value) {
    let auth = json!({
        "client_token": token, "accessor": "c8jlL2WtrNJA0CJ56AAF39Zm", "policies": ["default", "reader"],
        "token_policies": ["default", "reader"], "metadata": { "role_name": "mps" }, "lease_duration": LIFE, "renewable": true,
        "entity_id": "85ef670b-13d7-8c14-b156-8c9f0a8f5941", "token_type": "service", "orphan": true, "mfa_requirement": null,
        "num_uses": 0,
    });
    (200, envelope(Value::Null, auth))
}

fn answer(state: &mut State, asked: &Asked) -> (u16, Value) {
    if state.sealed {
        return errors(503, &["Vault is sealed"]);
    }
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or(Value::Null);
    if asked.path == "auth/approle/login" {
        if body["role_id"] != ROLE_ID || body["secret_id"] != SECRET_ID {
            return errors(400, &["invalid role or secret ID"]);
        }
        state.made += 1;
        let token = format!("s.token-{}", state.made);
        state.tokens.push(token.clone());
        return auth(&token);
    }
    let is_root = asked.token == ROOT;
    let namespace = asked.namespace.trim_matches('/').to_owned();
    if !["", "team"].contains(&namespace.as_str()) {
        return errors(404, &["namespace not found"]);
    }
    if !is_root && !state.tokens.contains(&asked.token) {
        return errors(403, &["permission denied"]);
    }
    match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "auth/token/lookup-self") if is_root => {
            data(json!({ "accessor": "a", "display_name": "root", "expire_time": null, "ttl": 0, "type": "service" }))
        }
        ("GET", "auth/token/lookup-self") => {
            data(json!({ "display_name": "approle", "ttl": LIFE - 1, "renewable": true }))
        }
        ("POST", "auth/token/renew-self") if is_root => errors(400, &["invalid lease ID"]),
        ("POST", "auth/token/renew-self") => auth(&asked.token),
        ("POST", "auth/token/revoke") => {
            state.tokens.retain(|token| body["token"] != token.as_str());
            (204, Value::Null)
        }
        (method, path) => engine(state, asked, (method, path), &namespace, is_root, &body),
    }
}

/// The KV engine at `kv`.
fn engine(
    state: &mut State,
    asked: &Asked,
    (method, path): (&str, &str),
    namespace: &str,
    is_root: bool,
    body: &Value,
) -> (u16, Value) {
    let denied = || errors(403, &["1 error occurred:\n\t* permission denied\n\n"]);
    let Some((kind, name)) = path.strip_prefix("kv/").and_then(|rest| rest.split_once('/')) else {
        return errors(
            404,
            &[&format!("no handler for route \"{path}\". route entry not found.")],
        );
    };
    let of_the_role = method == "GET" && kind == "data" && name.starts_with("mps");
    if !is_root && !of_the_role {
        return denied();
    }
    if asked.query == "list=true" {
        return list(state, namespace, name);
    }
    state.made += 1;
    let made = state.made;
    let at = (namespace.to_owned(), name.to_owned());
    let versions = state.secrets.entry(at).or_default();
    match (method, kind) {
        ("GET", "data") => {
            let wanted = asked
                .query
                .strip_prefix("version=")
                .and_then(|number| number.parse().ok());
            let number: usize = wanted.unwrap_or(versions.len());
            let Some(version) = number.checked_sub(1).and_then(|index| versions.get(index)) else {
                return errors(404, &[]);
            };
            let gone = version.deleted || version.destroyed;
            let held = if gone {
                Value::Null
            } else {
                Value::Object(version.data.clone())
            };
            let told = json!({ "data": held, "metadata": metadata(version, number) });
            (if gone { 404 } else { 200 }, envelope(told, Value::Null))
        }
        ("GET", "metadata") if !versions.is_empty() => {
            let each = versions.iter().enumerate();
            let each: Map<String, Value> = each
                .map(|(index, version)| ((index + 1).to_string(), metadata(version, index + 1)))
                .collect();
            data(
                json!({ "cas_required": false, "current_version": versions.len(), "oldest_version": 0, "custom_metadata": null, "versions": each }),
            )
        }
        ("POST" | "PATCH", "data") => {
            if body["options"]["cas"].as_u64() != Some(versions.len() as u64) {
                return errors(400, &["check-and-set parameter did not match the current version"]);
            }
            let Some(given) = body["data"].as_object() else {
                return errors(400, &["no data provided"]);
            };
            let mut held = match versions.last() {
                Some(last) if method == "PATCH" => last.data.clone(),
                _ => Map::new(),
            };
            held.extend(given.clone());
            let version = Version {
                data: held,
                made,
                deleted: false,
                destroyed: false,
            };
            versions.push(version);
            let number = versions.len();
            data(metadata(&versions[number - 1], number))
        }
        ("DELETE", "data") => {
            versions
                .iter_mut()
                .next_back()
                .into_iter()
                .for_each(|version| version.deleted = true);
            (204, Value::Null)
        }
        ("PUT", "destroy") => {
            for number in body["versions"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_u64)
            {
                versions[number as usize - 1].destroyed = true;
            }
            (204, Value::Null)
        }
        _ => errors(404, &[]),
    }
}

fn metadata(version: &Version, number: usize) -> Value {
    json!({
        "created_time": format!("2026-11-22T03:13:00.{:09}Z", version.made), "custom_metadata": null,
        "deletion_time": if version.deleted { "2026-11-22T03:13:00.381956711Z" } else { "" },
        "destroyed": version.destroyed, "version": number,
    })
}

fn list(state: &State, namespace: &str, folder: &str) -> (u16, Value) {
    let own = state
        .secrets
        .iter()
        .filter(|((of, _), versions)| of == namespace && !versions.is_empty());
    let mut keys: Vec<String> = own
        .filter_map(|((_, name), _)| name.strip_prefix(folder))
        .map(|rest| match rest.split_once('/') {
            Some((inner, _)) => format!("{inner}/"),
            None => rest.to_owned(),
        })
        .collect();
    keys.dedup();
    match keys.is_empty() {
        true => errors(404, &[]),
        false => data(json!({ "keys": keys })),
    }
}
