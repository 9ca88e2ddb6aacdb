//! Presentation: values in, text out. Pure: no engine, no terminal, no clock.

pub(crate) mod build;
mod build_graph;
mod build_plain;
mod build_tty;
pub(crate) mod check;
pub(crate) mod doctor;
pub(crate) mod document;
pub(crate) mod graph;
mod graph_layout;
pub(crate) mod graph_page;
pub(crate) mod graph_svg;
pub(crate) mod history;
pub(crate) mod images;
pub(crate) mod inspect;
pub(crate) mod kill;
pub(crate) mod lab;
mod listeners;
pub(crate) mod load;
pub(crate) mod logs;
pub(crate) mod logs_json;
pub(crate) mod namespaces;
pub(crate) mod pods;
pub(crate) mod ports;
pub(crate) mod remedy;
pub(crate) mod table;
mod traffic;

use crate::wording::first_names;
use jiff::{SignedDuration, Timestamp};

/// The look that text may have where it will be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) color: bool,
    /// True where more than ASCII can be shown.
    pub(crate) unicode: bool,
    pub(crate) columns: usize,
}

/// The meaning of a colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    Bad,
    Dim,
    Good,
    Head,
    Odd,
}

impl Style {
    pub(crate) fn paint(self, text: &str, tone: Tone) -> String {
        let code = match tone {
            Tone::Plain => "",
            Tone::Bad => "31",
            Tone::Dim => "2",
            Tone::Good => "32",
            Tone::Head => "1",
            Tone::Odd => "33",
        };
        if self.color && !code.is_empty() && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.into()
        }
    }

    /// The first where it can be shown, else the second.
    pub(crate) fn glyph(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.unicode { unicode } else { ascii }
    }

    /// The lines that hang a row below its pod's.
    pub(crate) fn branch(self, is_last: bool) -> &'static str {
        if is_last {
            self.glyph("└─ ", "`- ")
        } else {
            self.glyph("├─ ", "|- ")
        }
    }

    /// A name from an engine in at most so many columns.
    pub(crate) fn name(self, name: &str, columns: usize) -> String {
        shortened(&self.text(name), columns, self.glyph("\u{2026}", ".."))
    }

    /// A sentence in which no word is so long that it hides the others; blanks are kept.
    pub(crate) fn sentence(self, text: &str) -> String {
        /// An image's digest has more, a pod's name has mostly less.
        const LONGEST: usize = 48;
        let words: Vec<String> = text
            .split(' ')
            .map(|word| self.name(word, LONGEST))
            .collect();
        words.join(" ")
    }

    /// The first of many names that fit into so many columns, and how many more there are.
    pub(crate) fn list(self, names: &[String], columns: usize) -> String {
        let shown: Vec<String> = names.iter().map(|name| self.name(name, columns)).collect();
        let fits = |count: &usize| {
            let all: usize = shown.iter().take(*count).map(|name| width(name) + 2).sum();
            all <= columns + 2
        };
        let most = (1..=shown.len()).take_while(fits).last().unwrap_or(1);
        first_names(&shown, most)
    }

    /// The number of columns that a pod's name may take in a table.
    pub(crate) fn room_for_names(self) -> usize {
        (self.columns / 2).clamp(20, 60)
    }

    /// Text from an engine, made safe to show and, where it must be, plain ASCII.
    pub(crate) fn text(self, text: &str) -> String {
        let text = crate::visible::field(text);
        if self.unicode {
            return text;
        }
        text.chars()
            .map(|c| match c {
                '\u{2260}' => "!=".into(),
                '\u{2026}' => "...".into(),
                c if c.is_ascii() => c.to_string(),
                c => c.escape_unicode().to_string(),
            })
            .collect()
    }
}

/// Lines of what was seen: the first of many, then how many more there are.
pub(crate) fn first_of<T>(all: &[T], line: impl Fn(&T) -> String) -> Vec<String> {
    /// The number of lines that a finding bears.
    const SHOWN: usize = 10;
    let shown = if all.len() <= SHOWN + 1 {
        all.len()
    } else {
        SHOWN
    };
    let mut lines: Vec<String> = all.iter().take(shown).map(line).collect();
    if shown < all.len() {
        lines.push(format!("and {} more", all.len() - shown));
    }
    lines
}

/// A text that takes at most so many columns: what is longer is cut in its middle, since names
/// differ at their ends.
pub(crate) fn shortened(text: &str, columns: usize, dots: &str) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(width(dots));
    let fitting = |letters: &mut dyn Iterator<Item = char>, room: usize| -> Vec<char> {
        let mut taken = 0;
        letters
            .take_while(|c| {
                taken += unicode_width::UnicodeWidthChar::width(*c).unwrap_or(0);
                taken <= room
            })
            .collect()
    };
    let start = fitting(&mut text.chars(), room / 2);
    let end = fitting(&mut text.chars().rev(), room - room / 2);
    let start: String = start.into_iter().collect();
    let end: String = end.into_iter().rev().collect();
    format!("{start}{dots}{end}")
}

/// The number of columns of a terminal that a text takes, colours aside.
pub(crate) fn width(text: &str) -> usize {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, sequence)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = sequence.split_once('m').map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    unicode_width::UnicodeWidthStr::width(plain.as_str())
}

/// A time's distance from now, in one unit: `12s`, `40m`, `3h`, `9d`.
pub(crate) fn age(of: Option<Timestamp>, now: Option<Timestamp>) -> String {
    let (Some(of), Some(now)) = (of, now) else {
        return String::new();
    };
    short_duration(now.duration_since(of))
}

/// A duration in its largest fitting unit; what is under 0 (a clock that was set) counts as 0.
pub(crate) fn short_duration(duration: SignedDuration) -> String {
    match duration.as_secs().max(0) {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_one_unit() {
        let age = |seconds| short_duration(SignedDuration::from_secs(seconds));
        let all = [-5, 0, 119, 120, 7199, 7200, 172_799, 172_800].map(age);
        assert_eq!(all, ["0s", "0s", "119s", "2m", "119m", "2h", "47h", "2d"]);
    }

    #[test]
    fn a_long_name_is_cut_in_its_middle() {
        assert_eq!(shortened("shop/web", 8, "\u{2026}"), "shop/web");
        assert_eq!(
            shortened("shop/web-5d8f7c9-x2x4z", 9, "\u{2026}"),
            "shop\u{2026}2x4z"
        );
        assert_eq!(shortened("漢漢漢漢漢漢", 7, ".."), "漢..漢");
        assert_eq!(width(&shortened(&"x".repeat(300), 24, "\u{2026}")), 24);
    }

    #[test]
    fn colours_take_no_room() {
        let style = Style {
            color: true,
            unicode: true,
            columns: 80,
        };
        assert_eq!(width(&style.paint("● 2/2", Tone::Good)), 5);
    }
}
