//! Log lines of one or more containers as they are written: with a prefix and a colour each. Pure:
//! lines in, bytes out.

use std::collections::BTreeSet;

use crate::pod::log::Line;

/// The way lines are shown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LineStyle {
    /// Begins each line with its source's name.
    pub(crate) prefix: bool,
    pub(crate) color: bool,
    pub(crate) timestamps: bool,
    /// Makes control characters visible.
    pub(crate) clean: bool,
}

/// Writes lines one below the other.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    /// The beginnings of each source's lines.
    prefixes: Vec<Vec<u8>>,
    style: LineStyle,
    /// The source and stream of a line that goes on.
    unfinished: Option<(usize, bool)>,
}

/// The number of columns of a terminal that a line's prefix may take.
const WIDEST_PREFIX: usize = 40;

/// The sources' names as they stand before lines; for a person long ones are cut in their middle,
/// where they are still different then.
fn prefixes(names: &[String], for_a_person: bool) -> Vec<String> {
    let whole: Vec<String> = names
        .iter()
        .map(|name| crate::visible::field(name))
        .collect();
    let cut: Vec<String> = whole
        .iter()
        .map(|name| super::shortened(name, WIDEST_PREFIX, ".."))
        .collect();
    let different = |names: &[String]| names.iter().collect::<BTreeSet<_>>().len();
    if for_a_person && different(&cut) == different(&whole) {
        cut
    } else {
        whole
    }
}

/// Colours that can be read on dark and on light.
const COLORS: [&str; 6] = ["36", "33", "32", "35", "34", "31"];

impl Writer {
    /// A writer for sources of these names.
    pub(crate) fn new(names: &[String], style: LineStyle) -> Self {
        let shown = prefixes(names, style.clean);
        let widest = shown.iter().map(|name| super::width(name)).max();
        let prefix = |(index, name): (usize, &String)| {
            let filling = " ".repeat(widest.unwrap_or(0) - super::width(name));
            let code = COLORS[index % COLORS.len()];
            if !style.prefix {
                String::new()
            } else if style.color {
                format!("\x1b[{code}m{name}{filling}\x1b[0m | ")
            } else {
                format!("{name}{filling} | ")
            }
        };
        Self {
            prefixes: shown
                .iter()
                .enumerate()
                .map(|named| prefix(named).into_bytes())
                .collect(),
            style,
            unfinished: None,
        }
    }

    /// Writes one line, or a piece of one.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>, source: usize, line: &Line) {
        let goes_on = self.unfinished == Some((source, line.stderr));
        if !goes_on {
            if self.unfinished.is_some() {
                out.push(b'\n');
            }
            out.extend_from_slice(&self.prefixes[source]);
            if self.style.timestamps {
                out.extend_from_slice(&line.stamp);
                out.push(b' ');
            }
        }
        if self.style.clean {
            let text = line.text.strip_suffix(b"\r").unwrap_or(&line.text);
            out.extend_from_slice(
                crate::visible::of_a_program(&String::from_utf8_lossy(text)).as_bytes(),
            );
        } else {
            out.extend_from_slice(&line.text);
        }
        if line.end {
            out.push(b'\n');
        }
        self.unfinished = (!line.end).then_some((source, line.stderr));
    }
}

#[cfg(test)]
#[path = "logs_tests.rs"]
mod tests;
