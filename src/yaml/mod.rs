//! The one door to YAML: values to text, and text to trees that know their lines.

pub(crate) mod node;

use std::fmt::Write as _;

use serde::Serialize;
use serde_yaml::Value;

use crate::error::{Error, Result};
use crate::visible::is_hidden;

/// Writes a value as one YAML document. Characters that a terminal would obey or hide stand as
/// escapes, which is the same YAML.
///
/// # Errors
/// When serde can't write it.
pub(crate) fn write<T: Serialize>(value: &T) -> Result<String> {
    let unwritable = |error| Error::failed("could not write YAML").caused_by(error);
    let mut tree = serde_yaml::to_value(value).map_err(unwritable)?;
    let mut replaced = Replaced::default();
    replaced.find(&tree);
    if replaced.texts.is_empty() {
        return serde_yaml::to_string(value).map_err(unwritable);
    }
    // serde_yaml has no way to ask for quotes: a word stands in for each such text
    replaced.choose_words(&serde_yaml::to_string(&tree).map_err(unwritable)?);
    replaced.replace(&mut tree);
    let written = serde_yaml::to_string(&tree).map_err(unwritable)?;
    Ok(replaced.put_back(written))
}

/// Texts that can only be written in double quotes, and the words that stand in for them.
#[derive(Default)]
struct Replaced {
    texts: Vec<String>,
    words: Vec<String>,
}

impl Replaced {
    fn find(&mut self, value: &Value) {
        match value {
            Value::String(text)
                if text.contains(|c| is_hidden(c) && c != '\n') && !self.texts.contains(text) =>
            {
                self.texts.push(text.clone());
            }
            Value::Sequence(list) => list.iter().for_each(|value| self.find(value)),
            Value::Mapping(map) => map.iter().for_each(|(key, value)| {
                self.find(key);
                self.find(value);
            }),
            Value::Tagged(tagged) => self.find(&tagged.value),
            _ => {}
        }
    }

    /// Words that the document does not hold.
    fn choose_words(&mut self, document: &str) {
        let mut start = String::from("devnet-quoted");
        while document.contains(&start) {
            start.push('-');
            start.push_str(&start.len().to_string());
        }
        self.words = (0..self.texts.len())
            .map(|place| {
                // a key that is too long for one line is written in another way: so must its word be
                let filling = "x".repeat(if self.texts[place].len() > 100 {
                    200
                } else {
                    0
                });
                format!("{start}{filling}-{place}-")
            })
            .collect();
    }

    fn replace(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(place) = self.texts.iter().position(|other| other == text) {
                    text.clone_from(&self.words[place]);
                }
            }
            Value::Sequence(list) => list.iter_mut().for_each(|value| self.replace(value)),
            Value::Mapping(map) => {
                *map = std::mem::take(map)
                    .into_iter()
                    .map(|(mut key, mut value)| {
                        self.replace(&mut key);
                        self.replace(&mut value);
                        (key, value)
                    })
                    .collect();
            }
            Value::Tagged(tagged) => self.replace(&mut tagged.value),
            _ => {}
        }
    }

    fn put_back(&self, mut written: String) -> String {
        for (word, text) in self.words.iter().zip(&self.texts) {
            written = written.replace(word, &quoted(text));
        }
        written
    }
}

/// A text in double quotes, in one line.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_hidden(c) => match u32::from(c) {
                number @ 0..=0xffff => drop(write!(out, "\\u{number:04X}")),
                number => drop(write!(out, "\\U{number:08X}")),
            },
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped_in_names_and_values() {
        let value = serde_json::json!({
            "a\u{9b}": ["\u{9d}\u{7f}", "\u{202e}é \"x\" \\", "two\nlines", "plain"],
            "n": 1,
            "e": "\u{e0041}",
        });
        assert_eq!(
            write(&value).unwrap(),
            "\"a\\u009B\":\n- \"\\u009D\\u007F\"\n- \"\\u202Eé \\\"x\\\" \\\\\"\n- |-\n  two\n  lines\n- plain\nn: 1\ne: \"\\U000E0041\"\n"
        );
    }

    proptest! {
        #[test]
        fn it_is_the_same_yaml(
            texts in proptest::collection::vec(
                prop_oneof![any::<String>(), "[a-c\u{9b}\u{202e}\n\t :#-]{0,9}", "[a\u{200b}]{90,300}"],
                1..5,
            ),
        ) {
            let map: serde_json::Map<String, serde_json::Value> = texts
                .iter()
                .map(|text| (text.clone(), serde_json::json!([text, {text.clone(): null}])))
                .collect();
            let written = write(&map).unwrap();
            prop_assert!(!written.contains(|c| is_hidden(c) && c != '\n'), "{written:?}");
            let read: serde_json::Map<String, serde_json::Value> =
                serde_yaml::from_str(&written).unwrap();
            prop_assert_eq!(read, map);
        }
    }
}
