//! `devnet logs -f` goes on whatever happens to the pod and its engine, and ends with the pod.
//!
//! `FOLLOW_SANDBOXES` says how many sandboxes are replaced (4), `FOLLOW_ENGINES` how often an engine is
//! restarted (2).

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use crate::support::engines::Engine;
use crate::support::kubelet::Kubelet;
use crate::support::made::Made;
use crate::support::random::switch;
use crate::support::rewriting::Rewriting;
use crate::support::{Sandbox, testbed, until};

/// A follower that runs on, and what it has shown so far.
struct Follower {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: std::thread::JoinHandle<()>,
    talk: std::thread::JoinHandle<String>,
}

impl Follower {
    fn begin(sandbox: &Sandbox, host: &str, more: &[&str]) -> Self {
        let mut command = sandbox.devnet_command(&["-H", host, "logs"]);
        command.args(more).args(["-f", "--timestamps"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let shown = lines.clone();
        let out = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            for line in out.lines() {
                shown.lock().unwrap().push(line.unwrap());
            }
        });
        let mut err = child.stderr.take().unwrap();
        let talk = std::thread::spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).unwrap();
            text
        });
        Self {
            child,
            lines,
            reader,
            talk,
        }
    }

    fn shows(&self, text: &str) -> bool {
        self.lines
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains(text))
    }

    /// Its lines and what it said, once it has ended by itself and well.
    fn ended(mut self) -> (Vec<String>, String) {
        let code = self.child.wait().unwrap().code();
        self.reader.join().unwrap();
        let said = self.talk.join().unwrap();
        assert_eq!(code, Some(0), "{said}");
        (std::mem::take(&mut self.lines.lock().unwrap()), said)
    }
}

/// A shell script that writes a line every 20 ms, with its attempt in it.
fn chatty(name: &str, attempt: u32) -> String {
    format!(
        "i=0; while :; do echo {name} {attempt} line $i; i=$((i+1)); /bin/busybox usleep 20000; done"
    )
}

/// The lines that the attempts of containers wrote, by name, in order, as docker has them.
#[derive(Default)]
struct Written(BTreeMap<String, Vec<String>>);

impl Written {
    fn add(&mut self, kubelet: &Kubelet<'_>, name: &str, id: &str) {
        let lines = kubelet.docker(&["logs", "-t", id]);
        let all = self.0.entry(name.to_owned()).or_default();
        all.extend(lines.lines().map(str::to_owned));
    }

    /// Asserts that a follower showed each line once and in order.
    #[track_caller]
    fn is_all_of(&self, shown: &[String], names: &[&str]) {
        for name in names {
            let prefix = format!("{name} | ");
            let of_it: Vec<&str> = shown
                .iter()
                .filter_map(|line| {
                    if names.len() == 1 {
                        Some(line.as_str())
                    } else {
                        line.strip_prefix(&prefix)
                    }
                })
                .collect();
            let wanted: Vec<&str> = self.0[*name].iter().map(String::as_str).collect();
            let apart = of_it.iter().zip(&wanted).position(|(a, b)| a != b);
            assert!(
                of_it == wanted,
                "{name}: {} lines of {}, apart from line {apart:?} on",
                of_it.len(),
                wanted.len()
            );
        }
    }
}

#[test]
fn replaced_sandboxes_end_no_follower_and_lose_no_line() {
    let Some(testbed) = testbed() else { return };
    let rounds = u32::try_from(switch("FOLLOW_SANDBOXES").unwrap_or(4)).unwrap();
    let sandbox = Sandbox::bare();
    let kubelet = Kubelet::new(&testbed, &sandbox, "follow-new", "10.91.21.0/24");
    let host = format!("unix://{}", testbed.join("node.sock").display());
    let mut written = Written::default();
    let pause = |attempt: u32| kubelet.pause(attempt, &format!("10.91.21.{}", 2 + attempt % 200));
    let pair = |attempt: u32, pause: &str| {
        ["one", "two"].map(|name| kubelet.script(name, attempt, pause, &[], &chatty(name, attempt)))
    };
    let mut sandboxes = vec![pause(0)];
    let mut pairs = vec![pair(0, &sandboxes[0])];
    let all = Follower::begin(&sandbox, &host, &["follow-new"]);
    let one = Follower::begin(&sandbox, &host, &["follow-new", "one"]);
    for round in 0..=rounds {
        until("both follow", || {
            all.shows(&format!("one {round} line 3"))
                && all.shows(&format!("two {round} line 3"))
                && one.shows(&format!("one {round} line 3"))
        });
        let (sandbox, [first, second]) = (&sandboxes[0], &pairs[0]);
        // the sandbox dies first, or last
        if round % 2 == 0 {
            kubelet.docker(&["kill", sandbox]);
            kubelet.docker(&["kill", first, second]);
        } else {
            kubelet.docker(&["kill", first, second]);
            kubelet.docker(&["kill", sandbox]);
        }
        written.add(&kubelet, "one", first);
        written.add(&kubelet, "two", second);
        if round == rounds {
            break;
        }
        sandboxes.insert(0, pause(round + 1));
        let next = pair(round + 1, &sandboxes[0]);
        pairs.insert(0, next);
        // as the kubelet keeps one dead of each
        for old in sandboxes.drain(2..) {
            kubelet.docker(&["rm", &old]);
        }
        for old in pairs.drain(2..).flatten() {
            kubelet.docker(&["rm", &old]);
        }
    }
    // the last lines are read before all of it is gone
    let last = |name: &str| written.0[name].last().unwrap()[31..].to_owned();
    until("all is read", || {
        all.shows(&last("one")) && all.shows(&last("two")) && one.shows(&last("one"))
    });
    for id in sandboxes.iter().chain(pairs.iter().flatten()) {
        kubelet.docker(&["rm", "-f", id]);
    }
    let (shown, said) = all.ended();
    assert!(said.contains("pod `default/follow-new` is gone"), "{said}");
    written.is_all_of(&shown, &["one", "two"]);
    written.is_all_of(&one.ended().0, &["one"]);
}

#[test]
fn an_engine_that_is_restarted_ends_no_follower_and_loses_no_line() {
    let Some(testbed) = testbed() else { return };
    let rounds = u32::try_from(switch("FOLLOW_ENGINES").unwrap_or(2)).unwrap();
    let engine = Engine::start(&testbed, "follow-engine");
    let sandbox = Sandbox::bare();
    let kubelet = Kubelet::on(&testbed, &engine.name, &sandbox, "follow-on");
    // what does not listen to TERM is waited for
    let at_once = ["--network=none", "--stop-signal=KILL"];
    let mut written = Written::default();
    let pause = |attempt: u32| kubelet.run("POD", "podsandbox", attempt, &at_once);
    let app = |attempt: u32, pause: &str| {
        let script = chatty("app", attempt);
        kubelet.script("app", attempt, pause, &at_once[1..], &script)
    };
    let mut sandboxes = vec![pause(0)];
    let mut apps = vec![app(0, &sandboxes[0])];
    let all = Follower::begin(&sandbox, &engine.url(), &["follow-on"]);
    let one = Follower::begin(&sandbox, &engine.url(), &["follow-on", "app"]);
    for round in 0..=rounds {
        until("both follow", || {
            let line = format!("app {round} line 3");
            all.shows(&line) && one.shows(&line)
        });
        if round == rounds {
            kubelet.docker(&["kill", &apps[0]]);
            written.add(&kubelet, "app", &apps[0]);
            break;
        }
        // stopped in peace, and killed
        engine.signal(if round % 2 == 0 { "TERM" } else { "KILL" });
        engine.again();
        let state = ["inspect", "-f", "{{.State.Running}}", &apps[0]];
        until("it has ended", || kubelet.docker(&state) == "false");
        written.add(&kubelet, "app", &apps[0]);
        sandboxes.insert(0, pause(round + 1));
        let next = app(round + 1, &sandboxes[0]);
        apps.insert(0, next);
        for old in sandboxes.drain(2..).chain(apps.drain(2..)) {
            kubelet.docker(&["rm", &old]);
        }
    }
    let last = written.0["app"].last().unwrap()[31..].to_owned();
    until("all is read", || all.shows(&last) && one.shows(&last));
    for id in sandboxes.iter().chain(&apps) {
        kubelet.docker(&["rm", "-f", id]);
    }
    for follower in [all, one] {
        let (shown, said) = follower.ended();
        // an engine that is back before it is asked again was not missed
        assert!(
            said.contains("pod `default/follow-on` is gone")
                && said.matches("is lost, looking for it again").count()
                    == said.matches("is there again").count(),
            "{said}"
        );
        written.is_all_of(&shown, &["app"]);
    }
}

#[test]
fn a_pod_that_nothing_restarts_ends_its_follower_which_says_so() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let kubelet = Kubelet::new(&testbed, &sandbox, "follow-job", "10.91.22.0/24");
    let host = format!("unix://{}", testbed.join("node.sock").display());
    let applied = "--label=annotation.kubectl.kubernetes.io/last-applied-configuration=\
                   {\"spec\":{\"restartPolicy\":\"Never\"}}";
    let net = format!("--network=net-{}", kubelet.name);
    let pause = kubelet.run("POD", "podsandbox", 0, &[&net, applied]);
    kubelet.script("app", 0, &pause, &[], "echo done; exit 3");
    let follower = Follower::begin(&sandbox, &host, &["follow-job"]);
    until("it reads", || follower.shows("done"));
    kubelet.docker(&["kill", &pause]);
    let (shown, said) = follower.ended();
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(
        said.contains("pod `default/follow-job` has ended: its restart policy is Never"),
        "{said}"
    );
}

#[test]
fn a_pod_that_a_restart_of_its_node_left_behind_is_over() {
    let Some(testbed) = testbed() else { return };
    let mut job = Made::new(&testbed, "follow-left");
    let app = job.add("app", &[], &["/bin/busybox", "echo", "done"]);
    job.until_it_says(&app, "done");
    // as by the node's end, and nobody is known to have seen it
    job.docker(&["kill", &job.sandbox]);
    let _others = Made::new(&testbed, "follow-anew");
    let folder = tempfile::tempdir().unwrap();
    let node = testbed.join("node.sock");
    let follow = |later: jiff::SignedDuration| {
        let _old = std::fs::remove_file(folder.path().join("rewriting.sock"));
        let proxy = Rewriting::new(folder.path(), node.clone(), move |path, body| {
            if path.ends_with("/info") {
                body["SystemTime"] = (jiff::Timestamp::now() + later).to_string().into();
            }
        });
        Follower::begin(&Sandbox::bare(), &proxy.url(), &["follow-left"])
    };
    let (lines, said) = follow(jiff::SignedDuration::from_mins(5)).ended();
    assert!(lines[0].ends_with("done"), "{lines:?}");
    assert!(
        said.contains("other pods were started since, and it was not"),
        "{said}"
    );
}
