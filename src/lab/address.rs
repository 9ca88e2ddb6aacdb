//! The address of a new sandbox: the next after the highest in use or used, wrapping round.
//!
//! CNI's host-local plugin hands addresses out in order for the same reason: Docker's own allocator
//! gives a dead sandbox's address to the very next one, so that a new pod would look like the old.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 network as `10.88.0.0/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subnet {
    network: u32,
    prefix: u8,
}

impl Subnet {
    fn mask(self) -> u32 {
        u32::MAX
            .checked_shl(32 - u32::from(self.prefix))
            .unwrap_or(0)
    }

    fn broadcast(self) -> u32 {
        self.network | !self.mask()
    }

    pub(crate) fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask() == self.network
    }

    /// Its first address, where Docker puts the bridge unless told otherwise.
    pub(crate) fn first(self) -> Ipv4Addr {
        Ipv4Addr::from(self.network + 1)
    }

    /// Chooses the next address: after the highest of `taken`, else from the start again, never
    /// one that is taken. `None` when the subnet is full.
    pub(crate) fn next(self, taken: &BTreeSet<Ipv4Addr>, gateway: Ipv4Addr) -> Option<Ipv4Addr> {
        let usable = self.network + 1..self.broadcast();
        let free = |address: &u32| {
            let address = Ipv4Addr::from(*address);
            address != gateway && !taken.contains(&address)
        };
        let highest = taken
            .iter()
            .copied()
            .filter(|address| self.contains(*address))
            .max()
            .map_or(self.network, u32::from);
        (highest + 1..usable.end)
            .find(free)
            .or_else(|| usable.clone().find(free))
            .map(Ipv4Addr::from)
    }
}

impl FromStr for Subnet {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = text.split_once('/').ok_or(())?;
        let address: Ipv4Addr = address.parse().map_err(|_| ())?;
        let prefix: u8 = prefix.parse().map_err(|_| ())?;
        // a network with less than two usable addresses carries no pod
        if !(1..=30).contains(&prefix) {
            return Err(());
        }
        let whole = Self { network: 0, prefix };
        Ok(Self {
            network: u32::from(address) & whole.mask(),
            prefix,
        })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.network), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(subnet: &str, taken: &[&str]) -> Option<String> {
        let subnet: Subnet = subnet.parse().unwrap();
        let taken = taken.iter().map(|a| a.parse().unwrap()).collect();
        subnet
            .next(&taken, subnet.first())
            .map(|address| address.to_string())
    }

    #[test]
    fn the_first_pod_comes_after_the_gateway() {
        assert_eq!(next("10.88.0.0/16", &[]).unwrap(), "10.88.0.2");
    }

    #[test]
    fn a_gap_is_not_filled_while_there_is_room_above() {
        let taken = ["10.88.0.2", "10.88.0.9"];
        assert_eq!(next("10.88.0.0/16", &taken).unwrap(), "10.88.0.10");
    }

    #[test]
    fn after_the_last_address_it_begins_again_with_what_is_free() {
        let taken = ["10.0.0.2", "10.0.0.6"];
        assert_eq!(next("10.0.0.0/29", &taken).unwrap(), "10.0.0.3");
    }

    #[test]
    fn a_full_subnet_has_no_next_address() {
        assert_eq!(next("10.0.0.0/30", &["10.0.0.2"]), None);
    }

    #[test]
    fn addresses_of_other_networks_do_not_count() {
        assert_eq!(next("10.0.0.0/24", &["172.17.0.9"]).unwrap(), "10.0.0.2");
    }

    #[test]
    fn what_is_no_subnet_is_refused() {
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.0/31",
            "x/8",
            "fd00::/64",
        ] {
            assert!(text.parse::<Subnet>().is_err(), "{text}");
        }
    }
}
