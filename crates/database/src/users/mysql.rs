//! Two users of MySQL or MariaDB, from the same hosts and with the same grants. Decides no order.

use mysql_async::{Params, Value};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tend_base::Secret;

use crate::mysql::{Connection, count, text};
use crate::{Address, DatabaseError, Obstacle, UserPair};

pub(super) struct Users {
    connection: Connection,
    is_mariadb: bool,
    pub(super) at: String,
}

/// An account: the server tells users apart by where they come from, too.
struct Account {
    host: String,
    /// `ANY` and `X509` of the server's table; empty for none.
    tls: String,
}

impl Users {
    pub(super) async fn connect(admin: &Address) -> Result<Self, DatabaseError> {
        let mut connection = Connection::open(admin).await?;
        // Texts are then quoted as the standard has it, and a backslash is a backslash.
        connection
            .run(
                "set its mode",
                "SET SESSION sql_mode = CONCAT_WS(',', NULLIF(@@sql_mode, ''), 'NO_BACKSLASH_ESCAPES')",
            )
            .await?;
        Ok(Self {
            is_mariadb: connection.is_mariadb().await?,
            connection,
            at: admin.to_string(),
        })
    }

    async fn accounts(&mut self, user: &str) -> Result<Vec<Account>, DatabaseError> {
        let sql = "SELECT Host, ssl_type FROM mysql.user WHERE User = ? ORDER BY Host";
        let rows = self.connection.rows("tell of its users", sql, one(user)).await?;
        Ok(rows
            .iter()
            .map(|row| Account {
                host: text(row, 0).unwrap_or_default(),
                tls: text(row, 1).unwrap_or_default(),
            })
            .collect())
    }

    pub(super) async fn obstacles(&mut self, pair: &UserPair) -> Result<Vec<Obstacle>, DatabaseError> {
        let mut obstacles = Vec::new();
        let mut found = |what: String, remedy: &str| {
            obstacles.push(Obstacle {
                what,
                remedy: remedy.to_owned(),
            });
        };
        let sql = "SELECT COUNT(*) FROM information_schema.user_privileges WHERE privilege_type IN ('PROCESS', 'CREATE USER') \
                   AND grantee = CONCAT('''', SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')";
        let rights = self.connection.rows("tell of its users", sql, Params::Empty).await?;
        if rights.first().and_then(|row| count(row, 0)) != Some(2) {
            found(
                "the user of tend may not make users or see the sessions of others".to_owned(),
                "GRANT CREATE USER, PROCESS ON *.* TO it, and what the two may do WITH GRANT OPTION",
            );
        }
        let sql = "SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)";
        let rows = self.connection.rows("tell of its users", sql, Params::Empty).await?;
        let me = rows.first().and_then(|row| text(row, 0)).unwrap_or_default();
        if me == pair.old || me == pair.new {
            found(
                "the user of tend is one of the two it rotates".to_owned(),
                "give tend a user of its own",
            );
        }
        let accounts = self.accounts(&pair.old).await?;
        if accounts.is_empty() {
            found(format!("`{}` is not there", pair.old), "is this the user in use?");
        }
        for account in accounts.iter().filter(|account| account.tls == "SPECIFIED") {
            found(
                format!("`{}`@`{}` must show a certificate of its own", pair.old, account.host),
                "a certificate cannot be shared by two users: REQUIRE X509 or SSL instead",
            );
        }
        Ok(obstacles)
    }

    pub(super) async fn prepare(&mut self, pair: &UserPair, password: &Secret) -> Result<(), DatabaseError> {
        for account in self.accounts(&pair.old).await? {
            let (old, new) = (at(&pair.old, &account.host), at(&pair.new, &account.host));
            // Locked until it may do what the old one may: nobody meets a user that is half made.
            let by = self.identified(password);
            let make = Secret::new(format!("CREATE USER IF NOT EXISTS {new} {} ACCOUNT LOCK", by.expose()));
            self.connection.run_secretly("make the other user", &make).await?;
            for grant in self.grants(&old, &new).await? {
                self.connection.run("grant what the old user may", &grant).await?;
            }
            let require = match account.tls.as_str() {
                "ANY" => " REQUIRE SSL",
                "X509" => " REQUIRE X509",
                _ => " REQUIRE NONE",
            };
            let alter = Secret::new(format!("ALTER USER {new} {}{require} ACCOUNT UNLOCK", by.expose()));
            self.connection
                .run_secretly("give the other user its password", &alter)
                .await?;
        }
        Ok(())
    }

    /// Returns the grants of one account as grants to another.
    async fn grants(&mut self, old: &str, new: &str) -> Result<Vec<String>, DatabaseError> {
        let rows = self
            .connection
            .run("tell of its users", &format!("SHOW GRANTS FOR {old}"))
            .await?;
        let mut grants = Vec::new();
        for line in rows.iter().filter_map(|row| text(row, 0)) {
            // It grants nothing, and on MariaDB has the hash of the password behind.
            if line.starts_with("GRANT USAGE ON *.* ") {
                continue;
            }
            let backticked = old.replace('\'', "`");
            let replaced = [old, &backticked].iter().find_map(|account| {
                let word = if line.starts_with("SET DEFAULT ROLE") {
                    " FOR "
                } else {
                    " TO "
                };
                let (front, behind) = line.rsplit_once(&format!("{word}{account}"))?;
                // MariaDB's grant of all rights has the hash behind, too.
                let behind = match behind.split_once(" IDENTIFIED BY PASSWORD '") {
                    Some((before, hash)) => format!("{before}{}", hash.split_once('\'').map_or("", |(_, rest)| rest)),
                    None => behind.to_owned(),
                };
                Some(format!("{front}{word}{new}{behind}"))
            });
            grants.push(replaced.ok_or_else(|| DatabaseError::NotReady {
                at: self.at.clone(),
                why: format!("a grant of {old} is not understood; grant it to {new} by hand"),
            })?);
        }
        Ok(grants)
    }

    pub(super) async fn unlock(&mut self, user: &str, password: &Secret) -> Result<(), DatabaseError> {
        let by = self.identified(password);
        for account in self.accounts(user).await? {
            let sql = format!("ALTER USER {} {} ACCOUNT UNLOCK", at(user, &account.host), by.expose());
            self.connection
                .run_secretly("let a user log in", &Secret::new(sql))
                .await?;
        }
        Ok(())
    }

    pub(super) async fn lock(&mut self, user: &str) -> Result<(), DatabaseError> {
        for account in self.accounts(user).await? {
            let sql = format!("ALTER USER {} ACCOUNT LOCK", at(user, &account.host));
            self.connection.run("lock a user", &sql).await?;
        }
        Ok(())
    }

    pub(super) async fn sessions(&mut self, user: &str) -> Result<u64, DatabaseError> {
        let sql = "SELECT COUNT(*) FROM information_schema.processlist WHERE USER = ?";
        let rows = self.connection.rows("count sessions", sql, one(user)).await?;
        Ok(rows.first().and_then(|row| count(row, 0)).unwrap_or(u64::MAX))
    }

    /// MariaDB takes the hash it would store. MySQL's own way of storing is another by version, so MySQL gets the password; it leaves it
    /// out of its logs.
    fn identified(&self, password: &Secret) -> Secret {
        Secret::new(if self.is_mariadb {
            format!("IDENTIFIED BY PASSWORD '{}'", native_hash(password))
        } else {
            format!("IDENTIFIED BY {}", quoted(password.expose()))
        })
    }
}

/// Returns the hash of MySQL's native passwords: `*` and SHA-1 of SHA-1, in hexadecimal digits.
fn native_hash(password: &Secret) -> String {
    let once = digest(&SHA1_FOR_LEGACY_USE_ONLY, password.expose().as_bytes());
    let twice = digest(&SHA1_FOR_LEGACY_USE_ONLY, once.as_ref());
    let digits: String = twice.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    format!("*{digits}")
}

fn one(text: &str) -> Params {
    Params::Positional(vec![Value::Bytes(text.as_bytes().to_vec())])
}

/// Returns a text as a literal, in the mode that [`Users::connect`] sets.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn at(user: &str, host: &str) -> String {
    format!("{}@{}", quoted(user), quoted(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_servers_store() {
        // SELECT PASSWORD('mariadb')
        let hash = native_hash(&Secret::new("mariadb".to_owned()));
        assert_eq!(hash, "*54958E764CE10E50764C2EECBB71D01F08549980");
    }
}
