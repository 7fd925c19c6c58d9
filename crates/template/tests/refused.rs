//! What is refused, where, and in which words: when a template is read, and when it is rendered.

use tend_template::{Dialect, Escape, Limits, Still, TemplateError, Templates, Value};

fn read(text: &str) -> Result<Templates, TemplateError> {
    let mut templates = Templates::new(Dialect::Prometheus).with_variables(&["labels", "value"]);
    templates.add("rule", text).map(|()| templates)
}

#[test]
fn faults_are_told_with_line_and_column() {
    for (text, expected) in [
        (
            "{{ $value | nofunc }}",
            "template `rule`, 1:13: function `nofunc` is not defined",
        ),
        ("a\n中 {{ $nope }}", "template `rule`, 2:6: undefined variable `$nope`"),
        ("x {{ end }}", "template `rule`, 1:6: this `{{ end }}` ends nothing"),
        (
            "{{ if true }}\n\nx",
            "template `rule`, 1:4: this `if` has no `{{ end }}`",
        ),
        (
            "{{ range $value }}{{ else }}{{ else }}{{ end }}",
            "template `rule`, 1:32: a second `{{ else }}`; the first is at 1:22",
        ),
        ("{{ (1 }}", "template `rule`, 1:4: this parenthesis is not closed"),
        (
            "ok {{ $value",
            "template `rule`, 1:4: this action is not closed: `}}` is missing",
        ),
        (
            "{{ \"a }}",
            "template `rule`, 1:4: this text is not closed: a `\"` is missing on its line",
        ),
        (
            "{{ break }}",
            "template `rule`, 1:4: `break` stands outside of any `range`",
        ),
        (
            "{{ 1i }}",
            "template `rule`, 1:4: 1i: complex numbers are not supported",
        ),
        (
            "{{ if true }}{{ define \"x\" }}{{ end }}{{ end }}",
            "template `rule`, 1:17: `define` may only stand outside of everything else",
        ),
    ] {
        let error = read(text).expect_err(text);
        assert_eq!(error.to_string(), expected);
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn a_variable_ends_with_its_block() {
    read("{{ if true }}{{ $x := 1 }}{{ $x }}{{ end }}").expect("known inside");
    let error = read("{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}").expect_err("unknown outside");
    assert_eq!(error.to_string(), "template `rule`, 1:39: undefined variable `$x`");
}

#[test]
fn a_fault_while_rendering_names_the_template_that_has_it() {
    let mut templates = Templates::new(Dialect::Alertmanager);
    templates
        .add("lib", "{{ define \"part\" }}\n  {{ .Nope.X }}{{ end }}")
        .expect("a template");
    templates.add("main", "{{ template \"part\" . }}").expect("a template");
    let data = Value::structure("Data", vec![("Status", "status", "firing".into())]);
    let mut world = Still::default();
    let error = templates
        .render("main", &data, &[], &mut world, Escape::Text, Limits::default())
        .expect_err("no such field");
    assert_eq!(
        error.to_string(),
        "template `part`, 2:6: there is no field `Nope` in a Data"
    );
    let error = templates
        .render("nope", &data, &[], &mut world, Escape::Text, Limits::default())
        .expect_err("no such template");
    assert_eq!(
        error,
        TemplateError::Missing {
            template: "nope".to_owned()
        }
    );
}

#[test]
fn a_template_of_blanks_replaces_none() {
    let mut templates = Templates::new(Dialect::Alertmanager);
    templates
        .add("a", "{{ define \"t\" }}one{{ end }}")
        .expect("a template");
    templates.add("b", "{{ define \"t\" }} {{ end }}").expect("a template");
    let mut world = Still::default();
    let mut show = |templates: &Templates| {
        templates
            .render("t", &Value::Nil, &[], &mut world, Escape::Text, Limits::default())
            .expect("it renders")
    };
    assert_eq!(show(&templates), "one");
    templates
        .add("c", "{{ define \"t\" }}two{{ end }}")
        .expect("a template");
    assert_eq!(show(&templates), "two");
}
