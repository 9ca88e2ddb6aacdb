//! The features of a node's builder beyond the least that devnet builds with.

/// The features of a builder. Most came with a version of the BuildKit in a Docker engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BuildFeatures {
    /// Named contexts, `--build-context NAME=...` (Docker Engine 23).
    pub(crate) named_contexts: bool,
    /// `--ulimit`, `--shm-size` and `--cgroup-parent` (Docker Engine 23).
    pub(crate) limits: bool,
    /// Several results of one build (Docker Engine 26).
    pub(crate) several_exporters: bool,
    /// `--check` (Docker Engine 27).
    pub(crate) checks: bool,
}

impl BuildFeatures {
    /// The features of a Docker engine by the first number of its version; one that does not tell is
    /// taken for a new one.
    pub(in crate::engine) fn of_docker(major: Option<u32>) -> Self {
        let since = |first: u32| major.is_none_or(|major| major >= first);
        Self {
            named_contexts: since(23),
            limits: since(23),
            several_exporters: since(26),
            checks: since(27),
        }
    }

    /// The features of podman, which builds as Docker's classic builder does.
    pub(in crate::engine) fn of_podman() -> Self {
        Self {
            named_contexts: false,
            limits: true,
            several_exporters: false,
            checks: false,
        }
    }

    /// The features of a BuildKit by its version, as `v0.12.5`; one that does not tell is taken for a
    /// new one.
    pub(in crate::engine) fn of_buildkit(version: Option<&str>) -> Self {
        let number = |text: &str| {
            let (major, rest) = text.trim_start_matches('v').split_once('.')?;
            let minor: u32 = rest.split(['.', '-', '+']).next()?.parse().ok()?;
            let major: u32 = major.parse().ok()?;
            // one built from source calls itself 0.0.0
            (major, minor).gt(&(0, 0)).then_some((major, minor))
        };
        let version = version.and_then(number);
        let since = |first: u32| version.is_none_or(|version| version >= (0, first));
        Self {
            named_contexts: since(10),
            limits: since(10),
            several_exporters: since(13),
            checks: since(15),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buildkit_that_does_not_tell_is_a_new_one() {
        let of = |version| {
            let features = BuildFeatures::of_buildkit(version);
            (features.limits, features.several_exporters, features.checks)
        };
        assert_eq!(of(Some("v0.9.3")), (false, false, false));
        assert_eq!(of(Some("v0.12.5")), (true, false, false));
        assert_eq!(of(Some("0.13.0-rc1")), (true, true, false));
        for new in [
            Some("v0.32.2"),
            Some("v1.0.0"),
            Some("v0.0.0+unknown"),
            Some(""),
            None,
        ] {
            assert_eq!(of(new), (true, true, true), "{new:?}");
        }
    }

    #[test]
    fn each_came_with_its_version() {
        let of = |major| {
            let features = BuildFeatures::of_docker(Some(major));
            (
                features.named_contexts,
                features.limits,
                features.several_exporters,
                features.checks,
            )
        };
        assert_eq!(of(20), (false, false, false, false));
        assert_eq!(of(23), (true, true, false, false));
        assert_eq!(of(26), (true, true, true, false));
        assert_eq!(of(28), (true, true, true, true));
        assert!(BuildFeatures::of_docker(None).checks);
    }
}
