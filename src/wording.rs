//! Numbers and lists in sentences: plurals, and how many of many names are said.

use std::fmt::Write as _;

/// The number of names that a sentence bears.
pub(crate) const SOME: usize = 5;

/// The number of names that a list for choosing from bears.
pub(crate) const MANY: usize = 20;

/// `1 time`, `2 times`, `1 other address`, `2 other addresses`: the last word is counted.
pub(crate) fn counted(number: usize, what: &str) -> String {
    let ending = match number {
        1 => "",
        _ if what.ends_with(['s', 'x']) => "es",
        _ => "s",
    };
    format!("{number} {what}{ending}")
}

/// The first of many, and how many more there are: `a, b and 21 more`.
pub(crate) fn listed<T: AsRef<str>>(names: &[T], most: usize) -> String {
    // "and 1 more" takes the room of the one
    let shown = if names.len() <= most + 1 {
        names.len()
    } else {
        most
    };
    first_names(names, shown)
}

/// So many of these names, and how many more there are.
pub(crate) fn first_names<T: AsRef<str>>(names: &[T], shown: usize) -> String {
    let mut text = names
        .iter()
        .take(shown)
        .map(AsRef::as_ref)
        .collect::<Vec<_>>()
        .join(", ");
    if shown < names.len() {
        let _infallible = write!(text, " and {} more", names.len() - shown);
    }
    text
}

/// Things that are equal but for the one they are about, in the order in which each came first.
pub(crate) fn grouped<T, K: PartialEq>(all: Vec<T>, key: impl Fn(&T) -> K) -> Vec<Vec<T>> {
    let mut groups: Vec<(K, Vec<T>)> = Vec::new();
    for one in all {
        let key = key(&one);
        match groups.iter_mut().find(|(other, _)| *other == key) {
            Some((_, group)) => group.push(one),
            None => groups.push((key, vec![one])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_others_are_several() {
        assert_eq!(counted(1, "time"), "1 time");
        assert_eq!(counted(0, "time"), "0 times");
        assert_eq!(counted(2, "address"), "2 addresses");
    }

    #[test]
    fn a_long_list_says_how_many_more_there_are() {
        let names: Vec<String> = (0..23).map(|n| format!("p{n}")).collect();
        assert_eq!(listed(&names, 2), "p0, p1 and 21 more");
        assert_eq!(listed(&names[..3], 2), "p0, p1, p2");
        assert_eq!(listed(&names[..0], 2), "");
    }

    #[test]
    fn equal_things_stand_together_where_the_first_stood() {
        let groups = grouped(vec!["a1", "b1", "a2"], |text| text.as_bytes()[0]);
        assert_eq!(groups, [vec!["a1", "a2"], vec!["b1"]]);
    }
}
