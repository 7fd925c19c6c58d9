//! Tests that fail once: which are run again, and what is said of them.

use crate::sandbox::Sandbox;

/// A test that fails `times` times: it counts in a file beside its crate.
fn failing(name: &str, times: usize) -> String {
    format!(
        "    #[test]\n    fn {name}() {{\n        use std::io::Write as _;\n        \
         let mut runs = std::fs::File::options().create(true).append(true).open(\"{name}.runs\").unwrap();\n        \
         runs.write_all(b\".\").unwrap();\n        \
         assert!(std::fs::read(\"{name}.runs\").unwrap().len() > {times});\n    }}\n"
    )
}

fn ci_tests(sandbox: &Sandbox, tests: &[String]) -> (bool, String) {
    let tests = tests.concat();
    sandbox.write(
        "tree/crates/base/src/lib.rs",
        &format!("//! A crate.\n#[cfg(test)]\nmod tests {{\n    #[test]\n    fn sound() {{}}\n{tests}}}\n"),
    );
    sandbox.lock();
    sandbox.run_with("ci", &["tests"])
}

#[test]
fn what_fails_beside_the_others_and_holds_by_itself_is_named() {
    let sandbox = Sandbox::new("suite-unsteady");
    let (passed, printed) = ci_tests(&sandbox, &[failing("chance", 1)]);
    assert!(passed, "{printed}");
    assert!(printed.contains("unsteady: tests::chance failed"), "{printed}");
    assert!(printed.contains("test tests::sound ... ok"), "{printed}");
}

#[test]
fn what_fails_twice_fails() {
    let sandbox = Sandbox::new("suite-broken");
    let (passed, printed) = ci_tests(&sandbox, &[failing("broken", 2), failing("chance", 1)]);
    assert!(!passed && !printed.contains("unsteady: "), "{printed}");
}

#[test]
fn a_test_of_documentation_that_fails_is_no_chance() {
    let sandbox = Sandbox::new("suite-documentation");
    sandbox.write("tree/crates/core/src/lib.rs", "//! ```\n//! assert!(false);\n//! ```\n");
    let (passed, printed) = ci_tests(&sandbox, &[]);
    assert!(!passed && !printed.contains("unsteady: "), "{printed}");
}

#[test]
fn a_program_that_a_signal_ended_is_no_chance() {
    let sandbox = Sandbox::new("suite-signal");
    sandbox.write(
        "tree/crates/core/src/lib.rs",
        "//! A crate.\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn ends() {\n        std::process::abort();\n    }\n}\n",
    );
    let (passed, printed) = ci_tests(&sandbox, &[failing("chance", 1)]);
    assert!(!passed && !printed.contains("once more"), "{printed}");
}

#[test]
fn many_failures_are_no_chance() {
    let sandbox = Sandbox::new("suite-many");
    let many: Vec<String> = (0..4).map(|number| failing(&format!("chance_{number}"), 1)).collect();
    let (passed, printed) = ci_tests(&sandbox, &many);
    assert!(!passed && !printed.contains("once more"), "{printed}");
}
