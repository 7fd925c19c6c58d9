//! A small program for the tests: `shim …` is the shim exactly as `tend shim …` is, `hierarchy BASE` is a daemon that
//! settles in the control group BASE and says what it can limit there.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let word = args.next().unwrap_or_default();
    if word == "shim" {
        let code = tend_linux::shim_main(args);
        return ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX));
    }
    if word == "hierarchy" {
        return match hierarchy(&args.next().unwrap_or_default()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    ExitCode::from(64)
}

fn hierarchy(base: &std::ffi::OsStr) -> std::io::Result<()> {
    std::fs::write(std::path::Path::new(base).join("cgroup.procs"), "0")?;
    let mut out = std::io::stdout();
    // Twice, for a daemon that is started again finds itself in the leaf already.
    for _ in 0..2 {
        let (hierarchy, limits) = tend_linux::Hierarchy::prepare();
        let group = hierarchy.map(|hierarchy| hierarchy.group("a/b/1"));
        writeln!(
            out,
            "{}|{}|{}",
            group.unwrap_or_default().display(),
            limits.groups,
            limits.reason.unwrap_or_default()
        )?;
    }
    Ok(())
}
