//! A snapshot for programs: JSON, YAML, tab-separated lines, names.

use std::fmt::Write as _;

use serde::Serialize;

use super::remedy::worded;
use crate::docker_env::diagnosis;
use crate::error::Result;
use crate::finding::{Finding, Severity};
use crate::lab::claim::Proof;
use crate::netns::reach::{Cell, Listener, Resolver};
use crate::netns::reach_judge;
use crate::pod::{Node, Pod, Snapshot};
use crate::runtime_kind::RuntimeKind;
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

/// A snapshot of pods as JSON.
///
/// # Errors
/// As `json`.
pub(crate) fn pods_json(snapshot: &Snapshot) -> Result<String> {
    json(&of_pods(snapshot))
}

/// A snapshot of pods as JSON in one line.
///
/// # Errors
/// As `json_line`.
pub(crate) fn pods_json_line(snapshot: &Snapshot) -> Result<String> {
    json_line(&of_pods(snapshot))
}

/// A snapshot of pods as YAML.
///
/// # Errors
/// As `yaml`.
pub(crate) fn pods_yaml(snapshot: &Snapshot) -> Result<String> {
    yaml(&of_pods(snapshot))
}

/// A snapshot of pods, as a document.
#[derive(Serialize)]
struct SnapshotDocument<'a> {
    schema: u32,
    nodes: &'a [Node],
    pods: Vec<OfPod<'a>>,
    findings: Vec<PodFinding<'a>>,
}

#[derive(Serialize)]
struct OfPod<'a> {
    #[serde(flatten)]
    pod: &'a Pod,
    findings: Vec<PodFinding<'a>>,
}

#[derive(Serialize)]
struct PodFinding<'a> {
    code: &'a str,
    severity: Severity,
    message: &'a str,
    hint: String,
    subjects: &'a [String],
}

/// The document of a snapshot, with the remedies in words of its nodes' runtime.
fn of_pods(snapshot: &Snapshot) -> SnapshotDocument<'_> {
    let runtime = snapshot.runtime();
    let finding = |one| pod_finding(one, runtime);
    SnapshotDocument {
        schema: snapshot.schema,
        nodes: &snapshot.nodes,
        pods: snapshot
            .pods
            .iter()
            .map(|pod| OfPod {
                pod,
                findings: pod.findings.iter().map(finding).collect(),
            })
            .collect(),
        findings: snapshot.findings.iter().map(finding).collect(),
    }
}

fn pod_finding(one: &Finding, runtime: RuntimeKind) -> PodFinding<'_> {
    PodFinding {
        code: one.code,
        severity: one.severity,
        message: &one.message,
        hint: worded(&one.remedy, runtime),
        subjects: &one.subjects,
    }
}

/// A check's report, as a document.
#[derive(Serialize)]
pub(crate) struct CheckDocument<'a> {
    schema: u32,
    kept: Option<bool>,
    unseen: &'a [String],
    promises: &'a [Proof],
    findings: Vec<CheckFinding<'a>>,
    listeners: &'a [Listener],
    cells: &'a [Cell],
    dns: &'a [Resolver],
}

#[derive(Serialize)]
struct CheckFinding<'a> {
    code: &'a str,
    message: &'a str,
    evidence: &'a [String],
    hint: String,
    subjects: &'a [String],
}

/// The document of a check's report.
pub(crate) fn of_check(report: &reach_judge::Report, runtime: RuntimeKind) -> CheckDocument<'_> {
    CheckDocument {
        schema: report.schema,
        kept: report.kept,
        unseen: &report.unseen,
        promises: &report.promises,
        findings: report
            .findings
            .iter()
            .map(|one| check_finding(one, runtime))
            .collect(),
        listeners: &report.listeners,
        cells: &report.cells,
        dns: &report.dns,
    }
}

fn check_finding(one: &Finding, runtime: RuntimeKind) -> CheckFinding<'_> {
    CheckFinding {
        code: one.code,
        message: &one.message,
        evidence: &one.evidence,
        hint: worded(&one.remedy, runtime),
        subjects: &one.subjects,
    }
}

/// The doctor's report, as a document.
#[derive(Serialize)]
pub(crate) struct DoctorDocument<'a> {
    #[serde(flatten)]
    report: &'a diagnosis::Report,
    findings: Vec<DoctorFinding<'a>>,
}

#[derive(Serialize)]
struct DoctorFinding<'a> {
    code: &'a str,
    severity: Severity,
    node: Option<&'a str>,
    message: &'a str,
    evidence: &'a [String],
    fix: String,
}

/// The document of the doctor's report.
pub(crate) fn of_doctor(report: &diagnosis::Report) -> DoctorDocument<'_> {
    DoctorDocument {
        report,
        findings: report
            .findings
            .iter()
            .map(|one| DoctorFinding {
                code: one.code,
                severity: one.severity,
                node: one.node.as_deref(),
                message: &one.message,
                evidence: &one.evidence,
                fix: worded(&one.remedy, RuntimeKind::Docker),
            })
            .collect(),
    }
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
