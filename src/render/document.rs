//! A snapshot for programs: JSON, YAML, tab-separated lines, names.

use std::fmt::Write as _;

use serde::Serialize;

use crate::error::Result;
use crate::pod::Pod;
use crate::visible::field;

/// A document as JSON, for people's eyes too.
///
/// # Errors
/// When serde can't write it.
pub(crate) fn json<T: Serialize>(document: &T) -> Result<String> {
    Ok(crate::json::pretty(document)? + "\n")
}

/// A document as JSON in one line.
///
/// # Errors
/// When serde can't write it.
pub(crate) fn json_line<T: Serialize>(document: &T) -> Result<String> {
    Ok(crate::json::line(document)? + "\n")
}

/// A document as YAML.
///
/// # Errors
/// When serde can't write it.
pub(crate) fn yaml<T: Serialize>(document: &T) -> Result<String> {
    crate::yaml::write(document)
}

/// `namespace/name`, a line for each pod.
pub(crate) fn names(pods: &[Pod]) -> String {
    let mut text = String::new();
    for pod in pods {
        // a name can't carry a line break into the list
        let _infallible = writeln!(text, "{}/{}", field(&pod.namespace), field(&pod.name));
    }
    text
}

/// A line for each container, with a head; empty fields are unknown.
pub(crate) fn tsv(pods: &[Pod]) -> String {
    let mut text = String::from(
        "node\tnamespace\tpod\tcontainer\tkind\tstate\tip\trestarts\tpid\tnet\tsandbox\tid\timage\n",
    );
    for pod in pods {
        let ip = pod.ips.first().map(String::as_str).unwrap_or_default();
        let sandbox = pod.sandbox.as_ref();
        let mut line = |cells: [&str; 8]| {
            let [container, kind, state, restarts, pid, net, id, image] = cells;
            let all = [
                &pod.node,
                &pod.namespace,
                &pod.name,
                container,
                kind,
                state,
                ip,
                restarts,
                pid,
                net,
                sandbox.map(|s| s.id.as_str()).unwrap_or_default(),
                id,
                image,
            ];
            text.push_str(&all.map(field).join("\t"));
            text.push('\n');
        };
        if let Some(sandbox) = sandbox {
            line([
                "",
                "sandbox",
                sandbox.state.word(),
                "",
                &number(sandbox.pid),
                &number(sandbox.namespaces.and_then(|n| n.net)),
                &sandbox.id,
                &sandbox.image,
            ]);
        }
        for container in &pod.containers {
            line([
                &container.name,
                &container.kind,
                container.state.word(),
                &number(container.restarts),
                &number(container.pid),
                &number(container.namespaces.and_then(|n| n.net)),
                &container.id,
                &container.image,
            ]);
        }
    }
    text
}

fn number(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
