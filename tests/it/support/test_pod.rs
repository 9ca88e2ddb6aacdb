//! Pods for tests of what holds on every runtime: the same pod on an engine with Docker, on a node with
//! containerd and on one with what stands for cri-o.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use super::containerd_node::{BUSYBOX, ContainerdNode};
use super::cri::messages::Mount;
use super::engines::Engine;
use super::made::{Made, found, tool};
use super::node_kubelet::{Container, Pod, Wanted};
use super::{Output, Sandbox, busybox_image, testbed, until};

/// The folders of this computer that a container needs to run its programs.
const PROGRAMS: [&str; 3] = ["/usr", "/lib", "/lib64"];

/// A node on which pods are made.
#[derive(Clone, Copy)]
pub(crate) enum TestNode<'a> {
    Docker {
        testbed: &'a Path,
        /// The engine of the testbed.
        engine: &'a str,
        /// The network of pods that have one of their own.
        network: &'a str,
    },
    /// One whose runtime speaks CRI.
    Cri(&'a ContainerdNode),
}

/// A node of each runtime that a test has for itself, where pods reach each other.
pub(crate) struct OwnNodes {
    testbed: PathBuf,
    docker: Engine,
    containerd: ContainerdNode,
    /// Its sandboxes have no process.
    crio: ContainerdNode,
}

impl OwnNodes {
    const NETWORK: &'static str = "pods";

    /// `octet` makes the subnet of the one that runs Docker.
    pub(crate) fn start(testbed: &Path, name: &str, octet: u8) -> Self {
        let docker = Engine::start(testbed, &format!("{name}-docker"));
        let subnet = format!("--subnet=172.31.{octet}.0/24");
        let network = ["network", "create", &subnet, Self::NETWORK];
        docker.docker(&network).ok();
        let containerd = ContainerdNode::start(testbed, name);
        let crio = ContainerdNode::with_crio(testbed, &format!("{name}-crio"), false);
        Self {
            testbed: testbed.into(),
            docker,
            containerd,
            crio,
        }
    }

    pub(crate) fn all(&self) -> [TestNode<'_>; 3] {
        let docker = TestNode::Docker {
            testbed: &self.testbed,
            engine: &self.docker.name,
            network: Self::NETWORK,
        };
        let others = [&self.containerd, &self.crio].map(TestNode::Cri);
        [docker, others[0], others[1]]
    }
}

/// A container of a pod of a test's: busybox that runs a shell script.
#[derive(Clone, Default)]
pub(crate) struct Script {
    name: &'static str,
    lines: String,
    declared_port: Option<u16>,
    capability: Option<&'static str>,
    /// True where it runs this computer's programs.
    with_programs: bool,
}

impl Script {
    pub(crate) fn new(name: &'static str, script: &str) -> Self {
        Self {
            name,
            lines: script.to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn idle(name: &'static str) -> Self {
        Self::new(name, "exec busybox sleep 3600")
    }

    /// Declares a port, as `ports:` of a manifest does.
    pub(crate) fn port(mut self, port: u16) -> Self {
        self.declared_port = Some(port);
        self
    }

    /// Gives it a capability.
    pub(crate) fn capability(mut self, name: &'static str) -> Self {
        self.capability = Some(name);
        self
    }

    /// Lets it run this computer's programs.
    pub(crate) fn with_programs(mut self) -> Self {
        self.with_programs = true;
        self
    }

    fn docker_flags(&self) -> Vec<String> {
        let mut flags = vec!["--env=PATH=/bin:/usr/bin".to_owned()];
        if let Some(port) = self.declared_port {
            let list = format!("[{{\"containerPort\":{port},\"protocol\":\"TCP\"}}]");
            flags.push(format!(
                "--label=annotation.io.kubernetes.container.ports={list}"
            ));
        }
        flags.extend(self.capability.map(|name| format!("--cap-add={name}")));
        if self.with_programs {
            flags.extend(PROGRAMS.map(|folder| format!("--volume={folder}:{folder}:ro")));
        }
        flags
    }

    fn of_kubelet(&self) -> Container {
        let mut container = Container::of(self.name, BUSYBOX, &["/bin/busybox", "sh", "-c"]);
        container.command.push(self.lines.clone());
        let ports = self.declared_port.map(|port| (String::new(), port));
        container.ports.extend(ports);
        let more = self.capability.map(str::to_owned);
        container.added_capabilities.extend(more);
        if self.with_programs {
            container.mounts.extend(PROGRAMS.map(|folder| Mount {
                container_path: folder.into(),
                host_path: folder.into(),
                readonly: true,
                ..Mount::default()
            }));
        }
        container
    }
}

/// A pod whose containers are made anew only when the test says so; gone with the test.
pub(crate) struct TestPod<'a> {
    node: TestNode<'a>,
    name: &'a str,
    made: MadePod<'a>,
}

enum MadePod<'a> {
    Docker {
        made: RefCell<Made<'a>>,
        scripts: Vec<Script>,
        /// The newest attempt of each: its number and its ID.
        newest: RefCell<Vec<(usize, String)>>,
    },
    Kept(Pod<'a>),
}

impl TestNode<'static> {
    /// One of each runtime; none without the testbed.
    pub(crate) fn all() -> Vec<Self> {
        static NODES: OnceLock<(PathBuf, [ContainerdNode; 2])> = OnceLock::new();
        let Some(testbed) = testbed() else {
            return Vec::new();
        };
        let (testbed, [containerd, crio]) = NODES.get_or_init(|| {
            let containerd = ContainerdNode::start(&testbed, "any");
            // sandboxes have processes there, which these tests end
            let crio = ContainerdNode::with_crio(&testbed, "anycrio", true);
            (testbed, [containerd, crio])
        });
        let docker = Self::Docker {
            testbed,
            engine: "node",
            network: "none",
        };
        vec![docker, Self::Cri(containerd), Self::Cri(crio)]
    }
}

impl<'a> TestNode<'a> {
    pub(crate) fn runtime(self) -> &'static str {
        match self {
            Self::Docker { .. } => "docker",
            Self::Cri(node) if node.crio.is_some() => "cri-o",
            Self::Cri(_) => "containerd",
        }
    }

    /// A pod of the node with a network of its own.
    pub(crate) fn pod(self, name: &'a str, scripts: &[Script]) -> TestPod<'a> {
        self.pod_in(name, false, scripts)
    }

    /// A pod in the node's network.
    pub(crate) fn pod_of_host(self, name: &'a str, scripts: &[Script]) -> TestPod<'a> {
        self.pod_in(name, true, scripts)
    }

    fn pod_in(self, name: &'a str, host_network: bool, scripts: &[Script]) -> TestPod<'a> {
        let made = match self {
            Self::Docker {
                testbed,
                engine,
                network,
            } => {
                let network = if host_network { "host" } else { network };
                let image = busybox_image(testbed, engine);
                let mut made = Made::of_image(testbed, engine, name, network, image);
                let newest = scripts.iter().map(|one| (0, run(&mut made, one, 0)));
                MadePod::Docker {
                    newest: RefCell::new(newest.collect()),
                    made: RefCell::new(made),
                    scripts: scripts.to_vec(),
                }
            }
            Self::Cri(node) => {
                let mut wanted = Wanted::pod(name);
                wanted.host_network = host_network;
                wanted.containers = scripts.iter().map(Script::of_kubelet).collect();
                MadePod::Kept(Pod::made_once(node, wanted))
            }
        };
        TestPod {
            node: self,
            name,
            made,
        }
    }
}

fn run(made: &mut Made<'_>, script: &Script, attempt: usize) -> String {
    let flags = script.docker_flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let command = ["/bin/busybox", "sh", "-c", &script.lines];
    made.add_attempt(script.name, attempt, &flags, &command)
}

impl TestPod<'_> {
    /// devnet on the pod's node, with this sandbox's memory.
    pub(crate) fn devnet_by(&self, sandbox: &Sandbox, words: &[&str]) -> Output {
        Output::of(&mut self.command(sandbox, words))
    }

    pub(crate) fn devnet(&self, words: &[&str]) -> Output {
        self.devnet_by(&self.sandbox(), words)
    }

    /// A sandbox that knows the pod's node.
    pub(crate) fn sandbox(&self) -> Sandbox {
        match self.node {
            TestNode::Docker { .. } => Sandbox::bare(),
            TestNode::Cri(node) => node.sandbox(),
        }
    }

    /// devnet on the pod's node, ready to start.
    pub(crate) fn command(&self, sandbox: &Sandbox, words: &[&str]) -> std::process::Command {
        let (flag, node) = match (&self.made, self.node) {
            (MadePod::Docker { made, .. }, _) => ("-H", made.borrow().host()),
            (_, TestNode::Cri(node)) => ("-p", node.name.clone()),
            _ => unreachable!("a pod is of its node"),
        };
        sandbox.devnet_command(&[&[flag, node.as_str()], words].concat())
    }

    /// The newest attempt of a container.
    pub(crate) fn id(&self, container: &str) -> String {
        match &self.made {
            MadePod::Docker {
                scripts, newest, ..
            } => newest.borrow()[place(scripts, container)].1.clone(),
            MadePod::Kept(pod) => pod.container(container).id,
        }
    }

    pub(crate) fn sandbox_id(&self) -> String {
        match &self.made {
            MadePod::Docker { made, .. } => made.borrow().sandbox.clone(),
            MadePod::Kept(pod) => pod.sandbox().id,
        }
    }

    /// The first process of a container, as its node numbers it.
    fn pid(&self, container: &str) -> u32 {
        match &self.made {
            MadePod::Docker { made, .. } => {
                let pid = made.borrow().pid(&self.id(container));
                pid.as_u64().and_then(|pid| pid.try_into().ok()).unwrap()
            }
            MadePod::Kept(pod) => pod.pid(container),
        }
    }

    /// The number of a namespace of a container's first process, as the kernel says it.
    pub(crate) fn inode(&self, container: &str, kind: &str) -> u64 {
        let link = self.on_node(&[
            "readlink",
            &format!("/proc/{}/ns/{kind}", self.pid(container)),
        ]);
        let number = link.split(['[', ']']).nth(1).unwrap();
        number.parse().unwrap()
    }

    /// Runs a program as root of the node to its good end.
    fn on_node(&self, words: &[&str]) -> String {
        match self.node {
            TestNode::Docker { .. } => tool(words[0], &words[1..]),
            TestNode::Cri(node) => node.run(words).ok(),
        }
    }

    /// The same in the network of a container.
    pub(crate) fn in_network(&self, container: &str, words: &[&str]) -> String {
        let pid = self.pid(container).to_string();
        self.on_node(&[&["nsenter", "-t", &pid, "-n"], words].concat())
    }

    /// Sends a signal, as `STOP`, to a container's first process.
    pub(crate) fn signal(&self, container: &str, signal: &str) {
        let pid = self.pid(container).to_string();
        self.on_node(&["kill", &format!("-{signal}"), &pid]);
    }

    /// Ends the sandbox's process.
    pub(crate) fn kill_sandbox(&self) {
        match &self.made {
            MadePod::Docker { made, .. } => {
                let made = made.borrow();
                made.docker(&["kill", &made.sandbox]);
            }
            MadePod::Kept(pod) => {
                pod.kill_pause();
                until("the sandbox is not ready", || pod.sandbox().state != 0);
            }
        }
    }

    /// Makes another sandbox while the one before runs, as two kubelets may; gives its ID.
    pub(crate) fn make_second_sandbox(&self) -> String {
        match &self.made {
            MadePod::Docker { made, .. } => made.borrow_mut().add_sandbox("none"),
            MadePod::Kept(pod) => pod.make_second_sandbox(),
        }
    }

    /// Gives a container's network another address.
    pub(crate) fn give_address(&self, container: &str, address: &str) {
        let add = ["ip", "address", "add", address, "dev", "lo"];
        self.in_network(container, &add);
    }

    /// Lets the runtime freeze a container, or let it go on; cri-o can't, and a signal does it there.
    pub(crate) fn freeze(&self, container: &str, frozen: bool) {
        let id = self.id(container);
        match (&self.made, self.node) {
            (MadePod::Docker { made, .. }, _) => {
                let verb = if frozen { "pause" } else { "unpause" };
                made.borrow().docker(&[verb, &id]);
            }
            (_, TestNode::Cri(node)) if node.crio.is_some() => {
                self.signal(container, if frozen { "STOP" } else { "CONT" });
            }
            (_, TestNode::Cri(node)) => {
                let verb = if frozen { "pause" } else { "resume" };
                node.ctr(&["tasks", verb, &id]).ok();
            }
            _ => unreachable!("a pod is of its node"),
        }
    }

    /// Waits until a container has ended.
    pub(crate) fn until_ended(&self, container: &str) {
        match &self.made {
            MadePod::Docker { made, .. } => {
                made.borrow().docker(&["wait", &self.id(container)]);
            }
            MadePod::Kept(pod) => {
                pod.until_ended(container);
            }
        }
    }

    /// Makes the next attempt of a container that has ended, as the kubelet does.
    pub(crate) fn again(&self, container: &str) {
        match &self.made {
            MadePod::Docker {
                made,
                scripts,
                newest,
            } => {
                let place = place(scripts, container);
                let attempt = newest.borrow()[place].0 + 1;
                let id = run(&mut made.borrow_mut(), &scripts[place], attempt);
                newest.borrow_mut()[place] = (attempt, id);
            }
            MadePod::Kept(pod) => {
                let before = self.id(container);
                until("the next attempt is made", || {
                    pod.make_again();
                    self.id(container) != before
                });
            }
        }
    }

    /// Waits until a container's newest attempt has printed a text.
    pub(crate) fn until_it_says(&self, container: &str, text: &str) {
        match &self.made {
            MadePod::Docker { made, .. } => {
                made.borrow().until_it_says(&self.id(container), text);
            }
            MadePod::Kept(pod) => pod.until_it_says(container, text),
        }
    }

    /// Waits until a TCP port is open in a container's network.
    pub(crate) fn until_it_listens(&self, container: &str, port: u16) {
        let filter = format!("sport = :{port}");
        until("the port is open", || {
            !self
                .in_network(container, &["ss", "-Htln", &filter])
                .is_empty()
        });
    }

    /// devnet's document of this pod, with the findings that are not of one pod.
    pub(crate) fn document(&self) -> Value {
        let name = format!("default/{}", self.name);
        let output = self.devnet(&["inspect", &name, "-o", "json"]);
        assert!(output.stderr.is_empty(), "{}", output.stderr);
        let document: Value = serde_json::from_str(&output.ok()).unwrap();
        assert_eq!(document["nodes"][0]["runtime"], self.node.runtime());
        document
    }

    /// Asserts that devnet finds these in this pod now and nothing else, and gives its document.
    #[track_caller]
    pub(crate) fn finds(&self, codes: &[&str]) -> Value {
        let document = self.document();
        assert_eq!(found(&document), codes, "{document:#}");
        document["pods"][0].clone()
    }
}

fn place(scripts: &[Script], container: &str) -> usize {
    scripts
        .iter()
        .position(|one| one.name == container)
        .unwrap()
}
