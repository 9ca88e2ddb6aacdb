//! Text from an engine, a node or a file, made safe to show: the one list of characters that a
//! terminal obeys, hides or reorders by.

/// True where a terminal would obey a character instead of showing it, or would show nothing of it:
/// control characters (C0, DEL, C1), bidirectional controls, separators of lines, and what takes no
/// room at all.
pub(crate) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Makes hidden characters visible, so that text can't move the cursor, change the window title
/// or hide what stands before it. Newlines and tabs stay.
pub(crate) fn visible(text: &str) -> String {
    with_escapes(text, |c| is_hidden(c) && !matches!(c, '\n' | '\t'))
}

/// The same in one line: a newline becomes `\n`, so that no text forges a line of its own.
pub(crate) fn one_line(text: &str) -> String {
    with_escapes(text, |c| is_hidden(c) && c != '\t')
}

/// A piece of a line that some program wrote; what joins letters and picks the look of an emoji
/// belongs to such a text.
pub(crate) fn of_a_program(text: &str) -> String {
    with_escapes(text, |c| {
        is_hidden(c) && !matches!(c, '\t' | '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
    })
}

/// One line without tabs: a cell of a table, a field of a line.
pub(crate) fn field(text: &str) -> String {
    with_escapes(text, is_hidden)
}

/// A message of several lines, whose lines after the first are indented: none of them can pass
/// for a line of devnet's own.
pub(crate) fn indented(text: &str) -> String {
    let mut out = String::new();
    for (place, line) in visible(text).split('\n').enumerate() {
        if place > 0 {
            out.push('\n');
            if !line.is_empty() && !line.starts_with([' ', '\t']) {
                out.push_str("  ");
            }
        }
        out.push_str(line);
    }
    out
}

fn with_escapes(text: &str, escape: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if !escape(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c => out.extend(c.escape_unicode()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_or_hides_is_shown() {
        for c in [
            '\0',
            '\u{7}',
            '\r',
            '\u{1b}',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{9d}',
            '\u{ad}',
            '\u{200b}',
            '\u{200e}',
            '\u{2028}',
            '\u{2029}',
            '\u{202e}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            let shown = format!("a\\u{{{:x}}}b", u32::from(c));
            let text = format!("a{c}b");
            for door in [visible, one_line, of_a_program, field, indented] {
                assert_eq!(door(&text), shown);
            }
        }
        assert_eq!(visible("a\x1b[31mb\nc\td"), "a\\u{1b}[31mb\nc\td");
        assert_eq!(field("b\nc\td"), "b\\nc\\td");
        assert_eq!(visible("é 漢 العربية"), "é 漢 العربية");
    }

    #[test]
    fn no_line_of_a_message_begins_where_devnets_own_do() {
        assert_eq!(
            indented("no\nerror: forged\n\n    kept"),
            "no\n  error: forged\n\n    kept"
        );
    }
}
