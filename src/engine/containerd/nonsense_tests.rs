//! Answers of a runtime that lies: the recorded ones with bytes changed at random. None may make
//! devnet panic, and what they say of a pod is counted as it is.

use prost::Message as _;

use super::*;
use crate::engine::cri::harm::Random;
use crate::pod::{PlainContainers, pods};

/// The times that a whole recorded look is changed and read.
const ROUNDS: u64 = 400;

#[test]
fn no_answer_of_a_runtime_makes_devnet_panic() {
    let mut random = Random::new(7);
    let mut harmed = 0;
    let look = recorded("before.json");
    for _round in 0..ROUNDS {
        let mut records = records(&look);
        for one in &mut records {
            random.harmed(one, &mut harmed);
            for any in one.extensions.values_mut().chain(&mut one.spec) {
                if random.below(4) == 0 {
                    let mut text = String::from_utf8_lossy(&any.value).into_owned();
                    random.harmed_text(&mut text);
                    any.value = text.into_bytes();
                }
            }
        }
        let mut answers = answers_with(&look, records);
        for one in &mut answers.lists.sandboxes {
            random.harmed(one, &mut harmed);
        }
        for one in &mut answers.lists.containers {
            random.harmed(one, &mut harmed);
        }
        for one in answers.tasks.values_mut() {
            random.harmed(one, &mut harmed);
        }
        for one in answers.statuses.values_mut() {
            random.harmed(one, &mut harmed);
        }
        let facts = facts(&answers);
        assert_eq!(
            facts.len(),
            answers.lists.sandboxes.len() + answers.lists.containers.len()
        );
        let pods = pods("node", &facts, PlainContainers::Show);
        assert!(!pods.is_empty());
    }
    assert!(harmed > 1000, "{harmed}");
}

#[test]
fn random_bytes_are_no_answer_or_one_that_is_read() {
    let mut random = Random::new(11);
    for _round in 0..20_000 {
        let bytes: Vec<u8> = (0..random.below(64))
            .map(|_| u8::try_from(random.below(256)).unwrap())
            .collect();
        let answers = Answers {
            lists: Lists {
                sandboxes: PodSandbox::decode(bytes.as_slice()).into_iter().collect(),
                containers: Container::decode(bytes.as_slice()).into_iter().collect(),
            },
            records: Record::decode(bytes.as_slice())
                .into_iter()
                .map(|one| (one.id.clone(), Description::of(one)))
                .collect(),
            ..Answers::default()
        };
        drop(pods("node", &facts(&answers), PlainContainers::Show));
        drop(outline(&answers.lists));
    }
}
