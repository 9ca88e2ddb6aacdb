//! A container's `/etc/resolv.conf` (resolv.conf(5)).

/// The name servers that its programs ask, and the way they ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolver {
    pub(crate) servers: Vec<String>,
    pub(crate) search: Vec<String>,
    /// As `ndots:5`.
    pub(crate) options: Vec<String>,
}

impl Resolver {
    /// Reads the file; lines that it does not know it leaves out.
    pub(crate) fn parse(text: &str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (key, rest) = (words.next(), words.map(str::to_owned));
            match key {
                Some("nameserver") => resolver.servers.extend(rest.take(1)),
                // the last one holds
                Some("search" | "domain") => resolver.search = rest.collect(),
                Some("options") => resolver.options.extend(rest),
                _ => {}
            }
        }
        resolver
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelets_file_is_read() {
        let text = "# made by hand\nnameserver 10.96.0.10\nsearch default.svc.cluster.local svc.cluster.local\noptions ndots:5\n";
        let resolver = Resolver::parse(text);
        assert_eq!(resolver.servers, ["10.96.0.10"]);
        assert_eq!(resolver.search.len(), 2);
        assert_eq!(resolver.options, ["ndots:5"]);
    }

    #[test]
    fn of_several_search_lists_the_last_holds() {
        let resolver = Resolver::parse("domain a\nsearch b c\nnameserver\nnonsense\n");
        assert_eq!(resolver.search, ["b", "c"]);
        assert_eq!(resolver.servers, [""; 0]);
    }
}
