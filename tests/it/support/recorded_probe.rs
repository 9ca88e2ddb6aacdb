//! The output that the probe would have given on the recorded node, made from its kernel's words.

use serde_json::{Value, json};

use super::replay::recorded;

/// A line of `ss`, as the probe would tell it.
pub(crate) struct Told {
    pub(crate) proto: String,
    pub(crate) family: u64,
    pub(crate) address: String,
    pub(crate) port: u64,
    pub(crate) state: String,
    pub(crate) remote: Option<String>,
    pub(crate) pids: Vec<u64>,
    command: String,
}

impl Told {
    pub(crate) fn parse(line: &str) -> Self {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = fields[4].rsplit_once(':').unwrap();
        let (to, to_port) = fields[5].rsplit_once(':').unwrap();
        let pids = line.split("pid=").skip(1).map(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap()
        });
        let pids: Vec<u64> = pids.collect();
        let command = line.split('"').nth(1).unwrap_or_default().to_owned();
        // `*` is a socket of both families
        let plain = address.trim_start_matches('[').trim_end_matches(']');
        let plain = if plain == "*" { "::" } else { plain };
        Self {
            proto: fields[0].into(),
            family: if plain.contains(':') { 6 } else { 4 },
            address: plain.into(),
            port: port.parse().unwrap(),
            state: fields[1].replace('-', "_"),
            remote: (to_port != "*").then(|| format!("{to}:{to_port}")),
            pids,
            command,
        }
    }
}

/// The sockets of a network of the recording.
pub(crate) fn sockets(network: &Value) -> Vec<Told> {
    let lines = network["all"].as_array().unwrap();
    lines
        .iter()
        .map(|line| Told::parse(line.as_str().unwrap()))
        .collect()
}

/// The number in `net:[4026532692]`.
#[track_caller]
pub(crate) fn inode(namespace: &Value) -> u64 {
    let text = namespace.as_str().unwrap();
    text[text.find('[').unwrap() + 1..text.len() - 1]
        .parse()
        .unwrap()
}

/// The addresses of a network that are neither its loopback's nor link-local.
pub(crate) fn addresses(network: &Value) -> Vec<String> {
    let all = network["addr"].as_array().unwrap().iter();
    all.filter(|one| one["scope"] == "global")
        .map(|one| one["local"].as_str().unwrap().to_owned())
        .collect()
}

/// The document.
pub(crate) fn document() -> String {
    let (kernel, netns) = (recorded("kernel.json"), recorded("netns.json"));
    let mut processes = Vec::new();
    let mut networks = Vec::new();
    let mut number = 1000;
    let mut held: Vec<(u64, String, u64)> = Vec::new();
    for (inode, network) in netns.as_object().unwrap() {
        let told = sockets(network);
        let rows: Vec<Value> = told
            .iter()
            .map(|socket| {
                number += 1;
                let held_by = socket.pids.iter();
                held.extend(held_by.map(|pid| (*pid, socket.command.clone(), number)));
                let waits = socket.state == "TIME_WAIT";
                json!({
                    "proto": socket.proto, "family": socket.family, "address": socket.address, "port": socket.port,
                    "remote": socket.remote, "state": socket.state, "queue": 0,
                    "inode": if waits { Value::Null } else { number.into() },
                })
            })
            .collect();
        networks.push(json!({
            "inode": inode.parse::<u64>().unwrap(), "addresses": addresses(network),
            "primary": ["192.0.2.2", "fd00::2"], "sockets": rows,
        }));
    }
    let of = |pid: u64| -> Vec<u64> {
        let mine = held.iter().filter(|(holder, ..)| *holder == pid);
        mine.map(|(.., inode)| *inode).collect()
    };
    let mut node = json!({});
    for one in kernel.as_array().unwrap() {
        let Some(pid) = one["pid"].as_u64().filter(|pid| *pid > 0) else {
            continue;
        };
        let kinds = ["net", "ipc", "uts", "pid", "mnt", "user"];
        let namespaces: Value = kinds
            .iter()
            .map(|kind| ((*kind).to_owned(), Value::from(inode(&one["ns"][kind]))))
            .collect::<serde_json::Map<_, _>>()
            .into();
        // each of the node's own namespaces is that of a container which was given the node's
        node["user"] = namespaces["user"].clone();
        for (mode, kind) in [
            ("networkMode", "net"),
            ("ipcMode", "ipc"),
            ("pidMode", "pid"),
            ("utsMode", "uts"),
        ] {
            if one[mode] == "host" {
                node[kind] = namespaces[kind].clone();
            }
        }
        let command = held.iter().find(|(holder, ..)| *holder == pid);
        processes.push(json!({
            "pid": pid, "parent": 1, "state": "S", "command": command.map_or("sleep", |(_, command, _)| command),
            "containers": [one["id"]], "namespaces": namespaces, "sockets": of(pid),
        }));
    }
    // the node's own: its first process and those that hold sockets and are in no container
    let strangers: Vec<(u64, String)> = held
        .iter()
        .filter(|(pid, ..)| processes.iter().all(|process| process["pid"] != *pid))
        .map(|(pid, command, _)| (*pid, command.clone()))
        .collect();
    node["mnt"] = 1.into();
    for (pid, command) in [(1, "systemd".to_owned())].into_iter().chain(strangers) {
        processes.push(json!({
            "pid": pid, "parent": 0, "state": "S", "command": command,
            "containers": [], "namespaces": node, "sockets": of(pid),
        }));
    }
    json!({ "schema": 1, "processes": processes, "networks": networks, "pinned": [] }).to_string()
}
