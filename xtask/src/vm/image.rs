//! The disk a machine boots from: Debian as debootstrap lays it out, with systemd and one unit of ours.
//!
//! Owns the recipe and that it is followed once: the image is kept until the recipe changes. Boots nothing.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{make_folder, mirror};
use crate::error::Error;

/// What is in the image beside Debian's smallest variant.
const PACKAGES: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "dbus",
    // An unprivileged user's own systemd needs these two.
    "dbus-user-session",
    "libpam-systemd",
    "procps",
    "util-linux",
    "e2fsprogs",
    "curl",
    "sqlite3",
    "jq",
];

/// Files of the image: path, text. A unit without text is masked: it costs time at boot and does nothing for us.
const FILES: &[(&str, &str)] = &[
    ("etc/fstab", "/dev/ubda / ext4 defaults 0 1\n"),
    ("etc/hostname", "vm\n"),
    ("etc/hosts", "127.0.0.1 localhost vm\n"),
    // Any will do: without one systemd takes every boot for the first.
    ("etc/machine-id", "7e4d00000000000000000000000000aa\n"),
    (
        "etc/systemd/system/tend-vm.service",
        "[Unit]\n\
         Description=the scenario that the kernel's command line names\n\
         After=basic.target dbus.service\n\
         [Service]\n\
         Type=oneshot\n\
         TimeoutStartSec=infinity\n\
         ExecStart=/bin/sh -c 'mkdir -p /host && mount -t hostfs -o sync,/ none /host && exec /bin/bash /host/vm/begin.sh'\n\
         ExecStopPost=/bin/systemctl poweroff --force --force\n",
    ),
    (
        // Not the distribution's: no logins, no timers.
        "etc/systemd/system/tend-vm.target",
        "[Unit]\n\
         Requires=basic.target tend-vm.service\n\
         Wants=dbus.service systemd-logind.service\n",
    ),
    ("etc/systemd/journald.conf.d/vm.conf", "[Journal]\nStorage=volatile\n"),
];

/// Units that take time at boot and are of no use here.
const MASKED: &[&str] = &[
    "ldconfig.service",
    "systemd-journal-catalog-update.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-done.service",
    "systemd-firstboot.service",
    "systemd-sysusers.service",
    "systemd-random-seed.service",
    "systemd-machine-id-commit.service",
    "systemd-journal-flush.service",
    "proc-sys-fs-binfmt_misc.automount",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "sys-kernel-config.mount",
    "kmod-static-nodes.service",
    "modprobe@dm_mod.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "modprobe@loop.service",
    "systemd-modules-load.service",
    "systemd-pstore.service",
    "systemd-repart.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "systemd-tmpfiles-clean.timer",
];

/// Left out of the image: nothing reads it, and copying it takes time.
const REMOVED: &[&str] = &[
    "var/cache/apt/archives",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/i18n",
];

/// Bytes the disk has inside; on this machine only what is used.
const SIZE: &str = "1G";

/// Returns the image, made first when there is none of this recipe.
pub(super) fn prepare(folder: &Path) -> Result<PathBuf, Error> {
    let release = mirror::release()?;
    let recipe = format!("{release} {PACKAGES:?} {FILES:?} {MASKED:?} {REMOVED:?} {SIZE}\n");
    let image = folder.join("base.img");
    let note = folder.join("base.recipe");
    if image.exists() && fs::read_to_string(&note).is_ok_and(|text| text == recipe) {
        return Ok(image);
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    let address = mirror::address(&release)?;
    println!("making the image of Debian {release}, once; it takes a minute or two");
    let tree = folder.join("root");
    remove(&tree)?;
    remove(&note)?;
    let log = folder.join("debootstrap.log");
    let mut debootstrap = Command::new("debootstrap");
    debootstrap
        .args(["--variant=minbase", &format!("--include={}", PACKAGES.join(","))])
        .arg(&release)
        .arg(&tree)
        .arg(&address);
    run(&mut debootstrap, &log)?;
    furnish(&tree)?;
    remove(&image)?;
    let mut mkfs = Command::new("mkfs.ext4");
    mkfs.args(["-q", "-F", "-E", "lazy_itable_init=0", "-d"])
        .arg(&tree)
        .arg(&image)
        .arg(SIZE);
    run(&mut mkfs, &log)?;
    remove(&tree)?;
    write(&note, &recipe)?;
    Ok(image)
}

/// Makes an empty file system in a file.
pub(super) fn make_disk(path: &Path, megabytes: u64) -> Result<(), Error> {
    let mut mkfs = Command::new("mkfs.ext4");
    mkfs.args(["-q", "-F", "-m", "0"])
        .arg(path)
        .arg(format!("{megabytes}M"));
    run(&mut mkfs, &path.with_extension("log"))
}

fn furnish(tree: &Path) -> Result<(), Error> {
    for path in REMOVED {
        remove(&tree.join(path))?;
    }
    for (path, text) in FILES {
        let path = tree.join(path);
        if let Some(parent) = path.parent() {
            make_folder(parent)?;
        }
        write(&path, text)?;
    }
    let units = tree.join("etc/systemd/system");
    let default = ("tend-vm.target", "default.target");
    let masked = MASKED.iter().map(|unit| ("/dev/null", *unit));
    for (to, unit) in masked.chain([default]) {
        let path = units.join(unit);
        remove(&path)?;
        symlink(to, &path).map_err(|source| Error::Write { path, source })?;
    }
    // apt's own folder must be there for the next apt, should somebody want one inside.
    make_folder(&tree.join("var/lib/apt/lists"))?;
    fs::set_permissions(tree, fs::Permissions::from_mode(0o755)).map_err(|source| Error::Write {
        path: tree.to_path_buf(),
        source,
    })
}

/// Runs a program with its output in `log`.
fn run(command: &mut Command, log: &Path) -> Result<(), Error> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let started = |source| Error::Start {
        command: shown.clone(),
        source,
    };
    let file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .map_err(started)?;
    let complaints = file.try_clone().map_err(started)?;
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::from(file))
        .stderr(Stdio::from(complaints))
        .status()
        .map_err(started)?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Failed {
        command: format!("{shown}, whose output is in {}", log.display()),
        status: status.to_string(),
    })
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|source| Error::Write {
        path: path.to_path_buf(),
        source,
    })
}

/// Removes a file or folder; one that is not there is fine.
fn remove(path: &Path) -> Result<(), Error> {
    let removed = match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    removed.map_err(|source| Error::Write {
        path: path.to_path_buf(),
        source,
    })
}
