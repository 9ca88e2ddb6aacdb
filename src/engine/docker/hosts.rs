//! A pod's addresses from the `/etc/hosts` that the kubelet writes for its containers: those that
//! it knew when the container was made (kubelet `pkg/kubelet/kubelet_pods.go`).

/// The addresses of the pod itself; empty where the kubelet did not write the file, or wrote it
/// for a pod on the node's network.
pub(super) fn addresses_in_hosts(text: &str) -> Vec<String> {
    let mut lines = text.lines();
    if lines.next().map(str::trim) != Some("# Kubernetes-managed hosts file.") {
        return Vec::new();
    }
    lines
        // what comes after was written by the pod's author
        .take_while(|line| !line.starts_with("# Entries added by HostAliases"))
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .filter(|address| !is_fixed(address))
        .map(|address| address.to_string())
        .collect()
}

/// Addresses that stand in every such file.
fn is_fixed(address: &std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(v4) => v4.is_loopback(),
        std::net::IpAddr::V6(v6) => {
            v6.is_loopback() || v6.is_multicast() || v6.segments()[0] & 0xff00 == 0xfe00
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIXED: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
        fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";

    #[test]
    fn the_last_lines_before_host_aliases_are_the_pods() {
        let text = format!(
            "# Kubernetes-managed hosts file.\n{FIXED}10.244.0.12\tweb-0.svc web-0\nfd00:10:244::c\tweb-0\n\n\
             # Entries added by HostAliases.\n10.9.9.9\tfoo\n"
        );
        assert_eq!(addresses_in_hosts(&text), ["10.244.0.12", "fd00:10:244::c"]);
    }

    #[test]
    fn a_file_that_the_kubelet_did_not_write_says_nothing() {
        assert!(addresses_in_hosts("127.0.0.1 localhost\n10.0.0.1 me\n").is_empty());
        let host = "# Kubernetes-managed hosts file (host network).\n10.0.0.1 me\n";
        assert!(addresses_in_hosts(host).is_empty());
    }
}
