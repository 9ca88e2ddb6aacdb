//! A failure: what went wrong, why, and what to do next; and the exit code that scripts read.
//!
//! At the bottom of the house: everyone may use it, it uses nobody.

use std::fmt;

/// The crate's result.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The kind of a failure; scripts tell them apart by the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Failed,
    /// Someone pressed Ctrl-C or sent SIGTERM.
    Interrupted,
    /// No such pod, image or profile.
    NotFound,
    /// Some nodes or images are done, others are not.
    Partly,
    /// The node or engine had been reached, and was lost half-way.
    Lost,
    /// The cluster or engine could not be reached at all, or is not running.
    Unreachable,
    /// The command line, or what stands in a file given to it, is wrong.
    Usage,
    /// A program that devnet ran for the user ended with this code. Nothing is printed.
    Child(u8),
    /// devnet's own failure under a code that another tool gave it a meaning for: 125, 126, 127.
    Coded(u8),
}

impl Kind {
    /// The exit code that the contract names.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Failed | Self::Lost => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::NotFound => 4,
            Self::Partly => 5,
            Self::Interrupted => 130,
            Self::Child(code) | Self::Coded(code) => code,
        }
    }
}

/// A failure with its reason and its way out.
///
/// The message is lower case, without a full stop, names what failed with back-ticks round
/// literals. `source` says why; each hint says what to do next.
#[derive(Debug)]
pub(crate) struct Error {
    kind: Kind,
    message: String,
    source: Option<Cause>,
    hints: Vec<String>,
}

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
            hints: Vec::new(),
        }
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Kind::Failed, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, message)
    }

    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unreachable, message)
    }

    pub(crate) fn lost(message: impl Into<String>) -> Self {
        Self::new(Kind::Lost, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// The failure to write what devnet had to say.
    pub(crate) fn stdout(error: std::io::Error) -> Self {
        Self::failed("could not write to stdout").caused_by(error)
    }

    pub(crate) fn interrupted() -> Self {
        Self::new(Kind::Interrupted, "interrupted")
    }

    /// Adds why it failed.
    #[must_use]
    pub(crate) fn caused_by(mut self, source: impl Into<Cause>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same failure under another kind, as where a command gives it its own exit code.
    #[must_use]
    pub(crate) fn with_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The failure and its reasons in one line.
    pub(crate) fn in_one_line(&self) -> String {
        std::iter::once(self.message.clone())
            .chain(self.causes())
            .collect::<Vec<_>>()
            .join(": ")
    }

    /// The same failure once more, for another who met it: its reasons become text.
    pub(crate) fn duplicate(&self) -> Self {
        let mut error = Self::new(self.kind, self.message.clone());
        error.hints.clone_from(&self.hints);
        match self.causes() {
            causes if causes.is_empty() => error,
            causes => error.caused_by(causes.join(": ")),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The reasons, outermost first, without those that only repeat what is already said.
    pub(crate) fn causes(&self) -> Vec<String> {
        let mut said = vec![self.message.clone()];
        let mut causes = Vec::new();
        let mut next: Option<&(dyn std::error::Error + 'static)> = self
            .source
            .as_deref()
            .map(|source| source as &(dyn std::error::Error + 'static));
        while let Some(source) = next {
            let text = source.to_string();
            if !said.iter().any(|before| before.contains(&text)) {
                causes.push(text.clone());
                said.push(text);
            }
            next = source.source();
        }
        causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_repeats_the_message_is_not_said_twice() {
        let inner = std::io::Error::other("connection refused");
        let error =
            Error::unreachable("no answer").caused_by(Error::failed("dial").caused_by(inner));
        assert_eq!(error.causes(), ["dial", "connection refused"]);
        assert_eq!(error.kind().exit_code(), 3);
    }
}
