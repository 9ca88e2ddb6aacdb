//! `devnet logs`: all containers of a pod, merged in time order.

use crate::support::{Flag, Output, Sandbox, busybox_image, docker, testbed, until};

#[test]
fn logs_of_all_containers_are_a_sort_by_time_of_each() {
    let Some(testbed) = testbed() else { return };
    let image = busybox_image(&testbed, "node");
    let run = |arguments: &[&str]| docker(&testbed, "node", arguments).ok();
    let script = |word: &str| {
        format!(
            "i=0; while [ $i -lt 40 ]; do echo {word} $i; echo {word} err $i >&2; i=$((i+1)); done; exec /bin/busybox sleep 600"
        )
    };
    run(&[
        "run",
        "-d",
        "--name",
        "logs-pause",
        "--network",
        "none",
        &image,
        "/bin/busybox",
        "sleep",
        "600",
    ]);
    for name in ["logs-one", "logs-two"] {
        run(&[
            "run",
            "-d",
            "--name",
            name,
            "--network",
            "container:logs-pause",
            &image,
            "/bin/busybox",
            "sh",
            "-c",
            &script(name),
        ]);
    }
    // the containers have written all they will when their last lines are there
    let wait = |name: &str| {
        until("it has written all", || {
            let seen = docker(&testbed, "node", &["logs", name]);
            seen.stdout.contains(" 39\n") && seen.stderr.contains("err 39")
        });
    };
    wait("logs-one");
    wait("logs-two");
    let sandbox = Sandbox::with_minikube(&testbed);
    let ours = sandbox.devnet(&["logs", "logs-pause", "--timestamps"]).ok();
    let mut expected = Vec::new();
    for name in ["logs-one", "logs-two"] {
        let theirs = docker(&testbed, "node", &["logs", "-t", name]);
        for line in theirs.stdout.lines().chain(theirs.stderr.lines()) {
            // `logs-pause` is the longest name
            expected.push(format!("{name:<10} | {line}"));
        }
    }
    let time = |line: &str| line.split(" | ").nth(1).map(|rest| rest[..30].to_owned());
    let mut seen: Vec<&str> = ours
        .lines()
        .filter(|line| !line.starts_with("logs-pause"))
        .collect();
    let times: Vec<_> = seen.iter().map(|line| time(line)).collect();
    assert!(times.is_sorted(), "{ours}");
    seen.sort_unstable();
    expected.sort_unstable();
    assert_eq!(seen, expected);

    let tail = sandbox
        .devnet(&["logs", "logs-pause", "logs-two", "--tail", "1"])
        .ok();
    assert_eq!(tail.lines().count(), 1, "{tail}");
    sandbox
        .devnet(&["logs", "logs-pause", "-c", "nobody"])
        .fails(4);
    sandbox
        .devnet(&["logs", "logs-pause", "--previous"])
        .fails(4);
    drop(docker(
        &testbed,
        "node",
        &["rm", "-f", "logs-one", "logs-two", "logs-pause"],
    ));
}

#[test]
fn a_silent_container_holds_nothing_back_a_restart_is_followed_and_head_ends_it() {
    let Some(testbed) = testbed() else { return };
    let image = busybox_image(&testbed, "node");
    let run = |arguments: &[&str]| docker(&testbed, "node", arguments).ok();
    run(&[
        "run",
        "-d",
        "--name",
        "follow-pause",
        "--network",
        "none",
        &image,
        "/bin/busybox",
        "sleep",
        "600",
    ]);
    let chatty = "echo begun; while :; do echo tick; /bin/busybox sleep 0.05; done";
    run(&[
        "run",
        "-d",
        "--name",
        "follow-chatty",
        "--network",
        "container:follow-pause",
        &image,
        "/bin/busybox",
        "sh",
        "-c",
        chatty,
    ]);
    let sandbox = Sandbox::with_minikube(&testbed);
    let devnet = env!("CARGO_BIN_EXE_devnet");
    // `head` ends when it has its lines, and devnet with it; `timeout` tells when that does not happen
    let script = format!(
        "timeout 60 {devnet} logs follow-pause -f | head -n 5 | grep -c chatty; echo ${{PIPESTATUS[0]}}"
    );
    let out = Output::of(sandbox.command("bash").args(["-c", &script])).ok();
    assert_eq!(out, "5\n0\n");
    let script =
        format!("timeout 60 {devnet} logs follow-pause follow-chatty -f | grep -m 2 begun | wc -l");
    let mut reader = sandbox
        .command("bash")
        .args(["-c", &script])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    run(&["restart", "-t", "0", "follow-chatty"]);
    let mut seen = String::new();
    std::io::Read::read_to_string(&mut reader.stdout.take().unwrap(), &mut seen).unwrap();
    reader.wait().unwrap();
    assert_eq!(seen.trim(), "2");
    // a name that begins another container's ID is that name, or none
    let id = run(&["inspect", "-f", "{{.Id}}", "follow-chatty"]);
    sandbox
        .devnet(&["logs", "follow-pause", "-c", &id[..2]])
        .fails(4);
    drop(docker(
        &testbed,
        "node",
        &["rm", "-f", "follow-chatty", "follow-pause"],
    ));
}

/// Every flag of `docker logs` and `kubectl logs`.
#[test]
fn the_flags_of_docker_logs_and_kubectl_logs_are_taken_or_refused_by_name() {
    use Flag::{NotOurs, Refused, Taken};
    crate::support::flags(
        "logs",
        3,
        &[],
        &[
            // docker logs
            (&["--details"], Refused("shows labels")),
            (&["-f"], Taken),
            (&["--follow"], Taken),
            (&["--since", "1.5h"], Taken),
            (&["--since", "1500ms"], Taken),
            (&["--since", "1795839039"], Taken),
            (&["--since", "2026-11-28"], Taken),
            (&["--since", "2026-11-28T04:10:39"], Taken),
            (&["--since", "2026-11-28T04:10:39.5Z"], Taken),
            (&["--until", "1.5h"], Taken),
            (&["--until", "2026-11-28T04:10"], Taken),
            (&["--tail", "5"], Taken),
            (&["--tail", "all"], Taken),
            (&["--tail", "-1"], Taken),
            (&["--tail=-1"], Taken),
            // `-n` is the namespace, as kubectl has it
            (&["-n", "5"], Taken),
            (&["-t"], Taken),
            (&["--timestamps"], Taken),
            // kubectl logs
            (&["app"], Taken),
            (&["-c", "app"], Taken),
            (&["--container=app"], Taken),
            (&["--all-containers"], Taken),
            (&["--all-pods"], Refused("name one pod")),
            (&["--ignore-errors"], Taken),
            (
                &["--insecure-skip-tls-verify-backend"],
                Refused("no kubelet is asked"),
            ),
            (&["--limit-bytes=10"], Refused("head -c")),
            (&["--max-log-requests", "5"], Refused("are read")),
            (&["--pod-running-timeout=20s"], Refused("waits for no pod")),
            (&["--prefix"], Taken),
            // `-p` is the profile everywhere
            (&["--previous"], Taken),
            (&["-l", "app=web"], Refused("devnet pods -l")),
            (&["--selector", "app=web"], Refused("devnet pods -l")),
            (&["--since-time", "2026-11-28T04:10:39Z"], Taken),
            (&["--since-time=2026-11-28T04:10:39Z"], Taken),
            (&["--since-time", "2026-11-28T06:10:39.5+02:00"], Taken),
            // minikube logs
            (&["--audit"], Refused("not those of minikube")),
            (&["--file", "x"], Refused("not those of minikube")),
            (&["--last-start-only"], Refused("not those of minikube")),
            (&["--length", "5"], Refused("not those of minikube")),
            (&["--problems"], Refused("not those of minikube")),
            // kubectl's ways to its server: devnet asks no server
            (&["--kubeconfig", "x"], NotOurs),
            (&["--server", "x"], NotOurs),
            (&["--token", "x"], NotOurs),
        ],
    );
    let logs = |more: &[&str]| {
        let all = [&["-H", "unix:///no/such.sock", "logs", "web"], more].concat();
        Sandbox::bare().devnet(&all)
    };
    for wrong in ["5", "yesterday", "2026-13-01", "1.5"] {
        // what could be seconds since 1970 is that
        let code = if wrong.contains(['-', 'y']) { 2 } else { 3 };
        logs(&["--since", wrong]).fails(code);
    }
    // kubectl takes no other form there, and no second start
    for wrong in ["5m", "1795839039", "2026-11-28", "2026-11-28T04:10:39"] {
        let said = logs(&["--since-time", wrong]).fails(2);
        assert!(said.contains("not RFC 3339"), "{said}");
    }
    logs(&["--since-time", "2026-11-28T04:10:39Z", "--since", "5m"]).fails(2);
    logs(&["--tail", "some"]).fails(2);
    logs(&["--all-containers", "-c", "app"]).fails(2);
}
