//! Tests of `standing.rs`: what of devnet's own is still in use.

use super::*;

const LIVES: &str = "lives";
const GONE: &str = "gone";
const ELSEWHERE: &str = "elsewhere";

fn gone(mark: &str) -> Option<bool> {
    match mark {
        LIVES => Some(false),
        GONE => Some(true),
        _ => None,
    }
}

fn witness() -> Witness<'static> {
    Witness {
        gone: &gone,
        now: Some(Timestamp::UNIX_EPOCH + SignedDuration::from_hours(2)),
    }
}

/// Made so many seconds ago.
fn found(id: &str, role: &str, owner: &str, state: &str, age: i64) -> Found {
    Found {
        id: id.into(),
        name: id.into(),
        labels: [
            (label::ROLE, role),
            (label::OWNER, owner),
            (label::POD_UID, "u"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        state: state.into(),
        joins: Vec::new(),
        made: witness()
            .now
            .map(|now| now - SignedDuration::from_secs(age)),
    }
}

fn thing_of(kind: ThingKind, owner: &str, uid: &str) -> Thing {
    Thing {
        kind,
        id: kind.word().into(),
        name: kind.word().into(),
        labels: [(label::OWNER, owner), (label::POD_UID, uid)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        made: None,
    }
}

fn taken(plan: &Plan) -> Vec<&str> {
    plan.take.iter().map(|thing| thing.id.as_str()).collect()
}

#[test]
fn a_helper_is_left_when_its_devnet_is_gone_and_where_none_can_tell_when_it_is_old_and_does_not_run()
 {
    let is_left = |role, owner, state, age| witness().is_left(&found("x", role, owner, state, age));
    for role in [label::LOOK, label::READER, label::LOCK] {
        for state in ["created", "running", "exited"] {
            assert!(is_left(role, GONE, state, 0), "{role} {state}");
            assert!(!is_left(role, LIVES, state, 7000), "{role} {state}");
        }
        assert!(!is_left(role, ELSEWHERE, "running", 7000), "{role}");
        assert!(is_left(role, ELSEWHERE, "created", 3601), "{role}");
        assert!(
            !is_left(role, ELSEWHERE, "created", 60),
            "it may be started now"
        );
    }
    assert!(is_left(label::LOOK, ELSEWHERE, "created", 61));
    assert!(
        !is_left(label::READER, ELSEWHERE, "created", 61),
        "it may read"
    );
    for role in [label::SANDBOX, label::CONTAINER, label::HELPER, ""] {
        assert!(
            !is_left(role, GONE, "exited", 7000),
            "{role} lives as long as its pod"
        );
    }
    let blind = Witness {
        gone: &gone,
        now: None,
    };
    assert!(!blind.is_left(&found("x", label::LOOK, ELSEWHERE, "created", 7000)));
}

#[test]
fn a_lab_whose_devnet_has_ended_goes_whole() {
    let plan = witness().plan(
        vec![
            found("sandbox", label::SANDBOX, GONE, "running", 5),
            found("app", label::CONTAINER, GONE, "running", 5),
            found("look", label::LOOK, GONE, "created", 5),
        ],
        vec![
            thing_of(ThingKind::Image, "", ""),
            thing_of(ThingKind::Network, GONE, ""),
            thing_of(ThingKind::Volume, GONE, "u"),
            thing_of(ThingKind::Transfer, GONE, ""),
        ],
    );
    assert!(plan.leave.is_empty(), "{plan:?}");
    let order = [
        "look",
        "app",
        "sandbox",
        "volume",
        "network",
        "image",
        "image name",
    ];
    assert_eq!(taken(&plan), order);
}

#[test]
fn what_a_living_devnet_uses_stays_with_all_that_it_needs() {
    let lab = || {
        vec![
            found("sandbox", label::SANDBOX, GONE, "running", 500),
            found("app", label::CONTAINER, GONE, "running", 500),
        ]
    };
    let things = || {
        vec![
            thing_of(ThingKind::Volume, GONE, "u"),
            thing_of(ThingKind::Volume, GONE, "another"),
            thing_of(ThingKind::Network, GONE, ""),
            thing_of(ThingKind::Image, "", ""),
        ]
    };
    // a shell beside one of its containers
    let mut shell = found("shell", label::LOOK, LIVES, "running", 500);
    shell.joins = vec!["app".into()];
    let plan = witness().plan([lab(), vec![shell]].concat(), things());
    assert_eq!(taken(&plan), ["volume"], "{plan:?}");
    // a `lab up` or a `lab kill` that is not through
    let made = found("new", label::CONTAINER, LIVES, "created", 1);
    let plan = witness().plan([lab(), vec![made]].concat(), things());
    assert_eq!(taken(&plan), ["volume"], "{plan:?}");
    // of a devnet that can't be seen, as long as it may be at work
    let made = found("new", label::CONTAINER, ELSEWHERE, "created", 59);
    let plan = witness().plan([lab(), vec![made]].concat(), things());
    assert_eq!(taken(&plan), ["volume"], "{plan:?}");
    // a watch has no part in the pods; only the image may be what it was made from
    let watch = found("watch", label::LOOK, LIVES, "running", 500);
    let plan = witness().plan([lab(), vec![watch]].concat(), things());
    assert_eq!(
        taken(&plan),
        ["app", "sandbox", "volume", "volume", "network"]
    );
}

#[test]
fn what_a_living_devnet_has_just_made_for_a_pod_to_come_stays() {
    for kind in [
        ThingKind::Volume,
        ThingKind::Network,
        ThingKind::Image,
        ThingKind::Transfer,
    ] {
        let plan = witness().plan(vec![], vec![thing_of(kind, LIVES, "")]);
        assert!(plan.take.is_empty(), "{plan:?}");
        let plan = witness().plan(vec![], vec![thing_of(kind, ELSEWHERE, "")]);
        assert_eq!(plan.take.len(), 1, "{plan:?}");
    }
}

#[test]
fn a_transfer_of_a_devnet_that_can_not_be_seen_goes_when_it_is_old() {
    let is_taken = |owner: &str, made: Option<i64>, witness: &Witness<'_>| {
        let mut thing = thing_of(ThingKind::Transfer, owner, "");
        thing.made = made.map(|second| Timestamp::from_second(second).unwrap());
        !witness.plan(vec![], vec![thing]).take.is_empty()
    };
    let now = 7200;
    assert!(!is_taken(ELSEWHERE, Some(now - 3600), &witness()));
    assert!(is_taken(ELSEWHERE, Some(now - 3601), &witness()));
    assert!(is_taken(GONE, Some(now), &witness()));
    assert!(!is_taken(LIVES, Some(0), &witness()));
    // one whose clock goes before the engine's, or far beside it
    assert!(!is_taken(ELSEWHERE, Some(now + 60), &witness()));
    assert!(is_taken(ELSEWHERE, Some(now + 90_000), &witness()));
    // nobody knows what time it is
    let blind = Witness {
        gone: &gone,
        now: None,
    };
    assert!(!is_taken(ELSEWHERE, Some(0), &blind));
    assert!(is_taken(ELSEWHERE, None, &blind), "of an older devnet");
}
