//! `devnet kill` for people: what a pod that is back kept, and what changed.

use crate::pod::{Comeback, short};

/// The line that says it; `container` is the one that was killed, none is the sandbox.
pub(crate) fn line(pod: &str, container: Option<&str>, comeback: &Comeback) -> String {
    let (before, after) = (&comeback.before, &comeback.after);
    let kept = comeback.kept();
    let attempt = comeback.attempt.map_or_else(
        || "the next attempt".to_owned(),
        |number| format!("attempt {number}"),
    );
    let sandbox = |id: &Option<String>| {
        let id = id.as_deref();
        id.map_or_else(|| "none".to_owned(), |id| short(id).to_owned())
    };
    let sandboxes = format!(
        "{} -> {}",
        sandbox(&before.sandbox_id),
        sandbox(&after.sandbox_id)
    );
    let mut parts = vec![match container {
        Some(name) if kept.sandbox => format!(
            "{attempt} of {name} runs in the same sandbox {}",
            sandbox(&after.sandbox_id)
        ),
        Some(name) => format!("{attempt} of {name} runs in another sandbox ({sandboxes})"),
        None => {
            let names: Vec<&str> = after
                .containers
                .iter()
                .map(|one| one.name.as_str())
                .collect();
            let with = if names.is_empty() {
                String::new()
            } else {
                format!(" with {}", names.join(", "))
            };
            format!("{attempt} of the sandbox runs{with} ({sandboxes})")
        }
    }];
    if comeback.host_network {
        parts.push("its network is the node's, as before".to_owned());
    } else {
        parts.push(match kept.ip {
            Some(true) => format!("IP {} kept", after.ips.join(" ")),
            Some(false) => format!(
                "IP changed {} -> {}",
                before.ips.join(" "),
                after.ips.join(" ")
            ),
            None => "its IP is not known".to_owned(),
        });
        if let (Some(before), Some(after)) = (&before.netns, &after.netns) {
            parts.push(if before == after {
                format!("network namespace {after} kept")
            } else {
                format!("network namespace changed {before} -> {after}")
            });
        }
    }
    format!("{pod}: {}", parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::{RunningContainer, Standing};

    fn standing(sandbox: &str, ip: &str, netns: &str) -> Standing {
        Standing {
            sandbox_id: Some(sandbox.to_owned()),
            ips: vec![ip.to_owned()],
            netns: Some(netns.to_owned()),
            containers: vec![RunningContainer {
                name: "web".to_owned(),
                id: "c".to_owned(),
                attempt: Some(1),
            }],
        }
    }

    #[test]
    fn what_was_kept_and_what_changed_is_said() {
        let mut comeback = Comeback {
            attempt: Some(1),
            before: standing("s0", "10.1.0.5", "/run/netns/a"),
            after: standing("s0", "10.1.0.5", "/run/netns/a"),
            host_network: false,
        };
        assert_eq!(
            line("default/web", Some("web"), &comeback),
            "default/web: attempt 1 of web runs in the same sandbox s0; IP 10.1.0.5 kept; \
             network namespace /run/netns/a kept"
        );
        comeback.after = standing("s1", "10.1.0.6", "/run/netns/b");
        let changed = "(s0 -> s1); IP changed 10.1.0.5 -> 10.1.0.6; \
                       network namespace changed /run/netns/a -> /run/netns/b";
        assert_eq!(
            line("default/web", None, &comeback),
            format!("default/web: attempt 1 of the sandbox runs with web {changed}")
        );
        assert_eq!(
            line("default/web", Some("web"), &comeback),
            format!("default/web: attempt 1 of web runs in another sandbox {changed}")
        );
        comeback.host_network = true;
        assert_eq!(
            line("default/web", None, &comeback),
            "default/web: attempt 1 of the sandbox runs with web (s0 -> s1); \
             its network is the node's, as before"
        );
    }

    #[test]
    fn an_address_that_is_not_known_is_not_claimed() {
        let mut comeback = Comeback {
            attempt: None,
            before: standing("s0", "10.1.0.5", "/run/netns/a"),
            after: standing("s0", "", ""),
            host_network: false,
        };
        comeback.after.ips.clear();
        comeback.after.netns = None;
        assert_eq!(
            line("default/web", Some("web"), &comeback),
            "default/web: the next attempt of web runs in the same sandbox s0; \
             its IP is not known"
        );
    }
}
