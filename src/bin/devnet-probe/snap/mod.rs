//! One look at a whole node, as one JSON document: every process's namespaces and sockets, every
//! network namespace's addresses and sockets, and the namespaces that are pinned by a mount.
//!
//! All of it is read from procfs; nothing is entered, traced or changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use devnet::probe::look::{Look, Namespaces, Pinned, Process, SCHEMA};

use crate::procfs;
use sockets::SeenNetwork;

pub(crate) mod sockets;
mod started;

/// A look that lasts longer is abandoned: the program must not outlive who asked for it.
const LIMIT: Duration = Duration::from_secs(50);

/// The last look's findings, which a later one may take for true.
#[derive(Default)]
struct Seen {
    /// By their numbers.
    processes: BTreeMap<u32, Started>,
    /// By their inodes.
    networks: BTreeMap<u64, SeenNetwork>,
}

/// Prints the document.
pub(crate) fn snap() {
    let _watched = watch_over();
    look(&Seen::default());
}

/// Prints the document, in one line, for every line that is read. For a line that says `changes` little
/// is read again of the processes that were there before, and of networks in which no socket came or
/// went since. For `pods` the kubelet's answer is printed instead. Ends with its input, which the engine
/// closes when whoever asked is gone, and after a while without a question.
pub(crate) fn serve() {
    let asked = watch_over();
    let mut seen = Seen::default();
    for line in std::io::stdin().lines() {
        let Ok(line) = line else { return };
        if let Ok(mut asked) = asked.lock() {
            *asked = Instant::now();
        }
        match line.as_str() {
            "pods" => {
                crate::kubelet::list_pods();
                continue;
            }
            "changes" => {}
            _ => seen = Seen::default(),
        }
        seen = look(&seen);
    }
}

/// Ends the program when it was last asked too long ago: the main thread may hang in a read of
/// procfs, or whoever asked may hang.
fn watch_over() -> Arc<Mutex<Instant>> {
    let asked = Arc::new(Mutex::new(Instant::now()));
    let seen = asked.clone();
    std::thread::spawn(move || {
        while seen.lock().is_ok_and(|asked| asked.elapsed() < LIMIT) {
            std::thread::sleep(Duration::from_secs(1));
        }
        eprintln!("snap: not done, or not asked, for {} s", LIMIT.as_secs());
        #[expect(clippy::exit, reason = "there is nothing to clean up")]
        std::process::exit(1);
    });
    asked
}

/// Prints the document of one look, and gives what it saw.
fn look(before: &Seen) -> Seen {
    let mut processes = side_by_side(&pids(), |pid| read(*pid, before.processes.get(pid)));
    let of_node: BTreeSet<u64> = processes
        .iter()
        .filter(|process| is_of_node(&process.told))
        .filter_map(|process| process.told.namespaces.mnt)
        .collect();
    // the node's own programs hold many files, and no socket of a container
    let of_container = |one: &Started| {
        let mnt = one.told.namespaces.mnt;
        !one.told.containers.is_empty() || mnt.is_some_and(|mnt| !of_node.contains(&mnt))
    };
    let held = side_by_side(&processes, |one| {
        Some(of_container(one).then(|| held_sockets(one.told.pid)))
    });
    for (one, held) in processes.iter_mut().zip(held) {
        one.told.sockets = held.flatten();
    }
    // of several processes that see one network any will do, unless it has ended meanwhile
    let mut viewers: BTreeMap<u64, Vec<&Process>> = BTreeMap::new();
    for Started { told, .. } in &processes {
        if let Some(net) = told.namespaces.net {
            viewers.entry(net).or_default().push(told);
        }
    }
    let viewers: Vec<_> = viewers.into_iter().collect();
    let found = side_by_side(&viewers, |(inode, viewers)| {
        sockets::network(*inode, viewers, before.networks.get(inode))
    });
    let pinned = pinned(&processes);
    // a number that was given to another process meanwhile proves nothing; of one that was there
    // before, its start was the first that was read
    let mut there = side_by_side(&processes, |one| {
        let same = || stat(one.told.pid).is_some_and(|now| now.start == one.start);
        Some(one.known || same())
    })
    .into_iter();
    processes.retain(|_| there.next() == Some(true));
    let starts: Vec<u64> = processes.iter().map(|one| one.start).collect();
    let (networks, signs): (Vec<_>, Vec<_>) = found.into_iter().map(SeenNetwork::parts).unzip();
    let look = Look {
        schema: SCHEMA,
        // a node that is a container starts later than its kernel
        up_since: stat(1).and_then(|first| started::in_milliseconds(first.start)),
        processes: processes.into_iter().map(|one| one.told).collect(),
        networks,
        pinned,
    };
    println!("{}", look.to_json());
    let started = |(told, start): (Process, u64)| {
        let known = true;
        (told.pid, Started { told, start, known })
    };
    let networks = look.networks.into_iter().zip(signs);
    Seen {
        processes: look
            .processes
            .into_iter()
            .zip(starts)
            .map(started)
            .collect(),
        networks: networks
            .map(|(network, signs)| (network.inode, SeenNetwork { network, signs }))
            .collect(),
    }
}

/// The results of `read` for each, in their order, on all processors: to print one table of sockets
/// the kernel walks those of all networks, which takes milliseconds.
fn side_by_side<T: Sync, R: Send>(of: &[T], read: impl Fn(&T) -> Option<R> + Sync) -> Vec<R> {
    const MOST: usize = 8;
    let next = AtomicUsize::new(0);
    let read = || {
        let mut found = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(one) = of.get(place) else {
                return found;
            };
            found.extend(read(one).map(|read| (place, read)));
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut found = std::thread::scope(|scope| {
        let others: Vec<_> = (1..workers.min(MOST)).map(|_| scope.spawn(read)).collect();
        let mut found = read();
        for other in others {
            found.extend(other.join().unwrap_or_default());
        }
        found
    });
    found.sort_unstable_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, read)| read).collect()
}

/// A process, and its start: with its number it names one process for ever.
#[derive(Clone)]
struct Started {
    told: Process,
    /// Clock ticks after boot.
    start: u64,
    /// True where it was there at the look before, and most of this is from then.
    known: bool,
}

fn pids() -> Vec<u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// A process, unless it has ended or is one of the kernel's own. What was `known` of it holds while it
/// runs the same program: one that is to be a container's enters its namespaces before it becomes that.
fn read(pid: u32, known: Option<&Started>) -> Option<Started> {
    const KTHREADD: u32 = 2;
    let stat = stat(pid)?;
    if pid == std::process::id() {
        return None;
    }
    let is_it = |known: &&Started| known.start == stat.start && known.told.command == stat.command;
    if let Some(known) = known.filter(is_it) {
        let mut same = known.clone();
        same.told.state = stat.state.to_string();
        same.told.parent = stat.parent;
        return Some(same);
    }
    let no_command =
        procfs::read(&format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.is_empty());
    if no_command && (pid == KTHREADD || stat.parent == KTHREADD) {
        return None;
    }
    let namespace = |kind: &str| link_inode(&format!("/proc/{pid}/ns/{kind}"));
    let cgroups = procfs::read(&format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let told = Process {
        pid,
        parent: stat.parent,
        state: stat.state.to_string(),
        command: stat.command,
        containers: container_ids(&cgroups),
        namespaces: Namespaces {
            net: namespace("net"),
            ipc: namespace("ipc"),
            uts: namespace("uts"),
            pid: namespace("pid"),
            mnt: namespace("mnt"),
            user: namespace("user"),
        },
        sockets: None,
    };
    Some(Started {
        told,
        start: stat.start,
        known: false,
    })
}

/// The node's first process, and those of its engine.
fn is_of_node(process: &Process) -> bool {
    process.pid == 1 || matches!(process.command.as_str(), "dockerd" | "containerd")
}

struct Stat {
    command: String,
    state: char,
    parent: u32,
    /// Field 22: clock ticks after boot; with the number it names one process for ever.
    start: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = procfs::read(&format!("/proc/{pid}/stat")).ok()?;
    // the command may hold blanks and parentheses
    let (head, tail) = text.rsplit_once(')')?;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    Some(Stat {
        command: head.split_once('(')?.1.to_owned(),
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}

/// The number between the brackets of `net:[4026531840]`.
fn link_inode(path: &str) -> Option<u64> {
    bracketed(&fs::read_link(path).ok()?.to_string_lossy())
}

fn bracketed(text: &str) -> Option<u64> {
    text.split_once('[')?.1.strip_suffix(']')?.parse().ok()
}

fn held_sockets(pid: u32) -> Option<Vec<u64>> {
    let inodes: BTreeSet<u64> = fs::read_dir(format!("/proc/{pid}/fd"))
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let target = fs::read_link(entry.path()).ok()?;
            let target = target.to_string_lossy();
            target.starts_with("socket:").then(|| bracketed(&target))?
        })
        .collect();
    Some(inodes.into_iter().collect())
}

/// Container IDs are 64 hexadecimal digits, whatever stands around them in a cgroup's path.
fn container_ids(cgroups: &str) -> Vec<String> {
    let ids: BTreeSet<&str> = cgroups
        .split(|c: char| !c.is_ascii_hexdigit())
        .filter(|word| word.len() == 64)
        .collect();
    ids.into_iter().map(str::to_owned).collect()
}

/// The kinds of namespaces of which pins are told.
const PINNED: [&str; 3] = ["net", "ipc", "uts"];

/// Namespaces that a mount keeps alive, as the node's first process and the engine's own see them.
fn pinned(processes: &[Started]) -> Vec<Pinned> {
    // one's own is in use, and no process of those that are told is in it
    let own = link_inode("/proc/self/ns/net");
    let mut views = BTreeSet::new();
    let mut found = BTreeMap::new();
    let told = processes.iter().map(|one| &one.told);
    for process in told.filter(|process| is_of_node(process)) {
        if process.namespaces.mnt.is_some_and(|mnt| !views.insert(mnt)) {
            continue;
        }
        let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", process.pid));
        for line in mounts.unwrap_or_default().lines() {
            let mut fields = line.split(' ').skip(3);
            let (Some(root), Some(path)) = (fields.next(), fields.next()) else {
                continue;
            };
            let kind = root.split(':').next().unwrap_or_default();
            if let Some(inode) = bracketed(root).filter(|_| PINNED.contains(&kind))
                && Some(inode) != own
            {
                let path = unescaped(path);
                let age = age(&format!("/proc/{}/root{path}", process.pid));
                found.insert((kind.to_owned(), inode, path), age);
            }
        }
    }
    found
        .into_iter()
        .map(|((kind, inode, path), age)| Pinned {
            kind,
            inode,
            path,
            age,
        })
        .collect()
}

/// The kernel writes a blank in a path as `\040`.
fn unescaped(path: &str) -> String {
    path.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

/// For how many seconds a pinned namespace is there.
fn age(path: &str) -> Option<u64> {
    let since = u64::try_from(fs::metadata(path).ok()?.ctime()).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    now.checked_sub(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_runs_the_same_program_is_taken_as_it_was_and_another_is_not() {
        let pid = std::os::unix::process::parent_id();
        let now = read(pid, None).unwrap();
        assert!(!now.known && now.told.namespaces.net.is_some());
        let mut before = now.clone();
        before.known = true;
        before.told.namespaces.net = Some(1);
        before.told.state = "?".to_owned();
        let net = |known: &Started| read(pid, Some(known)).unwrap().told.namespaces.net;
        let same = read(pid, Some(&before)).unwrap();
        assert!(same.known && same.told.state != "?");
        assert_eq!(same.told.namespaces.net, Some(1));
        // a number that was given anew
        let mut other = before.clone();
        other.start -= 1;
        assert_eq!(net(&other), now.told.namespaces.net);
        // a program that has become another
        before.told.command = "runc:[2:INIT]".to_owned();
        assert_eq!(net(&before), now.told.namespaces.net);
    }

    #[test]
    fn a_later_look_sees_what_the_first_one_saw_and_what_is_new() {
        let pid = std::os::unix::process::parent_id();
        let first = look(&Seen::default());
        let one = |seen: &Seen| {
            let one = &seen.processes[&pid].told;
            (one.namespaces, one.containers.clone(), one.command.clone())
        };
        let then = look(&first);
        assert_eq!(one(&then), one(&first));
        let addresses = |seen: &Seen| {
            let all = seen.networks.iter();
            let all = all.map(|(inode, one)| (*inode, one.network.addresses.clone()));
            all.collect::<BTreeMap<_, _>>()
        };
        let net = first.processes[&pid].told.namespaces.net.unwrap();
        assert_eq!(addresses(&then)[&net], addresses(&first)[&net]);
        // what is unknown is read
        let mut less = first;
        less.processes.remove(&pid);
        less.networks.clear();
        let again = look(&less);
        assert_eq!(one(&again), one(&then));
        assert_eq!(addresses(&again)[&net], addresses(&then)[&net]);
    }
}
