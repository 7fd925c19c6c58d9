//! What can be asked of a server, each as one call. Decides nothing: what to ask next is [`crate::Session`]'s.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use tend_base::Secret;

use crate::exchange::Exchange;
use crate::wire::{Reader, Received, Request};
use crate::{
    Address, Answer, Ask, Credential, Failure, KvPath, Lease, Metadata, Namespace, Reading, Token, VaultError, Version,
};

/// How one logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// With a token that somebody else obtained.
    Token(Credential),
    /// With the ids of a role.
    AppRole {
        /// Where the method is mounted, usually `approle`.
        mount: String,
        /// Which role.
        role_id: Credential,
        /// Its password; none where the role is bound otherwise.
        secret_id: Option<Credential>,
    },
}

/// Asks one server.
pub struct Client(Exchange);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.0.address).finish()
    }
}

impl Client {
    /// Makes a client; nothing is opened yet. `roots` is a file of certificates that are believed in the place of the machine's own.
    #[must_use]
    pub fn new(address: Address, namespace: Option<Namespace>, roots: Option<PathBuf>) -> Self {
        Self(Exchange {
            address,
            namespace,
            roots,
        })
    }

    /// Performs what a session asks for. A failure is an answer too.
    pub async fn perform(&self, ask: &Ask, login: &Login) -> Answer {
        let done = match ask {
            Ask::LogIn => self.log_in(login).await.map(Answer::LoggedIn),
            Ask::Renew(token) => self.renew(token).await.map(Answer::Renewed),
            Ask::Check(token) => self.look_up(token).await.map(|_| Answer::Alive),
            Ask::Read(token, path) => self.read(token, path, None).await.map(Answer::Read),
        };
        done.unwrap_or_else(|error| Answer::Failed(Failure::from(&error)))
    }

    /// Logs in.
    ///
    /// # Errors
    /// When a credential cannot be read, or the server does not let one in.
    pub async fn log_in(&self, login: &Login) -> Result<Token, VaultError> {
        match login {
            Login::Token(credential) => {
                let secret = self.of(credential).await?;
                let lease = self.look_up(&secret).await?;
                Ok(Token { secret, lease })
            }
            Login::AppRole {
                mount,
                role_id,
                secret_id,
            } => {
                let role_id = self.of(role_id).await?;
                let secret_id = match secret_id {
                    Some(credential) => Some(self.of(credential).await?),
                    None => None,
                };
                let request = Request::log_in(mount, &role_id, secret_id.as_ref());
                let hidden: Vec<&Secret> = secret_id.iter().chain([&role_id]).collect();
                self.ask(&request, None, &hidden, |reader, received| reader.logged_in(received))
                    .await
            }
        }
    }

    /// Asks how long a token lives.
    ///
    /// # Errors
    /// When it does not, among others.
    pub async fn look_up(&self, token: &Secret) -> Result<Lease, VaultError> {
        self.ask(&Request::look_up(), Some(token), &[token], |reader, received| {
            reader.looked_up(received)
        })
        .await
    }

    /// Has a token live longer.
    ///
    /// # Errors
    /// When it is gone, or cannot be made to, among others.
    pub async fn renew(&self, token: &Secret) -> Result<Lease, VaultError> {
        let request = Request::renew();
        let hidden = [token];
        let renewed = self.ask(&request, Some(token), &hidden, |reader, received| {
            reader.logged_in(received)
        });
        Ok(renewed.await?.lease)
    }

    /// Reads a secret, its newest version or the one named.
    ///
    /// # Errors
    /// When there is none, or the token may not, among others.
    pub async fn read(&self, token: &Secret, path: &KvPath, version: Option<u64>) -> Result<Reading, VaultError> {
        let request = Request::read(path, version);
        self.ask(&request, Some(token), &[token], |reader, received| {
            reader.reading(received)
        })
        .await
    }

    /// Reads what is known of all versions of a secret.
    ///
    /// # Errors
    /// As [`Self::read`]; it takes a right of its own, to `MOUNT/metadata/NAME`.
    pub async fn metadata(&self, token: &Secret, path: &KvPath) -> Result<Metadata, VaultError> {
        let request = Request::metadata(path);
        self.ask(&request, Some(token), &[token], |reader, received| {
            reader.metadata(received)
        })
        .await
    }

    /// Writes a new version with these fields alone, upon a version: 0 for a secret that is not there yet.
    ///
    /// # Errors
    /// [`VaultError::Conflict`] when another version is the newest by now; when the token may not, among others.
    pub async fn write(
        &self,
        token: &Secret,
        path: &KvPath,
        fields: &BTreeMap<String, Secret>,
        upon: u64,
    ) -> Result<Version, VaultError> {
        self.put(Request::write(path, fields, upon), token, fields).await
    }

    /// Writes a new version in which these fields are others, upon a version that is there; the server keeps the rest. Takes the right
    /// `patch`.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn patch(
        &self,
        token: &Secret,
        path: &KvPath,
        fields: &BTreeMap<String, Secret>,
        upon: u64,
    ) -> Result<Version, VaultError> {
        self.put(Request::patch(path, fields, upon), token, fields).await
    }

    /// Lists the names in a folder of a mount; folders among them end with a slash. An empty folder is the mount's own.
    ///
    /// # Errors
    /// [`VaultError::NotThere`] when it holds nothing; when the token may not, among others.
    pub async fn list(&self, token: &Secret, mount: &str, folder: &str) -> Result<Vec<String>, VaultError> {
        let request = Request::list(mount, folder);
        self.ask(&request, Some(token), &[token], |reader, received| {
            reader.keys(received)
        })
        .await
    }

    async fn put(
        &self,
        request: Request,
        token: &Secret,
        fields: &BTreeMap<String, Secret>,
    ) -> Result<Version, VaultError> {
        let hidden: Vec<&Secret> = fields.values().chain([token]).collect();
        self.ask(&request, Some(token), &hidden, |reader, received| {
            reader.written(received)
        })
        .await
    }

    async fn ask<T>(
        &self,
        request: &Request,
        token: Option<&Secret>,
        hidden: &[&Secret],
        read: impl FnOnce(&Reader<'_>, &Received) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let received = self.0.send(request, token).await?;
        let at = self.0.address.to_string();
        let reader = Reader {
            at: &at,
            request,
            hidden,
        };
        read(&reader, &received)
    }

    async fn of(&self, credential: &Credential) -> Result<Secret, VaultError> {
        let credential = credential.clone();
        let read = tokio::task::spawn_blocking(move || credential.read());
        read.await.unwrap_or_else(|error| {
            Err(VaultError::Broken {
                at: self.0.address.to_string(),
                source: error.into(),
            })
        })
    }
}
