//! Commands in pods of containerd nodes: terminals, archives through their input, pods without a shell.

use std::process::Stdio;

use crate::support::Output;
use crate::support::containerd_node::{DISTROLESS, containerd_node};
use crate::support::node_kubelet::{Container, Pod, Wanted};

#[test]
fn a_terminal_has_its_size_its_keys_and_comes_back_as_it_was() {
    let Some(node) = containerd_node() else {
        return;
    };
    let _pod = Pod::up(node, Wanted::pod("typed").sleeper("web"));
    let sandbox = node.sandbox();
    let person = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/person.py");
    let mut command = sandbox.command("python3");
    command
        .env("TERM", "xterm")
        .args([person, env!("CARGO_BIN_EXE_devnet"), "-p", "ctr", "exec"])
        .args(["-it", "typed", "--", "sh"]);
    assert_eq!(Output::of(&mut command).ok().trim(), "same 5");
}

#[test]
fn an_archive_arrives_whole_through_a_commands_input() {
    let Some(node) = containerd_node() else {
        return;
    };
    let _pod = Pod::up(node, Wanted::pod("filled").sleeper("web"));
    let folder = tempfile::tempdir().unwrap();
    let noise: Vec<u8> = (0..1_u32 << 20)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    std::fs::write(folder.path().join("noise"), &noise).unwrap();
    std::fs::write(folder.path().join("small"), "small").unwrap();
    let sandbox = node.sandbox();
    let mut tar = sandbox.command("tar");
    tar.args(["-c", "-C"])
        .arg(folder.path())
        .arg(".")
        .stdout(Stdio::piped());
    let mut tar = tar.spawn().unwrap();
    let words = [
        "-p", "ctr", "exec", "-i", "filled", "--", "tar", "x", "-C", "/tmp",
    ];
    let mut unpack = sandbox.devnet_command(&words);
    Output::of(unpack.stdin(tar.stdout.take().unwrap())).ok();
    assert!(tar.wait().unwrap().success());
    let read = |file: &str| {
        let words = ["-p", "ctr", "exec", "filled", "--", "cat", file];
        let output = sandbox.devnet_command(&words).output().unwrap();
        assert!(output.status.success());
        output.stdout
    };
    assert_eq!(read("/tmp/small"), b"small");
    assert!(read("/tmp/noise") == noise);
}

#[test]
fn a_container_without_a_shell_is_said_to_have_none_and_can_be_entered() {
    let Some(node) = containerd_node() else {
        return;
    };
    let server = Container::of("server", DISTROLESS, &[]);
    let _pod = Pod::up(node, Wanted::pod("bare").with(server));
    let devnet = |words: &[&str]| node.sandbox().devnet(&[&["-p", "ctr"], words].concat());
    let said = devnet(&["exec", "-i", "bare"]).fails(125);
    assert!(said.contains("has no shell"), "{said}");
    assert!(said.contains("devnet shell"), "{said}");
    let found = devnet(&["shell", "bare", "--", "ls", "/"]).ok();
    assert!(found.contains("server"), "{found}");
    // an image beside it needs an engine that makes containers
    let said = devnet(&[
        "shell",
        "bare",
        "--image",
        "docker.io/library/busybox:1.35",
        "--",
        "true",
    ]);
    assert_ne!(said.code, 0, "{said}");
    assert!(
        said.stderr.contains("error: ") && said.stderr.contains("hint: "),
        "{said}"
    );
}
