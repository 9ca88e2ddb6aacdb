//! Tests of `select.rs`, which would be too long with them.
use super::*;
use crate::error::Kind;
use crate::pod::{ContainerFacts, PlainContainers};

fn some_pods() -> Vec<Pod> {
    let sandbox = |id: &str, namespace: &str, name: &str, uid: &str, state: &str| ContainerFacts {
        id: id.into(),
        state: state.into(),
        ..ContainerFacts::of_kubelet("POD", &format!("{namespace}/{name}/{uid}"), 0, "")
    };
    crate::pod::pods(
        "node1",
        &[
            sandbox("a1b707a85d1f00", "default", "web", "u1", "running"),
            sandbox("b2b707a85d1f00", "default", "web-2", "u2", "running"),
            sandbox("c3b707a85d1f00", "team", "web", "u3", "running"),
            sandbox("d4b707a85d1f00", "team", "my-api", "u4", "running"),
            sandbox("e5b707a85d1f00", "team", "again", "u5", "exited"),
            sandbox("f6b707a85d1f00", "team", "again", "u6", "running"),
        ],
        PlainContainers::Hide,
    )
}

#[track_caller]
fn uid(wanted: &str) -> String {
    select(&some_pods(), wanted).expect(wanted).uid.clone()
}

#[test]
fn exact_beats_prefix_beats_substring() {
    assert_eq!(uid("default/web"), "u1");
    assert_eq!(uid("web-"), "u2");
    assert_eq!(uid("api"), "u4");
    assert_eq!(uid("default/web-2"), "u2");
    assert_eq!(uid("pod/my"), "u4");
}

#[test]
fn ids_and_uids_are_names_too() {
    assert_eq!(uid("c3b707a85d1f"), "u3");
    assert_eq!(uid("u3"), "u3");
}

#[test]
fn what_remains_of_a_pod_of_the_same_name_is_not_meant() {
    assert_eq!(uid("again"), "u6");
    assert_eq!(uid("u5"), "u5");
}

#[test]
fn an_ambiguous_name_lists_what_it_fits() {
    let error = select(&some_pods(), "web").expect_err("two");
    assert_eq!(error.kind(), Kind::Usage);
    let list = error.causes().join("");
    assert!(
        list.contains("default/web ") && list.contains("team/web "),
        "{list}"
    );
    assert!(!list.contains("web-2"), "{list}");
}

#[test]
fn a_name_that_nothing_fits_is_answered_with_near_ones() {
    let error = select(&some_pods(), "my-apu").expect_err("none");
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.hints()[0].contains("team/my-api"));
    let error = select(&some_pods(), "something-else").expect_err("none");
    assert!(error.hints()[0].contains("devnet pods"));
}

#[test]
fn other_kinds_are_no_pods() {
    let error = select(&some_pods(), "deploy/web").expect_err("kind");
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.hints()[0].contains("pods only"));
}
