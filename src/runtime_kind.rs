//! The container runtimes that a node may have, by the names that minikube and the contract give them.

use serde::Serialize;

/// The socket of the Docker engine that devnet runs on a containerd node; root's.
pub(crate) const NODE_DOCKER_SOCKET: &str = "/run/devnet/docker.sock";

/// The socket of the Docker API of a cri-o node's podman; root's, or a group's that minikube's login is in.
pub(crate) const PODMAN_SOCKET: &str = "/run/podman/podman.sock";

/// A container runtime, by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) enum RuntimeKind {
    #[default]
    #[serde(rename = "docker")]
    Docker,
    #[serde(rename = "containerd")]
    Containerd,
    #[serde(rename = "cri-o")]
    CriO,
}

impl RuntimeKind {
    /// Reads minikube's word for a profile's runtime; `None` for a runtime that devnet
    /// does not speak to.
    pub(crate) fn of_minikube(word: &str) -> Option<Self> {
        match word {
            // profiles of old minikubes leave it out
            "" | "docker" => Some(Self::Docker),
            "containerd" => Some(Self::Containerd),
            // minikube keeps the word that it was given
            "crio" | "cri-o" => Some(Self::CriO),
            _ => None,
        }
    }

    /// True where containers of a pod have the sandbox's UTS namespace. Docker can't join one.
    pub(crate) fn joins_uts(self) -> bool {
        match self {
            Self::Docker => false,
            Self::Containerd | Self::CriO => true,
        }
    }

    /// The socket of its node at which it answers, which only root may open.
    pub(crate) fn socket(self) -> &'static str {
        match self {
            Self::Docker => "/var/run/docker.sock",
            Self::Containerd => "/run/containerd/containerd.sock",
            Self::CriO => "/var/run/crio/crio.sock",
        }
    }
}

impl std::fmt::Display for RuntimeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minikubes_words_for_a_runtime_are_understood_and_others_are_not() {
        for (word, kind) in [
            ("", Some(RuntimeKind::Docker)),
            ("docker", Some(RuntimeKind::Docker)),
            ("containerd", Some(RuntimeKind::Containerd)),
            ("crio", Some(RuntimeKind::CriO)),
            ("cri-o", Some(RuntimeKind::CriO)),
            ("rkt", None),
        ] {
            assert_eq!(RuntimeKind::of_minikube(word), kind, "{word}");
        }
    }
}
