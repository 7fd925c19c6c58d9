"""Renders templates of rules with Debian's promtool, so that tests/samples/prometheus.json holds what Prometheus really answers.

    python3 crates/template/tests/oracle/prometheus.py > crates/template/tests/samples/prometheus.json
"""
import json
import os
import re
import subprocess
import tempfile

VALUES = ["0", "1", "-1.5", "1234567", "0.123456", "NaN", "+Inf", "-Inf", "1e-9", "86461.5", "1e21"]

BY_VALUE = r'''
{{ $value }}
{{ $value | humanize }}
{{ $value | humanize1024 }}
{{ $value | humanizeDuration }}
{{ $value | humanizePercentage }}
{{ $value | humanizeTimestamp }}
{{ printf "%.2f" $value }} {{ printf "%g" $value }} {{ printf "%v" $value }} {{ printf "%5.1f|%-12v|%+v|%08.2f|%e" $value $value $value $value $value }}
{{ if gt $value 1.0 }}more{{ else }}less{{ end }} {{ lt $value 1.0 }} {{ ge $value 0.0 }} {{ eq $value 0.0 }}
{{ $value | toTime }}
'''

ONCE = r'''
{{ $labels.instance }} of {{ $labels.job }} {{ .Labels.job }} {{ .Value }}
{{ $labels }} {{ $labels.nope }}|
{{ $externalLabels.cluster }} {{ $externalURL }} {{ externalURL }} {{ pathPrefix }}
{{ humanize "1234" }} {{ humanize 1500 }} {{ "1.5" | humanizePercentage }} {{ humanizeDuration "3661" }}
{{ humanize "x" }}
{{ humanize true }}
{{ "a b-c d_e fOO" | title }} {{ "aé" | toUpper }} {{ "AÉ" | toLower }}
{{ match "^h" "host" }} {{ reReplaceAll "(.*):.*" "$1" "localhost:9090" }}
{{ reReplaceAll "[" "" "x" }}
{{ stripPort "a:1" }} {{ stripPort "a" }} {{ stripPort "[::1]:80" }} {{ stripPort "::1" }} {{ stripPort "1.2.3.4:56" }}
{{ stripDomain "a.b.c:1" }} {{ stripDomain "a.b.c" }} {{ stripDomain "1.2.3.4:5" }} {{ stripDomain "a" }} {{ stripDomain "[::1]:80" }} {{ stripDomain "::1" }}
{{ parseDuration "1h30m" }} {{ parseDuration "2w" }} {{ parseDuration "500ms" }} {{ parseDuration "1y" }}
{{ parseDuration "x" }}
{{ graphLink "up == 0" }} {{ tableLink "sum(rate(x[5m]))" }}
{{ with query "up" }}{{ . | first | value }}{{ end }}
{{ query "up" | first | label "job" }} {{ query "up" | first | value }}
{{ range query "up" | sortByLabel "instance" }}{{ .Labels.instance }}={{ .Value }};{{ end }}
{{ query "nope" | first | value }}
{{ query "nope" | len }}
{{ query "up[" }}
{{ (args 1 "b").arg0 }} {{ (args 1 "b").arg1 }} {{ (args 1 "b").arg9 }}
{{ args 1 "b" }}
{{ define "x" }}{{ .arg0 }}!{{ end }}{{ template "x" (args 5) }}
{{ (1700000000 | toTime).Year }} {{ ("1700000000.5" | toTime).Format "15:04:05.000" }}
{{ strvalue (query "up" | first) }}|
{{ safeHtml "<b>" }} {{ "<b>" }}
{{ range $i, $s := query "up" }}{{ $i }}{{ end }}
{{ query "up" | sortByLabel "instance" | first | label "instance" }}
{{ $labels.job | printf "%q" }}
{{ first nil }}
{{ label "job" nil }}
{{ value 1 }}
{{ 1 | first }}
{{ print $labels.job $value }}
{{ query "time()" | first | value }}
{{ query "count(up)" | first | value | humanize }}
{{ printf "%s" $value }} {{ printf "%d" $value }}
{{ $value | title }}
{{ $v := $value }}{{ $v }}
{{ humanizeDuration 0.001 }} {{ humanizeDuration 59.99 }} {{ humanizeDuration 60 }} {{ humanizeDuration -90 }} {{ humanizeDuration 1e-10 }} {{ humanizeDuration 3600 }} {{ humanizeDuration 899.5 }}
{{ humanize 999 }} {{ humanize 1000 }} {{ humanize 999999 }} {{ humanize 0.001 }} {{ humanize 1e30 }} {{ humanize -0.5 }} {{ humanize 12345.678 }}
{{ humanize1024 1024 }} {{ humanize1024 1048576 }} {{ humanize1024 1e30 }} {{ humanize1024 0.5 }} {{ humanize1024 -2048 }}
{{ humanizePercentage 0.056789 }} {{ humanizePercentage 1 }} {{ humanizePercentage 12.3456 }}
'''

REFUSED = r'''
{{ end }}
{{ nofunc 1 }}
{{ $undefined }}
{{ join "," $labels }}
{{ if $value }}x
'''


def main():
    cases = [(value, text) for value in VALUES for text in BY_VALUE.strip().split("\n")]
    cases += [("5", text) for text in ONCE.strip().split("\n")]
    rules, tests, inputs = [], [], []
    for index, (value, text) in enumerate(cases):
        inputs.append({"series": f'v{index}{{job="api",instance="h:1"}}', "values": value.replace("+", "")})
        rules.append({"alert": f"A{index}", "expr": f"v{index}", "annotations": {"a": text}})
        tests.append({"eval_time": "0s", "alertname": f"A{index}", "exp_alerts": []})
    inputs += [{"series": f'up{{job="api",instance="{name}"}}', "values": str(at)} for at, name in enumerate(["h:1", "a:1"])]
    out = []
    with tempfile.TemporaryDirectory() as folder:
        rule_file, test_file = os.path.join(folder, "rules.yml"), os.path.join(folder, "test.yml")
        group = {"name": "g", "rules": rules}
        write(rule_file, {"groups": [group]})
        write(test_file, {"rule_files": [rule_file], "tests": [{
            "interval": "1m", "input_series": inputs, "alert_rule_test": tests,
            "external_labels": {"cluster": "c1"}, "external_url": "http://p.example:9090/prom"}]})
        run = subprocess.run(["promtool", "test", "rules", test_file], capture_output=True, text=True)
        text = run.stdout + run.stderr
    for index, (value, template) in enumerate(cases):
        found = re.search(r'alertname: A%d, time: 0s.*?Annotations:(\{.*?\})\n' % index, text, re.S)
        annotation = re.fullmatch(r'\{a="(.*)"\}', found.group(1), re.S).group(1) if found else None
        if annotation is None:
            raise SystemExit(f"no answer for {template} over {value}:\n{text[:2000]}")
        # Labels are printed with Go's quotes.
        answer = json.loads('"' + annotation.replace("\\x", "\\u00") + '"')
        case = {"name": f"v{index}", "value": value, "template": template}
        case["error" if answer.startswith("<error expanding template:") else "expect"] = answer
        out.append(case)
    for template in REFUSED.strip().split("\n"):
        out.append({"value": "5", "template": template, "error": "refused when read"})
    print(json.dumps(out, indent=1, ensure_ascii=False))


def write(path, value):
    # JSON is YAML.
    with open(path, "w") as file:
        json.dump(value, file)


main()
