//! Watched files, changed the way people, editors and orchestrators change them.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tend_testkit::Folder;
use tend_watch::{Change, Content, Error, FileWatch, FileWatchSettings, Seen};

use crate::fixture::DEADLINE;

/// Nothing is seen by looking, so that the kernel's word is what is tested; and no writer is given up.
const TOLD: FileWatchSettings = FileWatchSettings {
    owner: None,
    quiet: Duration::from_millis(5),
    bound: Duration::from_millis(50),
    writer_bound: Duration::from_secs(3600),
    look: Duration::from_secs(3600),
    look_unwatched: Duration::from_secs(3600),
    notifications: true,
};

fn watch(paths: &[&Path], settings: FileWatchSettings) -> FileWatch {
    let watch = FileWatch::new(paths.iter().map(|path| path.to_path_buf()), settings).expect("absolute paths");
    assert!(
        !settings.notifications || watch.unwatched().is_none(),
        "{:?}",
        watch.unwatched()
    );
    watch
}

/// Waits for a change.
fn change(watch: &mut FileWatch) -> Change {
    match watch.next(Some(DEADLINE)).expect("waiting works") {
        Seen::Changed(change) => change,
        other => panic!("{other:?} instead of a change"),
    }
}

/// Waits until a file holds `text`, and returns the texts it held on the way, that one included.
fn texts_until(watch: &mut FileWatch, path: &Path, text: &str) -> Vec<Option<String>> {
    let mut seen = Vec::new();
    loop {
        let change = change(watch);
        assert!(change.changed.contains(path), "{change:?}");
        let now = change.files[path].text().map(str::to_owned);
        seen.push(now.clone());
        if now.as_deref() == Some(text) {
            return seen;
        }
    }
}

fn sh(script: &str, folder: &Path) {
    let status = Command::new("sh")
        .args(["-ec", script])
        .current_dir(folder)
        .status()
        .expect("sh runs");
    assert!(status.success(), "{script}");
}

#[test]
fn every_way_of_saving_is_one_change_with_the_whole_text() {
    // Each begins with `app.yml` holding `old` and ends with it holding `new`.
    let ways = [
        ("written in place", "echo new > app.yml"),
        ("mv over it", "echo new > app.yml.tmp; mv app.yml.tmp app.yml"),
        ("sed -i", "sed -i s/old/new/ app.yml"),
        ("cp over it", "echo new > other; cp other app.yml"),
        (
            // Backup by renaming, a new file, the backup taken away.
            "vim",
            "touch 4913; rm 4913; mv app.yml app.yml~; echo new > app.yml; chmod 644 app.yml; rm app.yml~",
        ),
        (
            // Backup by copying, written in place.
            "vim with backupcopy",
            "cp app.yml app.yml~; echo new > app.yml; rm app.yml~",
        ),
        (
            "emacs",
            "echo new > '#app.yml#'; mv app.yml app.yml~; cp '#app.yml#' app.yml; rm '#app.yml#'",
        ),
        ("removed and made", "rm app.yml; echo new > app.yml"),
        ("hard link", "echo new > other; ln -f other app.yml"),
        (
            "dd without truncating",
            "printf new | dd of=app.yml conv=notrunc status=none",
        ),
    ];
    for (way, script) in ways {
        let folder = Folder::new();
        let path = folder.write("app.yml", "old\n");
        let mut watch = watch(&[&path], TOLD);
        sh(script, folder.path());
        assert_eq!(
            texts_until(&mut watch, &path, "new\n"),
            [Some("new\n".to_owned())],
            "{way}"
        );
    }
}

#[test]
fn a_text_written_in_two_parts_is_read_when_its_writer_has_finished() {
    let folder = Folder::new();
    let path = folder.write("app.yml", "old\n");
    let mut watch = watch(&[&path], TOLD);
    let mut file = File::create(&path).expect("own file");
    file.write_all(b"first half, ").expect("own file");
    let waker = watch.waker();
    let writer = std::thread::spawn(move || {
        // Not waiting for anything: the pause, far longer than quiet and bound, is what is tried.
        std::thread::sleep(Duration::from_millis(200));
        file.write_all(b"second half\n").expect("own file");
    });
    assert_eq!(texts_until(&mut watch, &path, "first half, second half\n").len(), 1);
    writer.join().expect("no panic");
    waker.wake();
    assert_eq!(watch.next(Some(DEADLINE)).expect("waiting works"), Seen::Woken);
}

#[test]
fn a_writer_that_never_finishes_is_not_waited_for_for_ever() {
    let folder = Folder::new();
    let path = folder.write("app.yml", "old\n");
    let settings = FileWatchSettings {
        writer_bound: Duration::from_millis(20),
        ..TOLD
    };
    let mut watch = watch(&[&path], settings);
    let mut file = File::create(&path).expect("own file");
    file.write_all(b"left open\n").expect("own file");
    texts_until(&mut watch, &path, "left open\n");
    // And when it goes on after all, that is one more.
    file.write_all(b"and closed\n").expect("own file");
    drop(file);
    texts_until(&mut watch, &path, "left open\nand closed\n");
}

#[test]
fn a_file_and_its_folders_may_come_later_go_and_come_again() {
    let folder = Folder::new();
    let path = folder.path().join("config/environments/production.yml");
    let mut watch = watch(
        &[&path],
        FileWatchSettings {
            writer_bound: Duration::from_millis(100),
            ..TOLD
        },
    );
    assert_eq!(watch.contents()[&path], Content::Absent);
    for round in ["one\n", "two\n"] {
        fs::create_dir_all(path.parent().expect("it has one")).expect("own folder");
        fs::write(&path, round).expect("own folder");
        texts_until(&mut watch, &path, round);
        fs::remove_dir_all(folder.path().join("config")).expect("own folder");
        assert_eq!(change(&mut watch).files[&path], Content::Absent);
    }
    // A folder that is exchanged as a whole, further up.
    folder.write("next/environments/production.yml", "three\n");
    fs::rename(folder.path().join("next"), folder.path().join("config")).expect("own folder");
    texts_until(&mut watch, &path, "three\n");
    folder.write("next/environments/production.yml", "four\n");
    sh("mv config gone && mv next config", folder.path());
    texts_until(&mut watch, &path, "four\n");
    // The old one is not looked at any more, the new one is.
    folder.write("gone/environments/production.yml", "from the past\n");
    fs::write(&path, "five\n").expect("own folder");
    assert_eq!(texts_until(&mut watch, &path, "five\n").len(), 1);
}

#[test]
fn the_symlinks_of_kubernetes_are_swapped_as_one_change() {
    let folder = Folder::new();
    folder.write("..2026_1/app.yml", "old\n");
    folder.write("..2026_1/log.yml", "old\n");
    symlink("..2026_1", folder.path().join("..data")).expect("own folder");
    let paths = ["app.yml", "log.yml"].map(|name| {
        let path = folder.path().join(name);
        symlink(Path::new("..data").join(name), &path).expect("own folder");
        path
    });
    let mut watch = watch(&[&paths[0], &paths[1]], TOLD);
    for number in 2..5 {
        let text = format!("{number}\n");
        folder.write(&format!("..2026_{number}/app.yml"), &text);
        folder.write(&format!("..2026_{number}/log.yml"), &text);
        let script = format!(
            "ln -s ..2026_{number} ..data_tmp; mv -T ..data_tmp ..data; rm -r ..2026_{}",
            number - 1
        );
        sh(&script, folder.path());
        let change = change(&mut watch);
        assert_eq!(change.changed, paths.iter().cloned().collect());
        assert!(
            change.files.values().all(|content| content.text() == Some(&text)),
            "{change:?}"
        );
    }
}

#[test]
fn what_changes_nothing_is_no_change() {
    let folder = Folder::new();
    let path = folder.write("app.yml", "same\n");
    let mut watch = watch(&[&path], TOLD);
    sh(
        "touch app.yml; chmod 600 app.yml; echo same > app.yml; echo x > neighbour; mkdir more",
        folder.path(),
    );
    assert_eq!(watch.next(Some(Duration::ZERO)).expect("waiting works"), Seen::Nothing);
    sh("echo other > app.yml", folder.path());
    assert_eq!(texts_until(&mut watch, &path, "other\n").len(), 1);
}

#[test]
fn what_cannot_be_read_as_a_text_is_said() {
    let folder = Folder::new();
    let path = folder.write("app.yml", "fine\n");
    let mut watch = watch(&[&path], TOLD);
    let cases: [(&str, &str); 3] = [
        ("printf '\\377\\376' > app.yml", "UTF-8"),
        ("rm app.yml; mkfifo app.yml", "not a file"),
        ("rm app.yml; head -c 5000000 /dev/zero > app.yml", "more than"),
    ];
    for (script, why) in cases {
        sh(script, folder.path());
        let content = loop {
            let change = change(&mut watch);
            if change.files[&path] != Content::Absent {
                break change.files[&path].clone();
            }
        };
        assert!(
            matches!(&content, Content::Unreadable(text) if text.contains(why)),
            "{content:?}"
        );
    }
}

#[test]
fn a_thousand_changes_a_second_end_with_the_last_text() {
    const CHANGES: u32 = 1000;
    let folder = Folder::new();
    let path = folder.path().join("app.yml");
    let text = |number: u32| format!("begin {number}\n{}end {number}\n", "x: 1\n".repeat(200));
    fs::write(&path, text(0)).expect("own folder");
    let mut watch = watch(&[&path], TOLD);
    let writer = std::thread::spawn({
        let (path, beside) = (path.clone(), folder.path().join("beside"));
        move || {
            let begun = Instant::now();
            for number in 1..=CHANGES {
                // Half of them in place, half by renaming.
                if number % 2 == 0 {
                    fs::write(&path, text(number)).expect("own folder");
                } else {
                    fs::write(&beside, text(number)).expect("own folder");
                    fs::rename(&beside, &path).expect("own folder");
                }
                std::thread::sleep(Duration::from_millis(u64::from(number)).saturating_sub(begun.elapsed()));
            }
        }
    });
    let seen = texts_until(&mut watch, &path, &text(CHANGES));
    writer.join().expect("no panic");
    for seen in &seen {
        let seen = seen.as_deref().expect("it is never away");
        let number: u32 = seen
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("begin ")?.parse().ok())
            .expect("a text");
        assert_eq!(seen, text(number), "read whole");
    }
    assert!(seen.len() < CHANGES as usize, "they are gathered");
}

#[test]
fn when_the_kernel_loses_events_the_last_text_is_still_found() {
    let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").expect("Linux has inotify");
    let queue: u32 = queue.trim().parse().expect("a number");
    let folder = Folder::new();
    let path = folder.write("app.yml", "old\n");
    let aside = folder.path().join("aside");
    let mut watch = watch(&[&path], TOLD);
    // Each round is two events at least, so the queue is full long before the text changes.
    for _ in 0..queue {
        fs::rename(&path, &aside).expect("own folder");
        fs::rename(&aside, &path).expect("own folder");
    }
    fs::write(&path, "new\n").expect("own folder");
    assert_eq!(texts_until(&mut watch, &path, "new\n").len(), 1);
    fs::write(&path, "newer\n").expect("own folder");
    assert_eq!(
        texts_until(&mut watch, &path, "newer\n").len(),
        1,
        "and the next is seen as ever"
    );
}

#[test]
fn without_word_from_the_kernel_files_are_looked_at() {
    let folder = Folder::new();
    let path = folder.path().join("later/app.yml");
    let settings = FileWatchSettings {
        look_unwatched: Duration::from_millis(10),
        notifications: false,
        ..TOLD
    };
    let mut watch = watch(&[&path], settings);
    folder.write("later/app.yml", "one\n");
    texts_until(&mut watch, &path, "one\n");
    // Twice within one tick of the clock that files have, and of the same size.
    fs::write(&path, "two\n").expect("own folder");
    texts_until(&mut watch, &path, "two\n");
    fs::write(&path, "six\n").expect("own folder");
    texts_until(&mut watch, &path, "six\n");
}

/// Runs itself again in a user namespace, which has a counter of watches of its own, and there is at its limit.
#[test]
fn at_the_limit_of_watches_changes_are_still_seen_and_a_raised_limit_is_found() {
    const NAME: &str = "file_watch::at_the_limit_of_watches_changes_are_still_seen_and_a_raised_limit_is_found";
    const LIMIT: &str = "/proc/sys/user/max_inotify_watches";
    if std::env::var_os("TEND_WATCH_AT_LIMIT").is_some() {
        return behind_the_limit(Path::new(LIMIT));
    }
    let script = format!("echo 1 > {LIMIT} && exec \"$0\" --exact {NAME}");
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", &script])
        .arg(std::env::current_exe().expect("this test"))
        .env("TEND_WATCH_AT_LIMIT", "1")
        .output()
        .expect("unshare runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
}

fn behind_the_limit(limit: &Path) {
    let folder = Folder::new();
    let path = folder.path().join("deep/below/app.yml");
    let settings = FileWatchSettings {
        look_unwatched: Duration::from_millis(20),
        ..TOLD
    };
    let mut watch = FileWatch::new([path.clone()], settings).expect("no reason to fail");
    let error = watch.unwatched().expect("one watch is not enough");
    assert!(matches!(error, Error::FolderUnwatched { .. }), "{error}");
    assert!(
        error.hint().is_some_and(|hint| hint.contains("max_user_watches")),
        "{:?}",
        error.hint()
    );
    folder.write("deep/below/app.yml", "one\n");
    texts_until(&mut watch, &path, "one\n");

    fs::write(limit, "1000").expect("the namespace is ours");
    let begun = Instant::now();
    while watch.unwatched().is_some() {
        assert!(begun.elapsed() < DEADLINE, "{:?}", watch.unwatched());
        assert_eq!(
            watch.next(Some(Duration::from_millis(50))).expect("waiting works"),
            Seen::Nothing
        );
    }
    fs::write(&path, "two\n").expect("own folder");
    texts_until(&mut watch, &path, "two\n");
}

#[test]
fn what_belongs_to_somebody_else_is_not_read() {
    let folder = Folder::new();
    let path = folder.write("production.yml", "a: 1\n");
    let own = rustix::process::geteuid().as_raw();
    for (owner, is_read) in [(None, true), (Some(own), true), (Some(own + 1), false)] {
        let settings = FileWatchSettings { owner, ..TOLD };
        let watch = FileWatch::new([path.clone()], settings).unwrap();
        let content = &watch.contents()[&path];
        assert_eq!(content.text().is_some(), is_read, "{owner:?}: {content:?}");
        let says_whose = matches!(content, Content::Unreadable(why) if why.contains("belongs to user"));
        assert_eq!(says_whose, !is_read, "{content:?}");
    }
}

#[test]
fn what_is_being_written_when_it_is_first_read_is_waited_for() {
    let folder = Folder::new();
    let path = folder.write("production.yml", "a: 1\n");
    // Cut to nothing before anybody watches, and filled by a writer that takes its time.
    fs::write(&path, "").unwrap();
    let filled = path.clone();
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        fs::write(&filled, "a: 2\n").unwrap();
    });
    let watch = FileWatch::new([path.clone()], TOLD).unwrap();
    assert_eq!(watch.contents()[&path].text(), Some("a: 2\n"));
    writer.join().unwrap();
}

#[test]
fn a_file_that_is_empty_for_long_is_read_as_it_is() {
    let folder = Folder::new();
    let path = folder.write("production.yml", "");
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    let watch = FileWatch::new([path.clone()], TOLD).unwrap();
    assert_eq!(watch.contents()[&path].text(), Some(""));
}
