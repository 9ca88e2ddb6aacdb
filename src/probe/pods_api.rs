//! The address of the kubelet's Pods API, which devnet and its probe share.

/// The sockets at which a kubelet serves it: the one of its code and its documentation, and the one of
/// the enhancement proposal.
pub const SOCKETS: [&str; 2] = [
    "/var/lib/kubelet/pods-api/pods-api.sock",
    "/var/lib/kubelet/pods/kubelet.sock",
];

/// The path of the call that lists all pods.
pub const LIST_PODS: &str = "/v1alpha1.Pods/ListPods";
