//! What is no call, and what is said of it.

use std::fmt::Write as _;

use tend_api::{ApiError, Call};

use crate::samples;

#[test]
fn what_is_no_call_is_refused_with_its_reason() {
    let mut text = String::new();
    for (method, path, query, body) in [
        ("GET", "/", "", ""),
        ("GET", "/v1/stack", "", ""),
        ("GET", "/v2/stacks", "", ""),
        ("PUT", "/v1/stacks", "", ""),
        ("DELETE", "/v1/stacks", "", ""),
        ("GET", "/v1/stacks/..", "", ""),
        ("GET", "/v1/stacks/MPS", "", ""),
        ("GET", "/v1/stacks/", "", ""),
        ("GET", "/v1/stacks/mps/services/a%2Fb", "", ""),
        ("POST", "/v1/stacks", "", ""),
        ("POST", "/v1/stacks", "", "{}"),
        ("POST", "/v1/stacks", "", "not JSON"),
        ("POST", "/v1/stacks/mps/restart", "", "{\"slot\":1}"),
        ("POST", "/v1/stacks/mps/restart", "", "{\"service\":\"api\",\"slot\":0}"),
        ("POST", "/v1/stacks/mps/restart", "", "{\"service\":\"../api\"}"),
        (
            "POST",
            "/v1/stacks/mps/services/api/scale",
            "",
            "{\"replicas\":{\"count\":-1}}",
        ),
        ("POST", "/v1/environment", "", "{\"stack\":\"mps\",\"purpose\":\"run\"}"),
        ("GET", "/v1/logs", "", ""),
        ("GET", "/v1/logs", "stack=mps&tail=many", ""),
        ("GET", "/v1/logs", "stack=mps&stream=stdin", ""),
        ("GET", "/v1/logs", "stack=mps&slot=1", ""),
        ("GET", "/v1/events", "since=yesterday", ""),
        ("GET", "/v1/events", "follow=true&newest_first=true", ""),
    ] {
        let refused: ApiError = Call::decode(method, path, query, body.as_bytes()).unwrap_err();
        writeln!(text, "{method} {path}?{query} {body}").unwrap();
        writeln!(text, "  {}: {}", refused.class.as_str(), refused.message).unwrap();
        for detail in &refused.details {
            writeln!(text, "  because: {detail}").unwrap();
        }
        if !refused.hint.is_empty() {
            writeln!(text, "  next: {}", refused.hint).unwrap();
        }
    }
    samples::assert_is("refusals.txt", &text);
}

#[test]
fn fields_and_parameters_of_a_newer_client_are_ignored() {
    let plain = Call::decode("POST", "/v1/stacks/mps/stop", "", b"{\"service\":\"api\"}").unwrap();
    let newer = Call::decode(
        "POST",
        "/v1/stacks/mps/stop",
        "patience=5",
        b"{\"service\":\"api\",\"patience\":5}",
    );
    assert_eq!(newer.unwrap(), plain);
}

#[test]
fn no_body_means_the_whole_stack() {
    let call = Call::decode("POST", "/v1/stacks/mps/restart", "", b"").unwrap();
    let Call::Restart(target) = call else {
        panic!("{call:?}");
    };
    assert_eq!(
        (target.stack.as_str(), target.service, target.slot),
        ("mps", None, None)
    );
}
