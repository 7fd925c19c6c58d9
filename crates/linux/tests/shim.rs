//! A shim's life: start, output, stop, exit, and what is found of it later.

use tend_base::Secret;
use tend_linux::{Adoption, Attempt, Command, Exit, Outcome, Scope, Secrets, adopt};

use crate::rig::{Rig, exit, exited, hello, is_alive, obey, until};

#[test]
fn output_is_captured_and_the_exit_code_told_and_kept() {
    let rig = Rig::new();
    let shim = rig.spawn(&rig.shell("echo out; echo err >&2; exit 7"));
    let record = exited(&shim.connection);
    assert_eq!(record.outcome, Outcome::Ended(Exit::Exited(7)));
    assert_eq!(record.incarnation, "test/1");
    assert_eq!((record.output.stdout_bytes, record.output.stderr_bytes), (4, 4));
    assert_eq!((rig.stdout().as_str(), rig.stderr().as_str()), ("out\n", "err\n"));
    assert!(record.started.is_some_and(|started| started <= record.at), "{record:?}");
    match adopt(&rig.folder()).unwrap() {
        Adoption::Gone(found) => assert_eq!(found, record),
        other => panic!("{other:?}"),
    }
    // An older shim did not write down when it was started; its state still tells.
    let path = rig.folder().join("exit");
    let text = std::fs::read_to_string(&path).unwrap();
    let older: Vec<&str> = text.lines().filter(|line| !line.starts_with("started_mono=")).collect();
    std::fs::write(&path, older.join("\n") + "\n").unwrap();
    match adopt(&rig.folder()).unwrap() {
        Adoption::Gone(found) => assert_eq!(found, record),
        other => panic!("{other:?}"),
    }
    obey(&shim.connection, Command::Release);
    until("the shim ended", || !is_alive(shim.pid));
}

#[test]
fn a_signal_is_told_from_an_exit_code() {
    let rig = Rig::new();
    let shim = rig.spawn(&rig.shell("echo ready; exec sleep 1000"));
    until("the replica runs", || rig.stdout() == "ready\n");
    obey(
        &shim.connection,
        Command::Signal {
            number: 15,
            scope: Scope::Replica,
        },
    );
    assert_eq!(
        exit(&shim.connection),
        Exit::Signalled {
            signal: 15,
            core: false
        }
    );
}

#[test]
fn a_running_replica_is_adopted_and_its_shim_greets_again() {
    let rig = Rig::new();
    let shim = rig.spawn(&rig.shell("exec sleep 1000"));
    let first = hello(&shim.connection);
    assert!(!first.ended && first.shim_pid == shim.pid);
    drop(shim);
    match adopt(&rig.folder()).unwrap() {
        Adoption::Running(adopted) => {
            let again = hello(adopted.shim.as_ref().unwrap());
            let (one, other) = (first.replica.unwrap(), again.replica.unwrap());
            assert_eq!((one.pid, one.start_time), (other.pid, other.start_time));
            assert_eq!(adopted.evidence.pid, other.pid);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_be_started_says_why() {
    let rig = Rig::new();
    let not_executable = rig.home.join("not-executable");
    std::fs::write(&not_executable, "hello").unwrap();
    let no_interpreter = rig.home.join("no-interpreter");
    std::fs::write(&no_interpreter, "hello").unwrap();
    std::fs::set_permissions(&no_interpreter, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut elsewhere = rig.shell("true");
    elsewhere.directory = "/nonexistent/folder".into();
    for (spec, attempt, text) in [
        (
            rig.spec(&["no-such-program-anywhere"]),
            Attempt::Execute,
            "command not found: `no-such-program-anywhere`",
        ),
        (
            rig.spec(&["./not-executable"]),
            Attempt::Execute,
            "`./not-executable` is not executable",
        ),
        (
            rig.spec(&["./no-interpreter"]),
            Attempt::Execute,
            "`./no-interpreter` is neither a program nor a script with a `#!` line",
        ),
        (
            elsewhere,
            Attempt::Directory,
            "could not enter the folder `/nonexistent/folder`: No such file or directory (os error 2)",
        ),
    ] {
        let shim = rig.spawn(&spec);
        match exited(&shim.connection).outcome {
            Outcome::NotStarted(failure) => {
                assert_eq!(failure.attempt, attempt);
                assert_eq!(failure.to_string(), text);
                assert!(failure.hint().is_some(), "{text}");
            }
            other => panic!("{other:?}"),
        }
        obey(&shim.connection, Command::Release);
        until("the shim ended", || !is_alive(shim.pid));
    }
}

#[test]
fn a_replica_gets_the_environment_of_its_spec_and_nothing_of_the_daemons() {
    let rig = Rig::new();
    let mut spec = rig.spec(&["env"]);
    spec.env.push(("SECRET".into(), "a b=c\nd".into()));
    let shim = rig.spawn(&spec);
    assert_eq!(exit(&shim.connection), Exit::Exited(0));
    assert_eq!(rig.stdout(), "PATH=/usr/bin:/bin\nSECRET=a b=c\nd\n");
    assert!(
        !rig.folder().join("spec").exists(),
        "the spec holds secrets and must not stay"
    );
}

#[test]
fn secrets_reach_the_replica_and_no_file_of_its_folder() {
    let rig = Rig::new();
    let mut spec = rig.shell("read line <&5; echo \"$DB_PASSWORD $line\" | tr a-z A-Z; cat <&7; ls -l /proc/self/fd | grep -c memfd; read wait");
    let secret = |value: &str| Secret::new(value.to_owned());
    let secrets = Secrets {
        env: vec![("DB_PASSWORD".into(), secret("hunter2"))],
        descriptors: vec![(7, secret("seven\n")), (5, secret("pl4nted\nrest"))],
    };
    spec.secrets = secrets.count();
    let shim = rig.spawn_given(&spec, &secrets, None);
    assert_eq!(exit(&shim.connection), Exit::Exited(1), "standard input is empty");
    // 5 and 7 and nothing else: what the shim held is closed.
    assert_eq!(rig.stdout(), "HUNTER2 PL4NTED\nseven\n2\n");
    for entry in std::fs::read_dir(rig.folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            assert!(
                !text.contains("hunter2") && !text.contains("pl4nted"),
                "{}",
                path.display()
            );
        }
    }
}

#[test]
fn a_replica_whose_secrets_did_not_come_is_not_started() {
    let rig = Rig::new();
    let mut spec = rig.shell("echo never");
    spec.secrets = 1;
    let shim = rig.spawn(&spec);
    match exited(&shim.connection).outcome {
        Outcome::NotStarted(failure) => assert!(failure.to_string().contains("secrets"), "{failure}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.stdout(), "");
}

#[test]
fn a_replica_has_three_open_files_default_signals_and_a_session_of_its_own() {
    let rig = Rig::new();
    let mut spec = rig.shell(
        "exec 9</dev/null; echo /proc/$$/fd/*; ulimit -n; cut -d' ' -f5,6 /proc/$$/stat; echo $$ $$; \
         exec grep -E '^Sig(Blk|Ign)' /proc/self/status",
    );
    spec.open_files_max = Some(123);
    let shim = rig.spawn(&spec);
    assert_eq!(exit(&shim.connection), Exit::Exited(0));
    let out = rig.stdout();
    let lines: Vec<&str> = out.lines().collect();
    let files: Vec<&str> = lines[0]
        .split(' ')
        .map(|path| path.rsplit('/').next().unwrap())
        .collect();
    // 9 is the test's own. A shell lists the folder through one more, which has gone when the names are printed or not.
    for file in &files {
        assert!(["0", "1", "2", "3", "9"].contains(file), "{files:?}");
    }
    assert_eq!(lines[1], "123");
    assert_eq!(lines[2], lines[3]);
    // In the shell's own place: a shell that is just starting a program blocks its signals for that moment.
    assert_eq!(lines[4], "SigBlk:\t0000000000000000");
    assert_eq!(lines[5], "SigIgn:\t0000000000000000");
}

#[test]
fn a_listening_socket_is_handed_on_as_systemd_does_it() {
    let group = tend_linux::listen_group("127.0.0.1:0".parse().unwrap(), 1).unwrap();
    for descriptor in [3, 7] {
        let rig = Rig::new();
        let mut spec = rig.shell(&format!(
            "echo $LISTEN_FDS $LISTEN_PID $$; readlink /proc/$$/fd/{descriptor}"
        ));
        spec.listen_descriptor = Some(descriptor);
        let shim = rig.spawn_with(&spec, Some(std::os::fd::AsFd::as_fd(&group[0])));
        let record = exited(&shim.connection);
        let inode = rustix::fs::fstat(&group[0]).unwrap().st_ino;
        let pid = record.replica_pid;
        assert_eq!(rig.stdout(), format!("1 {pid} {pid}\nsocket:[{inode}]\n"));
    }
}

#[test]
fn a_replica_runs_as_its_user_where_that_may_be() {
    let rig = Rig::new();
    let mut spec = rig.shell("id -u; id -g; id -G; echo said > /dev/stdout");
    let wanted = tend_linux::Credentials {
        uid: 54_321,
        gid: 54_322,
        groups: vec![54_322, 54_323],
    };
    spec.directory = "/".into();
    spec.user = Some(wanted);
    let shim = rig.spawn(&spec);
    match exited(&shim.connection).outcome {
        Outcome::NotStarted(failure) => {
            assert!(!tend_linux::may_switch_user(), "{failure}");
            assert_eq!(failure.attempt, Attempt::User);
            assert!(failure.hint().is_some());
        }
        Outcome::Ended(exit) => {
            assert_eq!(exit, Exit::Exited(0));
            assert_eq!(rig.stdout(), "54321\n54322\n54322 54323\nsaid\n");
        }
    }
}
