//! Invariant: rendering ends within its limits, whatever the template.

use tend_template::{Dialect, Escape, Limits, Still, TemplateError, Templates, Value};

fn bound(text: &str, limits: Limits) -> String {
    let mut templates = Templates::new(Dialect::Alertmanager);
    templates.add("t", text).expect("a template");
    match templates.render("t", &Value::Nil, &[], &mut Still::default(), Escape::Text, limits) {
        Err(TemplateError::Bound { bound, .. }) => bound,
        other => panic!("{text} was not stopped: {other:?}"),
    }
}

#[test]
fn bounds() {
    let limits = Limits {
        bytes: 10_000,
        steps: 10_000,
        depth: 10,
    };
    for (text, expected) in [
        (
            "{{ define \"x\" }}{{ template \"x\" . }}{{ end }}{{ template \"x\" }}",
            "calls templates more than 10 deep",
        ),
        (
            "{{ range 9000000000000000000 }}{{ end }}",
            "takes more than 10000 steps",
        ),
        (
            "{{ range 200 }}{{ range 200 }}{{ end }}{{ end }}",
            "takes more than 10000 steps",
        ),
        (
            "{{ range 2000 }}0123456789{{ end }}",
            "makes more than 10000 bytes of text",
        ),
        ("{{ printf \"%1000000d\" 1 }}", "makes more than 10000 bytes of text"),
        ("{{ printf \"%.1000000d\" 1 }}", "makes more than 10000 bytes of text"),
        (
            "{{ $x := \"ab\" }}{{ range 100 }}{{ $x = print $x $x }}{{ end }}",
            "makes more than 10000 bytes of text",
        ),
        (
            "{{ $x := \"ab\" }}{{ range 100 }}{{ $x = reReplaceAll \"\" $x $x }}{{ end }}",
            "makes more than 10000 bytes of text",
        ),
        (
            "{{ $x := list 1 }}{{ range 100 }}{{ $x = list $x $x $x $x $x $x $x $x }}{{ end }}{{ print $x }}",
            "makes more than 10000 bytes of text",
        ),
    ] {
        assert_eq!(bound(text, limits), expected, "{text}");
    }
}

#[test]
fn what_is_nested_too_deeply_is_refused() {
    for (open, close) in [("{{ if true }}", "{{ end }}"), ("{{ with 1 }}", "{{ end }}")] {
        let text = format!("{}{}", open.repeat(5000), close.repeat(5000));
        let error = Templates::new(Dialect::Prometheus)
            .add("t", &text)
            .expect_err("too deep");
        assert!(error.to_string().contains("nested deeper than 60 levels"), "{error}");
    }
    let text = format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000));
    Templates::new(Dialect::Prometheus)
        .add("t", &text)
        .expect_err("too deep");
}
