//! The traces of cri-o itself in its node's kernel.

use crate::netns::RuntimeMarks;

pub(in crate::engine) const MARKS: RuntimeMarks = RuntimeMarks {
    programs: &["crio", "conmon", "conmonrs"],
    resolver: None,
    is_own_netns: |_path| false,
};
