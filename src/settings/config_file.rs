//! devnet's config file: what a person does not want to type again. Each wrong thing in it is told
//! with file, line and field.

use std::path::Path;

use clap::ValueEnum as _;

use crate::error::{Error, Result};
use crate::ui::Color;
use crate::yaml::node::{Value, YamlNode, documents};

/// The values that a build's `--progress` may have.
const PROGRESS: [&str; 5] = ["auto", "plain", "tty", "quiet", "rawjson"];
const FIELDS: &str = "the fields are `profile`, `color` and `progress`";

/// A value and the line that it stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry<T> {
    pub(crate) value: T,
    pub(crate) line: usize,
}

/// The content of the file; everything may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ConfigFile {
    /// The minikube profile to talk to when none is named.
    pub(crate) profile: Option<Entry<String>>,
    pub(crate) color: Option<Entry<Color>>,
    /// The way builds show themselves.
    pub(crate) progress: Option<Entry<String>>,
}

impl ConfigFile {
    /// Reads the file's text; `file` is named in errors.
    ///
    /// # Errors
    /// A usage error with file, line and field, for the first thing that is wrong.
    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self> {
        let name = file.display().to_string();
        let mut config = Self::default();
        let all = documents(&name, text)?;
        if let Some(second) = all.get(1) {
            return Err(Error::usage(format!(
                "{name}:{}: one document is enough",
                second.line
            )));
        }
        let root = match all.first() {
            None => return Ok(config),
            Some(root) => match &root.value {
                Value::Null => return Ok(config),
                Value::Map(map) => map,
                Value::List(_) | Value::Scalar { .. } => {
                    return Err(Error::usage(format!(
                        "{name}:{}: fields are expected here, as `profile: dev`",
                        root.line
                    ))
                    .hint(FIELDS));
                }
            },
        };
        for (key, node) in root {
            let line = key.line;
            let wrong = |why: &str| Error::usage(format!("{name}:{line}: {}: {why}", key.name));
            if node.value == Value::Null {
                continue;
            }
            match key.name.as_str() {
                "profile" => {
                    let value = text_of(node).ok_or_else(|| {
                        wrong("a profile's name is expected here").hint("as `profile: dev`")
                    })?;
                    config.profile = Some(Entry { value, line });
                }
                "color" => {
                    let value = text_of(node)
                        .and_then(|word| Color::from_str(&word, false).ok())
                        .ok_or_else(|| wrong("`always`, `auto` or `never` is expected here"))?;
                    config.color = Some(Entry { value, line });
                }
                "progress" => {
                    let value = text_of(node)
                        .filter(|word| PROGRESS.contains(&word.as_str()))
                        .ok_or_else(|| {
                            wrong("one of auto, plain, tty, quiet, rawjson is expected here")
                        })?;
                    config.progress = Some(Entry { value, line });
                }
                _ => return Err(wrong("devnet does not know this field").hint(FIELDS)),
            }
        }
        Ok(config)
    }
}

/// A text; a bare number or boolean is none, and neither is nothing.
fn text_of(node: &YamlNode) -> Option<String> {
    match &node.value {
        Value::Scalar { text, quoted } => {
            let another_type = !quoted
                && (text.parse::<f64>().is_ok()
                    || matches!(text.to_ascii_lowercase().as_str(), "true" | "false"));
            (!another_type && !text.is_empty()).then(|| text.clone())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ConfigFile> {
        ConfigFile::parse(Path::new("config.yaml"), text)
    }

    #[test]
    fn values_know_their_lines() {
        let config = parse("# mine\nprofile: dev\n\ncolor: never\nprogress: plain\n").unwrap();
        let profile = config.profile.unwrap();
        assert_eq!((profile.value.as_str(), profile.line), ("dev", 2));
        assert_eq!(config.color.unwrap().value, Color::Never);
        assert_eq!(config.progress.unwrap().line, 5);
    }

    #[test]
    fn a_file_without_values_says_nothing() {
        for text in ["", "\n# nothing\n", "---\n", "profile:\n", "{}"] {
            assert_eq!(parse(text).unwrap(), ConfigFile::default(), "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_file_line_and_field() {
        for (text, said) in [
            (
                "profil: x",
                "config.yaml:1: profil: devnet does not know this field",
            ),
            (
                "color: never\nprofile: 7",
                "config.yaml:2: profile: a profile's name is expected here",
            ),
            (
                "profile: [a]",
                "config.yaml:1: profile: a profile's name is expected here",
            ),
            (
                "\ncolor: red",
                "config.yaml:2: color: `always`, `auto` or `never` is expected here",
            ),
            (
                "progress: true",
                "config.yaml:1: progress: one of auto, plain, tty, quiet, rawjson is expected here",
            ),
            (
                "- a",
                "config.yaml:1: fields are expected here, as `profile: dev`",
            ),
            (
                "profile: a\nprofile: b",
                "config.yaml:2:1: `profile` stands on line 1 already",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.to_string(), said, "{text:?}");
            assert_eq!(error.kind().exit_code(), 2);
        }
    }

    #[test]
    fn a_quoted_number_is_a_name() {
        assert_eq!(parse("profile: '7'").unwrap().profile.unwrap().value, "7");
    }
}
