//! `devnet logs` where a log is not simply read to its end: restarts, lost connections, long lines,
//! bytes that are no text, parts of a log.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;

use serde_json::Value;

use crate::support::kubelet::Kubelet;
use crate::support::proxy::Proxy;
use crate::support::{Output, Sandbox, docker, testbed, until};

/// `devnet logs` that runs on; when nothing comes, the limit of every program ends it.
fn follow(sandbox: &Sandbox, host: &str, more: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut child = sandbox
        .devnet_command(&[&["-H", host, "logs"], more].concat())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    (child, lines)
}

fn line(lines: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    assert!(lines.read_line(&mut line).unwrap() > 0, "it ended");
    line.trim_end().to_owned()
}

/// The lines of a container with their times, in the order of those.
fn sorted(testbed: &std::path::Path, id: &str) -> Vec<String> {
    let theirs = docker(testbed, "node", &["logs", "-t", id]);
    let both = theirs.stdout.lines().chain(theirs.stderr.lines());
    let mut all: Vec<String> = both.map(str::to_owned).collect();
    all.sort_by(|a, b| a[..30].cmp(&b[..30]));
    all
}

#[test]
fn a_container_that_is_started_again_is_followed_and_nothing_is_repeated() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let kubelet = Kubelet::new(&testbed, &sandbox, "log-again", "10.91.10.0/24");
    let pause = kubelet.pause(0, "10.91.10.5");
    let proxy = Proxy::new(sandbox.home(), testbed.join("node.sock"), &[]);
    let script = "echo $(date +%s%N) begun; echo second; exec /bin/busybox sleep 600";
    let id = kubelet.script("app", 0, &pause, &[], script);
    let more = ["log-again", "app", "-f", "--timestamps"];
    let (mut child, mut lines) = follow(&sandbox, &proxy.url(), &more);
    let mut seen = vec![line(&mut lines), line(&mut lines)];
    kubelet.docker(&["restart", "-t", "0", &id]);
    seen.extend([line(&mut lines), line(&mut lines)]);
    kubelet.docker(&["restart", "-t", "0", &id]);
    seen.extend([line(&mut lines), line(&mut lines)]);
    assert_eq!(seen, sorted(&testbed, &id));
    // the next attempt, in a container of its own
    kubelet.docker(&["kill", &id]);
    let next = kubelet.script("app", 1, &pause, &[], "echo next");
    assert!(line(&mut lines).ends_with(" next"));
    // it has ended, with 0, and is started once more
    kubelet.docker(&["wait", &next]);
    kubelet.docker(&["start", &next]);
    assert!(line(&mut lines).ends_with(" next"));
    // an older attempt, all that there is for a while, does not take its place
    kubelet.docker(&["rm", &next]);
    let _before = proxy.uploaded();
    let asked = AtomicU64::new(0);
    // what it asks in one look has less than a kilobyte, and nothing else is asked
    until("it has looked twice", || {
        asked.fetch_add(proxy.uploaded(), SeqCst) > 3000
    });
    // the pod is gone: there is nothing to wait for
    let all = kubelet.docker(&["ps", "-aqf", "label=io.kubernetes.pod.name=log-again"]);
    for id in all.lines() {
        kubelet.docker(&["rm", "-f", id]);
    }
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("", Some(0)));
}

#[test]
fn a_stream_that_the_engine_drops_goes_on_without_loss_or_repeats() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let kubelet = Kubelet::new(&testbed, &sandbox, "log-cut", "10.91.11.0/24");
    let pause = kubelet.pause(0, "10.91.11.5");
    // lines of 20 kB stand in the log in two pieces
    let long = "x".repeat(20_000);
    let script = format!(
        "i=0; while [ $i -lt 3000 ]; do echo line $i; echo err $i >&2; [ $((i % 100)) -ne 0 ] || echo {long}; i=$((i+1)); done; exec /bin/busybox sleep 600"
    );
    let one = kubelet.script("one", 0, &pause, &[], &script);
    let two = kubelet.script("two", 0, &pause, &[], &script);
    for id in [&one, &two] {
        // the engine reads stdout and stderr side by side: one may be far behind
        until("it has written all", || {
            let seen = docker(&testbed, "node", &["logs", id]);
            seen.stderr.contains("err 2999") && seen.stdout.contains("line 2999")
        });
    }
    let mut expected: Vec<String> = Vec::new();
    for id in [&one, &two] {
        let theirs = docker(&testbed, "node", &["logs", id]);
        let name = if *id == one { "one" } else { "two" };
        let both = theirs.stdout.lines().chain(theirs.stderr.lines());
        expected.extend(both.map(|line| format!("{name} | {line}")));
    }
    expected.sort_unstable();
    let proxy = Proxy::new(sandbox.home(), testbed.join("node.sock"), &[]);
    for more in [vec!["log-cut"], vec!["log-cut", "-f"]] {
        let (mut child, mut lines) = follow(&sandbox, &proxy.url(), &more);
        let mut seen = Vec::new();
        while seen.len() < expected.len() {
            seen.push(line(&mut lines));
            // ever later, also in the middle of a line
            if [10, 700, 2500, 6000, 11_000].contains(&seen.len()) {
                proxy.drop_connections();
            }
        }
        if more.len() == 1 {
            let mut rest = String::new();
            lines.read_to_string(&mut rest).unwrap();
            assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("", Some(0)));
        } else {
            // the engine is gone, and comes back, and then the pod goes
            proxy.cut();
            let _again = Proxy::new(sandbox.home(), testbed.join("node.sock"), &[]);
            for id in [&one, &two, &pause] {
                kubelet.docker(&["rm", "-f", id]);
            }
            let mut rest = String::new();
            lines.read_to_string(&mut rest).unwrap();
            assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("", Some(0)));
        }
        seen.sort_unstable();
        assert!(
            seen == expected,
            "{} lines of {}",
            seen.len(),
            expected.len()
        );
    }
}

#[test]
fn long_lines_bytes_that_are_no_text_and_unfinished_lines_arrive_as_they_are() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let kubelet = Kubelet::new(&testbed, &sandbox, "log-bytes", "10.91.12.0/24");
    let pause = kubelet.pause(0, "10.91.12.5");
    let host = format!("unix://{}", testbed.join("node.sock").display());
    let script = "/bin/busybox head -c 3000000 /dev/zero | /bin/busybox tr '\\0' y; echo; \
        printf '\\001\\377\\000\\033[31m\\r\\n'; printf 'no end'";
    let id = kubelet.script("app", 0, &pause, &[], script);
    kubelet.docker(&["wait", &id]);
    let bytes = |command: &mut std::process::Command| command.output().unwrap().stdout;
    let socket = format!("unix://{}", testbed.join("node.sock").display());
    let mut theirs = bytes(sandbox.command("docker").args(["-H", &socket, "logs", &id]));
    assert_eq!(theirs.len(), 3_000_000 + 1 + 12 + 6);
    theirs.push(b'\n');
    let ours = bytes(&mut sandbox.devnet_command(&["-H", &host, "logs", "log-bytes", "app"]));
    assert!(ours == theirs, "{} of {} bytes", ours.len(), theirs.len());
    let json = sandbox
        .devnet(&["-H", &host, "logs", "log-bytes", "app", "-o", "json"])
        .ok();
    let objects: Vec<Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let text = |object: &Value| object["text"].as_str().unwrap().to_owned();
    let whole: String = objects
        .iter()
        .map_while(|o| (text(o).starts_with('y')).then(|| text(o)))
        .collect();
    assert_eq!(whole.len(), 3_000_000);
    assert!(objects.iter().all(|object| text(object).len() < 1_100_000));
    let last = objects.last().unwrap();
    assert_eq!(text(last), "no end");
    assert_eq!(
        (&last["container"], &last["stream"]),
        (&"app".into(), &"stdout".into())
    );
    // on a terminal nothing moves its cursor, unless that is asked for
    let person = format!(
        "{} -H {host} logs log-bytes app --tail 2",
        env!("CARGO_BIN_EXE_devnet")
    );
    let terminal = |more: &str| {
        Output::of(sandbox.command("script").args([
            "-qec",
            &format!("{person}{more}"),
            "/dev/null",
        ]))
        .ok()
    };
    assert!(terminal("").contains("\\u{1b}[31m"));
    assert!(terminal(" --raw").contains("\u{1b}[31m"));
}

#[test]
fn parts_of_a_log_are_what_was_asked_for() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let kubelet = Kubelet::new(&testbed, &sandbox, "log-parts", "10.91.13.0/24");
    let pause = kubelet.pause(0, "10.91.13.5");
    let host = format!("unix://{}", testbed.join("node.sock").display());
    let logs = |more: &[&str]| {
        let mut all = vec!["-H", host.as_str(), "logs", "log-parts", "app"];
        all.extend_from_slice(more);
        sandbox.devnet(&all).ok()
    };
    let old = kubelet.script("app", 0, &pause, &[], "echo of the first attempt; exit 3");
    kubelet.docker(&["wait", &old]);
    let script = "for i in 1 2 3; do echo line $i; /bin/busybox usleep 20000; done; exec /bin/busybox sleep 600";
    let id = kubelet.script("app", 1, &pause, &[], script);
    until("the last line is there", || logs(&[]).contains("line 3"));
    assert_eq!(logs(&["--previous"]), "of the first attempt\n");
    assert_eq!(logs(&["--tail", "1"]), "line 3\n");
    assert_eq!(logs(&["--tail", "0"]), "");
    // times are kept to the nanosecond, though the engine knows whole seconds
    let stamped = logs(&["--timestamps"]);
    let times: Vec<&str> = stamped.lines().map(|line| &line[..30]).collect();
    assert_eq!(logs(&["--since", times[1]]), "line 2\nline 3\n");
    assert_eq!(logs(&["--until", times[1]]), "line 1\nline 2\n");
    assert_eq!(
        logs(&["--since", times[1], "--until", times[1]]),
        "line 2\n"
    );
    assert_eq!(logs(&["--since", "1h", "--until", times[0]]), "line 1\n");
    assert_eq!(logs(&["--until", "1h"]), "");
    kubelet.docker(&["restart", "-t", "0", &id]);
    until("it says it all again", || logs(&[]).lines().count() == 6);
    assert_eq!(logs(&["--since-restart"]), "line 1\nline 2\nline 3\n");
    // a container that has ended, as an init container has, is shown with the others
    let init = kubelet.script("init", 0, &pause, &[], "echo from init");
    kubelet.docker(&["wait", &init]);
    let all = sandbox.devnet(&["-H", &host, "logs", "log-parts"]).ok();
    assert!(
        all.contains("init | from init\n") && all.contains("app  | line 1\n"),
        "{all}"
    );
    // and one whose log can't be read is named, with the reason; the others are shown
    kubelet.script("mute", 0, &pause, &["--log-driver=none"], "echo unheard");
    let output = sandbox.devnet(&["-H", &host, "logs", "log-parts"]);
    assert!(output.stdout.contains("from init"), "{output}");
    let said = output.fails(1);
    assert!(said.contains("`mute`") && said.contains("`none`"), "{said}");
    let ignored = sandbox.devnet(&["-H", &host, "logs", "log-parts", "--ignore-errors"]);
    assert!(ignored.stderr.contains("`mute`"), "{ignored}");
    assert!(ignored.ok().contains("from init"));
    // docker's and kubectl's own forms
    assert_eq!(logs(&["--tail", "-1"]), logs(&[]));
    assert_eq!(logs(&["--tail", "all", "--since", "0"]), logs(&[]));
    assert_eq!(
        logs(&["--since-time", times[1], "--until", times[1]]),
        "line 2\n"
    );
    assert_eq!(logs(&["--tail", "1", "--prefix"]), "app | line 3\n");
    let nanoseconds = |time: &str| {
        let date = sandbox
            .command("date")
            .args(["-d", time, "+%s.%N"])
            .output();
        String::from_utf8(date.unwrap().stdout)
            .unwrap()
            .trim()
            .to_owned()
    };
    let unix = nanoseconds(times[1]);
    assert_eq!(logs(&["--since", &unix, "--until", &unix]), "line 2\n");
    // a time without an offset is of the person's zone
    let zoned = Sandbox::bare().env("TZ", "JST-9");
    let date = zoned
        .command("date")
        .args(["-d", times[1], "+%Y-%m-%dT%H:%M:%S.%N"])
        .output();
    let local = String::from_utf8(date.unwrap().stdout).unwrap();
    let range = ["--since", local.trim(), "--until", local.trim()];
    let all = [&["-H", &host, "logs", "log-parts", "app"], &range[..]].concat();
    assert_eq!(zoned.devnet(&all).ok(), "line 2\n");
}

#[test]
fn a_container_that_never_started_is_told_and_waited_for() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let kubelet = Kubelet::new(&testbed, &sandbox, "log-never", "10.91.14.0/24");
    let pause = kubelet.pause(0, "10.91.14.5");
    let host = format!("unix://{}", testbed.join("node.sock").display());
    let logs = |more: &[&str]| {
        let all = [&["-H", &host, "logs", "log-never"], more].concat();
        sandbox.devnet(&all)
    };
    let broken = kubelet.try_script("broken", 0, &pause, &["--entrypoint=/no/such"], "true");
    assert_ne!(broken.code, 0, "{broken}");
    let said = logs(&["broken"]).fails(1);
    assert!(
        said.contains("`broken` never started") && said.contains("no such file"),
        "{said}"
    );
    // beside one that has a log it is a warning
    let app = kubelet.script(
        "app",
        0,
        &pause,
        &[],
        "echo here; exec /bin/busybox sleep 600",
    );
    until("it has written", || logs(&["app"]).ok() == "here\n");
    let both = logs(&[]);
    assert!(both.stderr.contains("`broken` never started"), "{both}");
    assert_eq!(both.ok(), "app    | here\n");
    kubelet.docker(&["rm", "-f", &app]);
    // and a follower shows what it writes when it starts
    let (mut child, mut lines) = follow(&sandbox, &host, &["log-never", "-f"]);
    kubelet.script(
        "broken",
        1,
        &pause,
        &[],
        "echo at last; exec /bin/busybox sleep 600",
    );
    assert_eq!(line(&mut lines), "at last");
    child.kill().unwrap();
    child.wait().unwrap();
}
