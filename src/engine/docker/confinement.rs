//! The confinement of helpers that have capabilities: devnet's own seccomp profile. The probe looks
//! itself whether it is in force, and does not run without it.

use bollard::models::HostConfig;

use crate::engine::docker::Docker;
use crate::engine::job::Power;

/// An allow list: nothing by which a process reads past what the kernel shows it, enters another
/// namespace, mounts, or reaches the kernel's own workings.
const PROFILE: &str = include_str!("../../../templates/helper-seccomp.json");

/// The calls with which a debugger reads and writes another process, beside `/proc`.
const TRACING: [&str; 3] = ["ptrace", "process_vm_readv", "process_vm_writev"];

fn capabilities(power: Power) -> Vec<String> {
    let names: &[&str] = match power {
        Power::None | Power::Root => &[],
        // the links in /proc/PID/ns and /proc/PID/root, and those in /proc/PID/fd of other users
        Power::Look | Power::Lent => &["SYS_PTRACE", "DAC_READ_SEARCH"],
        Power::Tools => &["SYS_PTRACE", "DAC_READ_SEARCH", "SYS_CHROOT"],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

impl Docker {
    /// Gives a helper its power, and the profile that goes with it.
    pub(super) fn confine(&self, power: Power, host: HostConfig) -> HostConfig {
        if power == Power::None {
            return host;
        }
        let mut options = host.security_opt.unwrap_or_default();
        options.push("apparmor=unconfined".into());
        // podman takes the name of a file on its own computer
        if !self.greeting().is_podman {
            options.push(format!("seccomp={}", profile(power)));
        }
        HostConfig {
            cap_add: Some(capabilities(power)),
            security_opt: Some(options),
            ..host
        }
    }

    /// The words before those of the probe's program: by them it confines itself where the engine
    /// can't, and runs only where the system calls are refused that the profile forbids.
    pub(super) fn confining_words(&self, power: Power) -> Vec<String> {
        let how = if self.greeting().is_podman {
            "confine"
        } else {
            "confined"
        };
        let words: &[&str] = match power {
            Power::None | Power::Root => &[],
            Power::Look | Power::Tools => &[how],
            Power::Lent => &[how, "lent"],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }
}

/// The profile in one line, for `SecurityOpt`.
fn profile(power: Power) -> String {
    let mut profile: serde_json::Value = serde_json::from_str(PROFILE).unwrap_or_default();
    if let (Power::Lent, Some(rules)) = (power, profile["syscalls"].as_array_mut()) {
        rules.push(serde_json::json!({"names": TRACING, "action": "SCMP_ACT_ALLOW"}));
    }
    profile.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(power: Power) -> Vec<String> {
        let profile: serde_json::Value = serde_json::from_str(&profile(power)).unwrap();
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
        let rules = profile["syscalls"].as_array().unwrap();
        let allow = rules
            .iter()
            .filter(|rule| rule["action"] == "SCMP_ACT_ALLOW");
        let names = allow.flat_map(|rule| rule["names"].as_array().unwrap().clone());
        names
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn what_reads_past_a_container_is_allowed_to_nobody() {
        for power in [Power::Look, Power::Tools, Power::Lent] {
            let allowed = allowed(power);
            for name in [
                "open_by_handle_at",
                "name_to_handle_at",
                "pidfd_getfd",
                "setns",
                "unshare",
                "mount",
                "move_mount",
                "open_tree",
                "fsopen",
                "mount_setattr",
                "pivot_root",
                "bpf",
                "perf_event_open",
                "kcmp",
                "init_module",
                "kexec_load",
                "keyctl",
                "userfaultfd",
                "io_uring_setup",
                "clone3",
            ] {
                assert!(!allowed.iter().any(|one| one == name), "{power:?} {name}");
            }
            let traces = TRACING
                .iter()
                .all(|name| allowed.iter().any(|one| one == name));
            assert_eq!(traces, power == Power::Lent);
        }
    }

    #[test]
    fn a_process_may_be_made_only_in_the_namespaces_of_its_parent() {
        let profile: serde_json::Value = serde_json::from_str(PROFILE).unwrap();
        let rules = profile["syscalls"].as_array().unwrap();
        let clone = rules
            .iter()
            .find(|rule| rule["names"] == serde_json::json!(["clone"]));
        // CLONE_NEWCGROUP, UTS, IPC, USER, PID, NET; NEWNS has a bit of its own
        let mask = clone.unwrap()["args"][0]["value"].as_u64().unwrap();
        for flag in [
            0x0200_0000_u64,
            0x0400_0000,
            0x0800_0000,
            0x1000_0000,
            0x2000_0000,
            0x4000_0000,
            0x0002_0000,
        ] {
            assert_eq!(mask & flag, flag, "{flag:x}");
        }
    }
}
