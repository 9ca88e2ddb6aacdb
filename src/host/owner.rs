//! The devnet that made a thing in an engine, and signs that it is gone: the next one may then take
//! the thing away, and never one that is in use.

use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

use crate::text_file;
use sha2::{Digest as _, Sha256};

/// This process, as no other process of this computer ever was. Elsewhere than on Linux it can't
/// be asked about by others, and is only not another one.
pub(crate) fn mark() -> String {
    static ELSEWHERE: LazyLock<String> = LazyLock::new(|| format!("unknown/{}", random()));
    of("self").unwrap_or_else(|| ELSEWHERE.clone())
}

/// True where the process with this mark has ended; `None` when that can't be told from here.
pub(crate) fn is_gone(mark: &str) -> Option<bool> {
    let own = of("self")?;
    let place = |mark: &str| {
        let (place, _) = mark.rsplit_once('/')?;
        let (place, _) = place.rsplit_once('/')?;
        Some(place.to_owned())
    };
    if place(&own)? != place(mark)? {
        return None;
    }
    let pid: u32 = mark.rsplit('/').nth(1)?.parse().ok()?;
    match of(&pid.to_string()) {
        Some(now) => Some(now != mark),
        None => is_no_process(pid),
    }
}

/// A word for something of this process's, which others can't guess; it also tells when it was made,
/// and by which devnet.
#[derive(Clone, Debug)]
pub(crate) struct SignedToken(String);

impl SignedToken {
    pub(crate) fn new() -> Self {
        Self::of(&random(), jiff::Timestamp::now())
    }

    fn of(word: &str, made: jiff::Timestamp) -> Self {
        let made = made.as_second();
        let process = of("self").and_then(|mark| parts(&mark));
        Self(match process {
            Some((place, process)) => format!("{word}-{made}-{}-{process}", digest(&place)),
            None => format!("{word}-{made}"),
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The time at which a signed token was made, by the clock of its computer.
pub(crate) fn signed_at(token: &str) -> Option<jiff::Timestamp> {
    let made = token.split('-').nth(1)?;
    jiff::Timestamp::from_second(made.parse().ok()?).ok()
}

/// 32 hexadecimal digits that nobody else has, from the standard library's seeded hasher.
fn random() -> String {
    let number = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", number(), number())
}

/// True where the devnet of a signed token has ended; `None` when that can't be told from here.
pub(crate) fn signer_is_gone(token: &str) -> Option<bool> {
    let (place, _) = parts(&of("self")?)?;
    let mut signature = token.rsplitn(4, '-');
    let (start, pid, signed) = (signature.next()?, signature.next()?, signature.next()?);
    signature.next()?;
    if signed != digest(&place) {
        return None;
    }
    is_gone(&format!("{place}/{pid}/{start}"))
}

/// The place of a mark (a computer, and processes there that know each other), and the process.
fn parts(mark: &str) -> Option<(String, String)> {
    let (rest, start) = mark.rsplit_once('/')?;
    let (place, pid) = rest.rsplit_once('/')?;
    Some((place.to_owned(), format!("{pid}-{start}")))
}

/// A place in a few characters that names of images may have.
fn digest(place: &str) -> String {
    let digest = format!("{:x}", Sha256::digest(place.as_bytes()));
    digest.chars().take(12).collect()
}

/// Other users' processes may be hidden in /proc; a signal that is none still tells them from none.
#[cfg(unix)]
fn is_no_process(pid: u32) -> Option<bool> {
    use rustix::process::{Pid, test_kill_process};
    let pid = Pid::from_raw(i32::try_from(pid).ok().filter(|pid| *pid > 0)?)?;
    // one of this number is there, and whether it is the one that is meant can't be told
    (test_kill_process(pid) == Err(rustix::io::Errno::SRCH)).then_some(true)
}

#[cfg(not(unix))]
fn is_no_process(_pid: u32) -> Option<bool> {
    None
}

/// `BOOT/PID NAMESPACE/PID/START`.
fn of(process: &str) -> Option<String> {
    let boot = text_file::read("/proc/sys/kernel/random/boot_id".as_ref()).ok()?;
    // one's own: that of another user's process can't be read
    let space = fs::read_link("/proc/self/ns/pid").ok()?;
    let stat = text_file::read(format!("/proc/{process}/stat").as_ref()).ok()?;
    // the name stands in brackets and may hold anything
    let (head, rest) = stat.rsplit_once(')')?;
    let pid = head.split(' ').next()?;
    let start = rest.split_whitespace().nth(19)?;
    Some(format!(
        "{}/{}/{pid}/{start}",
        boot.trim(),
        space.to_string_lossy()
    ))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_here_and_another_start_of_its_number_is_gone() {
        let own = mark();
        assert_eq!(is_gone(&own), Some(false));
        assert_eq!(is_gone(&format!("{own}0")), Some(true));
        assert_eq!(is_gone(&format!("x{own}")), None, "another computer");
        let (place, _) = own.rsplit_once('/').unwrap();
        let (place, _) = place.rsplit_once('/').unwrap();
        // Linux gives no such number
        assert_eq!(is_gone(&format!("{place}/4194305/1")), Some(true));
        assert_eq!(is_no_process(std::process::id()), None);
        assert_eq!(is_gone("unknown"), None);
        let made = jiff::Timestamp::from_second(1_790_000_000).unwrap();
        let token = SignedToken::of("0123abcd", made).0;
        assert_eq!(signed_at(&token), Some(made));
        assert_eq!(signed_at("0123abcd"), None);
        assert_eq!(signer_is_gone(&token), Some(false));
        assert_eq!(signer_is_gone(&format!("{token}0")), Some(true));
        assert_eq!(signer_is_gone("0123abcd"), None);
        assert_eq!(signer_is_gone("shop/app-1-2"), None);
        let (_, signature) = token.split_once("-1790000000-").unwrap();
        assert_eq!(
            signer_is_gone(&format!("a-1790000000-0{signature}")),
            None,
            "elsewhere"
        );
        assert_eq!(is_gone(""), None);
    }
}
