//! Nodes of minikube's docker driver that let nobody in by ssh: the engine that runs the node's
//! container runs programs there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use crate::support::containerd_node::{ContainerdNode, DISTROLESS};
use crate::support::node_container::NodeContainer;
use crate::support::node_kubelet::{Container, Pod, Wanted};
use crate::support::{Output, Sandbox, ended, testbed};

/// The words of devnet on a profile's way in when it is asked for more.
fn way(sandbox: &Sandbox, profile: &str) -> String {
    let output = sandbox.devnet(&["-p", profile, "-v", "pods", "--no-probe", "-o", "name"]);
    assert_eq!(output.code, 0, "{output}");
    assert!(output.stdout.contains("web"), "{output}");
    output.stderr
}

#[test]
fn a_node_that_lets_nobody_in_is_entered_through_its_container() {
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::start(&testbed, "kic");
    let _pod = Pod::up(&node, Wanted::pod("web").sleeper("web"));
    let container = NodeContainer::start(&testbed, &node);
    let (profile, sandbox) = (container.name.as_str(), container.sandbox(&node));
    let through = format!("node `{profile}` is reached through ");
    let by_ssh = format!("{through}ssh://docker@127.0.0.1:");
    let by_exec = format!("{through}container `{profile}` at unix://");
    let said = way(&sandbox, profile);
    assert!(said.contains(&by_ssh), "{said}");

    // the key is not the one that the node knows
    let key = node
        .folder()
        .join("minikube/.minikube/machines")
        .join(profile)
        .join("id_rsa");
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let mut keygen = sandbox.command("ssh-keygen");
    keygen.args(["-q", "-N", "", "-t", "ed25519", "-f"]);
    Output::of(keygen.arg(&key)).ok();
    let said = way(&sandbox, profile);
    assert!(said.contains(&by_exec), "{said}");
    assert!(
        said.contains("no ssh login: ") && said.contains("accepts no key"),
        "{said}"
    );

    // there is none
    std::fs::remove_file(&key).unwrap();
    let said = way(&sandbox, profile);
    assert!(
        said.contains(&by_exec) && said.contains("there is no key"),
        "{said}"
    );
    let away = container
        .sandbox(&node)
        .env("DOCKER_HOST", "unix:///no/engine.sock");
    let lost = away.devnet(&["-p", profile, "pods"]).fails(3);
    assert!(lost.contains("can't be asked"), "{lost}");
    std::fs::write(&key, kept).unwrap();

    // another host answers there, which is a person's to judge
    let known = sandbox.home().join("state/devnet/known_nodes");
    let text = std::fs::read_to_string(&known).unwrap();
    let mut other = sandbox.command("ssh-keygen");
    let file = sandbox.home().join("other");
    Output::of(
        other
            .args(["-q", "-N", "", "-t", "ed25519", "-C", "", "-f"])
            .arg(&file),
    )
    .ok();
    let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
    assert!(text.starts_with(&format!("{profile} ")), "{text}");
    std::fs::write(&known, format!("{profile} {}\n", public.trim())).unwrap();
    let said = sandbox.devnet(&["-p", profile, "pods"]).fails(3);
    assert!(
        said.contains(&format!(
            "the ssh host key of the node `{profile}` has changed"
        )),
        "{said}"
    );
    assert!(said.contains("remove the line of"), "{said}");

    container.engine.docker(&["stop", "-t", "0", profile]).ok();
    let said = sandbox.devnet(&["-p", profile, "pods"]).fails(3);
    assert!(said.contains("minikube start -p"), "{said}");
    node.until_nothing_is_left();
}

#[test]
fn everything_works_through_the_exec_of_a_nodes_engine() {
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::start(&testbed, "kic-all");
    let bare = Container::of("server", DISTROLESS, &[]);
    let script = "n=0; while :; do echo line $((n += 1)); sleep 0.1; done";
    let wanted = Wanted::pod("web").sleeper("web").script("talker", script);
    let pod = Pod::up(&node, wanted.with(bare));
    let container = NodeContainer::publishing(&testbed, &node, &[]);
    let (profile, sandbox) = (container.name.as_str(), container.sandbox(&node));
    let said = way(&sandbox, profile);
    assert!(
        said.contains("does not publish its port 22")
            && said.contains("is reached through container"),
        "{said}"
    );
    let devnet = |words: &[&str]| sandbox.devnet(&[&["-p", profile], words].concat());

    let text = devnet(&["pods", "web", "-o", "json"]).ok();
    let found: serde_json::Value = serde_json::from_str(&text).unwrap();
    let seen = &found["pods"][0];
    assert_eq!(seen["ips"][0], pod.ip());
    let link = node.namespace(pod.pid("web"), "net");
    let inode: u64 = link.split(['[', ']']).nth(1).unwrap().parse().unwrap();
    assert_eq!(seen["containers"][0]["namespaces"]["net"], inode);
    assert_eq!(seen["containers"][0]["shares"]["uts"], true);

    let exec = |flags: &[&str], command: &[&str]| {
        devnet(&[&["exec"], flags, &["web", "-c", "web", "--"], command].concat())
    };
    let run = exec(&[], &["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((run.code, run.stdout.as_str()), (7, "out\n"));
    assert!(run.stderr.contains("err\n"), "{run}");
    assert_eq!(exec(&[], &["no-such-program"]).code, 127);
    let mut wc = sandbox.devnet_command(&["-p", profile, "exec", "-i", "web", "-c", "web"]);
    let wc = wc.args(["--", "wc", "-c"]).stdin(Stdio::piped());
    let mut wc = wc.stdout(Stdio::piped()).spawn().unwrap();
    wc.stdin
        .take()
        .unwrap()
        .write_all(&vec![b'x'; 3 << 20])
        .unwrap();
    assert_eq!(ended(wc).ok().trim(), (3 << 20).to_string());

    // a terminal of a container's, and one of devnet's own tools
    let person = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/person.py");
    let mut typed = sandbox.command("python3");
    typed
        .env("TERM", "xterm")
        .args([person, env!("CARGO_BIN_EXE_devnet"), "-p", profile, "exec"])
        .args(["-it", "web", "-c", "web", "--", "sh"]);
    assert_eq!(Output::of(&mut typed).ok().trim(), "same 5");
    let leaves = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/it/support/person_leaves.py"
    );
    let mut left = sandbox.command("python3");
    left.env("TERM", "xterm")
        .args([leaves, "abrt", env!("CARGO_BIN_EXE_devnet"), "-p", profile])
        .args(["shell", "web", "-c", "server"]);
    // killed amid its work, nobody has given the terminal back
    assert_eq!(Output::of(&mut left).ok().trim(), "changed -6");
    node.until_nothing_is_left();

    let mut logs = sandbox.devnet_command(&["-p", profile, "logs", "-f", "web", "-c", "talker"]);
    let mut logs = logs.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(logs.stdout.take().unwrap()).lines();
    for number in 1..20 {
        assert_eq!(lines.next().unwrap().unwrap(), format!("line {number}"));
    }
    // nobody tells what it started that it is gone
    logs.kill().unwrap();
    logs.wait().unwrap();
    node.until_nothing_is_left();

    let history = devnet(&["history", "web"]).ok();
    assert!(history.contains("web #0"), "{history}");
    node.until_nothing_is_left();
}
