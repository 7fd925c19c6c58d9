//! The default texts, in both languages: templates under Alertmanager's names, so that files of users that call them find them.
//!
//! The short ones give what Alertmanager's give; lists of alerts and the mail are our own.

use crate::notify::data::Language;

/// The words of a language, and what is made of them.
pub(super) fn defaults(language: Language) -> [&'static str; 2] {
    match language {
        Language::English => [ENGLISH, SHARED],
        Language::Chinese => [CHINESE, SHARED],
    }
}

const ENGLISH: &str = r##"
{{ define "__alertmanager" }}Alertmanager{{ end }}
{{ define "__tend_status" }}{{ .Status | toUpper }}{{ if eq .Status "firing" }}:{{ .Alerts.Firing | len }}{{ end }}{{ end }}
{{ define "__tend_labels" }}Labels:{{ end }}
{{ define "__tend_annotations" }}Annotations:{{ end }}
{{ define "__tend_source" }}Source{{ end }}
{{ define "__tend_resolved" }}resolved{{ end }}
{{ define "__tend_changed" }}Changed in the half hour before:{{ end }}
{{ define "__tend_heading" }}{{ if eq .Status "firing" }}{{ len .Alerts.Firing }} firing{{ else }}Resolved{{ end }}{{ end }}
{{ define "__tend_times" }}since {{ .StartsAt.UTC.Format "2006-01-02 15:04:05" }} UTC{{ if eq .Status "resolved" }}, until {{ .EndsAt.UTC.Format "15:04:05" }}, for {{ (.EndsAt.Sub .StartsAt).Seconds | humanizeDuration }}{{ end }}{{ end }}
"##;

const CHINESE: &str = r##"
{{ define "__alertmanager" }}告警中心{{ end }}
{{ define "__tend_status" }}{{ if eq .Status "firing" }}告警：{{ .Alerts.Firing | len }}{{ else }}已恢复{{ end }}{{ end }}
{{ define "__tend_labels" }}标签：{{ end }}
{{ define "__tend_annotations" }}说明：{{ end }}
{{ define "__tend_source" }}来源{{ end }}
{{ define "__tend_resolved" }}已恢复{{ end }}
{{ define "__tend_changed" }}之前半小时内的变更：{{ end }}
{{ define "__tend_heading" }}{{ if eq .Status "firing" }}{{ len .Alerts.Firing }} 条告警{{ else }}已恢复{{ end }}{{ end }}
{{ define "__tend_times" }}开始于 {{ .StartsAt.UTC.Format "2006-01-02 15:04:05" }} UTC{{ if eq .Status "resolved" }}，恢复于 {{ .EndsAt.UTC.Format "15:04:05" }}，持续 {{ (.EndsAt.Sub .StartsAt).Seconds | humanizeDuration }}{{ end }}{{ end }}
"##;

const SHARED: &str = r##"
{{ define "__alertmanagerURL" }}{{ .ExternalURL }}/#/alerts?receiver={{ .Receiver | urlquery }}{{ end }}
{{ define "__subject" }}[{{ template "__tend_status" . }}] {{ .GroupLabels.SortedPairs.Values | join " " }}{{ if gt (len .CommonLabels) (len .GroupLabels) }} ({{ with .CommonLabels.Remove .GroupLabels.Names }}{{ .Values | join " " }}{{ end }}){{ end }}{{ end }}
{{ define "__description" }}{{ end }}
{{ define "__text_alert_list" }}{{ range . }}{{ template "__tend_labels" }}
{{ range .Labels.SortedPairs }} - {{ .Name }} = {{ .Value }}
{{ end }}{{ template "__tend_annotations" }}
{{ range .Annotations.SortedPairs }} - {{ .Name }} = {{ .Value }}
{{ end }}{{ template "__tend_source" }}: {{ .GeneratorURL }}
{{ end }}{{ end }}
{{ define "__tend_one" }}{{ with .Annotations.summary }}{{ . }}{{ else }}{{ $.Labels.alertname }}{{ end }}{{ with .Annotations.description }}
{{ . }}{{ end }}
{{ .Labels.Remove (stringSlice "alertname") }}
{{ template "__tend_times" . }}{{ with .Annotations.tend_changes }}
{{ template "__tend_changed" }}
{{ . }}{{ end }}{{ end }}
{{ define "__tend_text" }}{{ range .Alerts.Firing }}🔴 {{ template "__tend_one" . }}

{{ end }}{{ range .Alerts.Resolved }}🟢 {{ template "__tend_resolved" }}: {{ template "__tend_one" . }}

{{ end }}{{ end }}
{{ define "tend.title" }}{{ template "__subject" . }}{{ end }}
{{ define "tend.text" }}{{ template "__tend_text" . }}{{ end }}
{{ define "slack.default.title" }}{{ template "__subject" . }}{{ end }}
{{ define "slack.default.username" }}{{ template "__alertmanager" . }}{{ end }}
{{ define "slack.default.fallback" }}{{ template "slack.default.title" . }} | {{ template "slack.default.titlelink" . }}{{ end }}
{{ define "slack.default.callbackid" }}{{ end }}
{{ define "slack.default.pretext" }}{{ end }}
{{ define "slack.default.titlelink" }}{{ template "__alertmanagerURL" . }}{{ end }}
{{ define "slack.default.iconemoji" }}{{ end }}
{{ define "slack.default.iconurl" }}{{ end }}
{{ define "slack.default.text" }}{{ template "__tend_text" . }}{{ end }}
{{ define "slack.default.footer" }}{{ end }}
{{ define "pagerduty.default.description" }}{{ template "__subject" . }}{{ end }}
{{ define "pagerduty.default.client" }}{{ template "__alertmanager" . }}{{ end }}
{{ define "pagerduty.default.clientURL" }}{{ template "__alertmanagerURL" . }}{{ end }}
{{ define "pagerduty.default.instances" }}{{ template "__text_alert_list" . }}{{ end }}
{{ define "telegram.default.message" }}{{ template "__tend_text" . }}{{ end }}
{{ define "wechat.default.message" }}{{ template "__subject" . }}
{{ template "__tend_text" . }}{{ end }}
{{ define "email.default.subject" }}{{ template "__subject" . }}{{ end }}
{{ define "email.default.html" }}<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>{{ template "__subject" . }}</title></head>
<body style="font-family: sans-serif">
<h2>{{ template "__tend_heading" . }}</h2>
{{ range .Alerts }}<div>
<p><b>{{ if eq .Status "resolved" }}✔ {{ template "__tend_resolved" }}: {{ end }}{{ with .Annotations.summary }}{{ . }}{{ else }}{{ .Labels.alertname }}{{ end }}</b></p>
{{ with .Annotations.description }}<p>{{ . }}</p>
{{ end }}{{ with .Annotations.tend_changes }}<p>{{ template "__tend_changed" }}</p>
<pre>{{ . }}</pre>
{{ end }}<table>{{ range .Labels.SortedPairs }}<tr><td>{{ .Name }}</td><td>{{ .Value }}</td></tr>{{ end }}</table>
{{ if .GeneratorURL }}<p><a href="{{ .GeneratorURL }}">{{ template "__tend_source" }}</a></p>
{{ end }}</div>
<hr>
{{ end }}<p><a href="{{ .ExternalURL }}">{{ .ExternalURL }}</a></p>
</body></html>
{{ end }}
"##;
