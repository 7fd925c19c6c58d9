//! Dumping a PostgreSQL database with `pg_dump`, and reading the dump back with `pg_restore`.
//!
//! Reading back means: its table of contents is compared with the server's tables, and every row of its data is unpacked and counted. It
//! is not restored into a database: that takes as long as a restore, and proves no more rows than counting them does. A password is in no
//! command line, error or file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::Deadline;
use crate::error::Error;
use crate::program::Program;
use crate::source::Owner;

/// Debian's package of all three programs.
const PACKAGE: &str = "postgresql-client";

/// Seconds for a connection; a server that is away is not waited for as long as a dump may take.
const CONNECT_SECONDS: &str = "10";

/// Of a line, so much is looked at: enough for `COPY` with the longest names.
const LINE_HEAD_BYTES: usize = 1024;

/// The tables that `pg_dump` dumps: no system's, no extension's, no temporary ones.
const COUNT_TABLES: &str = "
    SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
      AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.deptype = 'e'
                      AND (d.classid, d.objid) IN (('pg_catalog.pg_class'::regclass, c.oid), ('pg_catalog.pg_namespace'::regclass, n.oid)))";

/// A database of a server.
pub(super) struct Server {
    /// Its URL without a password, as libpq takes it, and as it may be shown.
    pub(super) url: String,
    password: Option<String>,
}

impl Server {
    /// Reads a URL; the password is taken out of it, wherever it stands.
    pub(super) fn parse(url: &str) -> Result<Self, Error> {
        let refuse = |why| Error::DatabaseUrl { why };
        let scheme = ["postgresql://", "postgres://"]
            .into_iter()
            .find(|scheme| url.starts_with(scheme));
        let scheme = scheme.ok_or_else(|| refuse("it does not begin with `postgresql://`"))?;
        let (address, parameters) = url[scheme.len()..]
            .split_once('?')
            .unwrap_or((&url[scheme.len()..], ""));
        let (authority, path) = address.split_once('/').unwrap_or((address, ""));
        if path.contains('@') {
            return Err(refuse("an `@` stands behind a `/`; write a `/` in a password as %2F"));
        }
        let (user, hosts) = authority
            .split_once('@')
            .map_or((None, authority), |(user, hosts)| (Some(user), hosts));
        let (user, mut password) = match user.and_then(|user| user.split_once(':')) {
            Some((user, password)) => (Some(user), Some(password)),
            None => (user, None),
        };
        if hosts.contains('@') {
            return Err(refuse("it has two `@`; write an `@` in a password as %40"));
        }
        let mut kept = Vec::new();
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("password", value)) => password = Some(value),
                Some(("sslpassword", _)) => {
                    return Err(refuse(
                        "`sslpassword` can be passed on in a command line only; use a key without one",
                    ));
                }
                _ => kept.push(parameter),
            }
        }
        let user = user.map(|user| format!("{user}@")).unwrap_or_default();
        let slash = if address.contains('/') { "/" } else { "" };
        let question = if kept.is_empty() { "" } else { "?" };
        let password =
            password.map(|password| decoded(password).ok_or_else(|| refuse("a `%` has no two digits behind it")));
        Ok(Self {
            url: format!("postgresql://{user}{hosts}{slash}{path}{question}{}", kept.join("&")),
            password: password.transpose()?,
        })
    }

    fn program(&self, name: &str, owner: Option<Owner>, deadline: Deadline) -> Program {
        let mut program = Program::new(name, "", PACKAGE, owner, deadline.left());
        program.command.env("PGCONNECT_TIMEOUT", CONNECT_SECONDS);
        if let Some(password) = &self.password {
            program.command.env("PGPASSWORD", password);
        }
        program
    }
}

/// Dumps the database into `file`, which is at `path`, reads the dump back, and returns the rows of its tables.
pub(super) fn dump(
    server: &Server,
    path: &Path,
    file: File,
    owner: Option<Owner>,
    deadline: Deadline,
) -> Result<BTreeMap<String, u64>, Error> {
    let mut ask = server.program("psql", owner, deadline);
    ask.command
        .args([
            "--no-psqlrc",
            "--no-password",
            "--tuples-only",
            "--no-align",
            "--command",
            COUNT_TABLES,
            "--dbname",
        ])
        .arg(&server.url);
    let said = ask.output()?;
    let expected: u64 = String::from_utf8_lossy(&said)
        .trim()
        .parse()
        .map_err(|_| Error::Program {
            program: "psql".to_owned(),
            why: "the number of tables cannot be read".to_owned(),
        })?;

    let mut dump = server.program("pg_dump", owner, deadline);
    // The lightest compression: the service waits for its deploy, and the disk is not that slow.
    dump.command
        .args(["--format=custom", "--compress=1", "--no-password", "--dbname"])
        .arg(&server.url);
    dump.into_file(file)?;

    let reader = |arguments: &[&str]| -> Result<Program, Error> {
        let mut program = Program::new("pg_restore", "", PACKAGE, owner, deadline.left());
        // Opened by us: the folder is closed to who runs it.
        let dump = File::open(path).map_err(Error::file("read", path))?;
        program.command.args(arguments).stdin(dump);
        Ok(program)
    };
    let listed = reader(&["--list"])?.output()?;
    let contents = Contents::parse(&String::from_utf8_lossy(&listed));
    let rows = reader(&["--data-only", "--file=-"])?.read(count)?;
    let rows = rows.map_err(Error::file("read back", path))?;
    let why = if contents.tables < expected {
        format!("it has {} tables, and the server had {expected}", contents.tables)
    } else if rows.len() as u64 != contents.data {
        format!(
            "it names the data of {} tables and holds those of {}",
            contents.data,
            rows.len()
        )
    } else {
        return Ok(rows);
    };
    Err(Error::NotReadBack {
        of: server.url.clone(),
        why,
    })
}

/// What the table of contents of a dump names.
#[derive(Debug, PartialEq, Eq)]
struct Contents {
    tables: u64,
    /// Tables that have data; a partitioned one has not, its partitions have.
    data: u64,
}

impl Contents {
    /// Reads what `pg_restore --list` says: `ID; OID OID KIND SCHEMA NAME OWNER`, the kind in capitals and of several words.
    fn parse(text: &str) -> Self {
        let mut contents = Self { tables: 0, data: 0 };
        for line in text.lines().filter(|line| !line.starts_with(';')) {
            let mut words = line.split(' ').skip(3);
            match (words.next(), words.next()) {
                (Some("TABLE"), Some("DATA")) => contents.data += 1,
                (Some("TABLE"), Some("ATTACH")) | (None, _) => {}
                (Some("TABLE"), _) => contents.tables += 1,
                _ => {}
            }
        }
        contents
    }
}

/// Counts the rows of each table in what `pg_restore` writes: `COPY NAME (COLUMNS) FROM stdin;`, a line for each row, `\.`.
fn count(data: impl Read) -> io::Result<BTreeMap<String, u64>> {
    let mut rows = BTreeMap::new();
    let mut table: Option<(String, u64)> = None;
    let mut lines = BufReader::with_capacity(256 << 10, data);
    let mut head = Vec::new();
    while read_head(&mut lines, &mut head)? {
        match &mut table {
            Some(_) if head == b"\\." => rows.extend(table.take()),
            Some((_, count)) => *count += 1,
            None => {
                if let Some(rest) = head.strip_prefix(b"COPY ".as_slice())
                    && head.ends_with(b" FROM stdin;")
                {
                    table = Some((name(&String::from_utf8_lossy(rest)), 0));
                }
            }
        }
    }
    match table {
        // Cut off within its data.
        Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        None => Ok(rows),
    }
}

/// Reads a line and keeps of it its first and last bytes; a row may be of a gigabyte. Returns false at the end.
fn read_head(lines: &mut impl BufRead, head: &mut Vec<u8>) -> io::Result<bool> {
    head.clear();
    let mut any = false;
    loop {
        let buffer = lines.fill_buf()?;
        if buffer.is_empty() {
            return Ok(any);
        }
        any = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let line = &buffer[..end.unwrap_or(buffer.len())];
        head.extend_from_slice(line);
        if head.len() > 2 * LINE_HEAD_BYTES {
            let middle = LINE_HEAD_BYTES..head.len() - LINE_HEAD_BYTES;
            head.drain(middle);
        }
        let count = line.len() + usize::from(end.is_some());
        lines.consume(count);
        if end.is_some() {
            return Ok(true);
        }
    }
}

/// Returns the name at the beginning of a text, `schema.table`, without the quotes it may have.
fn name(text: &str) -> String {
    let mut name = String::new();
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => name.extend(letters.next()),
            '"' => quoted = !quoted,
            ' ' if !quoted => break,
            other => name.push(other),
        }
    }
    name
}

/// Returns a text with its `%41` replaced.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(behind.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &behind[2..];
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_taken_out_of_a_url_wherever_it_stands() {
        for (url, plain, password) in [
            (
                "postgresql://mps:s%2Fecret@db:5432/books?sslmode=require",
                "postgresql://mps@db:5432/books?sslmode=require",
                Some("s/ecret"),
            ),
            (
                "postgres:///books?host=/run/postgresql&user=mps&password=secret",
                "postgresql:///books?host=/run/postgresql&user=mps",
                Some("secret"),
            ),
            ("postgresql://db", "postgresql://db", None),
            ("postgresql://mps@db/books", "postgresql://mps@db/books", None),
        ] {
            let server = Server::parse(url).unwrap();
            assert_eq!(server.url, plain);
            assert_eq!(server.password.as_deref(), password);
        }
    }

    #[test]
    fn a_url_whose_password_would_be_shown_is_refused_without_showing_it() {
        for url in [
            "postgresql://mps:se/cret@db/books",
            "postgresql://mps:se@cret@db/books",
            "postgresql://mps:secret%@db/books",
            "postgresql://db/books?sslpassword=secret",
            "mysql://mps:secret@db/books",
        ] {
            let error = Server::parse(url).map(|server| server.url).unwrap_err();
            let text = format!("{error} {error:?} {:?}", error.hint());
            assert!(!text.contains("cret"), "{url}: {text}");
        }
    }

    #[test]
    fn rows_are_counted_in_data_that_looks_like_anything() {
        let long = "x".repeat(1 << 20);
        let text = format!(
            "SET x = 1;\n\nCOPY app.\"odd \"\" name\" (a, b) FROM stdin;\n1\t{long}\nCOPY app.x (a) FROM stdin;\n\n\\N\n\\.\n\n\
             COPY app.empty (a) FROM stdin;\n\\.\n"
        );
        let rows = count(text.as_bytes()).unwrap();
        assert_eq!(
            rows,
            BTreeMap::from([("app.odd \" name".to_owned(), 4), ("app.empty".to_owned(), 0)])
        );
        assert!(count(&b"COPY a (a) FROM stdin;\n1\n"[..]).is_err(), "cut off");
    }

    #[test]
    fn contents_are_counted_by_kind() {
        let text = ";\n; Archive created at 2026\n;\n215; 1259 16386 TABLE app orders mps\n216; 1259 16390 TABLE app parts mps\n\
                    3307; 0 0 TABLE ATTACH app parts_1 mps\n3401; 0 16386 TABLE DATA app orders mps\n4; 2615 16385 SCHEMA - app mps\n";
        assert_eq!(Contents::parse(text), Contents { tables: 2, data: 1 });
    }
}
