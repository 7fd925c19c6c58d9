//! What the edge says when it refuses: as JSON, HTML or plain text, whichever the client likes best.
//!
//! Owns the reading of `Accept` and the three forms of body. Knows neither why a request is refused nor how an answer is written.

use bytes::Bytes;
use tend_routing::Fields;

use crate::answer::{ErrorCode, OwnAnswer, OwnBody};

/// The form of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    #[default]
    Plain,
    Json,
    Html,
}

impl Form {
    /// Returns the form a client likes best (RFC 9110, 12.5.1); plain text where it does not care.
    pub(crate) fn wanted(fields: &Fields<'_>) -> Self {
        let mut best = [Liking::default(); 3];
        let mut place = 0;
        fields("accept", &mut |list| {
            for range in list.split(|byte| *byte == b',') {
                place += 1;
                weigh(range, place, &mut best);
            }
            false
        });
        let forms = [Self::Plain, Self::Json, Self::Html];
        let liked = forms.into_iter().zip(best).filter(|(_, liking)| liking.quality > 0);
        // Of equals the one that is named, then the one that is named first, then plain text.
        let rank = |liking: Liking| (liking.quality, liking.named, std::cmp::Reverse(liking.place));
        liked
            .rev()
            .max_by_key(|(_, liking)| rank(*liking))
            .map_or(Self::Plain, |(form, _)| form)
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain; charset=utf-8",
            Self::Json => "application/json",
            Self::Html => "text/html; charset=utf-8",
        }
    }
}

/// How much a client likes a form.
#[derive(Clone, Copy, Default)]
struct Liking {
    /// In thousandths.
    quality: u16,
    /// 3 by its own name, 2 by its kind, 1 by `*/*`, 0 not at all.
    named: u8,
    /// Where in the list.
    place: usize,
}

/// Notes what a media range says of each form; a more exact range counts before a less exact one.
fn weigh(range: &[u8], place: usize, best: &mut [Liking; 3]) {
    let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let media = parts.next().unwrap_or_default();
    let quality = parts
        .find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")))
        .map_or(1000, thousandths);
    let names: [(&[u8], &[u8]); 3] = [
        (b"text/plain", b"text/*"),
        (b"application/json", b"application/*"),
        (b"text/html", b"text/*"),
    ];
    for ((exact, kind), liking) in names.into_iter().zip(best) {
        let named = if media.eq_ignore_ascii_case(exact) {
            3
        } else if media.eq_ignore_ascii_case(kind) {
            2
        } else if media == b"*/*" {
            1
        } else {
            continue;
        };
        if named > liking.named {
            *liking = Liking { quality, named, place };
        }
    }
}

/// Reads `0.5` or `1`; what is malformed counts as unwanted.
fn thousandths(text: &[u8]) -> u16 {
    let (whole, rest) = match text {
        [b'0', rest @ ..] => (0, rest),
        [b'1', rest @ ..] => (1000, rest),
        _ => return 0,
    };
    let digits = match rest {
        [] => return whole,
        [b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => digits,
        _ => return 0,
    };
    let part = digits
        .iter()
        .zip([100, 10, 1])
        .map(|(digit, worth)| u16::from(digit - b'0') * worth);
    (whole + part.sum::<u16>()).min(1000)
}

/// Returns a refusal: in the form the client likes, with what it is told and when it may come again.
pub(crate) fn refusal(
    code: ErrorCode,
    form: Form,
    message: Option<&str>,
    retry_after_seconds: Option<u64>,
    request_id: &str,
) -> OwnAnswer {
    let mut answer = OwnAnswer::refusal(code);
    if let Some(seconds) = retry_after_seconds {
        answer.fields.retain(|(name, _)| name != "retry-after");
        answer.fields.push(("retry-after".to_owned(), seconds.to_string()));
    }
    put_into(&mut answer, code, form, message, request_id);
    answer
}

/// Puts the standard text of a refusal into the form the client likes; an answer with a body of its own stays as it is.
pub(crate) fn dress(answer: &mut OwnAnswer, form: Form, request_id: &str) {
    if let (Some(code), OwnBody::Bytes(bytes)) = (answer.code, &answer.body)
        && form != Form::Plain
        && *bytes == code.text().as_bytes()
    {
        put_into(answer, code, form, None, request_id);
    }
}

fn put_into(answer: &mut OwnAnswer, code: ErrorCode, form: Form, message: Option<&str>, request_id: &str) {
    let standard = code.text().trim_start_matches("tend edge: ").trim_end();
    let body = match (form, message) {
        (Form::Plain, None) => Bytes::from_static(code.text().as_bytes()),
        (Form::Plain, Some(message)) => format!("{message}\n").into(),
        (Form::Json, message) => json(answer, code, message.unwrap_or(standard), request_id).into(),
        (Form::Html, message) => html(answer.status, message.unwrap_or(standard), request_id).into(),
    };
    answer.fields.retain(|(name, _)| name != "content-type");
    answer
        .fields
        .push(("content-type".to_owned(), form.content_type().to_owned()));
    answer.body = OwnBody::Bytes(body);
}

fn json(answer: &OwnAnswer, code: ErrorCode, message: &str, request_id: &str) -> String {
    let retry_after = answer
        .fields
        .iter()
        .find(|(name, _)| name == "retry-after")
        .and_then(|(_, seconds)| seconds.parse::<u64>().ok());
    let mut body = serde_json::json!({
        "error": code.as_str(),
        "status": answer.status,
        "message": message,
        "request_id": request_id,
    });
    if let Some(seconds) = retry_after {
        body["retry_after"] = seconds.into();
    }
    format!("{body}\n")
}

fn html(status: u16, message: &str, request_id: &str) -> String {
    let message = escaped(message);
    let request_id = escaped(request_id);
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{status}</title>\
         <h1>{status}</h1>\n<p>{message}</p>\n<p><small>{request_id}</small></p></html>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(lists: &[&str]) -> Form {
        Form::wanted(&|name, see| name == "accept" && lists.iter().any(|list| see(list.as_bytes())))
    }

    #[test]
    fn the_form_is_the_one_the_client_likes_best() {
        for (accept, form) in [
            ("", Form::Plain),
            ("*/*", Form::Plain),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Form::Html,
            ),
            ("application/json, text/plain, */*", Form::Json),
            ("application/json", Form::Json),
            ("APPLICATION/JSON", Form::Json),
            ("application/*", Form::Json),
            ("text/*", Form::Plain),
            ("text/html;q=0.5, application/json;q=0.6", Form::Json),
            ("text/html;q=0.6, application/json;q=0.5", Form::Html),
            ("text/html, application/json", Form::Html),
            ("application/json, text/html", Form::Json),
            ("*/*, application/json;q=0", Form::Plain),
            ("text/plain;q=0, */*;q=0.1, text/html;q=0", Form::Json),
            ("text/html;level=1;q=0.4, application/json;q=0.3", Form::Html),
            ("application/json;q=2, text/html;q=0.001", Form::Html),
            ("application/json;q=0.1234, text/html;q=0.1", Form::Html),
            ("image/png", Form::Plain),
            ("application/json;q=0", Form::Plain),
        ] {
            assert_eq!(wanted(&[accept]), form, "{accept}");
        }
        assert_eq!(wanted(&["image/png", "application/json"]), Form::Json);
        assert_eq!(wanted(&[]), Form::Plain);
    }

    fn text(answer: &OwnAnswer) -> String {
        match &answer.body {
            OwnBody::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            OwnBody::File { .. } => panic!("a refusal is no file"),
        }
    }

    #[test]
    fn every_refusal_has_each_of_the_forms() {
        for code in ErrorCode::ALL {
            let answer = refusal(code, Form::Json, None, Some(7), "id-1");
            let body: serde_json::Value = serde_json::from_str(&text(&answer)).unwrap();
            assert_eq!(body["error"], code.as_str());
            assert_eq!(
                (&body["status"], &body["retry_after"]),
                (&code.status().into(), &7.into())
            );
            assert_eq!(body["request_id"], "id-1");
            let mut answer = OwnAnswer::refusal(code);
            dress(&mut answer, Form::Html, "id-1");
            assert!(text(&answer).contains(&format!("<h1>{}</h1>", code.status())));
            let types = answer.fields.iter().filter(|(name, _)| name == "content-type");
            assert_eq!(
                types.map(|(_, value)| value.as_str()).collect::<Vec<_>>(),
                ["text/html; charset=utf-8"]
            );
        }
    }

    #[test]
    fn a_text_of_the_stack_file_cannot_become_markup() {
        let message = "<script>\"&\n";
        let html = text(&refusal(ErrorCode::RateLimited, Form::Html, Some(message), None, "x"));
        assert!(
            html.contains("&lt;script&gt;&quot;&amp;") && !html.contains("<script>"),
            "{html}"
        );
        let json = text(&refusal(ErrorCode::RateLimited, Form::Json, Some(message), None, "x"));
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&json).unwrap()["message"],
            message
        );
    }

    #[test]
    fn a_body_that_is_not_ours_is_left_alone() {
        let mut answer = OwnAnswer::refusal(ErrorCode::NoReadyReplica);
        answer.body = OwnBody::Bytes(Bytes::from_static(b"of a person"));
        dress(&mut answer, Form::Json, "x");
        assert_eq!(text(&answer), "of a person");
    }
}
