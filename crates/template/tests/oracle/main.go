// Renders templates with Alertmanager's own code, so that tests/samples/alertmanager.json holds what it really answers.
//
// Reads a JSON list of {"template", "html"} from standard input and writes the same list with "expect" or "error" added.
// Needs Debian's packages golang-go and golang-github-prometheus-alertmanager-dev:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go run crates/template/tests/oracle/main.go < cases > answers
package main

import (
	"encoding/json"
	"net/url"
	"os"
	"time"

	"github.com/prometheus/alertmanager/template"
)

type sample struct {
	Template string  `json:"template"`
	HTML     bool    `json:"html,omitempty"`
	Expect   *string `json:"expect,omitempty"`
	Error    *string `json:"error,omitempty"`
}

func main() {
	var cases []sample
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	address, _ := url.Parse("http://am.example:9093/x")
	tmpl, err := template.FromGlobs("")
	if err != nil {
		panic(err)
	}
	tmpl.ExternalURL = address
	start := time.Date(2023, 11, 14, 22, 13, 20, 123456789, time.UTC)
	data := &template.Data{
		Receiver: "team-x",
		Status:   "firing",
		Alerts: template.Alerts{
			{Status: "firing", Labels: template.KV{"alertname": "Slow", "job": "api", "severity": "critical"}, Annotations: template.KV{"summary": "p95 is <2s & \"bad\""}, StartsAt: start, GeneratorURL: "http://p/graph?a=1&b=2", Fingerprint: "0123456789abcdef"},
			{Status: "resolved", Labels: template.KV{"alertname": "Slow", "job": "web"}, Annotations: template.KV{}, StartsAt: start, EndsAt: start.Add(90 * time.Minute), Fingerprint: "fedcba9876543210"},
		},
		GroupLabels:       template.KV{"alertname": "Slow"},
		CommonLabels:      template.KV{"alertname": "Slow", "b": "2", "a": "1"},
		CommonAnnotations: template.KV{},
		ExternalURL:       address.String(),
	}
	for i := range cases {
		var out string
		var err error
		if cases[i].HTML {
			out, err = tmpl.ExecuteHTMLString(cases[i].Template, data)
		} else {
			out, err = tmpl.ExecuteTextString(cases[i].Template, data)
		}
		if err != nil {
			text := err.Error()
			cases[i].Error = &text
		} else {
			cases[i].Expect = &out
		}
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(cases); err != nil {
		panic(err)
	}
}
