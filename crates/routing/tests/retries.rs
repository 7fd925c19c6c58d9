//! Runs `cases/retries.txt` and holds the rule about money to every combination.

use std::time::Duration;

use tend_core::model::{Retry, RetryMethods};
use tend_routing::{Try, may_retry};

use crate::lines;

#[test]
fn requests_are_repeated_as_the_cases_say() {
    for (number, line) in lines(include_str!("cases/retries.txt")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [method, arrived, taken, tries, elapsed, policy, "=", wanted] = words[..] else {
            panic!("line {number}: {line}");
        };
        let failed = Try {
            bytes_may_have_arrived: arrived == "arrived",
            body_taken: taken == "body-taken",
            tries: tries.parse().unwrap(),
            elapsed: Duration::from_millis(elapsed.parse().unwrap()),
        };
        let methods = match policy {
            "idempotent" => RetryMethods::Idempotent,
            "none" => RetryMethods::None,
            "all" => RetryMethods::All,
            other => panic!("line {number}: {other}"),
        };
        let rules = Retry {
            methods,
            ..Retry::default()
        };
        let found = match may_retry(method, failed, &rules) {
            Ok(()) => "retry".to_owned(),
            Err(refusal) => format!("{refusal:?}"),
        };
        assert_eq!(found, wanted, "line {number}: {line}");
    }
}

#[test]
fn what_may_have_arrived_is_never_posted_twice() {
    for method in ["POST", "PATCH", "CONNECT", "LOCK", "post", ""] {
        for methods in [RetryMethods::Idempotent, RetryMethods::None] {
            let rules = Retry {
                methods,
                ..Retry::default()
            };
            for tries in 0..4 {
                for body_taken in [false, true] {
                    let failed = Try {
                        bytes_may_have_arrived: true,
                        body_taken,
                        tries,
                        elapsed: Duration::ZERO,
                    };
                    assert!(may_retry(method, failed, &rules).is_err(), "{method}");
                }
            }
        }
    }
}
