//! Pods that a test makes step by step, as a kubelet does: its names, its labels, its order.

use std::path::Path;

use serde_json::Value;

use super::{Output, Sandbox, busybox_image, docker};

/// Does nothing until it is told to end, and ends well then.
pub(crate) const OBEDIENT: &str = "trap 'exit 0' TERM; /bin/busybox sleep 3600 & wait";

/// A pod that this test makes as the kubelet does, step by step.
pub(crate) struct Kubelet<'a> {
    testbed: &'a Path,
    engine: &'a str,
    sandbox: &'a Sandbox,
    pub(crate) name: &'a str,
    image: String,
}

impl<'a> Kubelet<'a> {
    pub(crate) fn new(
        testbed: &'a Path,
        sandbox: &'a Sandbox,
        name: &'a str,
        subnet: &str,
    ) -> Self {
        Self::on(testbed, "node", sandbox, name).with_network(subnet)
    }

    pub(crate) fn with_network(self, subnet: &str) -> Self {
        let net = format!("net-{}", self.name);
        self.docker(&["network", "create", "--subnet", subnet, &net]);
        self
    }

    /// A pod on another engine of the testbed, without a network of its own.
    pub(crate) fn on(
        testbed: &'a Path,
        engine: &'a str,
        sandbox: &'a Sandbox,
        name: &'a str,
    ) -> Self {
        let image = busybox_image(testbed, engine);
        Self {
            testbed,
            engine,
            sandbox,
            name,
            image,
        }
    }

    /// From now on its containers are made from another image.
    pub(crate) fn use_image(&mut self, image: &str) {
        image.clone_into(&mut self.image);
    }

    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        docker(self.testbed, self.engine, arguments)
            .ok()
            .trim()
            .to_owned()
    }

    pub(crate) fn run(&self, container: &str, kind: &str, attempt: u32, more: &[&str]) -> String {
        self.start(
            container,
            kind,
            attempt,
            more,
            &["/bin/busybox", "sleep", "3600"],
        )
    }

    /// A sandbox without an address that ends when it is told to, as the real pause does.
    pub(crate) fn obedient_pause(&self, attempt: u32) -> String {
        let network = ["--network=none"];
        let command = ["/bin/busybox", "sh", "-c", OBEDIENT];
        self.start("POD", "podsandbox", attempt, &network, &command)
    }

    fn start(
        &self,
        container: &str,
        kind: &str,
        attempt: u32,
        more: &[&str],
        command: &[&str],
    ) -> String {
        let started = self.try_start(container, kind, attempt, more, command);
        started.ok().trim().to_owned()
    }

    fn try_start(
        &self,
        container: &str,
        kind: &str,
        attempt: u32,
        more: &[&str],
        command: &[&str],
    ) -> Output {
        let labels = [
            format!(
                "--name=k8s_{container}_{0}_default_uid-{0}_{attempt}",
                self.name
            ),
            format!("--label=io.kubernetes.docker.type={kind}"),
            format!("--label=io.kubernetes.container.name={container}"),
            format!("--label=io.kubernetes.pod.name={}", self.name),
            "--label=io.kubernetes.pod.namespace=default".into(),
            format!("--label=io.kubernetes.pod.uid=uid-{}", self.name),
        ];
        let mut arguments = vec!["run", "-d"];
        arguments.extend(labels.iter().map(String::as_str));
        arguments.extend_from_slice(more);
        arguments.push(&self.image);
        arguments.extend_from_slice(command);
        docker(self.testbed, self.engine, &arguments)
    }

    /// Another container of the pod, with a shell script to run.
    pub(crate) fn script(
        &self,
        container: &str,
        attempt: u32,
        sandbox: &str,
        more: &[&str],
        script: &str,
    ) -> String {
        let started = self.try_script(container, attempt, sandbox, more, script);
        started.ok().trim().to_owned()
    }

    /// The same, which may fail to start.
    pub(crate) fn try_script(
        &self,
        container: &str,
        attempt: u32,
        sandbox: &str,
        more: &[&str],
        script: &str,
    ) -> Output {
        let label = format!("--label=io.kubernetes.sandbox.id={sandbox}");
        let net = format!("--network=container:{sandbox}");
        let mut flags = vec![label.as_str(), net.as_str()];
        flags.extend_from_slice(more);
        self.try_start(
            container,
            "container",
            attempt,
            &flags,
            &["/bin/busybox", "sh", "-c", script],
        )
    }

    pub(crate) fn pause(&self, attempt: u32, ip: &str) -> String {
        let net = format!("--network=net-{}", self.name);
        self.run("POD", "podsandbox", attempt, &[&net, "--ip", ip])
    }

    pub(crate) fn app(&self, attempt: u32, sandbox: &str) -> String {
        let (label, net) = (
            format!("--label=io.kubernetes.sandbox.id={sandbox}"),
            format!("--network=container:{sandbox}"),
        );
        self.run("app", "container", attempt, &[&label, &net])
    }

    pub(crate) fn devnet(&self, arguments: &[&str]) -> String {
        let host = format!(
            "unix://{}",
            self.testbed.join(format!("{}.sock", self.engine)).display()
        );
        let mut all = vec!["-H", host.as_str()];
        all.extend_from_slice(arguments);
        self.sandbox.devnet(&all).ok()
    }

    pub(crate) fn history(&self, more: &[&str]) -> Vec<Value> {
        let name = format!("default/{}", self.name);
        let mut arguments = vec!["history", name.as_str(), "-o", "json"];
        arguments.extend_from_slice(more);
        let document: Value = serde_json::from_str(&self.devnet(&arguments)).unwrap();
        assert_eq!(document["schema"], 1);
        document["pods"][0]["events"].as_array().unwrap().clone()
    }

    /// The verdict on the newest start of that kind.
    pub(crate) fn verdict(&self, kind: &str, more: &[&str]) -> Value {
        let events = self.history(more);
        let found = events.iter().rfind(|event| event["event"] == kind).unwrap();
        found["restart"].clone()
    }

    /// Fills the engine's memory of events with others.
    pub(crate) fn forget_events(&self) {
        let other = self.docker(&["create", &self.image, "/bin/busybox", "true"]);
        for n in 0..300 {
            self.docker(&["rename", &other, &format!("other-{}-{n}", self.name)]);
        }
        self.docker(&["rm", &other]);
    }
}

impl Drop for Kubelet<'_> {
    fn drop(&mut self) {
        let filter = format!("label=io.kubernetes.pod.name={}", self.name);
        let all = docker(self.testbed, self.engine, &["ps", "-aqf", &filter]).stdout;
        for id in all.lines() {
            drop(docker(self.testbed, self.engine, &["rm", "-f", id]));
        }
        let net = format!("net-{}", self.name);
        drop(docker(self.testbed, self.engine, &["network", "rm", &net]));
    }
}
