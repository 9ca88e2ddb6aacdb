//! The look at a node: one JSON document in one line, which the probe writes and devnet reads. Each
//! part is named here alone, for both.

use std::fmt::Write as _;

/// The version of the document.
pub const SCHEMA: u32 = 1;

/// All that a look sees of a node.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cli", derive(serde::Deserialize))]
pub struct Look {
    pub schema: u32,
    /// The start of the node's first process, in milliseconds since 1970.
    pub up_since: Option<i64>,
    pub processes: Vec<Process>,
    pub networks: Vec<Network>,
    pub pinned: Vec<Pinned>,
}

/// A process that is none of the kernel's own.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cli", derive(serde::Deserialize))]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    /// The kernel's letter: `R`, `S`, `D`, `T`, ...
    pub state: String,
    pub command: String,
    /// The container IDs in its cgroups' paths.
    pub containers: Vec<String>,
    pub namespaces: Namespaces,
    /// Inodes of the sockets that it holds; `None` where that could not be or was not read.
    pub sockets: Option<Vec<u64>>,
}

/// Kernel inode numbers of a process's namespaces; they compare only within one node and boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Deserialize, serde::Serialize))]
pub struct Namespaces {
    pub net: Option<u64>,
    pub ipc: Option<u64>,
    pub uts: Option<u64>,
    pub pid: Option<u64>,
    pub mnt: Option<u64>,
    pub user: Option<u64>,
}

/// A network namespace that processes are in.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cli", derive(serde::Deserialize))]
pub struct Network {
    pub inode: u64,
    /// Without loopback and link-local ones.
    pub addresses: Vec<String>,
    /// Those in the network of the default route.
    pub primary: Vec<String>,
    pub sockets: Vec<Socket>,
}

/// A row of a network's tables of sockets.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cli", derive(serde::Deserialize))]
pub struct Socket {
    /// `tcp` or `udp`.
    pub proto: String,
    pub family: u8,
    pub address: String,
    pub port: u16,
    pub remote: Option<String>,
    /// As ss(8) calls it.
    pub state: String,
    /// The bytes, or connections, that wait to be taken.
    pub queue: Option<u32>,
    /// `None` for a connection that nobody holds any more.
    pub inode: Option<u64>,
}

/// A namespace that a mount keeps alive.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "cli", derive(serde::Deserialize))]
pub struct Pinned {
    /// `net`, `ipc` or `uts`.
    pub kind: String,
    pub inode: u64,
    pub path: String,
    /// Seconds.
    pub age: Option<u64>,
}

impl Look {
    /// The document, in one line.
    pub fn to_json(&self) -> String {
        let mut json = String::new();
        self.write(&mut json);
        json
    }
}

/// A value that is written as JSON: with std alone, as the probe is.
trait Json {
    fn write(&self, json: &mut String);
}

macro_rules! numbers {
    ($($number:ty)+) => { $(
        impl Json for $number {
            fn write(&self, json: &mut String) {
                let _infallible = write!(json, "{self}");
            }
        }
    )+ };
}

macro_rules! objects {
    ($($shape:ident { $($field:ident),+ })+) => { $(
        impl Json for $shape {
            fn write(&self, json: &mut String) {
                // a field that is forgotten here does not compile
                let Self { $($field),+ } = self;
                json.push('{');
                $(
                    stringify!($field).write(json);
                    json.push(':');
                    $field.write(json);
                    json.push(',');
                )+
                let _comma = json.pop();
                json.push('}');
            }
        }
    )+ };
}

numbers! { u8 u16 u32 u64 i64 }

objects! {
    Look { schema, up_since, processes, networks, pinned }
    Process { pid, parent, state, command, containers, namespaces, sockets }
    Namespaces { net, ipc, uts, pid, mnt, user }
    Network { inode, addresses, primary, sockets }
    Socket { proto, family, address, port, remote, state, queue, inode }
    Pinned { kind, inode, path, age }
}

impl Json for str {
    fn write(&self, json: &mut String) {
        json.push('"');
        for c in self.chars() {
            match c {
                '"' | '\\' => json.extend(['\\', c]),
                c if c.is_control() => {
                    let _infallible = write!(json, "\\u{:04x}", u32::from(c));
                }
                c => json.push(c),
            }
        }
        json.push('"');
    }
}

impl Json for String {
    fn write(&self, json: &mut String) {
        self.as_str().write(json);
    }
}

impl<T: Json> Json for Option<T> {
    fn write(&self, json: &mut String) {
        match self {
            Some(value) => value.write(json),
            None => json.push_str("null"),
        }
    }
}

impl<T: Json> Json for Vec<T> {
    fn write(&self, json: &mut String) {
        json.push('[');
        for (index, value) in self.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            value.write(json);
        }
        json.push(']');
    }
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;

    #[test]
    fn what_the_probe_writes_is_what_devnet_reads() {
        let look = Look {
            schema: SCHEMA,
            up_since: None,
            processes: vec![Process {
                pid: 7,
                parent: 1,
                state: "S".into(),
                command: "a \"b\\ \u{1b}[2J\u{9b}\nü".into(),
                containers: vec!["c".repeat(64)],
                namespaces: Namespaces {
                    net: Some(u64::MAX),
                    ..Namespaces::default()
                },
                sockets: None,
            }],
            networks: vec![Network {
                inode: 4_026_531_840,
                addresses: vec!["10.244.0.9".into(), "fd00::9".into()],
                primary: Vec::new(),
                sockets: vec![Socket {
                    proto: "tcp".into(),
                    family: 6,
                    address: "::".into(),
                    port: 8080,
                    remote: None,
                    state: "LISTEN".into(),
                    queue: Some(0),
                    inode: Some(11),
                }],
            }],
            pinned: vec![Pinned {
                kind: "net".into(),
                inode: 9,
                path: "/run/netns/x y".into(),
                age: Some(3),
            }],
        };
        let json = look.to_json();
        assert!(!json.contains(char::is_control), "one line: {json}");
        let read: Look = serde_json::from_str(&json).unwrap();
        assert_eq!(format!("{read:?}"), format!("{look:?}"));
        assert_eq!(read.to_json(), json);
    }
}
