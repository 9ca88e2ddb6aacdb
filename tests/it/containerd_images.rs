//! `devnet images prune` and `rm` on nodes that run containerd: nothing that anybody needs goes.

use serde_json::Value;

use crate::containerd_load::load;
use crate::load::{configuration, image};
use crate::support::containerd_node::ContainerdNode;
use crate::support::node_kubelet::{Container, Pod, Policy, Wanted};
use crate::support::testbed;

/// The images of a node, as `devnet images` tells of them.
fn images(node: &ContainerdNode) -> Vec<Value> {
    let text = node.sandbox().devnet(&["images", "-o", "json"]).ok();
    serde_json::from_str(&text).unwrap()
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
