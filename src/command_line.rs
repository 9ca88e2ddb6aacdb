//! Commands that a person is told to type: the one door that quotes their words.

use std::fmt::Write as _;

use crate::visible::is_hidden;

/// A command line from which a POSIX shell makes these words again, whatever they hold; in one
/// line, and without a character that a terminal would hide.
///
/// ```text
/// of(["devnet", "logs", "n/p", "c d"])  devnet logs n/p 'c d'
/// ```
pub(crate) fn of<T: AsRef<str>>(words: impl IntoIterator<Item = T>) -> String {
    let mut before = String::new();
    let mut line = Vec::new();
    for word in words {
        let word = word.as_ref();
        if word.ends_with('\n') {
            // a substitution loses line ends at its end; a dot keeps them, and goes when it is used
            let name = format!("w{}", line.len());
            let _infallible = write!(before, "{name}={}; ", printed(&format!("{word}.")));
            line.push(format!("\"${{{name}%.}}\""));
        } else {
            line.push(quoted(word));
        }
    }
    before + &line.join(" ")
}

/// The same with the words of a fixed beginning: `devnet logs`, then those that vary.
pub(crate) fn with<T: AsRef<str>>(start: &str, words: impl IntoIterator<Item = T>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| word.as_ref().into()).collect();
    of(start.split(' ').map(str::to_owned).chain(words))
}

/// Bytes that mean only themselves in every POSIX shell.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c)
}

fn quoted(word: &str) -> String {
    // `~` and `=` at a word's beginning mean something to some shells
    if !word.is_empty() && !word.starts_with('=') && word.chars().all(is_plain) {
        word.to_owned()
    } else if !word.chars().any(is_hidden) {
        format!("'{}'", word.replace('\'', "'\\''"))
    } else {
        printed(word)
    }
}

/// A word that holds what can't be shown: its bytes in octal.
fn printed(word: &str) -> String {
    let octal: String = word
        .bytes()
        .map(|byte| match char::from(byte) {
            c if c.is_ascii_alphanumeric() || "_@+=:,./".contains(c) => c.to_string(),
            _ => format!("\\{byte:03o}"),
        })
        .collect();
    format!("\"$(printf '{octal}')\"")
}

#[cfg(test)]
#[path = "command_line_tests.rs"]
mod tests;
