//! A question before something is done that can't be taken back.

use std::io::IsTerminal as _;

use crate::commands::invocation::Context;
use crate::error::{Error, Result};
use crate::visible::indented;

/// Asks on a terminal; `nobody` is the failure where there is none.
///
/// # Errors
/// Nobody can be asked.
pub(crate) async fn agreed(
    context: &Context,
    question: &str,
    nobody: impl FnOnce() -> Error,
) -> Result<bool> {
    if !std::io::stdin().is_terminal() || !context.ui.stderr_is_terminal() {
        return Err(nobody());
    }
    let question = format!("{} [y/N] ", indented(question));
    context.ui.talk_bytes(question.as_bytes());
    // a thread that nobody joins: one that waits for a line must not keep Ctrl-C from ending devnet
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line).is_ok();
        let answer = line.trim().to_lowercase();
        // nobody waits any more
        let _gone = sender.send(read && (answer == "y" || answer == "yes"));
    });
    Ok(receiver.await.unwrap_or(false))
}
