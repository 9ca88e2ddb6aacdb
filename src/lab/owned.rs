//! The one door for "is this devnet's?". Containers and images inherit labels, so a label alone proves
//! nothing. A thing is devnet's when its name has devnet's form, a label of its own (not one that its
//! image brought) repeats that name, and it is shaped as devnet makes such a thing. Where the image is
//! gone and can't be asked, the name stands in the one more place where no image can write.

use std::collections::BTreeMap;

use super::label;
use crate::pod::{ContainerFacts, Join};

/// The lab's network, where every pod has its address.
pub(crate) const NETWORK_NAME: &str = "devnet-lab";
/// The container that is the lab's lock.
pub(crate) const LOCK_NAME: &str = "devnet-lab-lock";
/// The prefixes of the names of looks, of shells and of readers.
pub(crate) const LOOK_NAME: &str = "devnet-look";
pub(crate) const SHELL_NAME: &str = "devnet-shell";
pub(crate) const READER_NAME: &str = "devnet-read";
/// The repository of the program's image.
pub(crate) const PROBE_REPOSITORY: &str = "devnet-probe";

/// The beginning of the names of devnet's labels.
const OURS: &str = "dev.devnet.";

type Labels = BTreeMap<String, String>;

/// The first of the UID's characters: enough to tell pods apart in a name that people read.
fn short(uid: &str) -> &str {
    uid.get(..8).unwrap_or(uid)
}

/// Without the pod's UID: an engine has each name once, so of two devnets that bring up one pod at
/// the same time the second is refused.
pub(crate) fn sandbox_name(pod: &str, namespace: &str, attempt: u32) -> String {
    format!("devnet_POD_{pod}_{namespace}_{attempt}")
}

pub(crate) fn container_name(
    container: &str,
    pod: &str,
    namespace: &str,
    uid: &str,
    attempt: u32,
) -> String {
    let uid = short(uid);
    format!("devnet_{container}_{pod}_{namespace}_{uid}_{attempt}")
}

pub(crate) fn filler_name(uid: &str) -> String {
    format!("devnet_filler_{}", short(uid))
}

pub(crate) fn holder_name(uid: &str) -> String {
    format!("devnet_holder_{}", short(uid))
}

pub(crate) fn volume_name(uid: &str, volume: &str) -> String {
    format!("devnet_{}_{volume}", short(uid))
}

/// True where a container calls itself devnet's. Cheap, and no proof.
pub(crate) fn claims(name: &str, labels: &Labels) -> bool {
    labels.get(label::NAME).is_some_and(|own| own == name) && labels.contains_key(label::ROLE)
}

/// The file for a container's ID that devnet names when it makes one. An engine keeps the name, and
/// neither reads nor writes the file; no image brings it, and no copy of a container has it.
pub(crate) fn id_file(name: &str) -> String {
    format!("{}={name}", label::NAME)
}

/// The labels of a container that devnet made, without those that its image brought; `None` when it
/// is not devnet's. `image` are its image's labels. An image may be gone, as when its name moves on in
/// a containerd store: then that its maker wrote the name elsewhere too is the proof.
pub(crate) fn proved(facts: &ContainerFacts, image: Option<&Labels>) -> Option<Labels> {
    let labels = &facts.labels;
    let own_name = claims(&facts.name, labels)
        && match image {
            Some(image) => image.get(label::NAME) != Some(&facts.name),
            None => facts.id_file.as_ref() == Some(&id_file(&facts.name)),
        };
    if !own_name || !is_made(facts, labels.get(label::ROLE)?) {
        return None;
    }
    // it says itself who made it, so what its maker always writes is true; the rest may be the image's
    let written = written(labels.get(label::ROLE)?);
    let mut labels = labels.clone();
    labels.retain(|name, value| {
        let is_own = image.is_some_and(|image| image.get(name) != Some(value));
        !name.starts_with(OURS) || written.contains(&&**name) || is_own
    });
    Some(labels)
}

/// The labels that every maker writes, and those that the maker of this kind writes beside them.
fn written(role: &str) -> Vec<&'static str> {
    let more: &[&str] = match role {
        label::SANDBOX => &[
            label::POD_NAME,
            label::POD_NAMESPACE,
            label::POD_UID,
            label::ATTEMPT,
            label::POD_SPEC,
            label::POD_LABELS,
        ],
        label::CONTAINER => &[
            label::POD_NAME,
            label::POD_NAMESPACE,
            label::POD_UID,
            label::ATTEMPT,
            label::CONTAINER_NAME,
            label::SANDBOX_ID,
        ],
        label::HELPER => &[label::POD_UID],
        label::LOCK => &[label::LOCK_OWNER],
        _ => &[],
    };
    [label::ROLE, label::NAME, label::OWNER]
        .iter()
        .chain(more)
        .copied()
        .collect()
}

/// Labels as they may be shown and read where nothing was proved: none of devnet's.
pub(crate) fn without_ours(labels: &mut Labels) {
    labels.retain(|name, _| !name.starts_with(OURS));
}

/// True where a container's name and shape are those that devnet gives to this kind.
fn is_made(facts: &ContainerFacts, role: &str) -> bool {
    let label = |name: &str| facts.labels.get(name).map(String::as_str);
    let words: Vec<&str> = facts.command.iter().map(String::as_str).collect();
    let network = facts.network.as_deref();
    let joins = facts.joins.network.container();
    let pod = || {
        let attempt = label(label::ATTEMPT)?.parse().ok()?;
        let (name, namespace) = (label(label::POD_NAME)?, label(label::POD_NAMESPACE)?);
        Some((name, namespace, label(label::POD_UID)?, attempt))
    };
    match role {
        label::LOOK => match unconfined(&words).as_slice() {
            [program, "snap", ..] => {
                is_probe(program)
                    && network == Some("none")
                    && facts.joins.pid == Join::Host
                    && has_nonce(&facts.name, LOOK_NAME)
            }
            [program, "connect", ..] => {
                is_probe(program) && joins.is_some() && has_nonce(&facts.name, LOOK_NAME)
            }
            [program, "hold", ..] => {
                is_probe(program) && joins.is_some() && has_nonce(&facts.name, SHELL_NAME)
            }
            _ => false,
        },
        label::READER => {
            words.first() == Some(&"-")
                && network == Some("none")
                && has_nonce(&facts.name, READER_NAME)
        }
        label::SANDBOX => {
            let name =
                pod().map(|(name, namespace, _, attempt)| sandbox_name(name, namespace, attempt));
            matches!(words.as_slice(), [program, "pause"] if is_probe(program))
                && joins.is_none()
                && name.as_ref() == Some(&facts.name)
        }
        label::CONTAINER => {
            let name = pod().zip(label(label::CONTAINER_NAME));
            let name = name.map(|((name, namespace, uid, attempt), part)| {
                container_name(part, name, namespace, uid, attempt)
            });
            joins.map(String::as_str) == label(label::SANDBOX_ID)
                && name.as_ref() == Some(&facts.name)
        }
        label::HELPER => label(label::POD_UID).is_some_and(|uid| match words.as_slice() {
            [program] => {
                is_probe(program) && network == Some("none") && facts.name == filler_name(uid)
            }
            [program, "pause"] => {
                is_probe(program) && joins.is_some() && facts.name == holder_name(uid)
            }
            _ => false,
        }),
        label::LOCK => {
            matches!(words.as_slice(), [program, "pause"] if is_probe(program))
                && network == Some("none")
                && facts.name == LOCK_NAME
        }
        _ => false,
    }
}

/// A helper's words without those by which it is confined.
fn unconfined<'w>(words: &[&'w str]) -> Vec<&'w str> {
    let confines = |word: &&str| matches!(*word, "confine" | "confined" | "lent");
    let Some((program, rest)) = words.split_first() else {
        return Vec::new();
    };
    let rest = rest.iter().copied().skip_while(confines);
    std::iter::once(*program).chain(rest).collect()
}

fn is_probe(program: &str) -> bool {
    // in an image of its own, and in a volume beside a borrowed one
    matches!(program, "/devnet-probe" | "/devnet/devnet-probe")
}

/// True where a name is this prefix and a unique part: numbers that no image knows beforehand.
fn has_nonce(name: &str, begins: &str) -> bool {
    let Some(rest) = name
        .strip_prefix(begins)
        .and_then(|rest| rest.strip_prefix('-'))
    else {
        return false;
    };
    let parts: Vec<&str> = rest.split('-').collect();
    (2..=6).contains(&parts.len())
        && parts
            .iter()
            .all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_hexdigit()))
        // the time when it was made
        && parts.first().is_some_and(|time| time.len() >= 8)
}

/// True where a network is one that a lab made; networks inherit no labels.
pub(crate) fn is_network(name: &str, labels: &Labels) -> bool {
    let rest = name.strip_prefix(NETWORK_NAME);
    let has_form = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    has_form && claims(name, labels) && labels[label::ROLE] == label::NETWORK
}

/// True where a volume is one that a lab made; volumes inherit no labels.
pub(crate) fn is_volume(name: &str, labels: &Labels) -> bool {
    let begins = labels.get(label::POD_UID).map(|uid| volume_name(uid, ""));
    begins.is_some_and(|begins| name.starts_with(&begins))
        && claims(name, labels)
        && labels[label::ROLE] == label::VOLUME
}

/// True where an image is under this name one that devnet made. An image that is built on it, or
/// committed from a container of it, has its labels under another name.
pub(crate) fn is_image(name: &str, labels: &Labels) -> bool {
    let bare = bare(name);
    let Some((repository, tag)) = bare.rsplit_once(':') else {
        return false;
    };
    let has_form = match labels.get(label::ROLE).map(String::as_str) {
        Some(label::PROBE_IMAGE) => repository == PROBE_REPOSITORY,
        Some(label::LOOK_IMAGE) => has_nonce(repository, LOOK_NAME),
        _ => false,
    };
    let is_digest = tag.len() == 12 && tag.chars().all(|c| c.is_ascii_hexdigit());
    has_form && is_digest && claims(bare, labels)
}

/// A name without what podman puts before it.
pub(crate) fn bare(name: &str) -> &str {
    name.strip_prefix("localhost/")
        .or_else(|| name.strip_prefix("docker.io/library/"))
        .unwrap_or(name)
}

#[cfg(test)]
#[path = "owned_tests.rs"]
mod tests;
