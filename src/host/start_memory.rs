//! The memory of engines' starts that prompts asked for: when the last one began, and what came of it. It
//! is a help, not a need: what can't be read or written is as if nothing had been tried.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::host::replace::{self, Readers};
use crate::text_file;

/// Prompts ask for no start sooner after the last one, in seconds.
const APART: i64 = 60;

/// A start that a prompt asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
struct Asked {
    /// Seconds since 1970, by this computer's clock.
    at: i64,
    /// The state of the cluster's files then: each start of the cluster writes them.
    boot: String,
    /// The reason why it came to nothing.
    failed: Option<String>,
    told: bool,
}

/// The thing that a prompt is to do where an engine does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    Start,
    /// It failed, and nobody was told.
    Tell(String),
    Wait,
}

/// The memory of the starts of one node's engine.
#[derive(Clone, Debug)]
pub(crate) struct StartMemory(PathBuf);

impl StartMemory {
    /// The memory in devnet's state folder, for a node of a profile.
    pub(crate) fn new(state_folder: &Path, profile: &str, node: &str) -> Self {
        let digest = crate::image::digest::Digest::of(format!("{profile}/{node}").as_bytes());
        let name = format!("engine-start-{:.16}.json", digest.hex());
        Self(state_folder.join(name))
    }

    /// Advises a prompt at a moment, and remembers that it was asked.
    pub(crate) fn advise(&self, now: i64, boot: &str) -> Advice {
        let (advice, next) = decide(self.read(), now, boot);
        if let Some(next) = next {
            self.write(&next);
        }
        advice
    }

    /// Remembers what came of a start.
    pub(crate) fn ended(&self, failed: Option<String>) {
        if let Some(asked) = self.read() {
            self.write(&Asked { failed, ..asked });
        }
    }

    fn read(&self) -> Option<Asked> {
        let text = text_file::bytes(&self.0).ok()?;
        serde_json::from_slice(&text).ok()
    }

    fn write(&self, asked: &Asked) {
        let text = crate::json::line(asked).unwrap_or_default();
        let folder = self.0.parent().unwrap_or(&self.0);
        // the next prompt asks again
        let _not_kept = replace::folder(folder, Readers::Owner)
            .and_then(|()| replace::replace(&self.0, text.as_bytes(), Readers::Owner));
    }
}

/// The advice, and what is to be remembered from now on.
fn decide(asked: Option<Asked>, now: i64, boot: &str) -> (Advice, Option<Asked>) {
    let start = Asked {
        at: now,
        boot: boot.to_owned(),
        ..Asked::default()
    };
    match asked {
        // after a start of the cluster all is new
        Some(asked) if asked.boot == boot => match &asked.failed {
            Some(why) if !asked.told => {
                let why = why.clone();
                (
                    Advice::Tell(why),
                    Some(Asked {
                        told: true,
                        ..asked
                    }),
                )
            }
            Some(_told) => (Advice::Wait, None),
            // a clock that was set back is no reason to wait
            None if (asked.at..asked.at + APART).contains(&now) => (Advice::Wait, None),
            None => (Advice::Start, Some(start)),
        },
        _ => (Advice::Start, Some(start)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_tried_once_a_minute_and_its_failure_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let memory = StartMemory::new(folder.path(), "dev", "dev-m02");
        assert_eq!(memory.advise(1000, "a"), Advice::Start);
        assert_eq!(memory.advise(1059, "a"), Advice::Wait);
        assert_eq!(memory.advise(1060, "a"), Advice::Start);
        assert_eq!(memory.advise(500, "a"), Advice::Start);
        memory.ended(Some("no disk".into()));
        assert_eq!(memory.advise(501, "a"), Advice::Tell("no disk".into()));
        assert_eq!(memory.advise(9000, "a"), Advice::Wait);
        // the cluster was started anew
        assert_eq!(memory.advise(9001, "b"), Advice::Start);
        memory.ended(None);
        assert_eq!(memory.advise(9070, "b"), Advice::Start);
        let other = StartMemory::new(folder.path(), "dev", "dev");
        assert_eq!(other.advise(9070, "b"), Advice::Start);
    }
}
