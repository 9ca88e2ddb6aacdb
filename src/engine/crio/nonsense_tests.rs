//! Answers of a cri-o that lies: the recorded ones with bytes changed at random. None may make devnet panic,
//! and what they say of a pod is counted as it is.

use std::cell::{Cell, RefCell};

use super::*;
use crate::engine::cri::harm::Random;

#[test]
fn no_answer_of_a_runtime_makes_devnet_panic() {
    let random = RefCell::new(Random::new(17));
    let harmed = Cell::new(0);
    let harm = |info: &mut BTreeMap<String, String>| {
        let mut random = random.borrow_mut();
        if random.below(4) == 0 {
            for text in info.values_mut() {
                random.harmed_text(text);
            }
        }
    };
    let count = |change: &mut dyn FnMut(&mut u32)| {
        let mut number = harmed.get();
        change(&mut number);
        harmed.set(number);
    };
    for round in 0..400 {
        let snap = recorded(SNAPS[round % SNAPS.len()]);
        let mut answers = changed_answers(
            &snap,
            &mut |told| {
                count(&mut |number| random.borrow_mut().harmed(told, number));
                harm(&mut told.info);
            },
            &mut |told| {
                count(&mut |number| random.borrow_mut().harmed(told, number));
                harm(&mut told.info);
            },
        );
        for one in &mut answers.sandboxes {
            count(&mut |number| random.borrow_mut().harmed(one, number));
        }
        for one in &mut answers.containers {
            count(&mut |number| random.borrow_mut().harmed(one, number));
        }
        let facts = facts(&answers);
        assert_eq!(
            facts.len(),
            answers.sandboxes.len() + answers.containers.len()
        );
        assert!(!pods("node", &facts, PlainContainers::Show).is_empty());
    }
    assert!(harmed.get() > 400, "{}", harmed.get());
}
