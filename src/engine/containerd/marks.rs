//! The traces of containerd itself in its node's kernel.

use crate::netns::RuntimeMarks;

pub(in crate::engine) const MARKS: RuntimeMarks = RuntimeMarks {
    // the kernel cuts names off at 15 bytes
    programs: &["containerd", "containerd-shim", "containerd-shim-"],
    resolver: None,
    is_own_netns: |_path| false,
};
