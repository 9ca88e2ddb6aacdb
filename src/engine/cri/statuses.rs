//! Details of a node's containers, kept as long as the list shows them in the state in
//! which they were asked for.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::error::Result;

/// The number of questions that are on their way at once over the one connection.
const IN_FLIGHT: usize = 64;

/// The details that were told, by ID, with the state that the list had then.
pub(in crate::engine) type Statuses<S> = BTreeMap<String, (i32, S)>;

/// The same for what is listed now (IDs and states): `ask` is asked where nothing holds any more. What
/// is gone meanwhile is left out.
///
/// # Errors
/// When the runtime does not answer.
pub(in crate::engine) async fn renewed<S, A, F>(
    mut known: Statuses<S>,
    listed: impl Iterator<Item = (String, i32)>,
    ask: A,
) -> Result<Statuses<S>>
where
    A: Fn(String) -> F,
    F: Future<Output = Result<Option<S>>>,
{
    let mut statuses = Statuses::new();
    let mut asked = Vec::new();
    for (id, state) in listed {
        if let Some(kept) = known.remove(&id).filter(|(then, _)| *then == state) {
            statuses.insert(id, kept);
        } else {
            let answer = ask(id.clone());
            asked.push(async move { answer.await.map(|told| (id, state, told)) });
        }
    }
    let mut answers = stream::iter(asked).buffered(IN_FLIGHT);
    while let Some((id, state, status)) = answers.try_next().await? {
        statuses.extend(status.map(|status| (id, (state, status))));
    }
    Ok(statuses)
}
