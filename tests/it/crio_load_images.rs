//! `devnet images` on nodes with cri-o: CRI alone is asked to remove, and refuses what is in use.

use serde_json::Value;

use crate::crio_load::{own_layer, written};
use crate::support::archive::{Files, Pack};
use crate::support::crio_node::CrioNode;
use crate::support::testbed;

#[test]
fn images_go_through_cri_alone_which_refuses_what_is_in_use() {
    let Some(testbed) = testbed() else { return };
    let Some(node) = CrioNode::start(&testbed, "crio-rm") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, seed: u32| {
        let files = Files::oci(name, &[own_layer(seed, 20_000)], Pack::Plain);
        written(folder.path(), &seed.to_string(), &files)
    };
    for (name, seed) in [
        ("crio-used:v1", 45_000),
        ("crio-free:v1", 45_001),
        ("crio-twice:v1", 45_002),
    ] {
        node.devnet(&["load", &file(name, seed)]).ok();
    }
    node.devnet(&[
        "load",
        &file("crio-twice:v1", 45_002),
        "--tag",
        "crio-twice:v2",
    ])
    .ok();
    // the name moves to another image, and what it was leaves a nameless one
    let old = node.images.image("crio-free:v1").unwrap().0;
    node.devnet(&["load", &file("crio-free:v1", 45_003)]).ok();
    let (used, _) = node.images.image("crio-used:v1").unwrap();
    node.images.uses(
        "c9b441d3b8710f46352e65486b00381a560c834510b61d9cb8a8b1f5276c0d40",
        &used,
    );
    let shown: Vec<Value> =
        serde_json::from_str(&node.devnet(&["images", "-o", "json"]).ok()).unwrap();
    let of = |id: &str| shown.iter().find(|image| image["id"] == id).cloned();
    let one = of(&used).expect("it is listed");
    assert_eq!(
        one["names"],
        serde_json::json!(["docker.io/library/crio-used:v1"])
    );
    assert!(one["unique"].as_u64().unwrap() > 20_000, "{one:#}");
    assert_eq!(of(&old).expect("listed without a name")["dangling"], true);
    let text = node.devnet(&["images"]).ok();
    assert!(
        text.contains("crio-free:v1") && !text.contains("devnet-transfer"),
        "{text}"
    );

    let refused = node.devnet(&["images", "rm", "crio-used:v1"]).fails(1);
    assert!(refused.contains("in use"), "{refused}");
    assert!(node.images.image("crio-used:v1").is_some());
    node.devnet(&["images", "rm", "crio-twice:v1"]).ok();
    assert!(node.images.image("crio-twice:v1").is_none());
    assert!(
        node.images.image("crio-twice:v2").is_some(),
        "its other name stays"
    );
    let pruned = node
        .devnet(&["images", "prune", "--yes", "-o", "json"])
        .ok();
    let pruned: Value = serde_json::from_str(&pruned).unwrap();
    assert_eq!(pruned[0]["removed"], serde_json::json!([old]), "{pruned:#}");
    assert!(
        pruned[0]["bytes_freed"].as_u64().unwrap() > 20_000,
        "{pruned:#}"
    );
    node.devnet(&["images", "rm", "crio-free:v1"]).ok();
    assert!(node.images.image("crio-free:v1").is_none());
    let removed = node.images.removed();
    assert!(
        removed.contains(&format!("image {}", &old[7..])),
        "{removed:?}"
    );
    let names = removed.iter().filter(|one| one.contains("crio-"));
    let names: Vec<&String> = names.collect();
    assert!(
        names.iter().any(|one| one.contains("crio-twice:v1")),
        "CRI took it: {removed:?}"
    );
}
