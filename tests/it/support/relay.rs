//! A port of this computer that leads to an engine elsewhere, as an engine forwards a node's port;
//! and a cluster that comes back on another such port.

use std::io::Write as _;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::Sandbox;

/// Listens until it is dropped.
pub(crate) struct Relay {
    pub(crate) port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Relay {
    /// A new port of 127.0.0.1 that leads to `target`.
    pub(crate) fn to(target: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            for client in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let client = client.unwrap();
                std::thread::spawn(move || pass(client, target));
            }
        });
        Self {
            port,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // wakes the listener up
        let _woken = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

pub(crate) fn pass(mut client: TcpStream, target: &str) {
    let Ok(mut server) = TcpStream::connect(target) else {
        return;
    };
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        let _cut = std::io::copy(&mut from, &mut to);
        let _closed = to.shutdown(Shutdown::Write);
    });
    let _cut = std::io::copy(&mut server, &mut client);
    let _flushed = client.flush();
    let _closed = client.shutdown(Shutdown::Both);
}

/// A minikube home of its own with one qemu profile, whose engine's port stands in the machine's
/// record and may move.
pub(crate) struct Cluster {
    home: PathBuf,
    name: String,
}

impl Cluster {
    /// Makes the profile `name` in the sandbox's own minikube home, with the testbed's certificates.
    pub(crate) fn new(sandbox: &Sandbox, testbed: &Path, name: &str) -> Self {
        let cluster = Self {
            home: sandbox.home().join(".minikube"),
            name: name.into(),
        };
        cluster.record(&format!("profiles/{name}"), &format!(
            r#"{{"Name":"{name}","Driver":"qemu2","Network":"builtin","KubernetesConfig":{{"ContainerRuntime":"docker"}},"Nodes":[{{"Name":"","IP":"10.0.2.15","ControlPlane":true}}]}}"#
        ));
        let certs = cluster.home.join("certs");
        std::fs::create_dir_all(&certs).unwrap();
        cluster.certs(&testbed.join("minikube/.minikube/certs"));
        cluster
    }

    /// The cluster has come up with its engine at this port.
    pub(crate) fn at(&self, port: u16) {
        self.record(
            &format!("machines/{}", self.name),
            &format!(
                r#"{{"Driver":{{"IPAddress":"127.0.0.1","EnginePort":{port},"SSHPort":4022,"SSHUser":"docker"}}}}"#
            ),
        );
    }

    /// Other certificates.
    pub(crate) fn certs(&self, from: &Path) {
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            std::fs::copy(from.join(file), self.home.join("certs").join(file)).unwrap();
        }
    }

    fn record(&self, folder: &str, text: &str) {
        let folder = self.home.join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.json"), text).unwrap();
    }
}
