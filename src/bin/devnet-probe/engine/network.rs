//! The network of a node's Docker engine: a bridge, addresses that nothing on the node leads to, and one
//! rule that lets containers out. Nothing else of the node's network is touched.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::engine::output::{SHORT, output};
use crate::engine::place;

/// The networks that may be taken, the likeliest to be free first: the first two numbers of an address
/// each. Clusters' own (10.96, 10.244) and those that other engines take first are not among them.
fn candidates() -> impl Iterator<Item = [u8; 2]> {
    let of_docker = (18..=31).rev().map(|second| [172, second]);
    of_docker.chain((200..=250).map(|second| [10, second]))
}

/// The networks of the engine: `BASE.0.0/16`, of which the bridge has the first 256 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Networks {
    base: [u8; 2],
}

impl Networks {
    /// Those of before, where they are free still, else the first that are.
    ///
    /// # Errors
    /// None is free.
    pub(super) fn choose(before: Option<Self>) -> Result<Self, String> {
        let table = fs::read_to_string("/proc/net/route")
            .map_err(|error| format!("the node's routes can't be read: {error}"))?;
        free(&table, before).ok_or_else(|| "no network of addresses is free on the node".into())
    }

    /// Those that are written down.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut numbers = text.trim().split('.').map(|number| number.parse().ok());
        let base = [numbers.next()??, numbers.next()??];
        candidates().any(|one| one == base).then_some(Self { base })
    }

    pub(super) fn written(self) -> String {
        let [first, second] = self.base;
        format!("{first}.{second}\n")
    }

    /// All of them, as `172.31.0.0/16`.
    pub(super) fn pool(self) -> String {
        let [first, second] = self.base;
        format!("{first}.{second}.0.0/16")
    }

    fn gateway(self) -> String {
        let [first, second] = self.base;
        format!("{first}.{second}.0.1/24")
    }

    /// Makes the bridge and the rule.
    ///
    /// # Errors
    /// When it can't be made. A rule that can't be set is told as a note.
    pub(super) fn make(self) -> Result<Option<String>, String> {
        ip(&["link", "add", place::BRIDGE, "type", "bridge"])?;
        ip(&["address", "add", &self.gateway(), "dev", place::BRIDGE])?;
        ip(&["link", "set", place::BRIDGE, "up"])?;
        let rule = |why| format!("containers of the engine reach nothing outside the node: {why}");
        Ok(self.iptables("-A").err().map(rule))
    }

    /// Takes both away, where the bridge is there: to ask for a rule makes tables.
    pub(super) fn remove(self) {
        if Path::new("/sys/class/net").join(place::BRIDGE).exists() {
            let _not_there = self.iptables("-D");
            remove_link(place::BRIDGE);
        }
    }

    fn iptables(self, change: &str) -> Result<(), String> {
        let pool = self.pool();
        let words = [
            "-w",
            "5",
            "-t",
            "nat",
            change,
            "POSTROUTING",
            "-s",
            &pool,
            "!",
            "-d",
            &pool,
            "-m",
            "comment",
            "--comment",
            place::UNIT,
            "-j",
            "MASQUERADE",
        ];
        output("iptables", &words, SHORT).map(drop)
    }
}

fn ip(words: &[&str]) -> Result<(), String> {
    output("ip", words, SHORT).map(drop)
}

/// The bridges that the engine makes for networks of a person's.
pub(super) fn bridges() -> Vec<String> {
    let links = fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten();
    let names = links.map(|link| link.file_name().to_string_lossy().into_owned());
    names.filter(|name| is_own(name)).collect()
}

fn is_own(link: &str) -> bool {
    link.strip_prefix("br-")
        .is_some_and(|id| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

pub(super) fn remove_link(name: &str) {
    let _not_there = ip(&["link", "delete", name]);
}

/// The first networks that no route of the kernel's table leads into.
fn free(table: &str, before: Option<Networks>) -> Option<Networks> {
    let routes: Vec<(u32, u32)> = table.lines().skip(1).filter_map(route).collect();
    let is_free = |networks: &Networks| {
        let [first, second] = networks.base;
        let start = u32::from(Ipv4Addr::new(first, second, 0, 0));
        routes.iter().all(|(to, mask)| {
            let both = mask & 0xffff_0000;
            // the way to everywhere is no network
            *mask == 0 || start & both != to & both
        })
    };
    let others = candidates().map(|base| Networks { base });
    before.into_iter().chain(others).find(is_free)
}

/// The network and the mask of a row of the kernel's table.
fn route(line: &str) -> Option<(u32, u32)> {
    let mut columns = line.split_whitespace();
    let mut number = |place| u32::from_str_radix(columns.nth(place)?, 16).ok();
    // in the byte order of the machine, of which there is one kind
    Some((number(1)?.swap_bytes(), number(5)?.swap_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    #[test]
    fn networks_that_nothing_leads_to_are_taken() {
        let row = |to: &str, mask: &str| {
            format!("eth0\t{to}\t00000000\t0001\t0\t0\t0\t{mask}\t0\t0\t0\n")
        };
        let base = |table: &str, before| free(table, before).unwrap().pool();
        let default = row("00000000", "00000000");
        assert_eq!(base(&format!("{HEAD}{default}"), None), "172.31.0.0/16");
        // 172.31.5.0/24 and 172.28.0.0/14
        let taken = format!(
            "{HEAD}{default}{}{}",
            row("00051FAC", "00FFFFFF"),
            row("00001CAC", "0000FCFF")
        );
        assert_eq!(base(&taken, None), "172.27.0.0/16");
        let before = Networks::read("172.20\n");
        assert_eq!(before.unwrap().written(), "172.20\n");
        assert_eq!(base(&taken, before), "172.20.0.0/16");
        assert_eq!(base(&taken, Networks::read("172.29")), "172.27.0.0/16");
        // 172.16.0.0/12
        let all = format!("{HEAD}{}", row("000010AC", "0000F0FF"));
        assert_eq!(base(&all, None), "10.200.0.0/16");
        for nonsense in ["", "172", "10.96", "8.8", "172.31x"] {
            assert_eq!(Networks::read(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn the_engines_own_bridges_are_told_by_their_names() {
        assert!(is_own("br-a75fe1a28455"));
        for other in ["br-lan", "cni0", "br-a75fe1a2845", "br-a75fe1a2845g"] {
            assert!(!is_own(other));
        }
    }
}
