//! Messages whose bytes are changed at random, for tests of what a runtime that lies may answer.

use prost::Message;

/// Numbers that are the same each time (splitmix64).
pub(in crate::engine) struct Random(u64);

impl Random {
    pub(in crate::engine) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(in crate::engine) fn below(&mut self, limit: usize) -> usize {
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
    pub(in crate::engine) fn harmed<M: Message + Default + Clone>(
        &mut self,
        message: &mut M,
        count: &mut u32,
    ) {
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
    pub(in crate::engine) fn harmed_text(&mut self, text: &mut String) {
        let mut bytes = std::mem::take(text).into_bytes();
        self.harm(&mut bytes);
        *text = String::from_utf8_lossy(&bytes).into_owned();
    }
}
