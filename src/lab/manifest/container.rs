//! A container of a `v1/Pod`.

use std::net::Ipv4Addr;

use super::reader::{At, Reader};
use super::{ConfigMaps, Holder, volume};
use crate::lab::plan::PodContext;
use crate::lab::{Container, Mount, Pod, Port, Pull, Text, quantity, variables};

pub(super) fn read(
    reader: &mut Reader,
    at: &At<'_>,
    pod: &Pod,
    maps: &ConfigMaps,
    init: bool,
) -> Container {
    let mut container = Container::default();
    let fields = reader.fields(at).unwrap_or_default();
    for (name, at) in &fields {
        match *name {
            "args" => container.args = reader.texts(at),
            "command" => container.command = reader.texts(at),
            // `env` overrides `envFrom`, whichever comes first in the file
            "env" | "envFrom" => {}
            "image" => container.image = reader.text(at).unwrap_or_default(),
            "imagePullPolicy" => match reader.text(at).as_deref() {
                Some("Always") => container.pull = Pull::Always,
                Some("IfNotPresent") => container.pull = Pull::IfNotPresent,
                Some("Never") => container.pull = Pull::Never,
                Some(_) => reader.refuse(at, "Always, IfNotPresent or Never is expected here"),
                None => {}
            },
            "livenessProbe" | "readinessProbe" | "startupProbe" => {
                reader.note(at, "the lab runs no probes");
            }
            "lifecycle" => reader.refuse(at, "the lab runs no hooks"),
            "name" => container.name = reader.name(at, false).unwrap_or_default(),
            "ports" => container.ports = ports(reader, at),
            "resources" => resources(reader, at, &mut container),
            "restartPolicy" if init => match reader.text(at).as_deref() {
                Some("Always") => container.sidecar = true,
                Some(_) => reader.refuse(at, "Always is expected here"),
                None => {}
            },
            "securityContext" => security(reader, at, &mut container),
            "stdin" => container.stdin = reader.boolean(at).unwrap_or_default(),
            "stdinOnce" | "terminationMessagePath" | "terminationMessagePolicy" => {
                reader.note(at, "only a kubelet heeds this");
            }
            "tty" => container.tty = reader.boolean(at).unwrap_or_default(),
            "volumeMounts" => container.mounts = mounts(reader, at, pod),
            "workingDir" => container.working_dir = reader.text(at),
            _ => reader.unknown(at),
        }
    }
    for wanted in ["envFrom", "env"] {
        if let Some((_, at)) = fields.iter().find(|(name, _)| *name == wanted) {
            for item in reader.list(at) {
                if wanted == "env" {
                    variable(reader, &item, pod, maps, &mut container);
                } else {
                    variables_from(reader, &item, pod, maps, &mut container);
                }
            }
        }
    }
    for wanted in ["name", "image"] {
        if !fields.iter().any(|(name, _)| *name == wanted) {
            reader.refuse(at, &format!("the container has no `{wanted}`"));
        }
    }
    container
}

/// Text that is taken as it is: `$(NAME)` in it stands for itself.
fn verbatim(text: &str) -> Text {
    Text::Literal(text.replace('$', "$$"))
}

fn variable(
    reader: &mut Reader,
    at: &At<'_>,
    pod: &Pod,
    maps: &ConfigMaps,
    container: &mut Container,
) {
    let mut variable = None;
    let mut value = Some(Text::Literal(String::new()));
    for (name, at) in reader.fields(at).unwrap_or_default() {
        match name {
            "name" => variable = reader.text(&at),
            "value" => value = reader.text(&at).map(Text::Literal),
            "valueFrom" => value = value_from(reader, &at, pod, maps),
            _ => reader.unknown(&at),
        }
    }
    match (variable, value) {
        (Some(name), Some(value)) if !name.is_empty() && !name.contains('=') => {
            container.environment.push((name, value));
        }
        (_, None) => {}
        _ => reader.refuse(at, "a variable has a `name` without `=`"),
    }
}

fn value_from(reader: &mut Reader, at: &At<'_>, pod: &Pod, maps: &ConfigMaps) -> Option<Text> {
    let (source, at) = reader.fields(at)?.into_iter().next()?;
    match source {
        "fieldRef" => {
            let mut path = None;
            for (name, at) in reader.fields(&at)? {
                match name {
                    "apiVersion" => {}
                    "fieldPath" => {
                        let field = reader.text(&at)?;
                        if !known(&field, pod) {
                            reader
                                .refuse(&at, &format!("the lab does not know `{field}` of a pod"));
                            return None;
                        }
                        path = Some(field);
                    }
                    _ => reader.unknown(&at),
                }
            }
            if path.is_none() {
                reader.refuse(&at, "a `fieldPath` is expected here");
            }
            path.map(Text::Field)
        }
        "configMapKeyRef" | "secretKeyRef" => {
            let holder = if source == "secretKeyRef" {
                Holder::Secret
            } else {
                Holder::ConfigMap
            };
            let (mut map, mut key, mut optional) = (None, None, false);
            for (name, at) in reader.fields(&at)? {
                match name {
                    "key" => key = reader.text(&at),
                    "name" => map = reader.text(&at),
                    "optional" => optional = reader.boolean(&at).unwrap_or_default(),
                    _ => reader.unknown(&at),
                }
            }
            let (map, key) = (map?, key?);
            let value = maps
                .get(&(holder, pod.namespace.clone(), map.clone()))
                .and_then(|values| values.get(&key));
            if value.is_none() && !optional {
                let kind = holder.kind();
                let why = format!("no key `{key}` in a {kind} `{map}` of these files");
                reader.refuse(&at, &why);
            }
            value.map(|value| verbatim(value))
        }
        _ => {
            reader.unknown(&at);
            None
        }
    }
}

fn known(field: &str, pod: &Pod) -> bool {
    let nowhere = PodContext {
        uid: String::new(),
        network: String::new(),
        address: Ipv4Addr::UNSPECIFIED,
        gateway: Ipv4Addr::UNSPECIFIED,
        probe: String::new(),
        node: String::new(),
        owner: String::new(),
    };
    variables::field(field, pod, &nowhere).is_some()
}

fn variables_from(
    reader: &mut Reader,
    at: &At<'_>,
    pod: &Pod,
    maps: &ConfigMaps,
    container: &mut Container,
) {
    let (mut prefix, mut map) = (String::new(), None);
    for (name, at) in reader.fields(at).unwrap_or_default() {
        match name {
            "configMapRef" => {
                map = volume::reference(reader, &at, Holder::ConfigMap, &pod.namespace, maps);
            }
            "secretRef" => {
                map = volume::reference(reader, &at, Holder::Secret, &pod.namespace, maps);
            }
            "prefix" => prefix = reader.text(&at).unwrap_or_default(),
            _ => reader.unknown(&at),
        }
    }
    for (name, value) in map.into_iter().flatten() {
        container
            .environment
            .push((format!("{prefix}{name}"), verbatim(value)));
    }
}

fn ports(reader: &mut Reader, at: &At<'_>) -> Vec<Port> {
    let mut ports = Vec::new();
    for item in reader.list(at) {
        let (mut container, mut host, mut host_ip) = (None, None, None);
        let mut protocol = "tcp".to_owned();
        let port = |reader: &mut Reader, at: &At<'_>| {
            reader
                .number(at, 1, 65_535)
                .and_then(|port| u16::try_from(port).ok())
        };
        let fields = reader.fields(&item).unwrap_or_default();
        for (name, at) in &fields {
            match *name {
                "containerPort" => container = port(reader, at),
                "hostIP" => host_ip = reader.text(at),
                "hostPort" => host = port(reader, at),
                "name" => {
                    reader.text(at);
                }
                "protocol" => match reader.text(at).as_deref() {
                    Some("SCTP") => "sctp".clone_into(&mut protocol),
                    Some("TCP") | None => {}
                    Some("UDP") => "udp".clone_into(&mut protocol),
                    Some(_) => reader.refuse(at, "TCP, UDP or SCTP is expected here"),
                },
                _ => reader.unknown(at),
            }
        }
        if !fields.iter().any(|(name, _)| *name == "containerPort") {
            reader.refuse(&item, "a port has a `containerPort`");
        }
        if let Some(container) = container {
            ports.push(Port {
                container,
                host,
                host_ip,
                protocol,
            });
        }
    }
    ports
}

fn mounts(reader: &mut Reader, at: &At<'_>, pod: &Pod) -> Vec<Mount> {
    let mut mounts = Vec::new();
    for item in reader.list(at) {
        let (mut volume, mut path, mut read_only) = (None, None, false);
        for (name, at) in reader.fields(&item).unwrap_or_default() {
            match name {
                "mountPath" => {
                    path = reader.text(&at);
                    if path.as_ref().is_some_and(|path| !path.starts_with('/')) {
                        reader.refuse(&at, "a path from `/` is expected here");
                    }
                }
                "name" => {
                    volume = reader.text(&at);
                    if let Some(wanted) = &volume
                        && !pod.volumes.iter().any(|v| v.name == *wanted)
                    {
                        reader.refuse(&at, &format!("the pod has no volume `{wanted}`"));
                    }
                }
                "readOnly" => read_only = reader.boolean(&at).unwrap_or_default(),
                _ => reader.unknown(&at),
            }
        }
        match (volume, path) {
            (Some(volume), Some(path)) => mounts.push(Mount {
                volume,
                path,
                read_only,
            }),
            _ => reader.refuse(&item, "a mount has a `name` and a `mountPath`"),
        }
    }
    mounts
}

fn resources(reader: &mut Reader, at: &At<'_>, container: &mut Container) {
    for (kind, at) in reader.fields(at).unwrap_or_default() {
        if !matches!(kind, "limits" | "requests") {
            reader.unknown(&at);
            continue;
        }
        for (name, at) in reader.fields(&at).unwrap_or_default() {
            let Some(text) = reader.scalar(&at) else {
                continue;
            };
            let amount = if name == "cpu" {
                quantity::milli(&text)
            } else {
                quantity::whole(&text)
            };
            if amount.is_none() {
                reader.refuse(
                    &at,
                    &format!("`{text}` is no quantity, as 500m or 64Mi are"),
                );
            }
            match (kind, name) {
                ("limits", "cpu") => container.cpu_limit = amount,
                ("limits", "memory") => container.memory_limit = amount,
                ("requests", "cpu") => container.cpu_request = amount,
                ("requests", "memory") | (_, "ephemeral-storage") => {
                    reader.note(&at, "only a cluster heeds this");
                }
                _ => reader.unknown(&at),
            }
        }
    }
}

fn security(reader: &mut Reader, at: &At<'_>, container: &mut Container) {
    for (name, at) in reader.fields(at).unwrap_or_default() {
        match name {
            "allowPrivilegeEscalation" => {
                container.no_new_privileges = reader.boolean(&at) == Some(false);
            }
            "capabilities" => {
                for (name, at) in reader.fields(&at).unwrap_or_default() {
                    match name {
                        "add" => container.add_capabilities = reader.texts(&at),
                        "drop" => container.drop_capabilities = reader.texts(&at),
                        _ => reader.unknown(&at),
                    }
                }
            }
            "privileged" => {
                if reader.boolean(&at) == Some(true) {
                    reader.refuse(&at, "the lab makes no privileged containers");
                }
            }
            "readOnlyRootFilesystem" => {
                container.read_only = reader.boolean(&at).unwrap_or_default();
            }
            "runAsGroup" => container.run_as_group = reader.number(&at, 0, i64::from(i32::MAX)),
            "runAsNonRoot" => reader.note(&at, "not checked here"),
            "runAsUser" => container.run_as_user = reader.number(&at, 0, i64::from(i32::MAX)),
            "seccompProfile" => profile(reader, &at),
            _ => reader.unknown(&at),
        }
    }
}

/// The engine's own seccomp profile is what `RuntimeDefault` means.
pub(super) fn profile(reader: &mut Reader, at: &At<'_>) {
    let kind = reader
        .fields(at)
        .unwrap_or_default()
        .into_iter()
        .find(|(name, _)| *name == "type")
        .and_then(|(_, at)| reader.text(&at));
    if kind.as_deref() != Some("RuntimeDefault") {
        reader.refuse(at, "the lab has the engine's profile only (RuntimeDefault)");
    }
}
