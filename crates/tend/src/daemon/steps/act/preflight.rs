//! Looks whether a deployment can be done before anything is changed, and says all that stands in the way at once.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tend_base::format_bytes;
use tend_core::deployment::{Outcome, Purpose};
use tend_core::model::{Database, Port, Process, Service, Workload};
use tend_linux::Credentials;
use tend_migration::{Finding, Severity};

use super::{Identified, Scene, blocking, counted, identified, program, sentence};
use crate::daemon::migrations;
use crate::daemon::named_files;
use crate::daemon::steps::Performer;

/// How long a database server may take to accept a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The port of PostgreSQL where a URL names none.
const POSTGRES_PORT: u16 = 5432;

/// What was looked at, and what was seen.
#[derive(Default)]
struct Findings {
    looked: usize,
    wrong: Vec<String>,
    warnings: Vec<String>,
    held: Vec<String>,
}

impl Findings {
    fn take(&mut self, result: Result<(), String>) {
        self.looked += 1;
        self.wrong.extend(result.err());
    }
}

pub(super) async fn look(performer: &Arc<Performer>, scene: Scene) -> Outcome {
    let mut services = Vec::new();
    for (service, process) in processes(&scene) {
        let Some(launch) = scene.launch(performer, &service.name).await else {
            continue;
        };
        services.push((service.clone(), process.clone(), launch));
    }
    let work = Arc::clone(performer);
    let (findings, addresses) = blocking(move || {
        let mut findings = Findings::default();
        if scene.deployment.purpose == Purpose::Deploy {
            disk(&work, &scene, &mut findings);
        }
        for artifact in scene.target.artifacts.values() {
            let verified = tend_release::verify(artifact);
            findings.take(verified.map_err(|error| sentence(&error)));
        }
        let mut migrates_as = None;
        for (service, process, launch) in &services {
            match identified(&work, launch, scene.stack()) {
                Ok(who) => {
                    programs(&scene, service, process, &who, &mut findings);
                    if scene
                        .target
                        .stack
                        .deploy
                        .migrate
                        .as_ref()
                        .is_some_and(|it| it.service == service.name)
                    {
                        migrates_as = Some(who);
                    }
                }
                Err(why) => findings.take(Err(format!("{}: {why}", service.name))),
            }
            fixed_port(&scene, service, &mut findings);
        }
        if scene.deployment.purpose == Purpose::Deploy {
            for database in &scene.target.stack.deploy.databases {
                let user = migrates_as.as_ref().and_then(|who| who.who.as_ref());
                findings.take(reachable(database, user));
            }
            judge_migrations(&scene, &mut findings);
            let stack = &scene.target.stack;
            findings.looked += stack.edge.tls.certificates.len();
            let refused = named_files::certificates_refused(stack, work.shared.uid);
            let wrong = refused.into_iter().map(|not_taken| not_taken.why);
            findings.wrong.extend(wrong);
            findings.warnings.extend(named_files::missing_pages(stack));
        }
        let listeners = &scene.target.stack.edge.listeners;
        let addresses: Vec<SocketAddr> = listeners.iter().map(|listener| listener.address).collect();
        Ok((findings, addresses))
    })
    .await?;
    let mut findings = findings;
    if !addresses.is_empty() {
        let bound = performer.shared.listeners.bind_all(&addresses);
        findings.take(bound.map_err(|error| sentence(&error)));
    }
    if !findings.wrong.is_empty() {
        return Err(findings.wrong.join("; "));
    }
    let mut said = format!("{} looked at", counted(findings.looked, "thing"));
    if !findings.held.is_empty() {
        said = format!("{said}; held back: {}", findings.held.join(", "));
    }
    Ok(json!({
        "said": said,
        "looked_at": findings.looked,
        "warnings": findings.warnings,
        "held": findings.held,
    }))
}

fn processes(scene: &Scene) -> impl Iterator<Item = (&Service, &Process)> {
    scene
        .target
        .stack
        .services
        .values()
        .filter_map(|service| match &service.workload {
            Workload::Process(process) => Some((service, process)),
            Workload::Container { .. } => None,
        })
}

fn disk(performer: &Performer, scene: &Scene, findings: &mut Findings) {
    let state = &performer.shared.paths.state;
    let wanted = scene.target.stack.deploy.disk_free_min;
    findings.take(match tend_release::free_bytes(state) {
        Ok(free) if free >= wanted => Ok(()),
        Ok(free) => Err(format!(
            "the disk of `{}` has {} free, and {} are asked for (`disk_free_min`)",
            state.display(),
            format_bytes(free),
            format_bytes(wanted)
        )),
        Err(error) => Err(sentence(&error)),
    });
}

/// The programs of a service: what it runs, and the migration command where it is run by it.
fn programs(scene: &Scene, service: &Service, process: &Process, who: &Identified, findings: &mut Findings) {
    let path = who.environment.get("PATH").map(String::as_str).unwrap_or_default();
    let folder = &process.directory;
    if !folder.is_dir() {
        findings.take(Err(format!(
            "{}: its folder `{}` is not there",
            service.name,
            folder.display()
        )));
        return;
    }
    let own = process.command.first();
    let migrate = scene.target.stack.deploy.migrate.as_ref();
    let migrate = migrate.filter(|it| it.service == service.name && scene.deployment.purpose == Purpose::Deploy);
    let migrate = migrate.and_then(|migrate| migrate.command.first());
    for command in own.into_iter().chain(migrate) {
        let checked = program::check(command, folder, path);
        findings.take(checked.map(drop).map_err(|why| format!("{}: {why}", service.name)));
    }
}

/// A service with a port of its own needs it to be free, unless it is its own replica that has it.
fn fixed_port(scene: &Scene, service: &Service, findings: &mut Findings) {
    let Port::Fixed(port) = service.port else { return };
    let before = scene.before.services.get(&service.name).map(|before| &before.port);
    if before == Some(&Port::Fixed(port)) {
        return;
    }
    findings.take(
        match tend_linux::port_holder(SocketAddr::from(([127, 0, 0, 1], port))) {
            Some(holder) => Err(format!(
                "{}: its port {port} is taken by process {} ({})",
                service.name, holder.pid, holder.name
            )),
            None => Ok(()),
        },
    );
}

fn reachable(database: &Database, user: Option<&Credentials>) -> Result<(), String> {
    match database {
        Database::Sqlite(path) => {
            let folder = path.parent().unwrap_or(Path::new("/"));
            let metadata = std::fs::metadata(folder).map_err(|error| {
                let error = tend_base::without_os_numbers(&error.to_string());
                format!(
                    "the folder `{}` of the SQLite database cannot be used: {error}",
                    folder.display()
                )
            })?;
            let may = match user {
                Some(user) => may_write(&metadata, user),
                None => rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok(),
            };
            match may {
                true => Ok(()),
                false => Err(format!(
                    "the folder `{}` of the SQLite database may not be written by the service's user",
                    folder.display()
                )),
            }
        }
        Database::Postgres(url) => match server(url) {
            None => Err("the URL of the PostgreSQL database names no server".to_owned()),
            Some(Server::Socket(path)) => match std::os::unix::net::UnixStream::connect(&path) {
                Ok(_) => Ok(()),
                Err(error) => Err(unreachable_server(&path, &error)),
            },
            Some(Server::Host(host, port)) => connect(&host, port),
        },
    }
}

/// Returns whether a user may write into a folder, by its mode: this process may be root, who may always.
fn may_write(metadata: &std::fs::Metadata, user: &Credentials) -> bool {
    let (mode, owner, group) = (metadata.mode(), metadata.uid(), metadata.gid());
    if user.uid == 0 {
        return true;
    }
    let bits = if owner == user.uid {
        mode >> 6
    } else if group == user.gid || user.groups.contains(&group) {
        mode >> 3
    } else {
        mode
    };
    bits & 0o3 == 0o3
}

/// Where a PostgreSQL server is.
#[derive(Debug, PartialEq, Eq)]
enum Server {
    Host(String, u16),
    Socket(String),
}

/// Reads host and port out of a URL, and nothing else: the rest may be secret.
fn server(url: &str) -> Option<Server> {
    let (_, rest) = url.split_once("://")?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = rest.split('/').next().unwrap_or_default();
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let parameter = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.replace("%2F", "/").replace("%2f", "/"))
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(place) => {
            let (host, port) = place.split_once(']')?;
            (host, port.strip_prefix(':').unwrap_or_default())
        }
        None => place.rsplit_once(':').unwrap_or((place, "")),
    };
    let port = match port {
        "" => parameter("port").map_or(Some(POSTGRES_PORT), |port| port.parse().ok())?,
        port => port.parse().ok()?,
    };
    let host = match host {
        "" => parameter("host").unwrap_or_else(|| "localhost".to_owned()),
        host => host.replace("%2F", "/").replace("%2f", "/"),
    };
    Some(match host.starts_with('/') {
        true => Server::Socket(format!("{host}/.s.PGSQL.{port}")),
        false => Server::Host(host, port),
    })
}

fn connect(host: &str, port: u16) -> Result<(), String> {
    let place = format!("{host}:{port}");
    let addresses = (host, port)
        .to_socket_addrs()
        .map_err(|error| unreachable_server(&place, &error))?;
    let mut last = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_MAX) {
            Ok(_) => return Ok(()),
            Err(error) => last = Some(unreachable_server(&place, &error)),
        }
    }
    Err(last.unwrap_or_else(|| format!("the database server at {place} has no address")))
}

fn unreachable_server(place: &str, error: &std::io::Error) -> String {
    let error = tend_base::without_os_numbers(&error.to_string());
    format!("the database server at {place} cannot be reached: {error}")
}

/// What the migrations that the running release does not know would do.
fn judge_migrations(scene: &Scene, findings: &mut Findings) {
    let files = match migrations::files(&scene.target.stack) {
        Ok(files) => files,
        Err(why) => return findings.take(Err(why)),
    };
    let known: BTreeSet<&str> = scene
        .from()
        .into_iter()
        .flat_map(|from| &from.schema.migrations)
        .map(|migration| migration.name.as_str())
        .collect();
    let databases = &scene.target.stack.deploy.databases;
    let postgres = databases.iter().any(|it| matches!(it, Database::Postgres(_)));
    for file in files.iter().filter(|file| !known.contains(file.name.as_str())) {
        let classed = tend_migration::class(&file.name, &file.sql).1;
        let linted = tend_migration::lint(&file.name, &file.sql);
        findings.looked += 1;
        let text = |finding: &Finding| format!("{}:{}: {}; {}", file.name, finding.line, finding.what, finding.instead);
        for finding in classed.iter().chain(linted.iter().filter(|_| postgres)) {
            match finding.severity {
                Severity::Error => findings.wrong.push(text(finding)),
                Severity::Warning => findings.warnings.push(text(finding)),
            }
        }
        // Where no database is named it may be one of PostgreSQL: worth a look, no reason to refuse.
        findings
            .warnings
            .extend(linted.iter().filter(|_| databases.is_empty()).map(text));
    }
    findings.held = held(scene);
}

/// Returns the migrations that must not run yet, because a release that may have to run needs what they take away.
pub(super) fn held(scene: &Scene) -> Vec<String> {
    let Some(from) = scene.from() else {
        return Vec::new();
    };
    let back = scene.releases.back.and_then(|back| scene.releases.kept.get(&back));
    tend_migration::held(from, &scene.target, back)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_server_is_read_out_of_its_url_and_nothing_else() {
        let host = |host: &str, port| Some(Server::Host(host.to_owned(), port));
        assert_eq!(server("postgres://u:p@db.example:6432/mps"), host("db.example", 6432));
        assert_eq!(server("postgresql://u:p%40@db/mps?sslmode=disable"), host("db", 5432));
        assert_eq!(server("postgres://u:p@x@[::1]:5433/mps"), host("::1", 5433));
        assert_eq!(
            server("postgres:///mps?host=/run/pg&port=5555"),
            Some(Server::Socket("/run/pg/.s.PGSQL.5555".to_owned()))
        );
        assert_eq!(
            server("postgres://%2Frun%2Fpg/mps"),
            Some(Server::Socket("/run/pg/.s.PGSQL.5432".to_owned()))
        );
        assert_eq!(server("mps"), None);
    }

    #[test]
    fn a_database_that_cannot_be_reached_is_said_without_its_password() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let database = |port| Database::Postgres(format!("postgres://u:hunter2@127.0.0.1:{port}/mps"));
        assert_eq!(reachable(&database(port), None), Ok(()));
        // Port 1 is nobody's on this machine, or the test would have to say so.
        let error = reachable(&database(1), None).unwrap_err();
        assert!(error.contains("127.0.0.1:1") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn the_folder_of_a_database_has_to_be_there_and_writable() {
        assert!(reachable(&Database::Sqlite("/nowhere/at/all.sqlite".into()), None).is_err());
        let folder = std::env::temp_dir().join(format!("tend-preflight-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let database = Database::Sqlite(folder.join("mps.sqlite"));
        assert_eq!(reachable(&database, None), Ok(()));
        let metadata = std::fs::metadata(&folder).unwrap();
        let user = |uid| Credentials {
            uid,
            gid: uid,
            groups: Vec::new(),
        };
        assert!(may_write(&metadata, &user(metadata.uid())));
        assert!(!may_write(&metadata, &user(4711)));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
