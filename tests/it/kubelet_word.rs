//! The kubelet's own word on its pods: what devnet takes from the Pods socket of a node, and what it
//! never shows of it. A server of the recorded protocol stands in for the kubelet.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::support::containerd_node::ContainerdNode;
use crate::support::node_kubelet::{self, Wanted};
use crate::support::pods_api::{
    Container, Manner, PROPOSED_SOCKET, Pod, PodsApi, SECRET, SOCKET, answer_with,
};
use crate::support::{Output, Sandbox, busybox_image, docker, ended, testbed, until};

/// The recorded protocol at a node's socket.
fn kubelet(node: &ContainerdNode, socket: &str, manner: Manner) -> PodsApi {
    PodsApi::serve(&node.folder().join("var").join(socket), manner)
}

fn devnet(node: &ContainerdNode, sandbox: &Sandbox, words: &[&str]) -> Output {
    sandbox.devnet(&[&["-p", node.name.as_str()], words].concat())
}

/// The pod of that name in the JSON of a command.
#[track_caller]
fn pod(run: Output, name: &str) -> Value {
    let document: Value = serde_json::from_str(&run.ok()).unwrap();
    let pods = document["pods"].as_array().unwrap();
    let found = pods.iter().find(|pod| pod["name"] == name);
    found.cloned().unwrap_or(Value::Null)
}

/// The kinds of a pod's containers, by name.
fn kinds(pod: &Value) -> Vec<String> {
    let containers = pod["containers"].as_array().unwrap().iter();
    let mut kinds: Vec<String> = containers
        .map(|one| {
            let word = |key: &str| one[key].as_str().unwrap().to_owned();
            format!("{} {}", word("name"), word("kind"))
        })
        .collect();
    kinds.sort_unstable();
    kinds
}

/// Fails where a secret stands in a text, or in a file below a folder.
#[track_caller]
fn assert_no_secret(outputs: &[Output], folder: &Path) {
    for output in outputs {
        assert!(!output.to_string().contains(SECRET), "{output}");
    }
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap_or_default();
                let found = bytes
                    .windows(SECRET.len())
                    .any(|at| at == SECRET.as_bytes());
                assert!(!found, "{}", path.display());
            }
        }
    }
}

/// A pod of every kind of container, and one that has none yet.
fn told(uid: &str) -> Vec<Pod> {
    vec![
        Pod::new("told", uid, "Running", "OnFailure")
            .init(Container::new("first"))
            .init(Container::sidecar("proxy"))
            .app(Container::new("app"))
            .app(Container::new("lost"))
            .ephemeral(Container::new("debug"))
            .waiting("lost", "ImagePullBackOff", "back-off 20s restarting")
            .deleted(),
        Pod::new("awaited", "no-sandbox", "Pending", "Always")
            .app(Container::new("app"))
            .waiting("app", "ErrImageNeverPull", "not present with pull policy"),
    ]
}

/// The JSON on the first of these.
fn word() -> Value {
    json!({
        "phase": "Running", "terminating": true, "restart_policy": "OnFailure",
        "waiting": [{"container": "lost", "reason": "ImagePullBackOff"}],
    })
}

fn wanted(name: &str) -> Wanted {
    let mut first = node_kubelet::Container::script("first", "true");
    first.init = true;
    Wanted::pod(name)
        .with(first)
        .sleeper("proxy")
        .sleeper("app")
        .sleeper("debug")
}

#[test]
fn a_containerd_nodes_kubelet_tells_kinds_policies_and_what_waits() {
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::start(&testbed, "told");
    let made = node_kubelet::Pod::made_once(&node, wanted("told"));
    let sandbox = node.sandbox();
    let json = ["pods", "--no-probe", "-o", "json"];
    let before = pod(devnet(&node, &sandbox, &json), "told");
    assert_eq!(before["kubelet"], Value::Null);
    let right = ["app app", "debug ephemeral", "first init", "proxy sidecar"];
    assert_ne!(kinds(&before), right);

    let manner = Manner::Tells(told(made.uid()));
    for socket in [PROPOSED_SOCKET, SOCKET] {
        let kubelet = kubelet(&node, socket, manner.clone());
        let mut seen = Value::Null;
        // a computer at work may take longer than a kubelet is waited for
        until("the kubelet is heard", || {
            seen = pod(devnet(&node, &sandbox, &json), "told");
            !seen["kubelet"].is_null()
        });
        assert_eq!(seen["kubelet"], word());
        assert_eq!(kinds(&seen), right);
        assert!(kubelet.asked() > 0);
    }
    let _kubelet = kubelet(&node, SOCKET, manner);
    let mut outputs = Vec::new();
    let mut shows = |words: &[&str], parts: &[&str]| {
        until(&format!("{words:?} shows {parts:?}"), || {
            let run = devnet(&node, &sandbox, words);
            let shown = parts.iter().all(|part| run.stdout.contains(part));
            outputs.push(run);
            shown
        });
    };
    shows(
        &["pods"],
        &[
            "terminating",
            "lost",
            "ImagePullBackOff",
            "default/awaited",
            "0/1 pending, ErrImageNeverPull",
        ],
    );
    shows(
        &["inspect", "told"],
        &[
            "phase Running, restart policy OnFailure, terminating",
            "lost: ImagePullBackOff (20 s)",
            "proxy (sidecar)",
        ],
    );
    shows(&["inspect", "told", "-o", "json"], &["\"kubelet\": {"]);
    shows(&["pods", "-o", "yaml"], &["kubelet:"]);
    shows(&["-v", "graph", "-o", "svg"], &["told"]);
    shows(&["history", "told", "-o", "json"], &["sandbox"]);
    // on the node itself there is no login
    let local = ["-H", "unix:///run/containerd/containerd.sock"];
    until("the kubelet is heard on its node", || {
        let run = node.devnet_on_it(&[&local[..], &json].concat());
        pod(run, "told")["kubelet"] == word()
    });
    let awaited = pod(devnet(&node, &sandbox, &json), "awaited");
    assert_eq!(awaited["state"], "pending");
    assert_eq!(awaited["sandbox"], Value::Null);
    assert_no_secret(&outputs, sandbox.home());
}

#[test]
fn a_kubelet_that_hangs_refuses_or_talks_nonsense_is_done_without() {
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::start(&testbed, "untold");
    let _made = node_kubelet::Pod::made_once(&node, wanted("untold"));
    let sandbox = node.sandbox();
    let json = ["pods", "--no-probe", "-o", "json"];
    let alone = pod(devnet(&node, &sandbox, &json), "untold");
    let kubelet = kubelet(&node, SOCKET, Manner::Hangs);
    let mut asked = 0;
    for manner in [
        Manner::Hangs,
        Manner::Refuses,
        Manner::Nonsense,
        Manner::Huge(9 << 20),
        Manner::Huge(200 << 20),
    ] {
        kubelet.answers(manner);
        // one that hangs is never released: that there is an answer shows that nobody waits for it
        let seen = pod(devnet(&node, &sandbox, &json), "untold");
        assert_eq!(seen, alone);
        until("it was asked", || {
            let run = devnet(&node, &sandbox, &json);
            assert_eq!(run.stderr, "");
            kubelet.asked() > asked
        });
        asked = kubelet.asked();
    }
    drop(kubelet);
    let socket = node.folder().join("var").join(SOCKET);
    answer_with(&socket, &[0xff; 4096]);
    assert_eq!(pod(devnet(&node, &sandbox, &json), "untold"), alone);
}

#[test]
fn kill_and_restart_heed_the_policies_that_the_kubelet_tells() {
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::start(&testbed, "heeded");
    let made = node_kubelet::Pod::made_once(&node, Wanted::pod("heeded").sleeper("web"));
    let sandbox = node.sandbox();
    let told = |policy: &str| Pod::new("heeded", made.uid(), "Running", policy);
    let web = || Container::new("web");
    let always = web().pulled("busybox", "Always");
    let kubelet = kubelet(&node, SOCKET, Manner::Tells(Vec::new()));
    let says = |pods: Vec<Pod>, words: &[&str], code: i32, part: &str| {
        kubelet.answers(Manner::Tells(pods));
        until(&format!("{words:?} says `{part}`"), || {
            let run = devnet(&node, &sandbox, words);
            assert!(!run.to_string().contains(SECRET), "{run}");
            run.code == code && run.stderr.contains(part)
        });
    };
    let asks = |pods: Vec<Pod>, words: &str, part: &str| {
        kubelet.answers(Manner::Tells(pods));
        until(&format!("{words} says `{part}`"), || {
            let devnet = env!("CARGO_BIN_EXE_devnet");
            let line = format!("{devnet} -p heeded {words}");
            let mut child = sandbox
                .command("script")
                .args(["-qec", &line, "/dev/null"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(b"n\n").unwrap();
            let run = ended(child);
            run.stdout.contains(part)
        });
        assert_eq!(made.attempts("web").len(), 1);
    };
    let restart = ["restart", "heeded", "--yes", "--timeout", "1s"];
    let pulled = vec![told("Always").app(always)];
    says(pulled, &restart, 5, "the kubelet pulls the image");
    assert_eq!(made.attempts("web").len(), 1);
    // the question says what is known of the policy
    let on_failure = || vec![told("OnFailure").app(web())];
    asks(
        on_failure(),
        "kill heeded -c web",
        "its restart policy is OnFailure: it may not",
    );
    asks(
        on_failure(),
        "restart heeded",
        "its restart policy is OnFailure: it may not",
    );
    asks(
        vec![told("Always").app(web()).deleted()],
        "kill heeded",
        "somebody deletes it",
    );
    // a kubelet that waits longer and longer is waited for, and its seconds are told
    let waits = |web: Container| {
        let message = "back-off 1m20s restarting failed container=web pod=heeded_default(u)";
        vec![
            told("Always")
                .app(web)
                .waiting("web", "CrashLoopBackOff", message),
        ]
    };
    kubelet.answers(Manner::Tells(waits(web())));
    let kill = ["kill", "heeded", "-c", "web", "--yes", "--timeout"];
    let said = devnet(&node, &sandbox, &[&kill[..], &["3s"]].concat()).fails(5);
    assert!(
        said.contains("the kubelet waits 80 s before it (CrashLoopBackOff)"),
        "{said}"
    );
    // and where nothing will come, nothing is waited for
    let made = node_kubelet::Pod::made_once(&node, Wanted::pod("never").sleeper("web"));
    let never = Pod::new("never", made.uid(), "Running", "Never").app(web());
    kubelet.answers(Manner::Tells(vec![never]));
    let kill = ["kill", "never", "-c", "web", "--yes", "--timeout", "24h"];
    let said = devnet(&node, &sandbox, &kill).fails(5);
    assert!(said.contains("its restart policy is Never"), "{said}");
}

/// A Docker engine on a node of its own, whose first process sees the kubelet's socket as on a node of
/// minikube's.
struct DockerNode {
    node: ContainerdNode,
    engine: Child,
    testbed: PathBuf,
}

impl DockerNode {
    fn start(testbed: &Path, name: &str) -> Self {
        let node = ContainerdNode::start(testbed, name);
        let sandbox = Sandbox::bare();
        let log = std::fs::File::create(node.folder().join("dockerd.log")).unwrap();
        let engine = node
            .command(&sandbox, "dockerd")
            .args([
                "-H",
                "unix:///var/docker.sock",
                "--data-root",
                "/var/docker",
            ])
            .args([
                "--exec-root",
                "/var/docker-exec",
                "--pidfile",
                "/var/docker.pid",
            ])
            .args(["--bridge", "none", "--iptables=false", "--ip6tables=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let socket = testbed.join(format!("{name}.sock"));
        let _old = std::fs::remove_file(&socket);
        std::os::unix::fs::symlink(node.folder().join("var/docker.sock"), &socket).unwrap();
        until("the engine on the node answers", || {
            docker(testbed, name, &["version"]).code == 0
        });
        Self {
            node,
            engine,
            testbed: testbed.to_owned(),
        }
    }

    fn url(&self) -> String {
        format!(
            "unix://{}",
            self.node.folder().join("var/docker.sock").display()
        )
    }

    fn docker(&self, words: &[&str]) -> String {
        docker(&self.testbed, &self.node.name, words).ok()
    }
}

impl Drop for DockerNode {
    fn drop(&mut self) {
        let _gone = self.engine.kill();
        let _ended = self.engine.wait();
        let socket = self.testbed.join(format!("{}.sock", self.node.name));
        let _gone = std::fs::remove_file(socket);
    }
}

#[test]
fn on_a_docker_node_the_probe_asks_the_kubelet() {
    let Some(testbed) = testbed() else { return };
    let engine = DockerNode::start(&testbed, "told-docker");
    let image = busybox_image(&testbed, "told-docker");
    let run = |part: &str, kind: &str, more: &[&str], script: &str| {
        let labels = [
            format!("--name=k8s_{part}_told_default_uid-told_0"),
            format!("--label=io.kubernetes.docker.type={kind}"),
            format!("--label=io.kubernetes.container.name={part}"),
            "--label=io.kubernetes.pod.name=told".to_owned(),
            "--label=io.kubernetes.pod.namespace=default".to_owned(),
            "--label=io.kubernetes.pod.uid=uid-told".to_owned(),
        ];
        let mut words = vec!["run", "-d"];
        words.extend(labels.iter().map(String::as_str));
        words.extend_from_slice(more);
        words.extend([image.as_str(), "/bin/busybox", "sh", "-c", script]);
        engine.docker(&words).trim().to_owned()
    };
    let pause = run("POD", "podsandbox", &["--network=none"], "sleep 3600");
    let net = format!("--network=container:{pause}");
    let label = format!("--label=io.kubernetes.sandbox.id={pause}");
    // all alone, nothing proves what it is
    run("first", "container", &[&net, &label], "sleep 3600");
    let sandbox = Sandbox::bare();
    let url = engine.url();
    let devnet = |words: &[&str]| sandbox.devnet(&[&["-H", url.as_str()], words].concat());
    let json = ["pods", "-o", "json"];
    let before = pod(devnet(&json), "told");
    assert_eq!(before["kubelet"], Value::Null);
    assert_eq!(kinds(&before), ["first app?"]);

    let kubelet = kubelet(&engine.node, SOCKET, Manner::Tells(told("uid-told")));
    let made = || {
        let all = [
            "events",
            "--since",
            "0",
            "--until",
            "0s",
            "--filter",
            "event=create",
            "--filter",
            "type=container",
        ];
        engine.docker(&all).lines().count()
    };
    let mut seen = Value::Null;
    until("the kubelet is heard", || {
        let before = made();
        seen = pod(devnet(&json), "told");
        // with no container but the probe's, which is made anew where it was lost
        !seen["kubelet"].is_null() && made() - before <= 1
    });
    assert_eq!(seen["kubelet"], word());
    assert_eq!(kinds(&seen), ["first init"]);
    let mut outputs = Vec::new();
    until("the kubelet is heard", || {
        outputs.push(devnet(&["-v", "pods", "-A"]));
        outputs
            .last()
            .unwrap()
            .stdout
            .contains("0/1 pending, ErrImageNeverPull")
    });
    outputs.push(devnet(&["inspect", "told", "-o", "yaml"]));
    assert_no_secret(&outputs, sandbox.home());
    for manner in [
        Manner::Hangs,
        Manner::Refuses,
        Manner::Nonsense,
        Manner::Huge(9 << 20),
    ] {
        kubelet.answers(manner);
        let asked = kubelet.asked();
        until("it was asked", || {
            assert_eq!(pod(devnet(&json), "told"), before);
            kubelet.asked() > asked
        });
    }
    drop(kubelet);
    let socket = engine.node.folder().join("var").join(SOCKET);
    answer_with(&socket, &[0; 4096]);
    assert_eq!(pod(devnet(&json), "told"), before);
}

#[test]
fn containers_that_a_kubelet_removes_and_makes_anew_are_told_by_the_journal() {
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::start(&testbed, "renewed");
    let wanted = Wanted::pod("renewed").sleeper("web").sleeper("side");
    let made = node_kubelet::Pod::made_once(&node, wanted);
    let (ip, sandbox_id) = (made.ip(), made.sandbox().id);
    let sandbox = node.sandbox();
    devnet(&node, &sandbox, &["pods", "--no-probe"]).ok();
    // RestartAllContainers: all of them are removed, and the sandbox stays
    let cri = node.cri();
    let first = [made.attempts("web"), made.attempts("side")].concat();
    for id in &first {
        cri.stop(id, 0).unwrap();
        cri.remove(id).unwrap();
    }
    made.heal(true);
    until("both run again", || {
        ["web", "side"].iter().all(|name| {
            let newest = made.attempts(name);
            newest.first().is_some_and(|id| !first.contains(id)) && made.container(name).state == 1
        })
    });
    assert_eq!(
        (made.ip(), made.sandbox().id),
        (ip.clone(), sandbox_id.clone())
    );
    let history = devnet(&node, &sandbox, &["history", "renewed", "-o", "json"]);
    let history = pod(history, "renewed");
    let events = history["events"].as_array().unwrap();
    let starts: Vec<&Value> = events
        .iter()
        .filter(|event| event["event"] == "container-started")
        .collect();
    assert_eq!(starts.len(), 4, "{events:?}");
    for start in &starts[2..] {
        assert!(!first.iter().any(|id| start["id"] == **id));
        assert_eq!(start["restart"]["same_sandbox"], true, "{start}");
        assert_eq!(start["restart"]["ip_kept"], true, "{start}");
        assert_eq!(start["sandbox_id"], sandbox_id);
    }
    // a computer that did not see them before knows nothing of them
    let other = node.sandbox();
    let history = devnet(&node, &other, &["history", "renewed", "-o", "json"]);
    let events = pod(history, "renewed")["events"].as_array().unwrap().len();
    assert_eq!(events, 3);
}
