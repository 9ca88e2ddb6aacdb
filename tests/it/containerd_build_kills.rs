//! Random kills during builds on a node with containerd: no name ever points at an image from which no
//! pod starts.
//!
//! `ROUNDS` says how many (4); with another `SEED`, other moments. A failure names both.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::containerd_load_faults::{has, nothing_left, top};
use crate::containerd_load_kills::clear;
use crate::support::archive::noise;
use crate::support::containerd_node::ContainerdNode;
use crate::support::node_build::NodeBuild;
use crate::support::random::{Random, switch, tell};
use crate::support::testbed;

const NAME: &str = "docker.io/library/ctr-killed:1";

#[test]
fn no_name_points_at_a_build_from_which_no_pod_starts_whoever_is_killed_when() {
    let Some(testbed) = testbed() else { return };
    let rounds = switch("ROUNDS").unwrap_or(4);
    let seed = switch("SEED").unwrap_or(20_261_128);
    let mut random = Random::new(seed);
    let Some(node) = ContainerdNode::building(&testbed, "ctr-bkills") else {
        return;
    };
    let build = NodeBuild::new(
        &node,
        &[
            (
                "Dockerfile",
                "FROM scratch\nCOPY bin /bin\nCOPY large /\nCOPY top /\n",
            ),
            ("top", "0"),
        ],
    )
    .with_busybox();
    let large = |seed: u64| {
        let bytes = noise(u32::try_from(seed % 1_000_000).unwrap(), 8 << 20);
        std::fs::write(build.context().join("large"), bytes).unwrap();
    };
    large(seed);
    let begun = Instant::now();
    build.run(&["-t", "ctr-killed:1"]).ok();
    let whole = u64::try_from(begun.elapsed().as_micros()).unwrap();
    let (mut before, mut killed, mut finished) = ("0".to_owned(), 0, 0);
    for round in 1..=rounds {
        let what = format!("round {round} of seed {seed}");
        let now = round.to_string();
        build.write("top", &now);
        if random.below(3) == 0 {
            large(seed + round);
        }
        let mut child = build
            .command(&["-t", "ctr-killed:1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(random.below(whole)));
        match random.below(4) {
            0 => {
                killed += u32::from(child.try_wait().unwrap().is_none());
                child.kill().unwrap();
                child.wait().unwrap();
            }
            1 => {
                node.cut_connections();
                killed += u32::from(!child.wait().unwrap().success());
            }
            2 => {
                node.buildkitd(&["kill"]);
                killed += u32::from(!child.wait().unwrap().success());
                node.buildkitd(&["start"]);
            }
            _ => {
                let spare = format!("spare-{round}");
                node.ctr(&["snapshots", "prepare", &spare]);
                node.containerd("kill");
                // an engine may wait for ever for a containerd that is gone, and a build for the engine
                node.buildkitd(&["kill"]);
                killed += u32::from(!child.wait().unwrap().success());
                node.containerd("start");
                clear(&node, &spare);
                node.buildkitd(&["start"]);
            }
        }
        assert!(has(&node, NAME), "{what}: the name is gone");
        let runs = top(&node, &format!("built-{round}"), NAME);
        assert!(
            runs == before || runs == now,
            "{what}: the image holds `{runs}`, it held `{before}` and was to hold `{now}`"
        );
        finished += u32::from(runs == now);
        before = runs;
        if round % 25 == 0 {
            tell(&format!(
                "{what}: {killed} builds died, {finished} were through before"
            ));
        }
    }
    build.write("top", "last");
    build.run(&["-t", "ctr-killed:1"]).ok();
    assert_eq!(top(&node, "built-last", NAME), "last");
    node.sandbox().devnet(&["clean"]).ok();
    build.nothing_is_left("ctr-killed@");
    nothing_left(&node);
    tell(&format!(
        "{rounds} rounds (seed {seed}): {killed} builds died, {finished} were through before"
    ));
}
