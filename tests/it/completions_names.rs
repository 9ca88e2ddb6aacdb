//! Names of pods and containers in the real shells: asked of a real engine while a line is typed.

use std::path::Path;

use crate::support::lab::Lab;
use crate::support::made::Made;
use crate::support::{Output, Sandbox, busybox_image, docker, missing, testbed};

/// A sandbox in which `devnet` is a command, as its scripts want it, and talks to `host`.
fn shell(host: &str) -> Sandbox {
    let devnet = Path::new(env!("CARGO_BIN_EXE_devnet")).parent().unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", devnet.display());
    let sandbox = Sandbox::bare().env("PATH", &path).env("DEVNET_HOST", host);
    for shell in ["bash", "zsh", "fish"] {
        let script = sandbox.devnet(&["completions", shell]).ok();
        std::fs::write(sandbox.home().join(format!("devnet.{shell}")), script).unwrap();
    }
    sandbox
}

/// The completions that bash gives for a line that is typed up to the end of the last word.
fn bash(sandbox: &Sandbox, words: &[&str]) -> Output {
    let mut pieces: Vec<String> = Vec::new();
    for word in words {
        // bash ends a word at a colon
        let spaced = word.replace(':', "\0:\0");
        let parts = spaced.split('\0').map(str::to_owned);
        pieces.extend(parts.filter(|part| !part.is_empty() || word.is_empty()));
    }
    let place = pieces.len() - 1;
    let current = pieces[place].trim_start_matches(':').to_owned();
    let quoted: Vec<String> = pieces.iter().map(|piece| format!("{piece:?}")).collect();
    let script = format!(
        "source ./devnet.bash; COMP_WORDS=({}); COMP_CWORD={place}; COMP_TYPE=9
         _devnet_whole_words devnet {current:?} {}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        quoted.join(" "),
        quoted[place - 1]
    );
    Output::of(sandbox.command("bash").args(["--norc", "-c", &script]))
}

/// Asks until there is an answer: on a busy machine one may not come within devnet's moment.
#[track_caller]
fn until(mut ask: impl FnMut() -> String, wanted: &str) -> String {
    let mut said = String::new();
    crate::support::until(&format!("`{wanted}` is offered"), || {
        said = ask();
        said.contains(wanted)
    });
    said
}

#[test]
fn bash_and_fish_offer_pods_and_the_containers_of_the_pod_that_is_named() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "completed");
    made.add_sleeper("first");
    made.add_sleeper("second");
    let sandbox = shell(&made.host());
    for verb in [
        "inspect", "exec", "logs", "shell", "history", "check", "graph", "pods", "ports",
    ] {
        let said = until(
            || bash(&sandbox, &["devnet", verb, "comple"]).ok(),
            "completed",
        );
        assert_eq!(said.trim(), "completed", "{verb}");
    }
    let full = until(
        || bash(&sandbox, &["devnet", "inspect", "default/comple"]).ok(),
        "completed",
    );
    assert_eq!(full.trim(), "default/completed");
    for containers in [
        &["exec", "completed", "-c", ""][..],
        &["shell", "completed", "-c", ""],
        &["logs", "completed", "-c", ""],
    ] {
        let line = [&["devnet"], containers].concat();
        let said = until(|| bash(&sandbox, &line).ok(), "first");
        let said: Vec<_> = said.split_whitespace().collect();
        assert_eq!(said, ["first", "second"], "{containers:?}");
    }
    let said = until(
        || bash(&sandbox, &["devnet", "logs", "completed", "fi"]).ok(),
        "first",
    );
    assert_eq!(said.trim(), "first");
    if !Path::new("/usr/bin/fish").exists() {
        missing("fish");
        return;
    }
    let fish = |line: &str| {
        let script = format!("source ./devnet.fish; complete -C '{line}'");
        let mut command = sandbox.command("fish");
        Output::of(command.args(["--no-config", "-c", &script])).ok()
    };
    let said = until(|| fish("devnet inspect comple"), "completed");
    assert!(said.starts_with("completed\tdefault"), "{said}");
    let said = until(|| fish("devnet shell completed -c f"), "first");
    assert!(said.starts_with("first\t"), "{said}");
}

#[test]
fn images_are_offered_whole_though_bash_ends_a_word_at_a_colon() {
    let Some(testbed) = testbed() else { return };
    let made = Made::new(&testbed, "images-completed");
    made.docker(&["tag", &made.image, "devnet-test/tabbed:one"]);
    made.docker(&["tag", &made.image, "devnet-test/tabbed:two"]);
    let sandbox = shell(&made.host());
    std::fs::create_dir(sandbox.home().join("devnet-test-folder")).unwrap();
    let host = made.host();
    for line in [
        &["images"][..],
        &["shell", "images-completed", "--image"],
        &["load", "--from-host", &host],
        &["-H", &host, "images"],
    ] {
        let ask = |word| bash(&sandbox, &[&["devnet"], line, &[word]].concat()).ok();
        let all = until(|| ask("devnet-test/tab"), "tabbed");
        assert_eq!(
            all.split_whitespace().collect::<Vec<_>>(),
            ["devnet-test/tabbed:one", "devnet-test/tabbed:two"],
            "{line:?}"
        );
        // bash replaces only what stands behind the colon
        let all = until(|| ask("devnet-test/tabbed:"), "one");
        assert_eq!(all.split_whitespace().collect::<Vec<_>>(), ["one", "two"]);
        let one = until(|| ask("devnet-test/tabbed:tw"), "two");
        assert_eq!(one.trim(), "two", "{line:?}");
    }
    // what can be loaded may be a file as well
    let all = until(
        || bash(&sandbox, &["devnet", "load", "devnet-test-"]).ok(),
        "folder",
    );
    assert_eq!(all.trim(), "devnet-test-folder/");
    made.docker(&["rmi", "devnet-test/tabbed:one", "devnet-test/tabbed:two"]);
}

#[test]
fn the_labs_verbs_are_offered_the_labs_pods() {
    let Some(lab) = Lab::new() else {
        return;
    };
    // two that share a network are a pod as well, but not the lab's
    let image = busybox_image(&lab.testbed, lab.engine());
    for (name, network) in [
        ("tabbed-of-docker", "none"),
        ("tabbed-beside", "container:tabbed-of-docker"),
    ] {
        let run = ["run", "-d", "--name", name, "--network", network, &image];
        let sleep = ["/bin/busybox", "sleep", "3600"];
        docker(&lab.testbed, lab.engine(), &[&run[..], &sleep].concat()).ok();
    }
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: tabbed-of-lab}, spec: {containers: \
               [{name: app, image: devnet-probe, args: [serve, '8080']}]}}";
    lab.run(&["up", &lab.write("pod.yaml", pod)]).ok();
    let sandbox = shell(&lab.host());
    for verb in [&["kill"][..], &["restart"], &["break", "split"], &["down"]] {
        let line = [&["devnet", "lab"], verb, &["tabbed"]].concat();
        let said = until(|| bash(&sandbox, &line).ok(), "tabbed");
        assert_eq!(said.trim(), "tabbed-of-lab", "{verb:?}");
    }
    let line = ["devnet", "lab", "kill", "tabbed-of-lab", "-c", ""];
    assert_eq!(until(|| bash(&sandbox, &line).ok(), "app").trim(), "app");
    let inspect = ["devnet", "inspect", "tabbed-of-d"];
    let said = until(|| bash(&sandbox, &inspect).ok(), "docker");
    assert_eq!(said.trim(), "tabbed-of-docker");
    let gone = ["rm", "-f", "tabbed-of-docker", "tabbed-beside"];
    docker(&lab.testbed, lab.engine(), &gone).ok();
    lab.run(&["down"]).ok();
}

/// A person at zsh's prompt presses Tab; says whether the name stands there then.
const PERSON: &str = r#"
import os, pty, select, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.environ["TERM"] = "dumb"
    os.execvp("zsh", ["zsh", "-f", "-i"])
seen = b""
def until(what, seconds):
    global seen
    end = time.time() + seconds
    while what not in seen and time.time() < end:
        if select.select([fd], [], [], 0.1)[0]:
            seen += os.read(fd, 4096)
    return what in seen
os.write(fd, b"autoload -U compinit; compinit -u -D; source ./devnet.zsh; echo ready$((1+1))\n")
assert until(b"ready2", 30), seen
for _ in range(60):
    seen = b""
    os.write(fd, b"echo devnet-is \x15devnet inspect zsh-ta\t")
    if until(b"zsh-tabbed", 1):
        print("zsh-tabbed"); break
    os.write(fd, b"\x15")
os.kill(pid, 9)
"#;

#[test]
fn zsh_completes_a_pod_at_its_prompt() {
    let Some(testbed) = testbed() else { return };
    if !Path::new("/usr/bin/zsh").exists() {
        missing("zsh");
        return;
    }
    let mut made = Made::new(&testbed, "zsh-tabbed");
    made.add_sleeper("app");
    let sandbox = shell(&made.host());
    let mut person = sandbox.command("python3");
    assert_eq!(
        Output::of(person.args(["-c", PERSON])).ok().trim(),
        "zsh-tabbed"
    );
}

#[test]
fn where_nobody_answers_nothing_is_offered_and_nothing_is_said() {
    let sandbox = shell("unix:///nobody/here.sock");
    let said = bash(&sandbox, &["devnet", "inspect", "w"]);
    assert_eq!(
        (said.stdout.trim(), said.stderr.as_str()),
        ("", ""),
        "{said}"
    );
    // flags and commands need nobody
    assert_eq!(bash(&sandbox, &["devnet", "gra"]).ok().trim(), "graph");
}
