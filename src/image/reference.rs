//! Names of images, as people type them and as engines keep them.

use crate::error::{Error, Result};
use crate::image::digest::Digest;

/// The first part of the names under which devnet sends images.
pub(crate) const TRANSFERS: &str = "devnet-transfer";

/// The tag under which a node gets an image at first.
pub(crate) const TRANSFER_TAG: &str = "transfer";

/// The repository under which a node gets an image at first. Port 9 is "discard": nobody can be
/// asked for this name, on purpose.
pub(crate) fn transfer(token: &str) -> String {
    format!("127.0.0.1:9/{TRANSFERS}/{token}")
}

/// True where a name is one under which devnet sends an image.
pub(crate) fn is_transfer(name: &str) -> bool {
    name.strip_prefix("127.0.0.1:")
        .and_then(|rest| rest.split_once('/'))
        .and_then(|(_port, path)| path.split_once('/'))
        .is_some_and(|(first, _)| first == TRANSFERS)
}

/// The token of the transfer that sends under this name.
pub(crate) fn transfer_token(name: &str) -> Option<&str> {
    if !is_transfer(name) {
        return None;
    }
    let (_, rest) = name.split_once(TRANSFERS)?;
    rest.strip_prefix('/')?.split([':', '/', '@']).next()
}

/// True where an image's name is one that a person gave it.
pub(crate) fn is_given(name: &str) -> bool {
    !name.contains("<none>") && !is_transfer(name)
}

/// No engine takes a name as long: a repository has 255 characters, a tag 128.
const LONGEST: usize = 384;
/// The most characters that an error shows of text that is no name.
const SHOWN: usize = 200;

/// Splits `repository[:tag]`; without a tag it is `latest`.
///
/// # Errors
/// A usage error for an empty name, a digest, or characters that no engine takes.
pub(crate) fn split(name: &str) -> Result<(String, String)> {
    let wrong = |why: &str| {
        let shown: String = name.chars().take(SHOWN).collect();
        let dots = if shown.len() < name.len() { "…" } else { "" };
        Error::usage(format!(
            "`{}{dots}` is no name for an image: {why}",
            shown.escape_debug()
        ))
    };
    if name.len() > LONGEST {
        return Err(wrong("it is too long"));
    }
    if name.contains('@') {
        return Err(wrong("it names a digest"));
    }
    let (repository, tag) = match name.rsplit_once(':') {
        // a colon before the last slash belongs to a registry's port
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    };
    let part = |c: char| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-' | '/' | ':')
    };
    if repository.is_empty() || repository.starts_with('/') || repository.ends_with('/') {
        return Err(wrong("the repository is missing"));
    }
    // a registry's host may have upper-case letters
    let (host, path) = repository.split_once('/').unwrap_or(("", repository));
    let host_fits = host.chars().all(|c| part(c.to_ascii_lowercase()));
    if !host_fits || !path.chars().all(part) {
        return Err(wrong(
            "only a-z, 0-9, `.`, `_`, `-` and `/` may stand in it",
        ));
    }
    let tag_fits = !tag.is_empty()
        && tag.len() <= 128
        && tag
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if !tag_fits {
        return Err(wrong("its tag is none"));
    }
    Ok((repository.into(), tag.into()))
}

/// Splits `repository[:tag]@sha256:…` into the repository, the tag where there is one, and the digest;
/// `None` when it has no such form.
pub(crate) fn split_digest(name: &str) -> Option<(String, Option<String>, Digest)> {
    let (name, digest) = name.split_once('@')?;
    let digest = Digest::parse(digest)?;
    let (repository, tag) = split(name).ok()?;
    let is_tagged = name.len() > repository.len();
    Some((repository, is_tagged.then_some(tag), digest))
}

/// A name as people write it, without what they leave out: `app:latest` for
/// `docker.io/library/app:latest`.
pub(crate) fn familiar(name: &str) -> String {
    let short = name.strip_prefix("docker.io/").unwrap_or(name);
    short.strip_prefix("library/").unwrap_or(short).to_owned()
}

/// A name in full, as `docker.io/library/app:latest`, so that two ways to say one are equal.
pub(crate) fn canonical(name: &str) -> String {
    let (host, path) = match name.split_once('/') {
        // its old name, by which nobody looks an image up
        Some(("index.docker.io", path)) => ("docker.io", path),
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
        _ => ("docker.io", name),
    };
    let team = if host == "docker.io" && !path.contains('/') {
        "library/"
    } else {
        ""
    };
    let tag = if path.contains([':', '@']) {
        ""
    } else {
        ":latest"
    };
    format!("{host}/{team}{path}{tag}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ways_to_say_one_name_are_equal() {
        for (name, full) in [
            ("app", "docker.io/library/app:latest"),
            ("docker.io/app:1", "docker.io/library/app:1"),
            ("index.docker.io/app:1", "docker.io/library/app:1"),
            ("index.docker.io/team/app", "docker.io/team/app:latest"),
            ("team/app", "docker.io/team/app:latest"),
            ("127.0.0.1:5000/app", "127.0.0.1:5000/app:latest"),
            ("localhost/a/b:1", "localhost/a/b:1"),
            ("app@sha256:00", "docker.io/library/app@sha256:00"),
        ] {
            assert_eq!(canonical(name), full);
        }
    }

    #[test]
    fn a_digest_is_told_from_the_name_before_it() {
        let hex = "0".repeat(64);
        let of = |name: &str| {
            let (repository, tag, digest) = split_digest(&format!("{name}@sha256:{hex}"))?;
            Some((repository, tag, digest.hex() == hex))
        };
        assert_eq!(of("reg:5000/a"), Some(("reg:5000/a".into(), None, true)));
        assert_eq!(of("a:1"), Some(("a".into(), Some("1".into()), true)));
        for wrong in ["", "A", "a@sha256:1"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        assert!(split_digest("a@sha256:00").is_none() && split_digest("a").is_none());
    }

    #[test]
    fn names_are_split_as_engines_split_them() {
        let of = |name: &str| split(name).map(|(repository, tag)| format!("{repository} {tag}"));
        assert_eq!(of("app").unwrap(), "app latest");
        assert_eq!(
            of("127.0.0.1:5000/a/b:v1").unwrap(),
            "127.0.0.1:5000/a/b v1"
        );
        assert_eq!(
            of("127.0.0.1:5000/a/b").unwrap(),
            "127.0.0.1:5000/a/b latest"
        );
        for wrong in ["", ":v1", "a b", "App", "a:", "a@sha256:00", "a:b c", "/a"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
