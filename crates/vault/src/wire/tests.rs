//! Requests as they are written, and answers of any form.

use super::*;

fn request_text(request: &Request) -> String {
    let body = request.body.as_deref().unwrap_or_default();
    format!("{} {} {}", request.method, request.path, String::from_utf8_lossy(body))
}

#[test]
fn requests_are_those_of_the_documentation() {
    let path = KvPath::parse("team/kv/data/mps prod").unwrap();
    let secret = |text: &str| Secret::new(text.to_owned());
    let fields = BTreeMap::from([("password".to_owned(), secret("a\"b"))]);
    for (request, wanted) in [
        (
            Request::log_in("approle", &secret("r"), Some(&secret("s"))),
            r#"POST auth/approle/login {"role_id":"r","secret_id":"s"}"#,
        ),
        (
            Request::log_in("/my role/", &secret("r"), None),
            r#"POST auth/my%20role/login {"role_id":"r"}"#,
        ),
        (Request::look_up(), "GET auth/token/lookup-self "),
        (Request::renew(), "POST auth/token/renew-self {}"),
        (Request::read(&path, None), "GET team/kv/data/mps%20prod "),
        (Request::read(&path, Some(7)), "GET team/kv/data/mps%20prod?version=7 "),
        (Request::metadata(&path), "GET team/kv/metadata/mps%20prod "),
        (
            Request::write(&path, &fields, 3),
            r#"POST team/kv/data/mps%20prod {"data":{"password":"a\"b"},"options":{"cas":3}}"#,
        ),
        (
            Request::patch(&path, &fields, 3),
            r#"PATCH team/kv/data/mps%20prod {"data":{"password":"a\"b"},"options":{"cas":3}}"#,
        ),
        (Request::list("kv", ""), "GET kv/metadata/?list=true "),
        (Request::list("/kv/", "/app/"), "GET kv/metadata/app/?list=true "),
    ] {
        assert_eq!(request_text(&request), wanted);
        assert!(!format!("{:?}", request.what).contains("a\"b"));
    }
}

#[test]
fn depth_is_that_of_maps_and_lists_outside_of_texts() {
    for (json, wanted) in [
        ("", 0),
        ("5", 0),
        ("{}", 1),
        (r#"{"a":[{}]}"#, 3),
        (r#"{"a":"[[[[","b":"\"[["}"#, 1),
        ("]]]][", 1),
    ] {
        assert_eq!(depth(json.as_bytes()), wanted, "{json}");
    }
}

/// Every prefix of every answer, and every answer with one byte another: an error or a value, and never a panic.
#[test]
fn no_bytes_make_it_panic_and_none_of_them_are_in_an_error() {
    let planted = "planted5f3a";
    let found = format!(
        r#"{{"data":{{"data":{{"password":"{planted}","n":5}},"metadata":{{"created_time":"x","deletion_time":"","destroyed":false,"version":2}}}},"auth":null}}"#
    );
    let auth = format!(r#"{{"data":null,"auth":{{"client_token":"{planted}","lease_duration":3,"renewable":true}}}}"#);
    let request = Request::read(&KvPath::parse("kv/data/mps").unwrap(), None);
    let secret = Secret::new(planted.to_owned());
    let reader = Reader {
        at: "https://vault",
        request: &request,
        hidden: &[&secret],
    };
    let mut read = 0;
    for text in [found, auth] {
        let cut = (0..=text.len()).map(|end| text.as_bytes()[..end].to_vec());
        let changed = (0..text.len()).flat_map(|at| {
            let text = &text;
            [b'"', b'{', b'0', 0xff].into_iter().map(move |byte| {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] = byte;
                bytes
            })
        });
        for body in cut.chain(changed) {
            for status in [200, 404, 503] {
                let received = Received {
                    status,
                    retry_after: None,
                    location: None,
                    body: Zeroizing::new(body.clone()),
                };
                let errors = [
                    reader.reading(&received).err(),
                    reader.logged_in(&received).err(),
                    reader.looked_up(&received).err(),
                    reader.metadata(&received).err(),
                    reader.keys(&received).err(),
                ];
                read += errors.iter().filter(|error| error.is_none()).count();
                for error in errors.into_iter().flatten() {
                    let told = format!("{error:?} {} {}", error.with_causes(), error.hint());
                    assert!(!told.contains(planted), "{told}");
                }
            }
        }
    }
    assert!(read > 100, "some of them are answers: {read}");
}

#[test]
fn a_life_without_end_in_sight_is_bounded() {
    assert_eq!(lease(0, true).life, None);
    assert_eq!(lease(60, true).life, Some(Duration::from_secs(60)));
    assert_eq!(lease(u64::MAX, true).life, Some(Duration::from_secs(LIFE_MAX)));
}
