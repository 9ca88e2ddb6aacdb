//! `devnet build --watch` against a real engine: changes, failures, and the pods that run the image.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use crate::support::build::{Build, exists};
use crate::support::lab::{Lab, container};
use crate::support::{Output, docker, until};

/// A watching devnet and what it says on stderr.
pub(crate) struct Watching<'b> {
    build: &'b Build,
    child: Child,
    said: Receiver<String>,
}

impl<'b> Watching<'b> {
    fn new(build: &'b Build, arguments: &[&str]) -> Self {
        let mut all = vec!["--watch", "--network", "none", "--progress", "quiet"];
        all.extend(arguments);
        Self::of(build, build.command(&all))
    }

    pub(crate) fn of(build: &'b Build, mut command: std::process::Command) -> Self {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, said) = channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ended = to.send(line);
            }
        });
        Self { build, child, said }
    }

    /// The lines up to the first with `wanted` in it.
    pub(crate) fn until(&self, wanted: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.said.recv_timeout(Duration::from_mins(1)) {
                Ok(line) => lines.push(line),
                Err(error) => panic!("`{wanted}` was not said ({error}): {lines:#?}"),
            }
            if lines.last().unwrap().contains(wanted) {
                return lines;
            }
        }
    }

    /// Ends it with Ctrl-C.
    pub(crate) fn end(mut self) {
        let pid = self.child.id().to_string();
        Output::of(self.build.sandbox.command("kill").args(["-INT", &pid])).ok();
        assert_eq!(self.child.wait().unwrap().code(), Some(130));
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        let _gone = self.child.wait();
    }
}

#[test]
fn a_change_that_matters_builds_again_and_one_that_is_ignored_does_not() {
    let Some(build) = Build::new(&[
        (".dockerignore", "*.log\nout\n"),
        ("a", "1"),
        ("src/b", "1"),
    ]) else {
        return;
    };
    let home = build.sandbox.home();
    let dockerfile = home.join("docker/Dockerfile");
    std::fs::create_dir(home.join("docker")).unwrap();
    std::fs::write(&dockerfile, "FROM scratch\nCOPY . /\nCMD [\"x\"]\n").unwrap();
    let watching = Watching::new(
        &build,
        &["-t", "watched:1", "-f", dockerfile.to_str().unwrap()],
    );
    watching.until("watching ");
    assert_eq!(
        build.files("watched:1"),
        [".dockerignore", "a", "src/", "src/b"]
    );
    // what is ignored came first: if it counted, it would be named
    build.write("x.log", "");
    build.write("out/x", "");
    build.write("a", "2");
    assert_eq!(watching.until("changed: "), ["changed: a"]);
    watching.until("watching ");
    // a folder that is new is watched too
    build.write("new/deep/c", "1");
    let said = watching.until("changed: ").pop().unwrap();
    assert!(said.contains("new"), "{said}");
    watching.until("watching ");
    build.write("new/deep/c", "22");
    assert_eq!(watching.until("changed: "), ["changed: new/deep/c"]);
    watching.until("watching ");
    // as editors save: a new file takes the name
    std::fs::write(
        home.join("docker/.swap"),
        "FROM scratch\nCOPY a /only\nCMD [\"x\"]\n",
    )
    .unwrap();
    std::fs::rename(home.join("docker/.swap"), &dockerfile).unwrap();
    assert!(
        watching
            .until("changed: ")
            .pop()
            .unwrap()
            .ends_with("Dockerfile")
    );
    watching.until("watching ");
    assert_eq!(build.files("watched:1"), ["only"]);
    // the ignore file decides anew what matters
    build.write(".dockerignore", "a\n");
    assert_eq!(watching.until("changed: "), ["changed: .dockerignore"]);
    let said = watching.until("watching ");
    assert!(
        said.iter()
            .any(|line| line.contains("error: the build failed")),
        "{said:?}"
    );
    build.write("a", "3");
    build.write("x.log", "matters now");
    assert_eq!(watching.until("changed: "), ["changed: x.log"]);
    watching.until("watching ");
    watching.end();
}

#[test]
fn a_failed_build_keeps_watching_and_a_named_context_is_watched_as_well() {
    let Some(build) = Build::new(&[("Dockerfile", "FROM scratch\nCOPPY a /\n"), ("a", "1")]) else {
        return;
    };
    let other = build.sandbox.home().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("c"), "1").unwrap();
    let named = format!("other={}", other.display());
    let more: &[&str] = if build.major() < 23 {
        &["-t", "mended:1", "--iidfile", "id"]
    } else {
        &[
            "-t",
            "mended:1",
            "--iidfile",
            "id",
            "--build-context",
            &named,
        ]
    };
    let watching = Watching::new(&build, more);
    let said = watching.until("watching ").join("\n");
    assert!(said.contains("COPPY"), "{said}");
    assert!(!exists(&build.sandbox.home().join("id")));
    let copy = if build.major() < 23 {
        ""
    } else {
        "COPY --from=other c /\n"
    };
    build.write(
        "Dockerfile",
        &format!("FROM scratch\nCOPY a /\n{copy}CMD [\"x\"]\n"),
    );
    assert_eq!(watching.until("changed: "), ["changed: Dockerfile"]);
    let said = watching.until("watching ");
    assert_eq!(said.len(), 1, "{said:?}");
    let id = || std::fs::read_to_string(build.sandbox.home().join("id")).unwrap();
    let first = id();
    if build.major() >= 23 {
        std::fs::write(other.join("c"), "22").unwrap();
        assert_eq!(watching.until("changed: "), ["changed: c"]);
        watching.until("watching ");
        assert_ne!(first, id());
    }
    // the context vanishes under it
    std::fs::remove_dir_all(build.context()).unwrap();
    let mut watching = watching;
    let said = watching.until("error: no build context at");
    assert!(said.len() < 20, "{said:?}");
    assert_eq!(watching.child.wait().unwrap().code(), Some(1));
}

#[test]
fn what_is_not_on_this_computer_can_not_be_watched() {
    let Some(build) = Build::new(&[]) else { return };
    let stderr = build
        .with_input(&["--watch", "-"], b"FROM scratch\n")
        .fails(2);
    assert!(stderr.contains("nothing to watch"), "{stderr}");
    build.write("Dockerfile", "FROM scratch\n");
    let stderr = build.run(&["--watch", "--check"]).fails(2);
    assert!(stderr.contains("cannot be used with"), "{stderr}");
}

#[test]
fn a_watch_that_is_interrupted_while_it_builds_cancels_the_build_and_leaves_nothing() {
    let Some(build) = Build::new(&[(
        "Dockerfile",
        "FROM base\nCOPY bin /bin\nRUN [\"/bin/busybox\", \"sleep\", \"88\"]\n",
    )]) else {
        return;
    };
    let build = build.with_busybox();
    crate::build_layouts::with_layout(&build);
    let sleeps = || {
        std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .any(|process| {
                std::fs::read(process.path().join("cmdline"))
                    .is_ok_and(|line| line.starts_with(b"/bin/busybox\0sleep\x0088\0"))
            })
    };
    let arguments = [
        "-o",
        "type=oci,dest=out.tar",
        "--build-context",
        "base=oci-layout://layout",
    ];
    if build.major() < 23 {
        let said = build.run(&arguments).fails(1);
        assert!(said.contains("knows no named contexts"), "{said}");
        return;
    }
    let watching = Watching::new(&build, &arguments);
    let said = watching.until("hint: ");
    assert!(said[0].contains("with `-t NAME`"), "{said:?}");
    until("the step runs", sleeps);
    watching.end();
    until("the step ends", || !sleeps());
    assert_eq!(crate::build_layouts::transfers(&build), "");
    let left: Vec<_> = std::fs::read_dir(build.sandbox.home())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("out.tar"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

const SLEEPER: &str =
    "FROM scratch\nCOPY bin /bin\nCOPY a /\nENTRYPOINT [\"/bin/busybox\", \"sleep\", \"3600\"]\n";

const OTHER: &str = "devnet-test/busybox:latest";

#[test]
fn lab_pods_that_run_the_image_get_the_new_one_in_their_sandbox_at_their_address() {
    let Some(build) = Build::new(&[("Dockerfile", SLEEPER), ("a", "the lab's, 1")]) else {
        return;
    };
    let Some(lab) = Lab::new() else { return };
    let build = build.on(lab.engine()).with_busybox();
    build
        .run(&["-q", "--network", "none", "-t", "watched/app:dev"])
        .ok();
    let pod = |name: &str, image: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  containers:\n  \
             - {{name: app, image: {image}, imagePullPolicy: Never}}\n  \
             - {{name: beside, image: {OTHER}, imagePullPolicy: Never, command: [/bin/busybox, sleep, '3600']}}\n"
        )
    };
    let another =
        pod("another", OTHER).replace("Never}", "Never, command: [/bin/busybox, sleep, '3600']}");
    let file = lab.write(
        "pods.yaml",
        &format!("{}---\n{another}", pod("runs-it", "watched/app:dev")),
    );
    crate::support::busybox_image(&build.testbed, lab.engine());
    lab.run(&["up", &file]).ok();
    let before = lab.pod("runs-it");
    let others = lab.pod("another");
    let watching = Watching::new(&build, &["-t", "watched/app:dev"]);
    // nothing is new yet: nobody is disturbed
    assert_eq!(watching.until("watching ").len(), 1);
    build.write("a", "the lab's, 22");
    let said = watching.until("in the same sandbox").pop().unwrap();
    let ip = before["ip"].as_str().unwrap();
    assert!(
        said.contains("container app of pod/default/runs-it"),
        "{said}"
    );
    assert!(said.contains(ip), "{said}");
    watching.until("watching ");
    let after = lab.pod("runs-it");
    assert_eq!(after["sandbox"], before["sandbox"]);
    assert_eq!(after["ip"], before["ip"]);
    assert_eq!(container(&after, "beside"), container(&before, "beside"));
    assert_ne!(
        container(&after, "app")["id"],
        container(&before, "app")["id"]
    );
    let image = |of: &str| {
        let format = if of.contains(':') {
            "{{.Id}}"
        } else {
            "{{.Image}}"
        };
        build.docker(&["inspect", "-f", format, of]).ok()
    };
    assert_eq!(
        image(container(&after, "app")["id"].as_str().unwrap()),
        image("watched/app:dev")
    );
    assert_eq!(lab.pod("another"), others);
    watching.end();
}

/// A pod as the kubelet makes it: images by their ID.
pub(crate) struct KubeletPod<'b> {
    build: &'b Build,
    engine: &'b str,
    name: String,
    image: String,
    all: Vec<String>,
}

impl<'b> KubeletPod<'b> {
    pub(crate) fn new(
        (build, engine): (&'b Build, &'b str),
        name: &str,
        image: &str,
        annotation: Option<&str>,
    ) -> Self {
        let inspect = ["image", "inspect", "-f", "{{.Id}}", image];
        let image = docker(&build.testbed, engine, &inspect);
        let mut pod = Self {
            build,
            engine,
            name: name.to_owned(),
            image: image.ok().trim().to_owned(),
            all: Vec::new(),
        };
        let label = annotation.map(|json| {
            format!("--label=annotation.kubectl.kubernetes.io/last-applied-configuration={json}")
        });
        let more: Vec<&str> = label
            .as_deref()
            .into_iter()
            .chain(["--network", "none"])
            .collect();
        pod.run("podsandbox", "POD", &more);
        let joined = format!("--network=container:{}", pod.all[0]);
        let sandbox = format!("--label=io.kubernetes.sandbox.id={}", pod.all[0]);
        pod.run("container", "app", &[&joined, &sandbox]);
        pod
    }

    fn run(&mut self, kind: &str, container: &str, more: &[&str]) {
        let name = &self.name;
        let mut all = vec![
            "run".to_owned(),
            "-d".into(),
            format!("--name=k8s_{container}_{name}_default_uid-{name}_0"),
            format!("--label=io.kubernetes.docker.type={kind}"),
            format!("--label=io.kubernetes.container.name={container}"),
            format!("--label=io.kubernetes.pod.name={name}"),
            "--label=io.kubernetes.pod.namespace=default".into(),
            format!("--label=io.kubernetes.pod.uid=uid-{name}"),
        ];
        all.extend(more.iter().map(|flag| (*flag).to_owned()));
        all.push(self.image.clone());
        let arguments: Vec<&str> = all.iter().map(String::as_str).collect();
        let id = docker(&self.build.testbed, self.engine, &arguments).ok();
        self.all.push(id.trim().to_owned());
    }

    pub(crate) fn state(&self, index: usize) -> String {
        let inspect = ["inspect", self.all[index].as_str()];
        let said = docker(&self.build.testbed, self.engine, &inspect).ok();
        let all: Value = serde_json::from_str(&said).unwrap();
        let state = &all[0]["State"];
        format!(
            "{} {}",
            state["Status"].as_str().unwrap(),
            state["ExitCode"]
        )
    }
}

impl Drop for KubeletPod<'_> {
    fn drop(&mut self) {
        let mut arguments = vec!["rm", "-f"];
        arguments.extend(self.all.iter().map(String::as_str));
        docker(&self.build.testbed, self.engine, &arguments);
    }
}

#[test]
fn kubelet_pods_that_run_the_image_lose_that_container_and_keep_their_sandbox() {
    let Some(build) = Build::new(&[("Dockerfile", SLEEPER), ("a", "1")]) else {
        return;
    };
    let build = build.with_busybox();
    build
        .run(&[
            "-q",
            "--network",
            "none",
            "-t",
            "kubelets:latest",
            "-t",
            "kubelets:1",
        ])
        .ok();
    let manifest =
        r#"{"spec":{"containers":[{"name":"app","image":"kubelets","imagePullPolicy":"Always"}]}}"#;
    // the sandbox runs the same image here, and is left alone all the same
    let plain = KubeletPod::new((&build, "node"), "plain", "kubelets:latest", None);
    let pulls = KubeletPod::new((&build, "node"), "pulls", "kubelets:latest", Some(manifest));
    build.write(
        "other",
        "FROM scratch\nCOPY bin /bin\nENTRYPOINT [\"/bin/busybox\", \"sleep\", \"3600\"]\n",
    );
    build
        .run(&[
            "-q",
            "--network",
            "none",
            "-t",
            "other:1",
            "-f",
            "context/other",
        ])
        .ok();
    let other = KubeletPod::new((&build, "node"), "other", "other:1", None);
    let watching = Watching::new(&build, &["-t", "kubelets:latest"]);
    assert_eq!(watching.until("watching ").len(), 1);
    build.write("a", "22");
    let said = watching.until("watching ").join("\n");
    for wanted in [
        "container app of pod/default/plain was killed",
        "container app of pod/default/pulls was killed",
        "hint: pod/default/pulls has `imagePullPolicy: Always`",
        "hint: for `:latest` the kubelet asks a registry",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(!said.contains("pod/default/other"), "{said}");
    assert_eq!(
        (plain.state(0), plain.state(1)),
        ("running 0".into(), "exited 137".into())
    );
    assert_eq!(
        (pulls.state(0), pulls.state(1)),
        ("running 0".into(), "exited 137".into())
    );
    assert_eq!(other.state(1), "running 0");
    watching.end();
}
