//! An `alertmanager.yml` is read as Alertmanager reads it.

use std::path::Path;

use tend_alert::{Kind, read_config};

const WHOLE: &str = r#"
global:
  resolve_timeout: 10m
  smtp_smarthost: mail.example:587
  smtp_from: alerts@example
  smtp_auth_username: alerts
  smtp_auth_password: very-secret
  slack_api_url: https://hooks.slack.com/services/SECRET
templates: ['/etc/alertmanager/*.tmpl']
route:
  receiver: team
  group_by: [alertname, cluster]
  group_wait: 10s
  routes:
    - matchers: ['severity="critical"', job=~"api|web"]
      receiver: pager
      repeat_interval: 1h
      continue: true
      mute_time_intervals: [nights]
    - match: {team: db}
      match_re: {service: mysql|redis}
      receiver: team
      group_by: ['...']
      active_time_intervals: [office]
      routes:
        - matchers: [a=b]
inhibit_rules:
  - source_matchers: [severity="critical"]
    target_match: {severity: warning}
    equal: [alertname]
receivers:
  - name: team
    email_configs:
      - to: team@example
        headers: {Subject: '{{ .Status }}'}
    slack_configs:
      - channel: '#alerts'
        fields: [{title: a, value: b, short: true}]
  - name: pager
    pagerduty_configs: [{routing_key: KEY-SECRET}]
    webhook_configs:
      - url: http://hook.example/TOKEN-SECRET
        max_alerts: 3
        http_config: {basic_auth: {username: u, password: PASS-SECRET}}
    dingtalk_configs: [{url: 'https://oapi.dingtalk.com/robot/send?access_token=SECRET', secret: SEC-SECRET}]
time_intervals:
  - name: nights
    time_intervals:
      - times: [{start_time: '22:00', end_time: '24:00'}, {start_time: '00:00', end_time: '06:00'}]
        location: Asia/Shanghai
  - name: office
    time_intervals: [{weekdays: ['monday:friday'], months: ['1:12'], days_of_month: ['1:5', '-3:-1'], years: ['2020:2030']}]
"#;

#[test]
fn a_whole_configuration_is_read() {
    let config = read_config(Path::new("alertmanager.yml"), WHOLE).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(config.globals.resolve_timeout, 600_000);
    let keys: Vec<_> = config
        .routes
        .iter()
        .map(|route| (route.key.as_str(), route.receiver.as_str(), route.group_wait))
        .collect();
    assert_eq!(
        keys,
        [
            ("{}", "team", 10_000),
            ("{}/{job=~\"api|web\",severity=\"critical\"}", "pager", 10_000),
            ("{}/{service=~\"mysql|redis\",team=\"db\"}", "team", 10_000),
            ("{}/{service=~\"mysql|redis\",team=\"db\"}/{a=\"b\"}", "team", 10_000),
        ]
    );
    assert!(config.routes[1].goes_on && config.routes[1].repeat_interval == 3_600_000);
    assert!(config.routes[3].group_by_all, "a child inherits how it is grouped");
    assert!(config.routes[3].active.is_empty(), "time intervals are not inherited");
    let pager = &config.receivers["pager"];
    let kinds: Vec<_> = pager.integrations.iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [Kind::Webhook, Kind::DingTalk, Kind::PagerDuty]);
    let mail = &config.receivers["team"].integrations[0];
    assert_eq!(mail.text("smarthost"), Some("mail.example:587"));
    assert!(
        !mail.send_resolved,
        "mails are not sent for what resolved unless it is said"
    );
    assert!(pager.integrations[0].send_resolved);
}

#[test]
fn no_secret_is_shown() {
    let config = read_config(Path::new("alertmanager.yml"), WHOLE).unwrap_or_else(|report| panic!("{report}"));
    let shown = format!("{config:?}");
    assert!(!shown.contains("SECRET") && !shown.contains("very-secret"), "{shown}");
    let broken = WHOLE
        .replace("smtp_auth_password:", "smtp_auth_passwort:")
        .replace("slack_api_url: https", "slack_api_url: [https");
    let report = read_config(Path::new("alertmanager.yml"), &broken)
        .expect_err("an unknown key")
        .to_string();
    assert!(
        !report.contains("SECRET") && !report.contains("very-secret"),
        "{report}"
    );
    let broken = WHOLE.replace("smtp_auth_password:", "smtp_auth_passwort:");
    let report = read_config(Path::new("alertmanager.yml"), &broken)
        .expect_err("an unknown key")
        .to_string();
    assert!(
        !report.contains("very-secret") && report.contains("did you mean `smtp_auth_password`?"),
        "{report}"
    );
}

#[test]
fn faults_are_told_with_their_lines() {
    for (from, to, line, expected) in [
        ("receiver: pager", "receiver: pagr", 16, "there is no receiver `pagr`"),
        ("[nights]", "[night]", 19, "there is no time interval `night`"),
        (
            "group_wait: 10s",
            "group_wait: 10x",
            13,
            "`group_wait: 10x` is not a length of time",
        ),
        (
            "[alertname, cluster]",
            "[alertname, '...']",
            12,
            "`...` stands for every label, and stands alone",
        ),
        (
            "[alertname, cluster]",
            "[alertname, alertname]",
            12,
            "the label `alertname` stands twice in `group_by`",
        ),
        (
            "repeat_interval: 1h",
            "repeat_interval: 0s",
            17,
            "`repeat_interval` cannot be zero",
        ),
        (
            "'monday:friday'",
            "'monday:frid'",
            52,
            "`monday:frid` is no range of `weekdays`",
        ),
        (
            "end_time: '24:00'",
            "end_time: '21:00'",
            49,
            "a time of day has `start_time` and a later `end_time`",
        ),
        (
            "[{routing_key: KEY-SECRET}]",
            "[{}]",
            40,
            "`pagerduty_configs` has no `routing_key`",
        ),
        (
            "pagerduty_configs",
            "pagerduty_config",
            40,
            "a receiver has no key `pagerduty_config`",
        ),
        (
            "job=~\"api|web\"",
            "job=~\"(\"",
            15,
            "matcher `job=~\"(\"`: could not read the regular expression `(`",
        ),
        (
            "  receiver: team\n  group_by",
            "  group_by",
            11,
            "the first route has no receiver",
        ),
        (
            "  receiver: team\n  group_by",
            "  receiver: team\n  match: {a: b}\n  group_by",
            11,
            "the first route has no matchers",
        ),
    ] {
        assert!(WHOLE.contains(from), "{from}");
        let report = read_config(Path::new("am.yml"), &WHOLE.replacen(from, to, 1)).expect_err(to);
        let found = report.0.iter().find(|one| one.message.contains(expected));
        let found = found.unwrap_or_else(|| panic!("{to}: {report}"));
        assert_eq!(found.location.line(), line, "{to}: {report}");
    }
}

#[test]
fn what_is_not_supported_is_said() {
    let text = WHOLE.replace(
        "    webhook_configs:",
        "    opsgenie_configs: [{api_key: x}]\n    webhook_configs:",
    );
    let config = read_config(Path::new("am.yml"), &text).unwrap_or_else(|report| panic!("{report}"));
    let warnings = config.warnings.to_string();
    assert!(
        warnings.contains("`opsgenie_configs` is not supported: this receiver is told by its other means alone"),
        "{warnings}"
    );
    let alone = "route: {receiver: a}\nreceivers: [{name: a, opsgenie_configs: [{api_key: x}]}]\n";
    let report = read_config(Path::new("am.yml"), alone)
        .expect_err("nobody would be told")
        .to_string();
    assert!(report.contains("nobody would be told"), "{report}");
}
