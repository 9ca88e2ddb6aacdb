//! `--watch`: a new picture at every change, over a probe that stays and connections that may break.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::Value;

use crate::support::made::{Made, found, inode, tool};
use crate::support::proxy::Proxy;
use crate::support::{Output, Sandbox, testbed, until};

/// A devnet that watches one pod, a JSON document a line.
struct Watching {
    child: Child,
    lines: BufReader<ChildStdout>,
    _sandbox: Sandbox,
}

impl Watching {
    fn of(host: &str, arguments: &[&str]) -> Self {
        let sandbox = Sandbox::bare();
        let mut child = sandbox
            .devnet_command(&[&["-H", host], arguments, &["--watch", "-o", "json"]].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            lines,
            _sandbox: sandbox,
        }
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "it ended");
        serde_json::from_str(&line).unwrap()
    }

    /// The next documents until one is as wanted: a change may be seen while it is half done.
    fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..20 {
            let document = self.next();
            if wanted(&document) {
                return document;
            }
        }
        panic!("twenty documents and none as wanted");
    }

    fn interrupt(mut self) {
        tool("kill", &["-INT", &self.child.id().to_string()]);
        assert_eq!(self.child.wait().unwrap().code(), Some(130));
    }
}

/// The probe's containers of one devnet.
fn probes(made: &Made<'_>, devnet: u32) -> String {
    let name = format!("name=devnet-look-.*-{devnet}$");
    made.docker(&["ps", "-aq", "-f", &name])
}

fn state(document: &Value) -> &Value {
    &document["pods"][0]["state"]
}

#[test]
fn every_change_is_a_new_document_and_ctrl_c_leaves_nothing() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "watched");
    let app = made.add_sleeper("app");
    let mut watching = Watching::of(&made.host(), &["inspect", "default/watched"]);
    let first = watching.next();
    assert_eq!(state(&first), "running");
    assert_eq!(first["pods"][0]["containers"][0]["shares"]["net"], true);
    let devnet = watching.child.id();
    let probe = probes(&made, devnet);
    // it sees the node's processes and none of its networks
    let pid = made.pid(probe.trim());
    let own = inode(&pid, "net");
    assert_ne!(own, inode(&std::process::id().into(), "net"));
    assert_ne!(own, inode(&made.pid(&app), "net"));
    let interfaces = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
    assert_eq!(interfaces.matches(':').count(), 1, "{interfaces}");
    made.docker(&["pause", &app]);
    let frozen = watching.until(|document| state(document) == "paused");
    assert_eq!(found(&frozen), ["frozen"]);
    made.docker(&["unpause", &app]);
    watching.until(|document| state(document) == "running");
    made.docker(&["restart", "-t", "0", &made.sandbox]);
    let split = watching.until(|document| found(document) == ["split-pod"]);
    assert_eq!(split["pods"][0]["containers"][0]["shares"]["net"], false);
    // all of it by one probe
    assert_eq!(probes(&made, devnet), probe);
    watching.interrupt();
    assert_eq!(probes(&made, devnet), "");
}

#[test]
fn a_port_that_is_opened_long_after_the_start_is_seen() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "late-port");
    let script =
        "until [ -e /tmp/go ]; do /bin/busybox sleep 0.1; done; exec /bin/busybox httpd -f -p 7070";
    let app = made.add("app", &[], &["/bin/busybox", "sh", "-c", script]);
    let mut watching = Watching::of(&made.host(), &["ports", "default/late-port"]);
    let sockets = |document: &Value| document["pods"][0]["sockets"].as_array().unwrap().len();
    assert_eq!(sockets(&watching.next()), 0);
    made.docker(&["exec", &app, "/bin/busybox", "touch", "/tmp/go"]);
    let document = watching.until(|document| sockets(document) == 1);
    assert_eq!(document["pods"][0]["sockets"][0]["port"], 7070);
    assert_eq!(
        document["pods"][0]["sockets"][0]["owners"][0]["container"],
        "app"
    );
    watching.interrupt();
}

#[test]
fn an_engine_that_was_lost_is_found_again() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "lost-engine");
    let app = made.add_sleeper("app");
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::new(folder.path(), testbed.join("node.sock"), &[]);
    let mut watching = Watching::of(&proxy.url(), &["inspect", "default/lost-engine"]);
    assert_eq!(state(&watching.next()), "running");
    proxy.cut();
    // what happens meanwhile is seen afterwards
    made.docker(&["pause", &app]);
    let _again = Proxy::new(folder.path(), testbed.join("node.sock"), &[]);
    watching.until(|document| state(document) == "paused");
    let devnet = watching.child.id();
    watching.interrupt();
    until("it has come to that", || probes(&made, devnet).is_empty());
}

#[test]
fn a_probe_whose_devnet_is_killed_ends_and_so_does_one_that_is_never_asked_again() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "kept-probe");
    made.add_sleeper("app");
    for signal in ["-KILL", "-STOP"] {
        let mut watching = Watching::of(&made.host(), &["inspect", "default/kept-probe"]);
        watching.next();
        let devnet = watching.child.id().to_string();
        assert_ne!(probes(&made, watching.child.id()), "");
        tool("kill", &[signal, &devnet]);
        until("it has come to that", || {
            probes(&made, watching.child.id()).is_empty()
        });
        if signal == "-STOP" {
            // it finds itself another when it goes on
            tool("kill", &["-CONT", &devnet]);
            until("it has come to that", || {
                !probes(&made, watching.child.id()).is_empty()
            });
            watching.interrupt();
        } else {
            watching.child.wait().unwrap();
        }
    }
}

#[test]
fn a_reader_that_has_left_ends_the_watch() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "no-reader");
    let app = made.add_sleeper("app");
    let mut watching = Watching::of(&made.host(), &["inspect", "default/no-reader"]);
    watching.next();
    let Watching {
        mut child, lines, ..
    } = watching;
    drop(lines);
    made.docker(&["pause", &app]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(probes(&made, child.id()), "");
}

#[test]
fn on_a_terminal_the_picture_is_drawn_in_place_and_the_terminal_comes_back() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "on-screen");
    let app = made.add_sleeper("app");
    let sandbox = Sandbox::bare();
    let script = sandbox.home().join("screen.py");
    let mut file = std::fs::File::create(&script).unwrap();
    file.write_all(include_bytes!("support/screen.py")).unwrap();
    let docker = format!("docker -H {}", made.host());
    let mut command = sandbox.command("python3");
    command.env("TERM", "xterm").arg(&script).args([
        &format!("{docker} pause {app}"),
        &format!("{docker} unpause {app}"),
        env!("CARGO_BIN_EXE_devnet"),
        "-H",
        &made.host(),
        "pods",
        "--watch",
        "default/on-screen",
    ]);
    assert_eq!(Output::of(&mut command).ok().trim(), "same 130 2");
}

#[test]
fn a_pod_that_is_not_there_is_not_waited_for() {
    let Some(testbed) = testbed() else { return };
    let host = format!("unix://{}", testbed.join("node.sock").display());
    let output = Sandbox::bare().devnet(&["-H", &host, "inspect", "nobody-there", "--watch"]);
    output.fails(4);
    let output = Sandbox::bare().devnet(&["-H", "unix:///nowhere", "pods", "--watch"]);
    output.fails(3);
}

#[test]
fn of_several_nodes_the_living_are_shown_and_the_dead_are_told() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "on-node");
    made.add_sleeper("app");
    // the second node of this profile never listens
    let devnet = |arguments: &[&str]| {
        Sandbox::with_minikube(&testbed).devnet(&[&["-p", "half"], arguments].concat())
    };
    for command in [
        &["pods", "-o", "name"][..],
        &["ports", "-o", "json"],
        &["inspect", "on-node"],
    ] {
        let output = devnet(command);
        assert!(output.stdout.contains("on-node"), "{output}");
        assert!(output.stderr.contains("half-m02"), "{output}");
        output.fails(5);
        let chosen = devnet(&[command, &["--node", "half"]].concat());
        assert!(chosen.stderr.is_empty(), "{chosen}");
        assert!(chosen.ok().contains("on-node"));
        for dead in ["half-m02", "m02"] {
            devnet(&[command, &["--node", dead]].concat()).fails(3);
        }
        let said = devnet(&[command, &["--node", "m07"]].concat()).fails(4);
        assert!(said.contains("half-m02"), "{said}");
    }
    // nor does a watch wait for the dead
    let sandbox = Sandbox::with_minikube(&testbed);
    let mut child = sandbox
        .devnet_command(&["-p", "half", "inspect", "on-node", "--watch", "-o", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.contains("on-node"), "{line}");
    tool("kill", &["-INT", &child.id().to_string()]);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
