//! `devnet shell`: beside a container from scratch whose process is not root's, with the tools of an
//! image and with devnet's own.

use std::path::Path;
use std::process::Stdio;

use crate::support::made::Made;
use crate::support::{Output, Sandbox, busybox_image, docker, missing, testbed, until};

/// An image from scratch: one static program, a file that only its user may read, and a link to it
/// by its full path.
fn distroless(testbed: &Path) -> Option<String> {
    let name = "devnet-test/distroless:1";
    let machine = if cfg!(target_arch = "aarch64") {
        "aarch64"
    } else {
        "x86_64"
    };
    let program = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/probes")
        .join(format!("devnet-probe-{machine}"));
    if !program.exists() {
        missing("the probe (`make probes`)");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("etc")).unwrap();
    std::fs::copy(program, path("app")).unwrap();
    std::fs::write(path("etc/greeting"), "from scratch\n").unwrap();
    std::os::unix::fs::symlink("/etc/greeting", path("etc/link")).unwrap();
    let pack = "chmod 700 etc && chmod 600 etc/greeting && tar --owner=1000 --group=1000 -cf all.tar app etc";
    let sandbox = Sandbox::bare();
    let mut shell = sandbox.command("sh");
    Output::of(shell.args(["-c", pack]).current_dir(folder.path())).ok();
    let archive = path("all.tar").display().to_string();
    docker(testbed, "node", &["import", &archive, name]).ok();
    Some(name.into())
}

/// A pod with such a container, `app`, that is nobody's root.
fn pod<'a>(testbed: &'a Path, name: &'a str, more: &[&str]) -> Option<Made<'a>> {
    let image = distroless(testbed)?;
    let mut made = Made::new(testbed, name);
    made.image = image;
    let mut flags = vec!["--user=1000:1000", "--env=COLOUR=blue green"];
    flags.extend(more);
    made.add("app", &flags, &["/app", "udp-echo", "7000"]);
    Some(made)
}

fn arguments<'t>(made: &Made, more: &[&'t str], host: &'t str, name: &'t str) -> Vec<&'t str> {
    assert!(!made.sandbox.is_empty());
    let mut all = vec!["-H", host, "shell", name];
    all.extend(more);
    all
}

struct Tried<'a> {
    made: Made<'a>,
    host: String,
    name: String,
}

impl<'a> Tried<'a> {
    fn new(testbed: &'a Path, name: &'a str, more: &[&str]) -> Option<Self> {
        Some(Self {
            made: pod(testbed, name, more)?,
            host: format!("unix://{}", testbed.join("node.sock").display()),
            name: format!("default/{name}"),
        })
    }

    fn shell(&self, more: &[&str]) -> Output {
        Sandbox::bare().devnet(&arguments(&self.made, more, &self.host, &self.name))
    }

    /// The helpers of this pod, running or not.
    fn helpers(&self) -> Vec<String> {
        let all = docker(
            self.made.testbed,
            "node",
            &[
                "ps",
                "-a",
                "--no-trunc",
                "-f",
                "name=devnet-shell",
                "--format",
                "{{.ID}}",
            ],
        )
        .ok();
        let ours = |id: &&str| {
            let format = "{{.HostConfig.NetworkMode}} {{.HostConfig.PidMode}}";
            // it may go between the two questions
            let modes = docker(self.made.testbed, "node", &["inspect", "-f", format, id]).stdout;
            let found = docker(
                self.made.testbed,
                "node",
                &[
                    "ps",
                    "-q",
                    "--no-trunc",
                    "-f",
                    &format!("name=_{}_", self.made.name),
                ],
            )
            .stdout;
            found.lines().any(|id| modes.contains(id))
        };
        all.lines().filter(ours).map(str::to_owned).collect()
    }
}

#[test]
fn devnets_own_tools_see_what_a_container_from_scratch_sees() {
    let Some(testbed) = testbed() else { return };
    let Some(tried) = Tried::new(&testbed, "scratch", &[]) else {
        return;
    };
    let own = |command: &[&str]| tried.shell(&[&["--image", "none", "--"], command].concat());
    assert_eq!(own(&["cat", "/etc/greeting"]).ok(), "from scratch\n");
    // a link is followed as the container follows it
    assert_eq!(own(&["cat", "/etc/link"]).ok(), "from scratch\n");
    let listed = own(&["ls", "-l", "/etc"]).ok();
    assert!(
        listed.contains("-0600   1000   1000         13 greeting"),
        "{listed}"
    );
    assert!(listed.contains("link -> /etc/greeting"), "{listed}");
    let processes = own(&["ps"]).ok();
    assert!(
        processes.contains("1000 S /app udp-echo 7000"),
        "{processes}"
    );
    let sockets = own(&["ss"]).ok();
    assert!(sockets.contains("0.0.0.0:7000"), "{sockets}");
    assert!(
        own(&["env"])
            .ok()
            .lines()
            .any(|line| line == "COLOUR=blue green")
    );
    let reached = own(&["connect", "udp/127.0.0.1:7000", "127.0.0.1:1"]).ok();
    assert!(reached.starts_with("udp/127.0.0.1:7000 ok "), "{reached}");
    assert!(reached.ends_with("127.0.0.1:1 refused\n"), "{reached}");
    own(&["cat", "/no/such/file"]).fails(1);
    own(&["vi"]).fails(127);
    // lines of stdin, as a script
    let sandbox = Sandbox::bare();
    let more = ["--image", "none"];
    let mut command =
        sandbox.devnet_command(&arguments(&tried.made, &more, &tried.host, &tried.name));
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(
        &mut input,
        b"cd /etc # there\ncat 'greeting'\necho \"a  b\" c\\ d\nexit 9\n",
    )
    .unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        (output.status.code(), text.as_str()),
        (Some(9), "from scratch\na  b c d\n")
    );
    assert_eq!(tried.helpers(), Vec::<String>::new());
}

#[test]
fn the_tools_of_an_image_that_is_there_see_its_files_its_processes_and_its_network() {
    let Some(testbed) = testbed() else { return };
    let Some(tried) = Tried::new(&testbed, "tools", &[]) else {
        return;
    };
    let image = busybox_image(&testbed, "node");
    let script =
        "/bin/busybox cat $ROOT/etc/greeting; /bin/busybox netstat -lnu; /bin/busybox ps; exit 3";
    let run = ["--", "/bin/sh", "-c", script];
    let lent = tried.shell(&[&["--image", &image, "--lend-ptrace"], &run[..]].concat());
    assert_eq!(lent.code, 3, "{lent}");
    assert!(lent.stdout.starts_with("from scratch\n"), "{lent}");
    assert!(lent.stdout.contains("0.0.0.0:7000"), "{lent}");
    assert!(lent.stdout.contains("/app udp-echo 7000"), "{lent}");
    assert!(lent.stderr.contains("tools of `"), "{lent}");
    let plain = tried.shell(&[&["--image", &image], &run[..]].concat());
    assert_eq!(plain.code, 3, "{plain}");
    assert!(!plain.stdout.contains("from scratch"), "{plain}");
    assert!(plain.stdout.contains("0.0.0.0:7000"), "{plain}");
    assert!(plain.stdout.contains("/app udp-echo 7000"), "{plain}");
    // an image is named or not used, whatever it is called
    docker(
        &testbed,
        "node",
        &["tag", &image, "other.example/netshoot:2"],
    )
    .ok();
    let own = tried.shell(&["--", "cat", "/etc/greeting"]);
    assert!(own.stderr.is_empty(), "{own}");
    assert_eq!(own.ok(), "from scratch\n");
    tried.shell(&["--", "/bin/sh"]).fails(127);
    tried.shell(&["--lend-ptrace"]).fails(2);
    tried.shell(&["--image", "none", "--lend-ptrace"]).fails(2);
    let absent = tried.shell(&["--image", "no-such/image:1"]).fails(125);
    assert!(absent.contains("nothing is pulled"), "{absent}");
    let bare = tried
        .shell(&["--image", "devnet-test/distroless:1"])
        .fails(125);
    assert!(bare.contains("brings no shell"), "{bare}");
    tried.shell(&["-c", "nobody"]).fails(125);
    tried.shell(&["--", "/no/such/program"]).fails(127);
    assert_eq!(tried.helpers(), Vec::<String>::new());
}

#[test]
fn in_a_shared_pid_namespace_the_files_are_those_of_the_container_that_is_named() {
    let Some(testbed) = testbed() else { return };
    let Some(mut tried) = Tried::new(&testbed, "sharepid", &[]) else {
        return;
    };
    // the sandbox is process 1 there
    let sandbox = format!("--pid=container:{}", tried.made.sandbox);
    tried.made.add(
        "two",
        &["--user=1000:1000", &sandbox],
        &["/app", "udp-echo", "7001"],
    );
    let cat = [
        "--",
        "/bin/sh",
        "-c",
        "/bin/busybox cat $ROOT/etc/greeting; echo $ROOT",
    ];
    let image = busybox_image(&testbed, "node");
    let lent = ["-c", "two", "--image", &image, "--lend-ptrace"];
    let said = tried.shell(&[&lent[..], &cat].concat()).ok();
    assert!(said.starts_with("from scratch\n/proc/"), "{said}");
    assert!(!said.contains("/proc/1/root"), "{said}");
    let own = ["-c", "two", "--image", "none", "--", "cat", "/etc/greeting"];
    assert_eq!(tried.shell(&own).ok(), "from scratch\n");
}

#[test]
fn a_shell_on_a_real_terminal_has_its_size_and_its_keys() {
    let Some(testbed) = testbed() else { return };
    let Some(tried) = Tried::new(&testbed, "person", &[]) else {
        return;
    };
    let sandbox = Sandbox::bare();
    let person = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/person.py");
    let image = busybox_image(&testbed, "node");
    let more = ["--image", &image];
    let mut command = sandbox.command("python3");
    command
        .env("TERM", "xterm")
        .args([person, env!("CARGO_BIN_EXE_devnet")])
        .args(arguments(&tried.made, &more, &tried.host, &tried.name));
    assert_eq!(Output::of(&mut command).ok().trim(), "same 5");
    assert_eq!(tried.helpers(), Vec::<String>::new());
}

#[test]
fn whatever_ends_devnet_ends_the_helper() {
    let Some(testbed) = testbed() else { return };
    let Some(tried) = Tried::new(&testbed, "ended", &[]) else {
        return;
    };
    let image = busybox_image(&testbed, "node");
    for signal in ["INT", "TERM", "KILL"] {
        let sandbox = Sandbox::bare();
        let more = [
            "--image",
            &image,
            "--lend-ptrace",
            "-i",
            "--",
            "/bin/busybox",
            "cat",
        ];
        let mut command =
            sandbox.devnet_command(&arguments(&tried.made, &more, &tried.host, &tried.name));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        std::io::Write::write_all(&mut input, b"x").unwrap();
        // when it comes back the helper runs
        std::io::Read::read_exact(&mut output, &mut [0]).unwrap();
        let helper = tried.helpers().remove(0);
        let seen = docker(&testbed, "node", &["inspect", &helper]).ok();
        let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
        let host = &seen[0]["HostConfig"];
        assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
        assert_eq!(host["CapAdd"].as_array().unwrap().len(), 2, "{host:#}");
        assert_eq!(host["Privileged"], false);
        let kill = format!("kill -{signal} {}", child.id());
        Output::of(sandbox.command("sh").args(["-c", &kill])).ok();
        let code = child.wait().unwrap().code();
        if signal != "KILL" {
            assert_eq!(code, Some(130), "{signal}");
            assert_eq!(tried.helpers(), Vec::<String>::new(), "{signal}");
        }
        until("the helper is gone", || tried.helpers().is_empty());
    }
}
