//! The instructions of a Dockerfile, as far as devnet reads one itself: the places of steps.

/// The largest Dockerfile that is read.
pub(crate) const LARGEST: u64 = 4 << 20;

/// The first and last line of an instruction, counted from 1.
pub(crate) type Span = (i32, i32);

/// The lines of the instruction of a step such as `[build 2/3] RUN make`. `None` when it can't be
/// told apart: no instruction, or several, read like this.
pub(crate) fn locate(dockerfile: &str, step: &str) -> Option<Span> {
    let wanted = step.strip_prefix('[')?.split_once("] ")?.1;
    let wanted = words(wanted);
    let mut found = instructions(dockerfile)
        .into_iter()
        .filter(|(text, _)| words(text) == wanted)
        .map(|(_, span)| span);
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// The line that a message such as `dockerfile parse error line 3: …` names.
pub(crate) fn line_in_message(message: &str) -> Option<Span> {
    let (_, rest) = message.split_once("dockerfile parse error ")?;
    let (_, rest) = rest.split_once("line ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    let line = digits.parse().ok().filter(|line| *line > 0)?;
    Some((line, line))
}

/// Instructions with their lines joined, without comments and without the documents that stand
/// below them (`RUN <<EOF`).
pub(super) fn instructions(dockerfile: &str) -> Vec<(String, Span)> {
    let mut found = Vec::new();
    let mut open: Option<(String, i32)> = None;
    let mut documents: Vec<String> = Vec::new();
    for (line, number) in dockerfile.lines().zip(1..) {
        let text = line.trim();
        if let Some(end) = documents.first() {
            if text == end {
                documents.remove(0);
            }
            continue;
        }
        if text.starts_with('#') || (text.is_empty() && open.is_none()) {
            continue;
        }
        let (mut joined, first) = open.take().unwrap_or((String::new(), number));
        if let Some(part) = text.strip_suffix('\\') {
            joined.push_str(part);
            open = Some((joined, first));
        } else {
            joined.push_str(text);
            documents = ends_of_documents(&joined);
            found.push((joined, (first, number)));
        }
    }
    found
}

/// The words that end the documents below an instruction, in order.
fn ends_of_documents(instruction: &str) -> Vec<String> {
    let words = words(instruction);
    let has_some = words
        .first()
        .is_some_and(|first| matches!(first.as_str(), "RUN" | "COPY" | "ADD"));
    let end = |word: &String| {
        let word = word.trim_start_matches(|c: char| c.is_ascii_digit());
        let word = word.strip_prefix("<<")?.trim_start_matches('-');
        let word = word.trim_matches(['"', '\'']);
        let is_name = !word.is_empty() && !word.contains(['<', '"', '\'']);
        is_name.then(|| word.to_owned())
    };
    words.iter().filter(|_| has_some).filter_map(end).collect()
}

/// The words; the instruction itself may be written in any case.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = text.split_whitespace().map(ToOwned::to_owned).collect();
    if let Some(first) = words.first_mut() {
        first.make_ascii_uppercase();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "FROM a\nRUN one\n\nrun two \\\n  # why\n  three\nRUN one\n";

    #[test]
    fn an_instruction_over_several_lines_is_found_by_its_words() {
        assert_eq!(locate(TEXT, "[2/3] RUN two   three"), Some((4, 6)));
        assert_eq!(
            locate(TEXT, "[base 2/3] RUN one"),
            None,
            "two read like this"
        );
        assert_eq!(locate(TEXT, "exporting to image"), None);
    }

    #[test]
    fn a_parse_error_names_its_line() {
        let message = "failed: dockerfile parse error line 12: unknown instruction: X";
        assert_eq!(line_in_message(message), Some((12, 12)));
        assert_eq!(line_in_message("line 3"), None);
    }
}
