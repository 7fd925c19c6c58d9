//! Mounted file systems and the room in them. Owns the watch over mounts that do not answer.
//!
//! `statfs` of a network mount whose server is gone returns when the server does, which may be never. So a thread asks, and is left behind with
//! the mount it hangs on; that mount is then told as broken, and asked again only once the thread came back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::families::Families;

/// How long a mount may take, as in the exporter.
const MOUNT_ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// The exporter's default: kinds of file systems without a disk of their own.
const KINDS_LEFT_OUT: [&str; 24] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "procfs",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
];

/// Debian's default without `/mnt` and `/media`: disks with data are mounted there, and one that fills up must be seen.
const PLACES_LEFT_OUT: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];

/// Containers' layers: only what is below these is left out.
const BELOW_LEFT_OUT: [&str; 2] = ["/var/lib/docker/", "/var/lib/containers/storage/"];

/// A line of `/proc/1/mounts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    device: String,
    place: String,
    kind: String,
    read_only: bool,
}

/// What `statfs` says of a mount.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Room {
    size: f64,
    free: f64,
    available: f64,
    files: f64,
    files_free: f64,
}

#[cfg(test)]
impl Room {
    pub(super) const fn of(size: f64, free: f64, available: f64, files: f64, files_free: f64) -> Self {
        Self {
            size,
            free,
            available,
            files,
            files_free,
        }
    }
}

/// Reads a table of mounts, without what is left out. Of several mounts on one place only the last is seen by anybody.
pub(super) fn mounts(text: &str) -> Vec<Mount> {
    let mut mounts = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [device, place, kind, options, ..] = words.as_slice() else {
            continue;
        };
        // The only escapes that the exporter knows.
        let place = place.replace("\\040", " ").replace("\\011", "\t");
        if KINDS_LEFT_OUT.contains(kind) || is_left_out(&place) {
            continue;
        }
        let mount = Mount {
            device: (*device).to_owned(),
            place: place.clone(),
            kind: (*kind).to_owned(),
            read_only: options.split(',').any(|option| option == "ro"),
        };
        mounts.insert(place, mount);
    }
    mounts.into_values().collect()
}

fn is_left_out(place: &str) -> bool {
    let at_or_below = |folder: &str| {
        place
            .strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    PLACES_LEFT_OUT.iter().any(|folder| at_or_below(folder))
        || BELOW_LEFT_OUT
            .iter()
            .any(|folder| place.strip_prefix(folder).is_some_and(|rest| !rest.is_empty()))
}

/// Asks for the room in a mount. What is given to [`Asker::new`] may hang.
pub(super) type Ask = fn(&Path) -> Option<Room>;

/// Asks the kernel.
pub(super) fn statfs(place: &Path) -> Option<Room> {
    let told = rustix::fs::statfs(place).ok()?;
    let unit = told.f_bsize as f64;
    Some(Room {
        size: told.f_blocks as f64 * unit,
        free: told.f_bfree as f64 * unit,
        available: told.f_bavail as f64 * unit,
        files: told.f_files as f64,
        files_free: told.f_ffree as f64,
    })
}

/// Asks mounts, and remembers which do not answer.
#[derive(Clone, Debug)]
pub(super) struct Asker {
    ask: Ask,
    within: Duration,
    /// Places whose thread has not come back.
    stuck: Arc<Mutex<BTreeSet<String>>>,
}

impl Asker {
    pub(super) fn new(ask: Ask) -> Self {
        Self {
            ask,
            within: MOUNT_ANSWERS_WITHIN,
            stuck: Arc::default(),
        }
    }

    /// Asks all mounts below `root`, one after the other; each that does not answer takes its limit once, and its thread.
    pub(super) fn rooms(&self, root: &Path, mounts: &[Mount]) -> Vec<Option<Room>> {
        let mut rooms = vec![None; mounts.len()];
        let mut next = 0;
        while next < mounts.len() {
            let waiting: Vec<(usize, String)> = {
                let stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
                let places = mounts.iter().enumerate().skip(next);
                places
                    .filter(|(_, mount)| !stuck.contains(&mount.place))
                    .map(|(index, mount)| (index, mount.place.clone()))
                    .collect()
            };
            next = self
                .ask_in_a_thread(root.to_owned(), &waiting, &mut rooms)
                .unwrap_or(mounts.len());
        }
        rooms
    }

    /// Asks these in one thread; returns the index behind the one that did not answer, or nothing when all did.
    fn ask_in_a_thread(&self, root: PathBuf, waiting: &[(usize, String)], rooms: &mut [Option<Room>]) -> Option<usize> {
        let (tell, told) = sync_channel(waiting.len());
        let (ask, stuck, places) = (self.ask, self.stuck.clone(), waiting.to_vec());
        let thread = std::thread::Builder::new().name("statfs".to_owned()).spawn(move || {
            for (_, place) in places {
                let room = ask(&root.join(place.trim_start_matches('/')));
                // Answered, however late. Told under the lock, so that who gives up waiting sees the one or the other. There is room for
                // all answers: this does not block.
                let mut stuck = stuck.lock().unwrap_or_else(PoisonError::into_inner);
                stuck.remove(&place);
                if tell.send(room).is_err() {
                    // Nobody waits for this thread any more; another has asked the rest.
                    return;
                }
            }
        });
        // Without a thread there is no answer, and no reason to try the others.
        thread.ok()?;
        for (index, place) in waiting {
            match told.recv_timeout(self.within) {
                Ok(room) => rooms[*index] = room,
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
                    // It may have come in just now; then it is not stuck.
                    match told.try_recv() {
                        Ok(room) => rooms[*index] = room,
                        Err(_) => {
                            stuck.insert(place.clone());
                            return Some(index + 1);
                        }
                    }
                }
            }
        }
        None
    }
}

/// Tells mounts with the room in them; without, as the exporter tells a mount that does not answer.
pub(super) fn tell(mounts: &[Mount], rooms: &[Option<Room>], out: &mut Families) {
    for (mount, room) in mounts.iter().zip(rooms) {
        let labels = [
            ("device", mount.device.as_str()),
            ("mountpoint", mount.place.as_str()),
            ("fstype", mount.kind.as_str()),
        ];
        out.gauge(
            "node_filesystem_device_error",
            "Whether an error occurred while getting statistics for the given device.",
            &labels,
            f64::from(u8::from(room.is_none())),
        );
        let Some(room) = room else {
            continue;
        };
        for (name, help, value) in [
            ("size_bytes", "Filesystem size in bytes.", room.size),
            ("free_bytes", "Filesystem free space in bytes.", room.free),
            (
                "avail_bytes",
                "Filesystem space available to non-root users in bytes.",
                room.available,
            ),
            ("files", "Filesystem total file nodes.", room.files),
            ("files_free", "Filesystem total free file nodes.", room.files_free),
            (
                "readonly",
                "Filesystem read-only status.",
                f64::from(u8::from(mount.read_only)),
            ),
        ] {
            out.gauge(format!("node_filesystem_{name}"), help, &labels, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_places_with_data_are_kept() {
        let text = "/dev/vda / ext4 rw,relatime 0 0\n\
            proc /proc proc rw 0 0\n\
            tmpfs /run tmpfs rw 0 0\n\
            tmpfs /runner tmpfs rw 0 0\n\
            tmpfs /dev/shm tmpfs rw 0 0\n\
            overlay /var/lib/docker/overlay2/x/merged overlay rw 0 0\n\
            /dev/vdb /var/lib/docker ext4 rw 0 0\n\
            /dev/vdb /var/lib/docker/volumes/a ext4 rw 0 0\n\
            /dev/vdc /mnt/my\\040data xfs ro,nosuid 0 0\n\
            nas:/export /srv nfs4 rw,hard 0 0\n\
            nonsense\n";
        let places: Vec<(String, bool)> = mounts(text)
            .into_iter()
            .map(|mount| (mount.place, mount.read_only))
            .collect();
        let expected = [
            ("/", false),
            ("/mnt/my data", true),
            ("/runner", false),
            ("/srv", false),
            ("/var/lib/docker", false),
        ];
        assert_eq!(places, expected.map(|(place, read_only)| (place.to_owned(), read_only)));
    }

    fn mount(place: &str) -> Mount {
        Mount {
            device: "d".to_owned(),
            place: place.to_owned(),
            kind: "nfs".to_owned(),
            read_only: false,
        }
    }

    const ROOM: Room = Room::of(4096.0, 2048.0, 1024.0, 10.0, 5.0);

    /// A FIFO without a writer is a mount whose server is gone: opening it blocks until the server is back.
    fn ask_a_fifo(place: &Path) -> Option<Room> {
        if place.ends_with("dead") {
            std::fs::read(place).ok()?;
        }
        (!place.ends_with("gone")).then_some(ROOM)
    }

    #[test]
    fn a_mount_that_hangs_costs_its_limit_once_and_is_told_as_broken_until_it_answers() {
        let folder = tend_testkit::Folder::new();
        let fifo = folder.path().join("dead");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        let mut asker = Asker::new(ask_a_fifo);
        asker.within = Duration::from_millis(100);
        let mounts = ["/a", "/dead", "/gone", "/z"].map(mount);
        assert_eq!(asker.rooms(folder.path(), &mounts)[1..3], [None, None]);
        // On a slow machine others may be late too; they come back by themselves.
        tend_testkit::wait_until(Duration::from_secs(60), "only the dead mount is left behind", || {
            asker.stuck.lock().unwrap().iter().eq(["/dead"])
        });

        // Not asked now: however long the others may take, no thread hangs on it a second time.
        asker.within = Duration::from_secs(60);
        let rooms = asker.rooms(folder.path(), &mounts);
        assert_eq!(rooms, [Some(ROOM), None, None, Some(ROOM)]);
        let mut out = Families::new();
        tell(&mounts, &rooms, &mut out);
        let text = out.text();
        for (place, broken) in [("/a", 0), ("/dead", 1), ("/gone", 1), ("/z", 0)] {
            let line = format!(
                "node_filesystem_device_error{{device=\"d\",mountpoint=\"{place}\",fstype=\"nfs\"}} {broken}\n"
            );
            assert!(text.contains(&line), "{line}{text}");
        }
        assert_eq!(text.matches("node_filesystem_size_bytes{").count(), 2, "{text}");

        // The server comes back: the thread that was left behind says so, and the mount is asked again.
        drop(std::fs::File::options().write(true).open(&fifo).unwrap());
        tend_testkit::wait_until(
            Duration::from_secs(60),
            "the thread that was left behind comes back",
            || asker.stuck.lock().unwrap().is_empty(),
        );
        std::fs::remove_file(&fifo).unwrap();
        std::fs::write(&fifo, "").unwrap();
        assert_eq!(asker.rooms(folder.path(), &mounts)[1], Some(ROOM));
    }
}
