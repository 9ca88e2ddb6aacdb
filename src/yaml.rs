//! The one door to YAML: text to values and back, and to trees that know their lines.

pub(crate) mod node;

use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, Result};

/// Reads one YAML document; `name` says where the text came from.
///
/// # Errors
/// A usage error that names the file, the line and the field.
pub(crate) fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T> {
    serde_yaml::from_str(text).map_err(|error| {
        let place = error.location().map_or(String::new(), |location| {
            format!(":{}:{}", location.line(), location.column())
        });
        Error::usage(format!("`{name}{place}` is not what was expected")).because(error)
    })
}

/// Writes a value as one YAML document.
pub(crate) fn write<T: Serialize>(value: &T) -> Result<String> {
    serde_yaml::to_string(value)
        .map_err(|error| Error::failed("could not write YAML").because(error))
}
