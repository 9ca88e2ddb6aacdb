//! The manifest that `kubectl apply` leaves on a pod, where the pod itself was applied.

use serde_json::Value;

use super::{Origin, Pod};

/// The annotation that holds it.
pub(super) const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The manifest of a pod that a kubelet runs.
pub(super) fn manifest(pod: &Pod) -> Option<Value> {
    let text = pod.annotations.get(ANNOTATION)?;
    (pod.origin == Origin::Kubernetes).then(|| serde_json::from_str(text).ok())?
}
