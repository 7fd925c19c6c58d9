//! Looking through one file: as lines, as bytes, or unpacked, in memory that does not grow with it. Knows no secret and no folder.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use tend_redact::{Finder, Found, Patterns};

/// Read at once.
const BLOCK_BYTES: usize = 64 << 10;

/// How gzip begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What a file was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// It has lines.
    Text,
    /// It has none: a database, an index.
    Bytes,
}

/// Who is told.
pub(super) trait Listener {
    /// Something stands there.
    fn found(&mut self, shape: Shape, found: &Found<'_>);
    /// So many bytes more were looked through; tells whether to go on.
    fn passed(&mut self, bytes: u64) -> ControlFlow<()>;
}

/// Looks through a file as long as it is now; what is added meanwhile is not waited for. A file that is gone is empty.
///
/// # Errors
/// When it cannot be read.
pub(super) fn look_through(path: &Path, patterns: &Arc<Patterns>, listener: &mut dyn Listener) -> io::Result<()> {
    // Neither a link nor a pipe that was put in its place.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Ok(());
    }
    let packed = begins_with(&file, &GZIP)?;
    let bounded = io::Read::take(file, facts.len());
    if packed {
        read(MultiGzDecoder::new(bounded), patterns, listener)
    } else {
        read(bounded, patterns, listener)
    }
}

fn begins_with(file: &File, magic: &[u8]) -> io::Result<bool> {
    use std::os::unix::fs::FileExt as _;
    let mut begin = vec![0; magic.len()];
    match file.read_exact_at(&mut begin, 0) {
        Ok(()) => Ok(begin == magic),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn read(mut from: impl Read, patterns: &Arc<Patterns>, listener: &mut dyn Listener) -> io::Result<()> {
    let mut finder = Finder::new(Arc::clone(patterns));
    let mut block = vec![0; BLOCK_BYTES];
    let mut shape = None;
    loop {
        let length = match from.read(&mut block) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let piece = &block[..length];
        let shape = *shape.get_or_insert(if piece.contains(&0) { Shape::Bytes } else { Shape::Text });
        if length == 0 {
            finder.end(&mut |found| listener.found(shape, &found));
            return Ok(());
        }
        finder.push(piece, &mut |found| listener.found(shape, &found));
        if listener.passed(length as u64).is_break() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::PathBuf;

    use tend_redact::{Rules, Value};

    use super::*;

    #[derive(Default)]
    struct Heard {
        found: Vec<(Shape, u64, u64)>,
        bytes: u64,
    }

    impl Listener for Heard {
        fn found(&mut self, shape: Shape, found: &Found<'_>) {
            self.found.push((shape, found.line, found.offset));
        }

        fn passed(&mut self, bytes: u64) -> ControlFlow<()> {
            self.bytes += bytes;
            ControlFlow::Continue(())
        }
    }

    fn heard(name: &str, content: &[u8]) -> Heard {
        let path: PathBuf = std::env::temp_dir().join(format!("tend-audit-file-{name}-{}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        let patterns = Arc::new(Patterns::new(&[Value::new("db", "hunter2hunter2")], Rules::None));
        let mut heard = Heard::default();
        look_through(&path, &patterns, &mut heard).unwrap();
        std::fs::remove_file(&path).unwrap();
        heard
    }

    #[test]
    fn a_value_is_found_across_blocks_in_text_in_bytes_and_in_what_is_packed() {
        let mut text = vec![b'x'; BLOCK_BYTES - 7];
        text[10] = b'\n';
        text.extend(b"hunter2hunter2\n");
        let place = BLOCK_BYTES as u64 - 7;
        let plain = heard("text", &text);
        assert_eq!(
            (plain.found, plain.bytes),
            (vec![(Shape::Text, 2, place)], text.len() as u64)
        );
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&text).unwrap();
        let unpacked = heard("packed", &packed.finish().unwrap());
        assert_eq!(
            (unpacked.found, unpacked.bytes),
            (vec![(Shape::Text, 2, place)], text.len() as u64)
        );
        text[0] = 0;
        assert_eq!(heard("bytes", &text).found, [(Shape::Bytes, 2, place)]);
        assert!(heard("empty", b"").found.is_empty());
    }

    #[test]
    fn what_is_gone_is_nothing_and_what_is_broken_is_an_error() {
        let patterns = Arc::new(Patterns::new(&[], Rules::All));
        let gone = std::env::temp_dir().join(format!("tend-audit-gone-{}", std::process::id()));
        assert!(look_through(&gone, &patterns, &mut Heard::default()).is_ok());
        std::fs::write(&gone, b"\x1f\x8bnot packed at all").unwrap();
        assert!(look_through(&gone, &patterns, &mut Heard::default()).is_err());
        std::fs::remove_file(&gone).unwrap();
    }
}
