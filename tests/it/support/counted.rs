//! A relay in front of a node's sshd that counts what passes.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::Sandbox;
use super::containerd_node::ContainerdNode;

/// The way to a node's sshd through which everything is counted.
pub(crate) struct Counted {
    port: u16,
    passed: Arc<Mutex<Passed>>,
}

/// The traffic so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passed {
    pub(crate) connections: usize,
    /// The times that devnet spoke after it had heard something.
    pub(crate) turns: usize,
    pub(crate) bytes: usize,
    node_spoke_last: bool,
}

impl Counted {
    pub(crate) fn to(node: &ContainerdNode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let passed: Arc<Mutex<Passed>> = Arc::default();
        let (all, address) = (Arc::clone(&passed), node.address());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, node) = (client?, TcpStream::connect((address.as_str(), 22))?);
                all.lock().unwrap().connections += 1;
                for end in [&client, &node] {
                    end.set_nodelay(true)?;
                }
                let (from, to) = (client.try_clone()?, node.try_clone()?);
                let count = Arc::clone(&all);
                std::thread::spawn(move || pass(from, to, &count, false));
                let count = Arc::clone(&all);
                std::thread::spawn(move || pass(node, client, &count, true));
            }
            Ok::<_, std::io::Error>(())
        });
        Self { port, passed }
    }

    pub(crate) fn passed(&self) -> Passed {
        *self.passed.lock().unwrap()
    }

    /// Counts from nothing.
    pub(crate) fn forget(&self) {
        *self.passed.lock().unwrap() = Passed::default();
    }

    /// A sandbox with the key and the host key of the node, as a person has them.
    pub(crate) fn sandbox(&self, node: &ContainerdNode) -> Sandbox {
        let sandbox = Sandbox::bare();
        let folder = sandbox.home().join(".ssh");
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(node.key(), folder.join("id_rsa")).unwrap();
        let key = std::fs::read_to_string(node.folder().join("keys/host_ed25519.pub")).unwrap();
        let known = format!("[127.0.0.1]:{} {key}", self.port);
        std::fs::write(folder.join("known_hosts"), known).unwrap();
        sandbox
    }

    /// The node's runtime, this way.
    pub(crate) fn url(&self) -> String {
        format!(
            "ssh://docker@127.0.0.1:{}/run/containerd/containerd.sock",
            self.port
        )
    }
}

/// Hands on what comes until it ends.
fn pass(mut from: TcpStream, mut to: TcpStream, passed: &Mutex<Passed>, of_node: bool) {
    let mut piece = [0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        {
            let mut passed = passed.lock().unwrap();
            passed.bytes += length;
            passed.turns += usize::from(passed.node_spoke_last && !of_node);
            passed.node_spoke_last = of_node;
        }
        if to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    // either end that goes takes the other along
    let _gone = from.shutdown(Shutdown::Both);
    let _gone = to.shutdown(Shutdown::Both);
}
