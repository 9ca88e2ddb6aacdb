//! `devnet exec`: the command's streams and exit code, by pod and container.

use std::io::Write as _;
use std::process::Stdio;

use crate::support::kubelet::Kubelet;
use crate::support::{Flag, Output, Sandbox, docker, testbed};

/// A pod of two plain containers, the second in the first one's network, with busybox inside.
struct Pair<'a> {
    testbed: &'a std::path::Path,
    name: String,
}

impl<'a> Pair<'a> {
    fn up(testbed: &'a std::path::Path, name: &str) -> Self {
        let image = crate::support::busybox_image(testbed, "node");
        let run = |arguments: &[&str]| docker(testbed, "node", arguments).ok();
        let pause = format!("{name}-pause");
        let (app, join) = (format!("{name}-app"), format!("container:{pause}"));
        run(&[
            "run",
            "-d",
            "--name",
            &pause,
            "--network",
            "none",
            &image,
            "/bin/busybox",
            "sleep",
            "600",
        ]);
        run(&[
            "run",
            "-d",
            "--name",
            &app,
            "--network",
            &join,
            &image,
            "/bin/busybox",
            "sleep",
            "600",
        ]);
        Self {
            testbed,
            name: name.into(),
        }
    }

    fn app(&self) -> String {
        format!("{}-app", self.name)
    }

    /// The pod is called as the container that holds its network.
    fn pod(&self) -> String {
        format!("{}-pause", self.name)
    }
}

impl Drop for Pair<'_> {
    fn drop(&mut self) {
        let pause = format!("{}-pause", self.name);
        drop(docker(
            self.testbed,
            "node",
            &["rm", "-f", &self.app(), &pause],
        ));
    }
}

#[test]
fn the_exit_code_of_the_command_is_devnets() {
    let Some(testbed) = testbed() else { return };
    let pair = Pair::up(&testbed, "codes");
    let sandbox = Sandbox::with_minikube(&testbed);
    let exec = |command: &[&str]| {
        let (pod, app) = (pair.pod(), pair.app());
        let mut arguments = vec!["exec", pod.as_str(), "-c", app.as_str(), "--"];
        arguments.extend_from_slice(command);
        sandbox.devnet(&arguments)
    };
    assert_eq!(exec(&["/bin/busybox", "echo", "a  b"]).ok(), "a  b\n");
    exec(&["/bin/busybox", "sh", "-c", "exit 7"]).fails(7);
    exec(&["/bin/busybox", "sh", "-c", "kill -9 $$"]).fails(137);
    exec(&["/no/such/program"]).fails(127);
    exec(&["/etc"]).fails(126);
    let out = exec(&["/bin/busybox", "sh", "-c", "echo out; echo err >&2"]);
    assert_eq!(
        (out.stdout.as_str(), out.stderr.as_str()),
        ("out\n", "err\n")
    );
    sandbox
        .devnet(&["exec", "no-such-pod", "--", "true"])
        .fails(125);
}

#[test]
fn stdin_ends_where_the_persons_ends_and_bytes_arrive_as_they_are() {
    let Some(testbed) = testbed() else { return };
    let pair = Pair::up(&testbed, "bytes");
    let sandbox = Sandbox::with_minikube(&testbed);
    let (pod, app) = (pair.pod(), pair.app());
    let mut command =
        sandbox.devnet_command(&["exec", "-i", &pod, "-c", &app, "--", "/bin/busybox", "cat"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let sent: Vec<u8> = (0..3_000_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let mut input = child.stdin.take().unwrap();
    let bytes = sent.clone();
    let writer = std::thread::spawn(move || input.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.stdout == sent,
        "{} of {} bytes came back",
        output.stdout.len(),
        sent.len()
    );
}

#[test]
fn a_real_terminal_has_its_size_its_keys_and_comes_back_as_it_was() {
    let Some(testbed) = testbed() else { return };
    let pair = Pair::up(&testbed, "tty");
    let sandbox = Sandbox::with_minikube(&testbed);
    let person = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/person.py");
    let (pod, app) = (pair.pod(), pair.app());
    let mut command = sandbox.command("python3");
    command.env("TERM", "xterm").args([
        person,
        env!("CARGO_BIN_EXE_devnet"),
        "exec",
        "-it",
        &pod,
        "-c",
        &app,
        "--",
        "/bin/busybox",
        "sh",
    ]);
    assert_eq!(Output::of(&mut command).ok().trim(), "same 5");
}

#[test]
fn without_a_command_the_best_shell_is_taken() {
    let Some(testbed) = testbed() else { return };
    let pair = Pair::up(&testbed, "shell");
    let sandbox = Sandbox::with_minikube(&testbed);
    let (pod, app) = (pair.pod(), pair.app());
    let mut command = sandbox.devnet_command(&["exec", "-i", &pod, "-c", &app]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"echo from a shell; exit 3\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(3), &b"from a shell\n"[..])
    );
}

/// A person who starts devnet in a terminal and then does something to it.
fn person(sandbox: &Sandbox, act: &str, arguments: &[&str]) -> String {
    let person = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/it/support/person_leaves.py"
    );
    let mut command = sandbox.command("python3");
    command.args([person, act, env!("CARGO_BIN_EXE_devnet"), "exec", "-it"]);
    Output::of(command.args(arguments)).ok().trim().to_owned()
}

#[test]
fn the_terminal_is_given_back_whatever_ends_the_command() {
    let Some(testbed) = testbed() else { return };
    let pair = Pair::up(&testbed, "leave");
    let sandbox = Sandbox::with_minikube(&testbed);
    let (pod, app) = (pair.pod(), pair.app());
    let act = |act: &str, more: &[&str]| {
        let mut arguments = more.to_vec();
        arguments.extend([pod.as_str(), "-c", app.as_str(), "--", "/bin/busybox", "sh"]);
        person(&sandbox, act, &arguments)
    };
    assert_eq!(act("hup", &[]), "same 129");
    assert_eq!(act("quit", &[]), "same 131");
    assert_eq!(act("term", &[]), "same 130");
    // detached: the shell goes on
    assert_eq!(act("detach", &["--detach-keys", "ctrl-x,x"]), "same 0");
    let running = docker(&testbed, "node", &["top", &app]).stdout;
    assert!(running.contains("/bin/busybox sh"), "{running}");
    // killed while attached
    assert_eq!(act("kill", &[]), "same 137");
}

#[test]
fn a_reader_that_leaves_ends_it_quietly_and_what_can_not_be_is_said() {
    let Some(testbed) = testbed() else { return };
    let pair = Pair::up(&testbed, "said");
    let sandbox = Sandbox::with_minikube(&testbed);
    let (pod, app) = (pair.pod(), pair.app());
    let devnet = env!("CARGO_BIN_EXE_devnet");
    let script = format!(
        "timeout 60 {devnet} exec {pod} -c {app} -- /bin/busybox yes | head -n 1; echo ${{PIPESTATUS[0]}}"
    );
    let out = Output::of(sandbox.command("bash").args(["-c", &script]));
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("y\n141\n", ""));
    let exec = |more: &[&str]| {
        let mut all = vec!["exec", pod.as_str()];
        all.extend_from_slice(more);
        sandbox.devnet(&all)
    };
    exec(&["-c", "", "--", "true"]).fails(2);
    let with = [
        "-c",
        app.as_str(),
        "-w",
        "/etc",
        "-e",
        "A=b c",
        "-u",
        "7:8",
        "--",
    ];
    let shell = [
        "/bin/busybox",
        "sh",
        "-c",
        "pwd; echo $A; busybox id -u; busybox id -g",
    ];
    assert_eq!(
        exec(&[&with[..], &shell[..]].concat()).ok(),
        "/etc\nb c\n7\n8\n"
    );
    docker(&testbed, "node", &["pause", &app]).ok();
    assert!(
        exec(&["-c", &app, "--", "true"])
            .fails(125)
            .contains("is paused")
    );
    docker(&testbed, "node", &["unpause", &app]).ok();
    docker(&testbed, "node", &["kill", &app]).ok();
    let said = exec(&["-c", &app, "--", "true"]).fails(125);
    assert!(
        said.contains("is not running (exited, exit code 137)"),
        "{said}"
    );
}

#[test]
fn a_variable_by_name_alone_is_the_callers_and_one_that_nobody_has_is_taken_away() {
    let Some(testbed) = testbed() else { return };
    let pair = Pair::up(&testbed, "variables");
    let sandbox = Sandbox::with_minikube(&testbed)
        .env("OF_THE_CALLER", "a=b  c")
        .env("OF_A_FILE", "f");
    let (pod, app) = (pair.pod(), pair.app());
    let file = sandbox.home().join("env");
    std::fs::write(&file, "# no\nOF_A_FILE\nBOTH=file\nONLY= file \nNOBODYS\n").unwrap();
    let file = file.display().to_string();
    let exec = |more: &[&str]| {
        let shown = "busybox env | busybox grep -E '^(OF_|BOTH|ONLY|PATH|NOBODYS)' | busybox sort";
        let run = ["-c", &app, "--", "/bin/busybox", "sh", "-c", shown];
        let mut all = vec!["exec", pod.as_str()];
        all.extend_from_slice(more);
        all.extend_from_slice(&run);
        sandbox.devnet(&all)
    };
    let flags = [
        "-e",
        "OF_THE_CALLER",
        "-e",
        "BOTH=flag",
        "--env-file",
        &file,
    ];
    let ours = exec(&flags).ok();
    assert_eq!(
        ours,
        "BOTH=flag\nOF_A_FILE=f\nOF_THE_CALLER=a=b  c\nONLY= file \nPATH=/bin\n"
    );
    // as docker has it
    let socket = format!("unix://{}", testbed.join("node.sock").display());
    let mut theirs = sandbox.command("docker");
    theirs.args(["-H", &socket, "exec"]).args(flags).args([
        &app,
        "/bin/busybox",
        "sh",
        "-c",
        "busybox env | busybox grep -E '^(OF_|BOTH|ONLY|PATH|NOBODYS)' | busybox sort",
    ]);
    assert_eq!(Output::of(&mut theirs).ok(), ours);
    exec(&["-e", "=x"]).fails(125);
    exec(&["--env-file", "/no/such/file"]).fails(125);
    // an empty file, and what a shell makes of `<(…)`
    assert_eq!(exec(&["--env-file", "/dev/null"]).ok(), "PATH=/bin\n");
    let mut shell = sandbox.command("bash");
    let script = "exec \"$0\" exec --env-file <(echo BOTH=piped) \"$@\"";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_devnet")]);
    shell.args([&pod, "-c", &app, "--", "/bin/busybox", "env"]);
    let said = Output::of(&mut shell).ok();
    assert!(said.lines().any(|line| line == "BOTH=piped"), "{said}");
}

#[test]
fn the_container_that_an_annotation_names_is_taken() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let kubelet = Kubelet::new(&testbed, &sandbox, "exec-default", "10.91.20.0/24");
    // the kubelet writes a pod's annotations on its sandbox, as labels
    let named = "--label=annotation.kubectl.kubernetes.io/default-container=second";
    let net = format!("--network=net-{}", kubelet.name);
    let pause = kubelet.run("POD", "podsandbox", 0, &[&net, named]);
    for name in ["first", "second"] {
        let variable = format!("--env=CONTAINER={name}");
        kubelet.script(name, 0, &pause, &[&variable], "exec /bin/busybox sleep 600");
    }
    let host = format!("unix://{}", testbed.join("node.sock").display());
    let mut all = vec!["-H", &host, "exec", "exec-default"];
    let tail = ["--", "/bin/busybox", "sh", "-c", "echo $CONTAINER"];
    let out = sandbox.devnet(&[&all[..], &tail].concat());
    assert_eq!((out.stdout.as_str(), out.stderr.as_str()), ("second\n", ""));
    all.extend(["-c", "first"]);
    assert_eq!(sandbox.devnet(&[&all[..], &tail].concat()).ok(), "first\n");
}

/// Every flag of `docker exec` and `kubectl exec`.
#[test]
fn the_flags_of_docker_exec_and_kubectl_exec_are_taken_or_refused_by_name() {
    use Flag::{NotOurs, Refused, Taken};
    crate::support::flags(
        "exec",
        125,
        &["--", "true"],
        &[
            // docker exec
            (&["--detach"], Refused("stays until the command ends")),
            (&["-d"], Refused("stays until the command ends")),
            (&["--detach-keys", "ctrl-x"], Taken),
            (&["-e", "A=1"], Taken),
            (&["--env", "A"], Taken),
            (&["--env-file", "/dev/null/no"], Taken),
            (&["-i"], Taken),
            (&["--interactive"], Taken),
            (&["--privileged"], Refused("docker exec --privileged")),
            (&["--privileged=true"], Refused("docker exec --privileged")),
            (&["-t"], Taken),
            (&["--tty"], Taken),
            (&["-u", "1:2"], Taken),
            (&["--user", "1:2"], Taken),
            (&["-w", "/"], Taken),
            (&["--workdir", "/"], Taken),
            // kubectl exec
            (&["-c", "app"], Taken),
            (&["--container", "app"], Taken),
            (&["--container=app"], Taken),
            (&["-f", "pod.yaml"], Refused("name the pod")),
            (&["--filename", "pod.yaml"], Refused("name the pod")),
            (
                &["--pod-running-timeout", "1m"],
                Refused("waits for no pod"),
            ),
            (&["-q"], Taken),
            (&["--quiet"], Taken),
            (&["--stdin"], Taken),
            (&["-n", "default"], Taken),
            (&["--namespace", "default"], Taken),
            // kubectl's ways to its server: devnet asks no server
            (&["--kubeconfig", "x"], NotOurs),
            (&["--server", "x"], NotOurs),
            (&["--token", "x"], NotOurs),
            (&["--as", "x"], NotOurs),
        ],
    );
}
