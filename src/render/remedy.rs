//! The remedies of findings, in words: the commands of the node's runtime.

use crate::command_line;
use crate::finding::Remedy;
use crate::pod::short;
use crate::runtime_kind::RuntimeKind;

/// The remedy as a person reads it, on a node with this runtime.
pub(crate) fn worded(remedy: &Remedy, runtime: RuntimeKind) -> String {
    match remedy {
        Remedy::Advice(words) => words.clone(),
        Remedy::RestartLabPod { pod } => command_line::with("devnet lab restart", [pod]),
        Remedy::RemoveLabPod { pod } => {
            format!(
                "remove it: `{}`",
                command_line::with("devnet lab down", [pod])
            )
        }
        Remedy::DescribePod { namespace, name } => format!(
            "an image may be missing: `{}`",
            command_line::of(["kubectl", "-n", namespace, "describe", "pod", name])
        ),
        Remedy::ReadPrevious { pod, container } => {
            command_line::with("devnet logs", [pod.as_str(), container, "--previous"])
        }
        Remedy::ShowPorts { pod } => format!(
            "the program may have ended since: `{}`",
            command_line::with("devnet ports", [pod])
        ),
        Remedy::ShowDns => "is the DNS pod up? `devnet pods -n kube-system`".into(),
        Remedy::Unpin { path } => format!("on the node: umount {path} && rm {path}"),
        Remedy::LetGoOn
        | Remedy::Continue { .. }
        | Remedy::Thaw { .. }
        | Remedy::EndContainer { .. }
        | Remedy::RestartContainer { .. }
        | Remedy::RemoveSandbox { .. } => match runtime {
            RuntimeKind::Docker => of_docker(remedy),
            RuntimeKind::Containerd => of_containerd(remedy),
            RuntimeKind::CriO => of_crio(remedy),
        },
    }
}

/// The command of the docker client for a remedy.
fn of_docker(remedy: &Remedy) -> String {
    let on = |command: &str, id: &str| command_line::with(command, [short(id)]);
    match remedy {
        Remedy::Continue { id } => on("docker kill -s CONT", id),
        Remedy::Thaw { ids, of_cluster } => {
            let unpause = command_line::with("docker unpause", ids.iter().map(|id| short(id)));
            if *of_cluster {
                format!("`minikube unpause`, or `{unpause}`")
            } else {
                unpause
            }
        }
        Remedy::EndContainer { id } => format!(
            "`{}`: the kubelet then makes the pod anew, with another IP",
            on("docker kill", id)
        ),
        Remedy::RestartContainer { id } => on("docker restart", id),
        Remedy::RemoveSandbox { id } => {
            format!("remove the older one: `{}`", on("docker rm -f", id))
        }
        _ => "let the program go on: `docker unpause`, or `kill -CONT`".into(),
    }
}

/// The command of a containerd node's own programs for a container: ctr takes whole IDs.
fn of_containerd(remedy: &Remedy) -> String {
    const TASKS: &str = "sudo ctr -n k8s.io tasks";
    let on_node = |command: &str, id: &str| {
        let command = command_line::with(command, [id]);
        format!("on the node: `{command}`")
    };
    match remedy {
        Remedy::Continue { id } => on_node(&format!("{TASKS} kill -s SIGCONT"), id),
        Remedy::Thaw { ids, of_cluster } => {
            let resume = format!("{TASKS} resume");
            let all = ids.iter().map(|id| command_line::with(&resume, [id]));
            let all = all.collect::<Vec<_>>().join("; ");
            let unpause = if *of_cluster {
                "`minikube unpause`, or "
            } else {
                ""
            };
            format!("{unpause}on the node: `{all}`")
        }
        Remedy::EndContainer { id } => format!(
            "{}: the kubelet then makes the pod anew, with another IP",
            on_node("sudo crictl stop -t 0", short(id))
        ),
        Remedy::RestartContainer { id } => on_node("sudo crictl stop -t 0", short(id)),
        Remedy::RemoveSandbox { id } => format!(
            "remove the older one, {}",
            on_node("sudo crictl rmp -f", short(id))
        ),
        _ => format!("let the program go on: `{TASKS} resume` on the node, or `kill -CONT`"),
    }
}

/// The command of a cri-o node's own programs for a container. CRI has no signals: the first process
/// is found by it.
fn of_crio(remedy: &Remedy) -> String {
    let on_node = |command: &str, id: &str| {
        let command = command_line::with(command, [short(id)]);
        format!("on the node: `{command}`")
    };
    let go_on = |id: &str| {
        let id = command_line::of([short(id)]);
        format!(
            "sudo kill -CONT $(sudo crictl inspect -o go-template --template '{{{{.info.pid}}}}' {id})"
        )
    };
    match remedy {
        Remedy::Continue { id } => format!("on the node: `{}`", go_on(id)),
        Remedy::Thaw { ids, of_cluster } => {
            let resume = "sudo crun --root /run/crun resume";
            let all = ids.iter().map(|id| command_line::with(resume, [id]));
            let all = all.collect::<Vec<_>>().join("; ");
            let unpause = if *of_cluster {
                "`minikube unpause`, or "
            } else {
                ""
            };
            format!("{unpause}on the node: `{all}` (runc has its own folder, /run/runc)")
        }
        Remedy::EndContainer { id } => format!(
            "{}: the kubelet then makes the pod anew, with another IP",
            on_node("sudo crictl stop -t 0", id)
        ),
        Remedy::RestartContainer { id } => on_node("sudo crictl stop -t 0", id),
        Remedy::RemoveSandbox { id } => {
            format!(
                "remove the older one, {}",
                on_node("sudo crictl rmp -f", id)
            )
        }
        _ => "let the program go on: `kill -CONT` on the node".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_remedy_is_said_in_the_commands_of_a_docker_node() {
        let id = || "0123456789abcdef".to_owned();
        let pod = || "default/my web".to_owned();
        let name = || "web".to_owned();
        let thaw = |of_cluster| Remedy::Thaw {
            ids: vec![id(), "a".to_owned()],
            of_cluster,
        };
        for (remedy, words) in [
            ("do this".into(), "do this"),
            (
                Remedy::LetGoOn,
                "let the program go on: `docker unpause`, or `kill -CONT`",
            ),
            (
                Remedy::Continue { id: id() },
                "docker kill -s CONT 0123456789ab",
            ),
            (thaw(false), "docker unpause 0123456789ab a"),
            (
                thaw(true),
                "`minikube unpause`, or `docker unpause 0123456789ab a`",
            ),
            (
                Remedy::EndContainer { id: id() },
                "`docker kill 0123456789ab`: the kubelet then makes the pod anew, with another IP",
            ),
            (
                Remedy::RestartContainer { id: id() },
                "docker restart 0123456789ab",
            ),
            (
                Remedy::RemoveSandbox { id: id() },
                "remove the older one: `docker rm -f 0123456789ab`",
            ),
            (
                Remedy::Unpin {
                    path: "/run/netns/x".to_owned(),
                },
                "on the node: umount /run/netns/x && rm /run/netns/x",
            ),
            (
                Remedy::RestartLabPod { pod: pod() },
                "devnet lab restart 'default/my web'",
            ),
            (
                Remedy::RemoveLabPod { pod: pod() },
                "remove it: `devnet lab down 'default/my web'`",
            ),
            (
                Remedy::DescribePod {
                    namespace: "default".to_owned(),
                    name: name(),
                },
                "an image may be missing: `kubectl -n default describe pod web`",
            ),
            (
                Remedy::ReadPrevious {
                    pod: pod(),
                    container: name(),
                },
                "devnet logs 'default/my web' web --previous",
            ),
            (
                Remedy::ShowPorts { pod: pod() },
                "the program may have ended since: `devnet ports 'default/my web'`",
            ),
            (
                Remedy::ShowDns,
                "is the DNS pod up? `devnet pods -n kube-system`",
            ),
        ] {
            assert_eq!(worded(&remedy, RuntimeKind::Docker), words);
        }
    }
}
