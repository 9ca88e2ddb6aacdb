//! Answers of a runtime that lies: the recorded ones with bytes changed at random. None may make
//! devnet panic, and what they say of a pod is counted as it is.

use prost::Message;

use super::*;
use crate::pod::{PlainContainers, pods};

/// The times that a whole recorded look is changed and read.
const ROUNDS: u64 = 400;

/// Numbers that are the same each time (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let number = usize::try_from(mixed >> 33).unwrap();
        number % limit.max(1)
    }

    /// Changes bytes, takes some away or adds some.
    fn harm(&mut self, bytes: &mut Vec<u8>) {
        for _change in 0..=self.below(4) {
            let place = self.below(bytes.len());
            let byte = u8::try_from(self.below(256)).unwrap();
            match self.below(4) {
                0 if !bytes.is_empty() => drop(bytes.remove(place)),
                1 => bytes.insert(place.min(bytes.len()), byte),
                2 => bytes.truncate(bytes.len() - bytes.len().min(place % 8)),
                _ if !bytes.is_empty() => bytes[place] = byte,
                _ => {}
            }
        }
    }

    /// The same message with some of its bytes changed, where it still is one.
    fn harmed<M: Message + Default + Clone>(&mut self, message: &mut M, count: &mut u32) {
        if self.below(3) > 0 {
            return;
        }
        let mut bytes = message.encode_to_vec();
        self.harm(&mut bytes);
        if let Ok(other) = M::decode(bytes.as_slice()) {
            *message = other;
            *count += 1;
        }
    }

    /// A text whose letters are changed, as JSON in a record or a name.
    fn harmed_text(&mut self, text: &mut String) {
        let mut bytes = std::mem::take(text).into_bytes();
        self.harm(&mut bytes);
        *text = String::from_utf8_lossy(&bytes).into_owned();
    }
}

#[test]
fn no_answer_of_a_runtime_makes_devnet_panic() {
    let mut random = Random(7);
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
    let mut random = Random(11);
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
