//! `devnet pods` and `devnet inspect`: over a recorded node against what its kernel and kubelet
//! said at that moment, and over a live engine.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::Sandbox;
use crate::support::replay::{Replay, recorded};

/// Runs devnet against the recording; `arguments` follow `-H`.
fn replayed(arguments: &[&str]) -> (crate::support::Output, Vec<String>) {
    let replay = Replay::start();
    let mut all = vec!["-H", &replay.host];
    all.extend(arguments);
    let output = Sandbox::bare().devnet(&all);
    (output, replay.refused())
}

fn document(arguments: &[&str]) -> Value {
    let (output, _) = replayed(arguments);
    serde_json::from_str(&output.ok()).unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The number in `net:[4026532692]`.
#[track_caller]
fn inode(namespace: &Value) -> u64 {
    let text = text(namespace);
    text[text.find('[').unwrap() + 1..text.len() - 1]
        .parse()
        .unwrap()
}

#[test]
fn every_container_of_the_recorded_node_stands_in_its_pod() {
    let document = document(&["pods", "--no-probe", "-o", "json"]);
    assert_eq!(document["schema"], 1);
    let mut seen: BTreeMap<&str, (&Value, &Value)> = BTreeMap::new();
    for pod in list(&document["pods"]) {
        assert_eq!(pod["origin"], "kubernetes");
        let sandbox = &pod["sandbox"];
        seen.insert(text(&sandbox["id"]), (pod, sandbox));
        for list_name in ["containers", "containers_before"] {
            for container in list(&pod[list_name]) {
                seen.insert(text(&container["id"]), (pod, container));
            }
        }
    }
    let kernel = recorded("kernel.json");
    assert_eq!(seen.len(), list(&kernel).len());
    for truth in list(&kernel) {
        let (pod, found) = seen[text(&truth["id"])];
        let name = text(&truth["name"]);
        let fields: Vec<&str> = name.trim_start_matches('/').split('_').collect();
        assert_eq!(pod["name"], fields[2], "{name}");
        assert_eq!(pod["namespace"], fields[3], "{name}");
        assert_eq!(pod["uid"], fields[4], "{name}");
        assert_eq!(
            found["attempt"],
            fields[5].parse::<u64>().unwrap(),
            "{name}"
        );
        assert_eq!(found["state"], truth["state"], "{name}");
        assert_eq!(found["network_mode"], truth["networkMode"], "{name}");
        match truth["pid"].as_u64() {
            Some(pid) if pid > 0 => assert_eq!(found["pid"], pid, "{name}"),
            _ => assert_eq!(found["pid"], Value::Null, "{name}"),
        }
        // nobody looked into the kernel, so nothing is claimed about it
        assert_eq!(found["namespaces"], Value::Null, "{name}");
        if truth["type"] == "container" {
            assert_eq!(found["name"], fields[1], "{name}");
            assert_eq!(found["sandbox_id"], truth["sandbox"], "{name}");
            assert_eq!(found["image"], "busybox:1.35", "{name}");
            assert_eq!(found["shares"]["net"], Value::Null, "{name}");
            let ended = matches!(text(&truth["state"]), "exited");
            assert_eq!(
                found["exit_code"].is_null(),
                !ended && truth["exit"] == 0,
                "{name}"
            );
        }
    }
}

#[test]
fn the_recorded_pods_are_those_that_the_kubelet_knew() {
    let document = document(&["pods", "--no-probe", "-o", "json"]);
    let pods = list(&document["pods"]);
    let by_uid: BTreeMap<&str, &Value> = pods.iter().map(|pod| (text(&pod["uid"]), pod)).collect();
    let kubelet = recorded("kubelet_pods.json");
    for truth in list(&kubelet["items"]) {
        let uid = text(&truth["metadata"]["uid"]);
        let pod = by_uid[uid];
        let host = truth["spec"]["hostNetwork"].as_bool().unwrap_or(false);
        assert_eq!(pod["host_network"], host, "{uid}");
        let labels = &truth["metadata"]["labels"];
        if let Some(labels) = labels.as_object() {
            assert_eq!(pod["labels"].as_object(), Some(labels), "{uid}");
        }
        for (statuses, kinds) in [
            ("containerStatuses", &["app"][..]),
            ("initContainerStatuses", &["init?", "sidecar?"][..]),
        ] {
            for status in truth["status"][statuses].as_array().into_iter().flatten() {
                let name = text(&status["name"]);
                let Some(id) = status["containerID"]
                    .as_str()
                    .and_then(|id| id.strip_prefix("docker://"))
                else {
                    continue; // its image is missing: the engine has no container of it
                };
                let found = list(&pod["containers"])
                    .iter()
                    .find(|c| c["name"] == name)
                    .unwrap();
                assert_eq!(found["restarts"], status["restartCount"], "{uid} {name}");
                assert!(
                    kinds.contains(&text(&found["kind"])),
                    "{uid} {name} {}",
                    found["kind"]
                );
                // the kubelet's look is up to a second old: a container it names may have a successor
                let known = list(&pod["containers_before"]).iter().chain([found]);
                assert!(
                    known.into_iter().any(|c| c["id"] == id),
                    "{uid} {name} {id}"
                );
            }
        }
    }
    // one more: what is left of the pod that was called `two` before
    assert_eq!(by_uid.len(), list(&kubelet["items"]).len() + 1);
}

#[test]
fn the_recorded_node_has_the_findings_that_its_pods_were_made_to_have() {
    let document = document(&["pods", "--no-probe", "-o", "json"]);
    let found: Vec<(&str, &str)> = list(&document["pods"])
        .iter()
        .flat_map(|pod| {
            list(&pod["findings"])
                .iter()
                .map(|f| (text(&pod["name"]), text(&f["code"])))
        })
        .collect();
    let loops =
        ["badcmd", "crash", "oom", "portclash", "probefail"].map(|name| format!("{name}-node1"));
    let mut expected: Vec<(&str, &str)> = loops
        .iter()
        .map(|name| (name.as_str(), "crash-loop"))
        .collect();
    // it was started again and again until the runtime took it; the last failure is minutes old
    expected.push(("hostns-node1", "crash-loop"));
    assert_eq!(found, expected);
    assert_eq!(list(&document["findings"]).len(), 0);
    let states: BTreeMap<&str, &str> = list(&document["pods"])
        .iter()
        .map(|pod| (text(&pod["name"]), text(&pod["state"])))
        .collect();
    for (name, state) in [
        ("two", "running"),
        ("sharepid", "running"),
        ("hostnet", "running"),
        ("hostns", "running"),
        ("crash", "degraded"),
        ("oom", "degraded"),
        ("probefail", "degraded"),
        ("withinit", "running"),
        ("portclash", "degraded"),
        ("badcmd", "degraded"),
        ("oneshot", "running"),
        ("completed", "completed"),
        ("secure.v1", "running"),
    ] {
        assert_eq!(states[format!("{name}-node1").as_str()], state, "{name}");
    }
}

#[test]
fn only_what_a_look_needs_is_asked_for() {
    let (output, refused) = replayed(&["pods", "--no-probe"]);
    output.ok();
    // the address of a pod under CNI stands in its containers' hosts file, which was not recorded
    assert!(
        refused
            .iter()
            .all(|path| path.starts_with("GET ") && path.contains("/archive?path=%2Fetc%2Fhosts")),
        "{refused:?}"
    );
    let kernel = recorded("kernel.json");
    assert!(
        refused.len() < list(&kernel).len(),
        "one container for each pod is enough"
    );
}

#[test]
fn pods_and_inspect_of_the_recorded_node_look_like_this() {
    insta::assert_snapshot!("pods", replayed(&["pods", "--no-probe"]).0.ok());
    insta::assert_snapshot!(
        "pods_wide_team_a",
        replayed(&["pods", "--no-probe", "-n", "team-a", "-o", "wide"])
            .0
            .ok()
    );
    insta::assert_snapshot!(
        "inspect_two",
        replayed(&["inspect", "--no-probe", "two"]).0.ok()
    );
    insta::assert_snapshot!(
        "names",
        replayed(&["pods", "--no-probe", "-o", "name"]).0.ok()
    );
}

#[test]
fn a_pod_is_found_by_name_uid_and_id_and_nothing_else_is_shown() {
    for wanted in [
        "two",
        "default/two-node1",
        "pod/two",
        "bf4fc0424d02d34244c0b0b2c0d530fd",
        "3bbd8fa27dae",
    ] {
        let document = document(&["inspect", "--no-probe", wanted, "-o", "json"]);
        let pods = list(&document["pods"]);
        assert_eq!(pods.len(), 1, "{wanted}");
        assert_eq!(
            pods[0]["uid"], "bf4fc0424d02d34244c0b0b2c0d530fd",
            "{wanted}"
        );
    }
    let (output, _) = replayed(&["inspect", "--no-probe", "host"]);
    let said = output.fails(2);
    assert!(
        said.contains("hostnet-node1") && said.contains("hostport-node1"),
        "{said}"
    );
    let said = replayed(&["inspect", "--no-probe", "nobody-there"])
        .0
        .fails(4);
    assert!(said.contains("no pod `nobody-there`"), "{said}");
    let said = replayed(&["pods", "--no-probe", "-l", "app in web"])
        .0
        .fails(2);
    assert!(said.contains("label selector"), "{said}");
}

#[test]
fn labels_choose_pods() {
    let kubelet = recorded("kubelet_pods.json");
    let labelled = list(&kubelet["items"])
        .iter()
        .find_map(|pod| Some((pod, pod["metadata"]["labels"].as_object()?.iter().next()?)));
    let (pod, (name, value)) = labelled.expect("a recorded pod has a label");
    let document = document(&[
        "pods",
        "--no-probe",
        "-l",
        &format!("{name}={}", text(value)),
        "-o",
        "json",
    ]);
    let uids: Vec<&Value> = list(&document["pods"])
        .iter()
        .map(|pod| &pod["uid"])
        .collect();
    assert!(uids.contains(&&pod["metadata"]["uid"]), "{uids:?}");
    assert!(
        list(&document["pods"])
            .iter()
            .all(|pod| pod["labels"][name] == *value)
    );
}

#[test]
fn the_recorded_namespaces_are_numbers() {
    // guards the helper above: what the kernel said can be read
    for truth in list(&recorded("kernel.json")) {
        if truth["ns"].is_object() {
            assert!(inode(&truth["ns"]["net"]) > 4_026_531_000);
        }
    }
}

#[test]
fn a_node_that_lets_no_probe_run_is_shown_as_far_as_its_engine_knows_it() {
    let (output, refused) = replayed(&["pods", "-o", "json"]);
    assert_eq!(
        output.stderr.matches("note: ").count(),
        1,
        "{}",
        output.stderr
    );
    let document: Value = serde_json::from_str(&output.ok()).unwrap();
    assert!(
        refused
            .iter()
            .any(|path| path.starts_with("POST ") && path.contains("containers/create")),
        "{refused:?}"
    );
    assert_eq!(list(&document["pods"]).len(), 17);
    assert!(
        list(&document["pods"])
            .iter()
            .all(|pod| pod["sockets"].is_null())
    );
}
