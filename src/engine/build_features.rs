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
    /// Nothing beyond the least.
    pub(in crate::engine) const NONE: Self = Self {
        named_contexts: false,
        limits: false,
        several_exporters: false,
        checks: false,
    };

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
}

#[cfg(test)]
mod tests {
    use super::*;

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
