//! One network namespace, read through any process in it: addresses and sockets.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use devnet::probe::look::{Network, Process, Socket};

use crate::procfs;

/// The kernel's tables of sockets.
const TABLES: [(&str, u8, &str); 4] = [
    ("tcp", 4, "tcp"),
    ("udp", 4, "udp"),
    ("tcp", 6, "tcp6"),
    ("udp", 6, "udp6"),
];

/// A namespace as it was seen, and the signs by which a later look knows that it is the same.
pub(super) struct SeenNetwork {
    pub(super) network: Network,
    pub(super) signs: Signs,
}

impl SeenNetwork {
    pub(super) fn parts(self) -> (Network, Signs) {
        (self.network, self.signs)
    }
}

/// The number of sockets of each kind, and the sockets that the namespace's processes hold.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Signs {
    counts: Vec<Option<u64>>,
    held: BTreeSet<u64>,
}

/// The namespace, and its sockets, through the first of its processes that still lives.
/// What is `known` of it is taken for true where the signs are the same: then only queues and states of
/// connections may be others. A network has its addresses before its pod's programs run.
pub(super) fn network(
    inode: u64,
    viewers: &[&Process],
    known: Option<&SeenNetwork>,
) -> Option<SeenNetwork> {
    viewers.iter().find_map(|viewer| {
        let read = |file: &str| procfs::read(&format!("/proc/{}/net/{file}", viewer.pid));
        // an ended process gives nothing, which must not pass for an empty network
        let mut counts = read("sockstat").ok()?;
        // a kernel without IPv6 has no such file
        let of_v6 = read("sockstat6");
        let tables = &TABLES[..if of_v6.is_ok() { 4 } else { 2 }];
        counts += &of_v6.unwrap_or_default();
        let signs = Signs::new(&counts, viewers);
        let known = known.filter(|known| known.signs == signs);
        let known = known.map(|known| &known.network);
        if let Some(known) = known.filter(|known| !known.addresses.is_empty()) {
            let network = known.clone();
            return Some(SeenNetwork { network, signs });
        }
        let sockets = match known {
            Some(known) => known.sockets.clone(),
            None => rows(tables, &counts, read)?,
        };
        let mut addresses = ipv4(&read("fib_trie").ok()?);
        let primary = primary(&read("route").unwrap_or_default(), &addresses);
        addresses.extend(ipv6(&read("if_inet6").unwrap_or_default()));
        let texts = |all: &[IpAddr]| all.iter().map(ToString::to_string).collect();
        let network = Network {
            inode,
            addresses: texts(&addresses),
            primary: texts(&primary),
            sockets,
        };
        Some(SeenNetwork { network, signs })
    })
}

/// The rows of those tables that are not empty; `None` when one can't be read.
fn rows(
    tables: &[(&str, u8, &str)],
    counts: &str,
    read: impl Fn(&str) -> std::io::Result<String>,
) -> Option<Vec<Socket>> {
    let mut found = Vec::new();
    for (proto, family, file) in tables {
        // to print a table the kernel walks the sockets of all networks: most have none
        if none(counts, file) {
            continue;
        }
        let text = read(file).ok()?;
        let rows = text.lines().skip(1);
        found.extend(rows.filter_map(|line| socket(proto, *family, line)));
    }
    Some(found)
}

impl Signs {
    fn new(counts: &str, holders: &[&Process]) -> Self {
        let in_use = TABLES
            .iter()
            .map(|(.., table)| count(counts, table, "inuse"));
        let held = holders
            .iter()
            .filter_map(|process| process.sockets.as_ref());
        Self {
            counts: in_use.chain([waiting_ends(counts)]).collect(),
            held: held.flatten().copied().collect(),
        }
    }
}

/// True where the counters of `/proc/net/sockstat` and `sockstat6` say that a table is empty.
fn none(counts: &str, table: &str) -> bool {
    let waiting = if table.starts_with("tcp") {
        waiting_ends(counts)
    } else {
        Some(0)
    };
    count(counts, table, "inuse") == Some(0) && waiting == Some(0)
}

/// Ends that wait (`TIME_WAIT`) are counted once for both families.
fn waiting_ends(counts: &str) -> Option<u64> {
    count(counts, "tcp", "tw")
}

fn count(counts: &str, table: &str, counter: &str) -> Option<u64> {
    let head = format!("{}:", table.to_uppercase());
    let line = counts.lines().find(|line| line.starts_with(&head))?;
    let mut words = line.split_whitespace().skip_while(|word| *word != counter);
    words.nth(1)?.parse().ok()
}

/// A line of `/proc/net/{tcp,tcp6,udp,udp6}` (proc(5)).
pub(crate) struct Row {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) state: &'static str,
    /// The bytes, or connections, that wait to be taken.
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

fn socket(proto: &str, family: u8, line: &str) -> Option<Socket> {
    let row = row(proto, line)?;
    let no_remote = row.remote.port() == 0 && row.remote.ip().is_unspecified();
    Some(Socket {
        proto: proto.to_owned(),
        family,
        address: row.local.ip().to_string(),
        port: row.local.port(),
        remote: (!no_remote).then(|| row.remote.to_string()),
        state: row.state.to_owned(),
        queue: Some(row.queue),
        // a connection that nobody holds any more
        inode: Some(row.inode).filter(|inode| *inode != 0),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: &str = "sockets: used 7\nTCP: inuse 2 orphan 0 tw 0 alloc 9 mem 1\nUDP: inuse 0 mem 0\nTCP6: inuse 0\nUDP6: inuse 1\n";

    #[test]
    fn only_tables_with_sockets_are_read_and_one_that_cannot_be_is_no_empty_one() {
        let asked = std::cell::RefCell::new(Vec::new());
        let read = |file: &str| {
            asked.borrow_mut().push(file.to_owned());
            Ok("head\n".to_owned())
        };
        assert_eq!(rows(&TABLES, COUNTS, read).map(|all| all.len()), Some(0));
        assert_eq!(*asked.borrow(), ["tcp", "udp6"]);
        // ends that wait may be of either family
        asked.borrow_mut().clear();
        rows(&TABLES, &COUNTS.replace("tw 0", "tw 1"), read);
        assert_eq!(*asked.borrow(), ["tcp", "tcp6", "udp6"]);
        let lost = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        assert!(rows(&TABLES, COUNTS, lost).is_none());
    }

    #[test]
    fn a_socket_that_comes_or_goes_changes_the_signs_and_what_the_whole_machine_uses_does_not() {
        let signs = |counts: &str| Signs::new(counts, &[]);
        let now = signs(COUNTS);
        assert!(now == signs(&COUNTS.replace("alloc 9 mem 1", "alloc 8 mem 7")));
        for (from, to) in [
            ("inuse 2", "inuse 3"),
            ("tw 0", "tw 1"),
            ("UDP: inuse 0", "UDP: inuse 1"),
            ("TCP6: inuse 0", "TCP6: inuse 1"),
            ("UDP6: inuse 1", "UDP6: inuse 0"),
        ] {
            assert!(now != signs(&COUNTS.replace(from, to)), "{from}");
        }
        let other = Signs {
            held: BTreeSet::from([4711]),
            ..signs(COUNTS)
        };
        assert!(now != other, "one was closed and another opened");
    }
}
