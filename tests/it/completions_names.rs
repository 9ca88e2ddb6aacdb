//! Names of pods and containers in the real shells: asked of a real engine while a line is typed.

use std::path::Path;

use crate::support::made::Made;
use crate::support::{Output, Sandbox, ground, missing};

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

fn bash(sandbox: &Sandbox, words: &[&str]) -> Output {
    let (last, place) = (words.last().unwrap(), words.len() - 1);
    let script = format!(
        "source ./devnet.bash; COMP_WORDS=({}); COMP_CWORD={place}; COMP_TYPE=9
         _clap_complete_devnet devnet {last:?} {:?}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.join(" "),
        words[place - 1]
    );
    Output::of(sandbox.command("bash").args(["--norc", "-c", &script]))
}

/// Asks until there is an answer: on a busy machine one may not come within devnet's moment.
#[track_caller]
fn until(mut ask: impl FnMut() -> String, wanted: &str) -> String {
    let begun = std::time::Instant::now();
    loop {
        let said = ask();
        if said.contains(wanted) {
            return said;
        }
        assert!(begun.elapsed().as_secs() < 60, "{wanted}: {said}");
    }
}

#[test]
fn bash_and_fish_offer_pods_and_the_containers_of_the_pod_that_is_named() {
    let Some(ground) = ground() else { return };
    let mut made = Made::new(&ground, "completed");
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
    let containers = ["devnet", "exec", "completed", "-c", ""];
    let said = until(|| bash(&sandbox, &containers).ok(), "first");
    assert_eq!(
        said.split_whitespace().collect::<Vec<_>>(),
        ["first", "second"]
    );
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
    let Some(ground) = ground() else { return };
    if !Path::new("/usr/bin/zsh").exists() {
        missing("zsh");
        return;
    }
    let mut made = Made::new(&ground, "zsh-tabbed");
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
