//! The weight of JSON: how much memory its values take once they are read. `[{},{},…]` takes two
//! hundred times the bytes that it has on the wire.

/// The weight of an object beside its text: the models have a field for each key that might be
/// there.
const OBJECT: u64 = 1024;
/// The weight of an object among ports: at most two short texts. Programs for calls expose and
/// publish ports by the ten thousand.
const PORT: u64 = 64;
/// The keys whose values are ports, in the descriptions of images and containers. The models have
/// nothing larger below keys of these names.
const PORTS: [&[u8]; 3] = [b"ExposedPorts", b"PortBindings", b"Ports"];
/// The weight of an element or a field beside its text.
const ELEMENT: u64 = 32;
/// The same of plain values: a map's node has room for eleven fields.
const VALUE_OBJECT: u64 = 768;
const VALUE_ELEMENT: u64 = 128;

/// A scale on which JSON is put piece by piece. Pure; what is no JSON is weighed by its bytes.
#[derive(Debug)]
pub(crate) struct Scale {
    object: u64,
    port: u64,
    element: u64,
    depth: u64,
    in_text: bool,
    escaped: bool,
    weight: u64,
    /// An object that is empty takes no more than its place; models have their fields all the same.
    empty_is_free: bool,
    /// The weight of an object that was opened just now, where an empty one has none.
    opened: u64,
    /// The key whose value comes.
    key: Key,
    /// The depth of the value whose parts are ports.
    ports: Option<u64>,
}

/// As much of the last text as tells whether it is one of `PORTS`.
#[derive(Debug, Default)]
struct Key {
    text: [u8; 13],
    length: usize,
    /// A colon came after it.
    whole: bool,
}

impl Key {
    fn push(&mut self, byte: u8) {
        // one that is longer stays longer
        if let Some(index) = self.text.get_mut(self.length) {
            *index = byte;
            self.length += 1;
        }
    }

    fn is_of_ports(&self) -> bool {
        self.whole
            && PORTS
                .iter()
                .any(|name| self.text.get(..self.length) == Some(name))
    }
}

impl Default for Scale {
    /// For models.
    fn default() -> Self {
        Self::new(OBJECT, PORT, ELEMENT)
    }
}

/// The memory that one text takes once it is read as plain values (`serde_json::Value`).
pub(crate) fn of_values(text: &[u8]) -> u64 {
    let mut scale = Scale {
        empty_is_free: true,
        ..Scale::new(VALUE_OBJECT, VALUE_OBJECT, VALUE_ELEMENT)
    };
    scale.add(text)
}

impl Scale {
    fn new(object: u64, port: u64, element: u64) -> Self {
        Self {
            object,
            port,
            element,
            depth: 0,
            in_text: false,
            escaped: false,
            weight: 0,
            empty_is_free: false,
            opened: 0,
            key: Key::default(),
            ports: None,
        }
    }

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
                    b'"' => {
                        self.in_text = false;
                        continue;
                    }
                    _ => {}
                }
                self.key.push(*byte);
                continue;
            }
            if !matches!(byte, b'}' | b' ' | b'\t' | b'\r' | b'\n') {
                self.weight += std::mem::take(&mut self.opened);
            }
            match byte {
                b'"' => {
                    self.in_text = true;
                    self.key = Key::default();
                }
                b':' => self.key.whole = true,
                b'{' | b'[' => {
                    if self.ports.is_none() && self.key.is_of_ports() {
                        self.ports = Some(self.depth);
                    }
                    let taken = match (byte, self.ports) {
                        (b'[', _) => self.element,
                        (_, Some(_)) => self.port,
                        (_, None) => self.object,
                    };
                    if self.empty_is_free && *byte == b'{' {
                        self.opened = taken;
                    } else {
                        self.weight += taken;
                    }
                    self.depth += 1;
                    self.key = Key::default();
                }
                b',' => {
                    self.weight += self.element;
                    self.key = Key::default();
                }
                b'}' | b']' => {
                    self.opened = 0;
                    self.depth = self.depth.saturating_sub(1);
                    self.ports = self.ports.filter(|at| *at < self.depth);
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
    fn ports_are_no_large_objects_and_what_stands_beside_them_is() {
        let text = r#"{"ExposedPorts":{"1/udp":{},"2/udp":{}},"Mounts":[{}]}"#;
        let bytes = text.len() as u64;
        assert_eq!(
            Scale::default().add(text.as_bytes()),
            bytes + 2 * OBJECT + 3 * PORT + 3 * ELEMENT
        );
        for text in [
            // an element is no key, a longer name is another
            r#"["Ports",{},{}]"#,
            r#"[{"Ports ":{}}]"#,
            r#"[{"Ports":1},{}]"#,
            r#"[{"ExposedPortsOfAll":{}}]"#,
            r#"[{"Ports":[]},{}]"#,
        ] {
            let weight = Scale::default().add(text.as_bytes());
            assert!(weight > 2 * OBJECT, "{text}: {weight}");
        }
    }

    #[test]
    fn an_empty_object_is_no_more_than_its_place_among_plain_values() {
        let text = r#"{"ExposedPorts":{"1/udp":{},"2/udp":{ }}}"#;
        let bytes = text.len() as u64;
        assert_eq!(
            of_values(text.as_bytes()),
            bytes + 2 * VALUE_OBJECT + VALUE_ELEMENT
        );
        // a text that looks like empty objects takes nothing away
        let text = r#"[{"a":"{}{}{}"},{"b":{}}]"#;
        let bytes = text.len() as u64;
        assert_eq!(
            of_values(text.as_bytes()),
            bytes + 2 * VALUE_OBJECT + 2 * VALUE_ELEMENT
        );
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
        fn the_weight_does_not_depend_on_the_pieces(text in "([{}\\[\\],:\"\\\\ab]|\"Ports\":){0,60}", at in 0_usize..200) {
            let bytes = text.as_bytes();
            let at = at.min(bytes.len());
            let mut pieces = Scale::default();
            let first = pieces.add(&bytes[..at]);
            let greatest = first.max(pieces.add(&bytes[at..]));
            prop_assert_eq!(greatest, Scale::default().add(bytes));
        }
    }
}
