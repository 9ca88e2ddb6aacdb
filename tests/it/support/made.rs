//! Pods made by hand on a real engine, shaped as the kubelet makes them.

use std::path::Path;

use serde_json::Value;

use super::{Output, Sandbox, busybox_image, docker, until};

/// A pod shaped as the kubelet makes it, gone with the test.
pub(crate) struct Made<'a> {
    pub(crate) testbed: &'a Path,
    /// The engine of the testbed that it is on.
    engine: &'a str,
    pub(crate) name: &'a str,
    pub(crate) image: String,
    /// The newest sandbox's ID.
    pub(crate) sandbox: String,
    sandboxes: Vec<String>,
    containers: Vec<String>,
}

impl<'a> Made<'a> {
    pub(crate) fn new(testbed: &'a Path, name: &'a str) -> Self {
        Self::with_network(testbed, name, "none")
    }

    pub(crate) fn with_network(testbed: &'a Path, name: &'a str, network: &str) -> Self {
        let image = busybox_image(testbed, "node");
        Self::of_image(testbed, "node", name, network, image)
    }

    /// A pod on one of the testbed's engines whose containers are all from one image.
    pub(crate) fn of_image(
        testbed: &'a Path,
        engine: &'a str,
        name: &'a str,
        network: &str,
        image: String,
    ) -> Self {
        let mut made = Self {
            testbed,
            engine,
            name,
            image,
            sandbox: String::new(),
            sandboxes: Vec::new(),
            containers: Vec::new(),
        };
        made.add_sandbox(network);
        made
    }

    /// Another sandbox, as the kubelet makes one when the one before has ended.
    pub(crate) fn add_sandbox(&mut self, network: &str) -> String {
        let attempt = self.sandboxes.len();
        let mut all = vec!["run".to_owned(), "-d".into()];
        all.extend(self.labels("podsandbox", "POD", attempt));
        all.push(format!("--network={network}"));
        all.extend(["--ipc=shareable", "--user=65535:65535"].map(str::to_owned));
        all.push(self.image.clone());
        all.extend(["/bin/busybox", "sleep", "3600"].map(str::to_owned));
        self.sandbox = self.run(&all);
        self.sandboxes.push(self.sandbox.clone());
        self.sandbox.clone()
    }

    fn labels(&self, kind: &str, container: &str, attempt: usize) -> Vec<String> {
        vec![
            format!(
                "--name=k8s_{container}_{0}_default_uid-{0}_{attempt}",
                self.name
            ),
            format!("--label=io.kubernetes.docker.type={kind}"),
            format!("--label=io.kubernetes.container.name={container}"),
            format!("--label=io.kubernetes.pod.name={}", self.name),
            "--label=io.kubernetes.pod.namespace=default".into(),
            format!("--label=io.kubernetes.pod.uid=uid-{}", self.name),
        ]
    }

    /// Adds a container; `more` are flags of `docker run`.
    pub(crate) fn add(&mut self, container: &str, more: &[&str], command: &[&str]) -> String {
        self.add_attempt(container, 0, more, command)
    }

    /// Adds a container that the kubelet would have restarted so often.
    pub(crate) fn add_attempt(
        &mut self,
        container: &str,
        attempt: usize,
        more: &[&str],
        command: &[&str],
    ) -> String {
        let mut all = vec!["run".to_owned(), "-d".into()];
        all.extend(self.labels("container", container, attempt));
        all.push(format!("--label=io.kubernetes.sandbox.id={}", self.sandbox));
        all.push(format!(
            "--label=annotation.io.kubernetes.container.restartCount={attempt}"
        ));
        all.push(format!("--network=container:{}", self.sandbox));
        all.push(format!("--ipc=container:{}", self.sandbox));
        all.extend(more.iter().map(|flag| (*flag).to_owned()));
        all.push(self.image.clone());
        all.extend(command.iter().map(|word| (*word).to_owned()));
        let id = self.run(&all);
        self.containers.push(id.clone());
        id
    }

    /// A container that does nothing for an hour.
    pub(crate) fn add_sleeper(&mut self, container: &str) -> String {
        self.add(container, &[], &["/bin/busybox", "sleep", "3600"])
    }

    fn run(&self, arguments: &[String]) -> String {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.docker(&arguments).trim().to_owned()
    }

    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        docker(self.testbed, self.engine, arguments).ok()
    }

    /// The process ID of a container's first process.
    pub(crate) fn pid(&self, id: &str) -> Value {
        let pid = self.docker(&["inspect", "-f", "{{.State.Pid}}", id]);
        pid.trim().parse::<u64>().unwrap().into()
    }

    /// Gives the sandbox's network namespace an address, as a CNI plugin would.
    pub(crate) fn give_address(&self, address: &str) {
        let pid = self.pid(&self.sandbox).to_string();
        let set = [
            "-t", &pid, "-n", "ip", "address", "add", address, "dev", "lo",
        ];
        tool("nsenter", &set);
    }

    /// Waits until a container has printed a text.
    pub(crate) fn until_it_says(&self, id: &str, text: &str) {
        until(&format!("container {id} says `{text}`"), || {
            // asked first: what it printed before its end is there when it has ended
            let state = self.docker(&["inspect", "-f", "{{.State.Status}}", id]);
            let logs = docker(self.testbed, self.engine, &["logs", id]);
            let said = logs.stdout.contains(text) || logs.stderr.contains(text);
            assert!(said || state.trim() == "running", "{logs}");
            said
        });
    }

    pub(crate) fn host(&self) -> String {
        let socket = format!("{}.sock", self.engine);
        format!("unix://{}", self.testbed.join(socket).display())
    }

    /// The document of devnet about this pod now, with the findings that are not of one pod.
    pub(crate) fn document(&self) -> Value {
        self.document_by(&self.host())
    }

    /// The same through another address of the engine.
    pub(crate) fn document_by(&self, host: &str) -> Value {
        let name = format!("default/{}", self.name);
        let output = Sandbox::bare().devnet(&["-H", host, "inspect", &name, "-o", "json"]);
        assert!(output.stderr.is_empty(), "{}", output.stderr);
        let document: Value = serde_json::from_str(&output.ok()).unwrap();
        assert_eq!(document["pods"].as_array().unwrap().len(), 1);
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

/// The codes of all findings of a document, those of pods first.
pub(crate) fn found(document: &Value) -> Vec<String> {
    let of = |value: &Value| value["findings"].as_array().unwrap().clone();
    let pods = document["pods"].as_array().unwrap();
    let all = pods.iter().flat_map(of).chain(of(document));
    all.map(|finding| finding["code"].as_str().unwrap().to_owned())
        .collect()
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        let mut arguments = vec!["rm", "-f"];
        arguments.extend(self.sandboxes.iter().map(String::as_str));
        arguments.extend(self.containers.iter().map(String::as_str));
        // a failed test has told its reason already
        let _done = docker(self.testbed, self.engine, &arguments);
    }
}

/// The number of a process's namespace, as the kernel says it.
pub(crate) fn inode(pid: &Value, kind: &str) -> u64 {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
    let text = link.display().to_string();
    text[text.find('[').unwrap() + 1..text.len() - 1]
        .parse()
        .unwrap()
}

/// Runs a program of this computer to its good end, and gives what it printed.
#[track_caller]
pub(crate) fn tool(program: &str, arguments: &[&str]) -> String {
    let sandbox = Sandbox::bare();
    Output::of(sandbox.command(program).args(arguments)).ok()
}
