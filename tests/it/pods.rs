//! `devnet pods` and `devnet inspect`: over a recorded node against what its kernel and kubelet
//! said at that moment, and over a live engine.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::Sandbox;
use crate::support::recorded_probe::{self, inode};
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
    // all but the sandbox that is left of a pod which was deleted
    assert_eq!(seen.len() + 1, list(&kernel).len());
    for truth in list(&kernel) {
        if !seen.contains_key(text(&truth["id"])) {
            assert_eq!(truth["type"], "podsandbox");
            assert_eq!(truth["state"], "exited");
            continue;
        }
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
            ("containerStatuses", &["app", "app?"][..]),
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
    // what is left of the pod that was called `two` before is none
    assert_eq!(by_uid.len(), list(&kubelet["items"]).len());
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

/// The output of devnet when the probe prints the facts of the recorded kernel.
fn with_the_kernel(arguments: &[&str]) -> crate::support::Output {
    let replay = Replay::with_probe(recorded_probe::document());
    let output = Sandbox::bare().devnet(&[&["-H", &replay.host], arguments].concat());
    assert!(!output.stderr.contains("note:"), "{output}");
    output
}

#[test]
fn namespaces_and_shares_are_what_the_recorded_kernel_said() {
    let document: Value =
        serde_json::from_str(&with_the_kernel(&["pods", "-o", "json"]).ok()).unwrap();
    let kernel = recorded("kernel.json");
    let truth: BTreeMap<&str, &Value> = list(&kernel)
        .iter()
        .map(|one| (text(&one["id"]), one))
        .collect();
    let mut seen = 0;
    for pod in list(&document["pods"]) {
        let sandbox = &pod["sandbox"];
        let gone = list(&pod["containers_before"]).iter();
        for one in list(&pod["containers"]).iter().chain([sandbox]).chain(gone) {
            let truth = truth[text(&one["id"])];
            if !truth["ns"].is_object() {
                assert_eq!(one["namespaces"], Value::Null);
                continue;
            }
            seen += 1;
            for kind in ["net", "ipc", "uts", "pid", "mnt", "user"] {
                assert_eq!(
                    one["namespaces"][kind],
                    inode(&truth["ns"][kind]),
                    "{}",
                    one["name"]
                );
                if let Some(shared) = one["shares"][kind].as_bool() {
                    let same = one["namespaces"][kind] == sandbox["namespaces"][kind];
                    assert_eq!(shared, same, "{} {kind}", one["name"]);
                }
            }
            if one["kind"].is_string() && sandbox["pid"].is_u64() {
                assert_eq!(one["shares"]["net"], true, "{}", one["name"]);
            }
        }
        let shared = sandbox["namespaces"]["net"].as_u64();
        assert_eq!(sandbox["netns"]["inode"].as_u64(), shared);
    }
    let running = list(&kernel)
        .iter()
        .filter(|one| one["ns"].is_object())
        .count();
    assert_eq!(seen, running);
    // what the node's own pods show is what the node is said to be
    let node = &document["nodes"][0]["namespaces"];
    let hostnet = list(&kernel)
        .iter()
        .find(|one| one["networkMode"] == "host")
        .unwrap();
    assert_eq!(node["net"], inode(&hostnet["ns"]["net"]));
}

#[test]
fn addresses_and_sockets_are_what_the_recorded_networks_held() {
    let document: Value =
        serde_json::from_str(&with_the_kernel(&["pods", "-o", "json"]).ok()).unwrap();
    let (kernel, netns) = (recorded("kernel.json"), recorded("netns.json"));
    let container = |pid: u64| {
        let one = list(&kernel).iter().find(|one| one["pid"] == pid);
        one.map(|one| {
            text(&one["name"])
                .trim_start_matches('/')
                .split('_')
                .nth(1)
                .unwrap()
        })
    };
    let (mut listeners, mut waiting) = (0, 0);
    for pod in list(&document["pods"]) {
        let name = text(&pod["name"]);
        let Some(network) = pod["sandbox"]["netns"]["inode"].as_u64() else {
            // its sandbox has ended: nothing is open
            assert_eq!(pod["sockets"], serde_json::json!([]), "{name}");
            continue;
        };
        let truth = &netns[network.to_string()];
        let mut told = recorded_probe::sockets(truth);
        if pod["host_network"] == true {
            assert_eq!(pod["ips"], serde_json::json!(["192.0.2.2", "fd00::2"]));
            // of the node's sockets only those of the pod's processes are the pod's
            told.retain(|socket| socket.pids.iter().any(|pid| container(*pid).is_some()));
        } else {
            assert_eq!(
                pod["ips"],
                serde_json::json!(recorded_probe::addresses(truth)),
                "{name}"
            );
        }
        let found = list(&pod["sockets"]);
        assert_eq!(found.len(), told.len(), "{name}");
        for socket in told {
            let one = found
                .iter()
                .find(|one| {
                    one["port"] == socket.port
                        && one["address"] == socket.address.as_str()
                        && one["remote"].as_str() == socket.remote.as_deref()
                })
                .unwrap_or_else(|| panic!("{name}: {found:?}"));
            assert_eq!(one["state"], socket.state.as_str());
            assert_eq!(one["family"], socket.family);
            assert_eq!(one["proto"], socket.proto.as_str());
            let owners: Vec<(Option<&str>, u64)> = list(&one["owners"])
                .iter()
                .map(|owner| (owner["container"].as_str(), owner["pid"].as_u64().unwrap()))
                .collect();
            let truth: Vec<(Option<&str>, u64)> = socket
                .pids
                .iter()
                .map(|pid| (container(*pid), *pid))
                .collect();
            assert_eq!(owners, truth, "{name}");
            if socket.state == "LISTEN" {
                listeners += 1;
                assert!(!owners.is_empty() && one["inode"].is_u64());
            } else {
                waiting += 1;
                assert!(one["inode"].is_null());
            }
        }
    }
    assert_eq!((listeners, waiting), (6, 8));
}

#[test]
fn with_the_kernels_word_the_recorded_node_has_no_other_findings() {
    let codes = |document: &Value| -> Vec<(String, String)> {
        let pods = list(&document["pods"]).iter();
        pods.flat_map(|pod| {
            list(&pod["findings"]).iter().map(|finding| {
                (
                    text(&pod["uid"]).to_owned(),
                    text(&finding["code"]).to_owned(),
                )
            })
        })
        .collect()
    };
    let with: Value = serde_json::from_str(&with_the_kernel(&["pods", "-o", "json"]).ok()).unwrap();
    let without = document(&["pods", "--no-probe", "-o", "json"]);
    assert_eq!(codes(&with), codes(&without));
    assert_eq!(with["findings"], serde_json::json!([]));
}

#[test]
fn the_recorded_node_looks_like_this_with_its_kernels_word() {
    insta::assert_snapshot!("pods_kernel", with_the_kernel(&["pods"]).ok());
    insta::assert_snapshot!(
        "inspect_two_kernel",
        with_the_kernel(&["inspect", "two"]).ok()
    );
    insta::assert_snapshot!("ports_kernel", with_the_kernel(&["ports"]).ok());
    insta::assert_snapshot!(
        "ports_tsv_kernel",
        with_the_kernel(&["ports", "two", "-o", "tsv"]).ok()
    );
    insta::assert_snapshot!(
        "pods_tsv_kernel",
        with_the_kernel(&["pods", "two", "-o", "tsv"]).ok()
    );
    insta::assert_snapshot!("namespaces_kernel", with_the_kernel(&["pods", "--ns"]).ok());
}

#[test]
fn text_stays_within_the_terminal_in_ascii_where_it_must_and_without_colour() {
    for (columns, arguments) in [
        ("100", &["pods"][..]),
        ("100", &["inspect", "two"]),
        ("100", &["ports"]),
        ("100", &["pods", "--ns"]),
        ("72", &["inspect", "two"]),
    ] {
        let replay = Replay::with_probe(recorded_probe::document());
        let sandbox = Sandbox::bare()
            .env("COLUMNS", columns)
            .env("LANG", "C")
            .env("NO_COLOR", "1");
        let shown = sandbox
            .devnet(&[&["-H", &replay.host], arguments].concat())
            .ok();
        assert!(shown.is_ascii(), "{shown}");
        for line in shown.lines() {
            // a name that is longer than half the terminal has its own line, and is never cut
            let long =
                line.contains("a-very-long-pod-name") || line.contains("a-container-name-of-many");
            assert!(
                long || line.chars().count() <= columns.parse().unwrap(),
                "{line}"
            );
        }
    }
    let replay = Replay::with_probe(recorded_probe::document());
    let colored = Sandbox::bare()
        .devnet(&["-H", &replay.host, "--color", "always", "pods"])
        .ok();
    assert!(colored.contains("\x1b[3"));
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
    assert_eq!(list(&document["pods"]).len(), 16);
    assert!(
        list(&document["pods"])
            .iter()
            .all(|pod| pod["sockets"].is_null())
    );
}

#[test]
fn ports_of_the_node_that_are_passed_on_are_told_with_who_declares_them() {
    let document = document(&["inspect", "hostport-node1", "--no-probe", "-o", "json"]);
    let expected = serde_json::json!([
        {"proto": "udp", "host_ip": "0.0.0.0", "host_port": 15353, "port": 5353, "container": "web"},
        {"proto": "tcp", "host_ip": "127.0.0.1", "host_port": 18080, "port": 80, "container": "web"},
    ]);
    assert_eq!(document["pods"][0]["host_ports"], expected);
    let card = replayed(&["inspect", "hostport-node1", "--no-probe"])
        .0
        .ok();
    for said in ["127.0.0.1:18080", "80/tcp (web)", "0.0.0.0:15353"] {
        assert!(card.contains(said), "{card}");
    }
    let replay = Replay::with_probe(recorded_probe::document());
    let table = Sandbox::bare()
        .devnet(&["-H", &replay.host, "ports", "hostport-node1"])
        .ok();
    for said in ["18080/tcp", "127.0.0.1", "15353/udp", "80/tcp (web)"] {
        assert!(table.contains(said), "{table}");
    }
}
