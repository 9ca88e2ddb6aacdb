//! The address of the Docker engine that devnet runs on a containerd node, by minikube's driver.

use std::path::Path;

use serde_json::{Value, json};

use crate::forwarded;
use crate::support::{Sandbox, testbed};

/// A driver, how its nodes are reached, and what `env` says of it.
struct DriverRow {
    driver: &'static str,
    network: &'static str,
    engine_port: Option<u16>,
    /// The environment that says how a node that is a container is reached.
    environment: Vec<(&'static str, String)>,
    at: String,
    code: i32,
}

impl DriverRow {
    fn at_node(driver: &'static str, network: &'static str) -> Self {
        Self::of(driver, network, None, "tcp://127.0.9.9:2376", 3)
    }

    fn of(
        driver: &'static str,
        network: &'static str,
        engine_port: Option<u16>,
        at: &str,
        code: i32,
    ) -> Self {
        Self {
            driver,
            network,
            engine_port,
            environment: Vec::new(),
            at: at.to_owned(),
            code,
        }
    }

    /// One whose node is a container that a port of this computer leads to, as the engine that runs it
    /// says.
    fn forwarded(driver: &'static str, engine: (&'static str, &str), port: &str) -> Self {
        let mut row = Self::of(driver, "", None, &format!("tcp://{port}"), 3);
        row.environment = vec![
            ("WSL_DISTRO_NAME", "here".to_owned()),
            (engine.0, engine.1.to_owned()),
        ];
        row
    }

    /// A profile with one containerd node of the driver, in a minikube home of its own.
    fn profile(&self, testbed: &Path, name: &str) -> Sandbox {
        let sandbox = Sandbox::bare();
        let home = sandbox.home().join(".minikube");
        let write = |path: &str, value: Value| {
            let path = home.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, value.to_string()).unwrap();
        };
        let kubernetes = json!({"ClusterName": name, "ContainerRuntime": "containerd"});
        let nodes = json!([{"Name": "", "IP": "127.0.9.9", "ControlPlane": true, "Worker": true}]);
        write(
            &format!("profiles/{name}/config.json"),
            json!({"Name": name, "Driver": self.driver, "Network": self.network, "KubernetesConfig": kubernetes, "Nodes": nodes}),
        );
        let own = json!({"IPAddress": "127.0.9.9", "SSHUser": "docker", "SSHPort": 22, "EnginePort": self.engine_port.unwrap_or(0)});
        write(
            &format!("machines/{name}/config.json"),
            json!({"Driver": own, "DriverName": self.driver, "Name": name}),
        );
        let own = testbed.join("minikube/.minikube/certs");
        std::fs::create_dir_all(home.join("certs")).unwrap();
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            std::fs::copy(own.join(file), home.join("certs").join(file)).unwrap();
            std::fs::copy(own.join(file), home.join(file)).unwrap();
        }
        let home = home.display().to_string();
        let sandbox = sandbox.env("MINIKUBE_HOME", &home);
        let each = self.environment.iter();
        each.fold(sandbox, |sandbox, (name, value)| sandbox.env(name, value))
    }
}

#[test]
fn each_driver_says_where_its_nodes_engine_is_and_minikube_is_never_run() {
    let Some(testbed) = testbed() else { return };
    let name = "drivers";
    forwarded::start(&testbed, "host", name, "127.0.0.1");
    let host = format!("unix://{}", testbed.join("host.sock").display());
    let port = forwarded::published(&testbed, "host", name, "2376");
    let mut rows = [
        "kvm2",
        "virtualbox",
        "hyperv",
        "hyperkit",
        "parallels",
        "vmware",
        "vfkit",
        "krunkit",
        "ssh",
        // containers of this computer's own engine are reached at their addresses
        "docker",
        "podman",
    ]
    .map(|driver| DriverRow::at_node(driver, ""))
    .into_iter()
    .collect::<Vec<_>>();
    rows.extend([
        DriverRow::at_node("qemu2", "socket_vmnet"),
        // a port of this computer leads there; nobody has this one
        DriverRow::of("qemu2", "builtin", Some(39), "tcp://127.0.0.1:39", 3),
        // the machine's record does not say: minikube is not asked, which would change the node
        DriverRow::of("qemu2", "builtin", None, "names no engine port", 1),
        DriverRow::of("none", "", None, "this computer's own", 3),
        // those of an engine in a virtual machine at a port that connects, whatever is behind it
        DriverRow::forwarded("docker", ("DOCKER_HOST", &host), &port),
        DriverRow::forwarded("podman", ("CONTAINER_HOST", &host), &port),
    ]);
    for row in rows {
        let (driver, network) = (row.driver, row.network);
        let sandbox = row.profile(&testbed, name);
        let asked = sandbox.home().join("asked");
        let minikube = sandbox.home().join("bin/minikube");
        std::fs::create_dir_all(minikube.parent().unwrap()).unwrap();
        let script = format!("#!/bin/sh\necho \"$@\" >> {}\n", asked.display());
        std::fs::write(&minikube, script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&minikube, mode).unwrap();
        let path = format!("{}:/usr/bin:/bin", minikube.parent().unwrap().display());
        let sandbox = sandbox.env("PATH", &path);
        for from in ["auto", "files"] {
            let words = [
                "-p",
                name,
                "env",
                "--no-start",
                "--shell",
                "bash",
                "--from",
                from,
            ];
            let out = sandbox.devnet(&words);
            assert_eq!(out.stdout, "false;\n", "{driver} {network}: {out}");
            let said = out.fails(row.code);
            assert!(said.contains(&row.at), "{driver} {network}: {said}");
        }
        assert!(!asked.exists(), "{driver} {network}: minikube was run");
        if driver == "kvm2" {
            // by its name it is, and its side effects are told
            let words = ["-p", name, "env", "--from", "minikube", "--shell", "bash"];
            let said = sandbox.devnet(&words).stderr;
            assert!(
                said.contains("nerdctld") && said.contains(".bashrc"),
                "{said}"
            );
            assert!(asked.exists());
        }
    }
    forwarded::remove(&testbed, "host", &[name]);
}
