//! The state of a node's Docker engine, as a line of JSON for devnet.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use crate::engine::place;
use crate::engine::process::Process;
use crate::engine::unix_http;
use crate::json::{self, Value};

/// An engine that lives answers that soon.
const PATIENCE: Duration = Duration::from_secs(5);
/// The depth of folders of which the sizes are added.
const DEEPEST: usize = 64;

/// The process of the engine, where it runs.
pub(super) fn engine() -> Option<Process> {
    let pid = fs::read_to_string(place::PID).ok()?;
    let process = Process::of(pid.trim().parse().ok()?)?;
    let name = fs::read_to_string(format!("/proc/{}/comm", process.pid)).ok()?;
    (name.trim_end() == "dockerd").then_some(process)
}

/// True where the engine answers, and its guard with it.
pub(super) fn answers() -> bool {
    matches!(
        unix_http::get(place::SOCKET, "/_ping", PATIENCE),
        Ok((200, _))
    )
}

/// The state as a line.
pub(super) fn state() -> String {
    let keeper = Process::named_by(place::GUARD);
    let engine = engine();
    let running = engine.is_some() && keeper.is_some() && answers();
    let text = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let mut fields = vec![
        ("running", running.to_string()),
        (
            "guard",
            (keeper.is_some() && Path::new(place::PLUGIN_SOCKET).exists()).to_string(),
        ),
        ("data_bytes", size(Path::new(place::DATA)).to_string()),
    ];
    if let (true, Some(engine)) = (running, &engine) {
        fields.push(("pid", engine.pid.to_string()));
        fields.push(("rss", engine.memory().to_string()));
        fields.push(("address", json::quoted(&address().unwrap_or_default())));
        let version = ask("/version");
        let version = version.as_ref().and_then(|all| all.get("Version")?.text());
        fields.push(("version", json::quoted(version.unwrap_or_default())));
        fields.push(("label", json::quoted(text(place::LABEL).trim())));
        fields.push(("containers", json::list(&containers())));
    }
    if let Some(keeper) = &keeper {
        fields.push(("guard_rss", keeper.memory().to_string()));
    }
    let notes: Vec<String> = text(place::NOTES).lines().map(str::to_owned).collect();
    fields.push(("notes", json::list(&notes)));
    fields.push(("nerdctl_lines", nerdctl_lines().to_string()));
    object(&fields)
}

/// A failure as a line: devnet's exit code for it, the reason, and the way out.
pub(super) fn failure(code: u8, why: &str, hint: &str) -> String {
    let fields = [
        ("failed", json::quoted(why)),
        ("code", code.to_string()),
        ("hint", json::quoted(hint)),
    ];
    object(&fields)
}

fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{}:{value}", json::quoted(name)))
        .collect();
    format!("{{{}}}", fields.join(","))
}

/// The lines that minikube's docker-env has left in the start file of the user it logs in as: one more
/// each time.
fn nerdctl_lines() -> usize {
    /// No start file is longer, in bytes.
    const LONGEST: u64 = 1 << 20;
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let home = users.lines().find_map(|line| {
        let line = line.strip_prefix("docker:")?;
        line.split(':').nth(4)
    });
    let file = Path::new(home.unwrap_or("/home/docker")).join(".bashrc");
    let fits =
        fs::symlink_metadata(&file).is_ok_and(|about| about.is_file() && about.len() <= LONGEST);
    let text = fits.then(|| fs::read_to_string(&file).unwrap_or_default());
    let text = text.unwrap_or_default();
    text.lines()
        .filter(|line| line.contains("nerdctl.sock"))
        .count()
}

fn ask(path: &str) -> Option<Value> {
    let (status, body) = unix_http::get(place::SOCKET, path, PATIENCE).ok()?;
    (status == 200).then(|| Value::parse(&body))?
}

/// The address of the engine, by its configuration.
fn address() -> Option<String> {
    let config = Value::parse(&fs::read_to_string(place::CONFIG).ok()?)?;
    let hosts = config.get("hosts")?.list().iter();
    let mut tcp = hosts.filter_map(|host| host.text()?.strip_prefix("tcp://"));
    tcp.next().map(str::to_owned)
}

/// The names of the containers that run, which were run through the engine.
fn containers() -> Vec<String> {
    let listed = ask("/containers/json");
    let listed = listed.as_ref().map(Value::list).unwrap_or_default();
    let name = |container: &Value| {
        let name = container.get("Names")?.list().first()?.text()?;
        Some(name.trim_start_matches('/').to_owned())
    };
    listed.iter().filter_map(name).collect()
}

/// The bytes that a folder takes on its own disk.
fn size(folder: &Path) -> u64 {
    let Ok(about) = fs::symlink_metadata(folder) else {
        return 0;
    };
    sum(folder, about.dev(), 0)
}

fn sum(folder: &Path, disk: u64, depth: usize) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .filter(|(_, about)| about.dev() == disk)
        .map(|(path, about)| {
            let own = about.blocks() * 512;
            if about.is_dir() && depth < DEEPEST {
                own + sum(&path, disk, depth + 1)
            } else {
                own
            }
        })
        .sum()
}
