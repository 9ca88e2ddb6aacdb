//! `devnet check`: who reaches whom, as a matrix; the promises; and what is broken.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::table::{Cell as Field, lay_out};
use super::{Style, Tone, width};
use crate::netns::reach::{Cell, Outcome};
use crate::netns::reach_judge::Report;
use crate::ui::visible;

/// The whole report for a person.
pub(crate) fn report(report: &Report, style: Style) -> String {
    let mut text = matrix(report, style);
    if !text.is_empty() {
        let legend = "milliseconds; lo: from its own pod; refused: rejected; timeout: dropped; no-reply: UDP, which may be silent";
        text.push_str(&style.paint(legend, Tone::Dim));
        text.push_str("\n\n");
    }
    text.push_str(&super::lab::proofs(&report.promises, style));
    for what in &report.unseen {
        let label = style.paint("unknown:", Tone::Odd);
        let _infallible = writeln!(text, "{label} {}", visible(what));
    }
    for finding in &report.findings {
        let code = style.paint(finding.code, Tone::Bad);
        let _infallible = writeln!(text, "\n{code}: {}", visible(&finding.message));
        for seen in &finding.evidence {
            let _infallible = writeln!(text, "    {}", style.paint(&visible(seen), Tone::Dim));
        }
        if let Some(hint) = &finding.hint {
            let label = style.paint("hint:", Tone::Head);
            let _infallible = writeln!(text, "    {label} {}", visible(hint));
        }
    }
    text
}

/// Rows ask, columns listen. What does not fit beside each other goes below each other.
fn matrix(report: &Report, style: Style) -> String {
    let askers: Vec<usize> = {
        let all: BTreeSet<usize> = report.cells.iter().map(|cell| cell.asker).collect();
        all.into_iter().collect()
    };
    let mut tries: BTreeMap<(usize, usize), Vec<&Cell>> = BTreeMap::new();
    for cell in &report.cells {
        tries
            .entry((cell.asker, cell.port_place))
            .or_default()
            .push(cell);
    }
    let names = short_names(report);
    let name = |full: &str| style.text(names.get(full).map_or(full, String::as_str));
    let rows: Vec<(usize, String)> = askers
        .iter()
        .map(|asker| {
            let from = report.cells.iter().find(|cell| cell.asker == *asker);
            (*asker, name(from.map_or("", |cell| &cell.from)))
        })
        .collect();
    let columns: Vec<(usize, String)> = report
        .listeners
        .iter()
        .enumerate()
        .filter(|(place, _)| tries.keys().any(|(_, port)| port == place))
        .map(|(place, port)| {
            let proto = if port.proto == "tcp" {
                String::new()
            } else {
                format!("/{}", port.proto)
            };
            (
                place,
                format!("{}:{}{proto}", name(&port.pod_name), port.port),
            )
        })
        .collect();
    let head = "FROM \\ TO";
    let first = rows
        .iter()
        .map(|(_, name)| width(name))
        .chain([width(head)])
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    let mut left = columns.as_slice();
    while !left.is_empty() {
        let mut room = style.columns.saturating_sub(first);
        let mut fit = 0;
        for (_, label) in left {
            let needed = 2 + width(label).max(width("unreachable"));
            if fit > 0 && needed > room {
                break;
            }
            room = room.saturating_sub(needed);
            fit += 1;
        }
        let (block, rest) = left.split_at(fit);
        let mut heads = vec![head];
        heads.extend(block.iter().map(|(_, label)| label.as_str()));
        let lines: Vec<Vec<Field>> = rows
            .iter()
            .map(|(asker, name)| {
                let mut line = vec![Field::new(name.clone(), Tone::Head)];
                line.extend(block.iter().map(|(port, _)| {
                    let own = report.listeners[*port].pod == *asker;
                    tries
                        .get(&(*asker, *port))
                        .map_or_else(|| Field::new("-", Tone::Dim), |all| field(all, own))
                }));
                line
            })
            .collect();
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&lay_out(&heads, &lines, style));
        left = rest;
    }
    text
}

/// One try at each address of a listener, as one word: the worst; from its own pod, the best.
fn field(all: &[&Cell], own: bool) -> Field {
    let by_outcome = all.iter().map(|cell| cell.outcome);
    let outcome = if own {
        by_outcome.min()
    } else {
        by_outcome.max()
    };
    let outcome = outcome.unwrap_or(Outcome::Unknown);
    let broken = all
        .iter()
        .any(|cell| cell.outcome == outcome && cell.is_broken());
    let word = match outcome {
        Outcome::Ok => {
            let ms = all.iter().filter_map(|cell| cell.ms).fold(0.0, f64::max);
            let lo = if own { "lo " } else { "" };
            format!("{lo}{ms:.1}")
        }
        Outcome::Unknown => "?".into(),
        other => other.word().into(),
    };
    let tone = match outcome {
        Outcome::Ok => Tone::Good,
        _ if broken => Tone::Bad,
        _ => Tone::Dim,
    };
    Field::new(word, tone)
}

/// Pods by their bare names, where those are different.
fn short_names(report: &Report) -> BTreeMap<String, String> {
    let full: BTreeSet<&String> = report
        .cells
        .iter()
        .flat_map(|cell| [&cell.from, &cell.to])
        .collect();
    let bare = |full: &str| full.rsplit('/').next().unwrap_or(full).to_owned();
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for name in &full {
        *count.entry(bare(name)).or_default() += 1;
    }
    full.into_iter()
        .filter(|name| count[&bare(name)] == 1)
        .map(|name| (name.clone(), bare(name)))
        .collect()
}
