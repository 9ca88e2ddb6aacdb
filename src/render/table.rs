//! Rows of cells, aligned without borders. The last column is not padded; a first cell that is
//! too long for its column stands on a line of its own instead of being cut; others are cut in their
//! middle.

use super::{Style, Tone, width};

/// A cell: text and what its colour means.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
    /// Numbers stand at the right.
    pub(crate) right: bool,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
            right: false,
        }
    }

    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::new(text, Tone::Plain)
    }

    pub(crate) fn number(text: impl Into<String>) -> Self {
        Self {
            right: true,
            ..Self::plain(text)
        }
    }

    pub(crate) fn empty() -> Self {
        Self::default()
    }
}

/// Between two columns.
const GAP: usize = 2;

/// Lays rows out under each other; columns that are empty in every row are left out. Lines that
/// hold one cell only are not aligned with the others.
pub(crate) fn lay_out(heads: &[&str], rows: &[Vec<Cell>], style: Style) -> String {
    let rows: Vec<Vec<Cell>> = rows.iter().map(|row| fitting(row, style)).collect();
    let used: Vec<usize> = (0..heads.len())
        .filter(|column| {
            rows.iter()
                .any(|row| row.get(*column).is_some_and(|cell| !cell.text.is_empty()))
        })
        .collect();
    let head: Vec<Cell> = heads
        .iter()
        .map(|head| Cell::new(*head, Tone::Dim))
        .collect();
    let mut widths: Vec<usize> = used
        .iter()
        .map(|column| {
            rows.iter()
                .chain([&head])
                .filter_map(|row| row.get(*column))
                .map(|cell| width(&cell.text))
                .max()
                .unwrap_or(0)
        })
        .collect();
    if let (Some(first), Some(column)) = (widths.first_mut(), used.first()) {
        // one very long name must not push the others' columns away: it gets a line of its own
        *first = rows
            .iter()
            .chain([&head])
            .filter_map(|row| row.get(*column))
            .map(|cell| width(&cell.text))
            .filter(|width| *width <= style.columns / 2)
            .max()
            .unwrap_or(0);
    }
    let mut text = String::new();
    for row in [&head].into_iter().chain(&rows) {
        let mut line = String::new();
        let mut column_end = 0;
        for (index, (column, width_of_column)) in used.iter().zip(&widths).enumerate() {
            let Some(cell) = row.get(*column).filter(|cell| !cell.text.is_empty()) else {
                column_end += width_of_column + GAP;
                continue;
            };
            let cell_width = width(&cell.text);
            let indent = if cell.right {
                width_of_column.saturating_sub(cell_width)
            } else {
                0
            };
            let at = column_end + indent;
            let here = width(&line);
            if index > 0 && here > at {
                text.push_str(line.trim_end());
                text.push('\n');
                line = " ".repeat(at);
            } else {
                line.push_str(&" ".repeat(at - here));
            }
            line.push_str(&style.paint(&cell.text, cell.tone));
            column_end += width_of_column + GAP;
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A row whose texts, but for the first, fit on the screen: what is longer is cut in its middle.
fn fitting(row: &[Cell], style: Style) -> Vec<Cell> {
    let last = row.len().saturating_sub(1);
    let dots = style.glyph("\u{2026}", "..");
    row.iter()
        .enumerate()
        .map(|(index, cell)| {
            let room = match index {
                // what a row is called may be typed next: it stays whole
                0 => usize::MAX,
                _ if index == last => style.columns,
                _ => style.room_for_names(),
            };
            Cell {
                text: super::shortened(&cell.text, room, dots),
                ..cell.clone()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: Style = Style {
        color: false,
        unicode: true,
        columns: 40,
    };

    #[test]
    fn numbers_stand_at_the_right_and_empty_columns_are_left_out() {
        let row =
            |name: &str, count: &str| vec![Cell::plain(name), Cell::empty(), Cell::number(count)];
        let text = lay_out(
            &["NAME", "GHOST", "COUNT"],
            &[row("a", "1"), row("bb", "200")],
            STYLE,
        );
        assert_eq!(text, "NAME  COUNT\na         1\nbb      200\n");
    }

    #[test]
    fn a_name_that_is_too_long_has_a_line_of_its_own() {
        let long = "n".repeat(60);
        let text = lay_out(
            &["NAME", "STATE"],
            &[vec![Cell::plain(long.clone()), Cell::plain("up")]],
            STYLE,
        );
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], long);
        assert_eq!(lines[2].trim(), "up");
        assert!(lines[2].len() <= 40);
    }
}
