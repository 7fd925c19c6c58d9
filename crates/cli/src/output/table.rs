//! Aligned columns. Knows nothing of what stands in them.

use super::{Paint, Tone};

/// Between two columns.
const GAP: &str = "   ";

/// One cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
    to_the_right: bool,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone: Tone::Plain,
            to_the_right: false,
        }
    }

    pub(crate) fn tone(mut self, tone: impl Into<Tone>) -> Self {
        self.tone = tone.into();
        self
    }

    /// Aligns to the right, as figures are.
    pub(crate) fn right(mut self) -> Self {
        self.to_the_right = true;
        self
    }
}

/// Rows under a heading; a column is as wide as its widest cell.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with headings; a heading starting with `>` stands to the right.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let heading = |text: &&str| {
            let cell = Cell::new(text.trim_start_matches('>')).tone(Tone::Faint);
            if text.starts_with('>') { cell.right() } else { cell }
        };
        Self {
            rows: vec![headings.iter().map(heading).collect()],
        }
    }

    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Returns the lines. Columns in which no row has anything are left out, trailing blanks as well.
    pub(crate) fn lines(&self, paint: Paint) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let width = |row: &Vec<Cell>| row.get(column).map_or(0, |cell| width(&cell.text));
                let used = self.rows.iter().skip(1).map(width).max().unwrap_or(0);
                if used == 0 {
                    0
                } else {
                    used.max(self.rows.first().map_or(0, width))
                }
            })
            .collect();
        self.rows.iter().map(|row| line(row, &widths, paint)).collect()
    }
}

fn line(row: &[Cell], widths: &[usize], paint: Paint) -> String {
    let mut line = String::new();
    // Blanks are held back until something follows them.
    let mut blanks = 0;
    for (cell, wanted) in row.iter().zip(widths).filter(|(_, wanted)| **wanted > 0) {
        if !line.is_empty() || blanks > 0 {
            blanks += GAP.len();
        }
        let padding = wanted.saturating_sub(width(&cell.text));
        if cell.to_the_right {
            blanks += padding;
        }
        if !cell.text.is_empty() {
            line.push_str(&" ".repeat(blanks));
            blanks = 0;
            line.push_str(&paint.paint(cell.tone, &cell.text));
        }
        if !cell.to_the_right {
            blanks += padding;
        }
    }
    line
}

/// Columns a text takes on a terminal: two for wide East Asian characters, as most terminals draw them.
pub(crate) fn width(text: &str) -> usize {
    text.chars()
        .map(|c| match u32::from(c) {
            0x1100..=0x115f
            | 0x2e80..=0xa4cf
            | 0xac00..=0xd7a3
            | 0xf900..=0xfaff
            | 0xfe30..=0xfe6f
            | 0xff00..=0xff60
            | 0xffe0..=0xffe6
            | 0x1f300..=0x1faff
            | 0x20000..=0x3fffd => 2,
            0x300..=0x36f | 0x200b..=0x200f => 0,
            _ => 1,
        })
        .sum()
}

/// Returns as much of the text as fits, with `…` for the rest.
pub(crate) fn shortened(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut short = String::new();
    for c in text.chars() {
        if width(&short) + width(c.encode_utf8(&mut [0; 4])) + 1 > columns {
            break;
        }
        short.push(c);
    }
    if columns > 0 {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let mut table = Table::new(&["NAME", "NOTHING", ">SIZE", "STATE"]);
        table.row(vec![
            Cell::new("支付"),
            Cell::new(""),
            Cell::new("7").right(),
            Cell::new("up").tone(Tone::Good),
        ]);
        table.row(vec![
            Cell::new("gateway"),
            Cell::new(""),
            Cell::new("12345").right(),
            Cell::new(""),
        ]);
        assert_eq!(
            table.lines(Paint { on: false }),
            ["NAME       SIZE   STATE", "支付          7   up", "gateway   12345"]
        );
        let coloured = table.lines(Paint { on: true });
        assert!(coloured[1].ends_with("\u{1b}[32mup\u{1b}[0m"), "{coloured:?}");
    }

    #[test]
    fn a_text_is_shortened_to_what_fits() {
        assert_eq!(shortened("abcdef", 6), "abcdef");
        assert_eq!(shortened("abcdefg", 6), "abcde…");
        assert_eq!(shortened("支付系统", 6), "支付…");
        assert_eq!(shortened("abc", 0), "");
    }
}
