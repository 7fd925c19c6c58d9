//! The few steps between fork and exec: turns the forked shim into the replica.
//!
//! Everything that allocates is done before the fork. What fails is reported through a pipe that closes by itself when
//! the program executes, as the step that failed and the kernel's number for why.
#![allow(unsafe_code)] // fork, exec and the identity of a process have no safe form.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::ptr;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use tend_base::Secret;
use zeroize::Zeroize as _;

use crate::secrets::Secrets;
use crate::spec::Spec;
use crate::state::{Attempt, STATE_FILE, StartFailure};

/// Where a program without a `/` is searched when the replica's environment has no `PATH`.
const PATH_DEFAULT: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// What the replica gets of the shim's open files.
pub(super) struct Descriptors<'a> {
    pub(super) null: BorrowedFd<'a>,
    pub(super) stdout: BorrowedFd<'a>,
    pub(super) stderr: BorrowedFd<'a>,
    pub(super) listen: Option<BorrowedFd<'a>>,
}

/// All that the child needs, made before the fork.
struct Prepared {
    candidates: Vec<CString>,
    argv: Vec<*const libc::c_char>,
    envp: Vec<*const libc::c_char>,
    /// Owns what `argv` and `envp` point to; overwritten when it goes.
    texts: Vec<CString>,
    /// `LISTEN_PID=` followed by room for the number, which is known only after the fork; `envp` points to it.
    listen_pid: Vec<u8>,
    directory: CString,
    cgroup: Option<Group>,
    user: Option<(u32, u32, Vec<u32>)>,
    open_files_max: Option<u64>,
    /// The socket and where it goes.
    listen: Option<(OwnedFd, RawFd)>,
    /// Open files that hold secrets, and where they go.
    secrets: Vec<(OwnedFd, RawFd)>,
    standard: [RawFd; 3],
    umask: libc::mode_t,
}

/// The control group the replica runs in.
struct Group {
    folder: OwnedFd,
    procs: File,
}

/// The environment may hold secrets, and the shim outlives the start by as long as its replica runs.
impl Drop for Prepared {
    fn drop(&mut self) {
        for text in std::mem::take(&mut self.texts) {
            text.into_bytes().zeroize();
        }
    }
}

const LISTEN_PID: &[u8] = b"LISTEN_PID=";

/// Forks and executes the replica, and returns its pid.
///
/// `record` runs in the child before it executes anything, and puts it on record: if the shim is killed at any instant, the
/// replica either is on record or never runs. That the child does it itself spares two changes of process in a restart.
pub(super) fn start(
    spec: &Spec,
    descriptors: &Descriptors<'_>,
    secrets: &Secrets,
    umask: u32,
    record: impl FnOnce() -> std::io::Result<()>,
) -> Result<i32, StartFailure> {
    let mut prepared = prepare(spec, descriptors, secrets, umask)?;
    let no_pipe = |errno: Errno| failed(Attempt::Fork, "", errno.raw_os_error());
    let (reader, low_writer) = pipe_with(PipeFlags::CLOEXEC).map_err(no_pipe)?;
    // Out of the way of the numbers at which the replica expects its socket and its secrets.
    let lowest = free_from(spec, secrets);
    let writer = rustix::io::fcntl_dupfd_cloexec(&low_writer, lowest).map_err(no_pipe)?;
    drop(low_writer);
    let pid = fork(&mut prepared)?;
    if pid == 0 {
        let (attempt, errno) = match record() {
            Ok(()) => become_replica(&mut prepared),
            Err(error) => (Attempt::Prepare, error.raw_os_error().unwrap_or(0)),
        };
        let mut report = [0u8; 5];
        report[0] = attempt as u8;
        report[1..].copy_from_slice(&errno.to_ne_bytes());
        // The parent is the only reader; when it is gone there is nobody to tell.
        let _ = File::from(writer).write_all(&report);
        // SAFETY: ends the process without running anything of the parent's.
        unsafe { libc::_exit(127) }
    }
    drop(writer);
    let mut report = [0u8; 5];
    if File::from(reader).read_exact(&mut report).is_err() {
        // The pipe closed without a word: the program is being executed.
        return Ok(pid);
    }
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        // It ends within microseconds; its status says nothing that the report does not.
        let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
    }
    let attempt = Attempt::ALL
        .iter()
        .find(|(attempt, _)| *attempt as u8 == report[0])
        .map_or(Attempt::Execute, |(attempt, _)| *attempt);
    let errno = i32::from_ne_bytes([report[1], report[2], report[3], report[4]]);
    Err(failed(attempt, &subject(spec, attempt), errno))
}

/// Forks, the child being born in its control group where the kernel can do that (Linux 5.7).
///
/// A process that is moved there later waits until every processor has noticed: 10 to 40 ms, most of the time to serve again. For one
/// that is born there nothing has to be noticed.
///
/// The group must never have been ended by `cgroup.kill`: the kernel (6.18, seen) takes what is born in such a group for something that
/// slipped through and kills it at once. The daemon therefore makes a group for each life of a replica.
fn fork(prepared: &mut Prepared) -> Result<libc::pid_t, StartFailure> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    if let Some(group) = &prepared.cgroup {
        // SAFETY: the structure is plain numbers, for which zeroes mean «as fork».
        let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
        arguments.flags = CLONE_INTO_CGROUP;
        arguments.exit_signal = libc::SIGCHLD as u64;
        arguments.cgroup = group.folder.as_raw_fd() as u64;
        let size = std::mem::size_of::<libc::clone_args>();
        // SAFETY: the shim has one thread and the call shares no memory, so the child may go on as the parent would, on its copy of the
        // stack; it leaves by exec or _exit only, and needs nothing that the C library does around a fork.
        let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size) };
        if pid == 0 {
            prepared.cgroup = None;
        }
        if pid >= 0 {
            return Ok(libc::pid_t::try_from(pid).unwrap_or(0));
        }
        // An older kernel, or one that does not let us: the child moves there itself, and says why where it cannot.
    }
    // SAFETY: as above.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(failed(Attempt::Fork, "", last_errno()));
    }
    Ok(pid)
}

/// Returns the lowest number above all at which the replica expects something.
fn free_from(spec: &Spec, secrets: &Secrets) -> RawFd {
    let of_secrets = secrets.descriptors.iter().map(|(number, _)| *number);
    of_secrets.chain(spec.listen_descriptor).fold(2, RawFd::max) + 1
}

/// Returns an open file, at `lowest` or above, that holds a secret and is read from its beginning. It is memory and has no name.
fn secret_file(value: &Secret, lowest: RawFd) -> std::io::Result<OwnedFd> {
    use rustix::fs::{MemfdFlags, SealFlags};
    let mut file = File::from(rustix::fs::memfd_create(
        "secret",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
    )?);
    file.write_all(value.expose().as_bytes())?;
    std::io::Seek::rewind(&mut file)?;
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(rustix::io::fcntl_dupfd_cloexec(&file, lowest)?)
}

fn prepare(
    spec: &Spec,
    descriptors: &Descriptors<'_>,
    secrets: &Secrets,
    umask: u32,
) -> Result<Prepared, StartFailure> {
    let no_nul = |bytes: &[u8]| {
        CString::new(bytes).map_err(|_| failed(Attempt::Prepare, "an argument or variable holds a NUL byte", 0))
    };
    let mut texts = Vec::with_capacity(spec.argv.len() + spec.env.len() + 1);
    for argument in &spec.argv {
        texts.push(no_nul(argument.as_bytes())?);
    }
    for (name, value) in &spec.env {
        let both = [name.as_bytes(), b"=", value.as_bytes()].concat();
        texts.push(no_nul(&both)?);
    }
    for (name, value) in &secrets.env {
        // The text keeps this very memory, which is overwritten when the replica runs.
        let mut both = Vec::with_capacity(name.len() + value.expose().len() + 2);
        both.extend_from_slice(name.as_bytes());
        both.push(b'=');
        both.extend_from_slice(value.expose().as_bytes());
        texts.push(CString::new(both).map_err(|error| {
            error.into_vec().zeroize();
            failed(Attempt::Prepare, "a secret holds a NUL byte", 0)
        })?);
    }
    let lowest = free_from(spec, secrets);
    let secret_files = secrets
        .descriptors
        .iter()
        .map(|(number, value)| match secret_file(value, lowest) {
            Ok(file) if *number >= 3 => Ok((file, *number)),
            Ok(_) => Err(failed(Attempt::Descriptors, "a secret at a number below 3", 0)),
            Err(error) => Err(failed(
                Attempt::Descriptors,
                "a secret",
                error.raw_os_error().unwrap_or(0),
            )),
        });
    let secret_files = secret_files.collect::<Result<Vec<_>, _>>()?;
    let listen = match (descriptors.listen, spec.listen_descriptor) {
        (Some(socket), Some(target)) if target >= 3 => {
            texts.push(CString::from(c"LISTEN_FDS=1"));
            let moved = rustix::io::fcntl_dupfd_cloexec(socket, lowest)
                .map_err(|errno| failed(Attempt::Descriptors, "its socket", errno.raw_os_error()))?;
            Some((moved, target))
        }
        _ => None,
    };
    let (arguments, variables) = texts.split_at(spec.argv.len());
    let mut argv: Vec<_> = arguments.iter().map(|text| text.as_ptr()).collect();
    let mut envp: Vec<_> = variables.iter().map(|text| text.as_ptr()).collect();
    // Ten digits hold any pid, and one NUL ends it.
    let mut listen_pid = LISTEN_PID.to_vec();
    listen_pid.resize(LISTEN_PID.len() + 11, 0);
    if listen.is_some() {
        envp.push(listen_pid.as_ptr().cast());
    }
    argv.push(ptr::null());
    envp.push(ptr::null());
    let cgroup = match &spec.cgroup {
        Some(folder) => {
            let subject = folder.display().to_string();
            let errno = |error: std::io::Error| failed(Attempt::Cgroup, &subject, error.raw_os_error().unwrap_or(0));
            std::fs::create_dir_all(folder).map_err(errno)?;
            let procs = File::options().write(true).open(folder.join("cgroup.procs"));
            Some(Group {
                folder: File::open(folder).map_err(errno)?.into(),
                procs: procs.map_err(errno)?,
            })
        }
        None => None,
    };
    Ok(Prepared {
        candidates: candidates(spec)?,
        argv,
        envp,
        texts,
        listen_pid,
        directory: no_nul(spec.directory.as_os_str().as_bytes())?,
        cgroup,
        user: spec.user.as_ref().map(|user| (user.uid, user.gid, user.groups.clone())),
        open_files_max: spec.open_files_max,
        listen,
        secrets: secret_files,
        standard: [
            descriptors.null.as_raw_fd(),
            descriptors.stdout.as_raw_fd(),
            descriptors.stderr.as_raw_fd(),
        ],
        umask,
    })
}

/// Returns the paths to try: the program itself when it names a folder, else one for each folder of the replica's `PATH`.
fn candidates(spec: &Spec) -> Result<Vec<CString>, StartFailure> {
    let program = spec.argv[0].as_bytes();
    let nul = |_| failed(Attempt::Prepare, "the program's name holds a NUL byte", 0);
    if program.is_empty() {
        return Err(failed(Attempt::Execute, "", libc::ENOENT));
    }
    if program.contains(&b'/') {
        return Ok(vec![CString::new(program).map_err(nul)?]);
    }
    let path = spec
        .env
        .iter()
        .find(|(name, _)| name == OsStr::new("PATH"))
        .map_or(PATH_DEFAULT, |(_, value)| value.as_bytes());
    path.split(|&byte| byte == b':')
        .map(|folder| {
            // An empty entry is the working folder, as execvp(3) has it.
            let folder = if folder.is_empty() { b"." } else { folder };
            CString::new([folder, b"/", program].concat()).map_err(nul)
        })
        .collect()
}

/// Runs in the child. Returns only when it failed: the step and the error number.
fn become_replica(prepared: &mut Prepared) -> (Attempt, i32) {
    // `struct sigaction` of the kernel, all zero: the default action, no flags, an empty mask.
    let default = [0u64; 4];
    // SAFETY: the pointer is to a local value of the kernel's size that outlives the call; setsid and umask take numbers.
    unsafe {
        for number in 1..=64 {
            // Not signal(3): the C library refuses its own two, 32 and 33, which a parent may have left ignored. The
            // kernel refuses SIGKILL and SIGSTOP, which are at their default anyway.
            libc::syscall(
                libc::SYS_rt_sigaction,
                number,
                default.as_ptr(),
                ptr::null::<u64>(),
                size_of::<u64>(),
            );
        }
        libc::setsid();
        libc::umask(prepared.umask);
    }
    if let Some(group) = &mut prepared.cgroup
        && let Err(error) = group.procs.write_all(b"0")
    {
        return (Attempt::Cgroup, error.raw_os_error().unwrap_or(0));
    }
    for (target, source) in prepared.standard.into_iter().enumerate() {
        // SAFETY: plain system call on numbers; the sources are 3 or above, so no target overwrites a later source.
        if unsafe { libc::dup2(source, target as RawFd) } < 0 {
            return (Attempt::Descriptors, last_errno());
        }
    }
    if let Some((socket, target)) = &prepared.listen {
        // SAFETY: plain system call on numbers; dup2 leaves the new descriptor open across exec.
        if unsafe { libc::dup2(socket.as_raw_fd(), *target) } < 0 {
            return (Attempt::Descriptors, last_errno());
        }
        write_pid(&mut prepared.listen_pid[LISTEN_PID.len()..]);
    }
    for (file, target) in &prepared.secrets {
        // SAFETY: plain system call on numbers; every source is above every target, and the new descriptor stays open across exec.
        if unsafe { libc::dup2(file.as_raw_fd(), *target) } < 0 {
            return (Attempt::Descriptors, last_errno());
        }
    }
    if let Some(files) = prepared.open_files_max {
        let limit = libc::rlimit {
            rlim_cur: files,
            rlim_max: files,
        };
        // SAFETY: the pointer is to a local value that outlives the call.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
            return (Attempt::OpenFiles, last_errno());
        }
    }
    if let Some((uid, gid, groups)) = &prepared.user
        && let Err(errno) = become_user(*uid, *gid, groups)
    {
        return (Attempt::User, errno);
    }
    // SAFETY: a C string that outlives the call.
    if unsafe { libc::chdir(prepared.directory.as_ptr()) } != 0 {
        return (Attempt::Directory, last_errno());
    }
    // SAFETY: an empty set is initialised before it is used; the pointer to the old set may be null.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
    let mut answer = libc::ENOENT;
    for candidate in &prepared.candidates {
        // SAFETY: three arrays of C strings ended by null, all owned by `prepared`. Returns only when it failed.
        unsafe {
            libc::execve(candidate.as_ptr(), prepared.argv.as_ptr(), prepared.envp.as_ptr());
        }
        match last_errno() {
            libc::ENOENT | libc::ENOTDIR => {}
            // As execvp(3): another folder of PATH may hold one that can be executed.
            libc::EACCES => answer = libc::EACCES,
            other => return (Attempt::Execute, other),
        }
    }
    (Attempt::Execute, answer)
}

/// Takes on a user's numbers. Without privilege only one's own numbers can be had, and then nothing has to be done.
fn become_user(uid: u32, gid: u32, groups: &[u32]) -> Result<(), i32> {
    // SAFETY: plain system calls on numbers and on a slice with its own length.
    unsafe {
        if libc::geteuid() != 0 && libc::geteuid() == uid && libc::getegid() == gid {
            return Ok(());
        }
        if libc::setgroups(groups.len(), groups.as_ptr()) != 0
            || libc::setresgid(gid, gid, gid) != 0
            || libc::setresuid(uid, uid, uid) != 0
        {
            return Err(last_errno());
        }
    }
    Ok(())
}

/// Writes this process's id as digits; `room` holds at least eleven zeroed bytes.
fn write_pid(room: &mut [u8]) {
    let mut pid = std::process::id();
    let mut digits = [0u8; 10];
    let mut count = 0;
    while count == 0 || pid > 0 {
        digits[count] = b'0' + (pid % 10) as u8;
        pid /= 10;
        count += 1;
    }
    for (slot, digit) in room.iter_mut().zip(digits[..count].iter().rev()) {
        *slot = *digit;
    }
}

fn subject(spec: &Spec, attempt: Attempt) -> String {
    match attempt {
        Attempt::Prepare => STATE_FILE.to_owned(),
        Attempt::Fork => String::new(),
        Attempt::Cgroup => spec
            .cgroup
            .as_deref()
            .map(|path| path.display().to_string())
            .unwrap_or_default(),
        Attempt::Descriptors => "its standard input and output".to_owned(),
        Attempt::OpenFiles => spec.open_files_max.unwrap_or(0).to_string(),
        Attempt::User => spec
            .user
            .as_ref()
            .map(|user| format!("{}:{}", user.uid, user.gid))
            .unwrap_or_default(),
        Attempt::Directory => spec.directory.display().to_string(),
        Attempt::Execute => spec.argv[0].to_string_lossy().into_owned(),
    }
}

pub(super) fn failed(attempt: Attempt, subject: &str, errno: i32) -> StartFailure {
    StartFailure {
        attempt,
        subject: subject.to_owned(),
        errno,
    }
}

fn last_errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// Blocks every signal of this process: the shim ends when its replica does, and takes nobody's word for it. SIGKILL stays.
pub(super) fn block_signals() {
    // SAFETY: the set is initialised before it is used; the pointer to the old set may be null.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const all, ptr::null_mut());
    }
}

/// Opens a descriptor that is readable while a child has ended and was not collected.
pub(super) fn child_signals() -> std::io::Result<OwnedFd> {
    use std::os::fd::FromRawFd as _;
    // SAFETY: the set is initialised before it is used, and the descriptor that comes back belongs to nobody else.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        let descriptor = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if descriptor < 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}

/// Closes whatever else was inherited, so that neither shim nor replica holds open what they know nothing of.
pub(super) fn close_inherited() {
    // SAFETY: called first thing in the process, when nothing in it has opened a file above standard error yet.
    unsafe {
        libc::close_range(3, libc::c_uint::MAX, 0);
    }
}
