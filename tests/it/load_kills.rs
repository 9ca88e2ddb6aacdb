//! Random kills during loads: no name ever points at an image that does not run.
//!
//! `ROUNDS` says how many (8); with another `SEED`, other moments. A failure names both.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::engines::Engine;
use crate::support::random::{Random, switch, tell};
use crate::support::{Sandbox, testbed};

#[test]
fn no_name_points_at_an_image_that_does_not_run_whoever_is_killed_when() {
    let Some(testbed) = testbed() else { return };
    let rounds = switch("ROUNDS").unwrap_or(8);
    let seed = switch("SEED").unwrap_or(20_110_502);
    let mut random = Random::new(seed);
    let host = Engine::start(&testbed, "kills-host");
    let node = Engine::start(&testbed, "kills-node");
    let sandbox = Sandbox::bare();
    let (from, to) = (host.url(), node.url());
    let load = ["-H", &to, "load", "--from-host", &from, "app:1"];
    host.image("keep:1", 1, "keep");
    sandbox
        .devnet(&["-H", &to, "load", "--from-host", &from, "keep:1"])
        .ok();
    // what a load takes when nobody dies: kills fall anywhere in it
    host.image("app:1", 6, "0");
    let begun = Instant::now();
    sandbox.devnet(&load).ok();
    let whole = u64::try_from(begun.elapsed().as_micros()).unwrap();
    let (mut before, mut killed, mut finished) = ("0".to_owned(), 0, 0);
    for round in 1..=rounds {
        let what = format!("round {round} of seed {seed}");
        let top = round.to_string();
        host.image("app:1", 6, &top);
        if random.below(4) == 0 {
            // everything anew, so that large layers are under way too
            node.docker(&["rmi", "-f", "app:1"]).ok();
            before.clear();
        }
        let mut child = sandbox
            .devnet_command(&load)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(random.below(whole * 5 / 4)));
        if random.below(2) == 0 {
            killed += u32::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
        } else {
            node.signal("KILL");
            killed += u32::from(!child.wait().unwrap().success());
            node.again();
        }
        let found = node.docker(&["image", "inspect", "app:1"]).code == 0;
        let runs = if found {
            node.top("app:1").ok()
        } else {
            String::new()
        };
        assert!(
            runs == before || runs == top,
            "{what}: app:1 holds `{runs}`, it held `{before}` and was to hold `{top}`"
        );
        finished += u32::from(runs == top);
        every_name_runs(&node, &what);
        assert_eq!(node.top("keep:1").ok(), "keep", "{what}");
        before = runs;
    }
    tidied(&sandbox, &host, &node);
    sandbox.devnet(&load).ok();
    assert_eq!(node.top("app:1").ok(), rounds.to_string());
    assert_eq!(host.top("app:1").ok(), rounds.to_string());
    report(&testbed, rounds, killed, finished, seed);
}

/// Also the names that a killed transfer left.
fn every_name_runs(node: &Engine, what: &str) {
    for name in node.names() {
        if !name.contains("<none>") {
            let out = node.top(&name);
            assert_eq!(out.code, 0, "{what}: {name} does not run: {out}");
        }
    }
}

/// Asserts that leftovers go with the next command, and with `clean`.
fn tidied(sandbox: &Sandbox, host: &Engine, node: &Engine) {
    sandbox
        .devnet(&["-H", &host.url(), "pods", "--no-probe"])
        .ok();
    assert_eq!(host.left_over(), "", "readers go with the next command");
    for engine in [host, node] {
        sandbox.devnet(&["-H", &engine.url(), "clean"]).ok();
        let names = engine.names().join(" ");
        assert!(!names.contains("devnet-transfer"), "{names}");
        assert_eq!(engine.left_over(), "");
    }
}

fn report(testbed: &Path, rounds: u64, killed: u32, finished: u32, seed: u64) {
    let text = format!(
        "{rounds} rounds (seed {seed}): {killed} loads died, {finished} were through before\n"
    );
    std::fs::write(testbed.join("load-kills"), &text).unwrap();
    tell(text.trim_end());
}
