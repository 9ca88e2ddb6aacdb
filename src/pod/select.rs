//! The POD argument that a person typed, and the one pod that it means.

use super::{Pod, short};
use crate::error::{Error, Result};
use crate::wording::counted;

/// The quality of the match between an argument and a pod; better is smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Exact,
    Prefix,
    Substring,
}

/// An ID shorter than this fits too much to mean one.
const SHORTEST_ID: usize = 4;
/// The number of pods that an error names.
const SHOWN: usize = 12;

/// The pod that `wanted` means: `name`, `namespace/name`, `pod/name`, a UID, a container's or
/// sandbox's ID; exact beats prefix beats substring.
///
/// # Errors
/// Usage (exit 2) when several fit equally well, not found (exit 4) when none does.
pub(crate) fn select<'a>(pods: &'a [Pod], wanted: &str) -> Result<&'a Pod> {
    let (namespace, name) = match wanted.split_once('/') {
        None => (None, wanted),
        Some(("pod" | "pods" | "po", name)) => (None, name),
        Some((namespace, name)) => {
            if is_other_kind(namespace) && !pods.iter().any(|pod| pod.namespace == namespace) {
                return Err(Error::usage(format!("`{wanted}` is no pod"))
                    .hint("devnet knows pods only: `devnet pods` lists them"));
            }
            (Some(namespace), name)
        }
    };
    if name.is_empty() {
        return Err(Error::usage(format!("`{wanted}` names no pod")));
    }
    let fits: Vec<(Fit, &Pod)> = pods
        .iter()
        .filter(|pod| namespace.is_none_or(|namespace| pod.namespace == namespace))
        .filter_map(|pod| fit(pod, name).map(|fit| (fit, pod)))
        .collect();
    let Some(best) = fits.iter().map(|(fit, _)| *fit).min() else {
        return Err(none(pods, wanted, name));
    };
    let mut found: Vec<&Pod> = fits
        .into_iter()
        .filter(|(fit, _)| *fit == best)
        .map(|(_, pod)| pod)
        .collect();
    if found.len() > 1 {
        found = without_predecessors(&found);
    }
    match found.as_slice() {
        [one] => Ok(one),
        several => Err(ambiguous(wanted, several)),
    }
}

fn fit(pod: &Pod, wanted: &str) -> Option<Fit> {
    let ids = || pod.ids().chain([&pod.uid]);
    if pod.name == wanted || ids().any(|id| id == wanted) {
        Some(Fit::Exact)
    } else if pod.name.starts_with(wanted)
        || wanted.len() >= SHORTEST_ID && ids().any(|id| id.starts_with(wanted))
    {
        Some(Fit::Prefix)
    } else if pod.name.contains(wanted) {
        Some(Fit::Substring)
    } else {
        None
    }
}

/// Leaves out pods whose successor has the same name: a manifest that changed makes a new pod, and
/// the old one's remains stay for a minute.
fn without_predecessors<'a>(found: &[&'a Pod]) -> Vec<&'a Pod> {
    let alive = |pod: &Pod| {
        pod.sandbox
            .as_ref()
            .is_some_and(|sandbox| sandbox.state.is_up())
            || pod
                .containers
                .iter()
                .any(|container| container.state.is_up())
    };
    let same =
        |a: &Pod, b: &Pod| (&a.node, &a.namespace, &a.name) == (&b.node, &b.namespace, &b.name);
    found
        .iter()
        .filter(|pod| alive(pod) || !found.iter().any(|other| same(pod, other) && alive(other)))
        .copied()
        .collect()
}

fn ambiguous(wanted: &str, several: &[&Pod]) -> Error {
    let mut list: Vec<String> = several
        .iter()
        .take(SHOWN)
        .map(|pod| {
            format!(
                "{} (node {}, uid {})",
                title(pod),
                pod.node,
                short(&pod.uid)
            )
        })
        .collect();
    if several.len() > SHOWN {
        list.push(format!("and {} more", several.len() - SHOWN));
    }
    Error::usage(format!("`{wanted}` fits {}", counted(several.len(), "pod")))
        .caused_by(list.join("\n           "))
        .hint("say `NAMESPACE/NAME`, a UID or an ID")
}

fn none(pods: &[Pod], wanted: &str, name: &str) -> Error {
    let error = Error::not_found(format!("no pod `{wanted}`"));
    let mut near: Vec<(usize, String)> = pods
        .iter()
        .map(|pod| (distance(name, &pod.name), title(pod)))
        .filter(|(distance, _)| *distance <= name.chars().count().max(3) / 3 + 1)
        .collect();
    near.sort();
    near.dedup();
    if !near.is_empty() {
        let names: Vec<String> = near.into_iter().take(3).map(|(_, title)| title).collect();
        return error.hint(format!("is it `{}`?", names.join("`, `")));
    }
    if pods.is_empty() {
        error.hint("there are no pods here")
    } else {
        error.hint("`devnet pods` lists them")
    }
}

fn title(pod: &Pod) -> String {
    format!("{}/{}", pod.namespace, pod.name)
}

fn is_other_kind(word: &str) -> bool {
    matches!(
        word,
        "cj" | "cronjob"
            | "daemonset"
            | "deploy"
            | "deployment"
            | "ds"
            | "job"
            | "replicaset"
            | "rs"
            | "service"
            | "statefulset"
            | "sts"
            | "svc"
    )
}

/// The number of letters to add, drop, change or swap with their neighbour to make one word of the
/// other, where the tail of the longer one (a pod name's hash) costs nothing.
fn distance(wanted: &str, name: &str) -> usize {
    let wanted: Vec<char> = wanted.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let mut row: Vec<usize> = (0..=name.len()).collect();
    for (i, a) in wanted.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in name.iter().enumerate() {
            let change = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.into_iter().min().unwrap_or(usize::MAX)
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
