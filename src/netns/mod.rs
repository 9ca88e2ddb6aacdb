//! Domain: what a node's kernel says: namespaces by inode, addresses, sockets, and who holds them.

mod conflict;
mod join;
mod leak;
mod marks;
mod pins;
pub(crate) mod reach;
pub(crate) mod reach_judge;
mod reach_promises;
mod traffic;

use crate::error::{Error, Result};
pub(crate) use crate::probe::look::Look;
use crate::probe::look::SCHEMA;

pub(crate) use conflict::{Neighbours, conflict, listeners};
pub(crate) use join::join;
pub(crate) use marks::RuntimeMarks;
pub(crate) use traffic::{Inner, Outer, traffic};

/// Reads the probe's look.
///
/// # Errors
/// When it is cut off, or of another version.
pub(crate) fn read_look(text: &str) -> Result<Look> {
    let look: Look = serde_json::from_str(text)
        .map_err(|error| Error::failed("the probe's answer can't be read").caused_by(error))?;
    if look.schema == SCHEMA {
        Ok(look)
    } else {
        Err(Error::failed(format!(
            "the probe answered in version {} of its document",
            look.schema
        )))
    }
}

#[cfg(test)]
mod tests;
