//! Containers that are restarted, on a real engine: which restarts are a crash loop, and what is
//! told of a container between two of its runs.

use serde_json::Value;

use crate::support::engines::Engine;
use crate::support::kubelet::{Kubelet, OBEDIENT};
use crate::support::made::Made;
use crate::support::{Sandbox, busybox_image, docker, testbed, until};

const SLEEPS: [&str; 3] = ["/bin/busybox", "sleep", "3600"];

#[test]
fn restarts_with_the_sandbox_and_by_somebodys_kill_are_no_crash_loop() {
    let Some(testbed) = testbed() else { return };
    // as the node, or its engine, was restarted three times
    let mut made = Made::new(&testbed, "with-node");
    let mut app = made.add_sleeper("app");
    for attempt in 1..=3 {
        made.docker(&["kill", &made.sandbox, &app]);
        made.add_sandbox("none");
        app = made.add_attempt("app", attempt, &[], &SLEEPS);
        made.finds(&[]);
    }
    let mut made = Made::new(&testbed, "killed-often");
    let mut app = made.add_sleeper("app");
    for attempt in 1..=3 {
        made.docker(&["kill", &app]);
        app = made.add_attempt("app", attempt, &[], &SLEEPS);
        assert_eq!(made.finds(&[])["state"], "running");
    }
}

#[test]
fn restarts_of_the_engine_itself_are_no_crash_loop_and_a_loop_after_them_is() {
    let Some(testbed) = testbed() else { return };
    let engine = Engine::start(&testbed, "restarts-engine");
    let sandbox = Sandbox::bare();
    let kubelet = Kubelet::on(&testbed, &engine.name, &sandbox, "outlives");
    let image = busybox_image(&testbed, &engine.name);
    let run = |name: &str, more: &[&str], script: &str| {
        let (start, end) = (["run", "-d", "--name", name], ["/bin/busybox", "sh", "-c"]);
        let all = [&start[..], more, &[&image], &end[..], &[script]].concat();
        engine.docker(&all).ok();
    };
    // what the engine restarts itself: one that is well, one that was not for three runs
    let always = ["--network=none", "--restart=always"];
    run("well", &always, OBEDIENT);
    let three = "echo >> /runs; test $(/bin/busybox wc -l < /runs) -gt 3 || exit 1; ";
    run("recovers", &always, &format!("{three}{OBEDIENT}"));
    // and what a kubelet does
    let mut pause = kubelet.obedient_pause(0);
    let mut app = kubelet.script("app", 0, &pause, &[], OBEDIENT);
    let pod = |name: &str| {
        let arguments = ["pods", "--all", "--no-probe", "-o", "json"];
        let document: Value = serde_json::from_str(&kubelet.devnet(&arguments)).unwrap();
        let mut pods = document["pods"].as_array().unwrap().iter();
        pods.find(|pod| pod["name"] == name).unwrap().clone()
    };
    let codes = |pod: &Value| {
        let findings = pod["findings"].as_array().unwrap().iter();
        let codes = findings.map(|one| one["code"].as_str().unwrap().to_owned());
        codes.collect::<Vec<_>>()
    };
    let state = |name: &str, format: &str| engine.docker(&["inspect", "-f", format, name]).ok();
    until("it has failed three times", || {
        state("recovers", "{{.RestartCount}} {{.State.Status}}").trim() == "3 running"
    });
    assert_eq!(codes(&pod("recovers")), ["crash-loop"]);
    for (attempt, signal) in [(1, "TERM"), (2, "KILL"), (3, "TERM")] {
        engine.signal(signal);
        engine.again();
        until("the engine has started them again", || {
            ["well", "recovers"]
                .iter()
                .all(|name| state(name, "{{.State.Status}}").trim() == "running")
        });
        pause = kubelet.obedient_pause(attempt);
        app = kubelet.script("app", attempt, &pause, &[], OBEDIENT);
        for name in ["well", "recovers", "outlives"] {
            let pod = pod(name);
            assert_eq!(codes(&pod), [""; 0], "after {signal}: {pod:#}");
            assert_eq!(pod["state"], "running");
        }
    }
    // now it really loops, with the kubelet as with the engine
    engine.docker(&["rm", "-f", "well"]).ok();
    run("well", &always, "exit 7");
    until("it is restarted", || {
        state("well", "{{.RestartCount}}")
            .trim()
            .parse::<u32>()
            .unwrap()
            > 3
    });
    kubelet.docker(&["kill", "--signal=TERM", &app]);
    for attempt in 4..=6 {
        kubelet.docker(&["wait", &app]);
        app = kubelet.script("app", attempt, &pause, &[], "exit 3");
    }
    for name in ["well", "outlives"] {
        assert_eq!(codes(&pod(name)), ["crash-loop"], "{:#}", pod(name));
    }
}

/// Plain containers: one that holds a network, and one in it that its engine restarts for ever.
struct Looping<'a> {
    testbed: &'a std::path::Path,
    sandbox: Sandbox,
}

impl<'a> Looping<'a> {
    fn new(testbed: &'a std::path::Path, script: &str) -> Self {
        let image = busybox_image(testbed, "node");
        let run = |name: &str, more: &[&str], script: &str| {
            let start = ["run", "-d", "--name", name];
            let end = [&image, "/bin/busybox", "sh", "-c", script];
            docker(testbed, "node", &[&start, more, &end].concat()).ok();
        };
        run(
            "loop-holder",
            &["--network=none"],
            "exec /bin/busybox sleep 3600",
        );
        let more = ["--network=container:loop-holder", "--restart=always"];
        run("loop-app", &more, script);
        let sandbox = Sandbox::bare();
        Self { testbed, sandbox }
    }

    fn devnet(&self, arguments: &[&str]) -> String {
        let host = format!("unix://{}", self.testbed.join("node.sock").display());
        let arguments = [&["-H", &host], arguments].concat();
        self.sandbox.devnet(&arguments).ok()
    }

    fn pod(&self) -> Value {
        let text = self.devnet(&["inspect", "loop-holder", "--no-probe", "-o", "json"]);
        serde_json::from_str::<Value>(&text).unwrap()["pods"][0].clone()
    }

    fn app(&self) -> Value {
        let pod = self.pod();
        let mut all = pod["containers"].as_array().unwrap().iter();
        all.find(|one| one["name"] == "loop-app").unwrap().clone()
    }
}

impl Drop for Looping<'_> {
    fn drop(&mut self) {
        let all = ["rm", "-f", "loop-holder", "loop-app"];
        drop(docker(self.testbed, "node", &all));
    }
}

#[test]
fn what_an_engine_restarts_itself_is_a_crash_loop_whose_fix_works() {
    let Some(testbed) = testbed() else { return };
    let looping = Looping::new(&testbed, "echo run; exit 7");
    until(
        "it was restarted often enough to be held back for seconds",
        || {
            let app = looping.app();
            if app["state"] == "restarting" {
                // the engine has them
                assert_eq!(app["exit_code"], 7);
                assert!(
                    app["finished_at"].as_str() >= app["started_at"].as_str(),
                    "{app}"
                );
            }
            app["restarts"].as_u64() > Some(5)
        },
    );
    let pod = looping.pod();
    let finding = &pod["findings"][0];
    assert_eq!(finding["code"], "crash-loop", "{pod:#}");
    let fix = finding["hint"].as_str().unwrap();
    let words: Vec<&str> = fix.split(' ').skip(1).collect();
    // the last run alone, though all of them wrote into one log
    until("it waits", || looping.app()["state"] == "restarting");
    assert_eq!(looping.devnet(&words), "run\n");
}
