//! `devnet check`: who reaches whom, as a matrix; the promises; and what is broken.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::remedy::worded;
use super::table::{Cell as Field, lay_out};
use super::{Style, Tone, width};
use crate::netns::reach::{Cell, Outcome};
use crate::netns::reach_judge::Report;
use crate::runtime_kind::RuntimeKind;
use crate::visible::one_line;

/// The whole report for a person.
pub(crate) fn report(report: &Report, runtime: RuntimeKind, style: Style) -> String {
    let mut text = matrix(report, style);
    text.push_str(&super::lab::proofs(&report.promises, style));
    for what in super::first_of(&report.unseen, |what| style.sentence(what)) {
        let label = style.paint("unknown:", Tone::Odd);
        let _infallible = writeln!(text, "{label} {what}");
    }
    for finding in &report.findings {
        let code = style.paint(finding.code, Tone::Bad);
        let _infallible = writeln!(text, "\n{code}: {}", style.sentence(&finding.message));
        for seen in super::first_of(&finding.evidence, |seen| style.sentence(seen)) {
            let _infallible = writeln!(text, "    {}", style.paint(&seen, Tone::Dim));
        }
        let label = style.paint("hint:", Tone::Head);
        let hint = worded(&finding.remedy, runtime);
        let _infallible = writeln!(text, "    {label} {}", one_line(&hint));
    }
    text
}

/// Rows ask, columns listen. Where the listeners' names do not fit beside each other, numbers stand
/// for them, and what does not fit even so goes below.
fn matrix(report: &Report, style: Style) -> String {
    let askers: BTreeSet<usize> = report.cells.iter().map(|cell| cell.asker).collect();
    let mut tries: BTreeMap<(usize, usize), Vec<&Cell>> = BTreeMap::new();
    for cell in &report.cells {
        tries
            .entry((cell.asker, cell.port_index))
            .or_default()
            .push(cell);
    }
    let names = short_names(report);
    let name =
        |full: &str, room: usize| style.name(names.get(full).map_or(full, String::as_str), room);
    let room = (style.columns / 3).clamp(12, 40);
    let rows: Vec<(usize, String)> = askers
        .iter()
        .map(|asker| {
            let from = report.cells.iter().find(|cell| cell.asker == *asker);
            (*asker, name(from.map_or("", |cell| &cell.from), room))
        })
        .collect();
    let ports: Vec<usize> = (0..report.listeners.len())
        .filter(|index| tries.keys().any(|(_, port)| port == index))
        .collect();
    let labels: Vec<String> = ports
        .iter()
        .map(|index| {
            let port = &report.listeners[*index];
            let proto = if port.proto == "tcp" {
                String::new()
            } else {
                format!("/{}", style.text(&port.proto))
            };
            // the port must be seen whatever becomes of the name
            let end = format!(":{}{proto}", port.port);
            let room = style.columns.saturating_sub(6 + width(&end)).max(12);
            name(&port.pod_name, room) + &end
        })
        .collect();
    let mut fields: BTreeMap<(usize, usize), Field> = BTreeMap::new();
    for asker in &askers {
        for port in &ports {
            let own = report.listeners[*port].pod == *asker;
            let one = tries
                .get(&(*asker, *port))
                .map_or_else(|| Field::new("-", Tone::Dim), |all| field(all, own));
            fields.insert((*asker, *port), one);
        }
    }
    let head = "FROM \\ TO";
    let first = rows
        .iter()
        .map(|(_, name)| width(name))
        .chain([width(head)])
        .max()
        .unwrap_or(0);
    let widths = |labels: &[String]| -> Vec<usize> {
        let widest = |port: &usize| {
            askers
                .iter()
                .map(|asker| width(&fields[&(*asker, *port)].text))
                .max()
        };
        let of_one =
            |(port, label): (&usize, &String)| 2 + width(label).max(widest(port).unwrap_or(0));
        ports.iter().zip(labels).map(of_one).collect()
    };
    let in_one = first + widths(&labels).iter().sum::<usize>() <= style.columns;
    let heads: Vec<String> = if in_one {
        labels.clone()
    } else {
        (1..=labels.len())
            .map(|number| number.to_string())
            .collect()
    };
    let mut text = String::new();
    if !in_one {
        let longest = heads.last().map_or(0, |number| width(number));
        for (number, label) in heads.iter().zip(&labels) {
            let _infallible = writeln!(text, "{number:>longest$} = {label}");
        }
    }
    let columns: Vec<(usize, String, usize)> = ports
        .iter()
        .zip(&heads)
        .zip(widths(&heads))
        .map(|((port, head), width)| (*port, head.clone(), width))
        .collect();
    let mut left = columns.as_slice();
    while !left.is_empty() {
        let mut room = style.columns.saturating_sub(first);
        let fit = left
            .iter()
            .take_while(|(.., needed)| {
                let fits = *needed <= room;
                room = room.saturating_sub(*needed);
                fits
            })
            .count()
            .max(1);
        let (block, rest) = left.split_at(fit);
        let mut heads = vec![head];
        heads.extend(block.iter().map(|(_, label, _)| label.as_str()));
        let lines: Vec<Vec<Field>> = rows
            .iter()
            .map(|(asker, name)| {
                let mut line = vec![Field::new(name.clone(), Tone::Head)];
                line.extend(
                    block
                        .iter()
                        .map(|(port, ..)| fields[&(*asker, *port)].clone()),
                );
                line
            })
            .collect();
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&lay_out(&heads, &lines, style));
        left = rest;
    }
    if !text.is_empty() {
        let said: Vec<&str> = fields.values().map(|field| field.text.as_str()).collect();
        let legend = super::pods::wrapped(&legend(&said), 0, style);
        for line in legend.lines() {
            let _infallible = writeln!(text, "{}", style.paint(line, Tone::Dim));
        }
        text.push('\n');
    }
    text
}

/// The meaning of the words that stand in a matrix.
fn legend(said: &[&str]) -> String {
    let stands = |word: &str| said.contains(&word);
    let own = said.iter().any(|word| word.starts_with("lo "));
    let parts = [
        (true, "milliseconds"),
        (own, "lo: from its own pod"),
        (
            stands("-"),
            "-: nothing to try, it listens on its pod's loopback alone",
        ),
        (stands("?"), "?: could not be asked"),
        (stands("refused"), "refused: rejected"),
        (stands("timeout"), "timeout: dropped"),
        (stands("unreachable"), "unreachable: no way there"),
        (stands("frozen"), "frozen: taken and never answered"),
        (stands("no-reply"), "no-reply: UDP, which may be silent"),
    ];
    let parts: Vec<&str> = parts
        .iter()
        .filter(|(stands, _)| *stands)
        .map(|(_, part)| *part)
        .collect();
    parts.join("; ")
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

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
