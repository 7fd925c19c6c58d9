//! The daemon's own program file: a copy kept in the state folder, so that roles started later are of the same build even after
//! the file a person installed was replaced.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Says what could not be done with a program file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// The file could not be read.
    #[error("could not read the program `{path}`")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no program of this machine.
    #[error("`{path}` is no program: it does not begin as an ELF file does")]
    NoProgram {
        /// Which.
        path: PathBuf,
    },
    /// The copy could not be kept.
    #[error("could not keep a copy of the program as `{path}`")]
    Keep {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Digits of the build id: enough to tell any two builds apart, short enough to read aloud.
const BUILD_DIGITS: usize = 12;

/// Returns what names a program file: the beginning of its SHA-256.
pub(crate) fn build_id(program: &Path) -> Result<String, ProgramError> {
    let read = |source| ProgramError::Read {
        path: program.to_owned(),
        source,
    };
    let mut file = File::open(program).map_err(read)?;
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    let mut buffer = vec![0; 64 << 10];
    let mut first = true;
    loop {
        let count = file.read(&mut buffer).map_err(read)?;
        if first && !buffer[..count].starts_with(b"\x7fELF") {
            return Err(ProgramError::NoProgram {
                path: program.to_owned(),
            });
        }
        if count == 0 {
            break;
        }
        first = false;
        digest.update(&buffer[..count]);
    }
    let hash = digest.finish();
    let text = tend_base::to_hex(hash.as_ref());
    Ok(text[..BUILD_DIGITS].to_owned())
}

/// Returns whether this very process runs that file, by whatever name.
pub(crate) fn is_this(program: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let same = || -> io::Result<bool> {
        let (this, other) = (std::fs::metadata("/proc/self/exe")?, std::fs::metadata(program)?);
        Ok((this.dev(), this.ino()) == (other.dev(), other.ino()))
    };
    // Where that cannot be told, going on as it is works, and going on as the other might never end.
    same().unwrap_or(true)
}

/// Keeps a copy of `program` as `STATE/bin/BUILD/tend` and returns where; a copy that is there is left as it is.
pub(crate) fn keep_copy(program: &Path, state: &Path) -> Result<PathBuf, ProgramError> {
    let folder = state.join("bin").join(build_id(program)?);
    let copy = folder.join("tend");
    if copy.exists() {
        return Ok(copy);
    }
    let keep = |source| ProgramError::Keep {
        path: copy.clone(),
        source,
    };
    std::fs::create_dir_all(&folder).map_err(keep)?;
    let neighbour = folder.join(format!(".tend.{}.tmp", std::process::id()));
    std::fs::copy(program, &neighbour).map_err(keep)?;
    std::fs::set_permissions(&neighbour, std::fs::Permissions::from_mode(0o755)).map_err(keep)?;
    File::open(&neighbour).and_then(|file| file.sync_all()).map_err(keep)?;
    std::fs::rename(&neighbour, &copy).map_err(keep)?;
    Ok(copy)
}
