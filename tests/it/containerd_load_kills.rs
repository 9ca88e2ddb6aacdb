//! Random kills during loads to nodes with containerd: no name ever points at an image from which no pod
//! starts.
//!
//! `ROUNDS` says how many (6); with another `SEED`, other moments. A failure names both.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::containerd_load_faults::{NAME, has, load, nothing_left, top};
use crate::support::containerd_node::ContainerdNode;
use crate::support::engines::Engine;
use crate::support::random::{Random, switch, tell};
use crate::support::testbed;

/// A containerd that was killed may have left a folder in its own way, so that no container can be made;
/// it clears that when it removes something.
pub(crate) fn clear(node: &ContainerdNode, spare: &str) {
    node.ctr(&["snapshots", "rm", spare]).ok();
    node.collect();
}

#[test]
fn no_name_points_at_an_image_from_which_no_pod_starts_whoever_is_killed_when() {
    let Some(testbed) = testbed() else { return };
    let rounds = switch("ROUNDS").unwrap_or(6);
    let seed = switch("SEED").unwrap_or(20_261_128);
    let mut random = Random::new(seed);
    let host = Engine::start(&testbed, "ctr-kills-host");
    let node = ContainerdNode::start(&testbed, "ctr-kills");
    let from = host.url();
    host.image("app:1", 6, "0");
    let begun = Instant::now();
    load(&node, &host, &["app:1"]).ok();
    let whole = u64::try_from(begun.elapsed().as_micros()).unwrap();
    let (mut before, mut killed, mut finished) = ("0".to_owned(), 0, 0);
    for round in 1..=rounds {
        let what = format!("round {round} of seed {seed}");
        let now = round.to_string();
        host.image("app:1", 6, &now);
        if random.below(4) == 0 {
            // everything anew, so that large layers are under way too
            node.sandbox().devnet(&["images", "rm", "app:1"]);
            before = if has(&node, NAME) {
                before
            } else {
                String::new()
            };
        }
        let sandbox = node.sandbox();
        let mut child = sandbox
            .devnet_command(&["load", "--from-host", &from, "app:1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(random.below(whole * 5 / 4)));
        match random.below(3) {
            0 => {
                killed += u32::from(child.try_wait().unwrap().is_none());
                child.kill().unwrap();
                child.wait().unwrap();
            }
            1 => {
                node.cut_connections();
                killed += u32::from(!child.wait().unwrap().success());
            }
            _ => {
                let spare = format!("spare-{round}");
                node.ctr(&["snapshots", "prepare", &spare]);
                node.containerd("kill");
                killed += u32::from(!child.wait().unwrap().success());
                node.containerd("start");
                clear(&node, &spare);
            }
        }
        let runs = if has(&node, NAME) {
            top(&node, &format!("kills-{round}"), NAME)
        } else {
            String::new()
        };
        assert!(
            runs == before || runs == now,
            "{what}: app:1 holds `{runs}`, it held `{before}` and was to hold `{now}`"
        );
        finished += u32::from(runs == now);
        before = runs;
        if round % 25 == 0 {
            tell(&format!(
                "{what}: {killed} loads died, {finished} were through before"
            ));
        }
    }
    node.sandbox().devnet(&["clean"]).ok();
    nothing_left(&node);
    load(&node, &host, &["app:1"]).ok();
    assert_eq!(top(&node, "kills-last", NAME), rounds.to_string());
    tell(&format!(
        "{rounds} rounds (seed {seed}): {killed} loads died, {finished} were through before"
    ));
}
