"""The templates that are given to Alertmanager; prints them as the JSON list that main.go reads.

    python3 crates/template/tests/oracle/alertmanager_cases.py | GO111MODULE=off GOPATH=/usr/share/gocode \\
        go run crates/template/tests/oracle/main.go > crates/template/tests/samples/alertmanager.json
"""
import json

TEXT = r'''
plain text
{{ .Status | toUpper }}:{{ .Alerts.Firing | len }}
{{ .Receiver }} {{ .ExternalURL }}
{{ .CommonLabels }} {{ .CommonLabels.SortedPairs }} {{ .CommonLabels.Names }} {{ .CommonLabels.Values }}
{{ .CommonLabels.SortedPairs.Values | join " " }}
{{ range .CommonLabels.SortedPairs }}{{ .Name }}={{ .Value }};{{ end }}
{{ (.CommonLabels.Remove .GroupLabels.Names).Values | join ", " }}
{{ (.CommonLabels.Remove (stringSlice "a" "b")).SortedPairs.Names }}
{{ with .GroupLabels.alertname }}[{{ . }}]{{ else }}none{{ end }}
{{ with .GroupLabels.nope }}[{{ . }}]{{ else }}none{{ end }}
{{ .GroupLabels.nope }}|{{ index .GroupLabels "alertname" }}|{{ index .GroupLabels "nope" }}
{{ range $i, $a := .Alerts }}{{ $i }}:{{ $a.Labels.job }} {{ end }}
{{ range .Alerts.Resolved }}{{ .EndsAt.Sub .StartsAt }} {{ .Fingerprint }}{{ end }}
{{ (index .Alerts 0).StartsAt }}
{{ (index .Alerts 0).StartsAt.Format "2006-01-02T15:04:05.000Z07:00" }} {{ (index .Alerts 0).StartsAt.Unix }}
{{ (index .Alerts 0).StartsAt.Month }} {{ (index .Alerts 0).StartsAt.Weekday }} {{ printf "%d" (index .Alerts 0).StartsAt.Month }} {{ (index .Alerts 0).StartsAt.YearDay }}
{{ (index .Alerts 0).EndsAt.IsZero }} {{ (index .Alerts 1).EndsAt.After (index .Alerts 0).StartsAt }}
{{ (index .Alerts 0).StartsAt.Format "Mon Jan _2 15:04:05 MST 2006|Monday 02-Jan-06 3:04PM pm|.000 .999999 ,000|__2 002|2006年1月2日|Janitor Month" }}
{{ ((index .Alerts 1).EndsAt.Sub (index .Alerts 1).StartsAt).Hours }} {{ ((index .Alerts 1).EndsAt.Sub (index .Alerts 1).StartsAt).Minutes }}
{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}
{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ end }}{{ $x }}
{{ if and true 0 }}a{{ else if or "" "x" }}b{{ else }}c{{ end }}
{{ and 1 2 "" 3 }}|{{ or 0 "" "z" 1 }}|{{ not 0 }} {{ not "a" }}
{{- "  trimmed" -}}   {{- /* a comment */ -}}   x
a {{- /* one */}} b {{/* two */ -}} c
{{ range $i, $x := stringSlice "a" "b" "c" }}{{ if eq $i 1 }}{{ continue }}{{ end }}{{ $x }}{{ end }}
{{ range stringSlice "a" "b" "c" }}{{ if eq . "b" }}{{ break }}{{ end }}{{ . }}{{ end }}
{{ range stringSlice }}x{{ else }}empty{{ end }}
{{ define "t" }}<{{ . }}>{{ end }}{{ template "t" "v" }}{{ template "t" }}
{{ block "b" .Status }}block {{ . }}{{ end }}
{{ define "rec" }}{{ if gt (len .) 0 }}{{ slice . 0 1 }}-{{ template "rec" (slice . 1) }}{{ end }}{{ end }}{{ template "rec" "abcd" }}
{{ template "nope" . }}
{{ len "héllo" }} {{ len .Alerts }} {{ len .CommonLabels }}
{{ index (stringSlice "a" "b") 1 }} {{ index "abc" 1 }}
{{ index (stringSlice "a" "b") 2 }}
{{ slice "abcdef" 1 3 }} {{ slice "abcdef" 4 }} {{ slice (stringSlice "a" "b" "c") 1 }}
{{ slice "abc" 2 1 }}
{{ print 1 2 "a" "b" 3 true nil }}|{{ print "a" 1 2 "b" }}|{{ println 1 "a" 2 }}
{{ html "<a href='x'>\"&" }} {{ js "it's \"<b>\" = \\ & \n é" }} {{ urlquery "a b&c=d/é~" }}
{{ html 1 2 }} {{ "x<y" | html }} {{ urlquery 1.5 "a" }}
{{ eq 1 1 }} {{ eq 1 2 3 1 }} {{ ne "a" "b" }} {{ lt 1 2 }} {{ le 2 2 }} {{ gt 1.5 1.0 }} {{ ge "b" "a" }}
{{ eq 1 1.0 }}
{{ lt 1 "a" }}
{{ lt true false }}
{{ eq .Alerts .Alerts }}
{{ eq nil nil }}
{{ eq .GroupLabels nil }}
{{ eq (index .Alerts 0).StartsAt (index .Alerts 1).StartsAt }}
{{ 1234567.0 }} {{ 123456.0 }} {{ 0.00001 }} {{ 1e21 }} {{ 1e100 }} {{ 100000.5 }} {{ 3.0 }} {{ -0.0 }}
{{ 1 }} {{ -5 }} {{ +5 }} {{ 0x1F }} {{ 0o17 }} {{ 017 }} {{ 0b11 }} {{ 1_000 }} {{ 'a' }} {{ '\n' }} {{ 1e3 }} {{ 0x1p-2 }} {{ .5 }} {{ 5. }}
{{ printf "%v %g %.2f %d %s %q %x %t" 1.5 1234567.0 3.14159 42 "s" "q\"" "hex" true }}
{{ printf "%5.1f|%-10s|%10s|%05d|%+d|% d|%x|%X|%o|%b|%c|%U|%e|%E|%G" 3.14159 "ab" "cd" 42 42 42 255 255 8 5 65 65 12345.678 12345.678 1e-10 }}
{{ printf "%6.2f%%" 12.345 }} {{ printf "%%" }} {{ printf "%!" }} {{ printf "%" }}
{{ printf "%d" "a" }} {{ printf "%s" 1 }} {{ printf "%d" }} {{ printf "x" 1 }} {{ printf "%d %d" 1 }}
{{ printf "%[2]d %[1]d" 1 2 }} {{ printf "%[3]d" 1 2 }} {{ printf "%*d|%-*d|%.*f" 5 1 5 2 2 3.14159 }}
{{ printf "%T %T %T %T %T" 1 1.5 "a" true nil }} {{ printf "%v %s %d" nil nil nil }}
{{ printf "%v %v" .CommonLabels.Names .CommonLabels.Values }}
{{ printf "%q %q %+q %#q" "a\tb" "é中\x00" "é" "raw" }} {{ printf "%q %+q" 'x' 'é' }}
{{ printf "%x % x %#x %# x %X" "hello" "hello" "hello" "hello" "hello" }}
{{ printf "%08.3f|%+.2e|%-8.1f|% .2f|%+08d|%-08d|%x|%#x|%#o|%O" 3.14159 12345.678 2.5 1.5 42 42 -255 255 8 8 }}
{{ printf "%.3s|%.10s|%5.1s|%-5s|%05s" "abcdef" "abc" "xyz" "é" "ab" }}
{{ printf "%g %g %g %.3g %.10g %g" 100000.0 1000000.0 1e-5 1234.5678 1234.5678 0.0 }}
{{ printf "%#g %#.3g %#v %#v %#v" 1.0 1.0 1.5 "a" 3 }}
{{ printf "%v %.1f %6v|%-6v|%06v" 2.0 2.25 1.5 1.5 1.5 }} {{ printf "%t %v" false true }} {{ printf "%5t|%-7t|" true false }}
{{ printf "%s" (stringSlice "a" "b") }} {{ printf "%q" (stringSlice "a" "b") }} {{ printf "%v" (stringSlice "a" "b") }} {{ printf "%d" (stringSlice "a") }}
{{ printf "%z" 1 }} {{ printf "%p" 1 }} {{ printf "%t" 1 }} {{ printf "%c" "a" }} {{ printf "%f" 1 }} {{ printf "%f" "a" }}
{{ printf "%10.3v|%-10v|%10v" "abcdef" "ab" true }} {{ printf "%s %v" (index .Alerts 0).StartsAt.Month (index .Alerts 0).StartsAt }}
{{ printf "%3c|%-3c|%03c" 65 66 67 }} {{ printf "%#U %U" 0x4e2d 0x1f600 }}
{{ "quoted \"text\" \u4e2d \x41 \101 \t|" }} {{ `raw \n "text"` }}
{{ "a" | printf "%s-%s" "b" }} {{ 3 | printf "%d %d" 1 | printf "%s!" }}
{{ title "hello wORLD" }} {{ "ÀB" | toLower }} {{ "straße" | toUpper }} {{ title "don't stop-now a.b foo_bar 1st" }} {{ title "éa ß x" }}
{{ match "^a.*c$" "abc" }} {{ match "x" "abc" }} {{ reReplaceAll "(a)(b)" "$2$1-${1}x" "abab" }} {{ reReplaceAll "x*" "-" "abc" }}
{{ reReplaceAll "(?P<n>[0-9]+)" "<${n}>" "a1b22" }} {{ reReplaceAll "b" "$$" "abc" }} {{ reReplaceAll "(a)" "$1x" "a" }}
{{ match "[" "a" }}
{{ safeHtml "<b>" }} {{ join "," (stringSlice "a" "b") }}
{{ join "," .Status }}
{{ toUpper 1 }}
{{ title }}
{{ title "a" "b" }}
{{ .Nope }}
{{ .Status.Nope }}
{{ .CommonLabels.a.b }}
{{ .Alerts.Firing.Nope }}
{{ .Status "x" }}
{{ .CommonLabels.SortedPairs 1 }}
{{ "a" "b" }}
{{ 1 | 2 }}
{{ nil }}
{{ true }} {{ false }}
{{ $.Status }} {{ with .Alerts }}{{ $.Status }} {{ len . }}{{ end }}
{{ range 5 }}x{{ end }}
{{ range "abc" }}x{{ end }}
{{ range $k, $v := .CommonLabels }}{{ $k }}:{{ $v }} {{ end }}
{{ range $v := .CommonLabels }}{{ $v }} {{ end }}
{{ if .Alerts }}yes{{ end }}{{ if 0.0 }}no{{ end }}{{ if "" }}no{{ end }}{{ if (index .Alerts 0) }}struct{{ end }}
{{ with $x := 5 }}{{ $x }}{{ . }}{{ end }}
{{ if $x := "v" }}{{ $x }}{{ end }}
{{ (print "a" "b") | len }} {{ len (print "a" "b") }} {{ ((1)) }}
{{ call .Status }}
{{ (index .Alerts 0).Labels.job }} {{ (index .Alerts 0).Labels.SortedPairs.Values }}
{{with .Alerts}}{{range .}}{{.Labels.job}}{{end}}{{end}}
{{ index .Alerts | len }}
{{ index nil 1 }}
{{ len 3 }}
{{ len nil }}
{{ not }}
{{ and }}
{{ printf 1 }}
{{ printf }}
{{ print }}
{{ template "__subject" . }}
{{ "a" | eq "a" }} {{ 1 | lt 0 }} {{ "x" | and "y" }} {{ "" | or "y" }}
{{ $a := "x" }}{{ $b := $a }}{{ $a }}{{ $b }}
{{"x"}}{{"y"}}
{{ if not (eq .Status "resolved") }}F{{ end }}
{{ if eq .Status "a" "firing" }}F{{ end }}
{{ "multi
line" }}
{{ print
 "a"
 }}
{{ range $i, $e := .Alerts }}{{ if $i }}, {{ end }}{{ $e.Labels.job }}{{ end }}
{{ $m := 0 }}{{ range $i, $e := .Alerts }}{{ $m = $i }}{{ end }}{{ $m }}
{{ (index .Alerts 0).StartsAt.Truncate 3600000000000 }} {{ (index .Alerts 0).StartsAt.Add 90000000000 }}
{{ ((index .Alerts 1).EndsAt.Sub (index .Alerts 1).StartsAt).Round 3600000000000 }}
{{ .Alerts | len | printf "%03d" }}
{{ .GroupLabels.alertname | printf "%s" | toUpper | title }}
{{/* only a comment */}}
{{ slice .Alerts 0 1 | len }}
{{ printf "%v" 1e6 }} {{ printf "%v" 1e20 }} {{ printf "%v" 123456789.0 }} {{ printf "%.0f" 2.5 }} {{ printf "%.1f" 0.25 }} {{ printf "%5.0f|" 1e3 }}
{{ printf "%e" 0.0 }} {{ printf "%.3e" 1234.5 }} {{ printf "%G" 1e-7 }} {{ printf "%g" 1e-4 }} {{ printf "%.1g" 0.95 }} {{ printf "%.2g" 99.9 }}
{{ printf "%d" .GroupLabels }}
{{ printf "%.2f" "a" }} {{ printf "%d" 1.5 }} {{ printf "%d" true }}
'''

REFUSED = r'''
{{ end }}
{{ nofunc 1 }}
{{ $undefined }}
{{ if }}x{{ end }}
{{ if true }}x
{{ range }}{{ end }}
{{ else }}
{{ if true }}{{ else }}{{ else }}{{ end }}
{{ define }}{{ end }}
{{ template }}
{{ define "x" }}{{ define "y" }}{{ end }}{{ end }}
{{ "unterminated }}
{{ `raw }}
{{ 'ab' }}
{{ 1x }}
{{ 08 }}
{{ (1 }}
{{ 1) }}
{{ | }}
{{ 1 | }}
{{ print | }}
{{ .a..b }}
{{ "a".b }}
{{ true.b }}
{{ $x = 1 }}
{{ $x, $y := 1 }}
{{ break }}
{{ continue }}
{{ /* x }}
{{/* x */ y}}
{{ "\q" }}
{{ a b
{{
{{ }}
{{ % }}
{{ .x$y }}
{{ print "a"b }}
{{ with }}x{{ end }}
{{ end x }}
{{ if true }}{{ end x }}
{{ range $i, $j, $k := .Alerts }}{{ end }}
{{ $x := }}
{{ nil | print | 3 }}
{{ define "x" }}a{{ else }}b{{ end }}
{{ if true }}{{ $y := 1 }}{{ end }}{{ $y }}
{{ "a" := 1 }}
{{ block "x" }}{{ end }}
'''

HTML = r'''
<b>{{ (index .Alerts 0).Annotations.summary }}</b>
<a href="{{ (index .Alerts 0).GeneratorURL }}">x</a>
<a href="javascript:{{ .Status }}">x</a>
<a href="{{ "javascript:alert(1)" }}">x</a>
<a href="/a?q={{ "x y&z" }}">x</a>
<a href="http://h/{{ "a b/c" }}">x</a>
<div title="{{ "a\"b'c<d>" }}">x</div>
<div title={{ "a b" }}>x</div>
<script>var x = {{ .Status }}; var y = '{{ "it's" }}'; var n = {{ 5 }}; var b = {{ true }};</script>
{{ safeHtml "<b>bold</b>" }} {{ "<b>" }} {{ "a+b" }}
<p style="color: {{ "red" }}">x</p>
<p style="color: {{ "expression(1)" }}">x</p>
{{ .Status | html }} {{ "<i>" | html }}
<title>{{ "<t>" }}</title>
<textarea>{{ "</textarea>" }}</textarea>
{{ define "t" }}<i title="{{ . }}">{{ . }}</i>{{ end }}{{ template "t" "a<b" }}
<a onclick="f({{ .Status }})">x</a>
<img src="{{ "http://x/y z.png" }}">
{{ range .Alerts }}<li>{{ .Labels.job }}</li>{{ end }}
5 < 6 {{ "<" }}
'''


def main():
    cases = [{"template": text} for text in split(TEXT) + split(REFUSED)]
    cases += [{"template": text, "html": True} for text in split(HTML)]
    print(json.dumps(cases))


def split(block):
    # A line that leaves an action open goes on in the next.
    out, held = [], ""
    for line in block.strip("\n").split("\n"):
        held = held + "\n" + line if held else line
        if held.startswith('{{ "multi') or held.startswith("{{ print") and len(held) < 10 or held.startswith("{{ print\n"):
            if not held.endswith("}}"):
                continue
        out.append(held)
        held = ""
    return out


main()
