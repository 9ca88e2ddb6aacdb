//! The things in an engine that are devnet's, and those that only look like it: labels that an
//! image brings, names that a person gives; and those that another terminal's devnet uses just now.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use crate::support::engines::Engine;
use crate::support::lab::Lab;
use crate::support::rewriting::{Hold, Rewriting};
use crate::support::{Output, Sandbox, busybox_image, ended, testbed, until};

/// An engine of a test's own, with things of a person's in it.
struct Place {
    engine: Engine,
    sandbox: Sandbox,
    busybox: String,
}

impl Place {
    fn new(testbed: &Path, name: &str) -> Self {
        let engine = Engine::start(testbed, name);
        let busybox = busybox_image(testbed, name);
        Self {
            engine,
            sandbox: Sandbox::bare(),
            busybox,
        }
    }

    fn devnet(&self, arguments: &[&str]) -> Output {
        let host = self.engine.url();
        self.sandbox.devnet(&[&["-H", &host], arguments].concat())
    }

    fn begin(&self, arguments: &[&str]) -> Child {
        let host = self.engine.url();
        self.sandbox
            .devnet_command(&[&["-H", &host], arguments].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn end(&self, mut child: Child) {
        let id = child.id().to_string();
        Output::of(self.sandbox.command("kill").args(["-INT", &id])).ok();
        child.wait().unwrap();
    }

    fn docker(&self, arguments: &[&str]) -> String {
        self.engine.docker(arguments).ok().trim().to_owned()
    }

    /// An image whose containers inherit these labels (`dev.devnet.` left out).
    fn image(&self, name: &str, labels: &[(&str, &str)]) {
        let id = self.docker(&["create", &self.busybox, "/bin/busybox", "true"]);
        let changes: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("--change=LABEL dev.devnet.{name}='{value}'"))
            .collect();
        let mut all = vec!["commit"];
        all.extend(changes.iter().map(String::as_str));
        all.extend([id.as_str(), name]);
        self.docker(&all);
        self.docker(&["rm", &id]);
    }

    fn sleeper(&self, name: &str, image: &str) {
        let flags = ["run", "-d", "--network=none", "--name", name, image];
        self.docker(&[&flags[..], &["/bin/busybox", "sleep", "3600"]].concat());
    }

    /// The names of the containers, with their states.
    fn containers(&self) -> Vec<String> {
        let listed = self.docker(&["ps", "-a", "--format", "{{.Names}} {{.State}}"]);
        let mut names: Vec<String> = listed.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    fn running(&self) -> Vec<String> {
        let mut names = self.containers();
        names.retain(|name| name.ends_with(" running"));
        names
    }

    fn own(&self, what: &str) -> String {
        let names = self.docker(&["ps", "-a", "--format", "{{.Names}}"]);
        let own = names.lines().filter(|name| name.starts_with(what));
        own.collect::<Vec<_>>().join(" ")
    }
}

/// The mark of a devnet on this computer that has ended: Linux gives no such number.
fn gone() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let space = std::fs::read_link("/proc/self/ns/pid").unwrap();
    format!("{}/{}/4194305/1", boot.trim(), space.display())
}

#[test]
fn what_an_image_brought_or_a_person_made_is_never_taken() {
    let Some(testbed) = testbed() else { return };
    let place = Place::new(&testbed, "own-strange");
    let gone = gone();
    let look = "devnet-look-18f2a6b3c4d5e6f7-0-4711";
    place.image("strange:probe", &[("role", "probe"), ("owner", &gone)]);
    place.image(
        "strange:reader",
        &[("role", "store-reader"), ("owner", &gone)],
    );
    place.image("strange:image", &[("role", "probe-image")]);
    place.image(
        "strange:named",
        &[("role", "probe"), ("owner", &gone), ("name", look)],
    );
    let pod = [
        ("role", "lab-container"),
        ("owner", &*gone),
        ("pod.uid", "01234567-89ab-4cde-8f01-23456789abcd"),
        ("pod.name", "web"),
        ("pod.namespace", "default"),
        ("container.name", "server"),
    ];
    place.image("strange:pod", &pod);
    let write = ["/bin/busybox", "sh", "-c", "echo precious >/data"];
    for (name, image) in [("mydata", "strange:probe"), ("mine", "strange:reader")] {
        let flags = ["run", "--network=none", "--name", name, image];
        place.docker(&[&flags[..], &write].concat());
    }
    place.sleeper("k8s_POD_web_default_u_0", "strange:probe");
    place.sleeper(look, "strange:named");
    place.sleeper("member", "strange:pod");
    place.docker(&[
        "network",
        "create",
        "--label=dev.devnet.role=lab-network",
        "mynet",
    ]);
    let volume = ["volume", "create", "--label=dev.devnet.role=lab-volume"];
    place.docker(&[&volume[..], &["--label=dev.devnet.pod.uid=u", "myvolume"]].concat());
    // a copy of a container of the lab's
    place.devnet(&["lab", "up"]).ok();
    let server = place.own("devnet_server_");
    place.docker(&["commit", &server, "copy:1"]);
    place.docker(&["run", "-d", "--network=none", "--name", "copy", "copy:1"]);
    let before: Vec<String> = place
        .containers()
        .into_iter()
        .filter(|name| !name.starts_with("devnet_"))
        .collect();
    assert_eq!(before.len(), 6, "{before:?}");

    // the lab's pod has no part that is not its own
    let seen: serde_json::Value =
        serde_json::from_str(&place.devnet(&["pods", "-o", "json"]).ok()).unwrap();
    let pods = seen["pods"].as_array().unwrap();
    let web = pods.iter().find(|pod| pod["origin"] == "lab").unwrap();
    assert_eq!(web["containers"].as_array().unwrap().len(), 2, "{web:#}");
    place.devnet(&["pods"]).ok();
    place.devnet(&["lab", "down", "web"]).ok();
    place.devnet(&["clean"]).ok();
    place.devnet(&["lab", "down"]).ok();
    assert_eq!(place.containers(), before);
    assert_eq!(place.docker(&["diff", "mydata"]), "A /data");
    let images = place.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    for name in ["probe", "reader", "image", "named", "pod"] {
        assert!(images.contains(&format!("strange:{name}")), "{images}");
    }
    assert!(images.contains("copy:1"), "{images}");
    place.docker(&["network", "inspect", "mynet"]);
    place.docker(&["volume", "inspect", "myvolume"]);
}

#[test]
fn nothing_is_made_from_labels_that_an_image_brought() {
    let Some(testbed) = testbed() else { return };
    let place = Place::new(&testbed, "own-evil");
    let spec = "{\"namespace\":\"default\",\"name\":\"web\",\"host_pid\":true,\"containers\":[{\"name\":\"server\",\"image\":\"devnet-probe\",\"args\":[\"pause\"]}]}";
    let name = "devnet_POD_web_default_0";
    place.image(
        "evil:1",
        &[
            ("role", "lab-sandbox"),
            ("name", name),
            ("owner", &gone()),
            ("pod.uid", "01234567-89ab-4cde-8f01-23456789abcd"),
            ("pod.name", "web"),
            ("pod.namespace", "default"),
            ("attempt", "0"),
            ("pod.spec", spec),
        ],
    );
    for called in ["stranger", name] {
        place.sleeper(called, "evil:1");
        assert_eq!(place.devnet(&["lab", "ps", "-o", "name"]).ok(), "");
        for verb in ["restart", "kill", "down"] {
            place.devnet(&["lab", verb, "web"]).fails(4);
        }
        assert_eq!(place.containers(), [format!("{called} running")]);
        place.docker(&["rm", "-f", called]);
    }
    // and none is believed that can't be asked any more
    place.docker(&[
        "create",
        "--network=none",
        "--name",
        name,
        "evil:1",
        "pause",
    ]);
    place.docker(&["rmi", "-f", "evil:1"]);
    assert_eq!(place.devnet(&["lab", "ps", "-o", "name"]).ok(), "");
    place.devnet(&["lab", "down", "web"]).fails(4);
    place.devnet(&["clean"]).ok();
    assert_eq!(place.containers(), [format!("{name} created")]);
}

#[test]
fn an_image_that_only_calls_itself_the_probes_is_never_run() {
    let Some(testbed) = testbed() else { return };
    let place = Place::new(&testbed, "own-image");
    let probe = |format: &str| place.docker(&["images", "devnet-probe", "--format", format]);
    place.devnet(&["lab", "up"]).ok();
    let name = probe("{{.Repository}}:{{.Tag}}");
    let id = place.docker(&["inspect", "-f", "{{.Id}}", &name]);
    place.devnet(&["lab", "down"]).ok();
    assert_eq!(probe("{{.ID}}"), "");
    let impostor = || {
        place.image(&name, &[("role", "probe-image"), ("name", &name)]);
        place.docker(&["inspect", "-f", "{{.Id}}", &name])
    };
    let false_id = impostor();
    assert_ne!(false_id, id);
    // its image is one to borrow
    place.sleeper("lender", &place.busybox);
    place.devnet(&["pods"]).ok();
    place.devnet(&["lab", "up"]).ok();
    assert_eq!(place.docker(&["inspect", "-f", "{{.Id}}", &name]), id);
    let pause = place.own("devnet_POD_web_");
    let of = ["inspect", "-f", "{{.Image}}", &pause];
    assert_eq!(place.docker(&of), id);
    // one that takes the name while the lab runs
    impostor();
    place.devnet(&["pods"]).ok();
    place.devnet(&["lab", "kill", "web"]).ok();
    assert_eq!(
        place.docker(&[
            "inspect",
            "-f",
            "{{.Image}}",
            &place.own("devnet_POD_web_default_1")
        ]),
        id
    );
    let named = "{{.Actor.Attributes.name}} {{.Actor.Attributes.image}}";
    let made = place.engine.events("create", named);
    assert!(made.contains("devnet-look-"), "{made}");
    for image in [&name, &false_id] {
        assert!(!made.contains(image.as_str()), "{image}: {made}");
    }
    place.devnet(&["lab", "down"]).ok();
}

#[test]
fn what_is_devnets_stays_so_when_a_person_removes_its_image() {
    let Some(testbed) = testbed() else { return };
    let place = Place::new(&testbed, "own-without-image");
    place.docker(&["tag", &place.busybox, "mine:1"]);
    let file = place.sandbox.home().join("ends.yaml");
    std::fs::write(
        &file,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: ends}\nspec:\n  restartPolicy: Never\n  containers:\n  \
         - {name: app, image: \"mine:1\", imagePullPolicy: Never, command: [/bin/busybox, \"true\"]}\n",
    )
    .unwrap();
    place
        .devnet(&["lab", "up", &file.display().to_string()])
        .ok();
    until("it has ended", || {
        place
            .containers()
            .iter()
            .any(|one| one.starts_with("devnet_app_") && one.ends_with(" exited"))
    });
    let app = place.own("devnet_app_");
    let image = place.docker(&["inspect", "-f", "{{.Image}}", &app]);
    // some take the image with its last name, others keep it for the container
    for name in ["mine:1", &place.busybox, &image] {
        place.engine.docker(&["rmi", "-f", name]);
    }
    assert_ne!(place.engine.docker(&["image", "inspect", &image]).code, 0);
    let seen: serde_json::Value =
        serde_json::from_str(&place.devnet(&["pods", "-o", "json"]).ok()).unwrap();
    let pod = &seen["pods"][0];
    assert_eq!(pod["origin"], "lab", "{seen:#}");
    assert_eq!(pod["containers"][0]["name"], "app", "{seen:#}");
    place.devnet(&["lab", "down"]).ok();
    assert_eq!(place.containers(), [""; 0]);
}

#[test]
fn a_pod_from_an_image_that_was_made_of_a_lab_container_works_and_goes() {
    let Some(lab) = Lab::new() else { return };
    lab.run(&["up"]).ok();
    let names = lab.docker(&["ps", "--format", "{{.Names}}"]);
    let server = names
        .lines()
        .find(|name| name.starts_with("devnet_server_"))
        .unwrap();
    lab.docker(&["commit", server, "again:1"]);
    lab.run(&["down"]).ok();
    let file = lab.write(
        "again.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  \
         - {name: server, image: \"again:1\", imagePullPolicy: Never, args: [pause]}\n",
    );
    let ours = || lab.docker(&["ps", "-aq", "--filter", "label=dev.devnet.role"]);
    lab.run(&["up", &file]).ok();
    assert_eq!(lab.pod("web")["ready"], true);
    lab.run(&["kill", "web", "-c", "server"]).ok();
    lab.run(&["kill", "web"]).ok();
    assert_eq!(lab.pod("web")["ready"], true);
    lab.run(&["down"]).ok();
    assert_eq!(ours(), "");
    lab.run(&["up", &file]).ok();
    let cleaned = lab.sandbox.devnet(&["-H", &lab.host(), "clean"]);
    assert!(cleaned.stderr.contains("to be removed"), "{cleaned}");
    assert!(cleaned.stdout.contains("removed container"), "{cleaned}");
    assert_eq!(ours(), "");
    lab.docker(&["rmi", "again:1"]);
}

#[test]
fn what_another_terminal_uses_stays_and_goes_when_it_has_ended() {
    let Some(testbed) = testbed() else { return };
    let place = Place::new(&testbed, "own-living");
    place.devnet(&["lab", "up"]).ok();
    let file = place.sandbox.home().join("slow.yaml");
    std::fs::write(
        &file,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: slow}\nspec:\n  initContainers:\n  \
         - {name: wait, image: devnet-probe, args: [pause]}\n  containers:\n  \
         - {name: app, image: devnet-probe, args: [pause]}\n",
    )
    .unwrap();
    let file = file.display().to_string();
    let mut living = vec![
        place.begin(&["lab", "up", &file]),
        place.begin(&["pods", "--watch", "-o", "json"]),
        place.begin(&[
            "shell",
            "web",
            "-c",
            "server",
            "--image",
            &place.busybox,
            "--",
            "/bin/busybox",
            "sleep",
            "3600",
        ]),
    ];
    until("they are at work", || {
        ["devnet_wait_", "devnet-look-", "devnet-shell-"]
            .iter()
            .all(|what| place.running().iter().any(|name| name.starts_with(what)))
    });
    let before = place.running();
    // what looks and shells are made from is not used by them, to a person
    let images = place.devnet(&["images"]).ok();
    assert!(!images.contains("container devnet-"), "{images}");
    let cleaned = place.devnet(&["clean"]);
    assert!(cleaned.stderr.contains("stays"), "{cleaned}");
    assert!(cleaned.stdout.contains("in use"), "{cleaned}");
    assert_eq!(place.running(), before);
    place.docker(&["network", "inspect", "devnet-lab"]);
    for child in &mut living {
        assert!(child.try_wait().unwrap().is_none());
    }
    for child in living {
        place.end(child);
    }
    let cleaned = place.devnet(&["clean"]).ok();
    assert!(cleaned.contains("removed network devnet-lab"), "{cleaned}");
    assert_eq!(place.containers(), Vec::<String>::new());
    assert_eq!(place.docker(&["images", "-q", "devnet-probe"]), "");
}

#[test]
fn a_node_that_is_lost_does_not_keep_the_others_from_being_cleaned() {
    let Some(testbed) = testbed() else { return };
    let place = Place::new(&testbed, "swept");
    place.devnet(&["lab", "up"]).ok();
    // a profile: nobody listens at its first node's address, its second is this engine
    let home = testbed.join("minikube/.minikube");
    let copy = place.sandbox.home().join(".minikube");
    Output::of(place.sandbox.command("cp").arg("-r").args([&home, &copy])).ok();
    for file in [
        "profiles/pair/config.json",
        "machines/pair/config.json",
        "machines/pair-m02/config.json",
    ] {
        let file = copy.join(file);
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.replace("127.0.0.5", "127.0.0.9");
        std::fs::write(file, text.replace("127.0.0.6", "127.0.0.7")).unwrap();
    }
    let clean = || {
        let mut command = place.sandbox.devnet_command(&["-p", "pair", "clean"]);
        Output::of(command.env("MINIKUBE_HOME", &copy))
    };
    let cleaned = clean();
    assert_eq!(cleaned.code, 5, "{cleaned}");
    for said in [
        "warning: node `pair` is not clean: ",
        "error: not every node is clean: pair\n",
        "hint: is it running?",
    ] {
        assert!(cleaned.stderr.contains(said), "{said}: {cleaned}");
    }
    assert!(
        cleaned
            .stdout
            .contains("pair-m02: removed network devnet-lab\n"),
        "{cleaned}"
    );
    assert_eq!(place.containers(), [""; 0]);
    // none at all is no part
    place.engine.signal("KILL");
    clean().fails(3);
}

#[test]
fn a_labs_pause_has_no_power() {
    let Some(lab) = Lab::new() else { return };
    lab.run(&["up"]).ok();
    let id = lab.pod("web")["sandbox"]["id"].as_str().unwrap().to_owned();
    let format = "{{.HostConfig.CapDrop}} {{.HostConfig.CapAdd}} {{.HostConfig.ReadonlyRootfs}}";
    assert_eq!(
        lab.docker(&["inspect", "-f", format, &id]).trim(),
        "[ALL] [] true"
    );
}

#[test]
fn the_lock_of_a_killed_devnet_ends_and_that_of_a_living_one_is_waited_for() {
    let Some(lab) = Lab::new() else { return };
    let engine = lab.host().trim_start_matches("unix://").into();
    let hold = Hold::Request("POST", "/networks/create");
    let sandbox = Sandbox::bare();
    let proxy = Rewriting::holding(sandbox.home(), engine, Some(hold), |_, _| {});
    let mut killed = sandbox
        .devnet_command(&["-H", &proxy.url(), "lab", "up"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    proxy.until_held();
    let held = || lab.docker(&["ps", "-a", "--format", "{{.Names}}"]);
    assert_eq!(held().trim(), "devnet-lab-lock");
    let mut waiting = lab
        .sandbox
        .devnet_command(&["-H", &lab.host(), "lab", "up"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert!(killed.try_wait().unwrap().is_none());
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
    proxy.release();
    assert_eq!(lab.pod("web")["ready"], true);
    lab.run(&["down"]).ok();
    assert_eq!(held(), "");
    // a person's container of that name is neither taken nor waited for
    let image = busybox_image(&lab.testbed, lab.engine());
    lab.docker(&[
        "create",
        "--name",
        "devnet-lab-lock",
        &image,
        "/bin/busybox",
    ]);
    let said = lab.run(&["up"]).fails(1);
    assert!(said.contains("that is not devnet's"), "{said}");
    assert_eq!(held().trim(), "devnet-lab-lock");
    lab.docker(&["rm", "devnet-lab-lock"]);
}

/// A volume plugin that tells its engine that it is one, keeps what it is asked, and may die: then it
/// answers nothing until it lives again.
struct Plugin {
    asked: Arc<Mutex<Vec<String>>>,
    alive: Arc<(Mutex<bool>, Condvar)>,
}

impl Plugin {
    fn listen(folder: &Path) -> Self {
        let listener = UnixListener::bind(folder.join("dead.sock")).unwrap();
        let plugin = Self {
            asked: Arc::default(),
            alive: Arc::new((Mutex::new(true), Condvar::new())),
        };
        let (asked, alive) = (plugin.asked.clone(), plugin.alive.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, asked, alive) = (client.unwrap(), asked.clone(), alive.clone());
                std::thread::spawn(move || answer(client, &asked, &alive));
            }
        });
        plugin
    }

    fn lives(&self, lives: bool) {
        *self.alive.0.lock().unwrap() = lives;
        self.alive.1.notify_all();
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn answer(mut client: UnixStream, asked: &Mutex<Vec<String>>, alive: &(Mutex<bool>, Condvar)) {
    let mut head = [0; 4096];
    let count = client.read(&mut head).unwrap_or_default();
    let head = String::from_utf8_lossy(&head[..count]).into_owned();
    let line = head.lines().next().unwrap_or_default().to_owned();
    let body = if line.contains("Activate") {
        "{\"Implements\":[\"VolumeDriver\"]}"
    } else {
        "{\"Err\":\"\",\"Capabilities\":{\"Scope\":\"local\"}}"
    };
    asked.lock().unwrap().push(line);
    let (lives, changed) = alive;
    drop(
        changed
            .wait_while(lives.lock().unwrap(), |lives| !*lives)
            .unwrap(),
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.plugins.v1.1+json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _gone = client.write_all(answer.as_bytes());
}

/// A pod with a volume, as a manifest in a file.
fn pod_with_a_volume(sandbox: &Sandbox) -> String {
    let file = sandbox.home().join("volume.yaml");
    std::fs::write(
        &file,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: full}\nspec:\n  containers:\n  \
         - {name: app, image: devnet-probe, args: [pause], volumeMounts: [{name: v, mountPath: /v}]}\n  \
         volumes:\n  - {name: v, emptyDir: {}}\n",
    )
    .unwrap();
    file.display().to_string()
}

#[test]
fn a_lab_asks_no_volume_plugin_that_may_be_dead() {
    let Some(testbed) = testbed() else { return };
    let folder = tempfile::tempdir().unwrap();
    let plugin = Plugin::listen(folder.path());
    let engine = Engine::with_plugins(&testbed, "own-plugins", folder.path());
    let sandbox = Sandbox::bare();
    let file = pod_with_a_volume(&sandbox);
    let lab = |arguments: &[&str]| {
        let url = engine.url();
        sandbox
            .devnet(&[&["-H", &url, "lab"], arguments].concat())
            .ok();
    };
    let begun = plugin.asked().len();
    lab(&["up"]);
    lab(&["up", &file]);
    lab(&["kill", "full"]);
    lab(&["down"]);
    let so_far = plugin.asked()[begun..].to_vec();
    assert_eq!(so_far, [""; 0]);
    // it is there: a question to all drivers reaches it
    engine.docker(&["volume", "ls", "-q"]).ok();
    let all = plugin.asked();
    assert!(all.iter().any(|line| line.contains("VolumeDriver.List")));
}

#[test]
fn a_dead_volume_plugin_is_waited_for_only_where_a_lab_has_left_its_traces() {
    let Some(testbed) = testbed() else { return };
    let folder = tempfile::tempdir().unwrap();
    let plugin = Plugin::listen(folder.path());
    let engine = Engine::with_plugins(&testbed, "dead-plugin", folder.path());
    let sandbox = Sandbox::bare();
    let url = engine.url();
    let clean = ["-H", &url, "clean"];
    // the engine has seen its socket, and asks in vain what it is
    plugin.lives(false);
    let said = sandbox.devnet(&clean);
    let left_out = "no lab has left anything here; its volumes were not looked for";
    assert!(said.stderr.contains(left_out), "{said}");
    assert!(said.ok().contains("nothing of devnet's"));

    let file = pod_with_a_volume(&sandbox);
    sandbox.devnet(&["-H", &url, "lab", "up", &file]).ok();
    let mut cleaning = sandbox
        .devnet_command(&clean)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(cleaning.stderr.take().unwrap()).lines();
    let waits = "the engine has not listed its volumes yet";
    assert!(told.any(|line| line.unwrap().contains(waits)));
    plugin.lives(true);
    let rest: Vec<String> = told.map(Result::unwrap).collect();
    let done = ended(cleaning);
    assert_eq!(done.code, 0, "{done} {rest:?}");
    assert!(done.stdout.contains("removed volume"), "{done} {rest:?}");
    assert_eq!(engine.left_over(), "");
}
