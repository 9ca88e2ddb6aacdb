//! A list that an engine gave up, because one of those on it was removed while it looked at them.

use bollard::errors::Error;

/// The number of times that a list is asked for: who removes many images at once spoils it more than
/// once.
const TIMES: u32 = 5;

/// An engine's list, asked for again as long as it is given up for one that has just gone.
///
/// # Errors
/// The engine's, when it does not answer or gives up every time.
pub(super) async fn complete<T, Answer>(ask: impl Fn() -> Answer) -> Result<T, Error>
where
    Answer: Future<Output = Result<T, Error>>,
{
    for _ in 1..TIMES {
        match ask().await {
            Err(error) if one_has_gone(&error) => {}
            answer => return answer,
        }
    }
    ask().await
}

/// True for the words of an engine that misses one of those it lists: its containerd's store says
/// 404 and that a content is not found, the older stores 500 and that a layer does not exist.
fn one_has_gone(error: &Error) -> bool {
    match error {
        Error::DockerResponseServerError {
            status_code: 404, ..
        } => true,
        Error::DockerResponseServerError {
            status_code: 500,
            message,
        } => ["does not exist", "not found", "No such"]
            .iter()
            .any(|words| message.contains(words)),
        _ => false,
    }
}
