//! One devnet at a time while the lab's network comes or goes: an engine lets two networks have
//! one name. The lock is a volume, since an engine makes each volume once and says whose it is.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::stage::new_uid;
use crate::engine::Engine;
use crate::error::Result;
use crate::lab::label;

const NAME: &str = "devnet-lab-lock";
/// What is done under the lock takes a second; who has it longer is dead.
const DEAD_AFTER: Duration = Duration::from_secs(15);

/// This process, told from every other. One that was interrupted under the lock takes it again.
fn token() -> &'static str {
    static TOKEN: OnceLock<String> = OnceLock::new();
    TOKEN.get_or_init(new_uid)
}

/// Does `work` while no other devnet does the like on this engine.
///
/// # Errors
/// What the work or the engine says.
pub(super) async fn hold<T>(engine: &Engine, work: impl Future<Output = Result<T>>) -> Result<T> {
    let labels = [(label::ROLE, label::LOCK), (label::LOCK_OWNER, token())];
    let mut others: Option<(String, Instant)> = None;
    loop {
        let owner = engine
            .claim_volume(NAME, &labels, label::LOCK_OWNER)
            .await?;
        if owner == token() {
            break;
        }
        match &others {
            Some((known, since)) if *known == owner => {
                if since.elapsed() > DEAD_AFTER {
                    engine.remove_volume(NAME).await?;
                }
            }
            _ => others = Some((owner, Instant::now())),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let done = work.await;
    engine.remove_volume(NAME).await?;
    done
}
