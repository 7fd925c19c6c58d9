//! The `prometheus.yml` files of the guides load as they are; what of them is not done is said.

use std::path::Path;

use tend_scrape::read_config;

/// The guides, with how many jobs each has, and how many of them ask somebody.
const GUIDES: [(&str, usize, usize); 4] = [
    ("000_493e775e3ce3d9a0.txt", 5, 5),
    ("002_20591e9ebc90018b.txt", 11, 8),
    ("003_b7ace870a7a6bd72.txt", 5, 5),
    ("004_c5d7623cb06fe646.txt", 4, 4),
];

/// The blocks of a text that are a configuration of Prometheus.
fn configurations(text: &str) -> Vec<String> {
    let mut blocks = text.split("\n```yaml\n").skip(1);
    let mut found = Vec::new();
    for block in blocks.by_ref() {
        let block = block.split("\n```").next().unwrap_or_default();
        if block.lines().any(|line| line == "scrape_configs:") {
            found.push(block.to_owned());
        }
    }
    found
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that did not run says so by name")]
fn the_prometheus_yml_of_each_guide_loads_as_it_is() {
    // The folder stands beside the checkout, or beside the checkout this work tree belongs to.
    let Some(folder) = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .skip(2)
        .map(|parent| parent.join("shared/guides"))
        .find(|folder| folder.is_dir())
    else {
        eprintln!("NOT RUN: the_prometheus_yml_of_each_guide_loads_as_it_is: no ../shared/guides");
        return;
    };
    for (guide, jobs, asked) in GUIDES {
        let bytes = std::fs::read(folder.join(guide)).expect("a guide");
        let found = configurations(&String::from_utf8_lossy(&bytes));
        assert_eq!(found.len(), 1, "{guide}");
        let (config, report) =
            read_config(Path::new("prometheus.yml"), &found[0]).unwrap_or_else(|report| panic!("{guide}: {report}"));
        assert_eq!(config.jobs.len(), jobs, "{guide}");
        let with_targets = config.jobs.iter().filter(|job| !job.groups.is_empty()).count();
        assert_eq!(with_targets, asked, "{guide}");
        assert_eq!((config.rule_files.len(), config.alertmanagers.len()), (1, 1), "{guide}");
        // A job that asks nobody is told with its line.
        let said = report
            .0
            .iter()
            .filter(|one| one.message.contains("nothing is scraped"))
            .count();
        assert_eq!(said, jobs - asked, "{guide}: {report}");
        assert_eq!(report.0.len(), said, "{guide}: {report}");
    }
}
