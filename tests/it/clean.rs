//! The things in an engine that are devnet's, and those that only look like it: labels that an
//! image brings, names that a person gives.

use std::path::Path;
use std::process::{Child, Stdio};

use crate::support::engines::Engine;
use crate::support::lab::Lab;
use crate::support::{Output, Sandbox, busybox_image, testbed, until};

/// An engine of a test's own, with things of a person's in it.
pub(crate) struct Place {
    pub(crate) engine: Engine,
    pub(crate) sandbox: Sandbox,
    pub(crate) busybox: String,
}

impl Place {
    pub(crate) fn new(testbed: &Path, name: &str) -> Self {
        let engine = Engine::start(testbed, name);
        let busybox = busybox_image(testbed, name);
        Self {
            engine,
            sandbox: Sandbox::bare(),
            busybox,
        }
    }

    pub(crate) fn devnet(&self, arguments: &[&str]) -> Output {
        let host = self.engine.url();
        self.sandbox.devnet(&[&["-H", &host], arguments].concat())
    }

    pub(crate) fn begin(&self, arguments: &[&str]) -> Child {
        let host = self.engine.url();
        self.sandbox
            .devnet_command(&[&["-H", &host], arguments].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    pub(crate) fn end(&self, mut child: Child) {
        let id = child.id().to_string();
        Output::of(self.sandbox.command("kill").args(["-INT", &id])).ok();
        child.wait().unwrap();
    }

    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
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
    pub(crate) fn containers(&self) -> Vec<String> {
        let listed = self.docker(&["ps", "-a", "--format", "{{.Names}} {{.State}}"]);
        let mut names: Vec<String> = listed.lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    pub(crate) fn running(&self) -> Vec<String> {
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
