//! The environment of this run, read in one place and never changed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use crate::error::{Error, Result};

/// The environment of this run, as a value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The environment that devnet was started with.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    pub(crate) fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    #[cfg(test)]
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        Self(
            pairs
                .iter()
                .map(|(k, v)| (OsString::from(k), OsString::from(v)))
                .collect(),
        )
    }

    /// A variable, also when it is empty.
    pub(crate) fn os(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// A variable that is set and not empty.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    }

    /// A variable that is set and not empty, as text.
    ///
    /// # Errors
    /// A usage error when it is not UTF-8.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>> {
        match self.os(name).filter(|value| !value.is_empty()) {
            None => Ok(None),
            Some(value) => value.to_str().map(Some).ok_or_else(|| {
                Error::usage(format!("the environment variable `{name}` is not UTF-8"))
            }),
        }
    }

    /// True where a variable is set and not empty.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.os(name).is_some_and(|value| !value.is_empty())
    }

    /// Every variable.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}
