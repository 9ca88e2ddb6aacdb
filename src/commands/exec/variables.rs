//! The variables that a command in a container is given: by flag, by file, or passed on from the
//! caller. As docker has it, which scripts rely on.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::regular_file;
use crate::settings::Environment;

/// More than an engine takes.
const LARGEST: u64 = 1 << 20;

/// The variables that `--env-file` and `--env` set, those of files first, as an engine takes it:
/// `NAME=value`, or a name alone, which takes the variable away.
pub(super) fn wanted(
    files: &[PathBuf],
    flags: &[String],
    environment: &Environment,
) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for file in files {
        let failed = |error| {
            Error::usage(format!("`--env-file {}` can't be read", file.display())).caused_by(error)
        };
        let text = regular_file::named_text(file, LARGEST).map_err(failed)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let name = line.split_once('=').map_or(line, |(name, _)| name);
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err(Error::usage(format!(
                    "line {number} of `--env-file {}` names no variable",
                    file.display()
                ))
                .hint("one `NAME=value` a line, or a name alone to pass the caller's value on"));
            }
            // what a file names and the caller lacks is left as the container has it
            all.extend(given(line, environment)?);
        }
    }
    for flag in flags {
        if flag.is_empty() || flag.starts_with('=') {
            return Err(Error::usage(format!("`--env {flag}` names no variable")));
        }
        // what the caller lacks too is taken away
        all.push(given(flag, environment)?.unwrap_or_else(|| flag.clone()));
    }
    Ok(all)
}

/// `NAME=value` as it is, and a name alone with the caller's value, if there is one.
fn given(text: &str, environment: &Environment) -> Result<Option<String>> {
    if text.contains('=') {
        return Ok(Some(text.to_owned()));
    }
    let Some(value) = environment.os(text) else {
        return Ok(None);
    };
    let value = value.to_str().ok_or_else(|| {
        Error::usage(format!("the environment variable `{text}` is not UTF-8"))
            .hint("an engine takes text only")
    })?;
    Ok(Some(format!("{text}={value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_passes_the_callers_value_on() {
        let caller = Environment::of(&[("HERE", "a=b c"), ("EMPTY", "")]);
        let flags = ["A=1", "HERE", "EMPTY", "GONE", "B="].map(str::to_owned);
        assert_eq!(
            wanted(&[], &flags, &caller).unwrap(),
            ["A=1", "HERE=a=b c", "EMPTY=", "GONE", "B="]
        );
        for wrong in ["", "=x"] {
            assert!(wanted(&[], &[wrong.to_owned()], &caller).is_err());
        }
    }

    #[test]
    fn a_file_sets_what_its_lines_say_and_flags_come_after() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        let caller = Environment::of(&[("HERE", "x")]);
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            wanted(std::slice::from_ref(&file), &["A=2".to_owned()], &caller)
        };
        assert_eq!(
            read("\u{feff}A= 1 \n\n# no\n  HERE\nGONE\r\n").unwrap(),
            ["A= 1 ", "HERE=x", "A=2"]
        );
        assert!(read("A B=1\n").is_err());
        assert!(read("=1\n").is_err());
        assert!(wanted(&[folder.path().into()], &[], &caller).is_err());
        assert!(
            wanted(&["/dev/null".into()], &[], &caller)
                .unwrap()
                .is_empty()
        );
    }
}
