//! The logs of containers, as their engine kept them.

use std::pin::Pin;

use bollard::errors::Error as Why;
use futures_util::{Stream, StreamExt as _};

use crate::engine::docker::Docker;
use crate::engine::exec::Output;
use crate::engine::log_range::LogRange;
use crate::error::{Kind, Result};
use crate::pod::log::{LogMessage, nanoseconds, split_stamp};

impl Docker {
    /// A container's log, message by message.
    pub(in crate::engine) fn logs(
        &self,
        container: &str,
        range: &LogRange,
    ) -> Pin<Box<dyn Stream<Item = Result<LogMessage>> + Send>> {
        // 0 would be no limit
        let until = range.until.map_or(0, |time| {
            time.div_euclid(1_000_000_000).saturating_add(1).max(1)
        });
        let since = range.since.map_or(0, |time| time.div_euclid(1_000_000_000));
        let tail = range
            .tail
            .map_or_else(|| "all".into(), |tail| tail.to_string());
        let query =
            format!("stdout=1&stderr=1&timestamps=1&since={since}&until={until}&tail={tail}");
        let short = container.get(..12).unwrap_or(container);
        let what = format!("the log of `{short}`");
        let (docker, follow) = (self.clone(), range.follow);
        Box::pin(
            self.log(container, &query, follow, true)
                .map(move |piece| match piece {
                    Ok(piece) => Ok(message(&piece)),
                    Err(error) => {
                        let said = matches!(
                            error,
                            Why::DockerResponseServerError { .. } | Why::DockerStreamError { .. }
                        );
                        let cut_off = docker.door.reason(&error);
                        // a log that is there to be read comes at once, or it does not come
                        let stalled =
                            !follow && cut_off.is_some_and(|reason| reason.kind() != Kind::Lost);
                        let error = docker.failed(&what, error);
                        // what was lost can be asked for again; what the engine refused can't
                        Err(if said || stalled {
                            error
                        } else {
                            error.with_kind(Kind::Lost)
                        })
                    }
                }),
        )
    }
}

/// A message with its time in front, as the engine writes it with `timestamps`; one that a line end
/// does not close goes on in the next.
fn message(piece: &Output) -> LogMessage {
    let (stderr, bytes) = match piece {
        Output::Stderr(bytes) => (true, bytes),
        Output::Stdout(bytes) => (false, bytes),
    };
    let (stamp, text) = split_stamp(bytes);
    let ended = text.last() == Some(&b'\n');
    LogMessage {
        time: nanoseconds(&stamp),
        stamp,
        stderr,
        text: text.slice(..text.len() - usize::from(ended)),
        partial: !ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_parted_into_its_time_and_its_text() {
        let said = |text: &'static str| {
            let message = message(&Output::Stderr(text.into()));
            assert!(message.stderr);
            (message.time, message.text, message.partial)
        };
        let second = 1_000_000_000;
        assert_eq!(
            said("1970-01-01T00:00:01.000000002Z a b\n"),
            (second + 2, "a b".into(), false)
        );
        assert_eq!(
            said("1970-01-01T00:00:01.000000002Z begun"),
            (second + 2, "begun".into(), true)
        );
        assert_eq!(said("no time\n"), (0, "no time".into(), false));
    }
}
