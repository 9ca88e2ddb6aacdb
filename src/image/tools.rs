//! Which image of a node makes the best shell for a pod that has none: told by name and configuration,
//! without running anything.

/// An image, as far as this question goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ToolImage {
    pub(crate) id: String,
    pub(crate) names: Vec<String>,
    pub(crate) size: i64,
    pub(crate) entrypoint: Vec<String>,
    pub(crate) command: Vec<String>,
    /// Go's word.
    pub(crate) architecture: String,
}

/// What is made for looking around, then what is small and has much in it, then whole systems.
const KNOWN: [&str; 9] = [
    "netshoot",
    "toolbox",
    "alpine",
    "busybox",
    "debian",
    "ubuntu",
    "fedora",
    "buildpack-deps",
    "bash",
];

const SHELLS: [&str; 4] = ["sh", "ash", "bash", "zsh"];

/// Those that should have a shell, best first. An image whose own command is a shell is a system's.
pub(crate) fn best(images: &[ToolImage], architecture: &str) -> Vec<ToolImage> {
    let mut ranked: Vec<(usize, &ToolImage)> = images
        .iter()
        .filter(|image| image.architecture == architecture)
        .filter_map(|image| Some((rank(image)?, image)))
        .collect();
    ranked.sort_by_key(|(rank, image)| (*rank, image.size, &image.id));
    ranked.into_iter().map(|(_, image)| image.clone()).collect()
}

fn rank(image: &ToolImage) -> Option<usize> {
    let known = image.names.iter().filter_map(|name| {
        let last = name.rsplit('/').next().unwrap_or(name);
        let bare = last.split([':', '@']).next().unwrap_or(last);
        KNOWN.iter().position(|known| *known == bare)
    });
    let program = |words: &[String]| {
        let first = words.first()?;
        Some(first.rsplit('/').next().unwrap_or(first).to_owned())
    };
    let starts_a_shell = image.entrypoint.is_empty()
        && image.command.len() == 1
        && program(&image.command).is_some_and(|name| SHELLS.contains(&name.as_str()));
    known.min().or(starts_a_shell.then_some(KNOWN.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(id: &str, name: &str, command: &[&str], size: i64) -> ToolImage {
        ToolImage {
            id: id.into(),
            names: vec![name.into()],
            size,
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            architecture: "amd64".into(),
            ..ToolImage::default()
        }
    }

    #[test]
    fn tools_come_before_systems_and_what_has_no_shell_is_left_out() {
        let mut server = image("s", "shop:1", &["sh"], 1);
        server.entrypoint = vec!["/server".into()];
        let all = [
            image("a", "registry.k8s.io/pause:3.9", &[], 1),
            image("b", "shop/base:2", &["/bin/bash"], 9),
            image("c", "shop/base:1", &["bash"], 5),
            image("d", "docker.io/library/debian:12", &["bash"], 100),
            image("e", "localhost:5000/busybox", &["sh"], 4),
            image("f", "nicolaka/netshoot:latest", &["zsh"], 300),
            image("g", "job:1", &["sh", "-c", "work"], 1),
            image("h", "busybox-like:1", &["/serve"], 1),
            ToolImage {
                architecture: "arm64".into(),
                ..image("i", "alpine:3", &["/bin/sh"], 7)
            },
            server,
        ];
        let best: Vec<String> = best(&all, "amd64").into_iter().map(|one| one.id).collect();
        assert_eq!(best, ["f", "e", "d", "c", "b"]);
    }
}
