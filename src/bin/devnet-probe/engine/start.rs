//! The start of a node's Docker engine: what it needs is looked at first, then its keeper is started
//! and waited for until the engine answers.

use std::fs;
use std::io;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::engine::network::{self, Networks};
use crate::engine::output::{SHORT, output, program};
use crate::engine::process::{Process, until, until_gone};
use crate::engine::registries::Registries;
use crate::engine::{clean, place, report, system};
use crate::json;

/// The oldest engine that can keep its images in a containerd of others.
const OLDEST: u32 = 24;
/// The time that an engine has to answer for the first time.
const READY: Duration = Duration::from_secs(40);
/// The time that one which was killed has to be taken away.
const AWAY: Duration = Duration::from_secs(15);
/// The exit codes of devnet's that a failure means.
const FAILED: u8 = 1;
const UNREACHABLE: u8 = 3;

/// A failure in a line of JSON.
type Failure = String;

/// Starts the engine unless it runs; gives the line that tells.
pub(super) fn start(label: &str, wanted: &str) -> Result<String, Failure> {
    if report::engine().is_some() && report::answers() && Process::named_by(place::GUARD).is_some()
    {
        return Ok(report::state());
    }
    clear()?;
    let version = version()?;
    certificates()?;
    let address = address(wanted)?;
    let failed = |what: String| report::failure(FAILED, &what, "");
    let mut child = match prepare(label, &address)
        .map_err(failed)
        .and_then(|()| launch())
    {
        Ok(child) => child,
        Err(why) => {
            clean::all();
            return Err(why);
        }
    };
    let ended = |child: &mut Option<Child>| match child {
        Some(child) => matches!(child.try_wait(), Ok(Some(_))),
        None => !Path::new(place::STATE).exists(),
    };
    let mut last = String::new();
    until(READY, || {
        if let Some(line) = complaint() {
            last = line;
        }
        report::answers() || ended(&mut child)
    });
    if report::answers() && report::engine().is_some() {
        return Ok(report::state());
    }
    if let Some(keeper) = Process::named_by(place::GUARD) {
        keeper.signal(system::SIGTERM);
        if !until_gone(place::STATE, AWAY) {
            keeper.signal(system::SIGKILL);
            until_gone(place::STATE, AWAY);
        }
    }
    clean::all();
    let why = if last.is_empty() {
        "it said nothing".to_owned()
    } else {
        last
    };
    Err(report::failure(
        FAILED,
        &format!("dockerd {version} did not start: {why}"),
        "",
    ))
}

/// The last thing that the engine complained of.
fn complaint() -> Option<String> {
    let log = fs::read_to_string(place::LOG).ok()?;
    let line = log.lines().rev().find(|line| {
        !line.trim().is_empty() && !line.contains("level=info") && !line.contains("level=debug")
    })?;
    let message = line
        .split_once(" msg=")
        .map_or(line, |(_, message)| message);
    Some(message.trim_matches('"').to_owned())
}

/// Takes away what is left of an engine that has ended.
fn clear() -> Result<(), Failure> {
    if let Some(keeper) = Process::named_by(place::GUARD) {
        keeper.signal(system::SIGTERM);
        until(AWAY, || !keeper.lives());
        keeper.signal(system::SIGKILL);
    }
    // the one that cleans up after the keeper does it
    if !until_gone(place::STATE, Duration::from_secs(2)) {
        clean::all();
    }
    if Path::new(place::STATE).exists() {
        let why = "what an engine before has left can't be removed";
        return Err(report::failure(FAILED, why, "restart the node"));
    }
    Ok(())
}

/// The version of the engine that lies on the node, where it is new enough.
fn version() -> Result<String, Failure> {
    let works = "`devnet build` and `devnet load` need no Docker engine";
    let said = output("dockerd", &["--version"], SHORT).map_err(|why| {
        let why = format!("the node has no Docker engine that can be started: {why}");
        report::failure(UNREACHABLE, &why, works)
    })?;
    let version = said.split("version ").nth(1).unwrap_or_default();
    let version = version.split([',', ' ', '\n']).next().unwrap_or_default();
    let major = version
        .split('.')
        .next()
        .and_then(|number| number.parse().ok());
    match major {
        Some(major) if OLDEST <= major => Ok(version.to_owned()),
        _ => Err(report::failure(
            UNREACHABLE,
            &format!(
                "the node's dockerd is {version}, and only {OLDEST} and newer can use the node's containerd"
            ),
            works,
        )),
    }
}

fn certificates() -> Result<(), Failure> {
    let absent = |file: &&&str| !Path::new(file).is_file();
    match place::CERTIFICATES.iter().find(absent) {
        None => Ok(()),
        Some(file) => Err(report::failure(
            UNREACHABLE,
            &format!("the node has no {file}, which minikube puts there"),
            "minikube start",
        )),
    }
}

/// The node's own address at which the engine is to listen: the one that its record names, where it is
/// this machine's, else the one by which it reaches others.
fn address(wanted: &str) -> Result<String, Failure> {
    let own =
        |address: &IpAddr| !address.is_unspecified() && UdpSocket::bind((*address, 0)).is_ok();
    let wanted = wanted
        .parse()
        .ok()
        .filter(|address: &IpAddr| !address.is_loopback());
    let address = wanted.filter(own).or_else(|| {
        // nothing is sent
        let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
        socket.connect("192.0.2.1:9").ok()?;
        Some(socket.local_addr().ok()?.ip())
    });
    let Some(address) = address else {
        let why = "the node has no address of its own";
        return Err(report::failure(FAILED, why, ""));
    };
    match TcpListener::bind((address, place::PORT)) {
        Ok(_free) => Ok(match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        }),
        Err(error) => {
            let port = place::PORT;
            let why = format!("something else of the node listens at {address}:{port}: {error}");
            let hint = format!("on the node, `sudo ss -ltnp 'sport = :{port}'` names it");
            Err(report::failure(FAILED, &why, &hint))
        }
    }
}

/// Writes all that the engine is to find.
fn prepare(label: &str, address: &str) -> Result<(), String> {
    let wrong = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| format!("{what}: {error}")
    };
    let mut found = network::bridges();
    for folder in place::SHARED {
        if Path::new(folder).exists() {
            found.push(folder.to_owned());
        }
    }
    for folder in [
        place::STATE,
        place::DATA,
        place::PROGRAM_FOLDER,
        place::PLUGINS,
    ] {
        let mut builder = fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(folder);
        made.map_err(wrong(folder))?;
    }
    let own = fs::read("/proc/self/exe").map_err(wrong("this program"))?;
    let copy = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o500)
        .open(place::PROGRAM)
        .and_then(|mut file| io::Write::write_all(&mut file, &own));
    copy.map_err(wrong(place::PROGRAM))?;

    let registries = Registries::of_containerd(Path::new("/etc/containerd"));
    let mut notes = registries.notes.clone();
    for (registry, ca) in &registries.cas {
        let folder = format!("{}/{registry}", place::REGISTRY_CAS);
        let file = format!("{folder}/devnet.crt");
        let linked =
            fs::create_dir_all(&folder).and_then(|()| std::os::unix::fs::symlink(ca, &file));
        match linked {
            Ok(()) => found.push(format!("added {file}")),
            Err(error) => notes.push(format!("the CA of {registry}: {error}")),
        }
    }
    let before = fs::read_to_string(place::NETWORKS).ok();
    let networks = Networks::choose(before.as_deref().and_then(Networks::read))?;
    let write = |file: &str, text: String| fs::write(file, text).map_err(wrong(file));
    write(place::FOUND, found.join("\n"))?;
    write(place::NETWORKS, networks.written())?;
    write(place::LABEL, label.to_owned())?;
    write(place::CONFIG, config(label, address, networks, &registries))?;
    notes.extend(networks.make()?);
    write(place::NOTES, notes.join("\n"))
}

/// The engine's configuration. `/dev/null` is no configuration to older ones, and the node's own names
/// another store.
fn config(label: &str, address: &str, networks: Networks, registries: &Registries) -> String {
    let quoted = json::quoted;
    let [ca, certificate, key] = place::CERTIFICATES;
    let hosts = [
        format!("unix://{}", place::SOCKET),
        format!("tcp://{address}:{}", place::PORT),
    ];
    let fields = [
        ("features", r#"{"containerd-snapshotter":true}"#.to_owned()),
        ("containerd", quoted(place::CONTAINERD)),
        ("containerd-namespace", quoted("k8s.io")),
        ("data-root", quoted(place::DATA)),
        ("exec-root", quoted(place::EXEC_ROOT)),
        ("pidfile", quoted(place::PID)),
        ("hosts", json::list(&hosts)),
        // its socket would be the group's of that name, of which the node's user is one
        ("group", quoted("root")),
        ("tlsverify", "true".to_owned()),
        ("tlscacert", quoted(ca)),
        ("tlscert", quoted(certificate)),
        ("tlskey", quoted(key)),
        (
            "labels",
            json::list(&[format!("dev.devnet.engine={label}")]),
        ),
        (
            "authorization-plugins",
            json::list(&[place::PLUGIN.to_owned()]),
        ),
        ("bridge", quoted(place::BRIDGE)),
        (
            "default-address-pools",
            format!(r#"[{{"base":{},"size":24}}]"#, quoted(&networks.pool())),
        ),
        // the cluster's network is not this engine's to change
        ("ip-forward", "false".to_owned()),
        ("iptables", "false".to_owned()),
        ("ip6tables", "false".to_owned()),
        ("registry-mirrors", json::list(&registries.mirrors)),
        ("insecure-registries", json::list(&registries.insecure)),
    ];
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{}:{value}", quoted(name)))
        .collect();
    format!("{{{}}}\n", fields.join(","))
}

/// Starts the keeper, which outlives this program: as a unit where systemd runs.
fn launch() -> Result<Option<Child>, Failure> {
    let failed = |what: String| report::failure(FAILED, &what, "");
    if Path::new("/run/systemd/system").is_dir() {
        let words = [
            "--quiet",
            "--collect",
            &format!("--unit={}", place::UNIT),
            "--description=the Docker engine that devnet runs",
            "--property=Delegate=yes",
            "--property=TimeoutStopSec=60",
            // also where all of its processes were killed at once
            &format!("--property=ExecStopPost=-{} engine ended", place::PROGRAM),
            "--",
            place::PROGRAM,
            "engine",
            "keep",
        ];
        let mut outcome = Ok(String::new());
        // the unit of one that has just ended goes a moment later
        until(AWAY, || {
            outcome = output("systemd-run", &words, SHORT);
            !matches!(&outcome, Err(why) if why.contains("already loaded"))
        });
        return outcome.map(|_nothing| None).map_err(failed);
    }
    let child = program(place::PROGRAM)
        .args(["engine", "keep"])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let child = child.map_err(|error| failed(format!("{}: {error}", place::PROGRAM)))?;
    Ok(Some(child))
}
