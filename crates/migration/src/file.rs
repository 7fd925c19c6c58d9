//! A migration file as a whole: its statements, and what its comments say to us and to the tool that runs it.
//!
//! Owns our directives (`-- tend: …`) and the marks of goose, dbmate, sql-migrate and sqlx. Judges no statement.

use tend_core::model::MigrationClass;

use crate::statement::{Act, Statement, statements};
use crate::token;
use crate::{Finding, Rule};

/// A migration file.
pub(crate) struct File {
    pub(crate) statements: Vec<Statement>,
    /// The class that its head declares.
    pub(crate) declared: Option<MigrationClass>,
    /// The rules that it makes an exception from.
    pub(crate) allowed: Vec<Rule>,
    /// What is wrong with the declaration of its class.
    pub(crate) about_class: Vec<Finding>,
    /// What is wrong with its exceptions, and what is never closed.
    pub(crate) about_file: Vec<Finding>,
    /// A mark tells the tool not to send it as one transaction.
    pub(crate) no_transaction: bool,
}

impl File {
    /// Reads a file; one that is only run when going back has no statements.
    pub(crate) fn read(file_name: &str, sql: &str) -> Self {
        // The mark that some editors begin a file with is no part of its first word.
        let script = token::read(sql.strip_prefix('\u{feff}').unwrap_or(sql));
        let mut file = File {
            statements: statements(&script),
            declared: None,
            allowed: Vec::new(),
            about_class: Vec::new(),
            about_file: Vec::new(),
            no_transaction: false,
        };
        if !is_forward(file_name) {
            file.statements.clear();
            return file;
        }
        for (line, what) in &script.unclosed {
            let what = format!("the {what} that begins here is never closed");
            file.about_file
                .push(Rule::Unclosed.found(*line, what, "close it; what follows was not looked at"));
        }
        let mut down_since = None;
        for comment in &script.comments {
            let text = comment.text.trim().to_lowercase();
            match mark(&text) {
                Some(Mark::Down) => down_since = down_since.or(Some(comment.line)),
                Some(Mark::Up) => {
                    file.forget(&mut down_since, comment.line);
                }
                None => {}
            }
            file.no_transaction |= NO_TRANSACTION.iter().any(|mark| text.contains(mark));
            if let Some(directive) = comment.text.trim().strip_prefix("tend:") {
                file.directive(directive.trim(), comment.line);
            }
        }
        file.forget(&mut down_since, u32::MAX);
        file
    }

    /// Leaves out what is only run when going back.
    fn forget(&mut self, down_since: &mut Option<u32>, up: u32) {
        if let Some(down) = down_since.take() {
            self.statements
                .retain(|statement| statement.line < down || statement.line > up);
        }
    }

    fn directive(&mut self, directive: &str, line: u32) {
        if let Some(exception) = directive.strip_prefix("allow ") {
            let (name, why) = exception.split_once(':').unwrap_or((exception, ""));
            let rule = Rule::ALL.iter().find(|rule| rule.id() == name.trim());
            match rule.filter(|_| !why.trim().is_empty()) {
                Some(rule) => self.allowed.push(*rule),
                None => {
                    let what = match rule {
                        Some(_) => "the exception gives no reason".to_owned(),
                        None => format!("there is no rule `{}`", name.trim()),
                    };
                    self.about_file
                        .push(Rule::AllowUnknown.found(line, what, "write `-- tend: allow RULE: why`"));
                }
            }
            return;
        }
        let word = directive.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
        let class = match word {
            "expand" => Some(MigrationClass::Expand),
            "contract" => Some(MigrationClass::Contract),
            "irreversible" => Some(MigrationClass::Irreversible),
            _ => None,
        };
        let mut doing = self
            .statements
            .iter()
            .filter(|one| !matches!(one.act, Act::Other | Act::Begin | Act::LockTimeout));
        let late = doing.next().is_some_and(|first| first.line <= line);
        let before = self.declared;
        // Whatever is wrong with a declaration, what it says is not made weaker.
        self.declared = before.max(class);
        let what = match (class, before) {
            (None, _) => format!("`{word}` is no class of a migration"),
            (Some(_), _) if late => "the class is declared after the first statement".to_owned(),
            (Some(class), Some(other)) if class != other => {
                format!("the file is declared both {} and {}", other.text(), class.text())
            }
            (Some(_), _) => return,
        };
        let instead =
            "write one of `-- tend: expand`, `-- tend: contract` and `-- tend: irreversible` at the top of the file";
        self.about_class.push(Rule::ClassUnknown.found(line, what, instead));
    }

    /// Leaves out what the file makes an exception from, and puts the rest in order.
    pub(crate) fn settle(&self, mut findings: Vec<Finding>) -> Vec<Finding> {
        findings.retain(|finding| !self.allowed.contains(&finding.rule));
        findings.sort();
        findings.dedup();
        findings
    }
}

/// Returns whether a file of migrations is run when going forward: `1_x.down.sql` and `1_x_down.sql` are not.
#[must_use]
pub fn is_forward(file_name: &str) -> bool {
    let stem = file_name.strip_suffix(".sql").unwrap_or(file_name);
    !(stem.ends_with(".down") || stem.ends_with("_down"))
}

/// Where a file with both directions changes from one to the other.
enum Mark {
    Up,
    Down,
}

fn mark(comment: &str) -> Option<Mark> {
    // goose, sql-migrate and dbmate, each as its manual has it.
    for (begin, mark) in [
        ("+goose up", Mark::Up),
        ("+goose down", Mark::Down),
        ("+migrate up", Mark::Up),
        ("+migrate down", Mark::Down),
        ("migrate:up", Mark::Up),
        ("migrate:down", Mark::Down),
    ] {
        if comment.starts_with(begin) {
            return Some(mark);
        }
    }
    None
}

/// How a file says that it is not to be sent as one transaction: goose, sql-migrate, dbmate, sqlx.
const NO_TRANSACTION: &[&str] = &[
    "+goose no transaction",
    "+migrate up notransaction",
    "migrate:up transaction:false",
    "no-transaction",
];

impl Rule {
    /// Returns a finding of this rule.
    pub(crate) fn found(self, line: u32, what: impl Into<String>, instead: impl Into<String>) -> Finding {
        Finding {
            line,
            rule: self,
            severity: self.severity(),
            what: what.into(),
            instead: instead.into(),
        }
    }
}
