//! What `devnet images` shows.

use jiff::Timestamp;

use super::table::{Cell, lay_out};
use super::{Style, Tone, load::bytes};
use crate::image::inventory::Shown;

/// How many hex digits of an ID are shown, as docker does.
const SHORT: usize = 12;

pub(crate) fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..SHORT).unwrap_or(hex)
}

/// The images, a line for each name; the node where there are several.
pub(crate) fn table(images: &[Shown], several: bool, style: Style) -> String {
    let heads = ["IMAGE", "NODE", "ID", "SIZE", "SHARED", "UNIQUE", "USED BY"];
    let size = |count: Option<u64>| Cell::number(count.map_or_else(|| "?".into(), bytes));
    let mut rows = Vec::new();
    for image in images {
        let name = match image.names.first() {
            Some(name) => Cell::plain(style.text(name)),
            None => Cell::new("<none>", Tone::Dim),
        };
        let node = if several { image.node.as_str() } else { "" };
        let users: Vec<String> = image
            .pods
            .iter()
            .map(|pod| style.text(pod))
            .chain(
                image
                    .containers
                    .iter()
                    .map(|name| format!("container {}", style.text(name))),
            )
            .collect();
        rows.push(vec![
            name,
            Cell::plain(node),
            Cell::new(short(&image.id), Tone::Dim),
            size(Some(image.size)),
            size(image.shared),
            size(image.unique),
            Cell::plain(users.join(", ")),
        ]);
        for name in image.names.iter().skip(1) {
            rows.push(vec![Cell::plain(style.text(name))]);
        }
    }
    lay_out(&heads, &rows, style)
}

/// Seconds since 1970 as RFC 3339.
pub(crate) fn created(seconds: i64) -> Option<String> {
    Timestamp::from_second(seconds)
        .ok()
        .map(|time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_image_stand_under_each_other_and_one_node_needs_no_column() {
        let image = Shown {
            id: format!("sha256:{}", "a".repeat(64)),
            names: vec!["app:v1".into(), "app:v2".into()],
            size: 2_100_000,
            shared: Some(2_000_000),
            unique: Some(100_000),
            pods: vec!["default/web".into()],
            ..Shown::default()
        };
        let spare = Shown {
            id: format!("sha256:{}", "b".repeat(64)),
            size: 999,
            dangling: true,
            ..Shown::default()
        };
        let style = Style {
            color: false,
            unicode: true,
            columns: 100,
        };
        insta::assert_snapshot!(table(&[image, spare], false, style), @r"
        IMAGE   ID            SIZE    SHARED  UNIQUE  USED BY
        app:v1  aaaaaaaaaaaa  2.1 MB  2.0 MB  100 kB  default/web
        app:v2
        <none>  bbbbbbbbbbbb   999 B       ?       ?
        ");
        assert_eq!(created(0).as_deref(), Some("1970-01-01T00:00:00Z"));
    }
}
