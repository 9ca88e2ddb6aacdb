//! A devnet that is interrupted or killed in the middle of a look: what it made in an engine is gone.

use crate::support::caught::{Caught, MOMENTS};
use crate::support::engines::Engine;
use crate::support::made::{Made, tool};
use crate::support::rewriting::Hold;
use crate::support::{Sandbox, busybox_image, docker, testbed, until};

#[test]
fn of_a_killed_devnet_what_ran_ends_and_what_never_started_goes_with_the_next_command() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "killed");
    made.add_sleeper("app");
    for command in [
        &["pods"][..],
        &["inspect", "killed"],
        &["ports", "killed"],
        &["prove"],
    ] {
        for moment in MOMENTS {
            let mut caught = Caught::at(&testbed, moment, command, false);
            caught.kill();
            caught.proxy.release();
            if let Hold::Answer(_, "/start") = moment {
                until("the engine has removed it", || caught.left().is_empty());
                continue;
            }
            // a request that was held up reaches the engine when it is released
            until("the engine has removed it", || {
                caught.another(&["status"]);
                caught.left().is_empty()
            });
        }
    }
    made.finds(&[]);
}

#[test]
fn a_container_that_a_killed_devnet_never_started_is_gone_after_one_command() {
    let Some(testbed) = testbed() else { return };
    // where no command of another test takes it away first
    let engine = Engine::start(&testbed, "never-started");
    let image = busybox_image(&testbed, &engine.name);
    let mut made = Made::of_image(&testbed, &engine.name, "never-started", "none", image);
    made.add_sleeper("app");
    let host = engine.url();
    for command in [
        &["pods"][..],
        &["status"],
        &["exec", "never-started", "--", "/bin/busybox", "true"],
    ] {
        let hold = Hold::Request("POST", "/start");
        let mut caught = Caught::on(&testbed, &engine.name, 0, hold, &["pods"], false);
        caught.kill();
        assert!(
            caught.left().trim().ends_with(" created"),
            "{}",
            caught.left()
        );
        let output = Sandbox::bare().devnet(&[&["-H", &host], command].concat());
        output.ok();
        assert_eq!(caught.left(), "", "after {command:?}");
    }
}

#[test]
fn an_image_that_was_brought_for_one_look_goes_with_it() {
    let Some(testbed) = testbed() else { return };
    // looks of other tests may use what one brought
    let engine = Engine::start(&testbed, "one-look");
    let caught_at = |hold| Caught::on(&testbed, &engine.name, 0, hold, &["pods"], true);
    // as it should be: nothing stays
    let mut caught = caught_at(Hold::Request("POST", "/start"));
    assert_ne!(caught.images(), "");
    caught.proxy.release();
    assert_eq!(caught.child.wait().unwrap().code(), Some(0));
    assert_eq!(caught.images(), "");
    // killed: the next look takes it away
    for moment in MOMENTS
        .into_iter()
        .chain([Hold::Answer("POST", "/images/load")])
    {
        if matches!(moment, Hold::Request("PUT", _)) {
            continue; // the image holds the program
        }
        let mut caught = caught_at(moment);
        assert_ne!(caught.images(), "");
        caught.kill();
        caught.proxy.release();
        until("the engine has removed it", || {
            caught.another(&["pods"]);
            caught.left().is_empty() && caught.images().is_empty()
        });
    }
}

#[test]
fn a_container_goes_also_when_a_person_has_removed_its_image() {
    let Some(testbed) = testbed() else { return };
    let engine = Engine::start(&testbed, "one-look-less");
    let hold = Hold::Request("POST", "/start");
    let mut caught = Caught::on(&testbed, &engine.name, 0, hold, &["pods"], true);
    caught.kill();
    let image = caught.images();
    engine
        .docker(&["rmi", "-f", &format!("{image}:{}", tag(&engine, &image))])
        .ok();
    assert_eq!(caught.images(), "");
    assert!(
        caught.left().trim().ends_with(" created"),
        "{}",
        caught.left()
    );
    caught.another(&["pods"]);
    assert_eq!(caught.left(), "");
}

/// The only tag of a repository.
fn tag(engine: &Engine, repository: &str) -> String {
    let all = ["images", "--format", "{{.Tag}}", repository];
    engine.docker(&all).ok().trim().to_owned()
}

#[test]
fn an_interrupted_devnet_has_taken_everything_away_when_it_ends() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "interrupted");
    made.add_sleeper("app");
    for no_image in [false, true] {
        for moment in MOMENTS {
            if no_image && matches!(moment, Hold::Request("PUT", _)) {
                continue;
            }
            for signal in ["-INT", "-TERM"] {
                let mut caught = Caught::at(&testbed, moment, &["pods"], no_image);
                tool("kill", &[signal, &caught.child.id().to_string()]);
                caught.proxy.release();
                let status = caught.child.wait().unwrap();
                assert_eq!(status.code(), Some(130));
                assert_eq!(caught.left(), "");
                assert_eq!(caught.images(), "");
            }
        }
    }
}

#[test]
fn a_look_leaves_nothing_in_the_engine() {
    let Some(testbed) = testbed() else { return };
    let mut made = Made::new(&testbed, "tidy");
    made.add_sleeper("app");
    let mut caught = Caught::at(&testbed, Hold::Request("POST", "/start"), &["pods"], false);
    let name = caught.left().split(' ').next().unwrap().to_owned();
    let format = "{{range .Mounts}}{{.Name}}{{end}}";
    let volume = made.docker(&["inspect", "-f", format, &name]);
    assert_ne!(volume.trim(), "", "the program is in a volume");
    caught.proxy.release();
    assert_eq!(caught.child.wait().unwrap().code(), Some(0));
    // the engine removes the look's container itself, a moment after its end
    until("the engine has removed it", || caught.left().is_empty());
    until("the engine has removed it", || {
        docker(&testbed, "node", &["volume", "inspect", volume.trim()]).code != 0
    });
}
