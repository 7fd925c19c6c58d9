//! Replaying corpora: what is replayed is named, what is not is an error.

use crate::sandbox::Sandbox;

const PARSER: &str = "//! A parser.\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn fuzz_corpus_size() {}\n}\n";

#[test]
fn a_corpus_is_replayed_by_the_test_of_its_name() {
    let sandbox = Sandbox::new("fuzz-good");
    sandbox.write("tree/fuzz/corpus/size/one", "1k");
    sandbox.write("tree/crates/base/src/lib.rs", PARSER);
    sandbox.lock();
    let (passed, printed) = sandbox.run("fuzz");
    assert!(passed && printed.contains("replayed fuzz/corpus/size"), "{printed}");
}

#[test]
fn a_corpus_that_no_test_replays_is_an_error() {
    let sandbox = Sandbox::new("fuzz-bad");
    sandbox.write("tree/fuzz/corpus/size/one", "1k");
    sandbox.write("tree/fuzz/corpus/yaml/one", "a: 1");
    sandbox.write("tree/crates/base/src/lib.rs", PARSER);
    sandbox.lock();
    let (passed, printed) = sandbox.run("fuzz");
    assert!(
        !passed && printed.contains("no test replays the corpus of: yaml"),
        "{printed}"
    );
}
