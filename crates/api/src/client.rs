//! The client's end of the socket: a typed method for each call.
//!
//! One connection a call: a command makes one or two, and a stream occupies its connection anyway.

use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tend_core::journal::Event;
use tend_core::model::{ServiceId, Stack, StackName};
use tokio::net::UnixStream;

use crate::lines::{REFUSED_LINE_START, RefusedLine};
use crate::messages::{
    Accepted, AuditLine, ConfigChanged, DaemonReport, EnvironmentReport, LogLine, PlanReport, ProgressLine,
    RecoveryKeyReport, ReleaseList, ReleaseReport, RollbackReport, SecretChanged, SecretList, SecretValue,
    ServiceDescription, StackList, StackStatus, VersionReport,
};
use crate::{
    AddRecoveryKey, ApiError, Apply, BODY_BYTES_MAX, BanAsk, Call, ChangeConfig, ChangeSecrets, ConfirmConfig, Decide,
    Deploy, Door, DropCallback, EnvironmentQuery, Error, EventsQuery, LogsQuery, PROTOCOL_HEADER, PROTOCOL_VERSION,
    PlanBody, Promote, ReleaseQuery, Resolve, Result, RevealSecret, Rollback, RollbackQuery, RotateSecret, RunReport,
    Scale, Target, UnbanAsk, Upgrade,
};

/// A daemon that has not begun to answer after this long is reported as not answering; what takes longer answers in lines.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest line of an answer: a log line of 1 MiB with every byte escaped, and room for the rest.
const LINE_BYTES_MAX: usize = 8 << 20;

/// Asks the daemon.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// Returns a client of the daemon at `socket`, which has to be there now.
    ///
    /// # Errors
    /// When no daemon answers there, or not to this user.
    pub async fn connect(socket: &Path) -> Result<Self> {
        let client = Self {
            socket: socket.to_owned(),
        };
        client.open().await?;
        Ok(client)
    }

    /// Which tend answers.
    ///
    /// # Errors
    /// As every call: the daemon cannot be reached, or refuses.
    pub async fn version(&self) -> Result<VersionReport> {
        self.json(&Call::Version).await
    }

    /// The daemon on itself.
    ///
    /// # Errors
    /// As every call.
    pub async fn daemon(&self) -> Result<DaemonReport> {
        self.json(&Call::Daemon).await
    }

    /// All stacks.
    ///
    /// # Errors
    /// As every call.
    pub async fn stacks(&self) -> Result<StackList> {
        self.json(&Call::Stacks).await
    }

    /// One stack.
    ///
    /// # Errors
    /// As every call.
    pub async fn stack_status(&self, stack: &StackName) -> Result<StackStatus> {
        self.json(&Call::StackStatus(stack.clone())).await
    }

    /// One service.
    ///
    /// # Errors
    /// As every call.
    pub async fn describe(&self, service: &ServiceId) -> Result<ServiceDescription> {
        self.json(&Call::Describe(service.clone())).await
    }

    /// What applying the stack would do.
    ///
    /// # Errors
    /// As every call.
    pub async fn plan(&self, stack: Stack) -> Result<PlanReport> {
        self.json(&Call::Plan(Box::new(PlanBody { stack, deploy: false })))
            .await
    }

    /// Brings a stack to what its file asks for.
    ///
    /// # Errors
    /// As every call.
    pub async fn apply(&self, apply: Apply) -> Result<LineReader<ProgressLine>> {
        self.lines(&Call::Apply(Box::new(apply))).await
    }

    /// Brings a stack down and has it forgotten.
    ///
    /// # Errors
    /// As every call.
    pub async fn remove(&self, stack: &StackName) -> Result<LineReader<ProgressLine>> {
        self.lines(&Call::Remove(stack.clone())).await
    }

    /// Restarts a stack, a service or a replica.
    ///
    /// # Errors
    /// As every call.
    pub async fn restart(&self, target: Target) -> Result<LineReader<ProgressLine>> {
        self.lines(&Call::Restart(target)).await
    }

    /// Stops a stack, a service or a replica.
    ///
    /// # Errors
    /// As every call.
    pub async fn stop(&self, target: Target) -> Result<LineReader<ProgressLine>> {
        self.lines(&Call::Stop(target)).await
    }

    /// Starts what was stopped.
    ///
    /// # Errors
    /// As every call.
    pub async fn start(&self, target: Target) -> Result<LineReader<ProgressLine>> {
        self.lines(&Call::Start(target)).await
    }

    /// Changes how many replicas a service has.
    ///
    /// # Errors
    /// As every call.
    pub async fn scale(&self, scale: Scale) -> Result<LineReader<ProgressLine>> {
        self.lines(&Call::Scale(scale)).await
    }

    /// Closes routes, lets their requests wait, or ends either.
    ///
    /// # Errors
    /// As every call.
    pub async fn door(&self, door: Door) -> Result<Accepted> {
        self.json(&Call::Door(door)).await
    }

    /// Bans addresses.
    ///
    /// # Errors
    /// As every call; denied unless the caller is the daemon's user or root.
    pub async fn ban(&self, ask: BanAsk) -> Result<Accepted> {
        self.json(&Call::Ban(ask)).await
    }

    /// Lets addresses in again.
    ///
    /// # Errors
    /// As every call; denied unless the caller is the daemon's user or root.
    pub async fn unban(&self, ask: UnbanAsk) -> Result<Accepted> {
        self.json(&Call::Unban(ask)).await
    }

    /// Says what became of a request that is in doubt.
    ///
    /// # Errors
    /// As every call; denied unless the caller is the daemon's user or root.
    pub async fn resolve(&self, resolve: Resolve) -> Result<Accepted> {
        self.json(&Call::Resolve(resolve)).await
    }

    /// Returns the secrets of a stack, without their values.
    ///
    /// # Errors
    /// As every call; denied unless the caller owns them or is root.
    pub async fn secrets(&self, stack: &StackName) -> Result<SecretList> {
        self.json(&Call::Secrets(stack.clone())).await
    }

    /// Stores, makes, imports, retires or destroys secrets.
    ///
    /// # Errors
    /// As every call; denied unless the caller owns them or is root.
    pub async fn change_secrets(&self, change: ChangeSecrets) -> Result<SecretChanged> {
        self.json(&Call::ChangeSecrets(change)).await
    }

    /// Returns the value of a secret.
    ///
    /// # Errors
    /// As every call; denied unless the caller owns it or is root.
    pub async fn reveal_secret(&self, reveal: RevealSecret) -> Result<SecretValue> {
        self.json(&Call::RevealSecret(reveal)).await
    }

    /// Makes the staged version of a secret the current one.
    ///
    /// # Errors
    /// As every call; denied unless the caller owns it or is root.
    pub async fn rotate_secret(&self, rotate: RotateSecret) -> Result<LineReader<ProgressLine>> {
        self.lines(&Call::RotateSecret(rotate)).await
    }

    /// Has all secrets open with another key too.
    ///
    /// # Errors
    /// As every call; denied unless the caller is the daemon's user or root.
    pub async fn add_recovery_key(&self, add: AddRecoveryKey) -> Result<RecoveryKeyReport> {
        self.json(&Call::AddRecoveryKey(add)).await
    }

    /// Changes a configuration.
    ///
    /// # Errors
    /// As every call; denied unless the caller owns the stack or is root.
    pub async fn change_config(&self, change: ChangeConfig) -> Result<ConfigChanged> {
        self.json(&Call::ChangeConfig(change)).await
    }

    /// Keeps a change that is taken back otherwise.
    ///
    /// # Errors
    /// As every call; denied unless the caller owns the stack or is root.
    pub async fn confirm_config(&self, confirm: ConfirmConfig) -> Result<Accepted> {
        self.json(&Call::ConfirmConfig(confirm)).await
    }

    /// Removes a callback that its service refused.
    ///
    /// # Errors
    /// As every call; denied unless the caller is the daemon's user or root.
    pub async fn drop_callback(&self, callback: DropCallback) -> Result<Accepted> {
        self.json(&Call::DropCallback(callback)).await
    }

    /// Builds a release of what the file says and runs it.
    ///
    /// # Errors
    /// As every call.
    pub async fn deploy(&self, deploy: Deploy) -> Result<LineReader<ProgressLine>> {
        self.lines(&Call::Deploy(deploy)).await
    }

    /// How the deployment under way goes on, or how the last one ended.
    ///
    /// # Errors
    /// As every call.
    pub async fn follow_deployment(&self, stack: &StackName) -> Result<LineReader<ProgressLine>> {
        self.lines(&Call::FollowDeployment(stack.clone())).await
    }

    /// Says something to the deployment under way.
    ///
    /// # Errors
    /// As every call.
    pub async fn decide(&self, decide: Decide) -> Result<Accepted> {
        self.json(&Call::Decide(decide)).await
    }

    /// The releases of a stack.
    ///
    /// # Errors
    /// As every call.
    pub async fn releases(&self, stack: &StackName) -> Result<ReleaseList> {
        self.json(&Call::Releases(stack.clone())).await
    }

    /// One release.
    ///
    /// # Errors
    /// As every call.
    pub async fn release(&self, query: ReleaseQuery) -> Result<ReleaseReport> {
        self.json(&Call::Release(query)).await
    }

    /// Runs an earlier release again.
    ///
    /// # Errors
    /// As every call.
    pub async fn rollback(&self, rollback: Rollback) -> Result<LineReader<ProgressLine>> {
        self.lines(&Call::Rollback(rollback)).await
    }

    /// Whether an earlier release can be run again.
    ///
    /// # Errors
    /// As every call.
    pub async fn rollback_check(&self, query: RollbackQuery) -> Result<RollbackReport> {
        self.json(&Call::RollbackCheck(query)).await
    }

    /// Runs in one stack what runs in another.
    ///
    /// # Errors
    /// As every call.
    pub async fn promote(&self, promote: Promote) -> Result<LineReader<ProgressLine>> {
        self.lines(&Call::Promote(promote)).await
    }

    /// Output of replicas.
    ///
    /// # Errors
    /// As every call.
    pub async fn logs(&self, query: LogsQuery) -> Result<LineReader<LogLine>> {
        self.lines(&Call::Logs(query)).await
    }

    /// Whether secrets stand in what is stored.
    ///
    /// # Errors
    /// As every call; denied unless the caller owns them or is root.
    pub async fn audit_logs(&self, stack: Option<StackName>) -> Result<LineReader<AuditLine>> {
        self.lines(&Call::AuditLogs(stack)).await
    }

    /// The journal.
    ///
    /// # Errors
    /// As every call.
    pub async fn events(&self, query: EventsQuery) -> Result<LineReader<Event>> {
        self.lines(&Call::Events(query)).await
    }

    /// What a process of a service is given.
    ///
    /// # Errors
    /// As every call; denied unless the caller owns the stack or is root.
    pub async fn environment(&self, query: EnvironmentQuery) -> Result<EnvironmentReport> {
        self.json(&Call::Environment(query)).await
    }

    /// Tells how a one-off command ended.
    ///
    /// # Errors
    /// As every call; denied unless the caller owns the stack or is root.
    pub async fn run_finished(&self, report: RunReport) -> Result<Accepted> {
        self.json(&Call::RunFinished(report)).await
    }

    /// Ends the daemon, not the replicas.
    ///
    /// # Errors
    /// As every call.
    pub async fn shutdown(&self) -> Result<Accepted> {
        self.json(&Call::Shutdown).await
    }

    /// Has the daemon go on as this program.
    ///
    /// # Errors
    /// As every call.
    pub async fn upgrade(&self, program: PathBuf) -> Result<Accepted> {
        self.json(&Call::Upgrade(Upgrade { program })).await
    }

    /// Makes any call that answers one value and returns it with the text it was written as, for one who passes it on.
    ///
    /// # Errors
    /// As every call.
    pub async fn json_with_text<T: DeserializeOwned>(&self, call: &Call) -> Result<(T, String)> {
        let answer = self.send(call).await?;
        let body = answer.into_body().collect().await.map_err(|source| Error::Broken {
            call: name(call),
            source,
        })?;
        let body = body.to_bytes();
        let value = serde_json::from_slice(&body).map_err(|source| Error::Answer {
            call: name(call),
            source,
        })?;
        // JSON that was understood is UTF-8.
        let text = String::from_utf8_lossy(&body).trim_end().to_owned();
        Ok((value, text))
    }

    async fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T> {
        Ok(self.json_with_text(call).await?.0)
    }

    /// Makes any call that answers in lines of `T`; [`LineReader::next_with_text`] gives them as they were written.
    ///
    /// # Errors
    /// As every call.
    pub async fn lines<T: DeserializeOwned>(&self, call: &Call) -> Result<LineReader<T>> {
        Ok(LineReader {
            body: self.send(call).await?.into_body(),
            buffer: BytesMut::new(),
            scanned: 0,
            ended: false,
            call: name(call),
            of: PhantomData,
        })
    }

    async fn open(&self) -> Result<UnixStream> {
        let path = || self.socket.clone();
        UnixStream::connect(&self.socket)
            .await
            .map_err(|source| match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Error::NoDaemon { path: path(), source },
                io::ErrorKind::PermissionDenied => Error::NotForThisUser { path: path(), source },
                _ => Error::Connect { path: path(), source },
            })
    }

    /// Sends the call and returns the answer once its head is there, refusals turned into errors.
    async fn send(&self, call: &Call) -> Result<Response<Incoming>> {
        let encoded = call.encode();
        if encoded.body.len() > BODY_BYTES_MAX {
            return Err(Error::RequestTooLarge {
                bytes: encoded.body.len(),
                limit: BODY_BYTES_MAX,
            });
        }
        let broken = |source| Error::Broken {
            call: name(call),
            source,
        };
        let mut request = Request::new(Full::new(Bytes::from(encoded.body)));
        *request.method_mut() = encoded
            .method
            .parse()
            .expect("invariant: methods in ENDPOINTS are methods");
        *request.uri_mut() = encoded
            .address
            .parse()
            .expect("invariant: an encoded address holds only names and escaped values");
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("tend"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(PROTOCOL_HEADER, HeaderValue::from(PROTOCOL_VERSION));

        let stream = TokioIo::new(self.open().await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.map_err(broken)?;
        // Ends by itself when the answer was read, or dropped; its error reaches the one who reads the answer.
        tokio::spawn(connection);
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, sender.send_request(request))
            .await
            .map_err(|_| Error::NoAnswer {
                call: name(call),
                seconds: ANSWER_TIMEOUT.as_secs(),
            })?
            .map_err(broken)?;

        let protocol = answer.headers().get(PROTOCOL_HEADER);
        if protocol != Some(&HeaderValue::from(PROTOCOL_VERSION)) {
            let found = protocol.and_then(|value| value.to_str().ok()).unwrap_or("none");
            return Err(Error::OtherProtocol {
                found: found.to_owned(),
            });
        }
        if answer.status().is_success() {
            return Ok(answer);
        }
        let body = answer.into_body().collect().await.map_err(broken)?;
        let refused: ApiError = serde_json::from_slice(&body.to_bytes()).map_err(|source| Error::Answer {
            call: name(call),
            source,
        })?;
        Err(Error::Refused(refused))
    }
}

fn name(call: &Call) -> String {
    let encoded = call.encode();
    let path = encoded.address.split('?').next().unwrap_or_default();
    format!("{} {path}", encoded.method)
}

/// Reads an answer in lines, each of type `T`. Dropping it tells the daemon that nobody listens any more.
#[derive(Debug)]
pub struct LineReader<T> {
    body: Incoming,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line end.
    scanned: usize,
    ended: bool,
    call: String,
    of: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> LineReader<T> {
    /// Returns the next line, `None` after the last. Cancel-safe: a line that was begun is kept for the next call.
    ///
    /// # Errors
    /// When the daemon ends the answer with an error, the connection breaks, or the line is not of this type; none come after it.
    pub async fn next(&mut self) -> Result<Option<T>> {
        Ok(self.next_with_text().await?.map(|(line, _)| line))
    }

    /// Returns the next line with the text it was written as, without line end. Otherwise as [`LineReader::next`].
    ///
    /// # Errors
    /// As [`LineReader::next`].
    pub async fn next_with_text(&mut self) -> Result<Option<(T, Bytes)>> {
        let Some(line) = self.next_text().await? else {
            return Ok(None);
        };
        if line.starts_with(REFUSED_LINE_START)
            && let Ok(RefusedLine { refused }) = serde_json::from_slice(&line)
        {
            self.ended = true;
            return Err(Error::Refused(refused));
        }
        match serde_json::from_slice(&line) {
            Ok(value) => Ok(Some((value, line))),
            Err(source) => {
                self.ended = true;
                Err(Error::Answer {
                    call: self.call.clone(),
                    source,
                })
            }
        }
    }

    /// Returns the next line as the daemon wrote it, without line end.
    async fn next_text(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.ended {
                return Ok(None);
            }
            let new = &self.buffer[self.scanned..];
            if let Some(end) = new.iter().position(|byte| *byte == b'\n') {
                let mut line = self.buffer.split_to(self.scanned + end + 1);
                self.scanned = 0;
                line.truncate(line.len() - 1);
                return Ok(Some(line.freeze()));
            }
            self.scanned = self.buffer.len();
            if self.scanned > LINE_BYTES_MAX {
                self.ended = true;
                return Err(Error::LineTooLong {
                    call: self.call.clone(),
                    limit: LINE_BYTES_MAX,
                });
            }
            match self.body.frame().await {
                // Every answer ends with a line end; what comes after it is nothing.
                None => self.ended = true,
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                Some(Err(source)) => {
                    self.ended = true;
                    return Err(Error::Broken {
                        call: self.call.clone(),
                        source,
                    });
                }
            }
        }
    }
}
