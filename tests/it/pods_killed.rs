//! A devnet that is interrupted or killed in the middle of a look: what it made in an engine is gone.

use crate::support::made::Made;
use crate::support::{Sandbox, ground};

#[test]
fn a_look_leaves_nothing_in_the_engine() {
    let Some(ground) = ground() else { return };
    let made = Made::new(&ground, "tidy");
    made.finds(&[]);
    // the engine removes the look's container itself, a moment after its end
    // other tests look at the same engine: their containers come and go meanwhile, and those
    // whose devnet was killed before it could start them stay for a minute
    let there = || {
        let of_looks = "label=dev.devnet.role=probe";
        let states = ["running", "exited", "dead"].map(|state| format!("status={state}"));
        let [a, b, c] = states.each_ref();
        made.docker(&["ps", "-aq", "-f", of_looks, "-f", a, "-f", b, "-f", c])
    };
    let ours = there();
    let left = || ours.lines().any(|id| there().contains(id));
    let begun = std::time::Instant::now();
    while left() {
        assert!(begun.elapsed().as_secs() < 90, "{ours}");
    }
}

#[test]
fn a_look_whose_devnet_was_killed_ends_by_itself() {
    let Some(ground) = ground() else { return };
    let made = Made::new(&ground, "killed");
    let host = format!("unix://{}", ground.join("node.sock").display());
    for delay in [20, 60, 100, 150, 200] {
        let sandbox = Sandbox::bare();
        let mut child = sandbox
            .devnet_command(&["-H", &host, "pods"])
            .spawn()
            .unwrap();
        // killed somewhere in its work: which moment is hit is not what the test is about
        let begun = std::time::Instant::now();
        while begun.elapsed().as_millis() < delay {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let running = || made.docker(&["ps", "-q", "--filter", "label=dev.devnet.role=probe"]);
    let begun = std::time::Instant::now();
    while !running().is_empty() {
        assert!(begun.elapsed().as_secs() < 60, "{}", running());
    }
    // what never started goes with the next command, once it is a minute old; here it is no finding
    made.finds(&[]);
}
