//! What a person sees who types a command wrong, or asks what there is.

use crate::sandbox::run;

#[test]
fn a_misspelt_command_or_option_is_refused_with_the_usage() {
    for arguments in [
        &["tidi"][..],
        &["sim", "--sed", "1"],
        &["ci", "testz"],
        &["tidy", "--rot", "."],
    ] {
        let (passed, printed) = run(arguments);
        assert!(
            !passed && printed.contains("usage: cargo xtask"),
            "{arguments:?} gave: {printed}"
        );
    }
}

#[test]
fn ci_names_its_stages() {
    let (passed, printed) = run(&["ci", "--list"]);
    assert!(passed, "{printed}");
    for stage in ["format", "tidy", "clippy", "release", "programs", "tests", "sim"] {
        assert!(
            printed.lines().any(|line| line.starts_with(stage)),
            "{stage} is not in: {printed}"
        );
    }
}
