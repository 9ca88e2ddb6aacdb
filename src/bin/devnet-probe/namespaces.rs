//! The kernel namespaces of this process, as `net=4026531840 ipc=...`: proof, not configuration.

/// One line with the inode numbers of the process's namespaces.
pub(crate) fn line() -> String {
    ["net", "ipc", "uts", "pid", "mnt", "user"]
        .iter()
        .filter_map(|kind| {
            // "net:[4026531840]"; one's own may always be read
            let target = std::fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
            let text = target.to_string_lossy().into_owned();
            let inode = text.split_once('[')?.1.strip_suffix(']')?;
            Some(format!("{kind}={inode}"))
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Says it where `devnet lab prove` looks for it.
pub(crate) fn announce() {
    println!("namespaces {}", line());
}
