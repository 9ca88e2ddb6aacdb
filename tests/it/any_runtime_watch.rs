//! `devnet watch` on every runtime: the same test for all.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use crate::support::test_pod::{Script, TestNode};
use crate::support::until;

/// Runs what follows it behind an output for errors that takes no more.
const BEHIND_A_FULL_PIPE: &str = "head -c 65536 /dev/zero >&2; exec \"$@\"";

#[test]
fn what_happens_while_the_first_word_is_on_its_way_is_told() {
    for node in TestNode::all() {
        let pod = node.pod("any-slow-word", &[Script::idle("app")]);
        let sandbox = pod.sandbox();
        let watch = pod.command(&sandbox, &["watch", "any-slow-word"]);
        let mut command = sandbox.command("sh");
        command.args(["-c", BEHIND_A_FULL_PIPE, "sh"]);
        command.arg(watch.get_program()).args(watch.get_args());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut watch = command.spawn().unwrap();
        let call = format!("/proc/{}/syscall", watch.id());
        until("it has looked, and waits with its first word", || {
            // `write` to stderr, as x86_64 and as aarch64 number it
            let now = std::fs::read_to_string(&call).unwrap_or_default();
            ["1 0x2 ", "64 0x2 "]
                .iter()
                .any(|write| now.starts_with(write))
        });
        pod.signal("app", "KILL");
        pod.until_ended("app");
        let mut said = watch.stderr.take().unwrap();
        let reads = std::thread::spawn(move || {
            let mut all = Vec::new();
            said.read_to_end(&mut all).unwrap();
            String::from_utf8(all).unwrap()
        });
        let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
        let told = lines.next().unwrap().unwrap();
        assert!(told.contains("exit 137"), "{}: {told}", node.runtime());
        watch.kill().unwrap();
        watch.wait().unwrap();
        // as an event, not as a difference that is seen when the node is looked for again
        let said = reads.join().unwrap();
        assert!(!said.contains("lost"), "{}: {said}", node.runtime());
    }
}
