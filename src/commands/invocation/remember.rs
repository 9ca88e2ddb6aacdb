//! The journal's place in every command that looks at pods: what was seen is written down, what
//! was seen before is known again.

use crate::commands::invocation::Context;
use crate::host::journal::Journal;
use crate::pod::{self, ContainerFacts, Lives, Origin, Pod};

/// What earlier runs wrote down.
pub(crate) fn recall(context: &Context) -> Lives {
    let mut known = Lives::default();
    for life in journal(context).iter().flat_map(Journal::read) {
        known.learn(&life);
    }
    known.take_news();
    known
}

/// Writes down what is new about these pods, and gives all that is known.
pub(crate) fn remember(context: &Context, pods: &[Pod], facts: &[ContainerFacts]) -> Lives {
    let mut known = recall(context);
    see(&mut known, pods, facts);
    write_down(context, &mut known);
    known
}

/// Takes in what a look at pods saw.
pub(crate) fn see(known: &mut Lives, pods: &[Pod], facts: &[ContainerFacts]) {
    // a container that shares nothing has no history as a pod
    let pods: Vec<Pod> = pods
        .iter()
        .filter(|pod| pod.origin != Origin::Docker || pod.containers.len() > 1)
        .cloned()
        .collect();
    for life in pod::lives(&pods, facts) {
        known.learn(&life);
    }
}

/// Adds to the journal what is new.
pub(crate) fn write_down(context: &Context, known: &mut Lives) {
    let news = known.take_news();
    if let Some(Err(error)) = journal(context).map(|journal| journal.append(&news)) {
        context
            .ui
            .detail(&format!("the journal can't be written: {error}"));
    }
}

fn journal(context: &Context) -> Option<Journal> {
    match context.settings.state_folder() {
        Ok(folder) => Some(Journal::new(&folder)),
        Err(error) => {
            context.ui.detail(&format!("no journal: {error}"));
            None
        }
    }
}
