//! The one door to JSON that is shown: characters that a terminal would obey or hide stand as
//! `\u` escapes, which is the same JSON.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

use crate::error::{Error, Result};
use crate::visible::is_hidden;

/// A value in lines, for people's eyes too.
///
/// # Errors
/// When serde can't write it.
pub(crate) fn pretty<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    text(value, PrettyFormatter::new())
}

/// A value in one line.
///
/// # Errors
/// When serde can't write it.
pub(crate) fn line<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    text(value, CompactFormatter)
}

/// A value in one line behind what is there.
///
/// # Errors
/// When serde can't write it.
pub(crate) fn append<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<()> {
    write(out, value, CompactFormatter)
}

fn text<T: Serialize + ?Sized>(value: &T, formatter: impl Formatter) -> Result<String> {
    let mut out = Vec::new();
    write(&mut out, value, formatter)?;
    String::from_utf8(out).map_err(unwritable)
}

fn write<T: Serialize + ?Sized>(
    out: &mut Vec<u8>,
    value: &T,
    formatter: impl Formatter,
) -> Result<()> {
    value
        .serialize(&mut Serializer::with_formatter(out, Escaped(formatter)))
        .map_err(unwritable)
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::failed("could not write JSON").caused_by(error)
}

/// A formatter whose strings hold no hidden character.
struct Escaped<F>(F);

/// Hands a call on to the formatter inside.
macro_rules! as_inside {
    ($($name:ident($($argument:ident: $kind:ty)?));* $(;)?) => {
        $(fn $name<W: Write + ?Sized>(&mut self, out: &mut W $(, $argument: $kind)?) -> io::Result<()> {
            self.0.$name(out $(, $argument)?)
        })*
    };
}

impl<F: Formatter> Formatter for Escaped<F> {
    as_inside! {
        begin_array();
        end_array();
        begin_array_value(first: bool);
        end_array_value();
        begin_object();
        end_object();
        begin_object_key(first: bool);
        end_object_key();
        begin_object_value();
        end_object_value();
    }

    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for part in fragment.split_inclusive(is_hidden) {
            let hidden = part.chars().next_back().filter(|last| is_hidden(*last));
            let Some(hidden) = hidden else {
                out.write_all(part.as_bytes())?;
                continue;
            };
            out.write_all(part.trim_end_matches(hidden).as_bytes())?;
            for unit in hidden.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_terminal_obeys_is_escaped_in_names_and_values() {
        let value =
            serde_json::json!({"a\u{9b}": ["\u{9d}\u{7f}", "\u{202e}é", "\u{2066}\n\u{e0041}"]});
        assert_eq!(
            line(&value).unwrap(),
            r#"{"a\u009b":["\u009d\u007f","\u202eé","\u2066\n\udb40\udc41"]}"#
        );
        let lines = pretty(&value).unwrap();
        assert!(lines.starts_with("{\n  \"a\\u009b\": [\n"), "{lines}");
    }

    proptest! {
        #[test]
        fn it_is_the_same_json(text in any::<String>(), number in any::<i64>()) {
            let value = serde_json::json!({text.clone(): [text, number, null, {}]});
            for written in [line(&value).unwrap(), pretty(&value).unwrap()] {
                prop_assert!(!written.contains(|c| is_hidden(c) && c != '\n'), "{written:?}");
                let read: serde_json::Value = serde_json::from_str(&written).unwrap();
                prop_assert_eq!(&read, &value);
            }
        }
    }
}
