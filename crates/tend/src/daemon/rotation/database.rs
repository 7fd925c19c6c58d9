//! The class `database-two-users`: what is done at the server. Which user comes next is `users`; who holds which address is `ground`.

use std::path::PathBuf;

use tend_api::{ApiError, Class};
use tend_base::Secret;
use tend_core::journal::Principal;
use tend_database::{Address, DatabaseError, Login, TwoUsers, UserPair};
use tend_rotation::{Act, Observation, Which};
use tend_secrets::{Format, Recipe};

use super::super::secrets::{blocking, refused};
use super::ground::Ground;
use super::users;

/// What follows the name of a secret in that of the one with the address of whoever may change its users.
const ADMIN: &str = ".admin";

/// How a password is made: of what needs no escaping in an address.
const PASSWORD: Recipe = Recipe {
    bytes: 24,
    format: Format::Hex,
};

/// A database with two users, and who holds their addresses.
pub(super) struct Database<'a> {
    ground: &'a Ground,
    admin: Address,
    users: users::Users,
    folder: PathBuf,
}

impl<'a> Database<'a> {
    /// Looks up how the database is reached.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub(super) async fn look_up(ground: &'a Ground) -> Result<Self, ApiError> {
        let name = &ground.secret;
        let (of, secret) = (ground.stack.clone(), format!("{name}{ADMIN}"));
        let admin = blocking(&ground.shared, move |shared| {
            let book = shared.secrets.book(of.as_str()).map_err(|error| refused(&error))?;
            Ok(book.and_then(|book| Some(book.shown(&secret, None).ok()?.1.clone())))
        });
        let admin = admin.await?.ok_or_else(|| {
            ApiError::new(
                Class::Config,
                format!("{name} is of class database-two-users, and nobody is named who may change its users"),
            )
            .hint(format!(
                "store the address of such a user: `tend secret set {name}{ADMIN} -s {}`; docs/reference/rotation.md has the rights it needs",
                ground.stack
            ))
        })?;
        let definition = ground.definition().await;
        let folder = definition.map_or_else(|| "/".into(), |stack| stack.source.directory);
        let wrong = |error: &DatabaseError| ApiError::new(Class::Config, error.with_causes()).hint(error.hint());
        let admin = Address::parse(&admin, &folder).map_err(|error| wrong(&error))?;
        let old = ground
            .value(Which::Old)
            .map_err(|why| ApiError::new(Class::Conflict, why))?;
        let user = Address::parse(old, &folder).map_err(|error| wrong(&error))?;
        let users = users::of(user.user()).map_err(|why| {
            ApiError::new(Class::Config, why).hint(
                "rename the user, or make a second one and store an address with it; docs/reference/rotation.md says how",
            )
        })?;
        Ok(Self {
            ground,
            admin,
            users,
            folder,
        })
    }

    /// Refuses what stands in the way; nothing was changed then. Returns the versions in use and to come.
    pub(super) async fn begin(&self, by: &Principal) -> Result<(u64, u64), ApiError> {
        let next = self.next_address(&PASSWORD.draw(&self.ground.secret).map_err(|error| refused(&error))?);
        if self.ground.new.is_none() && next.is_none() {
            return Err(ApiError::new(
                Class::Config,
                format!("{} is no address of a database with a user in it", self.ground.secret),
            )
            .hint("such as postgres://shop_a:PASSWORD@127.0.0.1/shop"));
        }
        let unavailable =
            |error: DatabaseError| ApiError::new(Class::Unavailable, error.with_causes()).hint(error.hint());
        let mut admin = TwoUsers::connect(&self.admin).await.map_err(unavailable)?;
        let obstacles = admin.obstacles(&self.pair()).await.map_err(unavailable)?;
        if obstacles.is_empty() {
            return self.ground.stage(next, by).await;
        }
        let mut error = ApiError::new(
            Class::Config,
            format!("{} cannot be rotated yet, and nothing was changed", self.ground.secret),
        );
        for obstacle in &obstacles {
            error = error.detail(format!("{}: {}", obstacle.what, obstacle.remedy));
        }
        Err(error.hint("run the statements as a superuser of the database, then rotate again"))
    }

    fn pair(&self) -> UserPair {
        UserPair {
            old: self.users.old.clone(),
            new: self.users.new.clone(),
            owner: self.users.owner.clone(),
        }
    }

    fn next_address(&self, password: &Secret) -> Option<Secret> {
        users::address(self.ground.value(Which::Old).ok()?, &self.users.new, password)
    }

    fn parsed(&self, which: Which) -> Result<Address, String> {
        Address::parse(self.ground.value(which)?, &self.folder).map_err(|error| error.with_causes())
    }

    async fn login(&self, which: Which, wanted: bool) -> Result<(), String> {
        let login = TwoUsers::try_login(&self.parsed(which)?).await;
        match login.map_err(|error| error.with_causes())? {
            Login::Accepted if wanted => Ok(()),
            Login::Refused(_) if !wanted => Ok(()),
            Login::Accepted => Err("the server still lets it in".to_owned()),
            Login::Refused(why) => Err(format!("the server refuses it: {why}")),
        }
    }

    /// Performs an act at the server.
    pub(super) async fn act(&self, act: Act) -> Result<(), String> {
        let told = |error: DatabaseError| error.with_causes();
        let mut admin = TwoUsers::connect(&self.admin).await.map_err(told)?;
        let pair = self.pair();
        match act {
            Act::Prepare => {
                let address = self.parsed(Which::New)?;
                let password = address.password().ok_or("the new version has no password")?;
                admin.prepare(&pair, password).await.map_err(told)
            }
            Act::ProveNew => self.login(Which::New, true).await,
            Act::Revoke => admin.lock(&pair.old).await.map_err(told),
            Act::ProveOldRefused => self.login(Which::Old, false).await,
            Act::Restore => {
                let address = self.parsed(Which::Old)?;
                let password = address.password().ok_or("the old version has no password")?;
                admin.unlock(&pair.old, password).await.map_err(told)
            }
            Act::ProveOldAccepted => self.login(Which::Old, true).await,
            Act::Withdraw => admin.lock(&pair.new).await.map_err(told),
            Act::Store | Act::Retire | Act::Discard | Act::Reencrypt(_) => {
                Err("nothing of it is done at a server".to_owned())
            }
        }
    }

    /// Returns who holds what, with the sessions that the server has of both users.
    pub(super) async fn observe(&self) -> Observation {
        let mut sessions = (None, None);
        if let Ok(mut admin) = TwoUsers::connect(&self.admin).await {
            sessions.0 = admin.sessions(&self.users.old).await.ok();
            sessions.1 = admin.sessions(&self.users.new).await.ok();
        }
        Observation {
            others_old: sessions.0,
            others_new: sessions.1,
            ..self.ground.observe().await
        }
    }
}
