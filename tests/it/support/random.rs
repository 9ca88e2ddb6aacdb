//! Numbers that look random and are the same each time, and the switches of the tests that draw them.

/// A source of numbers (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from(mixed >> 32).unwrap()
    }

    /// One below a limit.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        u64::from(self.next_u32()) % limit.max(1)
    }
}

/// A number that whoever runs the tests has set, as `ROUNDS`.
#[expect(clippy::disallowed_methods, reason = "the tests' own switches")]
pub(crate) fn switch(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Tells whoever looks how much was proven.
#[expect(clippy::print_stderr, reason = "how much was proven")]
pub(crate) fn tell(what: &str) {
    eprintln!("{what}");
}
