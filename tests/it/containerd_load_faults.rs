//! `devnet load` to nodes with containerd when something goes wrong: every name points at an image from
//! which a pod starts, and nothing of devnet's stays.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::support::archive::{Files, Pack, base, layer, piped};
use crate::support::containerd_node::ContainerdNode;
use crate::support::engines::Engine;
use crate::support::late_cri::LateCri;
use crate::support::node_kubelet::{Container, Pod, Wanted};
use crate::support::{Output, Sandbox, docker, ended, testbed, until};

pub(crate) const NAME: &str = "docker.io/library/app:1";

/// The `/top` of an image, read in a pod that CRI starts from it.
pub(crate) fn top(node: &ContainerdNode, pod: &str, image: &str) -> String {
    let sleeper = Container::of("app", image, &["/bin/busybox", "sleep", "1000"]);
    let _pod = Pod::up(node, Wanted::pod(pod).with(sleeper));
    let read = ["exec", pod, "--", "/bin/busybox", "cat", "/top"];
    node.sandbox().devnet(&read).ok()
}

pub(crate) fn load(node: &ContainerdNode, host: &Engine, more: &[&str]) -> Output {
    let from = host.url();
    let arguments = [&["load", "--from-host", &from], more].concat();
    node.sandbox().devnet(&arguments)
}

/// Asserts that no lease, no write and no snapshot of a transfer's is left.
pub(crate) fn nothing_left(node: &ContainerdNode) {
    node.collect();
    let left = || {
        let mut left = String::new();
        for list in [
            &["leases", "list", "-q"][..],
            &["content", "active"],
            &["snapshots", "list"],
        ] {
            let said = node.ctr(list).ok();
            left.extend(
                said.lines()
                    .filter(|line| line.contains("devnet-"))
                    .map(str::to_owned),
            );
        }
        left
    };
    let mut last = String::new();
    until("the node has collected what no lease keeps", || {
        last = left();
        last.is_empty()
    });
}

pub(crate) fn has(node: &ContainerdNode, name: &str) -> bool {
    let names = node.ctr(&["images", "list", "-q"]).ok();
    names.lines().any(|line| line == name)
}

/// An image's archive in a file.
fn saved(testbed: &Path, host: &str, folder: &Path, image: &str) -> Vec<u8> {
    let file = folder.join("saved.tar").display().to_string();
    docker(testbed, host, &["save", "-o", &file, image]).ok();
    std::fs::read(file).unwrap()
}

/// A load out of a pipe that has begun, and of which half has come.
struct Halved {
    child: Child,
    rest: Vec<u8>,
    _sandbox: Sandbox,
}

impl Halved {
    fn begin(node: &ContainerdNode, archive: &[u8], more: &[&str]) -> Self {
        let sandbox = node.sandbox();
        let arguments = [&["load", "-", "--tag", "app:1"], more].concat();
        let mut child = sandbox
            .devnet_command(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (half, rest) = archive.split_at(archive.len() / 2);
        child.stdin.as_mut().unwrap().write_all(half).unwrap();
        until("the transfer has a lease", || {
            node.ctr(&["leases", "list", "-q"])
                .ok()
                .contains("devnet-transfer-")
        });
        until("a blob is being written", || {
            node.ctr(&["content", "active"]).ok().contains("devnet-")
        });
        Self {
            child,
            rest: rest.to_vec(),
            _sandbox: sandbox,
        }
    }

    /// The end of the load, once the rest has come.
    fn end(mut self) -> Output {
        // one that has failed reads no more
        let _failed = self.child.stdin.take().unwrap().write_all(&self.rest);
        ended(self.child)
    }
}

fn signal(signal: &str, pid: u32) {
    let sandbox = Sandbox::bare();
    let mut kill = sandbox.command("/bin/sh");
    kill.args(["-c", &format!("kill -{signal} {pid}")]);
    Output::of(&mut kill).ok();
}

#[test]
fn a_transfer_that_loses_its_lease_its_base_or_its_person_names_nothing() {
    let Some(testbed) = testbed() else { return };
    let host = Engine::start(&testbed, "ctr-faults-host");
    let node = ContainerdNode::start(&testbed, "ctr-faults");
    let folder = tempfile::tempdir().unwrap();
    host.image("app:1", 6, "one");
    let archive = saved(&testbed, "ctr-faults-host", folder.path(), "app:1");

    // the lease runs out half-way
    let halved = Halved::begin(&node, &archive, &[]);
    let leases = node.ctr(&["leases", "list", "-q"]).ok();
    let lease = leases
        .lines()
        .find(|line| line.contains("devnet-transfer-"));
    node.ctr(&["leases", "delete", "--sync", lease.unwrap().trim()])
        .ok();
    let said = halved.end().fails(1);
    assert!(said.contains("lease"), "{said}");
    assert!(!has(&node, NAME), "a broken transfer has a name");
    nothing_left(&node);

    // Ctrl-C
    let halved = Halved::begin(&node, &archive, &[]);
    signal("INT", halved.child.id());
    assert_eq!(halved.end().code, 130);
    assert!(!has(&node, NAME));
    nothing_left(&node);

    // SIGKILL: the next load ends the lease of the dead one
    let halved = Halved::begin(&node, &archive, &[]);
    signal("KILL", halved.child.id());
    assert_ne!(halved.end().code, 0);
    assert!(!has(&node, NAME));
    load(&node, &host, &["app:1"]).ok();
    nothing_left(&node);
    assert_eq!(top(&node, "faults-one", NAME), "one");

    // the layers below go while the others come
    let below = base(9001, 4 << 20);
    let layout = |top: &str| {
        let top = layer(&[("top", top.as_bytes())]);
        Files::oci("app:1", &[below.clone(), top], Pack::Plain).tar()
    };
    let sandbox = node.sandbox();
    let mut first = sandbox.devnet_command(&["load", "-"]);
    piped(&mut first, layout("first")).ok();
    let archive = layout("two");
    let mut child = sandbox
        .devnet_command(&["load", "-", "--tag", "app:1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (half, rest) = archive.split_at(1024);
    child.stdin.as_mut().unwrap().write_all(half).unwrap();
    until("the transfer has a lease", || {
        node.ctr(&["leases", "list", "-q"])
            .ok()
            .contains("devnet-transfer-")
    });
    let images = node.ctr(&["images", "list", "-q"]).ok();
    for name in images.lines().filter(|name| !name.contains("pause")) {
        node.ctr(&["images", "rm", "--sync", name.trim()]).ok();
    }
    let _failed = child.stdin.take().unwrap().write_all(rest);
    let said = ended(child).fails(1);
    assert!(
        said.contains("layer") && said.contains("was not sent"),
        "{said}"
    );
    assert!(!has(&node, NAME));
    nothing_left(&node);
    let mut again = sandbox.devnet_command(&["load", "-"]);
    piped(&mut again, archive).ok();
    assert_eq!(top(&node, "faults-two", NAME), "two");
}

#[test]
fn a_full_disk_and_a_blob_that_is_not_there_are_said_and_nothing_is_named() {
    let Some(testbed) = testbed() else { return };
    let host = Engine::start(&testbed, "ctr-full-host");
    let node = ContainerdNode::start(&testbed, "ctr-full");
    host.image("app:1", 6, "one");
    let store = "/var/lib/containerd/io.containerd.content.v1.content";
    let mount = "mount -t tmpfs -o size=2m none $0 && mkdir -p $0/ingest $0/blobs/sha256";
    node.run(&["sh", "-c", mount, store]).ok();

    let said = load(&node, &host, &["app:1"]).fails(1);
    assert!(said.contains("no space left"), "{said}");
    assert!(!has(&node, NAME));
    node.run(&["umount", store]).ok();
    nothing_left(&node);

    // a blob that the store lists, whose file is gone
    load(&node, &host, &["--whole", "app:1"]).ok();
    let large = node.run(&["find", store, "-size", "+1M"]).ok();
    for file in large.lines() {
        node.run(&["rm", file]).ok();
    }
    load(&node, &host, &["--whole", "app:1", "--tag", "app:2"]).ok();
    let exported = [
        "images",
        "export",
        "/var/tmp/whole.tar",
        "docker.io/library/app:2",
    ];
    node.ctr(&exported).ok();
    assert_eq!(top(&node, "full-two", "docker.io/library/app:2"), "one");
}

#[test]
fn two_loads_at_once_both_arrive() {
    let Some(testbed) = testbed() else { return };
    let host = Engine::start(&testbed, "ctr-twice-host");
    let node = ContainerdNode::start(&testbed, "ctr-twice");
    host.image("app:1", 6, "one");
    let from = host.url();
    let sandboxes = [node.sandbox(), node.sandbox(), node.sandbox()];
    let tags = ["app:1", "app:1", "app:other"];
    let children = sandboxes.iter().zip(tags).map(|(sandbox, tag)| {
        let arguments = ["load", "--from-host", &from, "app:1", "--tag", tag];
        let mut command = sandbox.devnet_command(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    });
    for child in children.collect::<Vec<_>>() {
        ended(child).ok();
    }
    assert_eq!(top(&node, "twice-one", NAME), "one");
    assert_eq!(
        top(&node, "twice-other", "docker.io/library/app:other"),
        "one"
    );
    nothing_left(&node);
}

#[test]
fn a_name_of_which_cri_has_not_heard_yet_is_waited_for_and_not_for_ever() {
    let Some(testbed) = testbed() else { return };
    let host = Engine::start(&testbed, "ctr-late-host");
    let node = ContainerdNode::start(&testbed, "ctr-late");
    host.image("app:1", 6, "one");
    let cri = LateCri::before(&node);
    cri.hears_after(6);
    load(&node, &host, &["app:1"]).ok();
    assert_eq!(cri.answered(), 6);
    assert_eq!(top(&node, "late-one", NAME), "one");
    cri.hears_after(usize::MAX);
    let said = load(&node, &host, &["app:1", "--tag", "app:2"]).fails(1);
    assert!(
        said.contains("CRI does not know `docker.io/library/app:2`")
            && said.contains("`devnet load` it again"),
        "{said}"
    );
    cri.hears_after(0);
    // the image was whole before it had the name
    assert_eq!(top(&node, "late-two", "docker.io/library/app:2"), "one");
    load(&node, &host, &["app:1", "--tag", "app:2"]).ok();
    nothing_left(&node);
}
