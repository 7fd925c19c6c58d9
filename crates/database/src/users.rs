//! The acts of rotating the password of a database between two users, on PostgreSQL and MySQL/MariaDB. Decides no order of them.

mod mysql;
mod postgres;

use tend_base::Secret;

use crate::{Address, DatabaseError, Engine};

/// Two users that may do the same, of whom a service uses one at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPair {
    /// The one that is in use.
    pub old: String,
    /// The one that gets the new password. It is made when it is not there.
    pub new: String,
    /// PostgreSQL: the role both are members of, which owns what they make. Not used on MySQL, where nothing belongs to a user.
    pub owner: String,
}

/// Something that is not as the rotation needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// What is so, for a person.
    pub what: String,
    /// What to do: often a statement.
    pub remedy: String,
}

/// What a server said to a user and its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// It let the user in.
    Accepted,
    /// It refused, in these words.
    Refused(String),
}

/// A connection of somebody who may change users, and what it can do. Every act may be done again, with the same outcome.
pub struct TwoUsers(Server);

enum Server {
    Postgres(Box<postgres::Users>),
    Mysql(Box<mysql::Users>),
}

impl TwoUsers {
    /// Connects as somebody who may make and change users.
    ///
    /// # Errors
    /// When the server is away or refuses, and for a file, which has no users.
    pub async fn connect(admin: &Address) -> Result<Self, DatabaseError> {
        Ok(Self(match admin.engine() {
            Engine::Postgres => Server::Postgres(Box::new(postgres::Users::connect(admin).await?)),
            Engine::Mysql => Server::Mysql(Box::new(mysql::Users::connect(admin).await?)),
            Engine::Sqlite => return Err(DatabaseError::NoUsers { at: admin.to_string() }),
        }))
    }

    /// Returns everything that stands in the way of rotating between these two; nothing when it can begin. Changes nothing.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn obstacles(&mut self, pair: &UserPair) -> Result<Vec<Obstacle>, DatabaseError> {
        let mut obstacles = Vec::new();
        if pair.old == pair.new {
            obstacles.push(Obstacle {
                what: format!("both users are `{}`", pair.old),
                remedy: "name two".to_owned(),
            });
        }
        obstacles.extend(match &mut self.0 {
            Server::Postgres(users) => users.obstacles(pair).await?,
            Server::Mysql(users) => users.obstacles(pair).await?,
        });
        Ok(obstacles)
    }

    /// Makes the new user, or changes the one that is there: with this password, allowed to log in, and with what the old one may do.
    ///
    /// The password itself is not sent to PostgreSQL (a SCRAM verifier is) nor to MariaDB (its hash is). To MySQL it is; MySQL leaves it out of its logs.
    ///
    /// # Errors
    /// When something stands in the way ([`Self::obstacles`]), or the server refuses.
    pub async fn prepare(&mut self, pair: &UserPair, password: &Secret) -> Result<(), DatabaseError> {
        if let Some(first) = self.obstacles(pair).await?.into_iter().next() {
            return Err(DatabaseError::NotReady {
                at: self.at().to_owned(),
                why: format!("{}; {}", first.what, first.remedy),
            });
        }
        match &mut self.0 {
            Server::Postgres(users) => users.prepare(pair, password).await,
            Server::Mysql(users) => users.prepare(pair, password).await,
        }
    }

    /// Lets a user log in again with this password: the way back from [`Self::lock`].
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn unlock(&mut self, user: &str, password: &Secret) -> Result<(), DatabaseError> {
        match &mut self.0 {
            Server::Postgres(users) => users.unlock(user, password).await,
            Server::Mysql(users) => users.unlock(user, password).await,
        }
    }

    /// Lets a user log in no more. On PostgreSQL its password is forgotten too. A user that is not there counts as locked.
    ///
    /// # Errors
    /// [`DatabaseError::StillUsed`] when sessions of it are there; and when the server refuses.
    pub async fn lock(&mut self, user: &str) -> Result<(), DatabaseError> {
        let sessions = self.sessions(user).await?;
        if sessions > 0 {
            return Err(DatabaseError::StillUsed {
                at: self.at().to_owned(),
                user: user.to_owned(),
                sessions,
            });
        }
        match &mut self.0 {
            Server::Postgres(users) => users.lock(user).await,
            Server::Mysql(users) => users.lock(user).await,
        }
    }

    /// Counts the sessions of a user, in all databases of the server.
    ///
    /// # Errors
    /// When the server does not answer, or does not show the sessions of others.
    pub async fn sessions(&mut self, user: &str) -> Result<u64, DatabaseError> {
        match &mut self.0 {
            Server::Postgres(users) => users.sessions(user).await,
            Server::Mysql(users) => users.sessions(user).await,
        }
    }

    /// Tries to log in once as the user of an address, over a connection of its own.
    ///
    /// # Errors
    /// When the server is away: then nothing was learned.
    pub async fn try_login(address: &Address) -> Result<Login, DatabaseError> {
        let opened = match address.engine() {
            Engine::Postgres => match crate::postgres::Connection::open(address).await {
                Ok(connection) => connection.text("answer", "SELECT 1").await.map(drop),
                Err(error) => Err(error),
            },
            Engine::Mysql => match crate::mysql::Connection::open(address).await {
                Ok(mut connection) => connection.run("answer", "SELECT 1").await.map(drop),
                Err(error) => Err(error),
            },
            Engine::Sqlite => {
                return Err(DatabaseError::NoUsers {
                    at: address.to_string(),
                });
            }
        };
        match opened {
            Ok(()) => Ok(Login::Accepted),
            Err(DatabaseError::Refused { why, .. }) => Ok(Login::Refused(why)),
            Err(error) => Err(error),
        }
    }

    fn at(&self) -> &str {
        match &self.0 {
            Server::Postgres(users) => &users.at,
            Server::Mysql(users) => &users.at,
        }
    }
}
