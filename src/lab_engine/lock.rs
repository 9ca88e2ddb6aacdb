//! One devnet at a time while the lab's network comes or goes: an engine lets two networks have
//! one name. The lock is a container that is never started, since an engine gives each name of a
//! container once, and asks no plugin for that.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::host::owner;
use crate::lab::member::Found;
use crate::lab::owned::LOCK_NAME;
use crate::lab::{label, plan};
use crate::lab_engine::create::new_uid;

/// The age at which the lock of a devnet that can't be seen is a dead one's: its holder needs a
/// second.
const DEAD_AFTER: Duration = Duration::from_secs(15);
/// The longest wait for a lock whose holder lives and does not get on.
const LOCK_TIMEOUT: Duration = Duration::from_mins(1);

/// This process, told from every other. One that was interrupted under the lock takes it again.
fn token() -> &'static str {
    static TOKEN: OnceLock<String> = OnceLock::new();
    TOKEN.get_or_init(new_uid)
}

/// Does `work` while no other devnet makes or removes the lab's network on this engine.
///
/// # Errors
/// What the work or the engine says.
pub(crate) async fn hold<T>(engine: &Engine, work: impl Future<Output = Result<T>>) -> Result<T> {
    let id = take(engine).await?;
    let done = work.await;
    engine.docker()?.remove(&id).await?;
    done
}

/// Makes the lock's container, when nobody else has it, and gives its ID.
async fn take(engine: &Engine) -> Result<String> {
    let begun = Instant::now();
    let mut others: Option<(String, Instant)> = None;
    let mut strange = 0;
    loop {
        let probe = engine.docker()?.probe_image().await?;
        let error = match engine
            .docker()?
            .create(&plan::lock(&probe, &owner::mark(), token()))
            .await
        {
            Ok(id) => return Ok(id),
            Err(error) => error,
        };
        let is_taken = error.to_string().contains("already in use by");
        // another devnet took the last pod down, and the image with it
        let is_without_image = error.kind() == Kind::NotFound;
        if !is_taken && !is_without_image || begun.elapsed() > LOCK_TIMEOUT {
            return Err(error.hint(format!(
                "what holds the lab's lock is the container `{LOCK_NAME}`"
            )));
        }
        let Some(held) = engine.runtime.container(LOCK_NAME).await?.map(Found::from) else {
            continue;
        };
        if held.label(label::LOCK_OWNER) == Some(token()) {
            return Ok(held.id);
        }
        if held.label(label::ROLE).is_none() {
            // or its image went between two questions
            strange += 1;
            if strange == 3 {
                return Err(Error::failed(format!(
                    "a container `{LOCK_NAME}` is there that is not devnet's"
                ))
                .hint("rename or remove it"));
            }
        } else if is_stale(&held, &mut others) {
            engine.docker()?.remove(&held.id).await?;
            continue;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// True where the devnet that holds the lock is dead; `others` is the holder that was seen last,
/// and since when.
fn is_stale(held: &Found, others: &mut Option<(String, Instant)>) -> bool {
    let mark = held.label(label::OWNER).unwrap_or_default();
    if let Some(gone) = owner::is_gone(mark) {
        return gone;
    }
    match others {
        Some((known, since)) if *known == held.id => since.elapsed() > DEAD_AFTER,
        _ => {
            *others = Some((held.id.clone(), Instant::now()));
            false
        }
    }
}
