//! The places of pods in a drawing: those who ask stand left of those who answer; pods that talk
//! with nobody fill the rows beneath.

use std::collections::{BTreeMap, BTreeSet};

use crate::pod::graph::{End, Graph};

pub(super) const WIDTH: i32 = 250;
pub(super) const HEAD: i32 = 48;
pub(super) const ROW: i32 = 30;
pub(super) const FOOT: i32 = 32;
pub(super) const OUTSIDE_HEIGHT: i32 = 30;
/// Between columns with arrows between them, and elsewhere.
const WIDE: i32 = 110;
const GAP: i32 = 26;
const MARGIN: i32 = 24;
/// A column with more than this goes on beside itself.
const TALL: usize = 9;
const SWEEPS: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    Outside(usize),
    Pod(usize),
}

/// Places by item: left and top.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) places: BTreeMap<Item, (i32, i32)>,
    pub(super) width: i32,
    pub(super) height: i32,
}

pub(super) fn item(end: &End) -> Item {
    match end {
        End::Outside(index) => Item::Outside(*index),
        End::Pod(index, _) => Item::Pod(*index),
    }
}

pub(super) fn height(graph: &Graph, item: Item) -> i32 {
    match item {
        Item::Outside(_) => OUTSIDE_HEIGHT,
        Item::Pod(index) => {
            let rows = i32::try_from(graph.pods[index].containers.len()).unwrap_or(i32::MAX / 64);
            HEAD + rows * ROW + FOOT
        }
    }
}

pub(super) fn layout(graph: &Graph) -> Layout {
    let links: BTreeSet<(Item, Item)> = graph
        .edges()
        .iter()
        .map(|edge| (item(&edge.from), item(&edge.to)))
        .filter(|(from, to)| from != to)
        .collect();
    let mut layout = Layout::default();
    let (mut x, mut top) = (MARGIN, MARGIN);
    for column in columns(&links) {
        let mut parts = column.chunks(TALL).peekable();
        while let Some(part) = parts.next() {
            let mut y = MARGIN;
            for item in part {
                layout.places.insert(*item, (x, y));
                y += height(graph, *item) + GAP;
            }
            top = top.max(y);
            x += WIDTH + if parts.peek().is_some() { GAP } else { WIDE };
        }
    }
    let used = if layout.places.is_empty() {
        0
    } else {
        x - WIDE
    };
    // arrows within a column bend out of it
    layout.width = if used == 0 { MARGIN } else { used + GAP };
    // those in the middle of a column look better against its neighbours' middle
    centre(graph, &mut layout, top);
    let lonely: Vec<Item> = (0..graph.pods.len())
        .map(Item::Pod)
        .filter(|item| !layout.places.contains_key(item))
        .collect();
    rows(graph, &mut layout, &lonely, top);
    layout.width += MARGIN;
    layout.height += MARGIN;
    layout
}

fn centre(graph: &Graph, layout: &mut Layout, top: i32) {
    let mut bottoms: BTreeMap<i32, i32> = BTreeMap::new();
    for (item, (x, y)) in &layout.places {
        let bottom = bottoms.entry(*x).or_default();
        *bottom = (*bottom).max(y + height(graph, *item));
    }
    for (x, y) in layout.places.values_mut() {
        *y += (top - GAP - bottoms[&*x]) / 2;
    }
    layout.height = if layout.places.is_empty() {
        0
    } else {
        top - GAP
    };
}

/// Each goes under the shortest column.
fn rows(graph: &Graph, layout: &mut Layout, lonely: &[Item], top: i32) {
    if lonely.is_empty() {
        return;
    }
    let beside = (layout.width - MARGIN + GAP) / (WIDTH + GAP);
    let mut square = 1;
    while square * square < lonely.len() {
        square += 1;
    }
    let count = square
        .clamp(1, 6)
        .max(usize::try_from(beside).unwrap_or(0).min(8));
    let start = if layout.places.is_empty() {
        MARGIN
    } else {
        top + GAP
    };
    let mut bottoms = vec![start; count.min(lonely.len())];
    for item in lonely {
        let (index, bottom) = bottoms
            .iter_mut()
            .enumerate()
            .min_by_key(|(index, bottom)| (**bottom, *index))
            .expect("there is a column");
        let x = MARGIN + i32::try_from(index).unwrap_or(0) * (WIDTH + GAP);
        layout.places.insert(*item, (x, *bottom));
        *bottom += height(graph, *item) + GAP;
        layout.width = layout.width.max(x + WIDTH);
        layout.height = layout.height.max(*bottom - GAP);
    }
}

/// Items in columns, each link to the right where that can be.
fn columns(links: &BTreeSet<(Item, Item)>) -> Vec<Vec<Item>> {
    let links = without_circles(links);
    let mut layer: BTreeMap<Item, usize> = BTreeMap::new();
    for (from, to) in &links {
        layer.entry(*from).or_default();
        layer.entry(*to).or_default();
    }
    // a way without circles is no longer than there are items
    for _ in 0..layer.len() {
        let mut moved = false;
        for (from, to) in &links {
            let least = layer[from] + 1;
            if layer[to] < least {
                layer.insert(*to, least);
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    let count = layer.values().max().map_or(0, |last| last + 1);
    let mut columns = vec![Vec::new(); count];
    for (item, layer) in layer {
        columns[layer].push(item);
    }
    for sweep in 0..SWEEPS {
        order(&mut columns, &links, sweep % 2 == 0);
    }
    columns
}

/// Moves each item of a column towards the middle of those that it is linked with.
fn order(columns: &mut [Vec<Item>], links: &[(Item, Item)], forward: bool) {
    let mut rank: BTreeMap<Item, i64> = BTreeMap::new();
    for column in columns.iter() {
        for (index, item) in column.iter().enumerate() {
            rank.insert(*item, i64::try_from(index * 1000).unwrap_or(0));
        }
    }
    for column in columns {
        let middle = |item: &Item| {
            let near: Vec<i64> = links
                .iter()
                .filter_map(|(from, to)| match (forward, from == item, to == item) {
                    (true, _, true) => Some(rank[from]),
                    (false, true, _) => Some(rank[to]),
                    _ => None,
                })
                .collect();
            let count = i64::try_from(near.len()).unwrap_or(1);
            if near.is_empty() {
                rank[item]
            } else {
                near.iter().sum::<i64>() / count
            }
        };
        column.sort_by_cached_key(|item| (middle(item), rank[item]));
    }
}

/// The links but those that lead back to where a walk came from.
fn without_circles(links: &BTreeSet<(Item, Item)>) -> Vec<(Item, Item)> {
    let mut next: BTreeMap<Item, Vec<Item>> = BTreeMap::new();
    let mut entered: BTreeSet<Item> = BTreeSet::new();
    for (from, to) in links {
        next.entry(*from).or_default().push(*to);
        entered.insert(*to);
    }
    // first from those that nobody asks
    let mut starts: Vec<Item> = next.keys().copied().collect();
    starts.sort_by_key(|item| (entered.contains(item), *item));
    let (mut seen, mut kept) = (BTreeSet::new(), Vec::new());
    for start in starts {
        let mut path = vec![(start, 0)];
        let mut on_path = BTreeSet::from([start]);
        if !seen.insert(start) {
            continue;
        }
        while let Some((at, turn)) = path.last_mut() {
            let at = *at;
            let Some(to) = next.get(&at).and_then(|all| all.get(*turn)).copied() else {
                path.pop();
                on_path.remove(&at);
                continue;
            };
            *turn += 1;
            if on_path.contains(&to) {
                continue;
            }
            kept.push((at, to));
            if seen.insert(to) {
                on_path.insert(to);
                path.push((to, 0));
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(all: &[(usize, usize)]) -> BTreeSet<(Item, Item)> {
        all.iter()
            .map(|(from, to)| (Item::Pod(*from), Item::Pod(*to)))
            .collect()
    }

    #[test]
    fn who_asks_stands_left_of_who_answers() {
        let columns = columns(&links(&[(0, 1), (1, 2), (0, 2), (3, 2)]));
        let at = |pod: usize| {
            let here = |column: &Vec<Item>| column.contains(&Item::Pod(pod));
            columns.iter().position(here).unwrap()
        };
        assert_eq!((at(0), at(1), at(2), at(3)), (0, 1, 2, 0));
    }

    #[test]
    fn a_circle_of_pods_has_an_end() {
        let columns = columns(&links(&[(0, 1), (1, 2), (2, 0)]));
        assert_eq!(columns.iter().map(Vec::len).sum::<usize>(), 3);
        assert_eq!(columns.len(), 3);
    }

    #[test]
    fn no_two_cards_overlap() {
        use crate::pod::PodState;
        use crate::pod::graph::{Drawn, Edge};
        let host = |_| Drawn {
            node: "n".into(),
            namespace: "d".into(),
            name: "p".into(),
            state: PodState::Running,
            ips: Vec::new(),
            host_network: false,
            pause: None,
            containers: Vec::new(),
            ports: Some(Vec::new()),
            findings: Vec::new(),
        };
        let edge = |n: usize| Edge {
            from: End::Pod(n, None),
            to: End::Pod((n * 7 + 3) % 40, None),
            proto: "tcp".into(),
            port: 80,
            count: 1,
            local: false,
        };
        let graph = Graph {
            schema: 1,
            pods: (0..100).map(host).collect(),
            outside: Vec::new(),
            edges: Some((0..40).map(edge).collect()),
        };
        let layout = layout(&graph);
        assert_eq!(layout.places.len(), 100);
        let all: Vec<_> = layout.places.iter().collect();
        for (n, (one, (x, y))) in all.iter().enumerate() {
            assert!(*x >= 0 && *y >= 0 && x + WIDTH <= layout.width);
            assert!(y + height(&graph, **one) <= layout.height);
            for (other, (u, v)) in &all[..n] {
                let apart = x + WIDTH <= *u
                    || u + WIDTH <= *x
                    || y + height(&graph, **one) <= *v
                    || v + height(&graph, **other) <= *y;
                assert!(apart, "{one:?} {other:?}");
            }
        }
    }
}
