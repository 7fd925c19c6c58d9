//! What the writer writes, and that it reads the same.

use tend_exposition::{Format, MetricType, Writer};

use crate::told;

const LABELS: &[(&str, &str)] = &[("path", "a\\b\n\"c\""), ("k8s.pod", "世界")];

fn written(format: Format) -> String {
    let mut out = String::new();
    let mut writer = Writer::new(&mut out, format);
    writer.help("requests", "All \"requests\"\nof \\ a day.");
    writer.metric_type("requests", MetricType::Counter);
    writer.sample("requests_total", LABELS.iter().copied(), 1_234_567.0, None);
    writer.metric_type("http.open", MetricType::Gauge);
    writer.sample("http.open", [("a", "b")], -0.5, Some(1_520_879_607_089));
    writer.sample("http.open", [], f64::INFINITY, Some(-1_500));
    writer.end();
    out
}

#[test]
fn both_formats_are_written_with_their_own_escapes() {
    assert_eq!(
        written(Format::Text),
        "# HELP requests All \"requests\"\\nof \\\\ a day.\n# TYPE requests counter\n\
         requests_total{path=\"a\\\\b\\n\\\"c\\\"\",\"k8s.pod\"=\"世界\"} 1.234567e+06\n\
         # TYPE \"http.open\" gauge\n{\"http.open\",a=\"b\"} -0.5 1520879607089\n{\"http.open\"} +Inf -1500\n"
    );
    assert!(written(Format::OpenMetrics).contains("{\"http.open\",a=\"b\"} -0.5 1520879607.089\n"));
    assert!(written(Format::OpenMetrics).ends_with("{\"http.open\"} +Inf -1.500\n# EOF\n"));
}

#[test]
fn what_is_written_reads_the_same() {
    let read = told(written(Format::OpenMetrics).as_bytes(), Format::OpenMetrics);
    assert_eq!(
        read,
        "help requests: \"All \\\"requests\\\"\\nof \\\\ a day.\"\ntype requests: Counter\n\
         sample 3: __name__=\"requests_total\" path=\"a\\\\b\\n\\\"c\\\"\" k8s.pod=\"世界\" = 1234567.0\n\
         type http.open: Gauge\nsample 5: __name__=\"http.open\" a=\"b\" = -0.5 at 1520879607089\n\
         sample 6: __name__=\"http.open\" = inf at -1500\n"
    );
}
