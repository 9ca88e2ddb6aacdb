//! `devnet load` to nodes with cri-o that goes wrong: a podman that refuses, hangs, is killed or can't work with
//! its store, and what comes broken. Nothing is left of it.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use crate::crio_load::{crio_node, loaded, nothing_left, own_layer, row, written};
use crate::support::archive::{Files, Pack, digest, piped};
use crate::support::crio_node::CrioNode;
use crate::support::{Output, Sandbox, testbed, until};

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
fn a_store_of_another_version_of_podman_is_one_clear_error_and_nothing_is_left() {
    let Some(testbed) = testbed() else { return };
    let Some(node) = CrioNode::of_version(&testbed, "crio-newer", "5.8") else {
        crate::support::missing("podman 5.8 (make engines)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, seed: u32| {
        let layers = [own_layer(seed, 20_000)];
        let files = Files::oci(&format!("{name}:v1"), &layers, Pack::Plain);
        written(folder.path(), name, &files)
    };
    loaded(&node, &path("crio-by-new", 49_000), "crio-by-new:v1");
    let names = || node.podman(&["images", "--format", "{{.Names}}"]).ok();
    let before = names();
    node.with_older_podman(|| {
        let said = node
            .devnet(&["load", &path("crio-by-old", 49_001)])
            .fails(1);
        assert_eq!(said.matches("error: ").count(), 1, "{said}");
        assert!(said.contains("podman on"), "{said}");
        node.until_nothing_is_left();
    });
    assert_eq!(names(), before);
    assert!(node.images.image("crio-by-old:v1").is_none());
    loaded(&node, &path("crio-again", 49_002), "crio-again:v1");
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
