//! A program that is nothing but a shim or a replica, for the tests: `shim …` as `tend shim …`, else a replica by word.

fn main() -> std::process::ExitCode {
    let mut args = std::env::args_os().skip(1);
    let code = match args.next() {
        Some(word) if word == "shim" => tend_linux::shim_main(args),
        _ => 64,
    };
    std::process::ExitCode::from(u8::try_from(code).unwrap_or(255))
}
