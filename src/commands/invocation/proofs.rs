//! Proofs of what a course says of pods, as a command prints them.

use serde_json::json;

use crate::commands::invocation::Context;
use crate::commands::invocation::format::Format;
use crate::commands::invocation::output::style;
use crate::error::{Error, Result};
use crate::lab::claim::Proof;
use crate::render;

/// Prints the proofs; a failure if one did not come out as it should.
pub(crate) fn tell(context: &Context, proofs: &[Proof], format: Format) -> Result<()> {
    let text = match format {
        Format::Json => document(proofs)?,
        Format::Text => render::lab::proofs(proofs, style(context)),
    };
    context.ui.data(&text).map_err(Error::stdout)?;
    let wrong: Vec<&str> = proofs
        .iter()
        .filter(|proof| !proof.is_as_expected())
        .map(|proof| proof.id)
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Error::failed(format!(
        "not as expected: {}",
        wrong.join(", ")
    )))
}

fn document(proofs: &[Proof]) -> Result<String> {
    let document = json!({
        "schema": 1,
        "as_expected": proofs.iter().all(Proof::is_as_expected),
        "claims": proofs,
    });
    render::document::json(&document)
}
