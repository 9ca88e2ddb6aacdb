//! What the doctor found, for a person.

use std::fmt::Write as _;

use super::{Style, Tone};
use crate::docker_env::diagnosis::{Report, Severity};

/// The nodes, a line each; the findings, each with what was seen and the fix.
pub(crate) fn text(report: &Report, style: Style) -> String {
    let mut text = format!("{}\n", style.text(&report.decided_by));
    for node in &report.nodes {
        let answer = if node.answers {
            let or_unknown =
                |value: &Option<String>| style.text(value.as_deref().unwrap_or("unknown"));
            format!(
                "docker {}, API {}",
                or_unknown(&node.version),
                or_unknown(&node.api_version)
            )
        } else {
            style.paint("no answer", Tone::Bad)
        };
        let (name, endpoint) = (
            style.text(&node.name),
            style.text(node.endpoint.as_deref().unwrap_or("(nowhere)")),
        );
        let _infallible = writeln!(text, "  {name}  {endpoint}  {answer}");
    }
    if report.findings.is_empty() {
        let _infallible = writeln!(text, "{}: nothing found", style.paint("ok", Tone::Good));
    }
    for finding in &report.findings {
        let (word, tone) = match finding.severity {
            Severity::Error => ("error", Tone::Bad),
            Severity::Warning => ("warning", Tone::Odd),
            Severity::Info => ("info", Tone::Dim),
        };
        let head = style.paint(&format!("{word} {}", finding.code), tone);
        let _infallible = writeln!(text, "\n{head}: {}", style.text(&finding.message));
        for line in &finding.evidence {
            let line = style.paint(&style.text(line), Tone::Dim);
            let _infallible = writeln!(text, "  seen  {line}");
        }
        let _infallible = writeln!(text, "  fix   {}", style.text(&finding.fix));
    }
    text
}
