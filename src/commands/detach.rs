//! The keys that leave a command running, found in what a person types: engines before 23 end the
//! command when they find them themselves.

/// Looks for the keys in a stream of bytes.
#[derive(Debug)]
pub(crate) struct Keys {
    keys: Vec<u8>,
    /// The number of them that have come and are held back.
    held: usize,
}

impl Keys {
    /// As docker writes them: `ctrl-p,ctrl-q`, which are also meant by none. What can't be
    /// understood here is left to the engine, which says so.
    pub(crate) fn new(wanted: Option<&str>) -> Self {
        let wanted = wanted
            .filter(|keys| !keys.is_empty())
            .unwrap_or("ctrl-p,ctrl-q");
        let keys: Option<Vec<u8>> = wanted.split(',').map(key).collect();
        Self {
            keys: keys.unwrap_or_default(),
            held: 0,
        }
    }

    /// Gives the bytes that go on to the command, and true once the keys have come.
    pub(crate) fn pass(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut on = Vec::with_capacity(typed.len());
        for byte in typed {
            if self.keys.get(self.held) == Some(byte) {
                self.held += 1;
                if self.held == self.keys.len() {
                    return (on, true);
                }
                continue;
            }
            on.extend_from_slice(&self.keys[..self.held]);
            self.held = usize::from(self.keys.first() == Some(byte));
            if self.held == 0 {
                on.push(*byte);
            }
        }
        (on, false)
    }
}

fn key(name: &str) -> Option<u8> {
    if let Some(control) = name.strip_prefix("ctrl-") {
        let &[letter] = control.as_bytes() else {
            return None;
        };
        return matches!(letter, b'a'..=b'z' | b'@'..=b'_').then_some(letter & 0x1f);
    }
    match name.as_bytes() {
        &[letter] => Some(letter),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_held_back_until_it_is_known_what_they_are() {
        let mut keys = Keys::new(Some("ctrl-x,x"));
        assert_eq!(keys.pass(b"a\x18"), (b"a".to_vec(), false));
        assert_eq!(keys.pass(b"b\x18\x18"), (b"\x18b\x18".to_vec(), false));
        assert_eq!(keys.pass(b"x"), (Vec::new(), true));
        let mut usual = Keys::new(None);
        assert_eq!(usual.pass(b"\x10\x11"), (Vec::new(), true));
        let mut unknown = Keys::new(Some("ctrl-ab"));
        assert_eq!(unknown.pass(b"\x10\x11"), (b"\x10\x11".to_vec(), false));
    }
}
