//! Which of an image's platforms a node runs.

use std::fmt;

use crate::error::{Error, Result};

/// `os/architecture[/variant]`, in Go's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Platform {
    pub(crate) os: String,
    pub(crate) architecture: String,
    pub(crate) variant: String,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

impl Platform {
    /// Reads what a person typed; the names that `uname` gives are understood too.
    ///
    /// # Errors
    /// A usage error when it has no such form.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let fits = parts.iter().all(|part| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        });
        let (os, architecture, variant) = match parts.as_slice() {
            [os, architecture] if fits => (*os, *architecture, ""),
            [os, architecture, variant] if fits => (*os, *architecture, *variant),
            _ => {
                return Err(
                    Error::usage(format!("`{}` is no platform", text.escape_debug()))
                        .hint("as `linux/amd64` or `linux/arm/v7`"),
                );
            }
        };
        let architecture = match architecture {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Ok(Self {
            os: os.to_lowercase(),
            architecture: architecture.into(),
            variant: variant.to_lowercase(),
        })
    }

    /// How well this serves who runs `wanted`; `None` when it does not run there. More is better.
    pub(crate) fn serves(&self, wanted: &Self) -> Option<u8> {
        if self.os != wanted.os || self.architecture != wanted.architecture {
            return None;
        }
        // a variant that is not said is the architecture's first, arm's is v7
        let of = |platform: &Self| match (platform.architecture.as_str(), platform.variant.as_str())
        {
            ("arm64", "") => 8,
            ("arm", "") => 7,
            ("amd64", "") => 1,
            (_, variant) => variant
                .strip_prefix('v')
                .and_then(|number| number.parse::<u8>().ok())
                .unwrap_or(0),
        };
        let (own, most) = (of(self), of(wanted));
        // an older variant runs on a newer one
        (own <= most).then_some(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_gets_the_newest_variant_that_it_runs() {
        let of = |text: &str| Platform::parse(text).unwrap();
        let serves = |own: &str, wanted: &str| of(own).serves(&of(wanted));
        assert_eq!(serves("linux/amd64", "linux/arm64"), None);
        assert_eq!(serves("linux/arm64", "linux/arm64/v8"), Some(8));
        assert_eq!(serves("linux/arm/v6", "linux/arm/v7"), Some(6));
        assert_eq!(serves("linux/arm/v7", "linux/arm/v6"), None);
        assert_eq!(serves("linux/amd64/v3", "linux/amd64"), None);
        assert_eq!(of("linux/x86_64").to_string(), "linux/amd64");
        for wrong in ["amd64", "linux/", "a/b/c/d", "li nux/amd64"] {
            assert!(Platform::parse(wrong).is_err(), "{wrong}");
        }
    }
}
