//! The facts of a recorded node (`tests/data/containerd-node`) against its kernel's and its kubelet's
//! own words.

use std::path::Path;

use serde_json::Value;

use super::*;
use crate::engine::containerd::messages::Container as Record;
use crate::engine::cri::messages::{ContainerMetadata, ImageSpec, PodSandboxMetadata};
use crate::engine::grpc::Any;
use crate::pod::{Origin, Part, PodKey};

#[path = "event_tests.rs"]
mod event;
#[path = "kernel_tests.rs"]
mod kernel;
#[path = "nonsense_tests.rs"]
mod nonsense;

fn recorded(look: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/containerd-node");
    let text = std::fs::read_to_string(folder.join(look)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap()).unwrap()
}

/// CRI's times, nanoseconds in lists and texts in statuses; those before 1970 are 0 on the wire.
fn nanoseconds(value: &Value) -> i64 {
    let text = value.as_str().unwrap();
    text.parse().unwrap_or_else(|_| {
        let time: jiff::Timestamp = text.parse().unwrap();
        i64::try_from(time.as_nanosecond()).unwrap_or(0).max(0)
    })
}

fn map(value: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(value.clone()).unwrap()
}

fn any(value: &Value) -> Any {
    Any {
        type_url: String::new(),
        value: serde_json::to_vec(value).unwrap(),
    }
}

fn container_state(word: &Value) -> i32 {
    match word.as_str().unwrap() {
        "CONTAINER_CREATED" => ContainerState::Created.into(),
        "CONTAINER_RUNNING" => ContainerState::Running.into(),
        "CONTAINER_EXITED" => ContainerState::Exited.into(),
        other => panic!("{other}"),
    }
}

fn answers(look: &Value) -> Answers {
    answers_with(look, records(look))
}

fn records(look: &Value) -> Vec<Record> {
    let records = look["records"].as_array().unwrap().iter();
    let records = records.map(|one| Record {
        id: text(&one["ID"]),
        image: text(&one["Image"]),
        spec: Some(any(&one["Spec"])),
        extensions: one["Extensions"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, extension)| (name.clone(), any(&extension["value"])))
            .collect(),
        ..Record::default()
    });
    records.collect()
}

/// The answers of a look, with other records.
fn answers_with(look: &Value, records: Vec<Record>) -> Answers {
    let list = |name: &str| look[name].as_array().unwrap().iter();
    let sandboxes = list("pods").map(|one| PodSandbox {
        id: text(&one["id"]),
        metadata: Some(PodSandboxMetadata {
            name: text(&one["metadata"]["name"]),
            uid: text(&one["metadata"]["uid"]),
            namespace: text(&one["metadata"]["namespace"]),
            attempt: number(&one["metadata"]["attempt"]),
        }),
        state: match one["state"].as_str().unwrap() {
            "SANDBOX_READY" => PodSandboxState::Ready.into(),
            _ => PodSandboxState::NotReady.into(),
        },
        created_at: nanoseconds(&one["createdAt"]),
        labels: map(&one["labels"]),
        annotations: map(&one["annotations"]),
    });
    let containers = list("containers").map(|one| Container {
        id: text(&one["id"]),
        pod_sandbox_id: text(&one["podSandboxId"]),
        metadata: Some(ContainerMetadata {
            name: text(&one["metadata"]["name"]),
            attempt: number(&one["metadata"]["attempt"]),
        }),
        image: Some(ImageSpec {
            image: text(&one["image"]["image"]),
            user_specified_image: text(&one["image"]["userSpecifiedImage"]),
        }),
        image_ref: text(&one["imageRef"]),
        state: container_state(&one["state"]),
        created_at: nanoseconds(&one["createdAt"]),
        labels: map(&one["labels"]),
        annotations: map(&one["annotations"]),
        image_id: text(&one["imageId"]),
    });
    let tasks = list("tasks").map(|one| Process {
        id: text(&one[0]),
        pid: one[1].as_str().unwrap().parse().unwrap(),
        status: match one[2].as_str().unwrap() {
            "RUNNING" => Status::Running.into(),
            other => panic!("{other}"),
        },
        ..Process::default()
    });
    let statuses = list("statuses").map(|one| ContainerStatus {
        id: text(&one["id"]),
        state: container_state(&one["state"]),
        created_at: nanoseconds(&one["createdAt"]),
        started_at: nanoseconds(&one["startedAt"]),
        finished_at: nanoseconds(&one["finishedAt"]),
        exit_code: i32::try_from(one["exitCode"].as_i64().unwrap()).unwrap(),
        reason: text(&one["reason"]),
        message: text(&one["message"]),
        log_path: text(&one["logPath"]),
        ..ContainerStatus::default()
    });
    Answers {
        lists: Lists {
            sandboxes: sandboxes.collect(),
            containers: containers.collect(),
        },
        records: records
            .into_iter()
            .map(|one| (one.id.clone(), Description::of(one)))
            .collect(),
        tasks: tasks.map(|one| (one.id.clone(), one)).collect(),
        statuses: statuses.map(|one| (one.id.clone(), one)).collect(),
    }
}

/// A look at the node with the facts that are made of it.
struct Look {
    recorded: Value,
    facts: Vec<ContainerFacts>,
}

impl Look {
    fn at(name: &str) -> Self {
        let recorded = recorded(name);
        let facts = facts(&answers(&recorded));
        Self { recorded, facts }
    }

    fn id(&self, start: &str) -> &ContainerFacts {
        let is_it = |one: &&ContainerFacts| one.id.starts_with(start);
        self.facts.iter().find(is_it).unwrap()
    }

    fn sandbox(&self, pod: &str) -> &ContainerFacts {
        self.part(pod, &Part::Sandbox)
    }

    fn container(&self, pod: &str, name: &str) -> &ContainerFacts {
        self.part(pod, &Part::Container(name.to_owned()))
    }

    /// The newest of that part of a pod.
    fn part(&self, pod: &str, part: &Part) -> &ContainerFacts {
        let is_it = |one: &&ContainerFacts| {
            let member = one.member().unwrap();
            member.pod.name == format!("{pod}-node2") && member.part == *part
        };
        self.facts.iter().find(is_it).unwrap()
    }

    fn kernel(&self) -> BTreeMap<String, Value> {
        let tasks = self.recorded["kernel"]["tasks"].as_array().unwrap();
        tasks
            .iter()
            .map(|one| (text(&one["id"]), one.clone()))
            .collect()
    }

    /// The facts' joins are what the kernel has: of each namespace, whose it is.
    fn joins_are_the_kernels(&self) {
        let kernel = self.kernel();
        let node = &self.recorded["kernel"]["node"];
        for one in &self.facts {
            let Some(task) = kernel.get(&one.id) else {
                continue;
            };
            let kinds = [
                ("net", &one.joins.network),
                ("ipc", &one.joins.ipc),
                ("pid", &one.joins.pid),
                ("uts", &one.joins.uts),
            ];
            for (kind, join) in kinds {
                let own = &task["ns"][kind];
                let what = format!("{} {kind} {join:?}", one.name);
                match join {
                    Join::Host => assert_eq!(own, &node[kind], "{what}"),
                    Join::Container(id) => assert_eq!(own, &kernel[id]["ns"][kind], "{what}"),
                    Join::Path(_) => {
                        assert_eq!((kind, &one.member().unwrap().part), ("net", &Part::Sandbox));
                        assert_ne!(own, &node[kind], "{what}");
                    }
                    Join::Own => {
                        assert_ne!(own, &node[kind], "{what}");
                        let others = kernel.values().filter(|other| other["id"] != task["id"]);
                        let mut others = others.filter(|other| other["ns"][kind] == *own);
                        let is_sandbox = one.member().unwrap().part == Part::Sandbox;
                        assert!(is_sandbox || others.next().is_none(), "{what}");
                    }
                }
            }
        }
    }

    /// The addresses of what has a network of its own are those in it.
    fn addresses_are_the_kernels(&self) {
        let kernel = self.kernel();
        for one in &self.facts {
            let Some(task) = kernel.get(&one.id).filter(|_| !one.ips.is_empty()) else {
                continue;
            };
            let network = task["ns"]["net"].as_str().unwrap();
            let all = &self.recorded["kernel"]["addresses"][network];
            let all = all.to_string();
            for ip in &one.ips {
                assert!(all.contains(&format!(" {ip}/")), "{}: {all}", one.name);
            }
        }
    }
}

#[test]
fn every_pod_of_the_recorded_node_is_what_its_kubelet_and_kernel_say() {
    let look = Look::at("before.json");
    assert_eq!(look.facts.len(), 47);
    let times = look
        .facts
        .iter()
        .map(|one| crate::pod::timestamp(one.created_at.as_deref()));
    assert!(times.is_sorted_by(|one, next| one >= next));
    look.joins_are_the_kernels();
    look.addresses_are_the_kernels();
    let kernel = look.kernel();
    for one in &look.facts {
        let running = kernel.get(&one.id);
        assert_eq!(one.state == State::Running, running.is_some(), "{one:?}");
        assert_eq!(one.pid, running.map(|task| number(&task["pid"])), "{one:?}");
        let member = one.member().unwrap();
        assert_eq!(member.origin, Origin::Kubernetes);
        assert!(one.created_at.is_some());
        if let Some(task) = running {
            // the kernel separates the words by blanks, the runtime's list keeps them apart
            let shown = task["cmd"].as_str().unwrap().trim();
            let exec = one.command.join(" ");
            assert!(exec.ends_with(shown) || exec.contains("exec "), "{exec}");
        }
    }
    let pods = look.recorded["kubelet"].as_array().unwrap();
    assert_eq!(pods.len(), 17);
    let mut compared = 0;
    for pod in pods {
        let name = text(&pod["name"]);
        let short = name.strip_suffix("-node2").unwrap();
        let sandbox = look.sandbox(short);
        let member = sandbox.member().unwrap();
        let key = PodKey {
            namespace: text(&pod["namespace"]),
            uid: text(&pod["uid"]),
            name: name.clone(),
        };
        assert_eq!((&member.pod, member.attempt), (&key, Some(0)));
        assert_eq!(sandbox.image, "registry.k8s.io/pause:3.10");
        assert_eq!(sandbox.command, ["/pause"]);
        let ips: Vec<String> = pod["podIP"]
            .as_str()
            .map(str::to_owned)
            .into_iter()
            .collect();
        let up = sandbox.state == State::Running;
        // the sandbox of what is done has been stopped
        assert_eq!(up, short != "completed", "{name}");
        assert_eq!(
            sandbox.ips,
            if up { ips.clone() } else { Vec::new() },
            "{name}"
        );
        assert_eq!(sandbox.wanted_ips, ips, "{name}");
        let host = |word: &str| pod[word] == true;
        let of_node = sandbox.joins.network == Join::Host;
        assert_eq!(of_node, host("hostNetwork"), "{name}");
        assert_eq!(sandbox.joins.uts == Join::Host, of_node, "{name}");
        assert_eq!(sandbox.netns_path.is_none(), of_node, "{name}");
        assert_eq!(sandbox.joins.pid == Join::Host, host("hostPID"), "{name}");
        assert_eq!(sandbox.joins.ipc == Join::Host, host("hostIPC"), "{name}");
        let declared = pod["ports"].as_array().unwrap().iter();
        let mut declared: Vec<Published> = declared
            .filter(|port| port["hostPort"].is_u64() && !of_node)
            .map(|port| Published {
                proto: text(&port["protocol"]).to_lowercase(),
                host_ip: port["hostIP"].as_str().unwrap_or("0.0.0.0").to_owned(),
                host_port: u16::try_from(port["hostPort"].as_u64().unwrap()).unwrap(),
                port: u16::try_from(port["containerPort"].as_u64().unwrap()).unwrap(),
            })
            .collect();
        let mut published = sandbox.published.clone();
        if of_node {
            published.clear();
        }
        declared.sort_by_key(|one| one.host_port);
        published.sort_by_key(|one| one.host_port);
        assert_eq!(published, declared, "{name}");

        for status in pod["statuses"].as_array().unwrap() {
            let ended = ["state", "lastState"].map(|which| &status[which]["terminated"]);
            let ended = ended.into_iter().find(|ended| !ended.is_null());
            let id = ended.map_or(&status["containerID"], |ended| &ended["containerID"]);
            // it has no container: its image is absent, or its turn has not come
            let Some(id) = id.as_str().and_then(|id| id.strip_prefix("containerd://")) else {
                continue;
            };
            let Some(one) = look.facts.iter().find(|one| one.id == id) else {
                continue;
            };
            compared += 1;
            let container = text(&status["name"]);
            let member = one.member().unwrap();
            assert_eq!(member.part, Part::Container(container.clone()));
            assert_eq!(member.pod, key);
            assert_eq!(
                member.restarts.map(u64::from),
                status["restartCount"].as_u64()
            );
            assert_eq!(member.sandbox_id.as_ref(), Some(&sandbox.id));
            let whole = format!(
                "{container}_{name}_{}_{}_{}",
                key.namespace,
                key.uid,
                member.attempt.unwrap()
            );
            assert_eq!(one.name, whole);
            assert_eq!(text(&pod["images"][&container]), one.image);
            assert!(one.image_id.as_ref().unwrap().starts_with("sha256:"));
            let log = format!(
                "/var/log/pods/{}_{name}_{}/{container}/{}.log",
                key.namespace,
                key.uid,
                member.attempt.unwrap()
            );
            assert_eq!(one.log, Some(LogStore::Files(log)));
            assert_eq!(one.joins.pid == Join::Host, host("hostPID"), "{whole}");
            let lent = one.joins.pid.container() == Some(&sandbox.id);
            assert_eq!(lent, host("shareProcessNamespace"), "{whole}");
            let second = |time: &Option<String>| {
                time.as_ref()
                    .map(|time| time[..19].to_owned())
                    .unwrap_or_default()
            };
            let Some(ended) = ended else {
                let began = text(&status["state"]["running"]["startedAt"]);
                assert_eq!(second(&one.started_at), began[..19], "{whole}");
                assert_eq!((one.exit_code, one.oom_killed), (None, None), "{whole}");
                assert!(one.finished_at.is_none(), "{whole}");
                continue;
            };
            assert_eq!(one.state, State::Exited, "{whole}");
            assert_eq!(one.exit_code, ended["exitCode"].as_i64(), "{whole}");
            let oom = ended["reason"] == "OOMKilled";
            assert_eq!(one.oom_killed, Some(oom), "{whole}");
            assert_eq!(one.error.as_deref(), ended["message"].as_str(), "{whole}");
            assert_eq!(second(&one.finished_at), text(&ended["finishedAt"])[..19]);
            let began = text(&ended["startedAt"]);
            let began = if began.starts_with("1970") {
                ""
            } else {
                &began[..19]
            };
            assert_eq!(second(&one.started_at), began, "{whole}");
        }
    }
    assert!(compared >= 24, "{compared}");
}

#[test]
fn ends_of_every_kind_are_told_apart() {
    let look = Look::at("before.json");
    let end = |pod: &str, name: &str| {
        let one = look.container(pod, name);
        (one.exit_code, one.oom_killed, one.started_at.is_some())
    };
    assert_eq!(end("crash", "boom"), (Some(3), Some(false), true));
    assert_eq!(end("oom", "hog"), (Some(137), Some(true), true));
    assert_eq!(end("completed", "task"), (Some(0), Some(false), true));
    assert_eq!(end("crash", "steady"), (None, None, true));
    // it never started
    assert_eq!(end("badcmd", "nope"), (Some(128), Some(false), false));
    let why = look.container("badcmd", "nope").error.as_ref().unwrap();
    assert!(why.contains("/no/such/binary"), "{why}");
}

#[test]
fn a_killed_container_keeps_its_pods_address() {
    let (before, after) = (Look::at("before.json"), Look::at("app-killed.json"));
    after.joins_are_the_kernels();
    after.addresses_are_the_kernels();
    let (old, new) = (before.sandbox("two"), after.sandbox("two"));
    assert_eq!((&old.id, old.pid), (&new.id, new.pid));
    assert_eq!((&old.ips, &old.netns_path), (&new.ips, &new.netns_path));
    let killed = after.id(&before.container("two", "web").id);
    assert_eq!((killed.state, killed.exit_code), (State::Exited, Some(137)));
    assert_eq!((killed.pid, killed.oom_killed), (None, Some(false)));
    let web = after.container("two", "web");
    assert_ne!(web.id, killed.id);
    let member = web.member().unwrap();
    assert_eq!((member.attempt, member.restarts), (Some(1), Some(1)));
    assert_eq!(web.joins.network, Join::Container(new.id.clone()));
    let poller = after.container("two", "poller");
    assert_eq!(poller.pid, before.container("two", "poller").pid);
}

#[test]
fn a_killed_pause_brings_a_new_address_and_the_old_one_stays_known() {
    let (before, after) = (Look::at("before.json"), Look::at("pause-killed.json"));
    after.joins_are_the_kernels();
    after.addresses_are_the_kernels();
    let old = before.sandbox("two");
    let dead = after.id(&old.id);
    assert_eq!((dead.state, dead.pid), (State::Exited, None));
    assert!(dead.ips.is_empty());
    assert_eq!(dead.wanted_ips, old.ips);
    assert_eq!(dead.netns_path, old.netns_path);
    let new = after.sandbox("two");
    assert_eq!(new.member().unwrap().attempt, Some(1));
    assert_eq!(new.state, State::Running);
    assert_ne!(new.ips, old.ips);
    assert_eq!(new.ips.len(), 1);
    let all = after.facts.iter();
    for one in all.filter(|one| one.member().unwrap().part != Part::Sandbox) {
        let sandbox = one.member().unwrap().sandbox_id.clone().unwrap();
        // what ended with the old sandbox joined that one, whoever has its number now
        assert_eq!(one.joins.network, Join::Container(sandbox.clone()));
        assert_eq!(one.state == State::Running, sandbox == new.id);
        assert_eq!(one.exit_code.is_some(), sandbox == dead.id);
    }
}
