//! Where a database is, as users write it. Opens nothing.

use std::fmt;
use std::path::{Path, PathBuf};

use tend_base::Secret;

use crate::DatabaseError;

/// Which kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// PostgreSQL.
    Postgres,
    /// MySQL or MariaDB.
    Mysql,
    /// A file of SQLite.
    Sqlite,
}

/// How far TLS is asked for, with the meanings of `sslmode` in libpq.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Never.
    Off,
    /// Where the server has it; its certificate is not judged. The default, as everywhere.
    Prefer,
    /// Always; its certificate is not judged unless roots are named.
    Require,
    /// Always, with a certificate of a known authority.
    VerifyCa,
    /// Always, with a certificate of a known authority for this host.
    VerifyFull,
}

/// Where a database is, and as whom it is asked.
///
/// Formatting it shows neither user nor password.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(crate) engine: Engine,
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    /// Host names, addresses or folders of a unix socket (of MySQL: the socket), with a port where one is named.
    pub(crate) hosts: Vec<(String, Option<u16>)>,
    pub(crate) database: Option<String>,
    pub(crate) search_path: Option<String>,
    pub(crate) file: PathBuf,
    pub(crate) tls: Tls,
    pub(crate) root: Option<PathBuf>,
}

impl Address {
    /// Returns its user's password.
    #[must_use]
    pub fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// Returns the file of a database that is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        matches!(self.engine, Engine::Sqlite).then_some(&self.file)
    }

    /// Reads an address: `postgres://`, `postgresql://`, `mysql://`, `mariadb://`, `sqlite:PATH`, `file:PATH` or a path. The driver that some
    /// write behind the scheme (`postgresql+asyncpg://`) does not matter; parameters that are for other programs' drivers are passed over.
    /// A path that does not begin with `/` is below `folder`.
    ///
    /// # Errors
    /// When it is none of these. The text of it is not in the error.
    pub fn parse(text: &Secret, folder: &Path) -> Result<Self, DatabaseError> {
        let text = text.expose().trim();
        let wrong = |why| DatabaseError::Address { why };
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        let (scheme, rest) = match text.split_once(':') {
            Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+') => {
                (scheme.to_ascii_lowercase(), rest)
            }
            _ if text.contains("://") => return Err(wrong("its scheme is not known")),
            _ => (String::new(), text),
        };
        match scheme.split('+').next().unwrap_or_default() {
            "postgres" | "postgresql" => Self::server(Engine::Postgres, rest),
            "mysql" | "mariadb" | "mysql2" => Self::server(Engine::Mysql, rest),
            "" | "sqlite" | "sqlite3" | "file" => {
                let path = rest.split_once('?').map_or(rest, |(path, _)| path);
                let path = path.strip_prefix("//").unwrap_or(path);
                // Four slashes are how some write an absolute path.
                let path = if path.starts_with("//") { &path[1..] } else { path };
                if path.is_empty() || path.contains(":memory:") {
                    return Err(wrong("it names no file"));
                }
                Ok(Self::of(Engine::Sqlite, folder.join(decode(path)?)))
            }
            _ => Err(wrong("its scheme is not known")),
        }
    }

    fn of(engine: Engine, file: PathBuf) -> Self {
        Self {
            engine,
            user: String::new(),
            password: None,
            hosts: Vec::new(),
            database: None,
            search_path: None,
            file,
            tls: Tls::Prefer,
            root: None,
        }
    }

    fn server(engine: Engine, rest: &str) -> Result<Self, DatabaseError> {
        let wrong = |why| DatabaseError::Address { why };
        let rest = rest
            .strip_prefix("//")
            .ok_or_else(|| wrong("`//` is missing behind the scheme"))?;
        let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let mut address = Self::of(engine, PathBuf::new());
        // A password with an @ that was not written as %40 is common; the last one ends it.
        let (login, place) = rest
            .rsplit_once('@')
            .map_or((None, rest), |(login, place)| (Some(login), place));
        if let Some(login) = login {
            let (user, password) = login
                .split_once(':')
                .map_or((login, None), |(user, password)| (user, Some(password)));
            address.user = decode(user)?;
            address.password = password.map(decode).transpose()?.map(Secret::new);
        }
        let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
        if !database.is_empty() {
            address.database = Some(decode(database)?);
        }
        for host in hosts.split(',').filter(|host| !host.is_empty()) {
            address.hosts.push(host_and_port(host)?);
        }
        for (name, value) in parameters.split('&').filter_map(|pair| pair.split_once('=')) {
            address.parameter(name, decode(value)?)?;
        }
        if address.hosts.is_empty() {
            address.hosts.push(("localhost".to_owned(), None));
        }
        if address.user.is_empty() {
            return Err(wrong("it names no user"));
        }
        Ok(address)
    }

    fn parameter(&mut self, name: &str, value: String) -> Result<(), DatabaseError> {
        let tls = |why| DatabaseError::Address { why };
        match name.to_ascii_lowercase().as_str() {
            "user" => self.user = value,
            "password" => self.password = Some(Secret::new(value)),
            "dbname" => self.database = Some(value),
            "host" | "socket" | "unix_socket" => {
                let port = self.hosts.first().and_then(|(_, port)| *port);
                self.hosts = vec![(value, port)];
            }
            "port" => {
                let port = value.parse().map_err(|_| tls("its port is not a number"))?;
                match self.hosts.first_mut() {
                    Some(host) => host.1 = Some(port),
                    None => self.hosts.push(("localhost".to_owned(), Some(port))),
                }
            }
            "schema" | "currentschema" if self.engine == Engine::Postgres => self.search_path = Some(value),
            "sslrootcert" | "ssl-ca" | "ssl_ca" | "sslca" => self.root = Some(PathBuf::from(value)),
            "sslmode" | "ssl-mode" | "ssl_mode" => {
                self.tls = match value.to_ascii_lowercase().replace('_', "-").as_str() {
                    "disable" | "disabled" => Tls::Off,
                    "allow" | "prefer" | "preferred" => Tls::Prefer,
                    "require" | "required" => Tls::Require,
                    "verify-ca" => Tls::VerifyCa,
                    "verify-full" | "verify-identity" => Tls::VerifyFull,
                    _ => return Err(tls("its sslmode is not known")),
                }
            }
            "ssl" | "usessl" | "require_ssl" => {
                self.tls = match value.to_ascii_lowercase().as_str() {
                    "true" | "1" | "require" => Tls::Require,
                    "false" | "0" => Tls::Off,
                    _ => return Err(tls("its `ssl` is neither true nor false")),
                }
            }
            // For the driver of the service, which reads the same address.
            _ => {}
        }
        Ok(())
    }

    /// Returns which kind of database it is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Returns as whom the server is asked; empty for a file.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Returns how far TLS is asked for; with roots named, `require` judges as `verify-ca` does.
    #[must_use]
    pub fn tls(&self) -> Tls {
        match (self.tls, &self.root) {
            (Tls::Require, Some(_)) => Tls::VerifyCa,
            (tls, _) => tls,
        }
    }

    /// Returns the same place for another user.
    #[must_use]
    pub fn with_user(&self, user: &str, password: &Secret) -> Self {
        Self {
            user: user.to_owned(),
            password: Some(password.clone()),
            ..self.clone()
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.engine {
            Engine::Postgres => "PostgreSQL",
            Engine::Mysql => "MySQL",
            Engine::Sqlite => return write!(f, "SQLite `{}`", self.file.display()),
        };
        let hosts: Vec<String> = self
            .hosts
            .iter()
            .map(|(host, port)| port.map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
            .collect();
        write!(f, "{name} at {}", hosts.join(","))?;
        match &self.database {
            Some(database) => write!(f, " ({database})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

fn host_and_port(text: &str) -> Result<(String, Option<u16>), DatabaseError> {
    let wrong = DatabaseError::Address {
        why: "its port is not a number",
    };
    // [::1]:5432
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = port.map(str::parse).transpose().map_err(|_| wrong)?;
    Ok((decode(host)?, port))
}

/// Returns a text with its %XX replaced.
fn decode(text: &str) -> Result<String, DatabaseError> {
    let wrong = || DatabaseError::Address {
        why: "a % in it is not followed by two hexadecimal digits of UTF-8; write %25 for a %",
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(wrong());
        };
        bytes.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits are a byte"));
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, DatabaseError> {
        Address::parse(&Secret::new(text.to_owned()), Path::new("/srv/shop"))
    }

    #[test]
    fn addresses_are_read_as_users_write_them() {
        for (text, shown, user, password, tls) in [
            (
                "postgres://app:pw@db:5433/shop",
                "PostgreSQL at db:5433 (shop)",
                "app",
                Some("pw"),
                Tls::Prefer,
            ),
            (
                "postgresql+asyncpg://app:p%40w%2F@db/shop?schema=public&pool=4",
                "PostgreSQL at db (shop)",
                "app",
                Some("p@w/"),
                Tls::Prefer,
            ),
            (
                "postgresql://app@/shop?host=/run/postgresql&sslmode=verify-full",
                "PostgreSQL at /run/postgresql (shop)",
                "app",
                None,
                Tls::VerifyFull,
            ),
            (
                "postgres://app:p@ss@a:1,b:2/shop?sslmode=require&sslrootcert=/ca.pem",
                "PostgreSQL at a:1,b:2 (shop)",
                "app",
                Some("p@ss"),
                Tls::VerifyCa,
            ),
            (
                "mysql://app:pw@[::1]:3307/shop?ssl-mode=REQUIRED",
                "MySQL at ::1:3307 (shop)",
                "app",
                Some("pw"),
                Tls::Require,
            ),
            (
                "mariadb://app:pw@localhost/shop?socket=/run/my.sock&ssl=false",
                "MySQL at /run/my.sock (shop)",
                "app",
                Some("pw"),
                Tls::Off,
            ),
            (
                "sqlite:data/shop.db?mode=ro",
                "SQLite `/srv/shop/data/shop.db`",
                "",
                None,
                Tls::Prefer,
            ),
            ("sqlite:////var/shop.db", "SQLite `/var/shop.db`", "", None, Tls::Prefer),
            ("file:./shop.db", "SQLite `/srv/shop/./shop.db`", "", None, Tls::Prefer),
            ("/var/shop.db", "SQLite `/var/shop.db`", "", None, Tls::Prefer),
        ] {
            let address = parse(text).unwrap();
            assert_eq!(address.to_string(), shown, "{text}");
            assert_eq!(address.user(), user, "{text}");
            assert_eq!(address.password.as_ref().map(Secret::expose), password, "{text}");
            assert_eq!(address.tls(), tls, "{text}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        for text in [
            "postgres://app:hunter2@db:notaport/shop",
            "postgres:app:hunter2@db/shop",
            "oracle://app:hunter2@db/shop",
            "postgres://:hunter2@db/shop",
            "postgres://app:hunter2%2@db/shop",
            "mysql://app:hunter2@db/shop?sslmode=hunter2",
        ] {
            let error = parse(text).unwrap_err();
            let shown = format!("{error} {error:?} {}", error.with_causes());
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let address = parse("postgres://app:hunter2@db/shop").unwrap();
        assert!(!format!("{address} {address:?}").contains("hunter2"));
    }
}
