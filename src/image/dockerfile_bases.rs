//! The images that a Dockerfile builds upon: those that BuildKit will want for a target.

use std::collections::{BTreeMap, BTreeSet};

use crate::image::dockerfile::{instructions, words};
use crate::image::reference::canonical;

/// A stage, and the names of what it is made of: images, or stages before it.
struct Stage {
    name: Option<String>,
    parts: Vec<String>,
}

/// The options of a build that decide on its bases.
#[derive(Clone, Copy)]
pub(crate) struct Choice<'a> {
    pub(crate) target: Option<&'a str>,
    pub(crate) build_args: &'a BTreeMap<String, String>,
    /// Named contexts, which stand for images of that name.
    pub(crate) contexts: &'a BTreeMap<String, String>,
}

/// True where what a Dockerfile builds can change though neither its context nor the images of `bases` do:
/// it fetches something, or builds upon an image that can't be told.
pub(crate) fn builds_upon_more(dockerfile: &str, build_args: &BTreeMap<String, String>) -> bool {
    let fetches = instructions(dockerfile).into_iter().any(|(text, _)| {
        let words = words(&text);
        let is_add = words.first().is_some_and(|first| first == "ADD");
        // `git@host:…`, a URL, or a variable that may be either
        let from_elsewhere =
            |word: &String| ["://", "$", "git@"].iter().any(|mark| word.contains(mark));
        is_add && words.iter().any(from_elsewhere)
    });
    let stages = stages(dockerfile, build_args);
    let mut parts = stages.iter().flat_map(|stage| &stage.parts);
    fetches || parts.any(|part| part.contains('$'))
}

/// The full names of the images that a Dockerfile builds upon, without those that can't be told: with
/// a variable that only BuildKit knows.
pub(crate) fn bases(dockerfile: &str, choice: Choice<'_>) -> BTreeSet<String> {
    let stages = stages(dockerfile, choice.build_args);
    let mut wanted: Vec<usize> = target(&stages, choice.target).into_iter().collect();
    let mut seen = BTreeSet::new();
    let mut images = BTreeSet::new();
    while let Some(index) = wanted.pop() {
        if !seen.insert(index) {
            continue;
        }
        for (place, part) in stages[index].parts.iter().enumerate() {
            // a number is a stage in `--from` alone
            let number = part.parse().ok().filter(|_| place > 0);
            let earlier = stages[..index].iter().rposition(|stage| stage.is(part));
            match earlier.or(number.filter(|number| *number < index)) {
                Some(stage) => wanted.push(stage),
                None if part == "scratch" || part.contains('$') => {}
                None if choice.contexts.keys().any(|name| same(name, part)) => {}
                None => {
                    images.insert(canonical(part));
                }
            }
        }
    }
    images
}

impl Stage {
    fn is(&self, name: &str) -> bool {
        let own = self.name.as_deref();
        own.is_some_and(|own| own.eq_ignore_ascii_case(name))
    }
}

/// The stage that is built: by its name or number, else the last.
fn target(stages: &[Stage], named: Option<&str>) -> Option<usize> {
    let Some(named) = named else {
        return stages.len().checked_sub(1);
    };
    let number = || named.parse().ok().filter(|number| *number < stages.len());
    stages
        .iter()
        .rposition(|stage| stage.is(named))
        .or_else(number)
}

/// True where a named context stands for an image.
fn same(context: &str, image: &str) -> bool {
    context == image || canonical(context) == canonical(image)
}

fn stages(dockerfile: &str, build_args: &BTreeMap<String, String>) -> Vec<Stage> {
    let mut arguments = BTreeMap::new();
    let mut stages: Vec<Stage> = Vec::new();
    for (text, _) in instructions(dockerfile) {
        let words = words(&text);
        let Some((first, rest)) = words.split_first() else {
            continue;
        };
        match first.as_str() {
            // what stands in a stage holds there, and no `FROM` reads it
            "ARG" if stages.is_empty() => {
                for word in rest {
                    let (name, default) = match word.split_once('=') {
                        Some((name, default)) => (name, Some(unquoted(default))),
                        None => (word.as_str(), None),
                    };
                    let default = default.map(|text| expanded(text, &arguments));
                    if let Some(value) = build_args.get(name).cloned().or(default) {
                        arguments.insert(name.to_owned(), value);
                    }
                }
            }
            "FROM" => {
                let mut rest = rest.iter().filter(|word| !word.starts_with("--"));
                let base = rest.next().map(|base| expanded(base, &arguments));
                let named = rest.next().filter(|word| word.eq_ignore_ascii_case("as"));
                stages.push(Stage {
                    name: named.and_then(|_| rest.next()).cloned(),
                    parts: base.into_iter().collect(),
                });
            }
            "RUN" | "COPY" | "ADD" => {
                let flags = rest.iter().take_while(|word| word.starts_with("--"));
                let sources = flags.filter_map(|flag| source(first, flag));
                if let Some(stage) = stages.last_mut() {
                    stage.parts.extend(sources);
                }
            }
            _ => {}
        }
    }
    stages
}

/// The image or stage that an instruction's flag reads from: `--from=X` of a copy, `--mount=…,from=X`
/// of a command.
fn source(instruction: &str, flag: &str) -> Option<String> {
    let named = if instruction == "RUN" {
        let mut parts = flag.strip_prefix("--mount=")?.split(',');
        parts.find_map(|part| part.strip_prefix("from="))?
    } else {
        flag.strip_prefix("--from=")?
    };
    let named = unquoted(named);
    (!named.is_empty()).then(|| named.to_owned())
}

fn unquoted(text: &str) -> &str {
    let quoted = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    quoted('"').or_else(|| quoted('\'')).unwrap_or(text)
}

/// The variable's name with which a text begins, and what follows it.
fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    end.and_then(|end| text.split_at_checked(end))
        .unwrap_or((text, ""))
}

/// A text with its variables' values; one that is not known stays as it stands.
fn expanded(text: &str, arguments: &BTreeMap<String, String>) -> String {
    let mut whole = String::new();
    let mut rest = unquoted(text);
    while let Some((before, after)) = rest.split_once('$') {
        whole.push_str(before);
        let (variable, behind) = match after.strip_prefix('{') {
            Some(braced) => match braced.split_once('}') {
                Some(parts) => parts,
                None => (braced, ""),
            },
            None => word(after),
        };
        let (name, operation) = word(variable);
        let value = arguments.get(name).map(String::as_str);
        let filled = value.filter(|value| !value.is_empty());
        let value = match operation.split_at_checked(2) {
            Some((":-", default)) => filled.or(Some(default)),
            Some((":+", other)) => Some(filled.map_or("", |_| other)),
            _ => value,
        };
        if let Some(value) = value {
            whole.push_str(value);
        } else {
            whole.push('$');
            whole.push_str(name);
        }
        rest = behind;
    }
    whole + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(dockerfile: &str, target: Option<&str>, arguments: &[(&str, &str)]) -> Vec<String> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let choice = Choice {
            target,
            build_args: &arguments.iter().map(own).collect(),
            contexts: &BTreeMap::from([own(&("given", "docker-image://x"))]),
        };
        let all = bases(dockerfile, choice).into_iter();
        all.map(|name| name.trim_start_matches("docker.io/library/").to_owned())
            .collect()
    }

    #[test]
    fn images_are_told_from_stages_and_from_what_stands_for_them() {
        let text = "FROM golang:1 AS build\nRUN x\nFROM scratch\nCOPY --from=Build /a /\n\
            COPY --from=alpine /b /\nCOPY --from=0 /c /\nRUN --mount=type=bind,from=\"tools:2\",target=/t x\n\
            COPY --from=given /d /\n";
        assert_eq!(
            of(text, None, &[]),
            ["alpine:latest", "golang:1", "tools:2"]
        );
        assert!(of("FROM scratch\nCOPY . /\n", None, &[]).is_empty());
        assert!(of("# nothing\n", None, &[]).is_empty());
    }

    #[test]
    fn what_a_target_does_not_need_is_not_asked_for() {
        let text = "FROM a AS one\nFROM b AS two\nFROM one AS three\nCOPY --from=two / /\nFROM c\n";
        assert_eq!(of(text, None, &[]), ["c:latest"]);
        assert_eq!(of(text, Some("one"), &[]), ["a:latest"]);
        assert_eq!(of(text, Some("THREE"), &[]), ["a:latest", "b:latest"]);
        assert_eq!(of(text, Some("1"), &[]), ["b:latest"]);
        assert!(of(text, Some("absent"), &[]).is_empty());
    }

    #[test]
    fn arguments_before_the_first_stage_are_what_it_is_made_from() {
        let text = "ARG TAG=\"3.20\"\nARG BASE=alpine:${TAG}\nARG REG\n\
            FROM ${REG:-reg.io}/$BASE AS one\nFROM ${BASE}-slim\nCOPY --from=one / /\n";
        let known = ["docker.io/library/alpine:3.20-slim", "reg.io/alpine:3.20"];
        let short = known.map(|name| name.trim_start_matches("docker.io/library/"));
        assert_eq!(of(text, None, &[]), short);
        let given = [("BASE", "debian"), ("REG", "localhost:5000")];
        assert_eq!(
            of(text, None, &given),
            ["debian-slim:latest", "localhost:5000/debian:latest"]
        );
        assert!(of("FROM app:$UNKNOWN\n", None, &[("UNKNOWN", "1")]).is_empty());
        let platform = "FROM --platform=$BUILDPLATFORM alpine AS a\nFROM a\n";
        assert_eq!(of(platform, None, &[]), ["alpine:latest"]);
    }

    #[test]
    fn what_is_fetched_and_images_that_can_not_be_told_are_more_than_bases() {
        let more = |text: &str| builds_upon_more(text, &BTreeMap::new());
        for text in [
            "FROM a\nADD https://host/x /x\n",
            "FROM a\nadd --chmod=600 http://host/x /x\n",
            "FROM a\nADD git@host:o/r.git /r\n",
            "FROM a\nARG URL\nADD ${URL} /x\n",
            "FROM base:${TARGETARCH}\n",
            "FROM a\nCOPY --from=tools:$V / /\n",
        ] {
            assert!(more(text), "{text}");
        }
        for text in [
            "ARG V=1\nFROM a:$V AS b\nRUN curl https://host/x\nFROM b\nADD x.tar /\nCOPY . /\n",
            "FROM --platform=$BUILDPLATFORM a\nCOPY <<EOF /x\nADD https://host/x /\nEOF\n",
        ] {
            assert!(!more(text), "{text}");
        }
    }

    #[test]
    fn what_looks_like_an_instruction_inside_a_document_is_none() {
        let text = "FROM a\nRUN <<EOF cat > /x\nFROM b\nEOF\nCOPY <<-'END' /y\n\tFROM c\n\tEND\n\
            RUN tool \\\n  # FROM d\n  --from=no\nCOPY --link \\\n  --from=yes / /\n";
        assert_eq!(of(text, None, &[]), ["a:latest", "yes:latest"]);
    }
}
