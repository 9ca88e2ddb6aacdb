//! A kubelet's work on one pod: it makes what is missing, once and again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use tonic::Status;

use super::configs;
use super::wanted::{Container, Policy, Wanted};
use crate::support::cri::Cri;
use crate::support::cri::messages::{ListedContainer, ListedSandbox};

const READY: i32 = 0;
const EXITED: i32 = 2;

/// A pod of a node's kubelet.
pub(super) struct Kept {
    pub(super) pod: Wanted,
    pub(super) uid: String,
    /// The node's containerd.
    pub(super) socket: PathBuf,
    /// The node's `/var`.
    pub(super) var: PathBuf,
    /// The reasons for which something is missing: a kubelet's waiting reasons and errors.
    pub(super) trouble: Mutex<Vec<String>>,
}

impl Kept {
    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        let uid = ("io.kubernetes.pod.uid".to_owned(), self.uid.clone());
        BTreeMap::from([uid])
    }

    /// A path of the node's as this computer sees it: what a kubelet writes lies below `/var`.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        self.var.join(path.strip_prefix("/var/").unwrap())
    }

    fn pod_folder(&self) -> String {
        format!("/var/lib/kubelet/pods/{}", self.uid)
    }

    fn complain(&self, what: String) {
        let mut trouble = self.trouble.lock().unwrap();
        if !trouble.contains(&what) {
            trouble.push(what);
        }
    }

    /// Does what is to be done now; `true` when every container that can be was made.
    pub(super) fn sync(&self, cri: &Cri) -> Result<bool, Status> {
        let sandboxes = cri.sandboxes(&self.labels())?;
        let Some(sandbox) = self.sandbox(cri, &sandboxes)? else {
            return Ok(true);
        };
        let all = cri.containers(&self.labels())?;
        let complete = self.containers(cri, &sandbox, &all)?;
        self.sweep(cri, &all, &sandboxes)?;
        Ok(complete)
    }

    /// The sandbox that is to hold the containers, made if the one before has ended.
    fn sandbox(&self, cri: &Cri, sandboxes: &[ListedSandbox]) -> Result<Option<String>, Status> {
        let newest = sandboxes.first();
        if let Some(sandbox) = newest.filter(|sandbox| sandbox.state == READY) {
            return Ok(Some(sandbox.id.clone()));
        }
        let mut attempt = 0;
        if let Some(dead) = newest {
            if self.pod.restarts == Policy::Never {
                return Ok(None);
            }
            // nobody of it outlives the sandbox
            for container in cri.containers(&self.labels())? {
                if container.sandbox == dead.id && container.state != EXITED {
                    cri.stop(&container.id, self.pod.grace)?;
                }
            }
            cri.stop_sandbox(&dead.id)?;
            attempt = dead
                .metadata
                .as_ref()
                .map_or(0, |metadata| metadata.attempt)
                + 1;
        }
        let folder = configs::log_folder(&self.pod, &self.uid);
        std::fs::create_dir_all(self.file(&folder))?;
        let id = cri.run_sandbox(configs::sandbox(&self.pod, &self.uid, attempt))?;
        let status = cri.sandbox(&id)?.status.unwrap_or_default();
        self.write_hosts(&status.network.unwrap_or_default().ip)?;
        Ok(Some(id))
    }

    fn hosts(&self) -> String {
        format!("{}/etc-hosts", self.pod_folder())
    }

    fn write_hosts(&self, ip: &str) -> Result<(), Status> {
        std::fs::create_dir_all(self.file(&self.pod_folder()))?;
        let own = if self.pod.host_network {
            String::new()
        } else {
            format!("{ip}\t{}\n", self.pod.name)
        };
        let text = format!(
            "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{own}"
        );
        Ok(std::fs::write(self.file(&self.hosts()), text)?)
    }

    fn containers(
        &self,
        cri: &Cri,
        sandbox: &str,
        all: &[ListedContainer],
    ) -> Result<bool, Status> {
        let (inits, apps): (Vec<_>, Vec<_>) =
            self.pod.containers.iter().partition(|wanted| wanted.init);
        let newest = |wanted: &Container| all.iter().find(|one| name(one) == wanted.name);
        let here = |wanted: &Container| newest(wanted).filter(|one| one.sandbox == sandbox);
        // once the others were made, those that run before them have done their part
        if !apps.iter().any(|app| here(app).is_some()) {
            for init in inits {
                let Some(last) = here(init) else {
                    self.make(cri, sandbox, init, newest(init))?;
                    return Ok(false);
                };
                if last.state != EXITED {
                    return Ok(false);
                }
                if self.failed(cri, &last.id)? {
                    if self.pod.restarts != Policy::Never {
                        self.make(cri, sandbox, init, Some(last))?;
                    }
                    return Ok(false);
                }
            }
        }
        for app in apps {
            let wanted = match here(app) {
                None => true,
                Some(last) if last.state != EXITED => false,
                Some(last) => match self.pod.restarts {
                    Policy::Always => true,
                    Policy::OnFailure => self.failed(cri, &last.id)?,
                    Policy::Never => false,
                },
            };
            if wanted {
                self.make(cri, sandbox, app, newest(app))?;
            }
        }
        Ok(true)
    }

    #[expect(clippy::unused_self, reason = "reads as the others do")]
    fn failed(&self, cri: &Cri, id: &str) -> Result<bool, Status> {
        let status = cri.container(id)?.status.unwrap_or_default();
        Ok(status.exit_code != 0)
    }

    /// Makes a container's next attempt and starts it. One that can't be started stays as it is.
    fn make(
        &self,
        cri: &Cri,
        sandbox: &str,
        wanted: &Container,
        last: Option<&ListedContainer>,
    ) -> Result<(), Status> {
        if let Some(id) = self.create(cri, sandbox, wanted, last)?
            && let Err(error) = cri.start(&id)
        {
            self.complain(format!("{}: {}", wanted.name, error.message()));
        }
        Ok(())
    }

    /// Makes a container's next attempt, and gives its ID; `None` where there is no such image.
    pub(super) fn create(
        &self,
        cri: &Cri,
        sandbox: &str,
        wanted: &Container,
        last: Option<&ListedContainer>,
    ) -> Result<Option<String>, Status> {
        let Some(image) = cri.image(&wanted.image)? else {
            self.complain(format!("{}: ErrImageNeverPull", wanted.name));
            return Ok(None);
        };
        let attempt = last.map_or(0, |last| attempt(last) + 1);
        let folder = format!("{}/containers/{}", self.pod_folder(), wanted.name);
        std::fs::create_dir_all(self.file(&folder))?;
        let last_words = format!("{folder}/{:08x}", 0x56be_b668_u32.wrapping_add(attempt));
        std::fs::write(self.file(&last_words), "")?;
        let logs = configs::log_folder(&self.pod, &self.uid);
        std::fs::create_dir_all(self.file(&format!("{logs}/{}", wanted.name)))?;
        let files = (self.hosts(), last_words);
        let config = configs::container(
            &self.pod,
            &self.uid,
            wanted,
            attempt,
            &image,
            (&files.0, &files.1),
        );
        let sandbox_config = configs::sandbox(&self.pod, &self.uid, 0);
        let id = cri.create(sandbox, config, sandbox_config)?;
        let link = format!(
            "/var/log/containers/{}_{}_{}-{id}.log",
            self.pod.name, self.pod.namespace, wanted.name
        );
        let file = format!("{logs}/{}/{attempt}.log", wanted.name);
        std::os::unix::fs::symlink(file, self.file(&link))?;
        Ok(Some(id))
    }

    /// Removes what has ended: of each container's attempts the newest stays, and of the sandboxes
    /// those that still hold one.
    fn sweep(
        &self,
        cri: &Cri,
        all: &[ListedContainer],
        sandboxes: &[ListedSandbox],
    ) -> Result<(), Status> {
        let mut kept: Vec<&ListedContainer> = Vec::new();
        for container in all {
            let one_is_kept = kept
                .iter()
                .any(|one| one.state == EXITED && name(one) == name(container));
            if container.state == EXITED && one_is_kept {
                cri.remove(&container.id)?;
                self.remove_logs(container);
            } else {
                kept.push(container);
            }
        }
        for sandbox in sandboxes.iter().skip(1) {
            let empty = !kept.iter().any(|one| one.sandbox == sandbox.id);
            if sandbox.state != READY && empty {
                cri.remove_sandbox(&sandbox.id)?;
            }
        }
        Ok(())
    }

    fn remove_logs(&self, container: &ListedContainer) {
        let folder = configs::log_folder(&self.pod, &self.uid);
        let (name, attempt) = (name(container), attempt(container));
        let _gone = std::fs::remove_file(self.file(&format!("{folder}/{name}/{attempt}.log")));
        let link = format!(
            "/var/log/containers/{}_{}_{name}-{}.log",
            self.pod.name, self.pod.namespace, container.id
        );
        let _gone = std::fs::remove_file(self.file(&link));
    }

    /// Ends the pod and removes all of it.
    pub(super) fn remove(&self, cri: &Cri, grace: i64) -> Result<(), Status> {
        for container in cri.containers(&self.labels())? {
            cri.stop(&container.id, grace)?;
            self.remove_logs(&container);
        }
        for sandbox in cri.sandboxes(&self.labels())? {
            cri.stop_sandbox(&sandbox.id)?;
            cri.remove_sandbox(&sandbox.id)?;
        }
        for folder in [self.pod_folder(), configs::log_folder(&self.pod, &self.uid)] {
            let _gone = std::fs::remove_dir_all(self.file(&folder));
        }
        Ok(())
    }
}

pub(super) fn name(container: &ListedContainer) -> &str {
    let metadata = container.metadata.as_ref();
    metadata.map_or("", |metadata| &metadata.name)
}

pub(super) fn attempt(container: &ListedContainer) -> u32 {
    let metadata = container.metadata.as_ref();
    metadata.map_or(0, |metadata| metadata.attempt)
}
