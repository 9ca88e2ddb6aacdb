//! The origin of a value.

use std::fmt;
use std::path::PathBuf;

/// The place that said a value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Origin {
    /// devnet's config file.
    Config {
        file: PathBuf,
        line: usize,
        key: &'static str,
    },
    /// Nobody said anything.
    Default,
    /// docker's own choice of a context.
    Docker { file: PathBuf, key: &'static str },
    /// The command line.
    Flag { name: &'static str },
    /// `minikube profile NAME`.
    Minikube { file: PathBuf, key: &'static str },
    /// The environment.
    Variable { name: &'static str },
}

impl Origin {
    pub(crate) fn flag(name: &'static str) -> Self {
        Self::Flag { name }
    }

    pub(crate) fn variable(name: &'static str) -> Self {
        Self::Variable { name }
    }

    /// The exact place, for who wants to change it.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Config { file, line, key } => format!("{}:{line}: {key}", file.display()),
            Self::Default => "default".into(),
            Self::Docker { file, key } => format!("docker: {}: {key}", file.display()),
            Self::Flag { name } => format!("flag {name}"),
            Self::Minikube { file, key } => {
                format!("minikube's active profile: {}: {key}", file.display())
            }
            Self::Variable { name } => format!("variable {name}"),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config { .. } => "devnet's config file",
            Self::Default => "the default",
            Self::Docker { .. } => "docker's current context",
            Self::Flag { name } | Self::Variable { name } => name,
            Self::Minikube { .. } => "minikube's active profile",
        })
    }
}
