//! The one door to YAML: values to text, and text to trees that know their lines.

pub(crate) mod node;

use serde::Serialize;

use crate::error::{Error, Result};

/// Writes a value as one YAML document.
pub(crate) fn write<T: Serialize>(value: &T) -> Result<String> {
    serde_yaml::to_string(value)
        .map_err(|error| Error::failed("could not write YAML").because(error))
}
