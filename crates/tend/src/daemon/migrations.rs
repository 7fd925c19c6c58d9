//! The SQL migrations of a definition, found on the disk. What they do is judged in `tend-migration`.

use std::path::{Component, Path, PathBuf};

use tend_core::model::{Migration, Schema, Stack, Workload};

/// A file larger than this is no migration that a person wrote; it is read that far.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// One migration's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MigrationFile {
    /// Its file name.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What it says.
    pub(crate) sql: String,
}

/// Returns the folder that the migration command of a definition runs in.
pub(crate) fn folder(stack: &Stack) -> Option<&Path> {
    let migrate = stack.deploy.migrate.as_ref()?;
    match &stack.services.get(&migrate.service)?.workload {
        Workload::Process(process) => Some(&process.directory),
        Workload::Container { .. } => None,
    }
}

/// Returns the migrations of a definition that are run when going forward, in order; none where it names no files.
///
/// # Errors
/// A sentence, when a file or folder cannot be read.
pub(crate) fn files(stack: &Stack) -> Result<Vec<MigrationFile>, String> {
    let pattern = stack
        .deploy
        .migrate
        .as_ref()
        .and_then(|migrate| migrate.files.as_deref());
    let (Some(pattern), Some(folder)) = (pattern, folder(stack)) else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for path in matching(folder, Path::new(pattern))? {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if tend_migration::is_forward(&name) {
            let sql = read(&path).map_err(|error| unreadable(&path, &error))?;
            files.push(MigrationFile { name, path, sql });
        }
    }
    // By their names, as every migration tool does it.
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

/// Returns what the migrations do to the database.
pub(crate) fn schema(files: &[MigrationFile]) -> Schema {
    let migrations = files.iter().map(|file| Migration {
        name: file.name.clone(),
        class: tend_migration::class(&file.name, &file.sql).0,
    });
    Schema {
        migrations: migrations.collect(),
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn unreadable(path: &Path, error: &std::io::Error) -> String {
    let error = tend_base::without_os_numbers(&error.to_string());
    format!("the migrations in `{}` cannot be read: {error}", path.display())
}

/// Returns the files that a pattern stands for, in which `*` and `?` stand for what is no `/`, and `**` for any folders.
fn matching(folder: &Path, pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let mut parts: Vec<String> = Vec::new();
    let mut start = folder.to_owned();
    for part in pattern.components() {
        match part {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::ParentDir => parts.push("..".to_owned()),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => start = PathBuf::from("/"),
        }
    }
    let mut found = Vec::new();
    walk(&start, &parts, &mut found)?;
    found.sort();
    found.dedup();
    Ok(found)
}

fn walk(folder: &Path, parts: &[String], found: &mut Vec<PathBuf>) -> Result<(), String> {
    let Some((part, rest)) = parts.split_first() else {
        return Ok(());
    };
    if part == "**" {
        walk(folder, rest, found)?;
    } else if !part.contains(['*', '?']) {
        let path = folder.join(part);
        if !rest.is_empty() {
            walk(&path, rest, found)?;
        } else if is_plain_file(&path) {
            found.push(path);
        }
        return Ok(());
    }
    let entries = match std::fs::read_dir(folder) {
        // A release that has no migrations yet.
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(());
        }
        entries => entries.map_err(|error| unreadable(folder, &error))?,
    };
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(folder, &error))?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        // Not through a link to a folder: it may lead in a circle.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if part == "**" {
            if is_folder {
                walk(&path, parts, found)?;
            }
        } else if is_like(&name, part) {
            if rest.is_empty() {
                if is_plain_file(&path) {
                    found.push(path);
                }
            } else {
                walk(&path, rest, found)?;
            }
        }
    }
    Ok(())
}

/// Returns whether there is a file, and not a link to one: this process may be root, and a link may lead anywhere.
fn is_plain_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
}

/// Returns whether a name is like a pattern.
fn is_like(name: &str, pattern: &str) -> bool {
    let (name, pattern): (Vec<char>, Vec<char>) = (name.chars().collect(), pattern.chars().collect());
    // How far the name is matched by the pattern up to here, for every such length at once.
    let mut reach = vec![false; name.len() + 1];
    reach[0] = true;
    for part in pattern {
        let mut next = vec![false; name.len() + 1];
        for length in 0..=name.len() {
            next[length] = match part {
                '*' => reach[length] || (length > 0 && next[length - 1]),
                '?' => length > 0 && reach[length - 1],
                other => length > 0 && reach[length - 1] && name[length - 1] == other,
            };
        }
        reach = next;
    }
    reach[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_like_the_names_a_shell_takes_it_for() {
        for (name, pattern, like) in [
            ("0001_init.sql", "*.sql", true),
            ("0001_init.sql", "0001_*.sql", true),
            ("0001_init.sql", "????_init.sql", true),
            ("0001_init.sql", "*", true),
            ("0001_init.sql", "*.py", false),
            ("0001_init.sql", "001*", false),
            ("a", "?*?", false),
            ("ab", "?*?", true),
            ("", "*", true),
        ] {
            assert_eq!(is_like(name, pattern), like, "{name} {pattern}");
        }
    }

    #[test]
    fn files_are_found_below_folders_and_a_folder_that_is_not_there_has_none() {
        let folder = std::env::temp_dir().join(format!("tend-migrations-{}", std::process::id()));
        let deep = folder.join("db/migrations/2026");
        std::fs::create_dir_all(&deep).unwrap();
        for file in ["db/migrations/1.sql", "db/migrations/2.txt", "db/migrations/2026/3.sql"] {
            std::fs::write(folder.join(file), "select 1;").unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", folder.join("db/migrations/4.sql")).unwrap();
        let found = |pattern: &str| -> Vec<String> {
            let paths = matching(&folder, Path::new(pattern)).unwrap();
            let names = paths.iter().map(|path| path.strip_prefix(&folder).unwrap());
            names.map(|path| path.display().to_string()).collect()
        };
        assert_eq!(found("db/migrations/*.sql"), ["db/migrations/1.sql"]);
        assert_eq!(
            found("db/**/*.sql"),
            ["db/migrations/1.sql", "db/migrations/2026/3.sql"]
        );
        assert_eq!(found("./db/migrations/1.sql"), ["db/migrations/1.sql"]);
        assert!(found("nowhere/*.sql").is_empty());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
