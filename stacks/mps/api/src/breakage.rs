//! The switch that breaks this replica on purpose, for tests, drills and benchmarks.
//!
//! Owns what each way of breaking is called and means; the HTTP side acts on it. Health, readiness, metrics and the switch
//! itself stay as they are, except under `unready`, `hang` and `crash`, which are about them. `exit`, `migrate-fail` and
//! `migrate-hang` are about what happens before there is anything to switch, so only `MPS_BREAK` names them.

use serde::{Deserialize, Serialize};

/// A way to be broken. As JSON: `{"mode": "slow", "delay_ms": 500}`; as text: `slow:500`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "lowercase")]
pub enum Breakage {
    /// Not broken.
    #[default]
    None,
    /// Each request waits before it is served.
    Slow {
        /// Milliseconds of waiting.
        #[serde(default = "delay_ms_default")]
        delay_ms: u64,
    },
    /// Requests are answered 500 without being served.
    Error {
        /// Share of requests, 0 to 100, evenly spread.
        #[serde(default = "percent_default")]
        percent: u8,
    },
    /// Memory is taken and never given back.
    Leak {
        /// Megabytes (2^20) taken each second.
        #[serde(default = "mb_a_second_default")]
        mb_a_second: u32,
    },
    /// `/ready` answers 503.
    Unready,
    /// Nothing is answered any more; connections are accepted by the kernel only.
    Hang,
    /// The process aborts.
    Crash {
        /// Seconds until it does.
        #[serde(default)]
        after_seconds: u64,
    },
    /// The process ends with status 1 instead of starting.
    #[serde(skip_deserializing)]
    Exit,
    /// `mps-api migrate` makes a table, then fails.
    #[serde(rename = "migrate-fail", skip_deserializing)]
    MigrateFail,
    /// `mps-api migrate` never ends, as if it waited for a lock; it holds none itself.
    #[serde(rename = "migrate-hang", skip_deserializing)]
    MigrateHang,
}

fn delay_ms_default() -> u64 {
    1000
}

fn percent_default() -> u8 {
    100
}

fn mb_a_second_default() -> u32 {
    10
}

impl Breakage {
    /// Reads the text form, `MODE` or `MODE:NUMBER`; none where it means nothing.
    pub fn parse(text: &str) -> Option<Breakage> {
        let (mode, number) = text
            .split_once(':')
            .map_or((text, None), |(mode, number)| (mode, Some(number)));
        let breakage = match (mode, number) {
            ("none", None) => Breakage::None,
            ("slow", Some(ms)) => Breakage::Slow {
                delay_ms: ms.parse().ok()?,
            },
            ("slow", None) => Breakage::Slow {
                delay_ms: delay_ms_default(),
            },
            ("error", Some(percent)) => Breakage::Error {
                percent: percent.parse().ok()?,
            },
            ("error", None) => Breakage::Error {
                percent: percent_default(),
            },
            ("leak", Some(mb)) => Breakage::Leak {
                mb_a_second: mb.parse().ok()?,
            },
            ("leak", None) => Breakage::Leak {
                mb_a_second: mb_a_second_default(),
            },
            ("unready", None) => Breakage::Unready,
            ("hang", None) => Breakage::Hang,
            ("crash", Some(seconds)) => Breakage::Crash {
                after_seconds: seconds.parse().ok()?,
            },
            ("crash", None) => Breakage::Crash { after_seconds: 0 },
            ("exit", None) => Breakage::Exit,
            ("migrate-fail", None) => Breakage::MigrateFail,
            ("migrate-hang", None) => Breakage::MigrateHang,
            _ => return None,
        };
        Some(breakage)
    }
}

#[cfg(test)]
mod tests {
    use super::Breakage;

    #[test]
    fn every_mode_reads_as_text_and_as_json() {
        let cases = [
            ("none", r#"{"mode":"none"}"#, Breakage::None),
            (
                "slow:500",
                r#"{"mode":"slow","delay_ms":500}"#,
                Breakage::Slow { delay_ms: 500 },
            ),
            ("error", r#"{"mode":"error"}"#, Breakage::Error { percent: 100 }),
            (
                "error:5",
                r#"{"mode":"error","percent":5}"#,
                Breakage::Error { percent: 5 },
            ),
            (
                "leak:64",
                r#"{"mode":"leak","mb_a_second":64}"#,
                Breakage::Leak { mb_a_second: 64 },
            ),
            ("unready", r#"{"mode":"unready"}"#, Breakage::Unready),
            ("hang", r#"{"mode":"hang"}"#, Breakage::Hang),
            ("crash", r#"{"mode":"crash"}"#, Breakage::Crash { after_seconds: 0 }),
            (
                "crash:5",
                r#"{"mode":"crash","after_seconds":5}"#,
                Breakage::Crash { after_seconds: 5 },
            ),
        ];
        for (text, json, breakage) in cases {
            assert_eq!(Breakage::parse(text), Some(breakage));
            assert_eq!(serde_json::from_str::<Breakage>(json).expect(json), breakage);
        }
        assert_eq!(Breakage::parse("crash:soon"), None);
        assert_eq!(Breakage::parse("slow:soon"), None);
    }

    #[test]
    fn what_breaks_the_start_cannot_be_switched_on_later() {
        for (text, breakage) in [
            ("exit", Breakage::Exit),
            ("migrate-fail", Breakage::MigrateFail),
            ("migrate-hang", Breakage::MigrateHang),
        ] {
            assert_eq!(Breakage::parse(text), Some(breakage));
            assert!(serde_json::from_str::<Breakage>(&format!(r#"{{"mode":"{text}"}}"#)).is_err());
        }
    }
}
