//! `devnet history` and its journal: every way in which a part of a pod ends and comes back, on live
//! pods, and over a recorded node.

use serde_json::Value;

use crate::support::engines::Engine;
use crate::support::kubelet::Kubelet;
use crate::support::made::Made;
use crate::support::replay::Replay;
use crate::support::{Sandbox, docker, testbed};

#[test]
fn an_app_that_is_killed_removed_or_restarted_keeps_the_ip() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let kubelet = Kubelet::new(&testbed, &sandbox, "hist-app", "10.91.1.0/24");
    let pause = kubelet.pause(0, "10.91.1.5");
    let first = kubelet.app(0, &pause);
    kubelet.docker(&["kill", &first]);
    let second = kubelet.app(1, &pause);
    let kept = |kubelet: &Kubelet<'_>| {
        let restart = kubelet.verdict("container-started", &[]);
        assert_eq!(restart["verdict"], "IP kept 10.91.1.5: same sandbox");
        assert_eq!(restart["ip_kept"], true);
        assert_eq!(restart["netns"], restart["netns_before"]);
        restart
    };
    let restart = kept(&kubelet);
    let pid = kubelet.docker(&["inspect", "-f", "{{.State.Pid}}", &pause]);
    let link = std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    assert_eq!(
        link.display().to_string(),
        format!("net:[{}]", restart["netns"])
    );
    let ends: Vec<Value> = kubelet
        .history(&[])
        .into_iter()
        .filter(|event| event["event"] == "container-ended")
        .collect();
    assert_eq!((ends.len(), &ends[0]["exit_code"]), (1, &Value::from(137)));

    kubelet.docker(&["rm", "-f", &second]);
    let third = kubelet.app(1, &pause);
    kept(&kubelet);
    kubelet.docker(&["restart", "-t", "0", &third]);
    kept(&kubelet);
    // each of the lives, though the engine lists but two containers
    let starts = |events: Vec<Value>| {
        events
            .iter()
            .filter(|event| event["event"] == "container-started")
            .count()
    };
    assert_eq!(starts(kubelet.history(&[])), 4);
    kubelet.forget_events();
    assert_eq!(
        starts(kubelet.history(&["--no-probe"])),
        4,
        "from the journal"
    );
    // without a journal: those of the containers that are there
    let folder = sandbox.home().join("state/devnet");
    std::fs::remove_dir_all(folder).unwrap();
    assert_eq!(starts(kubelet.history(&["--no-probe"])), 2);
}

#[test]
fn a_sandbox_that_is_killed_removed_or_restarted_is_told_with_its_reason() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let kubelet = Kubelet::new(&testbed, &sandbox, "hist-pause", "10.91.2.0/24");
    let zero = kubelet.pause(0, "10.91.2.5");
    let app = kubelet.app(0, &zero);
    kubelet.devnet(&["pods"]);
    kubelet.docker(&["kill", &zero, &app]);
    let one = kubelet.pause(1, "10.91.2.6");
    kubelet.app(1, &one);
    let killed =
        "IP changed 10.91.2.5 -> 10.91.2.6: sandbox replaced, because it was killed (exit 137)";
    assert_eq!(kubelet.verdict("sandbox-started", &[])["verdict"], killed);
    kubelet.forget_events();
    let later = kubelet.verdict("sandbox-started", &[]);
    assert_eq!(later["verdict"], killed);
    assert_eq!(kubelet.verdict("container-started", &[])["verdict"], killed);
    // the engine itself forgets the numbers of namespaces; the journal does not
    assert!(
        later["netns_before"].is_u64() && later["netns"].is_u64(),
        "{later}"
    );

    kubelet.docker(&["rm", "-f", &one]);
    // the kubelet counts on from the sandbox that is still there
    let two = kubelet.pause(2, "10.91.2.7");
    let removed = kubelet.verdict("sandbox-started", &[]);
    let said = removed["verdict"].as_str().unwrap();
    let reason = said.strip_prefix("IP changed 10.91.2.6 -> 10.91.2.7: sandbox replaced, because ");
    // the second, when tests beside this one have filled the engine's memory in between
    let reasons = ["it was removed (exit 137)", "it ended unseen and is gone"];
    assert!(
        reason.is_some_and(|reason| reasons.contains(&reason)),
        "{said}"
    );
    kubelet.docker(&["restart", "-t", "0", &two]);
    let restarted = kubelet.verdict("sandbox-started", &[]);
    assert_eq!(
        (&restarted["same_sandbox"], &restarted["ip_kept"]),
        (&true.into(), &true.into())
    );
    let text = kubelet.devnet(&["history", "default/hist-pause"]);
    for said in [
        "sandbox #0",
        "ended exit 137",
        "restarted in place",
        "net:[",
    ] {
        assert!(text.contains(said), "no `{said}` in\n{text}");
    }
    // the pod is gone, and is remembered by its name
    for id in [&zero, &two] {
        kubelet.docker(&["rm", "-f", id]);
    }
    let apps = kubelet.docker(&["ps", "-aqf", "label=io.kubernetes.pod.name=hist-pause"]);
    for id in apps.lines() {
        kubelet.docker(&["rm", "-f", id]);
    }
    assert!(kubelet.history(&[]).len() >= 8);
}

#[test]
fn a_sandbox_that_comes_back_without_an_address_has_lost_it() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let mut made = Made::new(&testbed, "hist-lost");
    made.add_sleeper("app");
    made.give_address("10.99.2.7/32");
    let devnet = |arguments: &[&str]| {
        let host = made.host();
        sandbox.devnet(&[&["-H", &host], arguments].concat()).ok()
    };
    devnet(&["pods"]);
    made.docker(&["restart", "-t", "0", &made.sandbox]);
    let text = devnet(&["history", "default/hist-lost", "-o", "json"]);
    let document: Value = serde_json::from_str(&text).unwrap();
    let events = document["pods"][0]["events"].as_array().unwrap();
    let start = events
        .iter()
        .rfind(|event| event["event"] == "sandbox-started")
        .unwrap();
    let restart = &start["restart"];
    assert_eq!(restart["ip_kept"], false, "{start:#}");
    assert_eq!(restart["ip_before"], "10.99.2.7");
    assert_eq!(restart["ip"], Value::Null);
    let said = restart["verdict"].as_str().unwrap();
    assert!(
        said.starts_with("IP 10.99.2.7 lost, there is none now: "),
        "{said}"
    );
}

#[test]
fn a_run_that_is_over_at_once_begins_before_it_ends() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let mut made = Made::new(&testbed, "hist-short");
    let runs: Vec<String> = (0..6)
        .map(|attempt| made.add_attempt("app", attempt, &[], &["/bin/busybox", "true"]))
        .collect();
    for id in &runs {
        made.docker(&["wait", id]);
    }
    let host = made.host();
    let devnet = |verb: &str, more: &[&str]| {
        let start = ["-H", &host, verb, "default/hist-short"];
        sandbox.devnet(&[&start, more].concat()).ok()
    };
    let document: Value = serde_json::from_str(&devnet("history", &["-o", "json"])).unwrap();
    let events = document["pods"][0]["events"].as_array().unwrap();
    for id in &runs {
        let of_it: Vec<&Value> = events.iter().filter(|event| event["id"] == **id).collect();
        let names: Vec<&Value> = of_it.iter().map(|event| &event["event"]).collect();
        assert_eq!(
            names,
            ["container-started", "container-ended"],
            "{of_it:#?}"
        );
    }
    let card = devnet("inspect", &[]);
    for attempt in 0..6 {
        let place = |what: &str| card.find(&format!("app #{attempt} {what}")).unwrap();
        assert!(place("started") < place("ended"), "{card}");
    }
}

#[test]
fn a_lab_pods_history_is_what_was_done_to_it() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    // a lab leaves devnet's own image where another's look runs from it just then
    let engine = Engine::start(&testbed, "hist-lab");
    let socket = testbed.join(format!("{}.sock", engine.name));
    let host = format!("unix://{}", socket.display());
    let devnet = |arguments: &[&str]| {
        let mut all = vec!["-H", host.as_str()];
        all.extend_from_slice(arguments);
        sandbox.devnet(&all).ok()
    };
    let manifest = sandbox.home().join("pod.yaml");
    std::fs::write(&manifest, devnet(&["new", "pod", "--set", "name=hist-lab"])).unwrap();
    devnet(&["lab", "up", &manifest.display().to_string()]);
    devnet(&["pods"]);
    devnet(&["lab", "kill", "hist-lab", "-c", "client"]);
    devnet(&["pods"]);
    devnet(&["lab", "kill", "hist-lab"]);
    devnet(&["pods"]);
    devnet(&["lab", "restart", "hist-lab"]);
    let document: Value =
        serde_json::from_str(&devnet(&["history", "hist-lab", "-o", "json"])).unwrap();
    let events = document["pods"][0]["events"].as_array().unwrap();
    let verdicts: Vec<&str> = events
        .iter()
        .filter(|event| event["event"] == "sandbox-started")
        .filter_map(|event| event["restart"]["verdict"].as_str())
        .collect();
    assert_eq!(verdicts.len(), 2, "{events:#?}");
    assert!(verdicts[0].contains("IP changed") && verdicts[0].contains("killed (exit 137)"));
    // a lab stops the containers and then kills what holds their network
    assert!(verdicts[1].contains("IP changed"), "{verdicts:?}");
    let client = events.iter().find(|event| {
        event["event"] == "container-started"
            && event["container"] == "client"
            && event["attempt"] == 1
    });
    let restart = &client.unwrap()["restart"];
    assert_eq!(
        (&restart["same_sandbox"], &restart["ip_kept"]),
        (&true.into(), &true.into())
    );
    // a copy of one of its containers has its labels, and is no part of it
    let docker = |arguments: &[&str]| docker(&testbed, &engine.name, arguments).ok();
    let listed = [
        "ps",
        "-q",
        "--no-trunc",
        "--filter",
        "name=devnet_client_hist-lab_",
    ];
    let copied = docker(&listed);
    docker(&["commit", copied.trim(), "hist-lab:copy"]);
    let run = [
        "run",
        "--rm",
        "--network=none",
        "--entrypoint=/devnet-probe",
        "hist-lab:copy",
    ];
    docker(&[&run[..], &["namespaces"]].concat());
    docker(&["rmi", "hist-lab:copy"]);
    let after: Value =
        serde_json::from_str(&devnet(&["history", "hist-lab", "-o", "json"])).unwrap();
    let after = after["pods"][0]["events"].as_array().unwrap();
    assert_eq!(after.len(), events.len(), "{after:#?}");
    devnet(&["lab", "down", "hist-lab"]);
}

#[test]
fn the_recorded_nodes_history_names_its_restarts() {
    let replay = Replay::start();
    let history = |pod: &str| -> Vec<Value> {
        let output = Sandbox::bare().devnet(&[
            "-H",
            &replay.host,
            "history",
            pod,
            "--no-probe",
            "-o",
            "json",
        ]);
        let document: Value = serde_json::from_str(&output.ok()).unwrap();
        document["pods"][0]["events"].as_array().unwrap().clone()
    };
    // made, refused by the runtime, and made again in the same sandbox
    let events = history("hostns-node1");
    let failed = events
        .iter()
        .find(|event| event["event"] == "container-failed")
        .unwrap();
    assert_eq!(
        (&failed["exit_code"], &failed["attempt"]),
        (&128.into(), &3.into())
    );
    let started = events
        .iter()
        .rfind(|event| event["container"] == "mon")
        .unwrap();
    assert_eq!(started["restart"]["same_sandbox"], true);
    assert_eq!(started["attempt"], 4);
    let oom = history("oom-node1");
    let ended = oom
        .iter()
        .find(|event| event["event"] == "container-ended")
        .unwrap();
    assert_eq!(
        (&ended["exit_code"], &ended["oom_killed"]),
        (&137.into(), &true.into())
    );
    // what is left of an older pod of that name is no pod
    let two = Sandbox::bare()
        .devnet(&["-H", &replay.host, "history", "--no-probe"])
        .ok();
    assert_eq!(two.matches("two-node1").count(), 1, "{two}");
    assert!(!two.contains("IP changed"));
}

#[test]
fn a_home_that_can_not_be_written_changes_nothing() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare().env("XDG_STATE_HOME", "/proc/no-such-folder");
    let kubelet = Kubelet::new(&testbed, &sandbox, "hist-home", "10.91.3.0/24");
    let pause = kubelet.pause(0, "10.91.3.5");
    kubelet.app(0, &pause);
    assert_eq!(kubelet.history(&["--no-probe"]).len(), 2);
    // and a journal of nonsense is as good as none
    let sandbox = Sandbox::bare();
    let folder = sandbox.home().join("state/devnet");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("journal.jsonl"),
        b"\xff\x00{\"v\":1}\n{\"v\":1,\"id\":7",
    )
    .unwrap();
    let name = "default/hist-home";
    let host = format!("unix://{}", testbed.join("node.sock").display());
    let text = sandbox.devnet(&["-H", &host, "history", name]).ok();
    assert!(text.contains("10.91.3.5"), "{text}");
}

#[test]
fn what_the_journal_and_the_counts_of_restarts_know_is_proof() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    // with other pods beside, another might prove it
    let engine = Engine::start(&testbed, "prove-past");
    let kubelet = Kubelet::on(&testbed, &engine.name, &sandbox, "prove-past");
    let kubelet = kubelet.with_network("10.91.23.0/24");
    let holds = |id: &str| -> Value {
        // a test's pod shares no IPC namespace, which is noticed too
        let said = sandbox.devnet(&["-H", &engine.url(), "prove", "-o", "json"]);
        let document: Value = serde_json::from_str(&said.stdout).unwrap();
        let claims = document["claims"].as_array().unwrap();
        let claim = claims.iter().find(|claim| claim["id"] == id).unwrap();
        claim["holds"].clone()
    };
    let zero = kubelet.pause(0, "10.91.23.5");
    let first = kubelet.app(0, &zero);
    assert_eq!(
        (holds("container-death"), holds("sandbox-death")),
        (Value::Null, Value::Null)
    );
    // each is looked at while it is there, and then nothing is left of it
    kubelet.docker(&["kill", &first]);
    let second = kubelet.app(1, &zero);
    kubelet.history(&["--no-probe"]);
    kubelet.docker(&["rm", "-f", &first]);
    kubelet.forget_events();
    assert_eq!(holds("container-death"), true);
    kubelet.docker(&["rm", "-f", &second, &zero]);
    let one = kubelet.pause(1, "10.91.23.6");
    kubelet.app(2, &one);
    kubelet.history(&["--no-probe"]);
    kubelet.forget_events();
    assert_eq!(holds("sandbox-death"), true);
}
