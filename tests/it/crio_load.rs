//! `devnet load` and `devnet images` on nodes with cri-o: a real podman brings images, and what stands
//! for cri-o's CRI is asked for what is there.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;

use serde_json::Value;

use crate::load::{configuration, image};
use crate::support::archive::{Files, Pack, digest, layer, noise, piped};
use crate::support::crio_node::{CrioNode, cluster};
use crate::support::{Output, Sandbox, docker, testbed, until};

/// The node that these tests share: each has images of its own there.
fn crio_node() -> Option<&'static CrioNode> {
    static SHARED: OnceLock<Option<CrioNode>> = OnceLock::new();
    let testbed = testbed()?;
    SHARED
        .get_or_init(|| CrioNode::start(&testbed, "crio-images"))
        .as_ref()
}

/// A layer that no other test has.
fn own_layer(seed: u32, size: usize) -> Vec<u8> {
    layer(&[(&format!("file-{seed}"), &noise(seed, size))])
}

/// Writes an archive and gives its path.
fn written(folder: &Path, name: &str, files: &Files) -> String {
    let path = folder.join(name);
    std::fs::write(&path, files.tar()).unwrap();
    path.display().to_string()
}

/// The only row of a load's JSON.
fn row(text: &str) -> Value {
    let rows: Vec<Value> = serde_json::from_str(text).unwrap();
    assert_eq!(rows.len(), 1, "{text}");
    rows.into_iter().next().unwrap()
}

/// Loads an archive, and compares what CRI and podman then say of it with what devnet said.
fn loaded(node: &CrioNode, source: &str, name: &str) -> Value {
    let said = row(&node.devnet(&["load", source, "-o", "json"]).ok());
    same_everywhere(node, name, &said);
    said
}

fn same_everywhere(node: &CrioNode, name: &str, said: &Value) {
    let full = format!("docker.io/library/{name}");
    let (id, layers) = node.images.image(name).expect("CRI knows it by its name");
    assert_eq!(said["id"], id.as_str(), "{said:#}");
    assert_eq!(said["layers_total"], layers.len(), "{said:#}");
    let format = "{{.Id}} {{.RepoTags}} {{len .RootFS.Layers}}";
    let told = node.podman(&["image", "inspect", "--format", format, &full]);
    let hex = id.strip_prefix("sha256:").unwrap();
    assert_eq!(
        told.ok().trim(),
        format!("{hex} [{full}] {}", layers.len()),
        "a whole name, and no other"
    );
}

/// Nothing that podman spooled stays, and nothing else of a load.
fn nothing_left(node: &CrioNode) {
    node.until_nothing_is_left();
    let names = node.podman(&["images", "--format", "{{.Repository}}"]).ok();
    assert!(!names.contains("devnet-transfer"), "{names}");
}

#[test]
fn a_changed_layer_is_all_that_crosses_and_the_name_is_whole() {
    let Some(testbed) = testbed() else { return };
    // one that has no layer of another test's yet
    let Some(node) = CrioNode::start(&testbed, "crio-delta") else {
        return;
    };
    let node = &node;
    let from = format!("unix://{}", testbed.join("host.sock").display());
    let load = || {
        let words = ["load", "--from-host", &from, "crio-delta:v1", "-o", "json"];
        row(&node.devnet(&words).ok())
    };
    // its ID wherever images are not kept as containerd's store does it
    let made = |top: &str| {
        image(&testbed, "host", "crio-delta:v1", "crio-delta", top);
        configuration(&testbed, "host", "crio-delta:v1")
    };
    let id = made("one");
    let first = load();
    assert_eq!(first["id"], id.as_str());
    assert_eq!(first["layers_sent"], first["layers_total"], "{first}");
    same_everywhere(node, "crio-delta:v1", &first);
    let id = made("two");
    let second = load();
    assert_eq!(
        (&second["id"], &second["layers_sent"]),
        (&id.into(), &1.into())
    );
    assert!(second["bytes_sent"].as_u64().unwrap() < 20_000, "{second}");
    same_everywhere(node, "crio-delta:v1", &second);
    let third = load();
    assert_eq!(
        (&third["layers_sent"], &third["bytes_sent"]),
        (&0.into(), &0.into())
    );
    // a name more, and nothing is sent for it
    let tagged = node.devnet(&[
        "load",
        "--from-host",
        &from,
        "crio-delta:v1",
        "--tag",
        "crio-more:v2",
    ]);
    tagged.ok();
    assert_eq!(
        node.images.image("crio-more:v2"),
        node.images.image("crio-delta:v1")
    );
}

/// Loads onto a base that came plain, packed, or not at all, however the archive is made; in any order.
fn loads_onto_any_base(node: &CrioNode, seed: u32) {
    let folder = tempfile::tempdir().unwrap();
    let base = own_layer(seed, 400_000);
    let middle = own_layer(seed + 1, 100_000);
    let archive = |name: &str, layers: &[Vec<u8>], pack| {
        written(
            folder.path(),
            name,
            &Files::oci(&format!("{name}:v1"), layers, pack),
        )
    };
    for (place, pack) in [Pack::Plain, Pack::Gzip].into_iter().enumerate() {
        let number = u32::try_from(place).unwrap() * 100 + seed;
        let (base, middle) = if place == 0 {
            (base.clone(), middle.clone())
        } else {
            (own_layer(number, 400_000), own_layer(number + 1, 100_000))
        };
        let name = format!("crio-base-{number}");
        let files = Files::oci(&format!("{name}:v1"), &[base.clone(), middle.clone()], pack);
        // by podman itself, as a registry's image would have come
        let at = node.path("/var/cache/base.tar");
        std::fs::write(&at, files.tar()).unwrap();
        node.podman(&["load", "-q", "-i", "/var/cache/base.tar"])
            .ok();
        std::fs::remove_file(at).unwrap();
        for (kind, packed) in [
            ("plain", Pack::Plain),
            ("gzip", Pack::Gzip),
            ("zstd", Pack::Zstd),
        ] {
            let top = own_layer(number + 10 + packed as u32, 5_000);
            let layers = [base.clone(), middle.clone(), top];
            let name = format!("crio-{kind}-{number}");
            let path = archive(&name, &layers, packed);
            let said = loaded(node, &path, &format!("{name}:v1"));
            assert_eq!(said["layers_sent"], 1, "{kind} on {pack:?}: {said:#}");
            assert!(said["bytes_sent"].as_u64().unwrap() < 20_000, "{said:#}");
        }
        // other layers below them, and nothing is sent
        let name = format!("crio-turned-{number}");
        let path = archive(&name, &[middle.clone(), base.clone()], Pack::Plain);
        let said = loaded(node, &path, &format!("{name}:v1"));
        assert_eq!(said["layers_sent"], 0, "{said:#}");
        // docker's own kind through a pipe: what it names is known at its end alone
        let name = format!("crio-piped-{number}");
        let layers = [base, middle, own_layer(number + 20, 5_000)];
        let files = Files::docker(&format!("{name}:v1"), &layers, Pack::Plain);
        let sandbox = node.sandbox();
        let mut command = sandbox.devnet_command(&["load", "-", "-o", "json"]);
        let said = row(&piped(&mut command, files.tar()).ok());
        assert_eq!(said["layers_sent"], 1, "{said:#}");
        same_everywhere(node, &format!("{name}:v1"), &said);
    }
    // nothing of it there
    let layers = [own_layer(seed + 60, 100_000), own_layer(seed + 61, 5_000)];
    let name = format!("crio-absent-{seed}");
    let said = loaded(
        node,
        &archive(&name, &layers, Pack::Gzip),
        &format!("{name}:v1"),
    );
    assert_eq!(said["layers_sent"], 2, "{said:#}");
}

#[test]
fn a_layer_is_known_by_its_content_however_it_came_and_whatever_is_below_it() {
    let Some(node) = crio_node() else { return };
    loads_onto_any_base(node, 41_000);
}

#[test]
fn newer_podmans_take_the_same_archives() {
    let Some(testbed) = testbed() else { return };
    for (version, name, seed) in [("5.4", "crio-54", 42_000), ("5.8", "crio-58", 43_000)] {
        let Some(node) = CrioNode::of_version(&testbed, name, version) else {
            crate::support::missing(&format!("podman {version} (make engines)"));
            continue;
        };
        let told = node
            .podman(&["version", "--format", "{{.Client.Version}}"])
            .ok();
        let minor = |text: &str| -> Vec<u32> {
            let parts = text.trim().split('.').take(2);
            parts.map(|part| part.parse().unwrap()).collect()
        };
        // the newest suite goes on
        assert!(minor(&told) >= minor(version), "{told}");
        loads_onto_any_base(&node, seed);
        nothing_left(&node);
    }
}

#[test]
fn one_archive_reaches_several_nodes_and_one_node_serves_another() {
    let Some(testbed) = testbed() else { return };
    let Some(first) = CrioNode::start(&testbed, "crio-one") else {
        return;
    };
    let Some(second) = CrioNode::start(&testbed, "crio-two") else {
        return;
    };
    let sandbox = cluster(&[&first, &second]);
    let folder = tempfile::tempdir().unwrap();
    let (base, top) = (own_layer(44_000, 200_000), own_layer(44_001, 5_000));
    let path = |name: &str, layers: &[Vec<u8>]| {
        let files = Files::oci(&format!("{name}:v1"), layers, Pack::Plain);
        written(folder.path(), name, &files)
    };
    // one has the base
    let only = sandbox.devnet(&[
        "load",
        &path("crio-half", std::slice::from_ref(&base)),
        "-n",
        "m02",
    ]);
    only.ok();
    let both = sandbox.devnet(&[
        "load",
        &path("crio-both", &[base.clone(), top]),
        "-o",
        "json",
    ]);
    let rows: Vec<Value> = serde_json::from_str(&both.ok()).unwrap();
    let sent: Vec<&Value> = rows.iter().map(|row| &row["layers_sent"]).collect();
    assert_eq!(sent, [2, 1], "{rows:#?}");
    for (node, row) in [&first, &second].into_iter().zip(&rows) {
        same_everywhere(node, "crio-both:v1", row);
        nothing_left(node);
    }
    // out of the node's own store to the other
    let words = [
        "load",
        "--from-node",
        "m02",
        "-n",
        "crio-one",
        "crio-half:v1",
        "-o",
        "json",
    ];
    let said = row(&sandbox.devnet(&words).ok());
    assert_eq!(said["layers_sent"], 0, "its base is there: {said:#}");
    same_everywhere(&first, "crio-half:v1", &said);
    nothing_left(&second);
}

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

/// A podman that writes nothing and does not end.
const STUCK: &str =
    "#!/bin/sh\ncase $1 in save|tag) exec sleep 4321 ;; esac\nexec /var/lib/real-podman \"$@\"\n";

#[test]
fn a_podman_that_does_nothing_is_given_up_and_ends_with_whoever_asked() {
    let Some(testbed) = testbed() else { return };
    let Some(node) = CrioNode::start(&testbed, "crio-stuck") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let files = Files::oci("crio-held:v1", &[own_layer(47_000, 20_000)], Pack::Plain);
    let path = written(folder.path(), "held.tar", &files);
    node.devnet(&["load", &path]).ok();
    node.instead_of_podman(STUCK);
    let tag = ["load", &path, "--tag", "crio-more:v1"];
    let sandbox = node.sandbox();
    let mut command = sandbox.devnet_command(&tag);
    let said = Output::of(command.env("DEVNET_TIMEOUT", "1")).fails(1);
    assert!(said.contains("got stuck"), "{said}");
    assert!(node.images.image("crio-more:v1").is_none());
    node.until_nothing_is_left();
    let mut killed = sandbox
        .devnet_command(&tag)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let runs = ["sh", "-c", "pgrep -f '[s]leep 4321'; true"];
    until("podman runs", || !node.node.run(&runs).ok().is_empty());
    killed.kill().unwrap();
    killed.wait().unwrap();
    until("podman has ended", || node.node.run(&runs).ok().is_empty());
    node.until_nothing_is_left();
}

#[test]
fn a_podman_that_takes_no_part_of_an_image_gets_all_of_it_and_that_is_said() {
    let Some(testbed) = testbed() else { return };
    let Some(node) = CrioNode::start(&testbed, "crio-whole") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let base = own_layer(46_000, 300_000);
    let path = |name: &str, layers: &[Vec<u8>]| {
        let files = Files::oci(&format!("{name}:v1"), layers, Pack::Plain);
        written(folder.path(), name, &files)
    };
    node.devnet(&["load", &path("crio-some", std::slice::from_ref(&base))])
        .ok();
    // refuses an archive that lacks the base, in the words of a podman that does not find a layer
    let hex = &digest(&base)[7..];
    node.instead_of_podman(&format!(
        "#!/bin/sh\ncase $1 in load)\n  cat >/var/cache/archive.tar\n  \
         if ! grep -q 'blobs/sha256/{hex}' /var/cache/archive.tar || [ $(stat -c %s /var/cache/archive.tar) -lt 200000 ]; then\n    \
         echo 'Error: payload does not match any of the supported image formats:' >&2\n    \
         echo ' * oci-archive: open blobs/sha256/{hex}: no such file or directory' >&2\n    exit 125\n  fi\n  \
         exec /var/lib/real-podman \"$@\" </var/cache/archive.tar ;;\nesac\nexec /var/lib/real-podman \"$@\"\n"
    ));
    let layers = [base, own_layer(46_001, 5_000)];
    let out = node.devnet(&["load", &path("crio-all", &layers), "-o", "json"]);
    let stderr = out.stderr.clone();
    let said = row(&out.ok());
    assert!(stderr.contains("sending the whole image"), "{stderr}");
    assert!(said["bytes_sent"].as_u64().unwrap() > 300_000, "{said:#}");
    let (id, _) = node.images.image("crio-all:v1").unwrap();
    assert_eq!(said["id"], id.as_str());
}

#[test]
fn a_load_that_fails_or_is_killed_leaves_no_name_and_no_file() {
    let Some(testbed) = testbed() else { return };
    let Some(node) = CrioNode::start(&testbed, "crio-ends") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, seed: u32, size: usize| {
        let files = Files::oci(&format!("{name}:v1"), &[own_layer(seed, size)], Pack::Plain);
        written(folder.path(), name, &files)
    };
    let small = path("crio-small", 47_000, 20_000);

    // killed while its archive is on its way
    let sandbox = node.sandbox();
    let mut child = sandbox
        .devnet_command(&["load", "-", "--tag", "crio-killed:v1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let half = std::fs::read(path("crio-large", 47_001, 8_000_000)).unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&half[..half.len() / 2]).unwrap();
    until("podman spools", || {
        let found = "find /var/tmp/devnet -name 'podman*' -type f 2>/dev/null; true";
        !node.node.run(&["sh", "-c", found]).ok().is_empty()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    nothing_left(&node);
    assert!(node.images.image("crio-killed:v1").is_none());

    // what keeps podman's files is killed, and podman goes with them
    let mut child = sandbox
        .devnet_command(&["load", "-", "--tag", "crio-killed:v1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&half[..half.len() / 2]).unwrap();
    until("podman spools again", || {
        let found = "find /var/tmp/devnet -name 'podman*' -type f 2>/dev/null; true";
        !node.node.run(&["sh", "-c", found]).ok().is_empty()
    });
    let keeper = "kill -KILL $(basename /var/tmp/devnet/podman-*-* | cut -d - -f 2)";
    node.node.run(&["sh", "-c", keeper]).ok();
    drop(input);
    assert!(!child.wait().unwrap().success());
    nothing_left(&node);

    // /var/tmp is full
    let mount = [
        "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/var/tmp",
    ];
    node.node.run(&mount).ok();
    let large = path("crio-full", 47_002, 300_000);
    let full = node.devnet(&["load", &large]).fails(1);
    assert!(full.contains("no space left on device"), "{full}");
    assert!(full.contains("df /var/tmp"), "{full}");
    node.until_nothing_is_left();
    node.node.run(&["umount", "/var/tmp"]).ok();

    // a store that podman can't open
    let storage = node.path("/etc/containers/storage.conf");
    let as_it_was = std::fs::read_to_string(&storage).unwrap();
    let elsewhere = as_it_was.replace("/var/lib/containers/storage", "/etc/hostname");
    std::fs::write(&storage, elsewhere).unwrap();
    let wrong = node.devnet(&["load", &small]).fails(1);
    assert!(
        wrong.contains("podman on") && wrong.contains("/etc/hostname"),
        "{wrong}"
    );
    std::fs::write(&storage, as_it_was).unwrap();
    nothing_left(&node);

    // the store is another program's
    let lock = node
        .path("/var/lib/containers/storage")
        .join("storage.lock");
    let holder = Holder::of(&lock);
    let held = node
        .sandbox()
        .env("DEVNET_TIMEOUT", "5")
        .devnet(&["load", &small]);
    let held = held.fails(1);
    assert!(
        held.contains("got stuck") && held.contains("lslocks"),
        "{held}"
    );
    drop(holder);
    nothing_left(&node);

    loaded(&node, &small, "crio-small:v1");
    nothing_left(&node);
    // a node without podman: one error, and nothing else is tried
    node.node.without("podman");
    let none = node.devnet(&["load", &small, "--tag", "crio-none:v1"]);
    let stderr = none.fails(3);
    assert_eq!(stderr.matches("no podman").count(), 1, "{stderr}");
}

/// The holder of a lock on a file, as containers/storage locks.
struct Holder(std::process::Child);

impl Holder {
    fn of(file: &Path) -> Self {
        let sandbox = Sandbox::bare();
        let script = "import fcntl, sys\nf = open(sys.argv[1], 'r+')\n\
                      fcntl.lockf(f, fcntl.LOCK_EX)\nprint('held', flush=True)\nsys.stdin.read()";
        let mut child = sandbox
            .command("python3")
            .args(["-c", script])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 4];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

#[test]
fn what_comes_broken_leaves_no_name() {
    let Some(node) = crio_node() else { return };
    let files = Files::oci("crio-broken:v1", &[own_layer(48_000, 50_000)], Pack::Plain);
    let whole = files.tar();
    let sandbox = node.sandbox();
    let mut command = sandbox.devnet_command(&["load", "-"]);
    let out = piped(&mut command, whole[..whole.len() / 2].to_vec());
    let said = out.fails(1);
    assert!(
        said.contains("breaks off") || said.contains("broken"),
        "{said}"
    );
    assert!(node.images.image("crio-broken:v1").is_none());
}

#[test]
fn a_repository_keeps_its_registry_and_nothing_is_ever_of_localhost() {
    let (Some(testbed), Some(node)) = (testbed(), crio_node()) else {
        return;
    };
    // a repository of its own host keeps it, a short name is Docker Hub's
    docker(
        &testbed,
        "host",
        &[
            "tag",
            &image(&testbed, "host", "crio-names:v1", "crio-names", "n"),
            "registry.test/team/crio-names:v1",
        ],
    )
    .ok();
    let from = format!("unix://{}", testbed.join("host.sock").display());
    node.devnet(&[
        "load",
        "--from-host",
        &from,
        "registry.test/team/crio-names:v1",
    ])
    .ok();
    assert!(
        node.images
            .image("registry.test/team/crio-names:v1")
            .is_some()
    );
    assert!(node.images.image("crio-names:v1").is_none());
    let names: Output = node.podman(&["images", "--format", "{{.Repository}}"]);
    assert!(!names.ok().contains("localhost/"));
}
