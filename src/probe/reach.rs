//! The answers to whether something is reached: a line for each question, which the probe writes and
//! devnet reads.

use std::fmt;
use std::net::SocketAddr;

/// The question about every resolver of the pod that is asked from.
pub const RESOLVERS: &str = "dns";

/// The question about one address, by its protocol.
pub fn question(proto: &str, to: SocketAddr) -> String {
    format!("{proto}/{to}")
}

/// The question about one resolver, as its answer names it.
pub fn of_resolver(server: &str) -> String {
    format!("{RESOLVERS}/{server}")
}

/// The resolver that a question is about.
pub fn resolver(question: &str) -> Option<&str> {
    question.strip_prefix(RESOLVERS)?.strip_prefix('/')
}

/// The end of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    Ok,
    Refused,
    Timeout,
    Unreachable,
    /// Nothing came back, which over UDP is no proof.
    NoReply,
    /// The network that is asked from has no address of that family.
    NoAddress,
    /// It could not be tried.
    Failed,
}

impl Reached {
    const ALL: [Self; 7] = [
        Self::Ok,
        Self::Refused,
        Self::Timeout,
        Self::Unreachable,
        Self::NoReply,
        Self::NoAddress,
        Self::Failed,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::NoReply => "no-reply",
            Self::NoAddress => "no-address",
            Self::Failed => "failed",
        }
    }
}

/// The line that answers one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerLine<'a> {
    pub question: &'a str,
    pub reached: Reached,
    /// As `0.213`, where it was reached.
    pub milliseconds: Option<&'a str>,
    /// More words: of a resolver the name that it was asked for and its code.
    pub more: &'a str,
}

impl<'a> AnswerLine<'a> {
    /// Reads a line; one that has no answer is none. A word that is not known is a failure.
    pub fn read(line: &'a str) -> Option<Self> {
        let mut words = line.splitn(3, ' ');
        let (question, word) = (words.next()?, words.next()?);
        let rest = words.next().unwrap_or_default();
        let reached = Reached::ALL.into_iter().find(|one| one.word() == word);
        let reached = reached.unwrap_or(Reached::Failed);
        let (milliseconds, more) = match reached {
            Reached::Ok => {
                let (milliseconds, more) = rest.split_once(' ').unwrap_or((rest, ""));
                (Some(milliseconds), more)
            }
            _ => (None, rest),
        };
        Some(Self {
            question,
            reached,
            milliseconds,
            more,
        })
    }
}

impl fmt::Display for AnswerLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.question, self.reached.word())?;
        let words = self.milliseconds.into_iter().chain([self.more]);
        for word in words.filter(|word| !word.is_empty()) {
            write!(f, " {word}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written() {
        for reached in Reached::ALL {
            for more in ["", "localhost NOERROR", "os error 1"] {
                let line = AnswerLine {
                    question: "udp/10.244.0.9:53",
                    reached,
                    milliseconds: (reached == Reached::Ok).then_some("0.213"),
                    more,
                };
                assert_eq!(AnswerLine::read(&line.to_string()), Some(line));
            }
        }
        assert_eq!(AnswerLine::read("udp/10.244.0.9:53"), None);
        let strange = AnswerLine::read("dns/10.96.0.10 perhaps").unwrap();
        assert_eq!(strange.reached, Reached::Failed);
        assert_eq!(resolver(strange.question), Some("10.96.0.10"));
        assert_eq!(resolver("tcp/10.96.0.10:53"), None);
    }
}
