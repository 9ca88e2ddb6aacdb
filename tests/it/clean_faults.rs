//! `devnet clean` where a node is lost or a volume plugin is dead: what can be cleaned is, and the lab asks
//! nobody who may be dead.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Condvar, Mutex};

use crate::clean::Place;
use crate::support::engines::Engine;
use crate::support::{Output, Sandbox, ended, testbed};

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
