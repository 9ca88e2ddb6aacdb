//! The journal's place in every command that looks at pods: what was seen is written down, what
//! was seen before is known again.

use crate::commands::invocation::Context;
use crate::host::journal::Journal;
use crate::pod::{self, ContainerFacts, Origin, Pod, Runs};

/// The number of runs that are kept between two readings of the journal, which holds about a third
/// of them.
const MOST: usize = 10_000;

/// The runs of containers that earlier devnets wrote down.
pub(crate) fn load(context: &Context) -> Runs {
    let mut known = Runs::default();
    for run in journal(context).iter().flat_map(Journal::read) {
        known.learn(&run);
    }
    known.take_news();
    known
}

/// Writes down what is new about these pods.
pub(crate) fn save<'a>(
    context: &Context,
    known: &mut Runs,
    pods: &[Pod],
    facts: impl IntoIterator<Item = &'a ContainerFacts>,
) {
    // the journal has a limit, and who looks for days must have one
    if known.all().len() > MOST {
        *known = load(context);
    }
    observe(known, pods, facts);
    append(context, known);
}

/// Takes in what a look at pods saw.
pub(crate) fn observe<'a>(
    known: &mut Runs,
    pods: &[Pod],
    facts: impl IntoIterator<Item = &'a ContainerFacts>,
) {
    // a container that shares nothing has no history as a pod
    let pods = pods
        .iter()
        .filter(|pod| pod.origin != Origin::Docker || pod.containers.len() > 1);
    for run in pod::runs(pods, facts) {
        known.learn(&run);
    }
}

/// Adds to the journal what is new.
pub(crate) fn append(context: &Context, known: &mut Runs) {
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
