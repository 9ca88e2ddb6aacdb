//! exec, logs, check and shell, killed in the middle: what ran of devnet's own ends by itself, what
//! never started goes with the next command.

use crate::support::caught::{Caught, MOMENTS};
use crate::support::engines::Engine;
use crate::support::made::{Made, tool};
use crate::support::rewriting::Hold;
use crate::support::{busybox_image, docker, testbed, until};

/// Ends it there; what was held up reaches the engine after its end.
fn kill(caught: &mut Caught) {
    caught.kill();
    caught.proxy.release();
}

#[test]
fn a_killed_check_leaves_no_probe_in_any_pod() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "check-killed");
    made.add_sleeper("app");
    for moment in MOMENTS {
        // the first of each kind is the look at the node, the second is inside a pod
        let mut caught = Caught::after(&testbed, 1, moment, &["check", "check-killed"], false);
        kill(&mut caught);
        if let Hold::Answer(_, "/start") = moment {
            // several are under way at once: the others may not have been started
            until("its probes end", || !caught.left().contains(" running"));
        }
        until("the next command takes the rest away", || {
            caught.another(&["status"]);
            caught.left().is_empty()
        });
    }
}

#[test]
fn an_interrupted_check_or_shell_has_taken_everything_away_when_it_ends() {
    let Some(testbed) = testbed() else { return };
    // where no pod of another test is entered too
    let engine = Engine::start(&testbed, "peers-stopped");
    let image = busybox_image(&testbed, &engine.name);
    let mut made = Made::of_image(&testbed, &engine.name, "stopped", "none", image);
    made.add_sleeper("app");
    let shell = ["shell", "stopped", "-i", "--", "sh"];
    let check = ["check", "stopped"];
    for (command, passing) in [(&check[..], 1), (&shell[..], 0)] {
        for moment in MOMENTS {
            for refused in [None, Some(("DELETE", "/containers/"))] {
                let mut caught =
                    Caught::on(&testbed, &engine.name, passing, moment, command, false);
                if let Some((method, path)) = refused {
                    // an engine can't kill what ends just then
                    caught.proxy.refuse(method, path);
                }
                tool("kill", &["-INT", &caught.child.id().to_string()]);
                caught.proxy.release();
                let status = caught.child.wait().unwrap();
                let what = format!("{command:?} at {moment:?}, refused {refused:?}");
                let said = caught.said();
                // on a busy machine all that it waited for may come in the signal's own moment: then it
                // has done its work, and says so
                let is_done = command == check && said.contains("claims hold");
                assert!(
                    status.code() == Some(130) || is_done,
                    "{what}: {status} {said}"
                );
                assert_eq!(caught.left(), "", "{what}");
            }
        }
    }
}

#[test]
fn a_probe_that_is_long_in_the_making_keeps_no_other_from_being_taken_away() {
    let Some(testbed) = testbed() else { return };
    let engine = Engine::start(&testbed, "peers-slow");
    let image = busybox_image(&testbed, &engine.name);
    let mut pods: Vec<Made> = ["one", "two"]
        .map(|name| Made::of_image(&testbed, &engine.name, name, "none", image.clone()))
        .into();
    for pod in &mut pods {
        pod.add_sleeper("app");
    }
    let hold = Hold::Request("POST", "/containers/create");
    let mut caught = Caught::on(&testbed, &engine.name, 1, hold, &["check"], false);
    // both wait for the engine
    caught.proxy.until_held();
    tool("kill", &["-INT", &caught.child.id().to_string()]);
    caught.proxy.release();
    let destroyed = || {
        let names = engine.events("destroy", "{{.Actor.Attributes.name}}");
        let own = format!("-{}", caught.child.id());
        names.lines().filter(|name| name.ends_with(&own)).count()
    };
    // the look, and the first of the two
    until("one is taken away while the other is not made", || {
        destroyed() == 2
    });
    caught.proxy.release();
    assert_eq!(caught.child.wait().unwrap().code(), Some(130));
    assert_eq!(caught.left(), "");
}

#[test]
fn a_killed_shell_leaves_no_helper() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "shell-killed");
    made.add_sleeper("app");
    let begun = [
        Hold::Request("POST", "/exec"),
        Hold::Answer("POST", "/exec"),
    ];
    let tools = ["--image", made.image.as_str()];
    for choice in [&tools[..], &["--image", "none"]] {
        for moment in MOMENTS.into_iter().chain(begun) {
            let all = [&["shell", "shell-killed", "-i"], choice].concat();
            let cat = [&all[..], &["--", "/bin/busybox", "cat"]].concat();
            let mut caught = Caught::at(&testbed, moment, &cat, false);
            assert!(!caught.left().contains(" running") || is_late(moment));
            kill(&mut caught);
            if is_late(moment) {
                // nobody needs to look for it
                until("its helper ends", || caught.left().is_empty());
            }
            until("the next command takes the rest away", || {
                caught.another(&["status"]);
                caught.left().is_empty()
            });
        }
    }
}

/// True where the helper has been started by then.
fn is_late(moment: Hold) -> bool {
    matches!(
        moment,
        Hold::Answer("POST", "/start") | Hold::Request(_, "/exec") | Hold::Answer(_, "/exec")
    )
}

#[test]
fn a_command_that_reads_from_a_killed_exec_reads_its_end() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "exec-killed");
    let app = made.add_sleeper("app");
    let running = || docker(&testbed, "node", &["top", &app]).ok();
    for moment in [
        Hold::Request("POST", "/exec"),
        Hold::Answer("POST", "/exec"),
        Hold::Request("POST", "/start"),
        Hold::Answer("POST", "/start"),
    ] {
        let cat = ["exec", "-i", "exec-killed", "--", "/bin/busybox", "cat"];
        let mut caught = Caught::at(&testbed, moment, &cat, false);
        assert_eq!(caught.left(), "", "it makes no container");
        if let Hold::Answer(_, "/start") = moment {
            until("it runs", || running().contains("busybox cat"));
        }
        kill(&mut caught);
        until("it ends", || !running().contains("busybox cat"));
        assert_eq!(caught.left(), "");
    }
    assert!(running().contains("sleep 3600"), "the pod's own goes on");
}

#[test]
fn a_killed_reader_of_logs_leaves_nothing() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "logs-killed");
    made.add("app", &[], &["/bin/busybox", "yes"]);
    for moment in [
        Hold::Answer("GET", "/containers/json"),
        Hold::Request("GET", "/logs"),
    ] {
        let mut caught = Caught::at(&testbed, moment, &["logs", "logs-killed", "-f"], false);
        kill(&mut caught);
        assert_eq!(caught.left(), "");
    }
    made.finds(&[]);
}
