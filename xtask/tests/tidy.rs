//! Each rule of `tidy` reports the tree that breaks it; the good tree and this repository pass.

use crate::sandbox::{MAP, Sandbox, manifest, run};

/// What is written into the good tree, and the finding that must follow.
struct Case {
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    finding: &'static str,
}

const CORE: &str = "tree/crates/core/src/lib.rs";

const CASES: &[Case] = &[
    Case {
        name: "header",
        files: &[(CORE, "/// Not a header.\npub struct A;\n")],
        finding: "crates/core/src/lib.rs:1: [header]",
    },
    Case {
        name: "macro",
        files: &[(CORE, "//! C.\nfn a() {\n    todo!()\n}\n")],
        finding: "crates/core/src/lib.rs:3: [leftover]",
    },
    Case {
        name: "comment",
        files: &[(CORE, concat!("//! C.\n// FIX", "ME later\n"))],
        finding: "crates/core/src/lib.rs:2: [leftover]",
    },
    Case {
        name: "ignored",
        files: &[(CORE, "//! C.\n#[ignore]\nfn a() {}\n")],
        finding: "crates/core/src/lib.rs:2: [ignored-test]",
    },
    Case {
        name: "unsafe",
        files: &[(CORE, "//! C.\nfn a() { unsafe {} }\n")],
        finding: "crates/core/src/lib.rs:2: [unsafe]",
    },
    Case {
        name: "blanket",
        files: &[(CORE, "//! C.\n#![allow(\n    dead_code,\n    reason = \"x\"\n)]\n")],
        finding: "crates/core/src/lib.rs:2: [blanket-allow]",
    },
    Case {
        name: "group",
        files: &[(CORE, "//! C.\n#[cfg_attr(test, allow(clippy::all))]\nfn a() {}\n")],
        finding: "crates/core/src/lib.rs:2: [blanket-allow]",
    },
    Case {
        name: "reason",
        files: &[(CORE, "//! C.\n#[expect(clippy::exit)]\nfn a() {}\n")],
        finding: "crates/core/src/lib.rs:2: [allow-reason]",
    },
    Case {
        name: "name",
        files: &[
            (CORE, "//! C.\nmod net_utils;\n"),
            ("tree/crates/core/src/net_utils.rs", "//! N.\n"),
        ],
        finding: "crates/core/src/net_utils.rs: [name]",
    },
    Case {
        name: "module",
        files: &[("tree/crates/core/src/plan.rs", "//! P.\n")],
        finding: "crates/core/src/plan.rs: [forgotten-module] is compiled by nobody: no `mod plan;` in crates/core/src/lib.rs",
    },
    Case {
        name: "test-module",
        files: &[
            ("tree/crates/core/tests/main.rs", "//! T.\nmod one;\n"),
            ("tree/crates/core/tests/one/mod.rs", "//! O.\n"),
            ("tree/crates/core/tests/two/mod.rs", "//! Not named by anybody.\n"),
        ],
        finding: "crates/core/tests/two/mod.rs: [forgotten-module]",
    },
    Case {
        name: "two-binaries",
        files: &[
            ("tree/crates/core/tests/main.rs", "//! T.\nmod one;\n"),
            ("tree/crates/core/tests/one.rs", "//! O.\n"),
        ],
        finding: "crates/core/Cargo.toml: [one-test-binary] builds 2",
    },
    Case {
        name: "other-binary",
        files: &[("tree/crates/core/tests/one.rs", "//! O.\n")],
        finding: "crates/core/Cargo.toml: [one-test-binary] has the integration test `one`",
    },
    Case {
        name: "blank",
        files: &[("tree/docs/a.md", "one\ntwo \n")],
        finding: "docs/a.md:2: [trailing-blank]",
    },
    Case {
        name: "machine",
        files: &[("tree/docs/a.md", concat!("see `/wo", "rk/tend/x`\n"))],
        finding: "docs/a.md:1: [machine-path]",
    },
    Case {
        name: "script",
        files: &[("tree/check", concat!("#!/bin/sh\n# XX", "X\n"))],
        finding: "check:2: [leftover]",
    },
    Case {
        name: "link",
        files: &[(
            "tree/docs/a.md",
            "[map](../ARCHITECTURE.md#x) [web](https://example.org/x)\n[gone](b.md)\n",
        )],
        finding: "docs/a.md:2: [link] links to `b.md`",
    },
    Case {
        name: "corpus",
        files: &[("tree/fuzz/corpus/size/1", "1k")],
        finding: "fuzz/corpus/size: [fuzz] is replayed by no test",
    },
    Case {
        name: "target",
        files: &[("tree/fuzz/fuzz_targets/size.rs", "//! S.\n")],
        finding: "fuzz/fuzz_targets/size.rs: [fuzz] has no corpus",
    },
    Case {
        name: "source",
        files: &[(
            "tree/Cargo.lock",
            "version = 4\n\n[[package]]\nname = \"x\"\nsource = \"git+https://example.org/x\"\n",
        )],
        finding: "Cargo.lock:5: [source]",
    },
    Case {
        name: "impure-path",
        files: &[(
            CORE,
            "//! C.\nuse std::{collections::BTreeMap, time::{Duration, Instant}};\n",
        )],
        finding: "crates/core/src/lib.rs:2: [pure] a pure crate uses `std::time::Instant`",
    },
];

#[test]
fn the_good_tree_passes() {
    let (passed, printed) = Sandbox::new("good").tidy();
    assert!(passed, "{printed}");
}

#[test]
fn this_repository_is_tidy() {
    let (passed, printed) = run(&["tidy"]);
    assert!(passed, "{printed}");
}

#[test]
fn each_rule_reports_the_tree_that_breaks_it() {
    let mut wrong = Vec::new();
    for case in CASES {
        let sandbox = Sandbox::new(case.name);
        for (path, text) in case.files {
            sandbox.write(path, text);
        }
        let (passed, printed) = sandbox.tidy();
        if passed || !printed.lines().any(|line| line.starts_with(case.finding)) {
            wrong.push(format!("{}: wanted `{}`, got:\n{printed}", case.name, case.finding));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_only_looks_like_a_broken_rule_passes() {
    let sandbox = Sandbox::new("innocent");
    sandbox.write(
        CORE,
        concat!(
            "//! C.\n#![deny(unsafe_code)]\nuse std::net::IpAddr;\nuse std::time::Duration;\n",
            "// TO",
            "DO(#12): a note that names its issue\n",
            "const A: &str = \"todo!() unsafe std::fs::read\";\n",
            "fn a(b: Option<u8>) { b.expect(\"unused\"); }\n",
            "#[cfg(test)]\nmod tests {\n    use std::fs;\n    use std::time::Instant;\n}\n",
        ),
    );
    sandbox.write("tree/crates/core/tests/main.rs", "//! T.\nmod one;\n");
    sandbox.write("tree/crates/core/tests/one/mod.rs", "//! O.\n");
    sandbox.write(
        "tree/crates/core/tests/cases/odd.md",
        concat!("trailing \nFIX", "ME\n[x](gone.md)\n"),
    );
    sandbox.write("tree/crates/linux/Cargo.toml", &manifest("linux", ""));
    sandbox.write(
        "tree/crates/linux/src/lib.rs",
        "//! L.\n#[allow(unsafe_code)]\nfn a() { unsafe {} }\n",
    );
    let map = MAP.replace("### `crates/core`", "### `crates/linux`\n### `crates/core`");
    sandbox.write(
        "tree/ARCHITECTURE.md",
        &map.replace("| `crates/core` |", "| `crates/linux` | none |\n| `crates/core` |"),
    );
    let (passed, printed) = sandbox.tidy();
    assert!(passed, "{printed}");
}

#[test]
fn a_file_past_the_limit_is_reported() {
    let sandbox = Sandbox::new("length");
    sandbox.write(CORE, &format!("//! C.\n{}", "// a line\n".repeat(800)));
    let (passed, printed) = sandbox.tidy();
    assert!(
        !passed && printed.contains("crates/core/src/lib.rs: [length] has 801 lines"),
        "{printed}"
    );
}

#[test]
fn a_manifest_without_description_or_lints_is_reported() {
    let sandbox = Sandbox::new("manifest");
    let text = "[package]\nname = \"tend-core\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    sandbox.write("tree/crates/core/Cargo.toml", text);
    let (passed, printed) = sandbox.tidy();
    assert!(!passed, "{printed}");
    for rule in ["[description]", "[lints]"] {
        assert!(
            printed.contains(&format!("crates/core/Cargo.toml: {rule}")),
            "no {rule} in: {printed}"
        );
    }
}

#[test]
fn an_edge_that_the_map_does_not_allow_is_reported_and_a_dev_edge_is_not() {
    let sandbox = Sandbox::new("edge");
    let allowed = "[dependencies]\ntend-base = { path = \"../base\" }\n";
    sandbox.write("tree/crates/core/Cargo.toml", &manifest("core", allowed));
    let (passed, printed) = sandbox.tidy();
    assert!(passed, "the allowed edge was reported: {printed}");

    let dev = "[dev-dependencies]\ntend-core = { path = \"../core\" }\n";
    sandbox.write("tree/crates/core/Cargo.toml", &manifest("core", ""));
    sandbox.write("tree/crates/base/Cargo.toml", &manifest("base", dev));
    let (passed, printed) = sandbox.tidy();
    assert!(passed, "the dev edge was reported: {printed}");

    let upward = "[dependencies]\ntend-core = { path = \"../core\" }\n";
    sandbox.write("tree/crates/base/Cargo.toml", &manifest("base", upward));
    let (passed, printed) = sandbox.tidy();
    assert!(
        !passed && printed.contains("crates/base/Cargo.toml: [edge] depends on `crates/core`"),
        "{printed}"
    );
}

#[test]
fn a_pure_crate_with_an_impure_dependency_is_reported() {
    let sandbox = Sandbox::new("pure");
    sandbox.write(
        "outside/Cargo.toml",
        "[package]\nname = \"tokio\"\nversion = \"1.0.0\"\nedition = \"2024\"\n",
    );
    sandbox.write("outside/src/lib.rs", "");
    let tokio = "[dependencies]\ntokio = { path = \"../../../outside\" }\n";
    sandbox.write("tree/crates/core/Cargo.toml", &manifest("core", tokio));
    let (passed, printed) = sandbox.tidy();
    assert!(
        !passed && printed.contains("crates/core/Cargo.toml: [pure] a pure crate depends on `tokio`"),
        "{printed}"
    );
}

#[test]
fn a_map_that_lags_behind_the_crates_is_reported() {
    let sandbox = Sandbox::new("map");
    sandbox.write(
        "tree/ARCHITECTURE.md",
        &MAP.replace("### `crates/core`", "### `crates/gone`")
            .replace("| `crates/core` |", "| `crates/lost` |"),
    );
    let (passed, printed) = sandbox.tidy();
    assert!(!passed, "{printed}");
    for finding in [
        "[code-map] maps `crates/gone`",
        "[code-map] does not mention the crate; add a section ### `crates/core`",
        "[edge] names `crates/lost`",
        "[edge] has no row for `crates/core`",
    ] {
        assert!(printed.contains(finding), "no `{finding}` in: {printed}");
    }
    sandbox.write("tree/ARCHITECTURE.md", &MAP.replace("<!-- pure:begin -->", ""));
    let (passed, printed) = sandbox.tidy();
    assert!(
        !passed && printed.contains("ARCHITECTURE.md: [map] has no list between `<!-- pure:begin -->`"),
        "{printed}"
    );
}

#[test]
fn a_licence_that_is_not_on_the_list_is_reported() {
    let sandbox = Sandbox::new("licence");
    sandbox.write(
        "outside/Cargo.toml",
        "[package]\nname = \"odd\"\nversion = \"1.0.0\"\nedition = \"2024\"\nlicense = \"SSPL-1.0\"\n",
    );
    sandbox.write("outside/src/lib.rs", "");
    let odd = "[dependencies]\nodd = { path = \"../../../outside\" }\n";
    sandbox.write("tree/crates/core/Cargo.toml", &manifest("core", odd));
    sandbox.write("tree/deny.toml", "[licenses]\nallow = [\"MIT\"]\n");
    sandbox.lock();
    let (passed, printed) = sandbox.tidy();
    assert!(
        !passed && printed.contains("deny.toml: [licence] `odd` is under `SSPL-1.0`"),
        "{printed}"
    );
}
