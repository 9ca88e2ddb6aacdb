//! A signal of Linux as a person names it: every node that runs pods has its numbers.

use std::fmt;
use std::str::FromStr;

const NAMES: [(&str, u8); 32] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
    // another name of a number comes after the one that is shown
    ("IOT", 6),
];

/// The last of the real-time signals, which have numbers only.
const LAST: u8 = 64;

/// A signal, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signal(u8);

impl Signal {
    pub(crate) const KILL: Self = Self(9);

    pub(crate) fn number(self) -> u8 {
        self.0
    }
}

impl FromStr for Signal {
    type Err = String;

    /// Reads `KILL`, `SIGKILL` in letters of any case, or `9`.
    fn from_str(text: &str) -> Result<Self, String> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let named = NAMES.iter().find(|(known, _)| *known == name);
        let number = named.map(|(_, number)| *number);
        number
            .or_else(|| text.parse().ok())
            .filter(|number| (1..=LAST).contains(number))
            .map(Self)
            .ok_or_else(|| "no signal of Linux: as KILL, SIGTERM or 9".to_owned())
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None => write!(f, "signal {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_a_name_with_and_without_its_beginning_or_a_number() {
        for text in ["KILL", "SIGKILL", "kill", "sigKill", "9"] {
            assert_eq!(text.parse(), Ok(Signal::KILL), "{text}");
        }
        assert_eq!("iot".parse::<Signal>().unwrap().to_string(), "SIGABRT");
        assert_eq!("64".parse::<Signal>().unwrap().to_string(), "signal 64");
        for text in ["", "0", "65", "SIG", "9x", "-9", "NOPE", "SIG9"] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
    }
}
