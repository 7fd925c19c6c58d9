//! The reference page of the API, made from the list of calls, the samples and the classes of errors.

use std::fmt::Write as _;

use tend_api::{Access, Answer, CallName, Class, ENDPOINTS, Endpoint, PROTOCOL_HEADER, PROTOCOL_VERSION};

use crate::samples;

const INTRODUCTION: &str = "\
# The API

This page is generated from `crates/api`: run the tests of `tend-api` with `UPDATE=1` after a change there.

The daemon answers HTTP/1.1 with JSON at a unix socket, `tend.sock` in its run folder: `/run/tend` for root, `$XDG_RUNTIME_DIR/tend`
for another user (`run` in the state folder where there is no `XDG_RUNTIME_DIR`). The caller is whoever the kernel says it is
(`SO_PEERCRED`). Try it with `curl --unix-socket /run/tend/tend.sock http://tend/v1/stacks`.

Names, fields and parameters a reader does not know are to be ignored: a version of the protocol only gains. Moments are
milliseconds since 1970 UTC.

";

/// What stands above the second page.
const INTRODUCTION_OF_ANSWERS: &str = "\
# The answers of the API

This page is generated from `crates/api`: run the tests of `tend-api` with `UPDATE=1` after a change there. The calls stand in
[api.md](api.md), those about configuration in [api-answers-config.md](api-answers-config.md).

";

fn page() -> String {
    let mut page = String::from(INTRODUCTION);
    writeln!(
        page,
        "Every answer has the header `{PROTOCOL_HEADER}: {PROTOCOL_VERSION}`.\n"
    )
    .unwrap();
    page.push_str("| call | needs | answers | |\n| --- | --- | --- | --- |\n");
    for endpoint in &ENDPOINTS {
        let answer = match endpoint.answer {
            Answer::Json(name) => format!("`{name}`"),
            Answer::Lines(name) => format!("lines of `{name}`"),
        };
        writeln!(
            page,
            "| `{} {}` | {} | {answer} | {} |",
            endpoint.method,
            endpoint.path,
            right(endpoint.access),
            endpoint.summary
        )
        .unwrap();
    }
    page.push_str(
        "\nRights: *read* for everybody who may connect; *change* and *secrets* for the stack's owner and root; *daemon* for \
         the daemon's own user and root.\n\n## Requests\n\nThe line of the request, and its body below it.\n\n",
    );
    for name in samples::names("calls") {
        let text = std::fs::read_to_string(samples::path(&format!("calls/{name}"))).unwrap();
        let title = name.trim_end_matches(".txt").replace('-', " ");
        writeln!(page, "{title}:\n\n```text\n{}\n```\n", text.trim_end()).unwrap();
    }
    page.push_str("The answers stand in [api-answers.md](api-answers.md), those that come in lines in [api-lines.md](api-lines.md).\n\n");
    page.push_str("## Errors\n\nAn error answers with the status of its class and an `ApiError`; `tend` ends with the exit code.\n\n| class | status | exit code |\n| --- | --- | --- |\n");
    for class in Class::ALL {
        writeln!(
            page,
            "| `{}` | {} | {} |",
            class.as_str(),
            class.http_status(),
            class.exit_code()
        )
        .unwrap();
    }
    page
}

/// What stands above the third page.
const INTRODUCTION_OF_LINES: &str = "\
# The answers of the API that come in lines

This page is generated from `crates/api`: run the tests of `tend-api` with `UPDATE=1` after a change there. The other answers stand in
[api-answers.md](api-answers.md).

An answer in lines has one JSON value in each line. It ends when the work is done, or with `{\"refused\": ApiError}` when it cannot go on.
Work reports any number of `progress` and one `finished`.

";

const INTRODUCTION_OF_CONFIGURATION: &str = "\
# The answers of the API: configuration

This page is generated from `crates/api`: run the tests of `tend-api` with `UPDATE=1` after a change there. The calls stand in
[api.md](api.md), the other answers in [api-answers.md](api-answers.md).

";

/// Says which answers stand on the page about configuration.
fn is_of_configuration(name: &str) -> bool {
    name.starts_with("Config")
}

/// Says which answers come in lines.
fn comes_in_lines(name: &str) -> bool {
    let of = name.trim_end_matches(".json").split('-').next().unwrap_or_default();
    let is_it = |endpoint: &Endpoint| matches!(endpoint.answer, Answer::Lines(other) if other == of);
    ENDPOINTS.iter().any(is_it)
}

/// Returns the samples of answers that are meant.
fn page_of_answers(introduction: &str, is_meant: impl Fn(&str) -> bool) -> String {
    let mut page = String::from(introduction);
    for name in samples::names("answers").into_iter().filter(|name| is_meant(name)) {
        let text = std::fs::read_to_string(samples::path(&format!("answers/{name}"))).unwrap();
        let title = name.trim_end_matches(".json").replace('-', ", ");
        writeln!(page, "## {title}\n\n```json\n{}\n```\n", text.trim_end()).unwrap();
    }
    page
}

fn right(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Change => "change",
        Access::Secrets => "secrets",
        Access::Daemon => "daemon",
    }
}

#[test]
fn the_reference_pages_are_current() {
    // The samples are written by other tests of this binary; with UPDATE=1 run twice.
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    for (name, page) in [
        ("api.md", page()),
        (
            "api-answers.md",
            page_of_answers(INTRODUCTION_OF_ANSWERS, |name| {
                !comes_in_lines(name) && !is_of_configuration(name)
            }),
        ),
        ("api-lines.md", page_of_answers(INTRODUCTION_OF_LINES, comes_in_lines)),
        (
            "api-answers-config.md",
            page_of_answers(INTRODUCTION_OF_CONFIGURATION, is_of_configuration),
        ),
    ] {
        let path = folder.join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &page).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            page, written,
            "run the tests with UPDATE=1 and commit docs/reference/{name}"
        );
    }
}

#[test]
fn what_needs_no_right_to_change_does_not_change() {
    for endpoint in &ENDPOINTS {
        if endpoint.access == Access::Read {
            assert_eq!(endpoint.method, "GET", "{:?}", endpoint.name);
        }
    }
    assert_eq!(CallName::Environment.endpoint().access, Access::Secrets);
}
