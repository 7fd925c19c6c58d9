//! A route that is closed for a while: clients see a page that says so, but for those who are let in, and paths of health.

use bytes::Bytes;
use tend_base::{Clock, SystemClock, Wall};
use tend_routing::Maintenance;

use super::{Admission, money};
use crate::answer::{ErrorCode, OwnAnswer, OwnBody};
use crate::exchange::{Asked, Exchange};

/// When to come back where nobody knows the end, in seconds.
const RETRY_AFTER_UNKNOWN: u64 = 60;

/// The form in which a client wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Html,
    Json,
    Plain,
}

pub(super) fn ask(exchange: &mut Exchange, asked: &Asked<'_>) -> Option<Admission> {
    if !is_closed_to(exchange) || money::is_kept(exchange, asked) {
        return None;
    }
    let closed = exchange.route()?.maintenance.as_ref()?;
    let mut form = Form::Plain;
    (asked.fields)("accept", &mut |value| {
        form = form_of(value);
        form != Form::Plain
    });
    Some(Admission::Answer(Box::new(answer(
        closed,
        form,
        SystemClock.now().wall,
    ))))
}

/// Says whether the route is closed to the client of this request.
pub(super) fn is_closed_to(exchange: &Exchange) -> bool {
    let Some(closed) = exchange.route().and_then(|route| route.maintenance.as_ref()) else {
        return false;
    };
    let client = exchange.client();
    !exchange.is_quiet() && !closed.allow.iter().any(|prefix| prefix.contains(client))
}

/// Returns the first of our forms that is named; browsers name HTML, and programs JSON or nothing in particular.
fn form_of(accept: &[u8]) -> Form {
    let accept = String::from_utf8_lossy(accept).to_ascii_lowercase();
    accept
        .split(',')
        .find_map(|range| match range.split(';').next()?.trim() {
            "text/html" | "application/xhtml+xml" => Some(Form::Html),
            "application/json" | "application/problem+json" => Some(Form::Json),
            _ => None,
        })
        .unwrap_or(Form::Plain)
}

fn answer(closed: &Maintenance, form: Form, now: Wall) -> OwnAnswer {
    let left = closed.until.map(|until| until.0.saturating_sub(now.0).div_ceil(1000));
    // Past its expected end it is over any moment, and not in an hour.
    let retry_after = left.map_or(RETRY_AFTER_UNKNOWN, |seconds| seconds.max(1));
    let message = closed
        .message
        .as_deref()
        .unwrap_or("We are working on this service. Please come back a little later.");
    let until = closed.until.map(|until| until.to_rfc3339());
    let (content_type, body) = match form {
        Form::Html => ("text/html; charset=utf-8", html(message, until.as_deref())),
        Form::Json => (
            "application/json",
            serde_json::json!({ "error": ErrorCode::Maintenance.as_str(), "message": message, "until": until })
                .to_string()
                + "\n",
        ),
        Form::Plain => {
            let expected = until.map_or_else(String::new, |until| format!("Expected to end at {until}.\n"));
            ("text/plain; charset=utf-8", format!("{message}\n{expected}"))
        }
    };
    OwnAnswer {
        status: ErrorCode::Maintenance.status(),
        code: Some(ErrorCode::Maintenance),
        fields: vec![
            ("content-type".to_owned(), content_type.to_owned()),
            ("retry-after".to_owned(), retry_after.to_string()),
            ("cache-control".to_owned(), "no-store".to_owned()),
        ],
        body: OwnBody::Bytes(Bytes::from(body)),
        close: false,
    }
}

fn html(message: &str, until: Option<&str>) -> String {
    let until = until.map_or_else(String::new, |until| {
        format!("<p>Expected to end at <time datetime=\"{until}\">{until}</time>.</p>\n")
    });
    let message = escape(message);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Maintenance</title>\n\
         <style>body{{font-family:system-ui,sans-serif;max-width:36rem;margin:20vh auto;padding:0 1rem;color:#222}}</style>\n\
         </head>\n<body>\n<h1>Maintenance</h1>\n<p>{message}</p>\n{until}</body>\n</html>\n"
    )
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_what_is_named_first() {
        let cases = [
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Form::Html,
            ),
            ("application/json, text/html", Form::Json),
            ("application/problem+json", Form::Json),
            ("*/*", Form::Plain),
            ("", Form::Plain),
        ];
        for (accept, form) in cases {
            assert_eq!(form_of(accept.as_bytes()), form, "{accept}");
        }
    }

    #[test]
    fn the_page_says_when_to_come_back_and_writes_no_markup_of_the_message() {
        let closed = Maintenance {
            until: Some(Wall(61_500)),
            message: Some("<b>Back soon & better</b>".to_owned()),
            allow: Vec::new(),
        };
        for (now, retry_after) in [(0, "62"), (61_400, "1"), (90_000, "1")] {
            let answer = answer(&closed, Form::Html, Wall(now));
            assert!(
                answer
                    .fields
                    .contains(&("retry-after".to_owned(), retry_after.to_owned()))
            );
            let OwnBody::Bytes(body) = answer.body else {
                panic!("a page is bytes")
            };
            let body = String::from_utf8(body.to_vec()).unwrap();
            assert!(body.contains("&lt;b&gt;Back soon &amp; better&lt;/b&gt;") && !body.contains("<b>"));
            assert!(body.contains("1970-01-01T00:01:01.500Z"));
        }
    }
}
