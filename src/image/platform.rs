//! The one of an image's platforms that a node runs.

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
    /// Reads what a person typed, as docker does: `local` is this computer's architecture, an
    /// architecture alone means Linux, a system alone this computer's architecture; the names that
    /// `uname` gives are understood too.
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
        let wrong = || {
            Error::usage(format!("`{}` is no platform", text.escape_debug()))
                .hint("as `linux/amd64`, `linux/arm/v7`, `arm64` or `local`")
        };
        let own = || normal(OWN_ARCHITECTURE, "");
        let (os, (architecture, variant)) = match parts.as_slice() {
            _ if !fits => return Err(wrong()),
            // the nodes run Linux, whatever this computer runs
            [one] if one.eq_ignore_ascii_case("local") => ("linux", own()),
            [one] if SYSTEMS.contains(&one.to_lowercase().as_str()) => (*one, own()),
            [one] => {
                let known = normal(one, "");
                if !ARCHITECTURES.contains(&known.0.as_str()) {
                    return Err(wrong());
                }
                ("linux", known)
            }
            [os, architecture] => (*os, normal(architecture, "")),
            [os, architecture, variant] => (*os, normal(architecture, variant)),
            _ => return Err(wrong()),
        };
        Ok(Self {
            os: os.to_lowercase(),
            architecture,
            variant,
        })
    }

    /// The degree to which this serves a machine of `wanted`; `None` when it does not run there.
    /// More is better.
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

/// The architecture of this computer, in Go's words.
const OWN_ARCHITECTURE: &str = if cfg!(target_arch = "x86_64") {
    "amd64"
} else if cfg!(target_arch = "aarch64") {
    "arm64"
} else if cfg!(target_arch = "x86") {
    "386"
} else if cfg!(target_arch = "arm") {
    "arm"
} else if cfg!(target_arch = "riscv64") {
    "riscv64"
} else if cfg!(target_arch = "s390x") {
    "s390x"
} else {
    "ppc64le"
};

/// Systems that may be named without an architecture.
const SYSTEMS: [&str; 4] = ["linux", "windows", "darwin", "freebsd"];
/// Architectures that may be named without a system.
const ARCHITECTURES: [&str; 13] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
    "ppc64le", "riscv64", "s390x",
];

/// An architecture and its variant in Go's words.
fn normal(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = (architecture.to_lowercase(), variant.to_lowercase());
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386" | "x86", _) => ("386", ""),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("powerpc64" | "powerpc64le", variant) => ("ppc64le", variant),
        ("loongarch64", variant) => ("loong64", variant),
        (architecture, variant) => (architecture, variant),
    };
    let variant = match (architecture, variant) {
        ("amd64", "v1") => "",
        ("arm", "5" | "6" | "7" | "8") => return (architecture.into(), format!("v{variant}")),
        (_, variant) => variant,
    };
    (architecture.to_owned(), variant.to_owned())
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
        for wrong in ["", "x", "linux/", "a/b/c/d", "li nux/amd64", "local/amd64/"] {
            assert!(Platform::parse(wrong).is_err(), "{wrong}");
        }
    }
    #[test]
    fn a_platform_may_be_said_in_short() {
        let own = OWN_ARCHITECTURE;
        for (text, long) in [
            ("local", format!("linux/{own}")),
            ("linux", format!("linux/{own}")),
            ("windows", format!("windows/{own}")),
            ("arm64", "linux/arm64".into()),
            ("AMD64", "linux/amd64".into()),
            ("armhf", "linux/arm/v7".into()),
            ("linux/arm/7", "linux/arm/v7".into()),
            ("linux/amd64/v1", "linux/amd64".into()),
            ("i386", "linux/386".into()),
        ] {
            assert_eq!(Platform::parse(text).unwrap().to_string(), long, "{text}");
        }
    }
}
