//! `devnet images prune` and `rm` on nodes that run containerd: nothing that anybody needs goes.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use serde_json::Value;

use crate::containerd_load::load;
use crate::load::{configuration, image};
use crate::support::containerd_node::ContainerdNode;
use crate::support::devnets_engine;
use crate::support::docker_shell::DockerShell;
use crate::support::node_kubelet::{Container, Pod, Policy, Wanted};
use crate::support::{ended, testbed, until};

/// The images of a node, as `devnet images` tells of them.
fn images(node: &ContainerdNode) -> Vec<Value> {
    let text = node.sandbox().devnet(&["images", "-o", "json"]).ok();
    serde_json::from_str(&text).unwrap()
}

/// The image of an ID among those of a node.
fn of<'a>(all: &'a [Value], id: &str) -> &'a Value {
    let found = all.iter().find(|image| image["id"] == id);
    found.unwrap_or_else(|| panic!("{id} is gone: {all:?}"))
}

/// Removes what nobody needs, and gives the IDs.
fn prune(node: &ContainerdNode) -> Vec<String> {
    let text = node
        .sandbox()
        .devnet(&["images", "prune", "--yes", "-o", "json"])
        .ok();
    let pruned: Vec<Value> = serde_json::from_str(&text).unwrap();
    let removed = pruned[0]["removed"].as_array().unwrap().iter();
    removed
        .filter_map(|id| id.as_str().map(str::to_owned))
        .collect()
}

#[test]
fn what_a_container_of_any_state_needs_is_kept_and_the_rest_goes() {
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::start(&testbed, "ctr-prune");
    // the image that sandboxes need, while there is none
    let all = images(&node);
    let pause = all
        .iter()
        .find(|image| image["names"].to_string().contains("/pause:"));
    let pause = pause.expect("the image of sandboxes is listed");
    assert_eq!(pause["pinned"], true, "{pause}");
    let refused = node
        .sandbox()
        .devnet(&["images", "rm", pause["id"].as_str().unwrap()]);
    let refused = refused.fails(1);
    assert!(refused.contains("/pause:"), "{refused}");

    // each load takes the name from the one before
    let name = "docker.io/library/ctr-prune:1";
    let next = |top: &str| {
        image(&testbed, "host", "ctr-prune:1", "ctr-prune", top);
        load(&testbed, &node, "host", &["ctr-prune:1"]).ok();
        configuration(&testbed, "host", "ctr-prune:1")
    };
    let running = next("running");
    let sleeper = Container::of("app", name, &["/bin/busybox", "sleep", "1000"]);
    let lives = Pod::up(&node, Wanted::pod("ctr-prune-lives").with(sleeper));
    let ended = next("ended");
    let mut wanted =
        Wanted::pod("ctr-prune-ended").with(Container::of("app", name, &["/bin/busybox", "true"]));
    wanted.restarts = Policy::Never;
    let over = Pod::made_once(&node, wanted);
    over.until_ended("app");
    let strange = next("of another client");
    // the program is never run
    let script = "snapshotter=$(sed -n 's/^ *snapshotter = \"\\(.*\\)\"/\\1/p' /etc/containerd/config.toml); \
                  ctr -n k8s.io containers create --snapshotter \"$snapshotter\" \"$0\" lone /bin/busybox";
    node.run(&["sh", "-c", script, name]).ok();
    let spare = [next("spare"), next("spare too")];
    let named = next("named");

    let all = images(&node);
    let of = |id: &str| all.iter().find(|image| image["id"] == id).unwrap();
    assert_eq!(of(&running)["pods"][0], "default/ctr-prune-lives");
    assert_eq!(of(&ended)["pods"][0], "default/ctr-prune-ended");
    assert_eq!(of(&strange)["containers"][0], "lone", "{}", of(&strange));
    for id in &spare {
        assert_eq!(of(id)["dangling"], true);
    }
    let said = node.sandbox().devnet(&["images", "prune"]).fails(2);
    assert!(said.contains("--yes"), "{said}");
    node.sandbox()
        .devnet(&["images", "prune", "--dry-run"])
        .ok();
    assert_eq!(images(&node).len(), all.len());

    let pruned = node
        .sandbox()
        .devnet(&["images", "prune", "--yes", "-o", "json"]);
    let pruned: Vec<Value> = serde_json::from_str(&pruned.ok()).unwrap();
    let removed = pruned[0]["removed"].as_array().unwrap();
    let mut removed: Vec<&str> = removed.iter().filter_map(Value::as_str).collect();
    removed.sort_unstable();
    let mut expected = spare.each_ref().map(String::as_str);
    expected.sort_unstable();
    assert_eq!(removed, expected, "{pruned:?}");
    assert!(pruned[0]["bytes_freed"].as_u64().unwrap() > 0, "{pruned:?}");
    let all = images(&node);
    for id in [&running, &ended, &strange, &named] {
        assert!(
            all.iter().any(|image| image["id"] == id.as_str()),
            "{id} is gone"
        );
    }
    for id in [&running, &ended, &strange] {
        let refused = node.sandbox().devnet(&["images", "rm", id]).fails(1);
        assert!(
            refused.contains("ctr-prune") || refused.contains("lone"),
            "{refused}"
        );
    }
    lives.kill("app");
    lives.until_attempt("app", 1);

    // and nothing stays for those that are gone
    lives.delete();
    over.delete();
    node.ctr(&["containers", "rm", "lone"]).ok();
    node.sandbox().devnet(&["images", "prune", "--yes"]).ok();
    let all = images(&node);
    for id in [&running, &ended, &strange] {
        assert!(
            all.iter().all(|image| image["id"] != id.as_str()),
            "{id} is left"
        );
    }
    assert!(all.iter().any(|image| image["id"] == named.as_str()));
}

#[test]
fn what_was_never_started_what_is_pinned_and_what_is_used_since_is_kept() {
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::start(&testbed, "ctr-prune-2");
    let name = "docker.io/library/ctr-begun:1";
    let next = |top: &str| {
        image(&testbed, "host", "ctr-begun:1", "ctr-begun", top);
        load(&testbed, &node, "host", &["ctr-begun:1"]).ok();
        configuration(&testbed, "host", "ctr-begun:1")
    };
    let sleeper =
        |name: &str, image: &str| Container::of(name, image, &["/bin/busybox", "sleep", "1000"]);
    // made as the kubelet makes them, and not started yet
    let begun = next("begun");
    let pod = Pod::made_once(&node, Wanted::pod("ctr-begun").sleeper("web"));
    pod.make_container(&sleeper("begun", name));
    let pinned = next("pinned");
    let pin = |id: &str| {
        let label = "io.cri-containerd.pinned=pinned";
        node.ctr(&["images", "label", id, label]).ok();
    };
    pin(&pinned);
    let spare = next("spare");
    let _named = next("named");

    let all = images(&node);
    assert_eq!(of(&all, &begun)["pods"][0], "default/ctr-begun");
    assert_eq!(of(&all, &pinned)["pinned"], true, "{}", of(&all, &pinned));
    assert_eq!(prune(&node), [spare]);
    let all = images(&node);
    for (id, why) in [
        (&begun, "default/ctr-begun"),
        (&pinned, "keeps it for itself"),
    ] {
        of(&all, id);
        let refused = node.sandbox().devnet(&["images", "rm", id]).fails(1);
        assert!(refused.contains(why), "{refused}");
    }

    // between the question and its answer a pod begins to use one, and one is pinned
    let gone = next("gone");
    let since = next("used since");
    let pinned_since = next("pinned since");
    let _named = next("named again");
    let line = concat!(env!("CARGO_BIN_EXE_devnet"), " images prune");
    let sandbox = node.sandbox();
    let mut asking = sandbox.command("script");
    let mut asking = asking
        .args(["-qec", line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut bytes = [0; 4096];
    until("it asks", || {
        let count = asking.stdout.as_mut().unwrap().read(&mut bytes).unwrap();
        assert_ne!(count, 0, "it ended: {said}");
        said.push_str(&String::from_utf8_lossy(&bytes[..count]));
        said.contains("Remove 4 images?")
    });
    pod.make_container(&sleeper("since", &since));
    pin(&pinned_since);
    asking.stdin.take().unwrap().write_all(b"y\n").unwrap();
    let said = ended(asking).ok();
    assert!(said.contains("removed 2 images"), "{said}");
    let all = images(&node);
    assert_eq!(of(&all, &since)["pods"][0], "default/ctr-begun");
    assert_eq!(of(&all, &pinned_since)["pinned"], true);
    assert!(all.iter().all(|image| image["id"] != gone.as_str()));
}

#[test]
fn what_a_container_of_devnets_engine_needs_is_kept_while_it_runs_and_after() {
    let Some(testbed) = testbed() else { return };
    let Some(node) = devnets_engine::node("prn", None, "28") else {
        return;
    };
    let shell = DockerShell::of(&node);
    let next = |top: &str| {
        image(&testbed, "host", "ctr-docked:1", "ctr-docked", top);
        load(&testbed, &node, "host", &["ctr-docked:1"]).ok();
        configuration(&testbed, "host", "ctr-docked:1")
    };
    let mut used = Vec::new();
    for (verb, name) in [("create", "made"), ("run", "over"), ("run", "runs")] {
        used.push(next(name));
        let program = if name == "over" { "true" } else { "sleep" };
        let begin = if verb == "run" && name == "runs" {
            &[verb, "-d"][..]
        } else {
            &[verb]
        };
        let run = [
            "--name",
            name,
            "ctr-docked:1",
            "/bin/busybox",
            program,
            "1000",
        ];
        shell.docker(&[begin, &run].concat()).ok();
    }
    let spare = next("spare");
    let named = next("named");
    let kept = || {
        let all = images(&node);
        for id in &used {
            let held = of(&all, id);
            assert_eq!(held["containers"].as_array().unwrap().len(), 1, "{held}");
            let refused = node.sandbox().devnet(&["images", "rm", id]).fails(1);
            assert!(refused.contains("is in use"), "{refused}");
        }
        of(&all, &named);
    };
    assert_eq!(prune(&node), [spare]);
    kept();
    // they stay so while the engine does not run, and start again when it does
    devnets_engine::engine(&node, &["stop", "--yes"]);
    assert_eq!(prune(&node), Vec::<String>::new());
    kept();
    devnets_engine::engine(&node, &["start"]);
    for name in ["made", "runs"] {
        shell.docker(&["start", name]).ok();
        shell.docker(&["rm", "-f", name]).ok();
    }
    shell.docker(&["rm", "over"]).ok();
    let mut gone = prune(&node);
    gone.sort_unstable();
    used.sort_unstable();
    assert_eq!(gone, used);
    devnets_engine::engine(&node, &["stop"]);
}
