//! The output of `devnet load`: the plan, and what was sent.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;

use crate::error::Kind;
use crate::image::digest::DiffId;
use crate::visible::field;
use crate::wording::counted;

/// The outcome of one image on one node; the contract's JSON.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) node: String,
    pub(crate) image: String,
    pub(crate) id: String,
    pub(crate) layers_total: usize,
    pub(crate) layers_sent: usize,
    pub(crate) bytes_total: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// Source and node are one engine.
    #[serde(skip)]
    pub(crate) same_engine: bool,
    /// It failed before a node was asked for anything.
    #[serde(skip)]
    pub(crate) never_begun: bool,
    #[serde(skip)]
    pub(crate) layers: Vec<LayerRow>,
    #[serde(skip)]
    pub(crate) hints: Vec<String>,
    #[serde(skip)]
    pub(crate) kind: Option<Kind>,
}

/// A layer in a plan.
#[derive(Clone, Debug)]
pub(crate) struct LayerRow {
    pub(crate) diff_id: String,
    /// `None`: not known.
    pub(crate) size: Option<u64>,
    pub(crate) have: bool,
}

impl LayerRow {
    /// All layers of an image, as if the node had them.
    pub(crate) fn all(layers: &[DiffId], sizes: &[Option<u64>]) -> Vec<Self> {
        let sizes = sizes.iter().copied().chain(std::iter::repeat(None));
        layers
            .iter()
            .zip(sizes)
            .map(|(layer, size)| Self {
                diff_id: layer.0.clone(),
                size,
                have: true,
            })
            .collect()
    }
}

/// The plan of `--dry-run`: for each image and node what happens, and to which layers.
pub(crate) fn plan(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let what = if row.same_engine {
            "the same engine: nothing to do".into()
        } else if let Some(error) = &row.error {
            field(error)
        } else if row.layers_sent == 0 {
            "has all layers".into()
        } else {
            let size = match row.bytes_sent {
                0 => String::new(),
                sent => format!(", {} of {}", bytes(sent), bytes(row.bytes_total)),
            };
            format!(
                "lacks {} of {}{size}",
                row.layers_sent,
                counted(row.layers_total, "layer")
            )
        };
        let (node, image) = (field(&row.node), field(&row.image));
        let _infallible = writeln!(text, "{node}  {image}  {what}");
        if row.same_engine || row.error.is_some() {
            continue;
        }
        for layer in &row.layers {
            let what = if layer.have { "have" } else { "send" };
            let size = layer.size.map_or_else(|| "?".into(), bytes);
            // as much of a digest as docker shows
            let short = layer.diff_id.get(..19).unwrap_or(&layer.diff_id);
            let _infallible = writeln!(text, "  {what}  {}  {size:>8}", field(short));
        }
    }
    text
}

/// A line for each image, or for each node on which it failed.
pub(crate) fn lines(rows: &[Row]) -> Vec<String> {
    let mut lines = Vec::new();
    let failed = rows.iter().filter(|row| row.error.is_some()).count();
    if rows.len() == failed && (failed == 1 || rows.iter().all(|row| row.never_begun)) {
        // the command's own error says it
        return lines;
    }
    let mut images: Vec<&str> = rows.iter().map(|row| row.image.as_str()).collect();
    let mut seen = BTreeSet::new();
    images.retain(|image| seen.insert(*image));
    for image in images {
        let of_image = || rows.iter().filter(move |row| row.image == image);
        for row in of_image() {
            if let Some(error) = &row.error {
                lines.push(format!("{}: {image}: {}", row.node, field(error)));
            } else if row.same_engine {
                lines.push(format!(
                    "{}: {image}: the host engine is this node's engine: nothing to do",
                    row.node
                ));
            }
        }
        let done: Vec<&Row> = of_image()
            .filter(|row| row.error.is_none() && !row.same_engine)
            .collect();
        let Some(first) = done.first() else { continue };
        let sent: u64 = done.iter().map(|row| row.bytes_sent).sum();
        let where_to = match done.as_slice() {
            [one, others @ ..] if others.iter().all(|row| row.node == one.node) => one.node.clone(),
            several => {
                let nodes: BTreeSet<&str> = several.iter().map(|row| row.node.as_str()).collect();
                counted(nodes.len(), "node")
            }
        };
        lines.push(if sent == 0 {
            format!("{image}: already on {where_to}, nothing sent")
        } else {
            let seconds = done.iter().map(|row| row.seconds).fold(0.0, f64::max);
            // a rate says nothing of a moment's work
            let rate = if seconds < 1.0 {
                String::new()
            } else {
                format!(", {}", rate(sent, seconds))
            };
            format!(
                "{image}: sent {} of {} to {where_to} in {seconds:.2} s{rate}",
                bytes(sent),
                bytes(first.bytes_total)
            )
        });
    }
    lines
}

/// The progress of a transfer: bytes so far, out of how many where that is known, and how fast.
pub(crate) fn moving(what: &str, sent: u64, expected: Option<u64>, seconds: f64) -> String {
    let of = expected
        .filter(|expected| *expected >= sent)
        .map_or_else(String::new, |expected| format!(" of {}", bytes(expected)));
    format!("{what}: {}{of}, {}", bytes(sent), rate(sent, seconds))
}

fn rate(count: u64, seconds: f64) -> String {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "three digits are shown"
    )]
    let per_second = (count as f64 / seconds.max(0.001)) as u64;
    format!("{}/s", bytes(per_second))
}

/// Bytes in the unit that fits, as docker writes them: powers of ten.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if value < 9.95 {
        format!("{value:.1} {}", units[unit])
    } else {
        format!("{value:.0} {}", units[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_moves_no_cursor() {
        let row = Row {
            node: "m\u{1b}[2J".into(),
            image: "a\u{1b}]0;x\u{7}".into(),
            ..Row::default()
        };
        let text = plan(&[row]);
        assert!(text.contains("has all layers"), "{text}");
        assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
    }

    #[test]
    fn bytes_are_written_as_docker_writes_them() {
        let all = [
            999,
            1000,
            2_100_000,
            999_499,
            999_500,
            506_000_000,
            2_600_000_000,
        ]
        .map(bytes);
        assert_eq!(
            all,
            [
                "999 B", "1.0 kB", "2.1 MB", "999 kB", "1.0 MB", "506 MB", "2.6 GB"
            ]
        );
    }

    #[test]
    fn a_transfer_tells_how_far_it_is_and_how_fast() {
        assert_eq!(
            moving("app:dev", 12_300_000, Some(45_000_000), 0.5),
            "app:dev: 12 MB of 45 MB, 25 MB/s"
        );
        assert_eq!(moving("stdin", 0, None, 0.0), "stdin: 0 B, 0 B/s");
    }

    #[test]
    fn several_nodes_are_one_line() {
        let row = |node: &str, sent| Row {
            node: node.into(),
            image: "app:dev".into(),
            bytes_total: 2_600_000_000,
            bytes_sent: sent,
            seconds: 0.25,
            ..Row::default()
        };
        let rows = [row("a", 700_000), row("b", 700_000), row("c", 700_000)];
        assert_eq!(
            lines(&rows),
            ["app:dev: sent 2.1 MB of 2.6 GB to 3 nodes in 0.25 s"]
        );
        assert_eq!(
            lines(&[row("a", 700_000), row("b", 700_000), row("a", 0)]),
            ["app:dev: sent 1.4 MB of 2.6 GB to 2 nodes in 0.25 s"],
            "one node counts once"
        );
        assert_eq!(
            lines(&[row("a", 0), row("a", 0)]),
            ["app:dev: already on a, nothing sent"]
        );
        assert_eq!(
            lines(&[row("a", 0)]),
            ["app:dev: already on a, nothing sent"]
        );
    }
}
