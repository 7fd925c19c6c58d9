//! What changed before an alert began: deployments, configuration, secrets, restarts by hand, maintenance.
//!
//! Owns which changes are told with an alert, and in which words. Where they are known from is not known here; they hold names and no values.

use serde::{Deserialize, Serialize};
use tend_promql::Timestamp;
use tend_template::Time;

use crate::notify::Language;

/// Changes so long before an alert began are told with it; milliseconds.
pub const CHANGES_WITHIN: i64 = 30 * 60 * 1000;
/// So many are told with an alert, the latest.
pub const CHANGES_MAX: usize = 5;
/// The longest name that is told of one, in characters.
const NAME_MAX: usize = 80;

/// Something that somebody changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Change {
    /// When; milliseconds since 1970.
    pub at: Timestamp,
    /// What, by the name of its event in the journal: `deploy.started`.
    pub kind: String,
    /// Of what: a release, a service, a secret's name. Never a value.
    pub of: String,
    /// Who.
    pub by: String,
}

impl Change {
    /// Returns one line for people: when, what, of what, who.
    #[must_use]
    pub fn told(&self, language: Language) -> String {
        let (english, chinese) = match self.kind.as_str() {
            "deploy.started" => ("deployment", "部署"),
            "deploy.finished" => ("deployment ended", "部署结束"),
            "stack.applied" => ("stack file applied", "应用栈文件"),
            "config.taken" => ("configuration", "配置变更"),
            "secret.rotated" => ("secret rotated", "轮换密钥"),
            "service.restarted" => ("restart by hand", "手动重启"),
            "service.scaled" => ("scaled", "调整副本数"),
            "maintenance.begun" => ("maintenance begun", "开始维护"),
            "maintenance.ended" => ("maintenance ended", "结束维护"),
            other => (other, other),
        };
        let at = Time::from_millis(self.at).rfc3339();
        let at = at.get(11..19).unwrap_or_default();
        let short = |text: &str| -> String { text.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect() };
        let (of, by) = (short(&self.of), short(&self.by));
        let (what, colon, comma) = match language {
            Language::English => (english, ": ", ", by "),
            Language::Chinese => (chinese, "：", "，操作者 "),
        };
        let of = if of.is_empty() { of } else { format!("{colon}{of}") };
        let by = if by.is_empty() { by } else { format!("{comma}{by}") };
        format!("{at} UTC {what}{of}{by}")
    }
}

/// The latest changes before an alert began, the oldest first.
pub(crate) fn before(changes: &[Change], began: Timestamp) -> Vec<Change> {
    let mut before: Vec<Change> = changes
        .iter()
        .filter(|change| change.at <= began && change.at > began.saturating_sub(CHANGES_WITHIN))
        .cloned()
        .collect();
    before.sort();
    before.dedup();
    before.split_off(before.len().saturating_sub(CHANGES_MAX))
}
