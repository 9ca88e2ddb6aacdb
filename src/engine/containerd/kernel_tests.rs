//! The document of a recorded node (`tests/data/containerd-node`), field by field against its kernel's
//! own words: before and after each recorded event.

use serde_json::json;

use super::*;
use crate::engine::containerd::marks::MARKS;
use crate::netns;
use crate::pod::{Node, PlainContainers, Snapshot, pods};
use crate::probe::look;

/// The number of a namespace in the kernel's word for it, as `net:[4026531840]`.
fn inode(word: &Value) -> u64 {
    let digits = word.as_str().unwrap().split(['[', ']']).nth(1);
    digits.unwrap().parse().unwrap()
}

fn namespaces(words: &Value) -> look::Namespaces {
    let of = |kind: &str| Some(inode(&words[kind]));
    look::Namespaces {
        net: of("net"),
        ipc: of("ipc"),
        uts: of("uts"),
        pid: of("pid"),
        mnt: of("mnt"),
        user: of("user"),
    }
}

/// A listener as `ss` writes it: its address, its port, and the processes that hold it.
struct Listener {
    address: String,
    port: u16,
    pids: Vec<u32>,
}

impl Listener {
    fn read(line: &Value) -> Self {
        let words: Vec<&str> = line.as_str().unwrap().split_whitespace().collect();
        assert_eq!(words[..2], ["tcp", "LISTEN"]);
        let (address, port) = words[4].rsplit_once(':').unwrap();
        let pids = words[6].split("pid=").skip(1);
        Self {
            // of both families
            address: address.replace('*', "::"),
            port: port.parse().unwrap(),
            pids: pids
                .map(|rest| rest.split(',').next().unwrap().parse().unwrap())
                .collect(),
        }
    }
}

/// The recorded kernel as a probe tells of it.
fn view(kernel: &Value) -> look::Look {
    let mut processes = vec![look::Process {
        pid: 1,
        parent: 0,
        state: "S".into(),
        command: "init".into(),
        containers: Vec::new(),
        namespaces: namespaces(&kernel["node"]),
        sockets: Some(Vec::new()),
    }];
    for task in kernel["tasks"].as_array().unwrap() {
        processes.push(look::Process {
            pid: number(&task["pid"]),
            parent: 1,
            state: "S".into(),
            command: text(&task["cmd"]),
            containers: vec![text(&task["id"])],
            namespaces: namespaces(&task["ns"]),
            sockets: Some(Vec::new()),
        });
    }
    let mut networks = Vec::new();
    let mut sockets = 9000;
    for (word, links) in kernel["addresses"].as_object().unwrap() {
        let links = links.as_array().unwrap().iter();
        let all = links.flat_map(|link| link.as_str().unwrap().split_whitespace().skip(2));
        let addresses: Vec<String> = all
            .filter(|one| !one.starts_with("127.") && !one.starts_with("::1/"))
            .filter(|one| !one.starts_with("fe80:"))
            .map(|one| one.split('/').next().unwrap().to_owned())
            .collect();
        let mut network = look::Network {
            inode: inode(&json!(word)),
            primary: addresses.clone(),
            addresses,
            sockets: Vec::new(),
        };
        let listeners = kernel["listeners"][word].as_array();
        for listener in listeners.into_iter().flatten().map(Listener::read) {
            sockets += 1;
            network.sockets.push(look::Socket {
                proto: "tcp".into(),
                family: if listener.address == "::" { 6 } else { 4 },
                address: listener.address,
                port: listener.port,
                remote: None,
                state: "LISTEN".into(),
                queue: Some(0),
                inode: Some(sockets),
            });
            for process in &mut processes {
                if listener.pids.contains(&process.pid) {
                    process.sockets.as_mut().unwrap().push(sockets);
                }
            }
        }
        networks.push(network);
    }
    look::Look {
        schema: look::SCHEMA,
        up_since: None,
        processes,
        networks,
        pinned: Vec::new(),
    }
}

/// The document of a recorded look.
pub(super) fn document(look: &Look) -> Value {
    let view = view(&look.recorded["kernel"]);
    let mut pods = pods("node2", &look.facts, PlainContainers::Hide);
    let mut node = Node::default();
    let findings = netns::join(&mut pods, &mut node, &view, &look.facts, MARKS);
    assert!(findings.is_empty(), "{findings:?}");
    let snapshot = Snapshot {
        schema: 1,
        nodes: vec![node],
        pods,
        ..Snapshot::default()
    };
    serde_json::to_value(&snapshot).unwrap()
}

/// Every number of a document is the kernel's; gives how many containers were compared.
pub(super) fn is_the_kernels(look: &Look, document: &Value) -> usize {
    let recorded = &look.recorded["kernel"];
    let kernel = look.kernel();
    let of_task = |id: &Value| kernel.get(id.as_str().unwrap());
    let numbers = |words: &Value| {
        let all = ["net", "ipc", "uts", "pid", "mnt", "user"];
        let all = all.map(|kind| (kind.to_owned(), json!(inode(&words[kind]))));
        Value::Object(all.into_iter().collect())
    };
    assert_eq!(
        document["nodes"][0]["namespaces"],
        numbers(&recorded["node"])
    );
    let mut compared = 0;
    for pod in document["pods"].as_array().unwrap() {
        let name = &pod["name"];
        let sandbox = &pod["sandbox"];
        let of_sandbox = of_task(&sandbox["id"]);
        let pid = of_sandbox.map_or(Value::Null, |task| task["pid"].clone());
        assert_eq!(sandbox["pid"], pid, "{name}");
        let own = of_sandbox.map_or(Value::Null, |task| numbers(&task["ns"]));
        assert_eq!(sandbox["namespaces"], own, "{name}");
        assert_eq!(sandbox["netns"]["inode"], own["net"], "{name}");
        let attempts = ["containers", "containers_before"].map(|list| pod[list].as_array());
        let mut listeners = Vec::new();
        for container in attempts.into_iter().flatten().flatten() {
            compared += 1;
            let task = of_task(&container["id"]);
            let pid = task.map_or(Value::Null, |task| task["pid"].clone());
            assert_eq!(container["pid"], pid, "{container:#}");
            let numbers = task.map_or(Value::Null, |task| numbers(&task["ns"]));
            assert_eq!(container["namespaces"], numbers, "{container:#}");
            for kind in ["net", "ipc", "uts", "pid"] {
                let both = task.is_some() && of_sandbox.is_some();
                let same = both.then(|| numbers[kind] == own[kind]);
                assert_eq!(container["shares"][kind], json!(same), "{kind} {name}");
            }
            let Some(task) = task else { continue };
            let heard = recorded["listeners"][task["ns"]["net"].as_str().unwrap()].as_array();
            for one in heard.into_iter().flatten().map(Listener::read) {
                if one.pids.contains(&number(&task["pid"])) {
                    let owner = (container["name"].clone(), task["pid"].clone());
                    listeners.push((one.address, json!(one.port), owner));
                }
            }
        }
        let sockets = pod["sockets"].as_array().unwrap().iter();
        let mut seen: Vec<_> = sockets
            .map(|socket| {
                let owner = &socket["owners"][0];
                let owner = (owner["container"].clone(), owner["pid"].clone());
                (text(&socket["address"]), socket["port"].clone(), owner)
            })
            .collect();
        let order = |one: &(String, Value, (Value, Value))| one.2.1.as_u64();
        seen.sort_by_key(order);
        listeners.sort_by_key(order);
        assert_eq!(seen, listeners, "{name}");
        if let Some(task) = of_sandbox.filter(|_| pod["host_network"] == false) {
            let links = &recorded["addresses"][task["ns"]["net"].as_str().unwrap()];
            let ip = pod["ips"][0].as_str().unwrap();
            assert!(links.to_string().contains(&format!(" {ip}/")), "{links}");
            assert_eq!(pod["ips"].as_array().unwrap().len(), 1, "{name}");
        }
    }
    compared
}

fn of_pod(look: &str, pod: &str) -> Value {
    let look = Look::at(look);
    let document = document(&look);
    is_the_kernels(&look, &document);
    let mut pods = document["pods"].as_array().unwrap().iter();
    let name = format!("{pod}-node2");
    pods.find(|one| one["name"] == name).unwrap().clone()
}

#[test]
fn every_number_of_the_document_is_the_kernels_before_and_after_each_event() {
    for (name, pods, containers) in [
        ("before.json", 17, 30),
        ("app-killed.json", 1, 3),
        ("pause-killed.json", 1, 4),
    ] {
        let look = Look::at(name);
        let document = document(&look);
        assert_eq!(document["pods"].as_array().unwrap().len(), pods, "{name}");
        assert_eq!(is_the_kernels(&look, &document), containers, "{name}");
    }
}

#[test]
fn processes_that_a_pod_shares_are_shared_by_the_kernels_numbers_alone() {
    let shares = |pod: &str, kind: &str| {
        let pod = of_pod("before.json", pod);
        let containers = pod["containers"].as_array().unwrap().clone();
        let all = containers.iter().map(|one| one["shares"][kind].clone());
        all.collect::<Vec<_>>()
    };
    assert_eq!(shares("sharepid", "pid"), [json!(true), json!(true)]);
    assert_eq!(shares("two", "pid"), [json!(false), json!(false)]);
    assert_eq!(shares("two", "net"), [json!(true), json!(true)]);
    assert_eq!(shares("two", "uts"), [json!(true), json!(true)]);
}

#[test]
fn an_event_changes_what_the_kernel_changed_and_nothing_else() {
    let before = of_pod("before.json", "two");
    let killed = of_pod("app-killed.json", "two");
    let other = of_pod("pause-killed.json", "two");
    let container = |pod: &Value, name: &str| {
        let mut all = pod["containers"].as_array().unwrap().iter();
        all.find(|one| one["name"] == name).unwrap().clone()
    };
    // another process and file system, in the networks and the names that it had
    let (old, new) = (container(&before, "web"), container(&killed, "web"));
    for kind in ["net", "ipc", "uts", "user"] {
        assert_eq!(old["namespaces"][kind], new["namespaces"][kind], "{kind}");
    }
    for kind in ["pid", "mnt"] {
        assert_ne!(old["namespaces"][kind], new["namespaces"][kind], "{kind}");
    }
    assert_eq!(container(&before, "poller"), container(&killed, "poller"));
    assert_eq!(before["sandbox"], killed["sandbox"]);
    assert_eq!(before["ips"], killed["ips"]);
    let past = &killed["containers_before"][0];
    assert_eq!((&past["id"], &past["exit_code"]), (&old["id"], &json!(137)));
    // with its pause everything is another
    assert_ne!(before["ips"], other["ips"]);
    for kind in ["net", "ipc", "uts", "pid", "mnt"] {
        for name in ["web", "poller"] {
            let now = container(&other, name)["namespaces"][kind].clone();
            let then = container(&killed, name)["namespaces"][kind].clone();
            assert_ne!(now, then, "{kind} {name}");
        }
    }
    let past = &other["sandboxes_before"][0];
    assert_eq!(past["id"], before["sandbox"]["id"]);
    assert_eq!(past["ip"], before["ips"][0]);
}
