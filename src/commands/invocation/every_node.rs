//! Every node of a target, asked at once: those that answered, and those that did not.

use crate::commands::invocation::target::NodeTarget;
use crate::error::{Error, Kind, Result};

/// Asks all nodes at once. The outcomes come in the nodes' order.
pub(crate) async fn on_nodes<'a, T>(
    nodes: &'a [NodeTarget],
    ask: impl AsyncFn(&'a NodeTarget) -> T,
) -> Vec<(&'a NodeTarget, T)> {
    let answers = futures_util::future::join_all(nodes.iter().map(|node| ask(node))).await;
    nodes.iter().zip(answers).collect()
}

/// The nodes that answered, of which there is at least one, and those that did not.
#[derive(Debug)]
pub(crate) struct Reached<N, T> {
    pub(crate) answered: Vec<(N, T)>,
    pub(crate) lost: Vec<(N, Error)>,
}

impl<N, T> Reached<N, T> {
    /// # Errors
    /// When none answered, or a person ended the run meanwhile.
    pub(crate) fn of(outcomes: impl IntoIterator<Item = (N, Result<T>)>) -> Result<Self> {
        let (mut answered, mut lost) = (Vec::new(), Vec::new());
        for (node, outcome) in outcomes {
            match outcome {
                Ok(answer) => answered.push((node, answer)),
                Err(error) if error.kind() == Kind::Interrupted => return Err(error),
                Err(error) => lost.push((node, error)),
            }
        }
        match lost.pop() {
            Some((_, error)) if answered.is_empty() => Err(error),
            last => {
                lost.extend(last);
                Ok(Self { answered, lost })
            }
        }
    }

    /// True when several nodes were asked.
    pub(crate) fn are_several(&self) -> bool {
        self.answered.len() + self.lost.len() > 1
    }
}

/// Done, or partly where nodes did not answer.
///
/// # Errors
/// Partly (exit 5) with the first reason.
pub(crate) fn all_or_partly(lost: impl IntoIterator<Item = Error>) -> Result<()> {
    match lost.into_iter().next() {
        None => Ok(()),
        Some(error) => Err(error.with_kind(Kind::Partly)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_that_answer_are_enough_and_none_is_a_failure() {
        let away = |node: &str| Err::<u8, _>(Error::unreachable(format!("{node} is away")));
        let some = Reached::of([("a", away("a")), ("b", Ok(1)), ("c", away("c"))]).unwrap();
        assert_eq!(some.answered, [("b", 1)]);
        let lost: Vec<&str> = some.lost.iter().map(|(node, _)| *node).collect();
        assert_eq!(lost, ["a", "c"]);
        let error = all_or_partly(some.lost.into_iter().map(|(_, error)| error)).unwrap_err();
        assert_eq!(error.kind().exit_code(), 5);
        assert_eq!(error.to_string(), "a is away");
        let none = Reached::of([("a", away("a")), ("b", away("b"))]).unwrap_err();
        assert_eq!(none.kind().exit_code(), 3);
        assert_eq!(none.to_string(), "b is away");
        assert!(all_or_partly([]).is_ok());
    }

    #[test]
    fn an_interruption_ends_all() {
        let outcomes = [("a", Ok(1)), ("b", Err(Error::interrupted()))];
        assert_eq!(Reached::of(outcomes).unwrap_err().kind(), Kind::Interrupted);
    }
}
