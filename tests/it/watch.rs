//! `devnet watch`: what happens is told as it happens, once, also when the engine was away.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use serde_json::Value;

use crate::support::engines::Engine;
use crate::support::kubelet::{Kubelet, OBEDIENT};
use crate::support::made::Made;
use crate::support::proxy::Proxy;
use crate::support::{Output, Sandbox, testbed};

/// A watch that runs, and what it prints.
struct Watch {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Watch {
    /// Gives it back when it has begun to watch.
    fn begin(sandbox: &Sandbox, host: &str, more: &[&str]) -> Self {
        // when nothing comes, the limit of every program ends it
        let mut child = sandbox
            .devnet_command(&[&["-H", host, "watch"], more].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut talk = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("watching") {
            line.clear();
            assert!(talk.read_line(&mut line).unwrap() > 0, "it ended");
        }
        // whoever reads no more must not stop it
        std::thread::spawn(move || std::io::copy(&mut talk, &mut std::io::sink()));
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended");
        line
    }

    /// The next event, as `(event, attempt)`, and the event.
    fn next(&mut self) -> (String, u64, Value) {
        let event: Value = serde_json::from_str(&self.line()).unwrap();
        let name = event["event"].as_str().unwrap().to_owned();
        (name, event["attempt"].as_u64().unwrap(), event)
    }

    fn interrupt(mut self, sandbox: &Sandbox) {
        let id = self.child.id().to_string();
        Output::of(sandbox.command("kill").args(["-INT", &id])).ok();
        assert_eq!(self.child.wait().unwrap().code(), Some(130));
    }
}

#[test]
fn restarts_are_told_as_they_happen_and_kept_for_history() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let kubelet = Kubelet::new(&testbed, &sandbox, "watch-pod", "10.91.4.0/24");
    let zero = kubelet.pause(0, "10.91.4.5");
    let app = kubelet.app(0, &zero);
    let host = format!("unix://{}", testbed.join("node.sock").display());
    let mut watch = Watch::begin(&sandbox, &host, &["watch-pod", "-o", "json"]);
    kubelet.docker(&["kill", &app]);
    let (name, attempt, event) = watch.next();
    assert_eq!(
        (name.as_str(), attempt, &event["exit_code"]),
        ("container-ended", 0, &137.into())
    );
    let app = kubelet.app(1, &zero);
    let (name, attempt, event) = watch.next();
    assert_eq!((name.as_str(), attempt), ("container-started", 1));
    assert_eq!(
        event["restart"]["verdict"],
        "IP kept 10.91.4.5: same sandbox"
    );
    kubelet.docker(&["rm", "-f", &zero]);
    let (name, ..) = watch.next();
    assert_eq!(name, "sandbox-ended");
    let (name, ..) = watch.next();
    assert_eq!(name, "sandbox-removed");
    kubelet.docker(&["rm", "-f", &app]);
    assert_eq!(watch.next().0, "container-ended");
    assert_eq!(watch.next().0, "container-removed");
    let one = kubelet.pause(0, "10.91.4.6");
    let (name, _, event) = watch.next();
    assert_eq!(name, "sandbox-started");
    let verdict =
        "IP changed 10.91.4.5 -> 10.91.4.6: sandbox replaced, because it was removed (exit 137)";
    assert_eq!(event["restart"]["verdict"], verdict);
    let pid = kubelet.docker(&["inspect", "-f", "{{.State.Pid}}", &one]);
    let link = std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    assert_eq!(
        link.display().to_string(),
        format!("net:[{}]", event["netns"])
    );
    watch.interrupt(&sandbox);
    // all of this is known later, though no container and no event tells it
    kubelet.forget_events();
    assert_eq!(
        kubelet.verdict("sandbox-started", &["--no-probe"])["verdict"],
        verdict
    );
    assert_eq!(kubelet.history(&["--no-probe"]).len(), 9);
}

#[test]
fn an_engine_that_was_away_is_told_of_without_loss_and_without_repeats() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let kubelet = Kubelet::new(&testbed, &sandbox, "watch-away", "10.91.5.0/24");
    let zero = kubelet.pause(0, "10.91.5.5");
    let first = kubelet.app(0, &zero);
    let proxy = Proxy::new(sandbox.home(), testbed.join("node.sock"), &[]);
    let more = ["-n", "default", "watch-away", "--no-probe", "-o", "json"];
    let mut watch = Watch::begin(&sandbox, &proxy.url(), &more);
    kubelet.docker(&["restart", "-t", "0", &first]);
    assert_eq!(watch.next().0, "container-ended");
    assert_eq!(watch.next().0, "container-started");
    proxy.cut();
    kubelet.docker(&["kill", &first]);
    let second = kubelet.app(1, &zero);
    let _again = Proxy::new(sandbox.home(), testbed.join("node.sock"), &[]);
    let (name, attempt, _) = watch.next();
    assert_eq!((name.as_str(), attempt), ("container-ended", 0));
    let (name, attempt, event) = watch.next();
    assert_eq!((name.as_str(), attempt), ("container-started", 1));
    assert_eq!(event["restart"]["ip_kept"], true);
    kubelet.docker(&["kill", &second]);
    let (name, attempt, _) = watch.next();
    assert_eq!(
        (name.as_str(), attempt),
        ("container-ended", 1),
        "the next one, and no repeat"
    );
    watch.interrupt(&sandbox);
    // a name that fits nothing is told at once; a reader that leaves ends it
    let host = format!("unix://{}", testbed.join("node.sock").display());
    sandbox
        .devnet(&["-H", &host, "watch", "no-such-pod"])
        .fails(4);
    sandbox
        .devnet(&["-H", "unix:///no/such.sock", "watch"])
        .fails(3);
}

#[test]
fn an_engine_that_is_restarted_is_told_as_that_and_not_as_its_node() {
    let Some(testbed) = testbed() else { return };
    let engine = Engine::start(&testbed, "watch-engine");
    let sandbox = Sandbox::bare();
    let names = ["restarted-a", "restarted-b", "restarted-c"];
    let pods = names.map(|name| Kubelet::on(&testbed, &engine.name, &sandbox, name));
    let begin = |pod: &Kubelet<'_>, attempt: u32| {
        let pause = pod.obedient_pause(attempt);
        pod.script("app", attempt, &pause, &[], OBEDIENT);
    };
    for pod in &pods {
        begin(pod, 0);
    }
    let arguments = ["restarted-a", "-o", "json"];
    let mut watch = Watch::begin(&sandbox, &engine.url(), &arguments);
    for (attempt, signal) in [(1, "TERM"), (2, "KILL")] {
        engine.signal(signal);
        engine.again();
        for pod in &pods {
            begin(pod, attempt);
        }
        let told = loop {
            let (name, number, event) = watch.next();
            if name == "sandbox-started" && number == u64::from(attempt) {
                break event;
            }
        };
        let because = |restart: &Value| restart["because"].as_str().unwrap_or("?").to_owned();
        let said = because(&told["restart"]);
        assert!(said.contains("engine was restarted"), "{signal}: {said}");
        for pod in &pods {
            let said = because(&pod.verdict("sandbox-started", &[]));
            let all = "the node's engine was restarted (all 3 sandboxes on it ended at that time)";
            assert_eq!(said, all, "after {signal}");
        }
        let text = pods[0].devnet(&["history", "restarted-a"]);
        assert!(!text.contains("node was restarted"), "{text}");
    }
    watch.interrupt(&sandbox);
}

#[test]
fn lines_are_for_people_and_a_label_chooses() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let kubelet = Kubelet::new(&testbed, &sandbox, "watch-text", "10.91.6.0/24");
    let host = format!("unix://{}", testbed.join("node.sock").display());
    let mut watch = Watch::begin(&sandbox, &host, &["-l", "tier=text", "--no-probe"]);
    // a pod that is not chosen says nothing
    let other = Kubelet::new(&testbed, &sandbox, "watch-other", "10.91.7.0/24");
    other.pause(0, "10.91.7.5");
    let net = format!("--network=net-{}", kubelet.name);
    let label = ["--label=tier=text", net.as_str(), "--ip", "10.91.6.5"];
    let zero = kubelet.run("POD", "podsandbox", 0, &label);
    let line = watch.line();
    assert!(
        line.contains("default/watch-text  sandbox #0 started  10.91.6.5"),
        "{line}"
    );
    kubelet.docker(&["kill", &zero]);
    let line = watch.line();
    assert!(
        line.contains("default/watch-text  sandbox #0 ended exit 137"),
        "{line}"
    );
    // nobody reads any more: it ends by itself
    let Watch { mut child, lines } = watch;
    drop(lines);
    kubelet.docker(&["start", &zero]);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_sandbox_that_comes_back_without_an_address_is_told_so() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let mut made = Made::new(&testbed, "watch-lost");
    made.add_sleeper("app");
    made.give_address("10.99.3.7/32");
    let host = made.host();
    // what was seen before is known to who watches
    sandbox.devnet(&["-H", &host, "pods"]).ok();
    let mut watch = Watch::begin(&sandbox, &host, &["watch-lost", "-o", "json"]);
    made.docker(&["restart", "-t", "0", &made.sandbox]);
    assert_eq!(watch.next().0, "sandbox-ended");
    let (name, _, event) = watch.next();
    assert_eq!(name, "sandbox-started");
    let restart = &event["restart"];
    assert_eq!(
        (&restart["ip_kept"], &restart["ip"]),
        (&false.into(), &Value::Null),
        "{event:#}"
    );
    watch.interrupt(&sandbox);
    // and what it wrote down is no other address
    let text = sandbox
        .devnet(&["-H", &host, "history", "default/watch-lost", "--no-probe"])
        .ok();
    assert!(
        text.contains("10.99.3.7 lost") && !text.contains("again"),
        "{text}"
    );
}
