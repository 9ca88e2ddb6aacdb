//! The traces of a container runtime itself in its node's kernel, which are of no pod.

/// A runtime's own traces in the kernel of its node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RuntimeMarks {
    /// The names of its processes.
    pub(crate) programs: &'static [&'static str],
    /// The address at which it answers for names in networks of its own making.
    pub(crate) resolver: Option<&'static str>,
    /// True where a file pins a network namespace of the runtime's own.
    pub(crate) is_own_netns: fn(&str) -> bool,
}
