//! The lab on a real engine: pods come up, die and come back as they do under a kubelet.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::support::engines::Engine;
use crate::support::{Output, Sandbox, busybox_image, docker, testbed, until};

/// Engines for the lab's tests, one for each that runs: what `clean` takes away and what must be clean
/// in the end is a test's own alone. Whoever is done gives its engine to the next.
static FREE: Mutex<Vec<Engine>> = Mutex::new(Vec::new());
static STARTED: AtomicUsize = AtomicUsize::new(0);

/// An engine with no pods on it.
pub(crate) struct Lab {
    pub(crate) testbed: PathBuf,
    pub(crate) sandbox: Sandbox,
    engine: Option<Engine>,
}

impl Lab {
    pub(crate) fn new() -> Option<Self> {
        let testbed = testbed()?;
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let engine = free.unwrap_or_else(|| {
            let number = STARTED.fetch_add(1, Ordering::Relaxed);
            Engine::start(&testbed, &format!("lab-{number}"))
        });
        let lab = Self {
            testbed,
            sandbox: Sandbox::bare(),
            engine: Some(engine),
        };
        lab.run(&["down"]).ok();
        Some(lab)
    }

    /// The name of its engine.
    pub(crate) fn engine(&self) -> &str {
        &self.engine.as_ref().unwrap().name
    }

    pub(crate) fn host(&self) -> String {
        self.engine.as_ref().unwrap().url()
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let host = self.host();
        let mut all = vec!["-H", &host, "lab"];
        all.extend(arguments);
        self.sandbox.devnet(&all)
    }

    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        docker(&self.testbed, self.engine(), arguments).ok()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.sandbox.home().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    pub(crate) fn pod(&self, name: &str) -> Value {
        let all: Value = serde_json::from_str(&self.run(&["ps", "-o", "json"]).ok()).unwrap();
        all.as_array()
            .unwrap()
            .iter()
            .find(|pod| pod["name"] == name)
            .unwrap_or_else(|| panic!("{name} is not in {all:#}"))
            .clone()
    }

    /// Nothing of devnet's is in that engine.
    fn assert_clean(&self) {
        let label = "label=dev.devnet.role";
        for what in [
            &["ps", "-aq", "--filter", label][..],
            &["network", "ls", "-q", "--filter", label],
            &["volume", "ls", "-q", "--filter", label],
            &["images", "-q", "--filter", label],
        ] {
            assert_eq!(self.docker(what), "", "{what:?}");
        }
    }

    /// The engine's own description of a container.
    fn inspect(&self, id: &Value) -> Value {
        let said = self.docker(&["inspect", id.as_str().unwrap()]);
        serde_json::from_str::<Value>(&said).unwrap()[0].clone()
    }

    /// Waits until a container has printed a line with `wanted` in it.
    pub(crate) fn until_it_says(&self, id: &Value, wanted: &str) -> String {
        let says = || {
            let logs = ["logs", id.as_str().unwrap()];
            let both = docker(&self.testbed, self.engine(), &logs);
            both.stdout + &both.stderr
        };
        until(&format!("container {id} says `{wanted}`"), || {
            says().contains(wanted)
        });
        says()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.run(&["down"]);
        let free = FREE.lock();
        free.unwrap_or_else(PoisonError::into_inner)
            .extend(self.engine.take());
    }
}

pub(crate) fn container<'v>(pod: &'v Value, name: &str) -> &'v Value {
    pod["containers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|container| container["name"] == name)
        .unwrap()
}

#[test]
fn the_built_in_pod_talks_over_localhost_and_leaves_nothing_behind() {
    let Some(lab) = Lab::new() else { return };
    lab.run(&["up"]).ok();
    let pod = lab.pod("web");
    assert_eq!(pod["ready"], true, "{pod:#}");
    let ip = pod["ip"].as_str().unwrap();
    let sandbox = lab.inspect(&pod["sandbox"]["id"]);
    assert_eq!(sandbox["HostConfig"]["IpcMode"], "shareable");
    assert_eq!(
        sandbox["NetworkSettings"]["Networks"]["devnet-lab"]["IPAddress"],
        ip
    );
    let joined = format!("container:{}", pod["sandbox"]["id"].as_str().unwrap());
    for name in ["server", "client"] {
        let app = lab.inspect(&container(&pod, name)["id"]);
        assert_eq!(app["HostConfig"]["NetworkMode"], joined);
        assert_eq!(app["HostConfig"]["IpcMode"], joined);
    }
    let said = lab.until_it_says(&container(&pod, "client")["id"], "answered in");
    assert!(
        said.contains(&format!("hello from pod web container server ip {ip}")),
        "{said}"
    );
    // a second time there is nothing to do
    let again = lab.run(&["up"]);
    assert!(again.stderr.contains("is up already"), "{again}");
    // who is named twice goes once
    assert_eq!(
        lab.run(&["down", "web", "default/web"]).ok(),
        "pod/default/web down\n"
    );
    lab.assert_clean();
}

#[test]
fn a_killed_container_keeps_the_pods_address_and_a_killed_sandbox_gets_the_next() {
    let Some(lab) = Lab::new() else { return };
    lab.run(&["up"]).ok();
    let before = lab.pod("web");
    lab.run(&["kill", "web", "-c", "server"]).ok();
    let after = lab.pod("web");
    assert_eq!(after["sandbox"], before["sandbox"]);
    assert_eq!(after["ip"], before["ip"]);
    assert_eq!(container(&after, "server")["attempt"], 1);
    assert_eq!(container(&after, "client"), container(&before, "client"));
    let old = lab.inspect(&container(&before, "server")["id"]);
    assert_eq!(old["State"]["ExitCode"], 137, "the dead one is kept");
    lab.until_it_says(&container(&after, "server")["id"], "GET / HTTP/1.1");

    let mut addresses = vec![before["ip"].clone()];
    for attempt in 1..=3 {
        lab.run(&["kill", "web"]).ok();
        let pod = lab.pod("web");
        assert_eq!(pod["sandbox"]["attempt"], attempt);
        assert_eq!(pod["ready"], true);
        assert!(!addresses.contains(&pod["ip"]), "an address came back");
        addresses.push(pod["ip"].clone());
    }
    let kept = lab.docker(&["ps", "-aq", "--filter", "label=dev.devnet.role=lab-sandbox"]);
    assert_eq!(kept.lines().count(), 2, "the newest and the one before");
    let kept = lab.docker(&[
        "ps",
        "-aq",
        "--filter",
        "label=dev.devnet.role=lab-container",
    ]);
    assert_eq!(kept.lines().count(), 4);
}

#[test]
fn a_restart_that_fails_by_itself_is_told_once_with_its_reason() {
    let Some(lab) = Lab::new() else { return };
    let busybox = busybox_image(&lab.testbed, lab.engine());
    let once = lab.write(
        "once.yaml",
        &format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: once}}\nspec:\n  volumes: [{{name: v, emptyDir: {{}}}}]\n  \
             initContainers:\n  - name: first\n    image: {busybox}\n    imagePullPolicy: Never\n    \
             command: [/bin/busybox, mkdir, /v/once]\n    volumeMounts: [{{name: v, mountPath: /v}}]\n  \
             containers:\n  - {{name: app, image: devnet-probe, args: [serve, \"80\"]}}\n"
        ),
    );
    lab.run(&["up", &once]).ok();
    // the second time, too, as what the first left is no other devnet's either
    for attempt in [1, 2] {
        let said = lab.run(&["restart", "once"]).fails(1);
        assert!(
            said.contains("init container `first` of default/once ended with code 1"),
            "{said}"
        );
        assert!(!said.contains("comes and goes"), "{said}");
        assert_eq!(lab.pod("once")["sandbox"]["attempt"], attempt);
    }
    lab.run(&["down", "once"]).ok();

    let port = lab.write(
        "port.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: port}\nspec:\n  containers:\n  \
         - {name: app, image: devnet-probe, args: [serve, \"80\"], ports: [{containerPort: 80, hostPort: 18087}]}\n",
    );
    lab.run(&["up", &port]).ok();
    lab.docker(&["kill", lab.pod("port")["sandbox"]["id"].as_str().unwrap()]);
    let mut taken = None;
    until("the port is free", || {
        taken = std::net::TcpListener::bind("0.0.0.0:18087").ok();
        taken.is_some()
    });
    for attempt in [1, 2] {
        let said = lab.run(&["kill", "port"]).fails(1);
        assert!(said.contains("18087"), "{said}");
        assert!(!said.contains("comes and goes"), "{said}");
        assert_eq!(lab.pod("port")["sandbox"]["attempt"], attempt);
    }
    drop(taken);
    lab.run(&["kill", "port"]).ok();
    assert_eq!(lab.pod("port")["ready"], true);
}

#[test]
fn what_can_not_come_up_leaves_nothing_behind() {
    let Some(lab) = Lab::new() else { return };
    let missing = lab.write(
        "missing.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  \
         - {name: app, image: \"127.0.0.1:9/none:1\", imagePullPolicy: Never}\n",
    );
    let said = lab.run(&["up", &missing]).fails(4);
    assert!(said.contains("`127.0.0.1:9/none:1`"), "{said}");
    lab.assert_clean();

    let no_command = lab.write(
        "no-command.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  \
         - {name: app, image: devnet-probe, command: [/no/such/program]}\n",
    );
    let said = lab.run(&["up", &no_command]).fails(1);
    assert!(said.contains("pod/default/a did not come up"), "{said}");
    lab.assert_clean();

    let init = lab.write(
        "init.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  initContainers:\n  \
         - {name: first, image: devnet-probe, args: [client, nonsense]}\n  containers:\n  \
         - {name: app, image: devnet-probe, args: [serve, \"80\"]}\n",
    );
    let said = lab.run(&["up", &init]).fails(1);
    assert!(
        said.contains("init container `first` of default/a ended with code 1"),
        "{said}"
    );
    assert!(said.contains("does not begin with http://"), "{said}");
    lab.assert_clean();
}

#[test]
fn an_interrupted_lab_up_removes_what_it_made() {
    let Some(lab) = Lab::new() else { return };
    // an init container that never ends keeps it busy
    let file = lab.write(
        "slow.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: slow}\nspec:\n  initContainers:\n  \
         - {name: wait, image: devnet-probe, args: [pause]}\n  containers:\n  \
         - {name: app, image: devnet-probe, args: [serve, \"80\"]}\n",
    );
    let mut child = lab
        .sandbox
        .devnet_command(&["-H", &lab.host(), "lab", "up", &file])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let filter = "label=dev.devnet.container.name=wait";
    until("the init container runs", || {
        !lab.docker(&["ps", "-q", "--filter", filter]).is_empty()
    });
    let told = lab
        .sandbox
        .command("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(told.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    lab.assert_clean();
}

#[test]
fn a_field_that_the_lab_lacks_is_named_before_anything_starts() {
    let Some(lab) = Lab::new() else { return };
    let file = lab.write(
        "wrong.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n  - name: app\n    \
         image: devnet-probe\n    ports:\n    - containerPort: 123456\n    tolerance: 3\n",
    );
    let said = lab.run(&["up", &file]).fails(2);
    assert!(
        said.contains("wrong.yaml:10: spec.containers[0].ports[0].containerPort: 123456"),
        "{said}"
    );
    assert!(
        said.contains("wrong.yaml:11: spec.containers[0].tolerance"),
        "{said}"
    );
    lab.assert_clean();
}

#[test]
fn every_way_to_break_a_pod_shows_and_a_restart_repairs_it() {
    let Some(lab) = Lab::new() else { return };
    lab.run(&["up"]).ok();
    let state = |id: &Value| lab.inspect(id)["State"]["Status"].clone();

    let said = lab.run(&["break", "conflict", "web"]).ok();
    assert!(
        said.contains("wanted 8080 and ended with code 1") && said.contains("Address in use"),
        "{said}"
    );
    lab.run(&["restart", "web"]).ok();
    let pod = lab.pod("web");
    assert_eq!(pod["containers"].as_array().unwrap().len(), 2, "{pod:#}");

    lab.run(&["break", "freeze", "web"]).ok();
    assert_eq!(state(&container(&pod, "server")["id"]), "paused");
    lab.run(&["restart", "web"]).ok();

    let pod = lab.pod("web");
    lab.run(&["break", "split", "web"]).ok();
    let started = |id: &Value| lab.inspect(id)["State"]["StartedAt"].clone();
    let (sandbox, web) = (&pod["sandbox"]["id"], &container(&pod, "server")["id"]);
    assert!(started(sandbox).as_str() > started(web).as_str());
    lab.run(&["restart", "web"]).ok();

    let pod = lab.pod("web");
    lab.run(&["break", "orphan", "web"]).ok();
    assert_eq!(state(&pod["sandbox"]["id"]), "exited");
    assert_eq!(state(&container(&pod, "server")["id"]), "running");
    // nothing is left to break
    let said = lab.run(&["break", "split", "web"]).fails(1);
    assert!(said.contains("lab restart"), "{said}");
    lab.run(&["restart", "web"]).ok();
    assert_eq!(lab.pod("web")["ready"], true);
    assert_eq!(state(&container(&pod, "server")["id"]), "exited");
}

#[test]
fn a_manifest_with_volumes_inits_and_host_ports_runs_as_it_says() {
    let Some(lab) = Lab::new() else { return };
    let archive = lab.sandbox.home().join("busybox.tar");
    let archive = archive.display().to_string();
    let tar = lab
        .sandbox
        .command("tar")
        .args(["-C", "/bin", "-cf", &archive, "busybox"])
        .status();
    assert!(tar.unwrap().success());
    lab.docker(&["import", &archive, "lab-busybox:1"]);
    let file = lab.write(
        "broad.yaml",
        r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: conf, namespace: shop}
data: {page: "from the map", other: "not mounted"}
---
apiVersion: v1
kind: Pod
metadata: {name: broad, namespace: shop, labels: {app: x}}
spec:
  shareProcessNamespace: true
  securityContext: {runAsUser: 1000, fsGroup: 2000}
  terminationGracePeriodSeconds: 1
  initContainers:
  - name: one
    image: lab-busybox:1
    command: [/busybox, sh, -c, "echo first > /shared/log; echo kept > /memory/log"]
    volumeMounts: [{name: disk, mountPath: /shared}, {name: memory, mountPath: /memory}]
  - name: two
    image: lab-busybox:1
    command: [/busybox, sh, -c, "echo second >> /shared/log"]
    volumeMounts: [{name: disk, mountPath: /shared}]
  containers:
  - name: main
    image: lab-busybox:1
    command: [/busybox, sh, -c]
    args:
    - |
      b=/busybox; $b cat /shared/log /memory/log /conf/www/index.html; echo
      echo ip $(IP) app $(APP); $b id; $b stat -c 'pid 1 is %C' / 2>/dev/null
      $b tr '\0' ' ' < /proc/1/cmdline; echo; $b touch /conf/x; echo done; $b sleep 1000
    env:
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: APP, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
    resources: {limits: {cpu: 500m, memory: 64Mi}}
    volumeMounts:
    - {name: disk, mountPath: /shared}
    - {name: memory, mountPath: /memory}
    - {name: conf, mountPath: /conf}
    ports: [{containerPort: 8080, hostPort: 18087}]
  - {name: server, image: devnet-probe, args: [serve, "8080"]}
  volumes:
  - {name: disk, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: conf, configMap: {name: conf, items: [{key: page, path: www/index.html}]}}
"#,
    );
    lab.run(&["up", &file]).ok();
    let pod = lab.pod("broad");
    let main = &container(&pod, "main")["id"];
    let said = lab.until_it_says(main, "done");
    for wanted in [
        "first\nsecond\nkept\nfrom the map\n",
        &format!("ip {} app x\n", pod["ip"].as_str().unwrap()),
        "uid=1000 gid=0 groups=0,2000",
        "/devnet-probe pause",
    ] {
        assert!(said.contains(wanted), "{wanted:?} is not in:\n{said}");
    }
    let facts = lab.inspect(main);
    assert_eq!(facts["HostConfig"]["Memory"], 64 << 20);
    assert_eq!(facts["HostConfig"]["NanoCpus"], 500_000_000);
    assert_eq!(
        facts["HostConfig"]["PidMode"],
        facts["HostConfig"]["NetworkMode"]
    );
    let said = Output::of(lab.sandbox.command("curl").args(["-s", "127.0.0.1:18087"])).ok();
    assert!(said.starts_with("hello from pod broad"), "{said}");
    // the volumes outlive the sandbox: the init containers run again and write once more
    lab.run(&["kill", "shop/broad"]).ok();
    let main = container(&lab.pod("broad"), "main")["id"].clone();
    lab.until_it_says(&main, "done");
    lab.run(&["down", "shop/broad"]).ok();
    lab.assert_clean();
    lab.docker(&["rmi", "lab-busybox:1"]);
}

#[test]
fn two_devnets_that_bring_up_one_pod_at_once_make_one_pod() {
    let Some(lab) = Lab::new() else { return };
    let host = lab.host();
    for _ in 0..3 {
        let up = || {
            lab.sandbox
                .command(env!("CARGO_BIN_EXE_devnet"))
                .args(["-H", &host, "lab", "up"])
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        };
        let (first, second) = (up(), up());
        let all = [first, second].map(|child| child.wait_with_output().unwrap());
        let said = all
            .iter()
            .map(|one| String::from_utf8_lossy(&one.stderr).into_owned())
            .collect::<String>();
        assert!(all.iter().any(|one| one.status.success()), "{said}");
        for one in &all {
            let code = one.status.code();
            assert!(matches!(code, Some(0 | 1)), "{code:?}: {said}");
        }
        if all.iter().any(|one| !one.status.success()) {
            let known = said.contains("another devnet brings up")
                // it looked when the other was half-way
                || said.contains("not all of it runs");
            assert!(known, "{said}");
        }
        let there: Value = serde_json::from_str(&lab.run(&["ps", "-o", "json"]).ok()).unwrap();
        assert_eq!(there.as_array().unwrap().len(), 1, "{there:#}");
        assert_eq!(lab.run(&["up"]).ok(), "", "it is whole");
        lab.run(&["down"]).ok();
    }
    lab.assert_clean();
}

#[test]
fn the_claims_are_proved_and_each_experiment_notices_a_broken_one() {
    let Some(lab) = Lab::new() else { return };
    let proved: Value = serde_json::from_str(&lab.run(&["prove", "-o", "json"]).ok()).unwrap();
    let claims = proved["claims"].as_array().unwrap();
    assert_eq!(claims.len(), 13);
    for claim in claims {
        // Docker has no shared UTS namespace
        assert_eq!(claim["holds"], claim["id"] != "shares-uts", "{claim:#}");
        assert!(!claim["evidence"].as_array().unwrap().is_empty());
    }
    for claim in claims.iter().filter_map(|claim| claim["id"].as_str()) {
        let said = lab.run(&["prove", claim, "--sabotage", claim]).fails(1);
        assert!(
            said.contains(&format!("not as expected: {claim}")),
            "{said}"
        );
    }
    let said = lab.run(&["prove", "nonsense"]).fails(2);
    assert!(said.contains("there are: unique-ip"), "{said}");
    lab.assert_clean();
}

#[test]
fn clean_removes_what_a_killed_devnet_left_and_nothing_of_others() {
    let Some(lab) = Lab::new() else { return };
    let file = lab.write(
        "slow.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: slow}\nspec:\n  initContainers:\n  \
         - {name: wait, image: devnet-probe, args: [pause]}\n  containers:\n  \
         - {name: app, image: devnet-probe, args: [serve, \"80\"]}\n  volumes:\n  \
         - {name: v, emptyDir: {}}\n",
    );
    let mut child = lab
        .sandbox
        .devnet_command(&["-H", &lab.host(), "lab", "up", &file])
        .spawn()
        .unwrap();
    let waiting = "label=dev.devnet.container.name=wait";
    until("the init container runs", || {
        !lab.docker(&["ps", "-q", "--filter", waiting]).is_empty()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let probe = lab.docker(&["images", "-q", "--filter", "label=dev.devnet.role"]);
    let transfer = "127.0.0.1:4711/devnet-transfer/shop/app:1";
    lab.docker(&["tag", probe.trim(), "clean-other:1"]);
    lab.docker(&["network", "create", "clean-other"]);
    let archive = lab.write("empty.tar", "");
    std::fs::write(&archive, [0; 1024]).unwrap();
    lab.docker(&["import", &archive, "clean-mine:1"]);
    lab.docker(&["tag", "clean-mine:1", transfer]);
    lab.docker(&["rmi", "clean-other:1"]);

    let said = lab.sandbox.devnet(&["-H", &lab.host(), "clean"]).ok();
    assert!(said.contains("removed"), "{said}");
    lab.assert_clean();
    let images = lab.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert!(images.contains("clean-mine:1") && !images.contains("devnet-transfer"));
    lab.docker(&["network", "rm", "clean-other"]);
    lab.docker(&["rmi", "clean-mine:1"]);
    let said = lab.sandbox.devnet(&["-H", &lab.host(), "clean"]).ok();
    assert!(said.contains("nothing of devnet's"), "{said}");
}

#[test]
fn what_is_there_is_proved_by_reading_and_a_split_pod_is_noticed() {
    let Some(lab) = Lab::new() else { return };
    let two = lab
        .sandbox
        .devnet(&["new", "pod", "--set", "name=two"])
        .ok();
    let file = lab.write("two.yaml", &two);
    lab.run(&["up"]).ok();
    lab.run(&["up", &file]).ok();
    lab.until_it_says(&container(&lab.pod("two"), "client")["id"], "answered");
    lab.run(&["kill", "web", "-c", "server"]).ok();
    lab.until_it_says(&container(&lab.pod("web"), "client")["id"], "answered");
    let host = lab.host();
    let read = || lab.sandbox.devnet(&["-H", &host, "prove", "-o", "json"]);
    let verdict = |text: &str, id: &str| -> Value {
        let document: Value = serde_json::from_str(text).unwrap();
        let claims = document["claims"].as_array().unwrap();
        let claim = claims.iter().find(|claim| claim["id"] == id).unwrap();
        claim["holds"].clone()
    };
    let said = read().ok();
    for id in [
        "unique-ip",
        "same-port-two-pods",
        "same-port-one-pod",
        "container-death",
        "shares-net",
        "shares-ipc",
    ] {
        assert_eq!(verdict(&said, id), true, "{id} in {said}");
    }
    assert_eq!(verdict(&said, "shares-uts"), false);
    lab.run(&["break", "split", "two"]).ok();
    let broken = read();
    assert_eq!(broken.code, 1, "{broken}");
    assert_eq!(verdict(&broken.stdout, "shares-net"), false);
}

#[test]
fn kills_at_the_same_time_all_succeed_and_leave_the_pod_whole() {
    let Some(lab) = Lab::new() else { return };
    lab.run(&["up"]).ok();
    let name = {
        let all: Value = serde_json::from_str(&lab.run(&["ps", "-o", "json"]).ok()).unwrap();
        all[0]["name"].as_str().unwrap().to_owned()
    };
    let host = lab.host();
    let first = lab.pod(&name)["containers"][0]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let of_one = ["-H", &host, "lab", "kill", &name, "-c", &first];
    let of_all = ["-H", &host, "lab", "kill", &name];
    for (round, arguments) in [&of_one[..], &of_all, &of_one].into_iter().enumerate() {
        let children: Vec<_> = (0..3)
            .map(|_| {
                let mut command = lab.sandbox.devnet_command(arguments);
                command.stdout(std::process::Stdio::piped());
                command.stderr(std::process::Stdio::piped());
                command.spawn().unwrap()
            })
            .collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "round {round}: {said}");
        }
        let pod = lab.pod(&name);
        let containers = pod["containers"].as_array().unwrap();
        assert!(
            containers.iter().all(|one| one["state"] == "running"),
            "round {round}: {pod:#}"
        );
        // and of each container one runs
        let running = [
            "ps",
            "-q",
            "--filter",
            "label=dev.devnet.role=lab-container",
        ];
        assert_eq!(lab.docker(&running).lines().count(), containers.len());
    }
}
