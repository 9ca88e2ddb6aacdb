//! The testbed's own containerd node: what other tests of that runtime stand on.

use crate::support::containerd_node::{BUSYBOX, ContainerdNode, DISTROLESS, containerd_node};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::support::cri::messages::PortMapping;
use crate::support::node_container::NodeContainer;
use crate::support::node_kubelet::{Container, Pod, Policy, Wanted};
use crate::support::{Output, Sandbox, ended, missing, testbed, until};

fn two(name: &str) -> Wanted {
    Wanted::pod(name).sleeper("web").sleeper("poller")
}

#[test]
fn a_killed_container_comes_back_in_its_sandbox_and_a_killed_pause_brings_a_new_one() {
    let Some(node) = containerd_node() else {
        return;
    };
    let pod = Pod::up(node, two("testbed-two"));
    let network = |pid| node.namespace(pid, "net");
    let (ip, sandbox) = (pod.ip(), pod.sandbox().id);
    assert!(ip.starts_with("10.244."), "{ip}");
    assert_eq!(network(pod.pid("web")), network(pod.pause_pid()));
    assert_eq!(network(pod.pid("web")), network(pod.pid("poller")));
    assert_ne!(network(pod.pid("web")), network(1));

    pod.kill("web");
    pod.until_attempt("web", 1);
    assert_eq!((pod.ip(), pod.sandbox().id), (ip.clone(), sandbox.clone()));
    assert_eq!(network(pod.pid("web")), network(pod.pid("poller")));

    pod.kill_pause();
    pod.until_sandbox(1);
    assert_ne!(pod.ip(), ip);
    assert_ne!(pod.sandbox().id, sandbox);
    assert_eq!(network(pod.pid("web")), network(pod.pause_pid()));
    assert_eq!(pod.container("web").metadata.unwrap().attempt, 2);
}

#[test]
fn a_pod_that_nobody_heals_stays_dead_and_one_that_ends_well_is_done() {
    let Some(node) = containerd_node() else {
        return;
    };
    let pod = Pod::made_once(node, two("testbed-once"));
    pod.kill("web");
    assert_eq!(pod.until_ended("web").exit_code, 137);
    assert_eq!(pod.attempts("web").len(), 1);
    pod.heal(true);
    pod.until_attempt("web", 1);

    let mut job = Wanted::pod("testbed-job")
        .label("app", "job")
        .script("task", "echo did it; exit 3");
    job.restarts = Policy::Never;
    let pod = Pod::up(node, job);
    pod.until_it_says("task", " stdout F did it\n");
    assert_eq!(pod.until_ended("task").exit_code, 3);
    let logs = node.path("/var/log/pods");
    let logs = logs.join(format!("default_testbed-job_{}", pod.uid()));
    assert!(logs.join("task/0.log").is_file());
    pod.delete();
    assert!(pod.sandboxes().is_empty() && !logs.exists());
}

#[test]
fn inits_run_before_the_others_and_what_can_not_run_is_told() {
    let Some(node) = containerd_node() else {
        return;
    };
    let init = Container {
        init: true,
        ..Container::script("first", "grep testbed-init /etc/hosts")
    };
    let mut pod = Wanted::pod("testbed-init")
        .with(init)
        .with(Container::of("bad", BUSYBOX, &["/no/such/program"]))
        .with(Container::of("absent", "docker.io/library/absent:v1", &[]))
        .with(Container::of("server", DISTROLESS, &[]))
        .script("twice", "test $((n += 1)) = 1; exit 0");
    pod.restarts = Policy::OnFailure;
    let pod = Pod::made_once(node, pod);
    let first = pod.until_ended("first");
    assert_eq!((first.exit_code, first.reason.as_str()), (0, "Completed"));
    pod.until_it_says("first", &format!("{}\ttestbed-init", pod.ip()));
    let process = format!("/proc/{}/cgroup", pod.pid("server"));
    let group = format!(
        "/kubepods/besteffort/pod{}/{}",
        pod.uid(),
        pod.container("server").id
    );
    let groups = node.run(&["cat", &process]).ok();
    assert!(groups.contains(&format!(":{group}")), "{groups}");
    let bad = pod.until_ended("bad");
    assert_eq!((bad.exit_code, bad.reason.as_str()), (128, "StartError"));
    assert!(bad.message.contains("/no/such/program"), "{}", bad.message);
    assert!(pod.attempts("absent").is_empty());
    let trouble = pod.trouble();
    assert!(
        trouble.contains(&"absent: ErrImageNeverPull".into()),
        "{trouble:?}"
    );
    let server = node.run(&["wget", "-qO-", &format!("http://{}:8080/", pod.ip())]);
    assert_eq!(server.code, 0, "{server}");
    pod.until_ended("twice");
    pod.heal(true);
    until("what failed is tried again", || {
        pod.container("bad").metadata.unwrap().attempt > 0
    });
    assert_eq!(pod.attempts("twice").len(), 1);
}

#[test]
fn minikubes_records_name_the_node() {
    let Some(node) = containerd_node() else {
        return;
    };
    let said = node.sandbox().devnet(&["-p", "absent", "status"]).fails(4);
    assert!(
        said.contains("there are: ctr, ctr-kic, ctr-none, ctr-ssh"),
        "{said}"
    );
    let said = node.devnet_on_it(&["-p", "absent", "status"]).fails(4);
    assert!(
        said.contains("there are: ctr, ctr-kic, ctr-none, ctr-ssh"),
        "{said}"
    );
}

#[test]
fn a_person_logs_in_as_minikube_does_and_root_is_one_word_away() {
    let Some(node) = containerd_node() else {
        return;
    };
    let who = node.ssh("id -un; sudo -n id -un; hostname").ok();
    assert_eq!(who, format!("docker\nroot\n{}\n", node.name));
    // no program is started from where minikube's nodes forbid it
    for folder in ["/run", "/tmp", "/dev/shm"] {
        let copy = format!("sudo cp /bin/true {folder}/true && sudo {folder}/true");
        assert!(
            node.ssh(&copy).stderr.contains("Permission denied"),
            "{folder}"
        );
    }
    for folder in ["/var/lib", "/var/tmp"] {
        node.ssh(&format!(
            "sudo cp /bin/true {folder}/true && sudo {folder}/true"
        ))
        .ok();
    }
    // the runtime's socket is root's, and what is root relays it: HTTP/2 begins with settings
    let socket = "UNIX-CONNECT:/run/containerd/containerd.sock";
    assert!(
        node.ssh(&format!("socat - {socket} </dev/null"))
            .stderr
            .contains("Permission denied")
    );
    let hello = r"printf 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0'";
    let relayed = format!("{hello} | sudo -n socat - {socket} | head -c 4 | od -An -tx1");
    let answer = node.ssh(&relayed).ok();
    assert!(answer.trim().ends_with("04"), "{answer}");
}

#[test]
fn the_nodes_own_folders_are_no_ones_else() {
    let Some(node) = containerd_node() else {
        return;
    };
    node.run(&[
        "sh",
        "-c",
        "echo mine > /etc/devnet-testbed; echo mine > /var/devnet-testbed",
    ])
    .ok();
    for folder in ["/etc", "/var"] {
        let here = std::path::Path::new(folder).join("devnet-testbed");
        assert!(!here.exists(), "{}", here.display());
    }
}

#[test]
fn two_nodes_are_two_computers() {
    let Some(node) = containerd_node() else {
        return;
    };
    let other = ContainerdNode::start(&testbed().unwrap(), "testbed-other");
    let pod = Pod::up(node, two("testbed-here"));
    let there = Pod::up(&other, two("testbed-here"));
    assert_ne!(pod.ip(), there.ip());
    for kind in ["net", "pid", "mnt", "uts", "ipc", "cgroup"] {
        assert_ne!(node.namespace(1, kind), other.namespace(1, kind), "{kind}");
    }
    let own = format!("{}\n", other.name);
    assert_eq!(other.ssh("hostname").ok(), own);
    let pods = other.run(&["sh", "-c", "ls /var/log/pods | wc -l"]).ok();
    assert_eq!(pods.trim(), "1");
}

#[test]
fn a_node_that_lost_its_power_has_its_pods_made_anew() {
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::start(&testbed, "testbed-power");
    let pod = Pod::up(&node, two("testbed-power"));
    let sandbox = pod.sandbox().id;
    node.restart();
    pod.until_sandbox(1);
    assert_ne!(pod.sandbox().id, sandbox);
    assert_eq!(pod.container("web").metadata.unwrap().attempt, 1);
    assert_eq!(node.ssh("sudo -n id -u").ok(), "0\n");
}

#[test]
fn a_node_loses_what_minikube_relies_on() {
    let Some(testbed) = testbed() else { return };
    let node = ContainerdNode::start(&testbed, "testbed-poor");
    node.run(&["sed", "-i", "s/NOPASSWD://", "/etc/sudoers"])
        .ok();
    let asked = node.ssh("sudo -n true").fails(1);
    assert!(asked.contains("a password is required"), "{asked}");
    for program in ["socat", "sudo"] {
        node.without(program);
        let lost = node.ssh(program).fails(127);
        assert!(lost.contains("command not found"), "{lost}");
        assert!(Sandbox::bare().command(program).arg("-V").output().is_ok());
    }

    let sandbox = Sandbox::bare();
    let begun = || {
        let mut ssh = node.ssh_command(&sandbox, "echo begun; sleep 600");
        let mut ssh = ssh
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(ssh.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "begun\n");
        ssh
    };
    let ssh = begun();
    node.cut_connections();
    ended(ssh).fails(255);
    assert_eq!(node.ssh("echo there").ok(), "there\n");

    let mut ssh = begun();
    node.signal_all("STOP");
    let stat = std::fs::read_to_string(node.path("/run/containerd.pid")).unwrap();
    let state = node.path(&format!("/proc/{}/stat", stat.trim()));
    let state = || std::fs::read_to_string(&state).unwrap();
    until("containerd stands still", || state().contains(") T "));
    assert!(ssh.try_wait().unwrap().is_none());
    node.signal_all("CONT");
    until("containerd runs on", || !state().contains(") T "));
    node.restart();
    ended(ssh).fails(255);
}

#[test]
fn a_container_stands_for_a_node_as_minikubes_docker_driver_has_it() {
    let Some(node) = containerd_node() else {
        return;
    };
    let container = NodeContainer::start(&testbed().unwrap(), node);
    let said = container.exec(&[], &["sh", "-c", "id -un; hostname; exit 7"]);
    assert_eq!(said.stdout, "root\nctr\n");
    said.fails(7);
    let copy = container.exec(&[], &["sh", "-c", "cp /bin/true /run/kic && /run/kic"]);
    assert!(copy.fails(126).contains("Permission denied"));
    let inspect = ["inspect", "-f", "{{.State.Running}}", &container.name];
    assert_eq!(container.engine.docker(&inspect).ok(), "true\n");
    let sandbox = container.sandbox(node);
    let mut script = sandbox.command("script");
    let docker = format!("docker exec -it {} test -t 0", container.name);
    Output::of(script.args(["-qec", &docker, "/dev/null"])).ok();
    let login = container.login();
    let (host, port) = login.rsplit_once(':').unwrap();
    let mut ssh = sandbox.command("ssh");
    ssh.args(["-F", "none", "-o", "StrictHostKeyChecking=no", "-p", port])
        .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"])
        .arg("-i")
        .arg(node.key())
        .args([&format!("docker@{host}"), "sudo -n hostname"]);
    assert_eq!(Output::of(&mut ssh).ok(), "ctr\n");
}

#[test]
fn a_port_of_the_node_leads_to_a_pod_and_memory_runs_out() {
    let Some(node) = containerd_node() else {
        return;
    };
    let mut web = Wanted::pod("testbed-port").script(
        "web",
        "echo hello > /www/index.html; exec httpd -f -p 80 -h /www",
    );
    web.ports.push(PortMapping {
        container_port: 80,
        host_port: 18_080,
        ..PortMapping::default()
    });
    let _web = Pod::up(node, web);
    let url = format!("http://{}:18080/", node.own_address());
    let sandbox = node.sandbox();
    until("the pod is served at the node's port", || {
        let mut curl = sandbox.command("curl");
        Output::of(curl.args(["-s", "--max-time", "5", &url])).stdout == "hello\n"
    });

    let hog = Container {
        memory: Some(16 << 20),
        ..Container::script("hog", "echo begun; tail /dev/zero")
    };
    let pod = Pod::made_once(node, Wanted::pod("testbed-hog").with(hog));
    let ended = pod.until_ended("hog");
    assert_eq!((ended.exit_code, ended.reason.as_str()), (137, "OOMKilled"));

    let mut of_node = Wanted::pod("testbed-net").sleeper("agent");
    of_node.host_network = true;
    of_node.host_pid = true;
    let pod = Pod::made_once(node, of_node);
    assert_eq!(pod.ip(), "");
    for kind in ["net", "pid"] {
        assert_eq!(
            node.namespace(pod.pid("agent"), kind),
            node.namespace(1, kind),
            "{kind}"
        );
    }
}

#[test]
fn pods_outlive_their_runtime_and_every_version_starts() {
    let Some(testbed) = testbed() else { return };
    for version in ["1.6", "1.7", "2.1"] {
        let name = format!("testbed-{version}");
        let Some(node) = ContainerdNode::of_version(&testbed, &name, Some(version)) else {
            missing(&format!("containerd {version} (run `make engines`)"));
            continue;
        };
        let said = node.ctr(&["version"]).ok();
        assert!(said.contains(&format!("Version:  {version}")), "{said}");
        let pod = Pod::up(&node, two("testbed-outlives"));
        let (before, process) = (pod.ip(), pod.pid("web"));
        node.containerd("kill");
        node.containerd("start");
        assert_eq!((pod.ip(), pod.pid("web")), (before, process));
        pod.kill_pause();
        pod.until_sandbox(1);
    }
}

#[test]
fn a_docker_engine_of_a_version_lies_on_a_node_with_what_it_needs_for_tls() {
    let Some(testbed) = testbed() else {
        return;
    };
    for version in ["26", "28"] {
        let name = format!("lies{version}");
        let Some(node) = ContainerdNode::with_dockerd(&testbed, &name, None, Some(version)) else {
            missing(&format!("the engine {version} (make engines)"));
            continue;
        };
        let said = node.run(&["dockerd", "--version"]).ok();
        assert!(said.contains(&format!("version {version}.")), "{said}");
        assert!(!node.path("/run/docker.pid").exists());
        let certificate = node.path("/etc/docker/server.pem");
        let certificate = certificate.display().to_string();
        let ca = node.folder().join("minikube/.minikube/certs/ca.pem");
        let sandbox = Sandbox::bare();
        let mut verify = sandbox.command("openssl");
        verify.args(["verify", "-verify_ip", &node.address(), "-CAfile"]);
        Output::of(verify.arg(ca).arg(certificate)).ok();
    }
}
