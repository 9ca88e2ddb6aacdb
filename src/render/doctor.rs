//! The doctor's findings, for a person.

use std::fmt::Write as _;

use super::remedy::worded;
use super::{Style, Tone};
use crate::docker_env::diagnosis::Report;
use crate::finding::Severity;
use crate::runtime_kind::RuntimeKind;
use crate::wording::{SOME, counted, grouped, listed};

/// The nodes, a line each; the findings, each with what was seen and the fix.
pub(crate) fn text(report: &Report, style: Style) -> String {
    let mut text = format!("{}\n", style.text(&report.decided_by));
    for node in &report.nodes {
        let answer = if node.answers {
            let or_unknown =
                |value: &Option<String>| style.text(value.as_deref().unwrap_or("unknown"));
            format!(
                "{} {}, API {}",
                node.runtime,
                or_unknown(&node.version),
                or_unknown(&node.api_version)
            )
        } else {
            style.paint("no answer", Tone::Bad)
        };
        let (name, endpoint) = (
            style.name(&node.name, style.room_for_names()),
            style.text(node.endpoint.as_deref().unwrap_or("(nowhere)")),
        );
        let _infallible = writeln!(text, "  {name}  {endpoint}  {answer}");
    }
    if report.findings.is_empty() {
        let _infallible = writeln!(text, "{}: nothing found", style.paint("ok", Tone::Good));
    }
    // what is the same on several nodes is said once
    let groups = grouped(report.findings.iter().collect(), |finding| {
        (finding.code, finding.message.as_str(), &finding.remedy)
    });
    for group in groups {
        let Some(finding) = group.first() else {
            continue;
        };
        let (word, tone) = match finding.severity {
            Severity::Error => ("error", Tone::Bad),
            Severity::Warning => ("warning", Tone::Odd),
            Severity::Info => ("info", Tone::Dim),
        };
        let head = style.paint(&format!("{word} {}", finding.code), tone);
        let nodes: Vec<String> = group
            .iter()
            .filter_map(|finding| finding.node.as_ref())
            .map(|node| style.name(node, style.room_for_names()))
            .collect();
        let on = match group.len() {
            1 => String::new(),
            several => format!(" ({}: {})", counted(several, "node"), listed(&nodes, SOME)),
        };
        let _infallible = writeln!(text, "\n{head}: {}{on}", style.text(&finding.message));
        let mut evidence: Vec<&String> =
            group.iter().flat_map(|finding| &finding.evidence).collect();
        evidence.dedup();
        for line in super::first_of(&evidence, |line| style.text(line)) {
            let line = style.paint(&line, Tone::Dim);
            let _infallible = writeln!(text, "  seen  {line}");
        }
        let _infallible = writeln!(
            text,
            "  fix   {}",
            style.text(&worded(&finding.remedy, RuntimeKind::Docker))
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker_env::diagnosis::CheckedNode;
    use crate::finding::Finding;

    #[test]
    fn many_nodes_with_one_fault_say_it_once_and_lists_are_cut() {
        let name = |n: usize| format!("{}-m{n:02}", "cluster".repeat(12));
        let finding = |n: usize| {
            let mut finding = Finding::new(
                "clock-skew",
                Severity::Warning,
                "the node's clock is 90 s behind",
                "set the clock",
            );
            finding.node = Some(name(n));
            finding.seen("the engine's own time against this computer's")
        };
        let mut left = Finding::new("leftovers", Severity::Warning, "left", "devnet clean");
        left.evidence = (0..31)
            .map(|n| format!("container devnet-shell-{n:04}\u{202e}"))
            .collect();
        let report = Report {
            schema: 1,
            profile: Some("cluster".into()),
            decided_by: "minikube profile `cluster` (--profile)".into(),
            nodes: (0..2)
                .map(|n| CheckedNode {
                    name: name(n),
                    endpoint: Some("tcp://127.0.0.2:2376".into()),
                    runtime: RuntimeKind::Docker,
                    answers: true,
                    version: Some("28.0.1\nerror: forged".into()),
                    api_version: None,
                })
                .collect(),
            findings: (0..9).map(finding).chain([left]).collect(),
        };
        let style = Style {
            color: false,
            unicode: true,
            columns: 80,
        };
        insta::assert_snapshot!(text(&report, style));
    }
}
