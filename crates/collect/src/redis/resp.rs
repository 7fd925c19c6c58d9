//! Redis' protocol, RESP2, as bytes. Opens nothing; no bytes make it panic.

/// What a server answers.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reply {
    /// `+OK`, and strings that are there.
    Text(String),
    /// `-ERR …`: the command was refused.
    Refused(String),
    /// `:17`
    Number(i64),
    /// `$-1` and `*-1`
    Nothing,
    /// `*2`
    List(Vec<Reply>),
}

/// What came is no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Garbled;

/// A reply as a whole. INFO of a server with every command ever used is some 30 kB.
pub(super) const REPLY_BYTES_LIMIT: usize = 4 << 20;

/// Lists within lists; LATENCY and SLOWLOG have two.
const DEPTH_MAX: usize = 8;

/// A line without its string: a number or a message.
const LINE_BYTES_LIMIT: usize = 64 << 10;

/// Appends a command.
pub(super) fn write_command(out: &mut Vec<u8>, words: &[&str]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// Reads the reply at the beginning of `bytes`; returns it with its length, or `None` when more must come first.
pub(super) fn read_reply(bytes: &[u8]) -> Result<Option<(Reply, usize)>, Garbled> {
    let mut at = 0;
    let reply = read(bytes, &mut at, 0)?;
    if reply.is_none() && bytes.len() > REPLY_BYTES_LIMIT {
        return Err(Garbled);
    }
    Ok(reply.map(|reply| (reply, at)))
}

fn read(bytes: &[u8], at: &mut usize, depth: usize) -> Result<Option<Reply>, Garbled> {
    if depth > DEPTH_MAX {
        return Err(Garbled);
    }
    let Some((&kind, rest)) = bytes.get(*at..).and_then(<[u8]>::split_first) else {
        return Ok(None);
    };
    let Some(end) = rest.iter().take(LINE_BYTES_LIMIT).position(|byte| *byte == b'\n') else {
        // What is no RESP at all is known by its first byte, what never ends a line by its length.
        return if b"+-:$*".contains(&kind) && rest.len() < LINE_BYTES_LIMIT {
            Ok(None)
        } else {
            Err(Garbled)
        };
    };
    let line = rest[..end].strip_suffix(b"\r").ok_or(Garbled)?;
    let line = String::from_utf8_lossy(line).into_owned();
    *at += 1 + end + 1;
    let length = || line.parse::<i64>().map_err(|_| Garbled);
    match kind {
        b'+' => Ok(Some(Reply::Text(line))),
        b'-' => Ok(Some(Reply::Refused(line))),
        b':' => Ok(Some(Reply::Number(length()?))),
        b'$' => {
            let Ok(length) = usize::try_from(length()?) else {
                return Ok(Some(Reply::Nothing));
            };
            if length > REPLY_BYTES_LIMIT {
                return Err(Garbled);
            }
            let Some(text) = bytes.get(*at..*at + length + 2) else {
                return Ok(None);
            };
            let text = text.strip_suffix(b"\r\n").ok_or(Garbled)?;
            *at += length + 2;
            Ok(Some(Reply::Text(String::from_utf8_lossy(text).into_owned())))
        }
        b'*' => {
            let Ok(length) = usize::try_from(length()?) else {
                return Ok(Some(Reply::Nothing));
            };
            // Each takes four bytes at least.
            if length > REPLY_BYTES_LIMIT / 4 {
                return Err(Garbled);
            }
            let mut list = Vec::new();
            for _ in 0..length {
                match read(bytes, at, depth + 1)? {
                    Some(reply) => list.push(reply),
                    None => return Ok(None),
                }
            }
            Ok(Some(Reply::List(list)))
        }
        _ => Err(Garbled),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_written_and_replies_are_read_however_they_are_cut() {
        let mut command = Vec::new();
        write_command(&mut command, &["AUTH", "pässword\r\n"]);
        assert_eq!(command, b"*2\r\n$4\r\nAUTH\r\n$11\r\np\xc3\xa4ssword\r\n\r\n");
        let text = |text: &str| Reply::Text(text.to_owned());
        for (bytes, expected) in [
            (&b"+OK\r\n"[..], text("OK")),
            (b"-ERR no\r\n", Reply::Refused("ERR no".to_owned())),
            (b":-3\r\n", Reply::Number(-3)),
            (b"$-1\r\n", Reply::Nothing),
            (b"*-1\r\n", Reply::Nothing),
            (b"$0\r\n\r\n", text("")),
            (b"$4\r\na\r\nb\r\n", text("a\r\nb")),
            (b"*0\r\n", Reply::List(Vec::new())),
            (
                b"*2\r\n:7\r\n*1\r\n$1\r\nx\r\n",
                Reply::List(vec![Reply::Number(7), Reply::List(vec![text("x")])]),
            ),
        ] {
            for end in 0..bytes.len() {
                assert_eq!(read_reply(&bytes[..end]), Ok(None), "{:?}", &bytes[..end]);
            }
            let more = [bytes, b"+NEXT\r\n"].concat();
            assert_eq!(read_reply(&more), Ok(Some((expected, bytes.len()))));
        }
    }

    #[test]
    fn what_is_no_redis_is_refused() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"\x15\x03\x01",
            b"$x\r\n",
            b"$99999999999\r\n",
            b"*99999999\r\n",
            b"$1\r\nabc",
            b"+OK\n",
            b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        ] {
            assert_eq!(read_reply(bytes), Err(Garbled), "{bytes:?}");
        }
        assert_eq!(
            read_reply(&[b"+"[..].to_vec(), vec![b'x'; LINE_BYTES_LIMIT]].concat()),
            Err(Garbled)
        );
    }

    #[test]
    fn no_bytes_make_it_panic() {
        // All short strings of the bytes that mean something.
        let alphabet = b"+-:$*019\r\nx\xff";
        let mut bytes = Vec::new();
        for number in 0..alphabet.len().pow(5) {
            bytes.clear();
            let mut rest = number;
            while rest > 0 {
                bytes.push(alphabet[rest % alphabet.len()]);
                rest /= alphabet.len();
            }
            if let Ok(Some((_, length))) = read_reply(&bytes) {
                assert!(length <= bytes.len());
            }
        }
    }
}
