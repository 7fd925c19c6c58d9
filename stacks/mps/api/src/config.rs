//! Reads what this replica is told by its environment. Every variable is described in `stacks/mps/.env.example`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Breakage, Error};

/// Where the books are kept.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server, as its driver takes it. May hold a password.
    Postgres(String),
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatabaseUrl::Sqlite(path) => write!(formatter, "sqlite:{}", path.display()),
            DatabaseUrl::Postgres(_) => formatter.write_str("postgresql://…"),
        }
    }
}

/// The settings of one replica.
#[derive(Debug, Clone)]
pub struct Config {
    /// Loopback port to listen on.
    pub port: u16,
    /// Where the books are kept.
    pub database: DatabaseUrl,
    /// Connections of the PostgreSQL pool; SQLite uses one writer and one reader.
    pub pool_size: usize,
    /// How long a request waits for the database before it is answered 503.
    pub database_timeout: Duration,
    /// Write demo data at start.
    pub seed_demo: bool,
    /// `POST /api/break` is allowed.
    pub breakable: bool,
    /// How to be broken from the start.
    pub breakage: Breakage,
    /// How long to go on serving, not ready, after SIGTERM.
    pub drain: Duration,
    /// This replica's name in headers, logs and the audit log.
    pub replica: String,
    /// The version in the log.
    pub version: String,
    /// The release this is a replica of; none where it was started in place. A release never migrates by itself.
    pub release: Option<String>,
    /// Requests carried out are logged, not only those that failed.
    pub log_info: bool,
    /// Where tend tells what changes while this replica runs; none without tend.
    pub live_socket: Option<PathBuf>,
}

impl Config {
    /// Reads the settings through `var`, which looks up one environment variable. Empty counts as unset, as in Compose files.
    pub fn read(var: impl Fn(&str) -> Option<String>) -> Result<Config, Error> {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        let number =
            |name: &'static str, default: u64, range: std::ops::RangeInclusive<u64>, expected: &'static str| {
                let Some(value) = var(name) else {
                    return Ok(default);
                };
                let number = value.parse().ok().filter(|number| range.contains(number));
                number.ok_or(Error::Setting { name, value, expected })
            };
        let port = number("PORT", 3000, 0..=65_535, "a port, 0 to 65535")?;
        let release = var("TEND_RELEASE");
        let log_level = var("LOG_LEVEL").unwrap_or_else(|| "info".to_owned());
        Ok(Config {
            port: u16::try_from(port).expect("within the range above"),
            database: database(&var, release.as_deref())?,
            pool_size: number("DATABASE_POOL_SIZE", 20, 1..=200, "a number of connections, 1 to 200")? as usize,
            database_timeout: Duration::from_secs(number("DATABASE_TIMEOUT", 30, 1..=600, "seconds, 1 to 600")?),
            seed_demo: match var("MPS_SEED").as_deref() {
                None | Some("none") => false,
                Some("demo") => true,
                Some(other) => {
                    return Err(Error::Setting {
                        name: "MPS_SEED",
                        value: other.to_owned(),
                        expected: "`demo` or `none`",
                    });
                }
            },
            breakable: var("MPS_BREAKABLE").is_some_and(|value| value == "1"),
            breakage: match var("MPS_BREAK") {
                None => Breakage::None,
                Some(value) => Breakage::parse(&value).ok_or(Error::Setting {
                    name: "MPS_BREAK",
                    value,
                    expected: "`none`, `slow:MS`, `error:PERCENT`, `leak:MB_A_SECOND`, `unready`, `hang`, `crash:SECONDS`, `exit`, `migrate-fail` or `migrate-hang`",
                })?,
            },
            drain: Duration::from_secs(number("DRAIN_SECONDS", 1, 0..=3600, "seconds, 0 to 3600")?),
            replica: var("TEND_REPLICA")
                .or_else(|| var("TEND_SLOT"))
                .unwrap_or_else(|| format!("mps-api/{}", std::process::id())),
            version: var("APP_VERSION").unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
            release,
            log_info: log_info(&log_level).ok_or(Error::Setting {
                name: "LOG_LEVEL",
                value: log_level,
                expected: LOG_LEVELS,
            })?,
            live_socket: var("TEND_CONFIG_SOCKET").map(PathBuf::from),
        })
    }
}

/// What a level of the log may be.
pub(crate) const LOG_LEVELS: &str = "`debug`, `info`, `warn` or `error`";

/// Tells whether a level has requests carried out logged; none where it is no level.
pub(crate) fn log_info(level: &str) -> Option<bool> {
    match level {
        "debug" | "info" => Some(true),
        "warn" | "error" => Some(false),
        _ => None,
    }
}

fn database(var: &impl Fn(&str) -> Option<String>, release: Option<&str>) -> Result<DatabaseUrl, Error> {
    // A release is started in a folder of its own, which the next one does not share and which goes with it.
    let sqlite = |path: PathBuf| match release {
        Some(release) if path.is_relative() => Err(Error::DataInRelease {
            release: release.to_owned(),
            path,
        }),
        _ => Ok(DatabaseUrl::Sqlite(path)),
    };
    let Some(url) = var("DATABASE_URL") else {
        let folder = var("MPS_DATA_DIR").or_else(|| var("TEND_DATA_DIR"));
        return sqlite(
            folder
                .map_or_else(|| PathBuf::from("data"), PathBuf::from)
                .join("mps.sqlite"),
        );
    };
    if let Some(path) = url.strip_prefix("sqlite:") {
        // Both `sqlite:PATH` and the longer `sqlite://PATH` are met in the wild.
        return sqlite(PathBuf::from(path.strip_prefix("//").unwrap_or(path)));
    }
    if url.starts_with("postgresql://") || url.starts_with("postgres://") {
        return Ok(DatabaseUrl::Postgres(url));
    }
    // The value is not repeated: it may be a URL with a password.
    Err(Error::Setting {
        name: "DATABASE_URL",
        value: url.split(':').next().unwrap_or_default().to_owned() + ":…",
        expected: "`sqlite:PATH` or `postgresql://…`",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<Config, Error> {
        Config::read(|name| {
            vars.iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_database_is_a_file_in_the_data_folder_unless_a_url_says_otherwise() {
        let cases: [(&[(&str, &str)], &str); 7] = [
            (&[], "sqlite:data/mps.sqlite"),
            (
                &[("TEND_DATA_DIR", "/srv/mps"), ("MPS_DATA_DIR", "/srv/books")],
                "sqlite:/srv/books/mps.sqlite",
            ),
            (
                &[("TEND_DATA_DIR", "/srv/mps"), ("TEND_RELEASE", "7")],
                "sqlite:/srv/mps/mps.sqlite",
            ),
            (&[("TEND_DATA_DIR", "/srv/mps")], "sqlite:/srv/mps/mps.sqlite"),
            (
                &[("TEND_DATA_DIR", "/srv/mps"), ("DATABASE_URL", "")],
                "sqlite:/srv/mps/mps.sqlite",
            ),
            (&[("DATABASE_URL", "sqlite:books.db")], "sqlite:books.db"),
            (&[("DATABASE_URL", "postgresql://mps:secret@db/mps")], "postgresql://…"),
        ];
        for (vars, database) in cases {
            assert_eq!(format!("{:?}", read(vars).expect("valid").database), database);
        }
    }

    #[test]
    fn a_release_keeps_its_database_outside_its_own_folder() {
        for vars in [
            &[("TEND_RELEASE", "7")][..],
            &[("TEND_RELEASE", "7"), ("DATABASE_URL", "sqlite:books.db")],
            &[("TEND_RELEASE", "7"), ("MPS_DATA_DIR", "data")],
        ] {
            let error = read(vars).expect_err("relative").to_string();
            assert!(error.contains("release 7"), "{error}");
        }
    }

    #[test]
    fn a_value_that_means_nothing_is_named_and_a_password_is_not() {
        for (name, value) in [
            ("PORT", "http"),
            ("DATABASE_POOL_SIZE", "0"),
            ("MPS_BREAK", "sideways"),
            ("LOG_LEVEL", "loud"),
        ] {
            let error = read(&[(name, value)]).expect_err("invalid").to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
        let error = read(&[("DATABASE_URL", "mysql://mps:secret@db/mps")])
            .expect_err("invalid")
            .to_string();
        assert!(error.contains("mysql:…") && !error.contains("secret"), "{error}");
    }
}
