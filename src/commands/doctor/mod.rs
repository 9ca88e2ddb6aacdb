//! `devnet doctor`: what stands between this shell and its cluster's engine, and the one thing to do
//! about each.

mod images;
mod look;
mod node;

use crate::commands::invocation::Context;
use crate::commands::invocation::format::{Format, Printed};
use crate::error::{Error, Result};
use crate::finding::Severity;
use crate::render::{Style, doctor as render, document};
use crate::wording::counted;

/// Find what is wrong between this shell and its cluster, with one fix for each
///
/// Looks only; nothing is started or changed. Exits 0 when nothing is broken, 1 when a finding is an
/// error.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet doctor
  devnet -p dev doctor -o json | jq -r '.findings[].fix'")]
pub(crate) struct Args {
    #[command(flatten)]
    printed: Printed,
}

pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let mut report = look::look(context).await?;
    report.findings.sort_by_key(|finding| finding.severity);
    let text = match args.printed.output {
        Format::Json => document::json(&document::of_doctor(&report))?,
        Format::Text => render::text(
            &report,
            Style {
                color: context.ui.color_stdout(),
                unicode: context.ui.unicode(),
                columns: context.ui.columns(),
            },
        ),
    };
    context.ui.data(&text).map_err(Error::stdout)?;
    let errors = report
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .count();
    match errors {
        0 => Ok(()),
        1 => Err(Error::failed("the doctor found an error")),
        _ => Err(Error::failed(format!(
            "the doctor found {}",
            counted(errors, "error")
        ))),
    }
}
