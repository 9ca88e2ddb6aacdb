//! The flags that every command takes.

use std::path::PathBuf;

use crate::ui::Color;

/// Flags that every command takes.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalFlags {
    /// Talk to this engine: unix://, npipe://, tcp:// (see --tls-cert-path) or ssh://
    #[arg(short = 'H', long, global = true, value_name = "URL")]
    pub(crate) host: Option<String>,
    /// The folder with ca.pem, cert.pem and key.pem for a tcp:// host
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) tls_cert_path: Option<PathBuf>,
    /// Talk to the engine of this docker context
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Talk to the nodes of this minikube profile
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Colour: always, auto or never [default: auto]
    #[arg(long, global = true, value_name = "WHEN", hide_possible_values = true)]
    pub(crate) color: Option<Color>,
    /// Say only what went wrong
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Say more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}
