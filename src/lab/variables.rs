//! Variables of a pod's containers: fields of the pod (`fieldRef`) and references to one another.

use std::collections::BTreeMap;

use super::plan::PodContext;
use super::{Container, Pod, Text};

/// The variables of a container with their values, in the order of its manifest.
pub(super) fn environment(
    pod: &Pod,
    container: &Container,
    context: &PodContext,
) -> Vec<(String, String)> {
    let mut known: Vec<(String, String)> = Vec::new();
    for (name, text) in &container.environment {
        let value = match text {
            Text::Field(field) => self::field(field, pod, context).unwrap_or_default(),
            Text::Literal(text) => expand(text, &known),
        };
        known.retain(|(before, _)| before != name);
        known.push((name.clone(), value));
    }
    known
}

/// The value of a `fieldRef`; `None` for a field that the lab does not know.
pub(crate) fn field(field: &str, pod: &Pod, context: &PodContext) -> Option<String> {
    let own = if pod.host_network {
        context.gateway
    } else {
        context.address
    };
    let keyed = |map: &BTreeMap<String, String>, rest: &str| {
        let key = rest.strip_prefix("['")?.strip_suffix("']")?;
        Some(map.get(key).cloned().unwrap_or_default())
    };
    match field {
        "metadata.name" => Some(pod.name.clone()),
        "metadata.namespace" => Some(pod.namespace.clone()),
        "metadata.uid" => Some(context.uid.clone()),
        "spec.nodeName" => Some(context.node.clone()),
        "spec.serviceAccountName" => Some("default".into()),
        "status.hostIP" | "status.hostIPs" => Some(context.gateway.to_string()),
        "status.podIP" | "status.podIPs" => Some(own.to_string()),
        _ => field
            .strip_prefix("metadata.labels")
            .and_then(|rest| keyed(&pod.labels, rest))
            .or_else(|| {
                field
                    .strip_prefix("metadata.annotations")
                    .and_then(|rest| keyed(&pod.annotations, rest))
            }),
    }
}

/// Replaces `$(NAME)` by a variable's value; `$$(NAME)` stands for itself, and so does a name that
/// nobody set (Kubernetes' `third_party/forked/golang/expansion`).
pub(super) fn expand(text: &str, known: &[(String, String)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest
            .strip_prefix('(')
            .and_then(|inner| inner.split_once(')'))
        {
            if let Some((_, value)) = known.iter().find(|(known, _)| known == name) {
                out.push_str(value);
            } else {
                out.push_str("$(");
                out.push_str(name);
                out.push(')');
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded_as_kubernetes_does() {
        let known = [("A".to_owned(), "1".to_owned())];
        for (text, want) in [
            ("$(A)", "1"),
            ("x$(A)y", "x1y"),
            ("$$(A)", "$(A)"),
            ("$(B)", "$(B)"),
            ("$A $", "$A $"),
            ("$(A", "$(A"),
        ] {
            assert_eq!(expand(text, &known), want, "{text}");
        }
    }

    #[test]
    fn fields_of_the_pod_are_known_to_its_containers() {
        let pod = Pod {
            labels: BTreeMap::from([("app".to_owned(), "shop".to_owned())]),
            ..Pod::default()
        };
        let known = |name: &str| field(name, &pod, &PodContext::example());
        assert_eq!(known("status.podIP").unwrap(), "10.88.0.5");
        assert_eq!(known("metadata.labels['app']").unwrap(), "shop");
        assert_eq!(known("metadata.labels['none']").unwrap(), "");
        assert_eq!(known("status.phase"), None);
    }
}
