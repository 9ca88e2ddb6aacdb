//! Label selectors, as kubectl takes them: `a=b`, `a!=b`, `a in (b,c)`, `a notin (b)`, `a`, `!a`,
//! joined by commas.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};

/// The requirements on labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, BTreeSet<String>),
    NotIn(String, BTreeSet<String>),
    Has(String),
    HasNot(String),
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// A usage error that shows the part that can't be read.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        parts(text)
            .map(|part| {
                requirement(part.trim()).ok_or_else(|| {
                    Error::usage(format!("`{}` is no label selector", part.trim()))
                        .hint("selectors look like `app=web,tier!=db` or `app in (web, api)`")
                })
            })
            .collect::<Result<_>>()
            .map(Self)
    }

    /// True where labels meet every requirement.
    pub(crate) fn fits(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(name, values) => labels.get(name).is_some_and(|v| values.contains(v)),
            // as in Kubernetes, a label that is not there is not one of the values
            Requirement::NotIn(name, values) => {
                labels.get(name).is_none_or(|v| !values.contains(v))
            }
            Requirement::Has(name) => labels.contains_key(name),
            Requirement::HasNot(name) => !labels.contains_key(name),
        })
    }
}

/// The parts between commas that stand in no parentheses.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
}

fn requirement(part: &str) -> Option<Requirement> {
    let one = |value: &str| BTreeSet::from([value.trim().to_owned()]);
    if let Some((name, value)) = part.split_once("!=") {
        return Some(Requirement::NotIn(label(name)?, one(value)));
    }
    if let Some((name, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Some(Requirement::In(label(name)?, one(value)));
    }
    if let Some((head, values)) = part.split_once('(') {
        let values = values.strip_suffix(')')?;
        let values = values
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        let (name, word) = head.trim().split_once(char::is_whitespace)?;
        return match word.trim() {
            "in" => Some(Requirement::In(label(name)?, values)),
            "notin" => Some(Requirement::NotIn(label(name)?, values)),
            _ => None,
        };
    }
    match part.strip_prefix('!') {
        Some(name) => Some(Requirement::HasNot(label(name)?)),
        None => Some(Requirement::Has(label(part)?)),
    }
}

fn label(name: &str) -> Option<String> {
    let name = name.trim();
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    (!name.is_empty() && name.chars().all(fine)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(selector: &str) -> bool {
        let labels = [("app", "web"), ("tier", "front")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Selector::parse(selector)
            .expect(selector)
            .fits(&labels.into())
    }

    #[test]
    fn selectors_mean_what_they_mean_to_kubectl() {
        for yes in [
            "app=web",
            "app == web",
            "app!=db",
            "other!=x",
            "app in (db, web)",
            "app,tier=front",
            "!other",
            "other notin (x)",
            "app in (web,db),tier",
        ] {
            assert!(fits(yes), "{yes}");
        }
        for no in [
            "app=db",
            "app!=web",
            "app in (db)",
            "app notin (web)",
            "other",
            "!app",
            "app=web,other",
        ] {
            assert!(!fits(no), "{no}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for wrong in [
            "",
            "app in web",
            "app within (a)",
            "=x",
            "a b",
            "app in (web",
        ] {
            assert!(Selector::parse(wrong).is_err(), "{wrong}");
        }
    }
}
