//! One network namespace, read through any process in it: addresses and sockets.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{joined, quoted};

/// The namespace as JSON, through the first of its processes that still lives.
pub(super) fn network(inode: u64, pids: &[u32]) -> Option<String> {
    pids.iter().find_map(|pid| {
        let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/net/{file}"));
        // an ended process gives nothing, which must not pass for an empty network
        let counts = read("sockstat").ok()? + &read("sockstat6").unwrap_or_default();
        let mut sockets = Vec::new();
        for (proto, family, file) in [
            ("tcp", 4, "tcp"),
            ("tcp", 6, "tcp6"),
            ("udp", 4, "udp"),
            ("udp", 6, "udp6"),
        ] {
            // to print a table the kernel walks the sockets of all networks: most have none
            if none(&counts, file) {
                continue;
            }
            // a kernel without IPv6 has no such file
            let text = read(file).unwrap_or_default();
            sockets.extend(
                text.lines()
                    .skip(1)
                    .filter_map(|line| socket(proto, family, line)),
            );
        }
        let mut addresses = ipv4(&read("fib_trie").unwrap_or_default());
        let primary = primary(&read("route").unwrap_or_default(), &addresses);
        addresses.extend(ipv6(&read("if_inet6").unwrap_or_default()));
        Some(format!(
            "{{\"inode\":{inode},\"addresses\":[{}],\"primary\":[{}],\"sockets\":[{}]}}",
            joined(addresses.iter().map(|a| quoted(&a.to_string()))),
            joined(primary.iter().map(|a| quoted(&a.to_string()))),
            joined(sockets),
        ))
    })
}

/// Whether the counters of `/proc/net/sockstat` and `sockstat6` say that a table is empty.
fn none(counts: &str, table: &str) -> bool {
    let count = |table: &str, counter: &str| {
        let head = format!("{}:", table.to_uppercase());
        let line = counts.lines().find(|line| line.starts_with(&head))?;
        let mut words = line.split_whitespace().skip_while(|word| *word != counter);
        words.nth(1)?.parse::<u64>().ok()
    };
    let in_use = count(table, "inuse");
    // ends that wait are counted once for both families
    let waiting = if table.starts_with("tcp") {
        count("tcp", "tw")
    } else {
        Some(0)
    };
    in_use == Some(0) && waiting == Some(0)
}

/// A line of `/proc/net/{tcp,tcp6,udp,udp6}` (proc(5)).
pub(crate) struct Row {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) state: &'static str,
    /// How many bytes, or connections, wait to be taken.
    queue: u32,
    inode: u64,
}

pub(crate) fn row(proto: &str, line: &str) -> Option<Row> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    Some(Row {
        local: endpoint(fields.get(1)?)?,
        remote: endpoint(fields.get(2)?)?,
        state: state(proto, fields.get(3)?)?,
        queue: waiting(fields.get(4)?)?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

fn socket(proto: &str, family: u8, line: &str) -> Option<String> {
    let row = row(proto, line)?;
    let no_remote = row.remote.port() == 0 && row.remote.ip().is_unspecified();
    Some(format!(
        "{{\"proto\":\"{proto}\",\"family\":{family},\"address\":\"{}\",\"port\":{},\"remote\":{},\"state\":\"{}\",\"queue\":{},\"inode\":{}}}",
        row.local.ip(),
        row.local.port(),
        if no_remote {
            "null".into()
        } else {
            quoted(&row.remote.to_string())
        },
        row.state,
        row.queue,
        // a connection that nobody holds any more
        if row.inode == 0 {
            "null".into()
        } else {
            row.inode.to_string()
        },
    ))
}

/// `00000000:00000001`: what waits to be sent, and what waits to be read; of a listener, how many
/// connections nobody has accepted yet.
fn waiting(queues: &str) -> Option<u32> {
    u32::from_str_radix(queues.split_once(':')?.1, 16).ok()
}

fn state(proto: &str, code: &str) -> Option<&'static str> {
    Some(match (code, proto) {
        ("01", _) => "ESTABLISHED",
        ("02", _) => "SYN_SENT",
        ("03" | "0C", _) => "SYN_RECV",
        ("04", _) => "FIN_WAIT1",
        ("05", _) => "FIN_WAIT2",
        ("06", _) => "TIME_WAIT",
        // what a UDP socket without a peer is called by ss(8)
        ("07", "udp") => "UNCONN",
        ("07", _) => "CLOSE",
        ("08", _) => "CLOSE_WAIT",
        ("09", _) => "LAST_ACK",
        ("0A", _) => "LISTEN",
        ("0B", _) => "CLOSING",
        _ => return None,
    })
}

/// `0100007F:1F90`: words in the machine's byte order, the port as a number.
fn endpoint(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        u32::from_str_radix(address.get(at..at + 8)?, 16)
            .ok()
            .map(u32::to_ne_bytes)
    };
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for place in 0..4 {
                bytes[place * 4..place * 4 + 4].copy_from_slice(&word(place * 8)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

/// The namespace's own IPv4 addresses: leaves of the trie that are `/32 host LOCAL`.
fn ipv4(trie: &str) -> Vec<IpAddr> {
    let mut found = BTreeSet::new();
    let mut leaf = None;
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(leaf.filter(|address| !address.is_loopback()));
        }
    }
    found.into_iter().map(IpAddr::V4).collect()
}

/// Global IPv6 addresses; scope 0 in `/proc/net/if_inet6`.
fn ipv6(text: &str) -> Vec<IpAddr> {
    let one = |line: &str| {
        let mut fields = line.split_whitespace();
        let address = u128::from_str_radix(fields.next()?, 16).ok()?;
        let scope = fields.nth(2)?;
        (scope == "00").then(|| IpAddr::V6(Ipv6Addr::from(address)))
    };
    text.lines().filter_map(one).collect()
}

/// The addresses in the network that the default route leaves through: by which a node is known.
fn primary(routes: &str, addresses: &[IpAddr]) -> Vec<IpAddr> {
    let rows: Vec<(&str, u32, u32)> = routes
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let number = |at: usize| {
                let word = u32::from_str_radix(fields.get(at)?, 16).ok()?;
                Some(u32::from_be_bytes(word.to_ne_bytes()))
            };
            Some((*fields.first()?, number(1)?, number(7)?))
        })
        .collect();
    let Some((interface, ..)) = rows.iter().find(|(_, to, mask)| *to == 0 && *mask == 0) else {
        return Vec::new();
    };
    let inside = |address: &IpAddr| match address {
        IpAddr::V4(address) => rows.iter().any(|(name, to, mask)| {
            name == interface && *mask != 0 && u32::from(*address) & mask == *to
        }),
        IpAddr::V6(_) => false,
    };
    addresses.iter().copied().filter(inside).collect()
}
