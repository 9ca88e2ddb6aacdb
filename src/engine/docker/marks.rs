//! The traces of a Docker engine itself in its node's kernel.

use crate::netns::RuntimeMarks;

pub(in crate::engine) const MARKS: RuntimeMarks = RuntimeMarks {
    programs: &["dockerd", "containerd"],
    // in networks of a user's own
    resolver: Some("127.0.0.11"),
    is_own_netns,
};

/// Docker pins the node's own network as `default`; swarm keeps some that no container is in.
fn is_own_netns(path: &str) -> bool {
    let Some((folder, name)) = path.rsplit_once('/') else {
        return false;
    };
    folder.ends_with("/netns")
        && (name == "default"
            || name == "ingress_sbox"
            || name.starts_with("lb_")
            || name.starts_with("1-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_pinned_namespaces_only_those_of_the_engines_own_names_are_its_own() {
        for own in ["default", "ingress_sbox", "lb_x9yz", "1-abc"] {
            assert!(is_own_netns(&format!("/run/docker/netns/{own}")), "{own}");
        }
        for other in [
            "/run/docker/netns/0123456789ab",
            "/run/x/default",
            "default",
        ] {
            assert!(!is_own_netns(other), "{other}");
        }
    }
}
