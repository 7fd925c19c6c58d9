//! What is written for people, in each language. Every word of the table stands here and nowhere else.

use tend_core::model::{Figure, Language, Unit};

use crate::judge::Level;
use crate::scorer::{Score, Scored, Unknown};

/// Writes the table: a heading, and a line for each figure.
pub(crate) fn table(score: &Score, language: Language) -> String {
    let heading = match language {
        Language::English => ["figure", "value", "level", "normal", "critical", "of"],
        Language::Chinese => ["指标", "当前值", "级别", "正常", "严重", "对象"],
    };
    let mut rows = vec![heading.map(str::to_owned)];
    rows.extend(score.figures.iter().map(|scored| row(scored, language)));
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, wanted) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', wanted - width(cell) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(scored: &Scored, language: Language) -> [String; 6] {
    let figure = scored.figure;
    let (better, worse) = if figure.less_is_worse() { ('>', '<') } else { ('<', '>') };
    let value = scored
        .value
        .map_or("-".to_owned(), |value| amount(value, figure.unit()));
    let of = match &scored.unknown {
        Some(unknown) => why(unknown, language),
        None => {
            let labels = scored.labels.iter().map(|(name, value)| format!("{name}={value}"));
            labels.collect::<Vec<_>>().join(" ")
        }
    };
    [
        self::figure(figure, language).to_owned(),
        value,
        level(scored.level, language).to_owned(),
        format!("{better} {}", amount(scored.warning, figure.unit())),
        format!("{worse} {}", amount(scored.critical, figure.unit())),
        of,
    ]
}

fn figure(figure: Figure, language: Language) -> &'static str {
    let [english, chinese] = match figure {
        Figure::ResponseTime => ["response time", "响应时间"],
        Figure::SuccessRate => ["success rate", "交易成功率"],
        Figure::DatabaseP95 => ["database p95", "数据库查询P95"],
        Figure::Memory => ["memory", "内存使用"],
        Figure::Cpu => ["CPU", "CPU使用"],
        Figure::Websockets => ["WebSockets", "WebSocket连接"],
        Figure::CacheHits => ["cache hits", "缓存命中率"],
        Figure::Errors => ["errors", "错误率"],
    };
    match language {
        Language::English => english,
        Language::Chinese => chinese,
    }
}

fn level(level: Level, language: Language) -> &'static str {
    match (language, level) {
        (Language::English, level) => level.name(),
        (Language::Chinese, Level::Normal) => "正常",
        (Language::Chinese, Level::Warning) => "警告",
        (Language::Chinese, Level::Critical) => "严重",
        (Language::Chinese, Level::Unknown) => "未知",
    }
}

fn why(unknown: &Unknown, language: Language) -> String {
    match (language, unknown) {
        (Language::English, Unknown::NotMeasured) => "not measured".to_owned(),
        (Language::English, Unknown::NothingHappened) => "nothing happened in the last minutes".to_owned(),
        (Language::English, Unknown::Failed(text)) => format!("the query failed: {text}"),
        (Language::Chinese, Unknown::NotMeasured) => "没有数据".to_owned(),
        (Language::Chinese, Unknown::NothingHappened) => "最近几分钟没有请求".to_owned(),
        (Language::Chinese, Unknown::Failed(text)) => format!("查询失败：{text}"),
    }
}

/// Writes a value in three significant digits with the unit that people use.
fn amount(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Seconds if value.abs() < 1.0 => format!("{} ms", digits(value * 1e3)),
        Unit::Seconds => format!("{} s", digits(value)),
        Unit::Share => format!("{} %", digits(value * 100.0)),
        Unit::Bytes => {
            let units = ["B", "KiB", "MiB", "GiB", "TiB"];
            let mut value = value;
            let mut at = 0;
            while value.abs() >= 1024.0 && at + 1 < units.len() {
                value /= 1024.0;
                at += 1;
            }
            format!("{} {}", digits(value), units[at])
        }
        Unit::Count => digits(value),
    }
}

fn digits(value: f64) -> String {
    let text = match value.abs() {
        below if below < 10.0 => format!("{value:.2}"),
        below if below < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    };
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// How many columns of a terminal a text takes: two for each character of Chinese.
fn width(text: &str) -> usize {
    text.chars().map(|c| if c >= '\u{1100}' { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_people_say_them() {
        for (value, unit, text) in [
            (0.2, Unit::Seconds, "200 ms"),
            (0.00123, Unit::Seconds, "1.23 ms"),
            (2.5, Unit::Seconds, "2.5 s"),
            (0.955, Unit::Share, "95.5 %"),
            (1.0, Unit::Share, "100 %"),
            (0.0, Unit::Share, "0 %"),
            (536_870_912.0, Unit::Bytes, "512 MiB"),
            (1_610_612_736.0, Unit::Bytes, "1.5 GiB"),
            (100.0, Unit::Count, "100"),
        ] {
            assert_eq!(amount(value, unit), text);
        }
    }
}
