//! The hex strings of images, told apart: what a layer holds, what lies below it, what a file is.

use std::collections::HashSet;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// `sha256:` of an uncompressed layer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DiffId(pub(crate) String);

/// `sha256:` of a layer together with all that lie below it: what an engine looks a layer up by.
/// The same layer on another base is another chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ChainId(String);

/// `sha256:` of a file as it is: a manifest, a configuration, a packed layer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Digest(String);

/// The chain ID of each layer, the base first (OCI image specification, `config.md`).
pub(crate) fn chain_ids(layers: &[DiffId]) -> Vec<ChainId> {
    let mut chain: Vec<ChainId> = Vec::with_capacity(layers.len());
    for layer in layers {
        let next = match chain.last() {
            None => ChainId(layer.0.clone()),
            Some(below) => ChainId(Digest::of(format!("{} {}", below.0, layer.0).as_bytes()).0),
        };
        chain.push(next);
    }
    chain
}

/// The places of the layers that a node lacks, who has the layers with these chain IDs.
pub(crate) fn missing(layers: &[DiffId], present: &HashSet<ChainId>) -> Vec<usize> {
    let chain = chain_ids(layers);
    (0..layers.len())
        .filter(|place| !present.contains(&chain[*place]))
        .collect()
}

impl ChainId {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl DiffId {
    /// The hex digits, as archives name layers.
    pub(crate) fn hex(&self) -> &str {
        self.0.strip_prefix("sha256:").unwrap_or(&self.0)
    }
}

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::from_hash(&Sha256::digest(bytes))
    }

    pub(crate) fn from_hash(hash: &[u8]) -> Self {
        let mut text = String::from("sha256:");
        for byte in hash {
            let _infallible = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// Reads `sha256:` and 64 hex digits; anything else could lead somewhere as a path.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:")?;
        let fits = hex.len() == 64
            && hex
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        fits.then(|| Self(text.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The hex digits alone.
    pub(crate) fn hex(&self) -> &str {
        self.0.strip_prefix("sha256:").unwrap_or(&self.0)
    }

    /// Its path in an OCI layout.
    pub(crate) fn blob_path(&self) -> String {
        format!("blobs/sha256/{}", self.hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(digit: char) -> DiffId {
        DiffId(format!("sha256:{}", digit.to_string().repeat(64)))
    }

    #[test]
    fn the_same_layer_on_another_base_is_missing() {
        let present: HashSet<_> = chain_ids(&[layer('a'), layer('b')]).into_iter().collect();
        assert_eq!(
            missing(&[layer('a'), layer('b'), layer('c')], &present),
            [2]
        );
        assert_eq!(missing(&[layer('c'), layer('b')], &present), [0, 1]);
        assert!(missing(&[layer('a')], &present).is_empty());
    }

    #[test]
    fn a_chain_id_is_the_hash_of_what_is_below_and_the_layer() {
        let chain = chain_ids(&[layer('a'), layer('b')]);
        let expected = Digest::of(format!("{} {}", layer('a').0, layer('b').0).as_bytes());
        assert_eq!(chain, [ChainId(layer('a').0), ChainId(expected.0)]);
    }

    #[test]
    fn a_digest_that_is_a_path_is_none() {
        assert!(Digest::parse("sha256:../../etc/passwd").is_none());
        assert!(Digest::parse(&layer('a').0).is_some());
    }
}
