//! The weight of JSON: how much memory its values take once they are read. `[{},{},…]` takes two
//! hundred times the bytes that it has on the wire.

/// What an object takes beside its text: the models have a field for each key that might be there.
const OBJECT: u64 = 1024;
/// What an element or a field takes beside its text.
const ELEMENT: u64 = 32;

/// A scale on which JSON is put piece by piece. Pure; what is no JSON is weighed by its bytes.
#[derive(Debug, Default)]
pub(crate) struct Scale {
    depth: u64,
    in_text: bool,
    escaped: bool,
    weight: u64,
}

impl Scale {
    /// Adds a piece and gives the greatest weight that one value (or what has come of it so far)
    /// has had.
    pub(crate) fn add(&mut self, piece: &[u8]) -> u64 {
        let mut greatest = 0;
        for byte in piece {
            self.weight += 1;
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                b'{' => {
                    self.weight += OBJECT;
                    self.depth += 1;
                }
                b'[' => {
                    self.weight += ELEMENT;
                    self.depth += 1;
                }
                b',' => self.weight += ELEMENT,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        greatest = greatest.max(self.weight);
                        self.weight = 0;
                    }
                }
                _ => {}
            }
        }
        greatest.max(self.weight)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn many_small_values_weigh_what_they_become() {
        let text = "[{},{},{}]";
        assert_eq!(
            Scale::default().add(text.as_bytes()),
            10 + 3 * OBJECT + 3 * ELEMENT
        );
        // a text that looks like values is a text
        let text = r#"["{},{}\"{},{}"]"#;
        assert_eq!(Scale::default().add(text.as_bytes()), 16 + ELEMENT);
    }

    #[test]
    fn values_of_a_stream_are_weighed_one_by_one() {
        let mut scale = Scale::default();
        for _ in 0..1000 {
            assert!(scale.add(b"{\"a\":1}\n") < OBJECT + 10);
        }
        // one that has no end, whatever lines it is written in
        for _ in 0..1000 {
            scale.add(b"[\n");
        }
        assert!(scale.add(b"") >= 1000 * ELEMENT);
    }

    proptest! {
        #[test]
        fn the_weight_does_not_depend_on_the_pieces(text in "[{}\\[\\],\"\\\\ab]{0,60}", at in 0_usize..60) {
            let bytes = text.as_bytes();
            let at = at.min(bytes.len());
            let mut pieces = Scale::default();
            let first = pieces.add(&bytes[..at]);
            let greatest = first.max(pieces.add(&bytes[at..]));
            prop_assert_eq!(greatest, Scale::default().add(bytes));
        }
    }
}
