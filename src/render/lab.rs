//! The lab's own views: its pods, and what was proved on it.

use super::table::{Cell, lay_out};
use super::{Style, Tone};
use crate::lab::claim::Proof;
use crate::lab::member::{Found, LabPod};
use crate::visible::field;
use crate::wording::{MANY, counted, listed};

/// A line for each pod.
pub(crate) fn pods(pods: &[LabPod], style: Style) -> String {
    let rows: Vec<Vec<Cell>> = pods.iter().map(row).collect();
    lay_out(&["POD", "IP", "SANDBOX", "CONTAINERS"], &rows, style)
}

fn row(pod: &LabPod) -> Vec<Cell> {
    let said = |one: &Found| format!("{} (attempt {})", one.state, one.attempt());
    let containers: Vec<String> = pod
        .current()
        .map(|(name, one)| field(&format!("{name} {}", said(one))))
        .collect();
    let sandbox = pod.sandbox();
    let alive = sandbox.is_some_and(Found::is_alive);
    vec![
        Cell::plain(field(&pod.full_name())),
        Cell::plain(
            sandbox
                .and_then(Found::address)
                .map_or_else(|| "-".into(), |address| address.to_string()),
        ),
        Cell::new(
            sandbox.map_or_else(|| "gone".into(), said),
            if alive { Tone::Plain } else { Tone::Bad },
        ),
        Cell::plain(listed(&containers, MANY)),
    ]
}

/// Each claim with its verdict, and under it what was seen.
pub(crate) fn proofs(proofs: &[Proof], style: Style) -> String {
    let mut lines = Vec::new();
    for proof in proofs {
        let (word, tone) = match (proof.holds, proof.expected) {
            (None, _) => ("unknown", Tone::Odd),
            (Some(true), true) => ("holds", Tone::Good),
            (Some(true), false) => ("holds, unexpectedly", Tone::Odd),
            (Some(false), true) => ("FAILS", Tone::Bad),
            (Some(false), false) => ("not on Docker", Tone::Odd),
        };
        let word = style.paint(word, tone);
        lines.push(format!("{word}: {}\n", proof.claim));
        let seen = super::first_of(&proof.evidence, |seen| style.sentence(seen));
        lines.extend(
            seen.iter()
                .map(|seen| format!("    {}\n", style.paint(seen, Tone::Dim))),
        );
    }
    let held = proofs
        .iter()
        .filter(|proof| proof.holds == Some(true))
        .count();
    lines.push(format!(
        "{held} of {} {}\n",
        counted(proofs.len(), "claim"),
        if proofs.len() == 1 { "holds" } else { "hold" }
    ));
    lines.concat()
}
