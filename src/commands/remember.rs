//! The journal's place in every command that looks at pods: what was seen is written down, what
//! was seen before is known again.

use crate::commands::Context;
use crate::host::journal::Journal;
use crate::pod::{self, ContainerFacts, Lives, Origin, Pod};

/// Writes down what is new about these pods, and gives all that is known.
pub(crate) fn remember(context: &Context, pods: &[Pod], facts: &[ContainerFacts]) -> Lives {
    let mut known = Lives::default();
    let journal = match context.settings.state_folder() {
        Ok(folder) => Some(Journal::new(&folder)),
        Err(error) => {
            context.ui.detail(&format!("no journal: {error}"));
            None
        }
    };
    for life in journal.iter().flat_map(Journal::read) {
        known.learn(&life);
    }
    // a container that shares nothing has no history as a pod
    let pods: Vec<Pod> = pods
        .iter()
        .filter(|pod| pod.origin != Origin::Docker || pod.containers.len() > 1)
        .cloned()
        .collect();
    let news: Vec<_> = pod::lives(&pods, facts)
        .into_iter()
        .filter(|life| known.learn(life))
        .collect();
    if let Some(Err(error)) = journal.map(|journal| journal.append(&news)) {
        context
            .ui
            .detail(&format!("the journal can't be written: {error}"));
    }
    known
}
