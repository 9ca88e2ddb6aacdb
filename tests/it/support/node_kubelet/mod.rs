//! A stand-in for the kubelet of a containerd node: pods with a kubelet's names, labels, files and
//! order of work, watched and made whole again.

mod configs;
mod sync;
mod wanted;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::containerd_node::ContainerdNode;
use super::cri::messages::{ContainerState, SandboxState};
use super::cri::{Cri, pid};
use super::until;
use sync::{Kept, attempt, name};
pub(crate) use wanted::{Container, Policy, Wanted};

const RUNNING: i32 = 1;

/// A pod on a node, gone with the test.
pub(crate) struct Pod<'a> {
    node: &'a ContainerdNode,
    cri: Cri,
    kept: Arc<Kept>,
    /// True while what ends is made anew.
    healed: Arc<AtomicBool>,
    /// Held by whoever works on the pod.
    at_work: Arc<Mutex<()>>,
    over: Arc<AtomicBool>,
    kubelet: Option<std::thread::JoinHandle<()>>,
}

impl<'a> Pod<'a> {
    /// Makes the pod; from then on what ends is made anew, at once and without a limit.
    pub(crate) fn up(node: &'a ContainerdNode, pod: Wanted) -> Self {
        let made = Self::made_once(node, pod);
        made.heal(true);
        made
    }

    /// Makes the pod, in which what ends stays so: as while the kubelet waits before it tries again,
    /// or while it does not run.
    pub(crate) fn made_once(node: &'a ContainerdNode, pod: Wanted) -> Self {
        let uid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
        let kept = Arc::new(Kept {
            pod,
            uid: uid.trim().into(),
            socket: node.socket(),
            var: node.folder().join("var"),
            trouble: Mutex::new(Vec::new()),
        });
        let cri = node.cri();
        until("the pod's containers are made", || kept.sync(&cri).unwrap());
        let healed = Arc::new(AtomicBool::new(false));
        let at_work = Arc::new(Mutex::new(()));
        let over = Arc::new(AtomicBool::new(false));
        let kubelet = {
            let (kept, healed) = (kept.clone(), healed.clone());
            let (at_work, over) = (at_work.clone(), over.clone());
            std::thread::spawn(move || {
                let cri = Cri::at(&kept.socket);
                while !over.load(Ordering::SeqCst) {
                    if healed.load(Ordering::SeqCst) {
                        let _working = at_work.lock();
                        // a runtime that is away comes back
                        let _again = kept.sync(&cri);
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            })
        };
        Self {
            node,
            cri,
            kept,
            healed,
            at_work,
            over,
            kubelet: Some(kubelet),
        }
    }

    /// Says that what ends from now on is made anew, or stays as it is.
    pub(crate) fn heal(&self, healed: bool) {
        self.healed.store(healed, Ordering::SeqCst);
        // what was begun is done first
        drop(self.at_work.lock());
    }

    /// Makes what has ended anew, once: one that ends at once is not made a second time.
    pub(crate) fn make_again(&self) {
        let _working = self.at_work.lock();
        self.kept.sync(&self.cri).unwrap();
    }

    pub(crate) fn uid(&self) -> &str {
        &self.kept.uid
    }

    /// The reasons for which containers were not made or not started.
    pub(crate) fn trouble(&self) -> Vec<String> {
        self.kept.trouble.lock().unwrap().clone()
    }

    /// The IDs of all its sandboxes, newest first.
    pub(crate) fn sandboxes(&self) -> Vec<String> {
        let found = self.cri.sandboxes(&self.kept.labels()).unwrap();
        found.into_iter().map(|sandbox| sandbox.id).collect()
    }

    /// Makes another sandbox beside the one that runs, and gives its ID.
    pub(crate) fn make_second_sandbox(&self) -> String {
        let attempt = u32::try_from(self.sandboxes().len()).unwrap();
        let config = configs::sandbox(&self.kept.pod, &self.kept.uid, attempt);
        self.cri.run_sandbox(config).unwrap()
    }

    /// Makes one more container in the newest sandbox, and does not start it.
    pub(crate) fn make_container(&self, container: &Container) {
        let made = self
            .kept
            .create(&self.cri, &self.sandboxes()[0], container, None);
        assert!(made.unwrap().is_some(), "{:?}", self.trouble());
    }

    /// The newest sandbox.
    pub(crate) fn sandbox(&self) -> SandboxState {
        let newest = &self.sandboxes()[0];
        self.cri.sandbox(newest).unwrap().status.unwrap()
    }

    pub(crate) fn ip(&self) -> String {
        self.sandbox().network.unwrap_or_default().ip
    }

    /// The process of the newest sandbox, as the node numbers it.
    pub(crate) fn pause_pid(&self) -> u32 {
        pid(&self.cri.sandbox(&self.sandboxes()[0]).unwrap().info)
    }

    /// The IDs of a container's attempts, newest first.
    pub(crate) fn attempts(&self, container: &str) -> Vec<String> {
        let found = self.cri.containers(&self.kept.labels()).unwrap();
        let own = found.into_iter().filter(|one| name(one) == container);
        own.map(|one| one.id).collect()
    }

    /// The newest attempt of a container.
    pub(crate) fn container(&self, container: &str) -> ContainerState {
        let newest = &self.attempts(container)[0];
        self.cri.container(newest).unwrap().status.unwrap()
    }

    /// The process of the newest attempt of a container, as the node numbers it.
    pub(crate) fn pid(&self, container: &str) -> u32 {
        pid(&self
            .cri
            .container(&self.attempts(container)[0])
            .unwrap()
            .info)
    }

    /// Ends the process of a container as the kernel does when memory is short.
    pub(crate) fn kill(&self, container: &str) {
        self.node
            .run(&["kill", "-KILL", &self.pid(container).to_string()])
            .ok();
    }

    /// Ends the process of the newest sandbox.
    pub(crate) fn kill_pause(&self) {
        self.node
            .run(&["kill", "-KILL", &self.pause_pid().to_string()])
            .ok();
    }

    /// Waits until that attempt of a container runs.
    pub(crate) fn until_attempt(&self, container: &str, number: u32) {
        until(&format!("attempt {number} of {container} runs"), || {
            let found = self.cri.containers(&self.kept.labels()).unwrap();
            let newest = found.iter().find(|one| name(one) == container);
            newest.is_some_and(|one| one.state == RUNNING && attempt(one) == number)
        });
    }

    /// Waits until the newest attempt of a container has ended, and gives it.
    pub(crate) fn until_ended(&self, container: &str) -> ContainerState {
        until(&format!("{container} has ended"), || {
            self.container(container).state > RUNNING
        });
        self.container(container)
    }

    /// Waits until a sandbox of that attempt is ready and every container runs in it.
    pub(crate) fn until_sandbox(&self, number: u32) {
        until(&format!("sandbox {number} holds all containers"), || {
            let sandboxes = self.cri.sandboxes(&self.kept.labels()).unwrap();
            let newest = &sandboxes[0];
            let is_it = newest
                .metadata
                .as_ref()
                .is_some_and(|metadata| metadata.attempt == number);
            let all = self.cri.containers(&self.kept.labels()).unwrap();
            let runs = |wanted: &&Container| {
                all.iter().any(|one| {
                    name(one) == wanted.name && one.sandbox == newest.id && one.state == RUNNING
                })
            };
            let mut apps = self.kept.pod.containers.iter().filter(|one| !one.init);
            is_it && newest.state == 0 && apps.all(|wanted| runs(&wanted))
        });
    }

    /// The log of a container's newest attempt, as this computer sees the file.
    pub(crate) fn log_file(&self, container: &str) -> PathBuf {
        self.kept.file(&self.container(container).log_path)
    }

    /// Waits until the newest attempt of a container has printed a text.
    pub(crate) fn until_it_says(&self, container: &str, text: &str) {
        let file = self.log_file(container);
        until(&format!("{container} says `{text}`"), || {
            std::fs::read_to_string(&file).is_ok_and(|log| log.contains(text))
        });
    }

    /// Ends the pod as a kubelet that is told to delete it, with the time it has to end.
    pub(crate) fn delete(&self) {
        self.heal(false);
        self.kept.remove(&self.cri, self.kept.pod.grace).unwrap();
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(kubelet) = self.kubelet.take() {
            drop(kubelet.join());
        }
        let removed = self.kept.remove(&self.cri, 0);
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}
