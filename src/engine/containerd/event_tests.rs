//! The recorded node (`tests/data/containerd-node`) as its recorded events change it: they lead from each
//! look to the next, and a pod that is deleted goes with nothing else.

use std::collections::BTreeSet;

use serde_json::json;

use super::kernel::{document, is_the_kernels};
use super::*;
use crate::engine::containerd::events::{Told, read};
use crate::engine::containerd::messages::Envelope;
use crate::engine::grpc::Time;
use crate::pod::{self, Change, ContainerEvent, EventKind, PlainContainers, Runs};

/// An event of containerd's as it crosses the wire: of a process's end every field is sent.
#[derive(Clone, PartialEq, prost::Message)]
struct End {
    #[prost(string, tag = "1")]
    container_id: String,
    #[prost(string, tag = "2")]
    id: String,
    #[prost(uint32, tag = "3")]
    pid: u32,
    #[prost(uint32, tag = "4")]
    exit_status: u32,
    #[prost(message, optional, tag = "5")]
    exited_at: Option<Time>,
}

/// A recorded event.
struct Recorded {
    time: String,
    told: Option<Told>,
}

impl Recorded {
    fn of(line: &Value) -> Self {
        use prost::Message as _;
        let (time, topic, event) = (text(&line[0]), text(&line[1]), &line[2]);
        let at: jiff::Timestamp = time.parse().unwrap();
        let word = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let end = End {
            container_id: word("container_id"),
            id: word("id"),
            pid: event["pid"].as_u64().map_or(0, |_| number(&event["pid"])),
            exit_status: event["exit_status"]
                .as_u64()
                .map_or(0, |_| number(&event["exit_status"])),
            exited_at: event["exited_at"].is_object().then(|| Time {
                seconds: event["exited_at"]["seconds"].as_i64().unwrap(),
                nanoseconds: i32::try_from(event["exited_at"]["nanos"].as_i64().unwrap()).unwrap(),
            }),
        };
        let subject = if end.container_id.is_empty() {
            &end.id
        } else {
            &end.container_id
        };
        let others = End {
            container_id: subject.clone(),
            ..End::default()
        };
        let value = if topic == "/tasks/exit" {
            &end
        } else {
            &others
        };
        let envelope = Envelope {
            timestamp: Some(Time {
                seconds: at.as_second(),
                nanoseconds: at.subsec_nanosecond(),
            }),
            namespace: "k8s.io".into(),
            topic,
            event: Some(Any {
                type_url: String::new(),
                value: value.encode_to_vec(),
            }),
        };
        let told = read(&envelope);
        Self { time, told }
    }

    /// All of them until this time.
    fn until(time: &str) -> Vec<Told> {
        let all = recorded("events.json");
        let all = all.as_array().unwrap().iter().map(Self::of);
        let all = all.filter(|one| one.time.as_str() < time);
        all.filter_map(|one| one.told).collect()
    }
}

/// Takes a container's first process from a recorded kernel, with the sockets that it held.
fn end_process(kernel: &mut Value, container: &str) {
    let processes = kernel["tasks"].as_array_mut().unwrap();
    // one that began after the look is not in it
    let Some(place) = processes.iter().position(|task| task["id"] == container) else {
        return;
    };
    let pid = number(&processes.remove(place)["pid"]);
    let holder = format!("pid={pid},");
    for lines in kernel["listeners"].as_object_mut().unwrap().values_mut() {
        let lines = lines.as_array_mut().unwrap();
        lines.retain(|line| !line.as_str().unwrap().contains(&holder));
    }
}

/// The names of a look's lists, and of the field that has an ID there.
const LISTS: [(&str, &str); 4] = [
    ("pods", "id"),
    ("containers", "id"),
    ("statuses", "id"),
    ("records", "ID"),
];

/// The look that a runtime and a kernel give after these events, of what the look itself has.
fn after(look: &str, events: &[Told]) -> Look {
    let mut recorded = recorded(look);
    for told in events {
        match told.change {
            Change::Ended { exit_code } => {
                let mut set = |list: &str, field: &str, value: Value| {
                    let all = recorded[list].as_array_mut().unwrap().iter_mut();
                    for one in all.filter(|one| one["id"] == told.id.as_str()) {
                        one[field] = value.clone();
                    }
                };
                set("pods", "state", json!("SANDBOX_NOTREADY"));
                set("containers", "state", json!("CONTAINER_EXITED"));
                set("statuses", "state", json!("CONTAINER_EXITED"));
                set("statuses", "exitCode", json!(exit_code));
                set(
                    "statuses",
                    "finishedAt",
                    json!(told.nanoseconds.to_string()),
                );
                let tasks = recorded["tasks"].as_array_mut().unwrap();
                tasks.retain(|task| task[0] != told.id.as_str());
                end_process(&mut recorded["kernel"], &told.id);
            }
            Change::Removed => {
                for (list, id) in LISTS {
                    let all = recorded[list].as_array_mut().unwrap();
                    all.retain(|one| one[id] != told.id.as_str());
                }
            }
            _ => {}
        }
    }
    let facts = facts(&answers(&recorded));
    Look { recorded, facts }
}

/// The IDs of all that was made for a pod.
fn ids(look: &Look, pod: &str) -> BTreeSet<String> {
    let all = look.facts.iter();
    let of_pod = all.filter(|one| one.member().unwrap().pod.name == format!("{pod}-node2"));
    of_pod.map(|one| one.id.clone()).collect()
}

fn of(document: &Value, pod: &str) -> Option<Value> {
    let mut pods = document["pods"].as_array().unwrap().iter();
    let name = format!("{pod}-node2");
    let mut pod = pods.find(|one| one["name"] == name)?.clone();
    // a look that is made of a record numbers its sockets itself
    for socket in pod["sockets"].as_array_mut().into_iter().flatten() {
        socket["inode"] = Value::Null;
    }
    Some(pod)
}

#[test]
fn the_recorded_events_lead_from_each_look_to_the_next() {
    let before = Look::at("before.json");
    let others: BTreeSet<String> = ["sharepid", "split"]
        .into_iter()
        .flat_map(|pod| ids(&before, pod))
        .collect();
    for (look, time) in [
        ("app-killed.json", "2026-11-28T04:24:45"),
        ("pause-killed.json", "2026-11-28T04:24:59"),
    ] {
        let later = Look::at(look);
        let mut there = ids(&before, "two");
        let mut running = there.clone();
        for told in Recorded::until(time) {
            assert!(!others.contains(&told.id));
            let id = told.id.clone();
            let _new = match told.change {
                Change::Created => there.insert(id),
                Change::Started => running.insert(id),
                Change::Removed => there.remove(&id),
                Change::Ended { exit_code } => {
                    // a sandbox's code is told by its event alone
                    if let Some(one) = later.facts.iter().find(|one| one.id == id)
                        && one.member().unwrap().part != Part::Sandbox
                    {
                        assert_eq!(one.exit_code, exit_code);
                        let ended = pod::timestamp(one.finished_at.as_deref()).unwrap();
                        assert_eq!(ended.as_nanosecond(), i128::from(told.nanoseconds));
                    }
                    running.remove(&id)
                }
                Change::OutOfMemory | Change::Other => false,
            };
        }
        assert_eq!(ids(&later, "two"), there, "{look}");
        let up = later.facts.iter().filter(|one| one.state.is_up());
        let up: BTreeSet<String> = up.map(|one| one.id.clone()).collect();
        assert_eq!(up, running, "{look}");
    }
}

#[test]
fn processes_that_are_shared_end_with_their_sandbox_and_no_other_pod_changes() {
    let before = Look::at("before.json");
    let pod = ids(&before, "sharepid");
    let mut events = Recorded::until("2026-11-28T04:25:04");
    events.retain(|told| pod.contains(&told.id));
    let ends = events
        .iter()
        .filter(|told| matches!(told.change, Change::Ended { .. }));
    let ended: BTreeSet<String> = ends.map(|told| told.id.clone()).collect();
    assert_eq!(ended, pod, "the first process of all of them was its pause");
    let look = after("before.json", &events);
    let (then, now) = (document(&before), document(&look));
    is_the_kernels(&look, &now);
    let dead = of(&now, "sharepid").unwrap();
    assert_eq!(dead["sandbox"]["state"], "exited");
    for container in dead["containers"].as_array().unwrap() {
        assert_eq!(
            (&container["state"], &container["exit_code"]),
            (&json!("exited"), &json!(137))
        );
        assert_eq!(container["pid"], Value::Null);
    }
    for name in ["two", "split", "hostnet", "crash"] {
        assert_eq!(of(&then, name), of(&now, name));
    }
}

#[test]
fn a_pod_that_is_deleted_goes_step_by_step_and_takes_nothing_else_along() {
    let before = Look::at("before.json");
    let then = document(&before);
    let pod = ids(&before, "split");
    assert_eq!(pod.len(), 3);
    let mut events = Recorded::until("2026-11-28T04:26");
    events.retain(|told| pod.contains(&told.id));
    let uid = of(&then, "split").unwrap()["uid"].clone();
    let mut steps = Vec::new();
    for count in 0..=events.len() {
        let look = after("before.json", &events[..count]);
        let now = document(&look);
        is_the_kernels(&look, &now);
        let all = then["pods"].as_array().unwrap().iter();
        for other in all.filter(|one| one["uid"] != uid) {
            let name = text(&other["name"]);
            let name = name.strip_suffix("-node2").unwrap();
            assert_eq!(of(&now, name), of(&then, name), "{name}");
        }
        let pods = pod::pods("node2", &look.facts, PlainContainers::Hide);
        let shown = of(&now, "split").map(|pod| {
            let running = pod["containers"].as_array().unwrap().iter();
            let running = running.filter(|one| one["state"] == "running").count();
            let over = pods.iter().any(|one| uid == one.uid && one.is_over());
            (
                text(&pod["sandbox"]["state"]),
                pod["containers"].as_array().unwrap().len(),
                running,
                over,
            )
        });
        if steps.last() != Some(&shown) {
            steps.push(shown);
        }
    }
    let step = |sandbox: &str, containers, running, over| {
        Some((sandbox.to_owned(), containers, running, over))
    };
    assert_eq!(
        steps,
        [
            step("running", 2, 2, false),
            step("running", 2, 1, false),
            step("running", 2, 0, false),
            step("exited", 2, 0, false),
            step("exited", 1, 0, false),
            // what is left of it is no pod
            step("exited", 0, 0, true),
            None
        ]
    );
}

#[test]
fn the_history_of_a_deleted_pod_has_each_end_and_removal_at_its_recorded_time() {
    let before = Look::at("before.json");
    let pods = pod::pods("node2", &before.facts, PlainContainers::Hide);
    let mut runs = Runs::default();
    for run in pod::runs(&pods, &before.facts) {
        runs.learn(&run);
    }
    for told in Recorded::until("2026-11-28T04:26") {
        let time = jiff::Timestamp::from_nanosecond(i128::from(told.nanoseconds)).unwrap();
        let event = ContainerEvent {
            time: format!("{time:.9}"),
            nanoseconds: told.nanoseconds,
            change: told.change,
            id: told.id,
            member: None,
        };
        runs.hear("node2", &event);
    }
    let split = pods.iter().find(|pod| pod.name == "split-node2").unwrap();
    let after = after("before.json", &Recorded::until("2026-11-28T04:26"));
    let present = pod::present(&after.facts);
    assert!(!present.contains(&split.sandbox.as_ref().unwrap().id));
    let history = pod::history(&split.uid, runs.all(), &present, None);
    let seen: Vec<_> = history
        .iter()
        .map(|event| (event.kind, event.container.as_deref(), &event.time[11..23]))
        .filter(|(kind, ..)| {
            !matches!(
                kind,
                EventKind::SandboxStarted | EventKind::ContainerStarted
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (EventKind::ContainerEnded, Some("web"), "04:25:13.781"),
            (EventKind::ContainerEnded, Some("poller"), "04:25:13.788"),
            (EventKind::SandboxEnded, None, "04:25:13.879"),
            (EventKind::ContainerRemoved, Some("poller"), "04:25:14.388"),
            (EventKind::ContainerRemoved, Some("web"), "04:25:14.398"),
            (EventKind::SandboxRemoved, None, "04:25:55.630"),
        ]
    );
    let ended = history.iter().filter(|event| event.exit_code.is_some());
    assert!(
        ended
            .map(|event| event.exit_code)
            .all(|code| code == Some(137))
    );
}
