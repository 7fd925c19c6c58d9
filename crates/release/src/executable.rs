//! Whether a program can run on this machine, before it is tried: there, executable, of this architecture, with its interpreter.
//!
//! Runs nothing. Does not look for shared libraries: which of them is taken is the dynamic linker's to say.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use crate::error::Error;
use crate::tree::hash_of;

/// What the kernel reads of a script's first line.
const FIRST_LINE_BYTES_MAX: usize = 255;

/// Program headers that are looked at; real programs have about ten.
const HEADERS_MAX: u16 = 128;

const PT_INTERP: u32 = 3;

/// A program that can run here, as far as its file tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// What it is.
    pub kind: ExecutableKind,
}

/// What a program is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecutableKind {
    /// Machine code.
    Elf {
        /// For which processor, as `uname -m` calls it, or `machine N`.
        machine: String,
        /// Bits of an address, 32 or 64.
        class: u8,
    },
    /// A text whose first line names who reads it.
    Script {
        /// The interpreter; with `/usr/bin/env NAME`, what the name stands for.
        interpreter: PathBuf,
    },
    /// Something else that the kernel may know to run.
    Other,
}

/// Looks whether a program can run here; `search` is the `PATH` it will have.
///
/// # Errors
/// [`Error::ExecutableMissing`], [`Error::NotExecutable`], [`Error::WrongArchitecture`], [`Error::InterpreterMissing`], each a sentence.
pub fn executable(path: &Path, search: Option<&OsStr>) -> Result<Executable, Error> {
    let failed = || Error::file("read", path);
    let metadata = match std::fs::metadata(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(Error::ExecutableMissing { path: path.to_owned() });
        }
        metadata => metadata.map_err(failed())?,
    };
    let refuse = |why, next| {
        Err(Error::NotExecutable {
            path: path.to_owned(),
            why,
            next,
        })
    };
    if !metadata.is_file() {
        return refuse("it is no file", "let `command` name the program itself");
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return refuse(
            "its mode allows nobody to execute it",
            "let `prepare` do `chmod +x`, or commit it with that mode",
        );
    }
    let mut file = File::open(path).map_err(failed())?;
    let mounted = rustix::fs::fstatvfs(&file).map_err(|errno| failed()(errno.into()))?;
    if mounted.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        return refuse(
            "its file system is mounted `noexec`",
            "put the state folder on another file system, or mount this one without `noexec`",
        );
    }
    if metadata.len() == 0 {
        return refuse("it is empty", "see what `prepare` wrote, and whether its disk was full");
    }
    let mut first = Vec::new();
    file.by_ref()
        .take(FIRST_LINE_BYTES_MAX as u64)
        .read_to_end(&mut first)
        .map_err(failed())?;
    let kind = if let Some(elf) = Elf::read(&first) {
        elf.check(path, &file)?
    } else if let Some(line) = first.strip_prefix(b"#!") {
        script(path, line, search)?
    } else {
        ExecutableKind::Other
    };
    file.seek(SeekFrom::Start(0)).map_err(failed())?;
    Ok(Executable {
        path: path.to_owned(),
        sha256: hash_of(&file).map_err(failed())?,
        kind,
    })
}

fn script(path: &Path, line: &[u8], search: Option<&OsStr>) -> Result<ExecutableKind, Error> {
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut words = line
        .split(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
        .filter(|word| !word.is_empty());
    let missing = |interpreter: &[u8]| Error::InterpreterMissing {
        path: path.to_owned(),
        interpreter: String::from_utf8_lossy(interpreter).into_owned(),
    };
    let interpreter = words.next().unwrap_or_default();
    // The kernel takes a carriage return for a part of the name: a script saved on Windows, whose own error nobody understands.
    if interpreter.is_empty() || line.ends_with(b"\r") {
        return Err(missing(line.strip_prefix(b" ").unwrap_or(line)));
    }
    let interpreter_path = Path::new(OsStr::from_bytes(interpreter));
    if !interpreter_path.is_file() {
        return Err(missing(interpreter));
    }
    let mut found = interpreter_path.to_owned();
    if interpreter_path.file_name().is_some_and(|name| name == "env") {
        // Options of env, `-S` among them, and variables come before the name.
        let name = words.find(|word| !word.starts_with(b"-") && !word.contains(&b'='));
        if let (Some(name), Some(search)) = (name, search) {
            let candidates = std::env::split_paths(search).map(|folder| folder.join(OsStr::from_bytes(name)));
            found = candidates
                .into_iter()
                .find(|candidate| candidate.is_file())
                .ok_or_else(|| missing(name))?;
        }
    }
    Ok(ExecutableKind::Script { interpreter: found })
}

/// The header of an ELF file, as far as it matters here.
#[derive(Clone, Copy, Debug)]
struct Elf {
    is_64: bool,
    is_big: bool,
    machine: u16,
    headers_at: u64,
    header_bytes: u16,
    headers: u16,
}

impl Elf {
    fn read(first: &[u8]) -> Option<Self> {
        if !first.starts_with(b"\x7fELF") || first.len() < 64 {
            return None;
        }
        let (is_64, is_big) = (first[4] == 2, first[5] == 2);
        let number = |at, bytes| unsigned(first, at, bytes, is_big);
        let (headers_at, sizes_at) = if is_64 {
            (number(32, 8), 54)
        } else {
            (number(28, 4), 42)
        };
        Some(Self {
            is_64,
            is_big,
            machine: number(18, 2) as u16,
            headers_at,
            header_bytes: number(sizes_at, 2) as u16,
            headers: number(sizes_at + 2, 2) as u16,
        })
    }

    fn check(self, path: &Path, file: &File) -> Result<ExecutableKind, Error> {
        let machine = name_of(self.machine, self.is_64, self.is_big);
        let here = std::env::consts::ARCH;
        let runs_here = match here {
            // The kernel of a 64-bit machine runs its 32-bit programs too.
            "x86_64" => matches!(machine.as_str(), "x86_64" | "i686"),
            "x86" => machine == "i686",
            "powerpc64" => matches!(machine.as_str(), "ppc64" | "ppc64le"),
            // `arm`, `aarch64`, `riscv64`, `s390x`, `loongarch64`: named as `uname -m` does.
            other => machine == other,
        };
        if !runs_here {
            return Err(Error::WrongArchitecture {
                path: path.to_owned(),
                built_for: machine,
                machine: here.to_owned(),
            });
        }
        let interpreter = self.interpreter(file).map_err(Error::file("read", path))?;
        if let Some(interpreter) = interpreter
            && !Path::new(OsStr::from_bytes(&interpreter)).is_file()
        {
            return Err(Error::InterpreterMissing {
                path: path.to_owned(),
                interpreter: String::from_utf8_lossy(&interpreter).into_owned(),
            });
        }
        Ok(ExecutableKind::Elf {
            machine,
            class: if self.is_64 { 64 } else { 32 },
        })
    }

    /// Returns the dynamic linker the program names, if any.
    fn interpreter(self, file: &File) -> io::Result<Option<Vec<u8>>> {
        let header_bytes = if self.is_64 { 56 } else { 32 };
        if self.header_bytes < header_bytes {
            return Ok(None);
        }
        for index in 0..self.headers.min(HEADERS_MAX) {
            let mut header = vec![0; usize::from(header_bytes)];
            let at = self
                .headers_at
                .saturating_add(u64::from(index) * u64::from(self.header_bytes));
            match file.read_exact_at(&mut header, at) {
                // Cut off; the kernel will say so.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                read => read?,
            }
            let number = |at, bytes| unsigned(&header, at, bytes, self.is_big);
            if number(0, 4) != u64::from(PT_INTERP) {
                continue;
            }
            let (at, bytes) = if self.is_64 {
                (number(8, 8), number(32, 8))
            } else {
                (number(4, 4), number(16, 4))
            };
            let mut name = vec![0; usize::try_from(bytes.min(4096)).unwrap_or(0)];
            return match file.read_exact_at(&mut name, at) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
                read => read.map(|()| Some(name.into_iter().take_while(|byte| *byte != 0).collect())),
            };
        }
        Ok(None)
    }
}

fn unsigned(bytes: &[u8], at: usize, count: usize, is_big: bool) -> u64 {
    let bytes = &bytes[at..at + count];
    let fold = |number: u64, byte: &u8| (number << 8) | u64::from(*byte);
    if is_big {
        bytes.iter().fold(0, fold)
    } else {
        bytes.iter().rev().fold(0, fold)
    }
}

/// Returns what `uname -m` calls a machine of ELF's list, the processors Debian is built for among them.
fn name_of(machine: u16, is_64: bool, is_big: bool) -> String {
    let name = match (machine, is_64, is_big) {
        (3, ..) => "i686",
        (8, false, _) => "mips",
        (8, true, _) => "mips64",
        (21, _, true) => "ppc64",
        (21, _, false) => "ppc64le",
        (22, ..) => "s390x",
        (40, ..) => "arm",
        (62, ..) => "x86_64",
        (183, ..) => "aarch64",
        (243, true, _) => "riscv64",
        (258, ..) => "loongarch64",
        _ => return format!("machine {machine}"),
    };
    name.to_owned()
}
