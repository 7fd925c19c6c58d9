//! The service's database, a MariaDB: one session that is kept open, as services keep theirs, of the server's own client.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Adds a row, and tells who did and how many there are.
const ASK: &str = "INSERT INTO visits VALUES (); SELECT CONCAT(CURRENT_USER(), ' ', COUNT(*)) FROM visits;\n";

struct Session {
    process: Child,
    statements: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Asks the database of `DATABASE_URL` once.
///
/// # Errors
/// When it refuses or is away. The session is not opened anew for the same request: that one has failed.
pub(crate) fn ask() -> io::Result<String> {
    static SESSION: Mutex<Option<Session>> = Mutex::new(None);
    let mut kept = SESSION.lock().unwrap_or_else(PoisonError::into_inner);
    let mut session = match kept.take() {
        Some(session) => session,
        None => open()?,
    };
    session.statements.write_all(ASK.as_bytes())?;
    session.statements.flush()?;
    let mut answer = String::new();
    if session.answers.read_line(&mut answer)? == 0 {
        let status = session.process.wait()?;
        return Err(io::Error::other(format!("the session ended: {status}")));
    }
    *kept = Some(session);
    Ok(answer)
}

fn open() -> io::Result<Session> {
    let url = std::env::var("DATABASE_URL").map_err(io::Error::other)?;
    let (user, password, database, socket) = parse(&url)
        .ok_or_else(|| io::Error::other("DATABASE_URL is no mysql://USER:PASSWORD@HOST/NAME?socket=PATH"))?;
    let mut process = Command::new("mariadb")
        .args(["--no-defaults", "--batch", "--unbuffered", "--skip-column-names"])
        .args([
            format!("--user={user}"),
            format!("--socket={socket}"),
            format!("--database={database}"),
        ])
        .env("MYSQL_PWD", password)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let missing = || io::Error::other("a pipe is missing");
    Ok(Session {
        statements: process.stdin.take().ok_or_else(missing)?,
        answers: BufReader::new(process.stdout.take().ok_or_else(missing)?),
        process,
    })
}

fn parse(url: &str) -> Option<(&str, &str, &str, &str)> {
    let (user, rest) = url.strip_prefix("mysql://")?.split_once(':')?;
    let (password, rest) = rest.split_once('@')?;
    let (_, rest) = rest.split_once('/')?;
    let (database, socket) = rest.split_once("?socket=")?;
    Some((user, password, database, socket))
}
