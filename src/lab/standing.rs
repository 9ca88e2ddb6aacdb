//! The things of devnet's own in an engine that are still in use, and so those that a sweep may
//! take.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::label;
use super::member::Found;

/// The age from which a thing is stale whose devnet can't be seen from here, as it runs on another
/// computer: what a devnet makes for a command it starts, or joins to a pod, within seconds.
const STALE_AFTER: SignedDuration = SignedDuration::from_mins(1);
/// The longest that an image is taken to be on its way. The reader of its store never runs, and the
/// name under which it is sent says nothing of its sender: only after this are they stale.
const LONGEST_TRANSFER: SignedDuration = SignedDuration::from_hours(1);

/// Something of devnet's that is no container: a volume, a network, an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Thing {
    pub(crate) kind: ThingKind,
    /// The ID by which it is removed.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// The time when a transfer began, from its name.
    pub(crate) made: Option<Timestamp>,
}

/// In the order in which they can be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ThingKind {
    Container,
    Sandbox,
    Volume,
    Network,
    Image,
    /// A name under which an image was sent; the image may have others.
    Transfer,
}

impl ThingKind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Container | Self::Sandbox => "container",
            Self::Volume => "volume",
            Self::Network => "network",
            Self::Image => "image",
            Self::Transfer => "image name",
        }
    }
}

/// The things that a sweep of everything takes, in its order, and those that it leaves, with the
/// reason.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) take: Vec<Thing>,
    pub(crate) leave: Vec<(Thing, &'static str)>,
}

/// The facts from which a sweep judges: the devnets that are gone, and the time.
pub(crate) struct Witness<'w> {
    /// True where the devnet with this mark has ended; `None` where that can't be told from here.
    pub(crate) gone: &'w dyn Fn(&str) -> Option<bool>,
    /// The engine's clock, which dates what it makes.
    pub(crate) now: Option<Timestamp>,
}

impl Witness<'_> {
    fn gone(&self, labels: &BTreeMap<String, String>) -> Option<bool> {
        (self.gone)(labels.get(label::OWNER).map_or("", String::as_str))
    }

    fn is_older(&self, one: &Found, than: SignedDuration) -> bool {
        matches!((one.made, self.now), (Some(made), Some(now)) if now.duration_since(made) > than)
    }

    /// True where a container lives only as long as the devnet that made it, and that one is gone.
    pub(crate) fn is_left(&self, one: &Found) -> bool {
        if !is_passing(one) {
            return false;
        }
        self.gone(&one.labels).unwrap_or_else(|| {
            let stale_after = match one.label(label::ROLE) {
                Some(label::READER) => LONGEST_TRANSFER,
                _ => STALE_AFTER,
            };
            // what runs has a devnet that holds its input, elsewhere
            !one.is_alive() && self.is_older(one, stale_after)
        })
    }

    /// True where a transfer began so lately that it may go on; those of older devnets do not tell
    /// when.
    fn may_be_sent(&self, thing: &Thing) -> bool {
        let age = |now: Timestamp| Some(now.duration_since(thing.made?).abs());
        thing.made.is_some()
            && self
                .now
                .and_then(age)
                .is_none_or(|age| age <= LONGEST_TRANSFER)
    }

    /// True where a devnet that lives, or may live, is making this part of a pod.
    fn is_in_the_making(&self, one: &Found) -> bool {
        match self.gone(&one.labels) {
            Some(gone) => !gone,
            None => !self.is_older(one, STALE_AFTER),
        }
    }

    /// Sorts all that is devnet's in an engine into what can be taken and what stays.
    pub(crate) fn plan(&self, containers: Vec<Found>, things: Vec<Thing>) -> Plan {
        let mut plan = Plan::default();
        let (passing, lab): (Vec<Found>, Vec<Found>) = containers.into_iter().partition(is_passing);
        let (left, used): (Vec<Found>, Vec<Found>) =
            passing.into_iter().partition(|one| self.is_left(one));
        let joined: BTreeSet<&str> = used
            .iter()
            .flat_map(|one| &one.joins)
            .map(String::as_str)
            .collect();
        let mut looked_into = BTreeSet::new();
        let mut in_the_making = BTreeSet::new();
        for one in &lab {
            let uid = one.label(label::POD_UID).unwrap_or_default().to_owned();
            if joined.contains(one.id.as_str()) {
                looked_into.insert(uid);
            } else if self.is_in_the_making(one) {
                in_the_making.insert(uid);
            }
        }
        let why_not = |labels: &BTreeMap<String, String>| {
            let uid = labels.get(label::POD_UID)?;
            if looked_into.contains(uid) {
                Some("another devnet looks into its pod")
            } else if in_the_making.contains(uid) {
                Some("another devnet is at work on its pod")
            } else {
                None
            }
        };
        for one in left {
            plan.take.push(thing(one));
        }
        for one in used {
            plan.leave.push((thing(one), "another devnet uses it"));
        }
        for one in lab {
            match why_not(&one.labels) {
                Some(why) => plan.leave.push((thing(one), why)),
                None => plan.take.push(thing(one)),
            }
        }
        let pods_stay = plan.leave.iter().any(|(thing, _)| {
            let role = thing.labels.get(label::ROLE).map(String::as_str);
            matches!(role, Some(label::SANDBOX | label::CONTAINER))
        });
        let anything_stays = !plan.leave.is_empty();
        for thing in things {
            let gone = self.gone(&thing.labels);
            let why = match thing.kind {
                _ if gone == Some(false) => Some("another devnet uses it"),
                ThingKind::Transfer if gone.is_none() && self.may_be_sent(&thing) => {
                    Some("a devnet elsewhere may be sending it")
                }
                ThingKind::Volume => why_not(&thing.labels),
                ThingKind::Network if pods_stay => Some("a pod that stays is in it"),
                ThingKind::Image if anything_stays && gone != Some(true) => {
                    Some("what stays was made from it")
                }
                _ => None,
            };
            match why {
                Some(why) => plan.leave.push((thing, why)),
                None => plan.take.push(thing),
            }
        }
        plan.take.sort_by_key(|thing| thing.kind);
        plan
    }
}

/// True where a container lives only as long as its devnet, unlike a lab's.
pub(crate) fn is_passing(one: &Found) -> bool {
    matches!(
        one.label(label::ROLE),
        Some(label::LOOK | label::READER | label::LOCK)
    )
}

fn thing(one: Found) -> Thing {
    Thing {
        kind: if one.label(label::ROLE) == Some(label::SANDBOX) {
            ThingKind::Sandbox
        } else {
            ThingKind::Container
        },
        id: one.id,
        name: one.name,
        labels: one.labels,
        made: None,
    }
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
