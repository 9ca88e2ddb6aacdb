//! The stdout of a command: the forms of a snapshot, the style, and the writing itself.

use crate::commands::invocation::Context;
use crate::error::{Error, Result};
use crate::render::Style;

/// The form of a snapshot of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum SnapshotForm {
    Json,
    Name,
    Tsv,
    Wide,
    Yaml,
}

/// The style that stdout allows.
pub(crate) fn style(context: &Context) -> Style {
    Style {
        color: context.ui.color_stdout(),
        unicode: context.ui.unicode(),
        columns: context.ui.columns(),
    }
}

/// Writes data to stdout.
pub(crate) fn write(context: &Context, text: &str) -> Result<()> {
    context.ui.data(text).map_err(Error::stdout)
}
