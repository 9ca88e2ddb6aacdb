//! The facts of a recorded node (`tests/data/crio-node`) against its kernel's own words, with and without
//! a process in each sandbox, and before and after what happened there.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::engine::cri::messages::{
    ContainerMetadata, ImageSpec, LinuxPodSandboxStatus, PodSandboxMetadata,
    PodSandboxNetworkStatus, PodSandboxStatus, SandboxNamespaces,
};
use crate::netns::{join, read_look};
use crate::pod::{Node, Part, PlainContainers, Pod, judge, pods};

#[path = "nonsense_tests.rs"]
mod nonsense;

/// The recorded views: of sandboxes without a process, and of sandboxes that all have one.
const SNAPS: [&str; 2] = ["snap/base.json", "snap/infra_kept.json"];

fn recorded(file: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/crio-node");
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

/// CRI's times, nanoseconds in lists and texts in statuses; those before 1970 are 0 on the wire.
fn nanoseconds(value: &Value) -> i64 {
    let text = value.as_str().unwrap();
    text.parse().unwrap_or_else(|_| {
        let time: jiff::Timestamp = text.parse().unwrap();
        i64::try_from(time.as_nanosecond()).unwrap_or(0).max(0)
    })
}

fn mode(value: &Value) -> NamespaceMode {
    match value.as_str().unwrap() {
        "POD" => NamespaceMode::Pod,
        "CONTAINER" => NamespaceMode::Container,
        "NODE" => NamespaceMode::Node,
        other => panic!("{other}"),
    }
}

fn options(value: &Value) -> NamespaceOption {
    NamespaceOption {
        network: mode(&value["network"]).into(),
        pid: mode(&value["pid"]).into(),
        ipc: mode(&value["ipc"]).into(),
    }
}

fn sandbox_state(value: &Value) -> i32 {
    match value.as_str().unwrap() {
        "SANDBOX_READY" => PodSandboxState::Ready.into(),
        "SANDBOX_NOTREADY" => PodSandboxState::NotReady.into(),
        other => panic!("{other}"),
    }
}

fn container_state(value: &Value) -> i32 {
    match value.as_str().unwrap() {
        "CONTAINER_RUNNING" => ContainerState::Running.into(),
        "CONTAINER_EXITED" => ContainerState::Exited.into(),
        other => panic!("{other}"),
    }
}

fn info(value: &Value) -> BTreeMap<String, String> {
    BTreeMap::from([("info".to_owned(), value.to_string())])
}

fn sandbox_answer(
    (id, state): (&Value, &Value),
    network: &Value,
    wants: &Value,
    verbose: &Value,
) -> PodSandboxStatusResponse {
    PodSandboxStatusResponse {
        status: Some(PodSandboxStatus {
            id: text(id),
            state: sandbox_state(state),
            network: Some(PodSandboxNetworkStatus {
                ip: text(network),
                additional_ips: Vec::new(),
            }),
            linux: Some(LinuxPodSandboxStatus {
                namespaces: Some(SandboxNamespaces {
                    options: Some(options(wants)),
                }),
            }),
        }),
        info: info(verbose),
    }
}

/// The answers behind one of the kernel's views, which has the parts of all of them.
fn answers(snap: &Value) -> Answers {
    changed_answers(snap, &mut |_honest| {}, &mut |_honest| {})
}

/// The same, whose statuses are changed before they are read.
fn changed_answers(
    snap: &Value,
    of_sandbox: &mut dyn FnMut(&mut PodSandboxStatusResponse),
    of_container: &mut dyn FnMut(&mut ContainerStatusResponse),
) -> Answers {
    let mut answers = Answers::default();
    for pod in list(&snap["pods"]) {
        let id = text(&pod["id"]);
        answers.sandboxes.push(PodSandbox {
            id: id.clone(),
            metadata: Some(PodSandboxMetadata {
                name: text(&pod["name"]),
                uid: text(&pod["name"]),
                namespace: "default".into(),
                attempt: number(&pod["attempt"]),
            }),
            state: sandbox_state(&pod["state"]),
            created_at: 1,
            ..PodSandbox::default()
        });
        let spec = json!({"linux": {"namespaces": pod["spec_namespaces"]}});
        let mut verbose = json!({"runtimeSpec": spec});
        if !pod["info_pid"].is_null() {
            verbose["pid"] = pod["info_pid"].clone();
        }
        let state = (&pod["id"], &pod["state"]);
        let mut told = sandbox_answer(state, &pod["ip"], &pod["netOptions"], &verbose);
        of_sandbox(&mut told);
        answers.of_sandboxes.insert(id, Arc::new(told.into()));
    }
    for one in list(&snap["containers"]) {
        let id = text(&one["id"]);
        let sandbox = answers.sandboxes.iter();
        let mut sandbox = sandbox.filter(|pod| pod.id.starts_with(one["pod"].as_str().unwrap()));
        answers.containers.push(Container {
            id: id.clone(),
            pod_sandbox_id: sandbox
                .next()
                .map_or_else(String::new, |pod| pod.id.clone()),
            metadata: Some(ContainerMetadata {
                name: text(&one["name"]),
                attempt: number(&one["attempt"]),
            }),
            image: Some(ImageSpec {
                image: text(&one["image"]["image"]),
                ..ImageSpec::default()
            }),
            image_ref: text(&one["imageRef"]),
            image_id: text(&one["image"]["image"]),
            state: container_state(&one["state"]),
            created_at: nanoseconds(&one["startedAt"]) - 1,
            ..Container::default()
        });
        let spec = json!({"linux": {"namespaces": one["spec_namespaces"]}});
        let verbose = json!({"pid": one["info_pid"], "runtimeSpec": spec});
        let mut told = ContainerStatusResponse {
            status: Some(ContainerStatus {
                id: id.clone(),
                state: container_state(&one["state"]),
                started_at: nanoseconds(&one["startedAt"]),
                finished_at: nanoseconds(&one["finishedAt"]),
                exit_code: i32::try_from(one["exitCode"].as_i64().unwrap()).unwrap(),
                reason: text(&one["reason"]),
                message: text(&one["message"]),
                log_path: text(&one["logPath"]),
                ..ContainerStatus::default()
            }),
            info: info(&verbose),
        };
        of_container(&mut told);
        answers.of_containers.insert(id, Arc::new(told.into()));
    }
    answers
}

fn inode(link: &Value) -> Option<u64> {
    let text = link.as_str()?;
    text.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}

/// The kernel's view as the probe writes it.
fn look(snap: &Value) -> crate::netns::Look {
    let held = list(&snap["pods"]).iter().chain(list(&snap["containers"]));
    let processes = held.filter_map(|one| {
        let (kernel, id) = (&one["kernel"], &one["id"]);
        inode(&kernel["ns"]["net"])?;
        let namespaces: serde_json::Map<String, Value> = ["net", "ipc", "uts", "pid", "mnt", "user"]
            .into_iter()
            .map(|kind| (kind.to_owned(), inode(&kernel["ns"][kind]).into()))
            .collect();
        Some(json!({"pid": kernel["pid"], "parent": 1, "state": "S", "command": "x", "containers": [id],
            "namespaces": namespaces, "sockets": []}))
    });
    let folders = snap["netns_dir"].as_object().unwrap();
    let pinned = folders.iter().flat_map(|(folder, files)| {
        let kind = folder.rsplit('/').next().unwrap().trim_end_matches("ns");
        let files = files.as_object().unwrap();
        files.iter().map(move |(name, inode)| {
            json!({"kind": kind, "inode": inode, "path": format!("/run/{kind}ns/{name}"), "age": 999})
        })
    });
    let text = json!({"schema": 1, "networks": [], "processes": processes.collect::<Vec<_>>(),
        "pinned": pinned.collect::<Vec<_>>()});
    read_look(&text.to_string()).unwrap()
}

/// The pods of a view, with what belongs to none.
fn seen(snap: &Value) -> (Vec<Pod>, Vec<crate::finding::Finding>) {
    let facts = facts(&answers(snap));
    let mut pods = pods("node", &facts, PlainContainers::Hide);
    let marks = crate::engine::crio::marks::MARKS;
    let leaks = join(&mut pods, &mut Node::default(), &look(snap), &facts, marks);
    judge(&mut pods, &facts, &[], |_node| None);
    (pods, leaks)
}

#[test]
fn a_process_is_told_where_the_kernel_has_it_and_nowhere_else() {
    for file in SNAPS {
        let snap = recorded(file);
        let facts = facts(&answers(&snap));
        let held = list(&snap["pods"]).iter().chain(list(&snap["containers"]));
        for one in held {
            let facts = facts
                .iter()
                .find(|facts| facts.id == text(&one["id"]))
                .unwrap();
            let in_kernel =
                inode(&one["kernel"]["ns"]["net"]).map(|_| number(&one["kernel"]["pid"]));
            assert_eq!(facts.pid, in_kernel, "{file}: {}", one["name"]);
        }
    }
}

#[test]
fn the_number_of_a_process_that_has_ended_is_not_believed() {
    let snap = recorded(SNAPS[0]);
    let ended = list(&snap["containers"]).iter();
    let mut ended = ended.filter(|one| one["state"] == "CONTAINER_EXITED");
    let one = ended.next().unwrap();
    assert!(
        one["info_pid"].as_u64().unwrap() > 0,
        "it stands there still"
    );
    let facts = facts(&answers(&snap));
    let facts = facts
        .iter()
        .find(|facts| facts.id == text(&one["id"]))
        .unwrap();
    assert_eq!((facts.pid, facts.state), (None, State::Exited));
}

#[test]
fn each_sandbox_is_held_by_its_process_or_by_files_and_shared_by_its_containers() {
    for file in SNAPS {
        let snap = recorded(file);
        let (pods, leaks) = seen(&snap);
        assert_eq!(pods.len(), list(&snap["pods"]).len(), "{file}");
        assert_eq!(leaks, [], "{file}: a file that holds a sandbox is no leak");
        for pod in &pods {
            let of = list(&snap["pods"])
                .iter()
                .find(|one| one["name"] == *pod.name)
                .unwrap();
            let mut namespaces = list(&of["spec_namespaces"]).iter();
            let pinned = namespaces.find(|one| one["type"] == "network").unwrap();
            let sandbox = pod.sandbox.as_ref().unwrap();
            let told = (sandbox.pid.map(u64::from), sandbox.netns.inode);
            let of_node = pod.name == "hostnet-crionode";
            // the node's own is told by its first process, which was not recorded
            let inode = match (of_node, sandbox.pid) {
                (true, None) => None,
                _ => pinned["inode"].as_u64().or(sandbox.netns.inode),
            };
            assert_eq!(
                told,
                (of["info_pid"].as_u64(), inode),
                "{file}: {}",
                pod.name
            );
            let path = (!of_node).then(|| text(&pinned["path"]));
            assert_eq!(sandbox.netns.path, path, "{file}: {}", pod.name);
            for container in pod.containers.iter().filter(|one| one.pid.is_some()) {
                let name = format!("{file}: {} {}", pod.name, container.name);
                if inode.is_some() {
                    let shares = &container.shares;
                    assert_eq!(shares.net, Some(true), "{name}");
                    // the node's own, as its network
                    let ipc = (pod.name != "hostipc-crionode").then_some(true);
                    assert_eq!(shares.ipc, ipc, "{name}");
                    assert_eq!(shares.uts, Some(true), "{name}");
                }
                let of_processes = match (pod.name.as_str(), sandbox.pid) {
                    (_, None) => None,
                    ("sharepid-crionode" | "hostpid-crionode", _) => Some(true),
                    _ => Some(false),
                };
                assert_eq!(container.shares.pid, of_processes, "{name}");
            }
            let findings: Vec<&str> = pod.findings.iter().map(|one| one.code).collect();
            assert!(
                !findings.contains(&"split-pod"),
                "{}: {findings:?}",
                pod.name
            );
        }
    }
}

#[test]
fn what_a_container_joins_is_its_sandbox_by_the_files_that_pin_it() {
    let snap = recorded(SNAPS[0]);
    let facts = facts(&answers(&snap));
    let of = |pod: &str, name: &str| {
        let mut all = list(&snap["containers"]).iter();
        let one = all
            .find(|one| one["podname"] == pod && one["name"] == name)
            .unwrap();
        let id = text(&one["id"]);
        let found = facts.iter().find(|facts| facts.id == id).unwrap();
        let sandbox = found.member().unwrap().sandbox_id.clone().unwrap();
        (found.joins.clone(), sandbox)
    };
    let (two, sandbox) = of("two-crionode", "server");
    let held = Join::Container(sandbox);
    assert_eq!([&two.network, &two.ipc, &two.uts], [&held; 3]);
    assert_eq!(two.pid, Join::Own);
    let (shared, sandbox) = of("sharepid-crionode", "a");
    assert_eq!(shared.pid, Join::Container(sandbox));
    let (of_node, sandbox) = of("hostnet-crionode", "web");
    assert_eq!(of_node.network, Join::Host);
    assert_eq!(of_node.uts, Join::Container(sandbox));
    let (of_node, _) = of("hostpid-crionode", "ps");
    assert_eq!(of_node.pid, Join::Host);
}

/// The answers as CRI gave them: lists, and the statuses that were recorded whole.
fn raw() -> Answers {
    let mut answers = Answers::default();
    for one in list(&recorded("crictl/pods.json")["items"]) {
        let metadata = &one["metadata"];
        answers.sandboxes.push(PodSandbox {
            id: text(&one["id"]),
            metadata: Some(PodSandboxMetadata {
                name: text(&metadata["name"]),
                uid: text(&metadata["uid"]),
                namespace: text(&metadata["namespace"]),
                attempt: number(&metadata["attempt"]),
            }),
            state: sandbox_state(&one["state"]),
            created_at: nanoseconds(&one["createdAt"]),
            labels: serde_json::from_value(one["labels"].clone()).unwrap(),
            annotations: serde_json::from_value(one["annotations"].clone()).unwrap(),
        });
    }
    for one in list(&recorded("crictl/ps_a.json")["containers"]) {
        answers.containers.push(Container {
            id: text(&one["id"]),
            pod_sandbox_id: text(&one["podSandboxId"]),
            metadata: Some(ContainerMetadata {
                name: text(&one["metadata"]["name"]),
                attempt: number(&one["metadata"]["attempt"]),
            }),
            image: Some(ImageSpec {
                image: text(&one["image"]["image"]),
                ..ImageSpec::default()
            }),
            image_ref: text(&one["imageRef"]),
            image_id: text(&one["imageId"]),
            state: container_state(&one["state"]),
            created_at: nanoseconds(&one["createdAt"]),
            labels: serde_json::from_value(one["labels"].clone()).unwrap(),
            annotations: serde_json::from_value(one["annotations"].clone()).unwrap(),
        });
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/crio-node/crictl");
    for file in std::fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let told = recorded(&format!("crictl/{name}"));
        let status = &told["status"];
        if name.starts_with("inspectp_") {
            let state = (&status["id"], &status["state"]);
            let wants = &status["linux"]["namespaces"]["options"];
            let told = sandbox_answer(state, &status["network"]["ip"], wants, &told["info"]);
            let told = Arc::new(told.into());
            answers.of_sandboxes.insert(text(&status["id"]), told);
        } else if name.starts_with("inspect_") {
            let answer = ContainerStatusResponse {
                status: Some(ContainerStatus {
                    id: text(&status["id"]),
                    state: container_state(&status["state"]),
                    started_at: nanoseconds(&status["startedAt"]),
                    finished_at: nanoseconds(&status["finishedAt"]),
                    exit_code: i32::try_from(status["exitCode"].as_i64().unwrap()).unwrap(),
                    image: Some(ImageSpec {
                        image: text(&status["image"]["image"]),
                        ..ImageSpec::default()
                    }),
                    reason: text(&status["reason"]),
                    message: text(&status["message"]),
                    log_path: text(&status["logPath"]),
                    ..ContainerStatus::default()
                }),
                info: info(&told["info"]),
            };
            let told = Arc::new(answer.into());
            answers.of_containers.insert(text(&status["id"]), told);
        }
    }
    answers
}

#[test]
fn names_images_addresses_and_ports_are_those_that_cri_o_notes() {
    let facts = facts(&raw());
    let one = |pod: &str, name: &str| {
        let mut all = facts.iter();
        all.find(|facts| {
            let member = facts.member().unwrap();
            let part = match &member.part {
                Part::Sandbox => "",
                Part::Container(name) => name,
            };
            member.pod.name == format!("{pod}-crionode") && part == name
        })
        .unwrap()
    };
    let server = one("two", "server");
    assert_eq!(server.image, "docker.io/library/busybox:1.35");
    let id = "sha256:9ed84fd554e128390e8778dd1ce201428992cb0e7d7ea7539a5add63c957b52e";
    assert_eq!(server.image_id.as_deref(), Some(id));
    assert_eq!(
        server.name,
        "k8s_server_two-crionode_default_0c79a91c832860e8dec5484601be816d_0"
    );
    assert_eq!(server.command[..2], ["sh", "-c"]);
    assert_eq!(server.pid, Some(4345));
    let log = "/var/log/pods/default_two-crionode_0c79a91c832860e8dec5484601be816d/server/0.log";
    assert_eq!(server.log, Some(LogStore::Files(log.into())));
    let sandbox = one("two", "");
    assert_eq!(sandbox.ips, ["10.85.0.7"]);
    assert_eq!(sandbox.image, "registry.k8s.io/pause:3.10");
    assert_eq!((sandbox.pid, sandbox.state), (None, State::Running));
    let port = &one("hostport", "").published[0];
    assert_eq!(
        (
            port.proto.as_str(),
            port.host_ip.as_str(),
            port.host_port,
            port.port
        ),
        ("tcp", "0.0.0.0", 18_081, 80)
    );
    let crashed = one("crash", "bad");
    assert_eq!(
        (crashed.exit_code, crashed.oom_killed),
        (Some(7), Some(false))
    );
    let killed = one("oom", "eat");
    assert_eq!(
        (killed.exit_code, killed.oom_killed),
        (Some(137), Some(true))
    );
    assert_eq!(one("hostnet", "").netns_path, None);
    assert_eq!(one("sharepid", "").pid, Some(2857));
}

/// The pod of a recorded view after its sandbox is no more ready, as both kinds were recorded: with its
/// process killed (`kill_pause_infra_kept.txt`) or stopped by CRI (`stopp_rmp.txt`).
fn after_its_sandbox(file: &str, pod: &str, are_up: bool) -> Vec<ContainerFacts> {
    let mut answers = answers(&recorded(file));
    let sandbox = answers
        .sandboxes
        .iter_mut()
        .find(|one| one.metadata.as_ref().unwrap().name == pod);
    let sandbox = sandbox.unwrap();
    sandbox.state = PodSandboxState::NotReady.into();
    let id = sandbox.id.clone();
    let detail = Arc::get_mut(answers.of_sandboxes.get_mut(&id).unwrap()).unwrap();
    detail.verbose.pid = detail.verbose.pid.map(|_| 0);
    for container in &mut answers.containers {
        if container.pod_sandbox_id == id && !are_up {
            container.state = ContainerState::Exited.into();
            let detail = answers.of_containers.get_mut(&container.id).unwrap();
            let status = &mut Arc::get_mut(detail).unwrap().status;
            (status.state, status.exit_code) = (container.state, 137);
        }
    }
    facts(&answers)
}

#[test]
fn a_sandbox_that_is_over_keeps_its_address_for_history_and_has_none_now() {
    for (file, pod, are_up) in [
        (SNAPS[0], "guaranteed-crionode", false),
        (SNAPS[1], "two-crionode", true),
        (SNAPS[1], "two-crionode", false),
    ] {
        let facts = after_its_sandbox(file, pod, are_up);
        let mut sandbox = facts.iter().filter(|facts| {
            let member = facts.member().unwrap();
            member.part == Part::Sandbox && member.pod.name == pod
        });
        let sandbox = sandbox.next().unwrap();
        assert_eq!((sandbox.state, sandbox.pid), (State::Exited, None));
        assert!(sandbox.ips.is_empty());
        assert!(sandbox.wanted_ips[0].starts_with("10.85.0."), "{file}");
        assert!(sandbox.netns_path.is_some());
        let mut pods = pods("node", &facts, PlainContainers::Hide);
        judge(&mut pods, &facts, &[], |_node| None);
        let pod = pods.iter().find(|one| one.name == pod).unwrap();
        let codes: Vec<&str> = pod.findings.iter().map(|one| one.code).collect();
        // for two seconds they go on without it
        let orphans = codes
            .iter()
            .filter(|code| **code == "orphan-container")
            .count();
        assert_eq!(
            orphans,
            if are_up { pod.containers.len() } else { 0 },
            "{codes:?}"
        );
    }
}

#[test]
fn what_is_told_of_nothing_leaves_the_rest_as_it_is() {
    let mut answers = answers(&recorded(SNAPS[0]));
    answers.of_sandboxes.clear();
    answers.of_containers.clear();
    let facts = facts(&answers);
    assert_eq!(
        facts.len(),
        answers.sandboxes.len() + answers.containers.len()
    );
    assert!(facts.iter().all(|facts| facts.pid.is_none()));
    let nonsense = PodSandboxStatusResponse {
        status: None,
        info: BTreeMap::from([("info".to_owned(), "[1, {".to_owned())]),
    };
    let detail = SandboxDetail::from(nonsense);
    assert_eq!((detail.addresses.len(), detail.verbose.pid), (0, None));
}
