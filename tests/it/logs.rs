//! `devnet logs`: all containers of a pod, merged in time order.

use crate::support::{Output, Sandbox, busybox_image, docker, ground, until};

#[test]
fn logs_of_all_containers_are_a_sort_by_time_of_each() {
    let Some(ground) = ground() else { return };
    let image = busybox_image(&ground, "node");
    let run = |arguments: &[&str]| docker(&ground, "node", arguments).ok();
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
            let seen = docker(&ground, "node", &["logs", name]);
            seen.stdout.contains(" 39\n") && seen.stderr.contains("err 39")
        });
    };
    wait("logs-one");
    wait("logs-two");
    let sandbox = Sandbox::with_minikube(&ground);
    let ours = sandbox.devnet(&["logs", "logs-pause", "--timestamps"]).ok();
    let mut expected = Vec::new();
    for name in ["logs-one", "logs-two"] {
        let theirs = docker(&ground, "node", &["logs", "-t", name]);
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
        &ground,
        "node",
        &["rm", "-f", "logs-one", "logs-two", "logs-pause"],
    ));
}

#[test]
fn a_silent_container_holds_nothing_back_a_restart_is_followed_and_head_ends_it() {
    let Some(ground) = ground() else { return };
    let image = busybox_image(&ground, "node");
    let run = |arguments: &[&str]| docker(&ground, "node", arguments).ok();
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
    let sandbox = Sandbox::with_minikube(&ground);
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
        &ground,
        "node",
        &["rm", "-f", "follow-chatty", "follow-pause"],
    ));
}
