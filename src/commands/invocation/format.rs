//! `-o text|json`, as most commands have it.

/// The form to print in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Json,
    #[default]
    Text,
}

// no doc comment: clap would take it for the command's own
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Printed {
    /// text or json
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "text",
        hide_possible_values = true
    )]
    pub(crate) output: Format,
}
