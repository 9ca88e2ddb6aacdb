//! The changes as data: JSON, YAML, a dotenv file, or the file behind `$GITHUB_ENV`.

use std::collections::BTreeMap;

use crate::docker_env::plan::{self, Change};
use crate::error::{Error, Result};

/// A way to write variables down that no shell evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Dotenv,
    Github,
    Json,
    Yaml,
}

impl Format {
    /// Variables that are set, under the names that minikube gives them.
    ///
    /// # Errors
    /// When a value can't be written in this form.
    pub(crate) fn set(self, changes: &[Change]) -> Result<String> {
        let values: BTreeMap<&str, &str> = changes
            .iter()
            .filter_map(|change| Some((change.name.as_str(), change.value.as_deref()?)))
            .filter(|(name, value)| !value.is_empty() && *name != plan::EXISTING)
            .collect();
        match self {
            Self::Json => json(&values),
            Self::Yaml => crate::yaml::write(&values),
            Self::Dotenv | Self::Github => self.lines(values),
        }
    }

    /// The text that gives the environment back: old values, and what goes as `null` (an empty
    /// value where the form has no way to take a variable away).
    ///
    /// # Errors
    /// When a value can't be written in this form.
    pub(crate) fn unset(self, changes: &[Change]) -> Result<String> {
        let values: BTreeMap<&str, Option<&str>> = changes
            .iter()
            .map(|change| (change.name.as_str(), change.value.as_deref()))
            .collect();
        match self {
            Self::Json => json(&values),
            Self::Yaml => crate::yaml::write(&values),
            Self::Dotenv | Self::Github => self.lines(
                values
                    .into_iter()
                    .map(|(name, value)| (name, value.unwrap_or_default())),
            ),
        }
    }

    fn lines<'v>(self, values: impl IntoIterator<Item = (&'v str, &'v str)>) -> Result<String> {
        values
            .into_iter()
            .map(|(name, value)| match self {
                Self::Github => github(name, value),
                _ => Ok(format!("{name}={}\n", dotenv(value))),
            })
            .collect()
    }
}

fn json<T: serde::Serialize>(values: &T) -> Result<String> {
    Ok(crate::json::line(values)? + "\n")
}

/// In single quotes nothing is special to any reader; a value with a single quote stands in
/// double quotes, what is special there behind backslashes. Line ends stand as they are.
fn dotenv(value: &str) -> String {
    if value.contains(['$', '`', '\\', '"']) && !value.contains('\'') {
        return format!("'{value}'");
    }
    let mut text = String::from("\"");
    for c in value.chars() {
        if matches!(c, '$' | '`' | '\\' | '"') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    text
}

fn github(name: &str, value: &str) -> Result<String> {
    if !value.contains(['\n', '\r']) {
        return Ok(format!("{name}={value}\n"));
    }
    // the runner would take it for a part of the line end that follows
    if value.ends_with('\r') {
        return Err(Error::failed(format!(
            "the value of `{name}` ends with a carriage return, which GitHub's file can't carry"
        ))
        .hint("`devnet env -o json` carries every value"));
    }
    let end = (0..=value.len())
        .map(|number| format!("DEVNET_END_{number}"))
        .find(|end| !value.contains(end.as_str()))
        .unwrap_or_default();
    Ok(format!("{name}<<{end}\n{value}\n{end}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn change(name: &str, value: Option<&str>) -> Change {
        Change {
            name: name.into(),
            value: value.map(Into::into),
        }
    }

    /// As GitHub's runner reads its file.
    fn read_github(text: &str) -> Vec<(String, String)> {
        let mut read = Vec::new();
        let mut rest = text;
        while let Some((line, after)) = rest.split_once('\n') {
            rest = after;
            let (equals, heredoc) = (line.find('='), line.find("<<"));
            if let Some(at) = equals.filter(|at| heredoc.is_none_or(|here| *at < here)) {
                read.push((line[..at].into(), line[at + 1..].into()));
                continue;
            }
            let (name, end) = line.split_once("<<").expect("a name and its end");
            let mut lines = Vec::new();
            loop {
                let (line, after) = rest.split_once('\n').expect("the end is there");
                rest = after;
                if line == end {
                    break;
                }
                lines.push(line);
            }
            read.push((name.into(), lines.join("\n")));
        }
        read
    }

    /// As the dotenv libraries have it: single quotes literal, double quotes with backslashes.
    fn read_dotenv(text: &str) -> String {
        if let Some(inner) = text
            .strip_prefix('\'')
            .and_then(|rest| rest.strip_suffix('\''))
        {
            assert!(!inner.contains('\''), "{text}");
            return inner.into();
        }
        let inner = &text[1..text.len() - 1];
        let mut value = String::new();
        let mut chars = inner.chars();
        while let Some(c) = chars.next() {
            assert!(!matches!(c, '"' | '$' | '`'), "{text}");
            value.extend(if c == '\\' { chars.next() } else { Some(c) });
        }
        value
    }

    #[test]
    fn taking_back_loses_nothing_that_was_kept() {
        let changes = [
            change("DOCKER_HOST", Some("tcp://old")),
            change("DOCKER_TLS_VERIFY", Some("")),
            change("MINIKUBE_ACTIVE_DOCKERD", None),
        ];
        assert_eq!(
            Format::Json.unset(&changes).unwrap(),
            "{\"DOCKER_HOST\":\"tcp://old\",\"DOCKER_TLS_VERIFY\":\"\",\"MINIKUBE_ACTIVE_DOCKERD\":null}\n"
        );
        assert_eq!(
            Format::Yaml.unset(&changes).unwrap(),
            "DOCKER_HOST: tcp://old\nDOCKER_TLS_VERIFY: ''\nMINIKUBE_ACTIVE_DOCKERD: null\n"
        );
        assert_eq!(
            Format::Dotenv.unset(&changes).unwrap(),
            "DOCKER_HOST=\"tcp://old\"\nDOCKER_TLS_VERIFY=\"\"\nMINIKUBE_ACTIVE_DOCKERD=\"\"\n"
        );
        assert_eq!(
            Format::Github.unset(&changes).unwrap(),
            "DOCKER_HOST=tcp://old\nDOCKER_TLS_VERIFY=\nMINIKUBE_ACTIVE_DOCKERD=\n"
        );
    }

    #[test]
    fn a_value_can_not_end_githubs_block_early() {
        let value = "x\nDEVNET_END_0\nPATH=/evil\nDEVNET_END_1";
        let text = Format::Github.set(&[change("A", Some(value))]).unwrap();
        assert_eq!(read_github(&text), [("A".into(), value.to_owned())]);
        assert!(Format::Github.set(&[change("A", Some("x\r"))]).is_err());
    }

    #[test]
    fn dotenv_quotes_what_its_readers_would_expand() {
        for (value, written) in [
            ("tcp://127.0.0.1:1", "\"tcp://127.0.0.1:1\""),
            ("a $b `c` \\d \"e\"", "'a $b `c` \\d \"e\"'"),
            ("it's", "\"it's\""),
            ("it's $5 \\ \"x\" `y`", r#""it's \$5 \\ \"x\" \`y\`""#),
        ] {
            assert_eq!(dotenv(value), written);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in "[\\PC\n'\"$`\\\\=<]{0,40}") {
            prop_assert_eq!(read_dotenv(&dotenv(&value)), value.as_str());
            let text = github("A", &value).unwrap();
            prop_assert_eq!(read_github(&text), [("A".to_owned(), value)]);
        }
    }
}
