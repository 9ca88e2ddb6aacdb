//! The kinds of containers in a pod: an app, an init container, a sidecar, or an ephemeral one. No
//! label says it (only the pod's spec does). A proven kind is claimed; every guess carries a
//! question mark.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::state::timestamp;
use super::{ContainerFacts, Origin, State, applied};

/// The kubelet starts the app containers of a pod in one go, one within this time of the other,
/// unless it pulls an image; init containers it starts one after the other's end (or, of a sidecar,
/// its start), which it notices by a relist every second.
const IN_ONE_GO: SignedDuration = SignedDuration::from_millis(150);
/// A container that comes this long after all others were there was hardly one of those that its
/// pod began with: an image that is pulled meanwhile takes less.
const LATE: SignedDuration = SignedDuration::from_secs(60);

/// True where it is, or is guessed to be, an init container that ends before its pod's others
/// begin.
pub(crate) fn is_init(kind: &str) -> bool {
    kind.trim_end_matches('?') == "init"
}

/// True where it is, or is guessed to be, one that was added to a pod to look at it.
pub(super) fn is_ephemeral(kind: &str) -> bool {
    kind.trim_end_matches('?') == "ephemeral"
}

/// A container as it is now, with the known runs of it in its pod's present sandbox.
pub(super) struct Seen<'a> {
    pub(super) name: &'a str,
    pub(super) facts: &'a ContainerFacts,
    pub(super) attempt: Option<u32>,
    /// Its earlier runs that are still there, in that sandbox, oldest first.
    pub(super) before: Vec<(&'a ContainerFacts, Option<u32>)>,
    /// True where it runs (or ran) in that sandbox at all.
    pub(super) in_sandbox: bool,
}

impl Seen<'_> {
    /// The first of its runs in the sandbox; none where earlier ones may have been collected.
    fn first(&self, sandbox_attempt: Option<u32>) -> Option<&ContainerFacts> {
        let (first, attempt) = self
            .before
            .first()
            .copied()
            .unwrap_or((self.facts, self.attempt));
        // each new sandbox makes all containers anew: more attempts than it has are restarts in it
        let is_first = attempt.unwrap_or(0) <= sandbox_attempt.unwrap_or(0);
        (self.in_sandbox && is_first).then_some(first)
    }
}

/// The kinds in a pod's specification, by a container's name.
pub(super) type Declared = BTreeMap<String, &'static str>;

/// The kinds that a pod's sandbox tells: a pod of the lab carries its specification, one of a cluster
/// what `kubectl apply` was given, if it was applied as a pod.
pub(super) fn declared(sandbox: Option<&ContainerFacts>, origin: Origin) -> Declared {
    const SPEC: &str = "dev.devnet.pod.spec";
    match origin {
        Origin::Docker => Declared::new(),
        Origin::Lab => sandbox
            .and_then(|facts| facts.labels.get(SPEC))
            .and_then(|json| serde_json::from_str::<LabSpec>(json).ok())
            .map(|pod| {
                let init = pod.init_containers.into_iter().map(|one| {
                    let kind = if one.sidecar { "sidecar" } else { "init" };
                    (one.name, kind)
                });
                let apps = pod.containers.into_iter().map(|one| (one.name, "app"));
                init.chain(apps).collect()
            })
            .unwrap_or_default(),
        Origin::Kubernetes => sandbox
            .and_then(|facts| facts.annotations.get(applied::ANNOTATION))
            .and_then(|json| serde_json::from_str::<Applied>(json).ok())
            .filter(|applied| applied.kind == "Pod")
            .map(|applied| {
                let init = applied.spec.init_containers.into_iter().map(|one| {
                    let stays = one.restart_policy.as_deref() == Some("Always");
                    (one.name, if stays { "sidecar" } else { "init" })
                });
                let apps = applied.spec.containers.into_iter();
                init.chain(apps.map(|one| (one.name, "app"))).collect()
            })
            .unwrap_or_default(),
    }
}

/// The containers in the specification of a pod of the lab.
#[derive(serde::Deserialize)]
struct LabSpec {
    #[serde(default)]
    init_containers: Vec<LabContainer>,
    #[serde(default)]
    containers: Vec<LabContainer>,
}

#[derive(serde::Deserialize)]
struct LabContainer {
    name: String,
    #[serde(default)]
    sidecar: bool,
}

#[derive(serde::Deserialize)]
struct Applied {
    kind: String,
    spec: AppliedSpec,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct AppliedSpec {
    #[serde(default)]
    init_containers: Vec<AppliedContainer>,
    #[serde(default)]
    containers: Vec<AppliedContainer>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct AppliedContainer {
    name: String,
    restart_policy: Option<String>,
}

/// Each container's kind; the order of the answers is that of `all`.
pub(super) fn kinds(
    all: &[Seen<'_>],
    sandbox_attempt: Option<u32>,
    declared: &Declared,
) -> Vec<&'static str> {
    let mut kinds = guessed(all, sandbox_attempt);
    for (kind, one) in kinds.iter_mut().zip(all) {
        let target = one.facts.joins.pid.container();
        // the sandbox's processes are shared by a whole pod, a container's only with one that was
        // added to look at it
        if target.is_some_and(|target| all.iter().any(|other| other.facts.id == *target)) {
            *kind = "ephemeral";
        }
        if let Some(declared) = declared.get(one.name) {
            *kind = declared;
        }
    }
    kinds
}

fn guessed(all: &[Seen<'_>], sandbox_attempt: Option<u32>) -> Vec<&'static str> {
    let mut kinds = vec!["app?"; all.len()];
    // in the order in which the sandbox got them; of some that is not known any more
    let mut order: Vec<(usize, &ContainerFacts)> = all
        .iter()
        .enumerate()
        .filter_map(|(index, one)| Some((index, one.first(sandbox_attempt)?)))
        .collect();
    order.sort_by_key(|(_, first)| made(first));
    // who was started in one go is an app, and so is nothing that came before
    let first_app = order.windows(2).position(|pair| {
        matches!((began(pair[0].1), made(pair[1].1)), (Some(began), Some(made))
            if made >= began && made.duration_since(began) <= IN_ONE_GO)
    });
    for pair in order.windows(2).skip(first_app.unwrap_or(order.len())) {
        let close = matches!((began(pair[0].1), made(pair[1].1)), (Some(began), Some(made))
            if made.duration_since(began) <= IN_ONE_GO);
        if close {
            kinds[pair[0].0] = "app";
            kinds[pair[1].0] = "app";
        }
    }
    let all_known = order.len() == all.iter().filter(|one| one.in_sandbox).count();
    if all_known {
        beginners(all, &order, first_app.unwrap_or(order.len()), &mut kinds);
    }
    latecomer(all, &order, &mut kinds);
    kinds
}

/// Guesses init containers and sidecars: one that ended well before the next began looks like an
/// init container; one that runs since such a one ended, and was waited for, like a sidecar.
fn beginners(
    all: &[Seen<'_>],
    order: &[(usize, &ContainerFacts)],
    first_app: usize,
    kinds: &mut [&'static str],
) {
    let mut last_init = None;
    for (index, pair) in order.windows(2).enumerate().take(first_app) {
        let one = &all[pair[0].0];
        if !ended_well(one) || !waited(pair[0].1, pair[1].1) {
            break;
        }
        let over = timestamp(one.facts.finished_at.as_deref());
        if over.is_none_or(|over| made(pair[1].1).is_none_or(|made| made < over)) {
            break;
        }
        kinds[pair[0].0] = "init?";
        last_init = Some(index);
    }
    if let Some(last) = last_init
        && last + 1 < first_app
        && let (Some(sidecar), Some(next)) = (order.get(last + 1), order.get(last + 2))
        && all[sidecar.0].facts.state.is_up()
        && waited(sidecar.1, next.1)
    {
        kinds[sidecar.0] = "sidecar?";
    }
}

/// Guesses the container that came long after all others were there: it was added later.
fn latecomer(all: &[Seen<'_>], order: &[(usize, &ContainerFacts)], kinds: &mut [&'static str]) {
    for index in 1..order.len() {
        let (at, first) = order[index];
        let others_began = order[..index]
            .iter()
            .filter_map(|(_, one)| began(one))
            .max();
        let late = matches!((others_began, made(first)), (Some(began), Some(made))
            if made.duration_since(began) > LATE);
        // somebody else runs since then, so that it was not waited for
        let beside = order[..index]
            .iter()
            .any(|(other, one)| all[*other].facts.state.is_up() && all[*other].facts.id == one.id);
        let once = all[at].before.is_empty() && all[at].attempt == Some(0);
        if late && beside && once && kinds[at] == "app?" {
            kinds[at] = "ephemeral?";
        }
    }
}

fn ended_well(one: &Seen<'_>) -> bool {
    // one that ended well and was started again is restarted whenever it ends
    let again = one
        .before
        .iter()
        .any(|(before, _)| before.exit_code == Some(0));
    one.facts.state == State::Exited && one.facts.exit_code == Some(0) && !again
}

/// True where more time went by between two starts than the kubelet needs for it.
fn waited(one: &ContainerFacts, next: &ContainerFacts) -> bool {
    matches!((began(one), made(next)), (Some(began), Some(made))
        if made.duration_since(began) > IN_ONE_GO)
}

fn made(facts: &ContainerFacts) -> Option<Timestamp> {
    timestamp(facts.created_at.as_deref())
}

fn began(facts: &ContainerFacts) -> Option<Timestamp> {
    timestamp(facts.started_at.as_deref())
}

#[cfg(test)]
#[path = "kind_tests.rs"]
mod tests;
