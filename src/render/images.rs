//! The output of `devnet images`.

use jiff::Timestamp;

use super::table::{Cell, lay_out};
use super::{Style, Tone, load::bytes};
use crate::image::inventory::Shown;

/// The number of hex digits of an ID that are shown, as docker does.
const SHORT: usize = 12;

pub(crate) fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..SHORT).unwrap_or(hex)
}

/// The images, a line for each name; the node where there are several.
pub(crate) fn table(images: &[Shown], several: bool, style: Style) -> String {
    let heads = [
        "IMAGE", "NODE", "ID", "SIZE", "SHARED", "UNIQUE", "KEPT", "USED BY",
    ];
    // only a runtime that throws blobs away has something to say there
    let some_run_only = images.iter().any(|image| image.run_only);
    let kept = |image: &Shown| match (some_run_only, image.run_only) {
        (true, true) => "to run",
        (true, false) => "whole",
        (false, _) => "",
    };
    let size = |count: Option<u64>| Cell::number(count.map_or_else(|| "?".into(), bytes));
    let mut rows = Vec::new();
    for image in images {
        let name = match image.names.first() {
            Some(name) => Cell::plain(style.text(name)),
            None => Cell::new("<none>", Tone::Dim),
        };
        let node = if several {
            style.text(&image.node)
        } else {
            String::new()
        };
        let mut users: Vec<String> = image
            .pods
            .iter()
            .cloned()
            .chain(
                image
                    .containers
                    .iter()
                    .map(|name| format!("container {name}")),
            )
            .collect();
        if image.pinned && users.is_empty() {
            users.push("the node itself".into());
        }
        rows.push(vec![
            name,
            Cell::plain(node),
            Cell::new(style.text(short(&image.id)), Tone::Dim),
            size(Some(image.size)),
            size(image.shared),
            size(image.unique),
            Cell::new(kept(image), Tone::Dim),
            Cell::plain(style.list(&users, style.room_for_names())),
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
        let pods = |count: usize| {
            (0..count)
                .map(|n| format!("shop/storefront-with-a-long-name-5d8f7c9b6-x{n:04}"))
                .collect()
        };
        let image = |name: &str, count: usize| Shown {
            id: format!("sha256:{}", "c".repeat(64)),
            names: vec![name.into()],
            size: 2_100_000,
            pods: pods(count),
            ..Shown::default()
        };
        let narrow = Style {
            columns: 80,
            ..style
        };
        let long = format!("registry.example/{}:v1", "team/".repeat(30));
        let images = [image("app:v1", 25), image("db:v1", 2), image(&long, 1)];
        insta::assert_snapshot!(table(&images, false, narrow));
        assert_eq!(created(0).as_deref(), Some("1970-01-01T00:00:00Z"));
    }
}
