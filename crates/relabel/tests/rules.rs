//! What rules do, as a table; the hash is compared with `md5sum`.

use tend_promql::Labels;
use tend_relabel::{Action, Error, Rule, RuleText, relabel};

/// A rule out of words: `action key=value …`, with `_` for a blank in values.
fn text(words: &str) -> Result<RuleText, Error> {
    let mut words = words.split(' ');
    let mut text = RuleText {
        action: Action::parse(words.next().unwrap_or_default())?,
        ..RuleText::default()
    };
    for word in words {
        let (key, value) = word.split_once('=').expect("a key and its value");
        match key {
            "from" => text.source_labels = value.split(',').map(str::to_owned).collect(),
            "by" => text.separator = value.to_owned(),
            "to" => text.target_label = value.to_owned(),
            "regex" => text.regex = value.to_owned(),
            "modulus" => text.modulus = value.parse().expect("a number"),
            "with" => text.replacement = value.to_owned(),
            _ => panic!("{key}"),
        }
    }
    Ok(text)
}

fn rule(words: &str) -> Result<Rule, Error> {
    Rule::new(text(words)?)
}

/// Labels, rules, and what comes out; empty where the set is dropped.
const CASES: &[(&str, &[&str], &str)] = &[
    (
        "a=foo,b=bar,c=baz",
        &["replace from=a to=d regex=f(.*) with=ch${1}-ch${1}"],
        "a=foo,b=bar,c=baz,d=choo-choo",
    ),
    (
        "a=foo,b=bar,c=baz",
        &[
            "replace from=a,b to=a regex=f(.*);(.*)r with=b${1}${2}m",
            "replace from=c,a to=d regex=(b).*b(.*)ba(.*) with=$1$2$2$3",
        ],
        "a=boobam,b=bar,c=baz,d=boooom",
    ),
    ("a=foo", &["replace from=a to=b regex=bar with=x"], "a=foo"),
    ("a=foo", &["replace from=a to=a regex=foo with="], "-"),
    ("a=foo", &["replace to=b with=c"], "a=foo,b=c"),
    (
        "a=foo,b=x_y",
        &["replace from=b to=${1}_${2} regex=(.*)_(.*) with=$1"],
        "a=foo,b=x_y,x_y=x",
    ),
    (
        "a=some-name",
        &["replace from=a to=${1} regex=(.*)-.*x? with=v"],
        "a=some-name,some=v",
    ),
    ("a=1x", &["replace from=a to=${1} regex=(.*) with=v"], "a=1x"),
    ("a=$$", &["replace from=a to=b with=$$1"], "a=$$,b=$1"),
    ("a=foo", &["keep from=a regex=f.*"], "a=foo"),
    ("a=foo", &["keep from=a regex=f"], ""),
    ("a=foo", &["drop from=a regex=.*o.*"], ""),
    ("a=foo", &["drop from=a regex=bar", "drop from=b regex=.+"], "a=foo"),
    ("a=foo", &["drop from=b regex="], ""),
    ("a=x,b=x", &["keepequal from=a to=b"], "a=x,b=x"),
    ("a=x,b=y", &["keepequal from=a to=b"], ""),
    ("a=x,b=x", &["dropequal from=a to=b"], ""),
    ("a=x,b=y", &["dropequal from=a to=b"], "a=x,b=y"),
    (
        "a=FoO,b=ß",
        &["lowercase from=a to=c", "uppercase from=a to=d"],
        "a=FoO,b=ß,c=foo,d=FOO",
    ),
    (
        "a=foo,b=bar,c=baz",
        &["hashmod from=c to=d by=; modulus=1000"],
        "a=foo,b=bar,c=baz,d=976",
    ),
    (
        "__meta_pod_name=p,__meta_pod_ip=i,x=y",
        &["labelmap regex=__meta_pod_(.+)"],
        "__meta_pod_ip=i,__meta_pod_name=p,ip=i,name=p,x=y",
    ),
    (
        "a=foo,b1=bar,b2=baz",
        &["labelmap regex=(b.*) with=bar_${1}"],
        "a=foo,b1=bar,b2=baz,bar_b1=bar,bar_b2=baz",
    ),
    ("a=foo,b1=bar,b2=baz", &["labelkeep regex=b.*"], "b1=bar,b2=baz"),
    ("a=foo,b1=bar,b2=baz", &["labeldrop regex=b.*"], "a=foo"),
    ("a=foo", &["KEEP from=a regex=foo"], "a=foo"),
    (
        "__address__=10.0.0.1:80,__meta_port=9102",
        &["replace from=__address__,__meta_port to=__address__ regex=([^:]+)(?::\\d+)?;(\\d+) with=$1:$2"],
        "__address__=10.0.0.1:9102,__meta_port=9102",
    ),
];

fn set(text: &str) -> Labels {
    Labels::from_pairs(text.split(',').filter_map(|pair| pair.split_once('=')))
}

#[test]
fn rules_do_what_prometheus_does() {
    for (before, rules, after) in CASES {
        let rules: Vec<Rule> = rules.iter().map(|words| rule(words).expect("a rule")).collect();
        let wanted = (!after.is_empty()).then(|| set(after));
        assert_eq!(relabel(&set(before), &rules), wanted, "{before} by {rules:?}");
    }
}

#[test]
fn rules_that_prometheus_refuses_are_refused_with_what_to_write() {
    for (words, wanted) in [
        ("replcae to=a", "there is no relabel action `replcae`"),
        ("replace", "the relabel action replace needs `target_label`"),
        (
            "replace to=9a",
            "`9a` cannot be the `target_label` of the relabel action replace",
        ),
        (
            "replace to=a$-",
            "`a$-` cannot be the `target_label` of the relabel action replace",
        ),
        (
            "lowercase to=${1}",
            "`${1}` cannot be the `target_label` of the relabel action lowercase",
        ),
        ("hashmod to=a", "the relabel action hashmod needs a `modulus` above 0"),
        (
            "labelmap with=a-b",
            "`a-b` cannot be the `replacement` of the relabel action labelmap",
        ),
        ("keep regex=(", "could not read the regular expression `(`"),
        (
            "labeldrop from=a",
            "the relabel action labeldrop does not use `source_labels`",
        ),
        (
            "labelkeep to=a",
            "the relabel action labelkeep does not use `target_label`",
        ),
        (
            "keepequal from=a to=b regex=x",
            "the relabel action keepequal does not use `regex`",
        ),
        (
            "dropequal from=a to=b by=,",
            "the relabel action dropequal does not use `separator`",
        ),
        (
            "uppercase from=a to=b with=c",
            "the relabel action uppercase does not use `replacement`",
        ),
    ] {
        let error = rule(words).expect_err(words);
        assert_eq!(error.to_string(), wanted);
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn the_hash_is_that_of_md5sum() {
    for value in ["", "baz", "10.0.0.1:9100", "ü"] {
        let mut tool = std::process::Command::new("md5sum");
        let mut tool = tool
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("md5sum of coreutils");
        std::io::Write::write_all(&mut tool.stdin.take().expect("its input"), value.as_bytes()).expect("taken");
        let said = tool.wait_with_output().expect("it ends").stdout;
        let hash = String::from_utf8_lossy(&said[16..32]).into_owned();
        let wanted = u64::from_str_radix(&hash, 16).expect("a hash") % 4_294_967_291;
        let rules = [rule("hashmod from=a to=h modulus=4294967291").expect("a rule")];
        let labels = relabel(&Labels::from_pairs([("a", value)]), &rules).expect("kept");
        assert_eq!(labels.get("h"), wanted.to_string(), "{value:?}");
    }
}
