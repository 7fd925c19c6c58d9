//! Plays every script under `cases/` and compares it with itself; `UPDATE=1` rewrites them.

use crate::script::Script;

#[test]
fn scripts_play_as_they_are_written() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 15, "the scripts are missing");
    let mut different = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let played = Script::play(&text);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &played).unwrap();
        } else if played != text {
            let line = played.lines().zip(text.lines()).position(|(new, old)| new != old);
            different.push(format!(
                "{} from line {}:\n{played}",
                path.display(),
                line.map_or(0, |line| line + 1)
            ));
        }
    }
    assert!(
        different.is_empty(),
        "played otherwise (UPDATE=1 rewrites):\n{}",
        different.join("\n")
    );
}
