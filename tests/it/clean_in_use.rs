//! The things in an engine that another terminal's devnet uses just now: they stay, are waited for, and go
//! when it has ended.

use std::process::Stdio;

use crate::clean::Place;
use crate::support::lab::Lab;
use crate::support::rewriting::{Hold, Rewriting};
use crate::support::{Sandbox, busybox_image, testbed, until};

#[test]
fn what_another_terminal_uses_stays_and_goes_when_it_has_ended() {
    let Some(testbed) = testbed() else { return };
    let place = Place::new(&testbed, "own-living");
    place.devnet(&["lab", "up"]).ok();
    let file = place.sandbox.home().join("slow.yaml");
    std::fs::write(
        &file,
        "apiVersion: v1\nkind: Pod\nmetadata: {name: slow}\nspec:\n  initContainers:\n  \
         - {name: wait, image: devnet-probe, args: [pause]}\n  containers:\n  \
         - {name: app, image: devnet-probe, args: [pause]}\n",
    )
    .unwrap();
    let file = file.display().to_string();
    let mut living = vec![
        place.begin(&["lab", "up", &file]),
        place.begin(&["pods", "--watch", "-o", "json"]),
        place.begin(&[
            "shell",
            "web",
            "-c",
            "server",
            "--image",
            &place.busybox,
            "--",
            "/bin/busybox",
            "sleep",
            "3600",
        ]),
    ];
    until("they are at work", || {
        ["devnet_wait_", "devnet-look-", "devnet-shell-"]
            .iter()
            .all(|what| place.running().iter().any(|name| name.starts_with(what)))
    });
    let before = place.running();
    // what looks and shells are made from is not used by them, to a person
    let images = place.devnet(&["images"]).ok();
    assert!(!images.contains("container devnet-"), "{images}");
    let cleaned = place.devnet(&["clean"]);
    assert!(cleaned.stderr.contains("stays"), "{cleaned}");
    assert!(cleaned.stdout.contains("in use"), "{cleaned}");
    assert_eq!(place.running(), before);
    place.docker(&["network", "inspect", "devnet-lab"]);
    for child in &mut living {
        assert!(child.try_wait().unwrap().is_none());
    }
    for child in living {
        place.end(child);
    }
    let cleaned = place.devnet(&["clean"]).ok();
    assert!(cleaned.contains("removed network devnet-lab"), "{cleaned}");
    assert_eq!(place.containers(), Vec::<String>::new());
    assert_eq!(place.docker(&["images", "-q", "devnet-probe"]), "");
}

#[test]
fn the_lock_of_a_killed_devnet_ends_and_that_of_a_living_one_is_waited_for() {
    let Some(lab) = Lab::new() else { return };
    let engine = lab.host().trim_start_matches("unix://").into();
    let hold = Hold::Request("POST", "/networks/create");
    let sandbox = Sandbox::bare();
    let proxy = Rewriting::holding(sandbox.home(), engine, Some(hold), |_, _| {});
    let mut killed = sandbox
        .devnet_command(&["-H", &proxy.url(), "lab", "up"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    proxy.until_held();
    let held = || lab.docker(&["ps", "-a", "--format", "{{.Names}}"]);
    assert_eq!(held().trim(), "devnet-lab-lock");
    let mut waiting = lab
        .sandbox
        .devnet_command(&["-H", &lab.host(), "lab", "up"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert!(killed.try_wait().unwrap().is_none());
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
    proxy.release();
    assert_eq!(lab.pod("web")["ready"], true);
    lab.run(&["down"]).ok();
    assert_eq!(held(), "");
    // a person's container of that name is neither taken nor waited for
    let image = busybox_image(&lab.testbed, lab.engine());
    lab.docker(&[
        "create",
        "--name",
        "devnet-lab-lock",
        &image,
        "/bin/busybox",
    ]);
    let said = lab.run(&["up"]).fails(1);
    assert!(said.contains("that is not devnet's"), "{said}");
    assert_eq!(held().trim(), "devnet-lab-lock");
    lab.docker(&["rm", "devnet-lab-lock"]);
}
