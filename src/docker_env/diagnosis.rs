//! The things that can stand between a person and their cluster's engine: findings, each with what
//! was seen and the one thing to do. Facts in, findings out.

use std::net::IpAddr;

use crate::finding::{Finding, Severity};
use crate::runtime_kind::RuntimeKind;
use crate::wording::counted;

/// A node, as the doctor met it.
#[derive(Debug, serde::Serialize)]
pub(crate) struct CheckedNode {
    pub(crate) name: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) runtime: RuntimeKind,
    pub(crate) answers: bool,
    pub(crate) version: Option<String>,
    pub(crate) api_version: Option<String>,
}

/// All that was found.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Report {
    pub(crate) schema: u32,
    /// The minikube profile; `null` for another engine.
    pub(crate) profile: Option<String>,
    /// The thing that decided it.
    pub(crate) decided_by: String,
    pub(crate) nodes: Vec<CheckedNode>,
    /// The worst first.
    #[serde(skip)]
    pub(crate) findings: Vec<Finding>,
}

/// The settings of docker's variables and files in the calling shell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shell {
    /// `DOCKER_HOST`.
    pub(crate) host: Option<String>,
    /// True where `DOCKER_TLS_VERIFY` is set.
    pub(crate) verified: bool,
    /// `MINIKUBE_ACTIVE_DOCKERD`.
    pub(crate) active: Option<String>,
    /// The context that docker would use without `DOCKER_HOST`, where it points, and what chose it.
    pub(crate) context: Option<Chosen>,
}

/// A docker context that was chosen.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) name: String,
    pub(crate) host: Option<String>,
    /// `DOCKER_CONTEXT`, or docker's file.
    pub(crate) by: String,
}

/// The commands that mend a shell, in its own words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fixes {
    /// Points it at the profile.
    pub(crate) take: String,
    /// Gives it back as it was.
    pub(crate) give_back: String,
    pub(crate) unset_host: String,
    pub(crate) verify: String,
}

/// Findings about a shell by itself.
pub(crate) fn shell(shell: &Shell, fixes: &Fixes) -> Vec<Finding> {
    let Some(host) = &shell.host else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let from_a_profile = shell.active.is_some();
    let tcp = host.starts_with("tcp://") || host.starts_with("http");
    if tcp && !shell.verified {
        let message = "docker speaks plain HTTP to DOCKER_HOST: DOCKER_TLS_VERIFY is not set";
        let fix = if from_a_profile {
            &fixes.take
        } else {
            &fixes.verify
        };
        // 2376 is where engines listen with TLS
        let severity = if from_a_profile || host.trim_end_matches('/').ends_with(":2376") {
            Severity::Error
        } else {
            Severity::Warning
        };
        findings.push(
            Finding::new("no-tls", severity, message, fix)
                .seen(format!("DOCKER_HOST={host}"))
                .seen("DOCKER_TLS_VERIFY is empty or not set"),
        );
    }
    if let Some(chosen) = &shell.context
        && chosen.host.as_ref() != Some(host)
        // who points a shell at a cluster wants that, unless a context of ours is to lead there
        && (!from_a_profile || chosen.name.starts_with("devnet-"))
    {
        let fix = if from_a_profile {
            &fixes.give_back
        } else {
            &fixes.unset_host
        };
        let message = format!(
            "DOCKER_HOST hides the docker context `{}` in this shell",
            chosen.name
        );
        let to = chosen
            .host
            .as_deref()
            .unwrap_or("an address that can't be read");
        findings.push(
            Finding::new("hidden-context", Severity::Warning, message, fix)
                .seen(format!("DOCKER_HOST={host}"))
                .seen(format!("{} chooses `{}`, at {to}", chosen.by, chosen.name)),
        );
    }
    findings
}

/// The one who answers at an address that a shell points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndpointAnswer {
    /// The engine of the machine of this name.
    Machine(String),
    /// Nobody, and why.
    None(String),
}

/// A shell that came from a profile and points at none of the profile's addresses. `at` is where
/// the profile's control plane is, when that is known.
pub(crate) fn astray(
    host: &str,
    profile: &str,
    at: Option<&str>,
    answer: &EndpointAnswer,
    fixes: &Fixes,
) -> Option<Finding> {
    let evidence = |finding: Finding| {
        let finding = finding
            .seen(format!("DOCKER_HOST={host}"))
            .seen(format!("MINIKUBE_ACTIVE_DOCKERD={profile}"));
        match at {
            Some(at) => finding.seen(format!("profile `{profile}` is at {at}")),
            None => finding,
        }
    };
    match (answer, at) {
        // another way to the same machine
        (EndpointAnswer::Machine(name), _) if name == profile => None,
        (EndpointAnswer::Machine(name), _) => {
            let message = format!(
                "DOCKER_HOST points at another node: `{name}` answers there, not `{profile}`"
            );
            let fix = at.map_or(&fixes.give_back, |_| &fixes.take);
            Some(evidence(Finding::new(
                "other-node",
                Severity::Error,
                message,
                fix,
            )))
        }
        (EndpointAnswer::None(why), Some(at)) => {
            let message = format!("DOCKER_HOST is stale: profile `{profile}` is at {at} now");
            Some(
                evidence(Finding::new(
                    "stale-port",
                    Severity::Error,
                    message,
                    &fixes.take,
                ))
                .seen(why.clone()),
            )
        }
        // the profile's own finding says it all
        (EndpointAnswer::None(_), None) => None,
    }
}

/// A certificate's end, against now; both in seconds since 1970.
pub(crate) fn certificate(
    file: &str,
    not_after: i64,
    ends: &str,
    now: i64,
    fix: &str,
) -> Option<Finding> {
    /// minikube makes new ones only with a new machine: that wants to be planned.
    const SOON: i64 = 30 * 24 * 3600;
    let days = (not_after - now) / (24 * 3600);
    if not_after <= now {
        let message = format!("the certificate `{file}` has expired");
        Some(
            Finding::new("certificate-expired", Severity::Error, message, fix)
                .seen(format!("{file} ended {ends}")),
        )
    } else if not_after - now < SOON {
        let message = format!(
            "the certificate `{file}` expires in {}",
            counted(usize::try_from(days).unwrap_or(0), "day")
        );
        Some(
            Finding::new("certificate-expiring", Severity::Warning, message, fix)
                .seen(format!("{file} ends {ends}")),
        )
    } else {
        None
    }
}

/// A node's clock minus this computer's, in seconds.
pub(crate) fn clock(offset: i64, fix: &str) -> Option<Finding> {
    /// Above what reading both clocks takes, below what builds and tokens bear.
    const BEARABLE: i64 = 10;
    (offset.abs() > BEARABLE).then(|| {
        let direction = if offset > 0 { "ahead" } else { "behind" };
        let message = format!(
            "the node's clock is {} s {direction}: new files look old, tokens and certificates invalid",
            offset.abs()
        );
        Finding::new("clock-skew", Severity::Warning, message, fix)
    })
}

/// Two API versions, as `1.41`, in their order.
pub(crate) fn older(one: &str, other: &str) -> bool {
    let numbers = |text: &str| {
        let (major, minor) = text.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    };
    matches!((numbers(one), numbers(other)), (Some(one), Some(other)) if one < other)
}

/// A proxy that docker would ask for a node.
pub(crate) fn proxy(
    host: &str,
    port: u16,
    proxies: &[(String, String)],
    exceptions: Option<&(String, String)>,
    fix: &str,
) -> Option<Finding> {
    let (name, _) = proxies.first()?;
    if goes_without_proxy(host, port, exceptions.map_or("", |(_, list)| list)) {
        return None;
    }
    let message =
        format!("docker asks the proxy of `{name}` for {host}: NO_PROXY does not cover it");
    // a proxy's address may hold a password
    let finding =
        Finding::new("proxy", Severity::Warning, message, fix).seen(format!("{name} is set"));
    Some(match exceptions {
        Some((name, list)) => finding.seen(format!("{name}={list}")),
        None => finding.seen("NO_PROXY is not set"),
    })
}

/// True where a Go program such as docker reaches a host without its proxy.
fn goes_without_proxy(host: &str, port: u16, list: &str) -> bool {
    let ip = host.parse::<IpAddr>().ok();
    if host == "localhost" || ip.is_some_and(|ip| ip.is_loopback()) {
        return true;
    }
    list.split(',').map(str::trim).any(|entry| {
        if entry == "*" {
            return true;
        }
        if let (Some(ip), Some((network, bits))) = (ip, entry.split_once('/'))
            && let (Ok(network), Ok(bits)) = (network.parse(), bits.parse())
        {
            return contains(network, bits, ip);
        }
        let (name, its_port) = match entry.rsplit_once(':') {
            Some((name, text)) if !name.contains(':') || name.ends_with(']') => (name, Some(text)),
            _ => (entry, None),
        };
        if its_port.is_some_and(|its| its != port.to_string()) {
            return false;
        }
        let name = name.trim_start_matches('[').trim_end_matches(']');
        if let Some(ip) = ip {
            return name.parse() == Ok(ip);
        }
        let name = name.trim_start_matches('*').to_ascii_lowercase();
        let host = host.to_ascii_lowercase();
        let bare = name.trim_start_matches('.');
        !bare.is_empty()
            && (host == bare && !name.starts_with('.') || host.ends_with(&format!(".{bare}")))
    })
}

fn contains(network: IpAddr, bits: u32, ip: IpAddr) -> bool {
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            network.to_bits() & mask == ip.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            network.to_bits() & mask == ip.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.code).collect()
    }

    fn chosen(name: &str, host: &str) -> Chosen {
        Chosen {
            name: name.into(),
            host: Some(host.into()),
            by: "DOCKER_CONTEXT".into(),
        }
    }

    #[test]
    fn a_shell_that_a_profile_set_may_hide_every_context_but_ours() {
        let mut says = Shell {
            host: Some("tcp://192.168.49.2:2376".into()),
            verified: true,
            active: Some("dev".into()),
            context: Some(chosen("desktop", "unix:///x")),
        };
        let found = |says: &Shell| codes(&shell(says, &Fixes::default())).join(" ");
        assert_eq!(found(&says), "");
        says.context = Some(chosen("devnet-dev", "tcp://127.0.0.1:1"));
        assert_eq!(found(&says), "hidden-context");
        says.context = Some(chosen("devnet-dev", "tcp://192.168.49.2:2376"));
        assert_eq!(found(&says), "", "both lead to the same place");
        says.active = None;
        says.context = Some(chosen("desktop", "unix:///x"));
        assert_eq!(found(&says), "hidden-context");
        says.verified = false;
        assert_eq!(found(&says), "no-tls hidden-context");
        says.host = None;
        assert_eq!(found(&says), "");
    }

    #[test]
    fn a_shell_astray_is_told_by_who_answers_there() {
        let astray = |answer: &EndpointAnswer, at| {
            astray("tcp://127.0.0.1:1", "dev", at, answer, &Fixes::default())
                .map(|finding| finding.code)
        };
        let none = EndpointAnswer::None("connection refused".into());
        assert_eq!(astray(&none, Some("tcp://127.0.0.1:2")), Some("stale-port"));
        assert_eq!(astray(&none, None), None);
        let other = EndpointAnswer::Machine("other".into());
        assert_eq!(
            astray(&other, Some("tcp://127.0.0.1:2")),
            Some("other-node")
        );
        assert_eq!(astray(&other, None), Some("other-node"));
        assert_eq!(astray(&EndpointAnswer::Machine("dev".into()), None), None);
    }

    #[test]
    fn certificates_expire_and_warn_a_month_before() {
        let day = 24 * 3600;
        let code = |left: i64| {
            certificate("ca.pem", 1000 * day + left, "then", 1000 * day, "fix")
                .map(|finding| finding.code)
        };
        assert_eq!(code(31 * day), None);
        assert_eq!(code(29 * day), Some("certificate-expiring"));
        assert_eq!(code(0), Some("certificate-expired"));
    }

    #[test]
    fn no_proxy_is_read_as_go_programs_read_it() {
        let covers = |host: &str, list: &str| goes_without_proxy(host, 2376, list);
        for (host, list) in [
            ("127.0.0.2", ""),
            ("::1", ""),
            ("localhost", ""),
            ("192.168.49.2", "*"),
            ("192.168.49.2", "a, 192.168.49.2"),
            ("192.168.49.2", "192.168.0.0/16"),
            ("192.168.49.2", "0.0.0.0/0"),
            ("192.168.49.2", "192.168.49.2:2376"),
            ("fd00::2", "fd00::/8"),
            ("fd00::2", "[fd00::2]:2376"),
            ("node.example", "example"),
            ("node.example", ".example"),
            ("node.example", "*.example"),
            ("Node.Example", "node.example"),
        ] {
            assert!(covers(host, list), "{host} in {list}");
        }
        for (host, list) in [
            ("192.168.49.2", ""),
            ("192.168.49.2", "192.168.49"),
            ("192.168.49.2", "192.168.49.22"),
            ("192.168.49.2", "192.168.58.0/24"),
            ("192.168.49.2", "192.168.49.2:80"),
            ("192.168.49.2", "10.0.0.0/8,localhost"),
            ("fd00::2", "fe80::/10"),
            ("example", ".example"),
            ("badexample", "example"),
        ] {
            assert!(!covers(host, list), "{host} in {list}");
        }
    }

    #[test]
    fn api_versions_are_numbers() {
        assert!(older("1.9", "1.10"));
        assert!(!older("1.44", "1.44"));
        assert!(!older("x", "1.44"));
    }

    #[test]
    fn a_clock_that_is_a_little_off_is_none() {
        assert!(clock(10, "").is_none());
        assert!(clock(-3600, "").unwrap().message.contains("3600 s behind"));
    }
}
