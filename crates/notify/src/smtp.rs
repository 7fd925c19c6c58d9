//! A mail given to a server: SMTP with STARTTLS or TLS from the first byte, and authentication. Knows nothing of what the mail says.
//!
//! ```text
//! connect ─► [TLS] ─► greeting ─► EHLO ─► [STARTTLS ─► EHLO] ─► [AUTH] ─► MAIL ─► RCPT… ─► DATA ─► QUIT
//! ```

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use tend_alert::Mail;
use tend_base::{Secret, fnv64, to_hex};
use tend_fetch::{Stream, Tls, dial};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::NotifierError;
use crate::reply::{Abilities, LINE_MAX, LINES_MAX, Reply, line};

/// Of so many mails it is remembered which receivers have them, while others of the same mail are still to be told.
const TAKEN_MAX: usize = 256;

/// The port on which mail is encrypted from the first byte.
const IMPLICIT_PORT: u16 = 465;

/// Where a mail goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    host: String,
    port: u16,
}

impl Server {
    pub(crate) fn of(mail: &Mail) -> Result<Self, NotifierError> {
        let wrong = || NotifierError::Smarthost {
            smarthost: mail
                .smarthost
                .chars()
                .filter(|character| !character.is_control())
                .take(100)
                .collect(),
        };
        let (host, port) = mail.smarthost.trim().rsplit_once(':').ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
        if host.is_empty() || !host.bytes().all(plain) {
            return Err(wrong());
        }
        let port = match port {
            "smtp" => 25,
            "smtps" | "submissions" => IMPLICIT_PORT,
            "submission" => 587,
            port => port.parse().map_err(|_| wrong())?,
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }

    pub(crate) fn at(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Nobody can listen on the way to this machine.
    fn is_here(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost") || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// Which receivers have a mail already, by its name: who could not be told yet is told by the next try, and who was is not told twice.
#[derive(Debug, Default)]
pub(crate) struct Taken(Mutex<VecDeque<(String, Vec<String>)>>);

impl Taken {
    fn by(&self, name: &str) -> Vec<String> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = taken.iter().find(|(known, _)| known == name);
        found.map(|(_, by)| by.clone()).unwrap_or_default()
    }

    fn set(&self, name: &str, by: Vec<String>) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|(known, _)| known != name);
        if !by.is_empty() {
            taken.push_back((name.to_owned(), by));
        }
        while taken.len() > TAKEN_MAX {
            taken.pop_front();
        }
    }
}

/// Gives a mail to a server; returns what it said.
pub(crate) async fn send(
    server: &Server,
    mail: &Mail,
    tls: &Tls,
    taken: &Taken,
    within: Duration,
) -> Result<String, NotifierError> {
    let mut talk = Talk::begin(server, mail, tls, within).await?;
    let sent = talk.deliver(mail, taken).await;
    // Out of politeness: what was taken is taken.
    let _ = talk.stream.write_all(b"QUIT\r\n").await;
    let _ = talk.stream.shutdown().await;
    sent
}

/// A conversation.
struct Talk {
    server: Server,
    stream: Box<dyn Stream>,
    encrypted: bool,
    /// What was read and not yet looked at.
    heard: Vec<u8>,
    can: Abilities,
}

impl Talk {
    async fn begin(server: &Server, mail: &Mail, tls: &Tls, within: Duration) -> Result<Self, NotifierError> {
        let implicit = mail.implicit_tls || server.port == IMPLICIT_PORT;
        let prepared = match implicit || mail.require_tls {
            true => Some(tls.prepare().await?),
            false => None,
        };
        let stream: Box<dyn Stream> = Box::new(dial(&server.host, server.port, within).await?);
        let mut talk = Self {
            server: server.clone(),
            stream,
            encrypted: false,
            heard: Vec::new(),
            can: Abilities::default(),
        };
        let hello = match mail.hello.as_str() {
            hello if !hello.is_empty() && hello.bytes().all(|byte| byte.is_ascii_graphic()) => hello,
            _ => "localhost",
        };
        let Some(prepared) = prepared else {
            talk.greeted(hello).await?;
            return talk.authenticate(mail).await;
        };
        if !implicit {
            talk.greeted(hello).await?;
            if !talk.can.starttls {
                return Err(talk.unwilling(
                    "it does not offer STARTTLS, and `require_tls` is on: the mail would be read by whoever listens on the way",
                ));
            }
            talk.ask("STARTTLS", 220, "to STARTTLS").await?;
            if !talk.heard.is_empty() {
                // Somebody in between put words in before the encryption began (CVE-2011-0411).
                return Err(talk.not_smtp());
            }
        }
        let plain = std::mem::replace(&mut talk.stream, Box::new(tokio::io::empty()));
        let wrapped = prepared.wrap(plain, &server.host, server.port, within).await?;
        talk.stream = Box::new(wrapped);
        talk.encrypted = true;
        if implicit {
            talk.greeted(hello).await?;
        } else {
            talk.hello(hello).await?;
        }
        talk.authenticate(mail).await
    }

    async fn greeted(&mut self, hello: &str) -> Result<(), NotifierError> {
        self.expect(220, "at the greeting").await?;
        self.hello(hello).await
    }

    async fn hello(&mut self, hello: &str) -> Result<(), NotifierError> {
        let reply = self.say(&format!("EHLO {hello}"), "to EHLO").await?;
        if reply.code == 250 {
            self.can = Abilities::of(&reply);
            return Ok(());
        }
        // A very old server knows only this.
        self.can = Abilities::default();
        self.ask(&format!("HELO {hello}"), 250, "to HELO").await?;
        Ok(())
    }

    async fn authenticate(mut self, mail: &Mail) -> Result<Self, NotifierError> {
        let Some(user) = mail.username.as_deref().filter(|user| !user.is_empty()) else {
            return Ok(self);
        };
        // A relay inside asks nobody who he is; Alertmanager goes on as well.
        if self.can.auth.is_empty() {
            return Ok(self);
        }
        let offers = |name: &str| self.can.auth.iter().any(|known| known == name);
        let readable = !self.encrypted && !self.server.is_here();
        let password = mail.password.as_ref().filter(|_| !readable);
        let cram_secret = mail.cram_secret.as_ref().or(mail.password.as_ref());
        match (password, cram_secret) {
            (Some(password), _) if offers("PLAIN") => {
                let identity = mail.identity.as_deref().unwrap_or_default();
                let words = Secret::new(format!("{identity}\0{user}\0{}", password.expose()));
                let command = Secret::new(format!("AUTH PLAIN {}", STANDARD.encode(words.expose())));
                self.ask(command.expose(), 235, "to the password").await?;
            }
            (Some(password), _) if offers("LOGIN") => {
                self.ask("AUTH LOGIN", 334, "to AUTH").await?;
                self.ask(&STANDARD.encode(user), 334, "to the user").await?;
                let word = Secret::new(STANDARD.encode(password.expose()));
                self.ask(word.expose(), 235, "to the password").await?;
            }
            (_, Some(secret)) if offers("CRAM-MD5") => {
                let reply = self.ask("AUTH CRAM-MD5", 334, "to AUTH").await?;
                let challenge = reply.lines.first().and_then(|line| STANDARD.decode(line.trim()).ok());
                let challenge = challenge.ok_or_else(|| self.not_smtp())?;
                let proof = format!("{user} {}", to_hex(&hmac_md5(secret.expose().as_bytes(), &challenge)));
                self.ask(&STANDARD.encode(proof), 235, "to the password").await?;
            }
            (None, Some(_)) if readable => {
                return Err(self.unwilling(
                    "the connection is not encrypted, so the password would be read by whoever listens on the way; set `require_tls: true`",
                ));
            }
            (None, None) => return Err(self.unwilling("there is a user and no `auth_password`")),
            _ => {
                let why = format!(
                    "it offers {}; PLAIN, LOGIN and CRAM-MD5 are known here",
                    self.can.auth.join(", ")
                );
                return Err(self.unwilling(&why));
            }
        }
        Ok(self)
    }

    async fn deliver(&mut self, mail: &Mail, taken: &Taken) -> Result<String, NotifierError> {
        let addresses = || mail.to.iter().chain([&mail.from]);
        let odd = |address: &&String| {
            address
                .chars()
                .any(|letter| letter.is_control() || " <>".contains(letter))
        };
        if addresses().any(|address| odd(&address)) {
            return Err(self.unwilling("an address has letters that no address has"));
        }
        let foreign = addresses().any(|address| !address.is_ascii());
        if foreign && !self.can.utf8 {
            return Err(self.unwilling("an address is not ASCII, and it does not offer SMTPUTF8"));
        }
        if let Some(Some(most)) = self.can.size
            && mail.message.len() as u64 > most
        {
            return Err(self.unwilling(&format!(
                "the mail has {} bytes, and it takes {most}",
                mail.message.len()
            )));
        }
        let mut command = format!("MAIL FROM:<{}>", mail.from);
        if self.can.size.is_some() {
            command.push_str(&format!(" SIZE={}", mail.message.len()));
        }
        if !mail.message.is_ascii() && self.can.eight_bit {
            command.push_str(" BODY=8BITMIME");
        }
        if foreign {
            command.push_str(" SMTPUTF8");
        }
        self.ask(&command, 250, "to the sender").await?;
        let name = format!("{} {}", self.server.at(), name_of(&mail.message));
        let mut have = taken.by(&name);
        let (mut accepted, mut later, mut never) = (Vec::new(), None, Vec::new());
        for to in mail.to.iter().filter(|to| !have.contains(to)) {
            let reply = self.say(&format!("RCPT TO:<{to}>"), "to a receiver").await?;
            match reply.code {
                250..=259 => accepted.push(to.clone()),
                _ if reply.is_transient() => later = Some(reply),
                _ => never.push(reply),
            }
        }
        if accepted.is_empty() {
            return match (later, never.first(), have.is_empty()) {
                (Some(reply), ..) => Err(reply.error(&self.server.at(), "to a receiver")),
                (None, Some(reply), true) => Err(reply.error(&self.server.at(), "to a receiver")),
                // All who can have it have it.
                _ => {
                    taken.set(&name, Vec::new());
                    Ok("every receiver has it".to_owned())
                }
            };
        }
        self.ask("DATA", 354, "to DATA").await?;
        let whole = stuffed(&mail.message);
        let during = "while the mail was written";
        self.write(&whole, during).await?;
        let reply = self.expect(250, "to the mail").await?;
        have.extend(accepted);
        if let Some(later) = later {
            taken.set(&name, have);
            return Err(later.error(&self.server.at(), "to a receiver"));
        }
        taken.set(&name, Vec::new());
        let mut said = reply.said();
        for reply in never {
            said.push_str(&format!("; to a receiver `{}`", reply.said()));
        }
        Ok(said)
    }

    async fn ask(&mut self, command: &str, wanted: u16, during: &'static str) -> Result<Reply, NotifierError> {
        let reply = self.say(command, during).await?;
        self.wanted(reply, wanted, during)
    }

    async fn expect(&mut self, wanted: u16, during: &'static str) -> Result<Reply, NotifierError> {
        let reply = self.hear(during).await?;
        self.wanted(reply, wanted, during)
    }

    fn wanted(&self, reply: Reply, wanted: u16, during: &'static str) -> Result<Reply, NotifierError> {
        match reply.code == wanted {
            true => Ok(reply),
            false => Err(reply.error(&self.server.at(), during)),
        }
    }

    async fn say(&mut self, command: &str, during: &'static str) -> Result<Reply, NotifierError> {
        let whole = Secret::new(format!("{command}\r\n"));
        self.write(whole.expose(), during).await?;
        self.hear(during).await
    }

    async fn write(&mut self, text: &str, during: &'static str) -> Result<(), NotifierError> {
        let written = async {
            self.stream.write_all(text.as_bytes()).await?;
            self.stream.flush().await
        };
        written.await.map_err(|source| NotifierError::Broken {
            at: self.server.at(),
            during,
            source,
        })
    }

    async fn hear(&mut self, during: &'static str) -> Result<Reply, NotifierError> {
        let mut lines = Vec::new();
        loop {
            while let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let bytes: Vec<u8> = self.heard.drain(..=end).collect();
                let (code, last, text) = line(&bytes).ok_or_else(|| self.not_smtp())?;
                lines.push(text);
                if last {
                    return Ok(Reply { code, lines });
                }
            }
            if self.heard.len() > LINE_MAX || lines.len() > LINES_MAX {
                return Err(self.not_smtp());
            }
            let mut more = [0; 1024];
            let read = self.stream.read(&mut more).await.and_then(|count| match count {
                0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => Ok(count),
            });
            let count = read.map_err(|source| NotifierError::Broken {
                at: self.server.at(),
                during,
                source,
            })?;
            self.heard.extend_from_slice(&more[..count]);
        }
    }

    fn not_smtp(&self) -> NotifierError {
        NotifierError::NotSmtp { at: self.server.at() }
    }

    fn unwilling(&self, why: &str) -> NotifierError {
        NotifierError::Unwilling {
            at: self.server.at(),
            why: why.to_owned(),
        }
    }
}

/// A mail as it is written behind `DATA`: dots that begin a line doubled, and its end.
fn stuffed(message: &str) -> String {
    let mut out = String::with_capacity(message.len() + 64);
    for text in message.split_inclusive('\n') {
        if text.starts_with('.') {
            out.push('.');
        }
        let text = text.trim_end_matches(['\r', '\n']);
        out.push_str(text);
        out.push_str("\r\n");
    }
    out.push_str(".\r\n");
    out
}

/// What a mail is known by from try to try. The id that the pipeline gives is the same for all of them, also where the mail is written anew; one
/// that somebody configured says nothing, so then it is the mail itself.
fn name_of(message: &str) -> String {
    let head = message.split("\r\n\r\n").next().unwrap_or_default();
    let id = head
        .split("\r\n")
        .find_map(|line| line.strip_prefix("Message-Id: <tend."));
    id.map_or_else(|| format!("{:016x}", fnv64(message.as_bytes())), str::to_owned)
}

/// RFC 2104 over MD5, which CRAM-MD5 (RFC 2195) wants.
fn hmac_md5(key: &[u8], text: &[u8]) -> [u8; 16] {
    const BLOCK: usize = 64;
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        block[..16].copy_from_slice(&Md5::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Md5::new()
        .chain_update(block.map(|byte| byte ^ 0x36))
        .chain_update(text)
        .finalize();
    Md5::new()
        .chain_update(block.map(|byte| byte ^ 0x5c))
        .chain_update(inner)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proof_is_that_of_the_standards_example() {
        let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
        assert_eq!(
            to_hex(&hmac_md5(b"tanstaaftanstaaf", challenge)),
            "b913a602c7eda7a495b4e6e7334d3890"
        );
        // RFC 2202, case 6: a key longer than a block.
        let text = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(to_hex(&hmac_md5(&[0xaa; 80], text)), "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd");
    }

    #[test]
    fn dots_that_begin_a_line_are_doubled_and_every_line_ends_the_same() {
        assert_eq!(stuffed("a\r\n.\r\n..b\r\n"), "a\r\n..\r\n...b\r\n.\r\n");
        assert_eq!(stuffed("a\n.b"), "a\r\n..b\r\n.\r\n");
        assert_eq!(stuffed(""), ".\r\n");
    }
}
