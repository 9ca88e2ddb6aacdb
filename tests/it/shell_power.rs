//! The power of a program in devnet's helpers, tried by one of the tests' own: the system calls
//! that are refused to it, on every engine, and that no helper with power runs where they are not.

use std::cell::RefCell;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::support::engines::Engine;
use crate::support::made::{Made, inode};
use crate::support::podman::Podman;
use crate::support::rewriting::{Hold, Rewriting};
use crate::support::{Output, Sandbox, docker, missing, testbed, until};

/// Prints the name of every one of these system calls that the kernel does not refuse.
const CALLS: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#define TRY(name, ...) if (syscall(SYS_##name, __VA_ARGS__) >= 0 || (errno != EPERM && errno != ENOSYS)) puts(#name)
struct { struct file_handle handle; char more[128]; } h = { { 128, 0 } };
int main(void) {
  errno = 0;
  int mount, here = open("/", O_RDONLY);
  char bytes[8]; struct iovec to = { bytes, 8 }, from = { bytes, 8 };
  TRY(name_to_handle_at, AT_FDCWD, "/", &h, &mount, 0);
  TRY(open_by_handle_at, here, &h, O_RDONLY);
  TRY(process_vm_readv, getpid(), &to, 1, &from, 1, 0);
  TRY(process_vm_writev, getpid(), &to, 1, &from, 1, 0);
  TRY(pidfd_getfd, syscall(SYS_pidfd_open, getpid(), 0), here, 0);
  TRY(kcmp, getpid(), getpid(), 0, here, here);
  TRY(setns, here, 0);
  TRY(unshare, CLONE_NEWUSER);
  if (syscall(SYS_clone, CLONE_NEWUSER | 17, 0, 0, 0, 0) == 0) _exit(0); else if (errno != EPERM) puts("clone");
  TRY(mount, 0, 0, 0, 0, 0);
  TRY(bpf, 0, 0, 0);
  TRY(perf_event_open, 0, 0, -1, -1, 0);
  TRY(keyctl, 0, -3, 0);
  TRY(io_uring_setup, 1, 0);
  TRY(userfaultfd, 0);
  TRY(ptrace, PTRACE_TRACEME, 0, 0, 0);
  return 0;
}
"#;

/// An image with that program as /calls, and busybox, in one of the testbed's engines.
fn calls(testbed: &Path, engine: &str, more: &str) -> Option<String> {
    let sandbox = Sandbox::bare();
    std::fs::write(sandbox.home().join("calls.c"), CALLS).unwrap();
    let build = format!(
        "mkdir -p root/bin root/proc root/tmp root/etc && echo secret >root/etc/greeting && {more} \
         cp /bin/busybox root/bin/ && ln -s busybox root/bin/sh && \
         cc -O1 -static -o root/calls calls.c && tar -C root -cf image.tar ."
    );
    let built = Output::of(sandbox.command("sh").args(["-c", &build]));
    if built.code != 0 {
        missing(&format!("a C compiler with a static libc: {built}"));
        return None;
    }
    let image = "devnet-test/calls:1";
    let archive = sandbox.home().join("image.tar").display().to_string();
    docker(testbed, engine, &["import", &archive, image]).ok();
    Some(image.into())
}

/// A pod of such containers.
fn pod<'a>(testbed: &'a Path, engine: &'a str, name: &'a str) -> Option<Made<'a>> {
    let image = calls(testbed, engine, "")?;
    let mut made = Made::of_image(testbed, engine, name, "none", image);
    made.add_sleeper("app");
    Some(made)
}

const TRACING: [&str; 3] = ["process_vm_readv", "process_vm_writev", "ptrace"];

fn shell(made: &Made, more: &[&str]) -> Output {
    let (host, name) = (made.host(), format!("default/{}", made.name));
    let words = ["-H", &host, "shell", &name, "-c", "app"];
    Sandbox::bare().devnet(&[&words[..], more].concat())
}

/// A shell of devnet's own tools that waits for its input.
fn waiting(made: &Made) -> Child {
    let (host, name) = (made.host(), format!("default/{}", made.name));
    let sandbox = Sandbox::bare();
    let mut command = sandbox.devnet_command(&["-H", &host, "shell", &name, "-c", "app"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"echo x\n").unwrap();
    let output = child.stdout.as_mut().unwrap();
    std::io::Read::read_exact(output, &mut [0]).unwrap();
    child.stdin = Some(input);
    child
}

/// The one container of devnet's whose name begins so.
fn helper(made: &Made, name: &str) -> String {
    let filter = format!("name={name}");
    made.docker(&["ps", "-q", "--no-trunc", "-f", &filter])
        .lines()
        .next()
        .unwrap()
        .to_owned()
}

fn power_is_confined(made: &Made) {
    // the program finds what is open where nothing confines it
    let free = [
        "run",
        "--rm",
        "--network=none",
        "--cap-add=DAC_READ_SEARCH",
        "--security-opt=seccomp=unconfined",
        &made.image,
        "/calls",
    ];
    let free = made.docker(&free);
    for name in [
        "open_by_handle_at",
        "name_to_handle_at",
        "ptrace",
        "pidfd_getfd",
    ] {
        assert!(free.lines().any(|line| line == name), "{name}: {free}");
    }
    // an image that the person lends the power to
    let lent = shell(
        made,
        &["--image", &made.image, "--lend-ptrace", "--", "/calls"],
    )
    .ok();
    assert_eq!(lent.lines().collect::<Vec<_>>(), TRACING);
    let root = ["--", "/bin/sh", "-c", "/bin/busybox cat $ROOT/etc/greeting"];
    let lent = shell(
        made,
        &[&["--image", &made.image, "--lend-ptrace"], &root[..]].concat(),
    );
    assert!(lent.stderr.contains("lent the power to trace"), "{lent}");
    assert_eq!(lent.ok(), "secret\n");
    // without that it has no capability at all
    let status = "/bin/busybox ps; echo root=$ROOT; /bin/busybox cat /proc/1/root/etc/greeting; /bin/busybox grep Cap /proc/self/status";
    let without = shell(
        made,
        &["--image", &made.image, "--", "/bin/sh", "-c", status],
    );
    assert_eq!(
        without
            .stderr
            .matches("the files of `app` are not seen")
            .count(),
        1,
        "{without}"
    );
    assert!(without.stderr.contains("`--lend-ptrace`"), "{without}");
    let said = without.ok();
    assert!(said.contains("/bin/busybox sleep 3600"), "{said}");
    assert!(
        said.contains("root=\n") && !said.contains("secret"),
        "{said}"
    );
    let capabilities = said.lines().filter(|line| line.starts_with("Cap"));
    for line in capabilities {
        assert!(line.ends_with("\t0000000000000000"), "{said}");
    }
}

/// Five looks in a row, none of which lacks anything that only the kernel tells: also of processes of
/// other users, which takes the power that the profile leaves.
fn looks_lack_nothing(made: &mut Made) {
    let serve = ["/bin/busybox", "httpd", "-f", "-p", "8080"];
    let users = ["--user=12345", "--cap-drop=ALL"];
    let server = made.add("server", &users, &serve);
    let (sandbox, pid) = (made.pid(&made.sandbox), made.pid(&server));
    let words = ["-H", &made.host(), "pods", made.name, "-o", "json"];
    for _ in 0..5 {
        let look = Sandbox::bare().devnet(&words);
        assert_eq!((look.code, look.stderr.as_str()), (0, ""), "{look}");
        let seen: serde_json::Value = serde_json::from_str(&look.stdout).unwrap();
        let all = |of: &serde_json::Value| {
            let kinds = ["net", "ipc", "uts", "pid", "mnt", "user"];
            kinds.iter().all(|kind| of[kind].is_u64())
        };
        let pod = &seen["pods"][0];
        let containers = pod["containers"].as_array().unwrap();
        let socket = pod["sockets"].as_array().and_then(|sockets| {
            let mut all = sockets.iter();
            all.find(|one| one["port"] == 8080 && one["state"] == "LISTEN")
        });
        let owner = serde_json::json!([{"container": "server", "pid": pid, "command": "busybox"}]);
        let is_complete = all(&seen["nodes"][0]["namespaces"])
            && all(&pod["sandbox"]["namespaces"])
            && pod["sandbox"]["netns"]["inode"] == inode(&sandbox, "net")
            && containers.len() == 2
            && containers.iter().all(|one| {
                all(&one["namespaces"])
                    && one["shares"]["net"] == true
                    && one["shares"]["pid"] == false
            })
            && socket.is_some_and(|socket| socket["owners"] == owner);
        assert!(is_complete, "{seen:#}");
    }
}

#[test]
fn whatever_runs_in_a_helper_reads_nothing_past_its_pod() {
    let Some(testbed) = testbed() else { return };
    // helpers of other tests are not there
    let _engine = Engine::start(&testbed, "confined");
    let Some(mut made) = pod(&testbed, "confined", "confined") else {
        return;
    };
    power_is_confined(&made);
    looks_lack_nothing(&mut made);
    // beside devnet's own tools
    let mut child = waiting(&made);
    let own = helper(&made, "devnet-shell");
    assert_eq!(made.docker(&["exec", &own, "/calls"]), "");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    // in the look, which waits for what the engine tells
    let folder = tempfile::tempdir().unwrap();
    let held = Some(Hold::Answer("GET", "/info"));
    let proxy = Rewriting::holding(
        folder.path(),
        testbed.join("confined.sock"),
        held,
        |_, _| {},
    );
    let sandbox = Sandbox::bare();
    let url = proxy.url();
    let words = ["-H", &url, "inspect", "default/confined", "-o", "json"];
    let looking = sandbox
        .devnet_command(&words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    proxy.until_held();
    let is_there = || {
        !made
            .docker(&["ps", "-q", "-f", "name=devnet-look"])
            .is_empty()
    };
    until("the look runs", is_there);
    let look = helper(&made, "devnet-look");
    assert_eq!(made.docker(&["exec", &look, "/calls"]), "");
    proxy.release();
    let seen = looking.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&seen.stderr).into_owned();
    assert_eq!((seen.status.code(), complaint.as_str()), (Some(0), ""));
    let seen: serde_json::Value = serde_json::from_slice(&seen.stdout).unwrap();
    // and it has seen the kernel's side
    assert!(seen["pods"][0]["sockets"].is_array(), "{seen:#}");
}

#[test]
fn podman_takes_no_profile_and_its_helpers_confine_themselves() {
    let Some(testbed) = testbed() else { return };
    let Some(_podman) = Podman::start(&testbed) else {
        return;
    };
    let Some(mut made) = pod(&testbed, "podman", "podman") else {
        return;
    };
    looks_lack_nothing(&mut made);
    let own = shell(&made, &["--", "cat", "/etc/greeting"]);
    assert_eq!(own.ok(), "secret\n");
    power_is_confined(&made);
    let filters = [
        "--",
        "/bin/busybox",
        "grep",
        "Seccomp_filters",
        "/proc/self/status",
    ];
    let lent = [&["--image", &made.image, "--lend-ptrace"], &filters[..]].concat();
    // podman's own and devnet's
    assert_eq!(shell(&made, &lent).ok(), "Seccomp_filters:\t2\n");
    shell(
        &made,
        &["--image", &made.image, "--lend-ptrace", "--", "/no/such"],
    )
    .fails(127);
}

#[test]
fn on_an_engine_that_does_not_confine_nothing_gets_power() {
    let Some(testbed) = testbed() else { return };
    let sandbox = Sandbox::bare();
    let runtime = sandbox.home().join("runtime");
    // as engines and runtimes that know no seccomp
    let script = "#!/usr/bin/python3\nimport json, os, sys\nfor i, word in enumerate(sys.argv):\n    \
        if word == '--bundle':\n        path = sys.argv[i + 1] + '/config.json'\n        config = json.load(open(path))\n        \
        config['linux'].pop('seccomp', None)\n        json.dump(config, open(path, 'w'))\n\
        os.execvp('runc', ['runc'] + sys.argv[1:])\n";
    std::fs::write(&runtime, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&runtime, mode).unwrap();
    let config = serde_json::json!({
        "default-runtime": "bare", "runtimes": {"bare": {"path": runtime}},
    });
    let engine = Engine::configured(&testbed, "bare", config.to_string());
    let Some(made) = pod(&testbed, "bare", "bare") else {
        return;
    };
    for more in [
        &["--", "ps"][..],
        &["--image", &made.image, "--lend-ptrace", "--", "/calls"],
    ] {
        let refused = shell(&made, more).fails(125);
        assert!(
            refused.contains("unconfined: open_by_handle_at, "),
            "{refused}"
        );
        assert!(
            refused.contains("hint: devnet lends capabilities only under its seccomp profile"),
            "{refused}"
        );
    }
    // what gets none runs
    shell(
        &made,
        &["--image", &made.image, "--", "/bin/busybox", "true"],
    )
    .ok();
    let output = Sandbox::bare().devnet(&["-H", &made.host(), "pods"]);
    assert!(
        output.stderr.contains("devnet's seccomp profile forbids"),
        "{output}"
    );
    assert!(output.stderr.contains("`docker info` names it"), "{output}");
    assert!(output.ok().contains("bare"));
    until("nothing is left", || engine.left_over().is_empty());
}

#[test]
fn an_image_that_is_in_the_probes_way_is_not_the_last_that_is_tried() {
    let Some(testbed) = testbed() else { return };
    // nothing can be put into the one, and the other starts nothing of devnet's
    for (engine, in_the_way) in [
        ("way1", "ln -s /etc root/devnet &&"),
        ("way2", "echo x >root/devnet &&"),
    ] {
        let own = Engine::start(&testbed, engine);
        let Some(image) = calls(&testbed, engine, in_the_way) else {
            return;
        };
        let mut made = Made::of_image(&testbed, engine, "way", "none", image);
        made.add_sleeper("app");
        let document = made.document();
        assert!(document["pods"][0]["sockets"].is_array(), "{document:#}");
        let own_tools = shell(&made, &["--", "cat", "/etc/greeting"]);
        assert!(own_tools.stderr.is_empty(), "{own_tools}");
        assert_eq!(own_tools.ok(), "secret\n");
        let checked = Sandbox::bare().devnet(&["-H", &made.host(), "check", "-o", "json"]);
        assert!(!checked.stderr.contains("was not asked from"), "{checked}");
        until("nothing is left", || own.left_over().is_empty());
        assert_eq!(own.names(), ["devnet-test/calls:1"]);
    }
}

/// Waits for devnet's end, and gives its code and what it complained of.
fn ended(child: Child) -> (Option<i32>, String) {
    let child = RefCell::new(child);
    until("devnet ends", || {
        child.borrow_mut().try_wait().unwrap().is_some()
    });
    let output = child.into_inner().wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), complaint)
}

#[test]
fn a_command_whose_container_is_killed_or_removed_has_ended() {
    let Some(testbed) = testbed() else { return };
    let _engine = Engine::start(&testbed, "hang");
    let Some(mut made) = pod(&testbed, "hang", "hang") else {
        return;
    };
    let host = made.host();
    let sleep = |verb: &str, container: &str, command: &[&str]| {
        let sandbox = Sandbox::bare();
        let words = ["-H", &host, verb, "default/hang", "-c", container, "--"];
        let mut devnet = sandbox.devnet_command(&[&words[..], command].concat());
        devnet.stdout(Stdio::null()).stderr(Stdio::piped());
        devnet.spawn().unwrap()
    };
    let sleeps = |container: &str, made: &Made| {
        let top = docker(&testbed, "hang", &["top", container, "-eo", "pid,args"]).stdout;
        assert!(!made.sandbox.is_empty());
        top.contains("sleep 300")
    };
    for how in [&["rm", "-f"][..], &["kill"]] {
        let child = sleep("shell", "app", &["sleep", "300"]);
        let there = || {
            !made
                .docker(&["ps", "-q", "-f", "name=devnet-shell"])
                .is_empty()
        };
        until("the helper is there", there);
        let id = helper(&made, "devnet-shell");
        until("the command runs", || sleeps(&id, &made));
        made.docker(&[how, &[&id]].concat());
        let (code, complaint) = ended(child);
        assert_eq!(code, Some(137), "{how:?} {complaint}");
        until("the helper is gone", || !there());
    }
    for how in [&["rm", "-f"][..], &["kill"]] {
        let name = how[0];
        // among the processes of the sandbox, whose end is not that of the container
        let pid = format!("--pid=container:{}", made.sandbox);
        let id = made.add(name, &[&pid], &["/bin/busybox", "sleep", "3600"]);
        let child = sleep("exec", name, &["/bin/busybox", "sleep", "300"]);
        until("the command runs", || sleeps(&id, &made));
        made.docker(&[how, &[&id]].concat());
        let (code, complaint) = ended(child);
        assert_eq!(code, Some(137), "{how:?} {complaint}");
    }
}
