//! The ciphers of an ssh connection, in the order in which devnet would have them.

use std::borrow::Cow;

use russh::cipher::{AES_256_GCM, Name};

/// russh's own ciphers, the one first that this processor has instructions for: what crosses the
/// connection costs both sides less then. sshd takes the first of them that it knows.
pub(super) fn preferred() -> Cow<'static, [Name]> {
    ordered(has_aes()).into()
}

fn ordered(has_aes: bool) -> Vec<Name> {
    let mut all = russh::Preferred::default().cipher.into_owned();
    if has_aes {
        // the others stay in their order
        all.sort_by_key(|one| *one != AES_256_GCM);
    }
    all
}

/// True where this processor computes AES-GCM by instructions of its own.
fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::is_x86_feature_detected!("aes") && std::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ciphers_are_russhs_and_aes_comes_first_where_it_is_fast() {
        let usual = ordered(false);
        assert_eq!(usual[..], russh::Preferred::default().cipher[..]);
        let fast = ordered(true);
        assert_eq!(fast[0], AES_256_GCM);
        let others = |all: &[Name]| {
            let all = all.iter().filter(|one| **one != AES_256_GCM);
            all.copied().collect::<Vec<_>>()
        };
        assert_eq!(others(&fast), others(&usual));
        assert_eq!(fast.len(), usual.len());
    }
}
