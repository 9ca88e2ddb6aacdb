//! The end of a node's Docker engine: what it and its keeper made is taken away, but for the data.

use std::fs;
use std::path::Path;

use crate::engine::network::{self, Networks};
use crate::engine::output::{SHORT, output};
use crate::engine::place;
use crate::engine::system;
use crate::json::Value;

/// Takes all away; what is not there is no failure. The state's folder goes last: as long as it is
/// there, nobody starts another engine.
pub(super) fn all() {
    let gone = |path: &str| drop(fs::remove_file(path));
    gone(place::PLUGIN_SOCKET);
    gone(&format!("{}.new", place::PLUGIN_SOCKET));
    // without its word nothing tells what was there before
    if !Path::new(place::STATE).exists() {
        let _not_there = fs::remove_dir_all(place::PROGRAM_FOLDER);
        return parents();
    }
    end_containers();
    end_build_steps();
    unmount();
    let found = fs::read_to_string(place::FOUND).unwrap_or_default();
    let was_there = |what: &str| found.lines().any(|line| line == what);
    for link in network::bridges() {
        if !was_there(&link) {
            network::remove_link(&link);
        }
    }
    let networks = fs::read_to_string(place::NETWORKS).ok();
    if let Some(networks) = networks.as_deref().and_then(Networks::read) {
        networks.remove();
    }
    for line in found.lines() {
        // what this engine added to a folder that others have too
        if let Some(file) = line.strip_prefix("added ") {
            gone(file);
            if let Some((folder, _)) = file.rsplit_once('/') {
                let _others_are_there = fs::remove_dir(folder);
            }
        }
    }
    for folder in place::SHARED {
        if !was_there(folder) {
            let _others_are_there = fs::remove_dir(folder);
        }
    }
    gone(place::SOCKET);
    let _not_there = fs::remove_dir_all(place::PROGRAM_FOLDER);
    let _not_there = fs::remove_dir_all(place::STATE);
    parents();
}

/// Takes away the folders that hold nothing any more.
pub(super) fn parents() {
    let _others_are_there = fs::remove_dir(place::RUN);
    let _others_are_there = fs::remove_dir(place::LIB);
}

/// Ends the containers that an engine which was killed has left; they are told by its own folder.
fn end_containers() {
    let ctr = |words: &[&str]| output("ctr", &[&["-n", "k8s.io"], words].concat(), SHORT);
    let folder = format!(
        "labels.\"com.docker/engine.bundle.path\"~=\"^{}/\"",
        place::EXEC_ROOT
    );
    // a containerd that is away has none to list
    let listed = ctr(&["containers", "list", "--quiet", &folder]).unwrap_or_default();
    for id in listed.lines().map(str::trim).filter(|id| !id.is_empty()) {
        let _ended_already = ctr(&["tasks", "delete", "--force", id]);
        let _gone = ctr(&["containers", "delete", id]);
    }
}

/// Kills the steps of BuildKit's builds that an engine which was killed has left: of each the kernel has
/// ended the runc that started it, and nothing more. They are told by their files, which lie in its data.
fn end_build_steps() {
    /// No state of a container is longer, in bytes.
    const LONGEST: u64 = 1 << 20;
    for entry in fs::read_dir(place::RUNC).into_iter().flatten().flatten() {
        let state = entry.path().join("state.json");
        let fits = fs::metadata(&state).is_ok_and(|about| about.len() <= LONGEST);
        let text = fits.then(|| fs::read_to_string(&state).unwrap_or_default());
        let state = text.and_then(|text| Value::parse(&text));
        let files = state.as_ref().and_then(|state| {
            let configuration = state.get("config")?;
            configuration.get("rootfs")?.text()
        });
        let is_own = files.is_some_and(|files| Path::new(files).starts_with(place::DATA));
        if let (true, Some(id)) = (is_own, entry.file_name().to_str()) {
            let _ended_already = output("runc", &["delete", "--force", id], SHORT);
        }
    }
}

/// Unmounts what an engine that was killed has left in its folders.
fn unmount() {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let places = table.lines().filter_map(|line| line.split(' ').nth(4));
    let own = |place: &&str| {
        let under = |folder: &str| {
            let rest = place.strip_prefix(folder);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        under(place::STATE) || under(place::DATA)
    };
    let mut own: Vec<&str> = places.filter(own).collect();
    // what is mounted in others goes before them
    own.reverse();
    for place in own {
        system::unmount(place);
    }
}
