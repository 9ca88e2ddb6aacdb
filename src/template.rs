//! The one door to `templates/`: prompt hooks, pods and Dockerfiles to start from. Each is a valid file of its own
//! language; what can be set stands in its head as `# set NAME=DEFAULT: what it is`.

use crate::error::{Error, Result};

/// A template.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Template {
    pub(crate) name: &'static str,
    text: &'static str,
}

macro_rules! templates {
    ($folder:literal, $file:literal, $($name:literal)*) => {
        &[$(Template {
            name: $name,
            text: include_str!(concat!("../templates/", $folder, "/", $name, $file)),
        }),*]
    };
}

/// Manifests for `devnet lab up` and `kubectl apply`; the first is the lab's own.
pub(crate) const PODS: &[Template] = templates!(
    "pods", ".yaml",
    "two-containers" "sidecar" "server-client" "init-container" "port-clash" "distroless"
);

pub(crate) const DOCKERFILES: &[Template] = templates!(
    "dockerfiles", "/Dockerfile",
    "rust" "go" "node" "python" "java" "static"
);

/// The `.dockerignore` that belongs to each Dockerfile.
pub(crate) const IGNORE_FILES: &[Template] = templates!(
    "dockerfiles", "/.dockerignore",
    "rust" "go" "node" "python" "java" "static"
);

/// The prompt hooks of `devnet hook`; `DEVNET_PROGRAM` stands for devnet's own path, quoted.
pub(crate) const HOOK_BASH: &str = include_str!("../templates/shell/devnet.bash");
pub(crate) const HOOK_ELVISH: &str = include_str!("../templates/shell/devnet.elv");
pub(crate) const HOOK_FISH: &str = include_str!("../templates/shell/devnet.fish");
pub(crate) const HOOK_NU: &str = include_str!("../templates/shell/devnet.nu");
pub(crate) const HOOK_PWSH: &str = include_str!("../templates/shell/devnet.ps1");
pub(crate) const HOOK_TCSH: &str = include_str!("../templates/shell/devnet.tcsh");
pub(crate) const HOOK_XONSH: &str = include_str!("../templates/shell/devnet.xsh");
pub(crate) const HOOK_ZSH: &str = include_str!("../templates/shell/devnet.zsh");

/// The words that bash's completion needs beside its script.
pub(crate) const COMPLETION_WORDS_BASH: &str = include_str!("../templates/shell/words.bash");

/// The look of the drawing of pods, alone or in a page.
pub(crate) const GRAPH_DRAWING_STYLE: &str = include_str!("../templates/report/drawing.css");

/// The page of `devnet graph -o html`, filled: `parts` are the names of its comments and what takes
/// their place. Its style and script come into it, so that it asks for nothing else.
pub(crate) fn graph_page(parts: &[(&str, &str)]) -> String {
    let style = include_str!("../templates/report/graph.css");
    let script = include_str!("../templates/report/graph.js");
    let page = include_str!("../templates/report/graph.html")
        .replace(
            "<link rel=\"stylesheet\" href=\"graph.css\">",
            &format!("<style>\n{style}</style>"),
        )
        .replace(
            "<script src=\"graph.js\"></script>",
            &format!("<script>\n{script}</script>"),
        );
    // all at once: what is filled in is not looked through again
    let mut out = String::new();
    let mut rest = page.as_str();
    while let Some((before, name, after)) = rest.split_once("<!--").and_then(|(before, rest)| {
        rest.split_once("-->")
            .map(|(name, after)| (before, name, after))
    }) {
        out.push_str(before);
        let part = parts.iter().find(|(known, _)| *known == name);
        out.push_str(part.map_or("", |(_, text)| text));
        rest = after;
    }
    out + rest
}

/// Something that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) default: &'static str,
    pub(crate) about: &'static str,
}

impl Template {
    /// Its description in one line: its first.
    pub(crate) fn about(&self) -> &'static str {
        let first = self.text.lines().next().unwrap_or_default();
        first.strip_prefix("# ").unwrap_or_default()
    }

    pub(crate) fn parameters(&self) -> impl Iterator<Item = Parameter> {
        self.text.lines().filter_map(parameter)
    }

    /// Fills in what is set, each `name=value`; the rest keeps its default.
    ///
    /// # Errors
    /// Usage, for what can't be set and for values that would need quotes somewhere.
    pub(crate) fn fill(&self, sets: &[String]) -> Result<String> {
        let mut values: Vec<(Parameter, &str)> = Vec::new();
        for set in sets {
            let Some((name, value)) = set.split_once('=') else {
                return Err(Error::usage(format!("`{set}` is not NAME=VALUE")));
            };
            let Some(parameter) = self.parameters().find(|known| known.name == name) else {
                let known: Vec<&str> = self.parameters().map(|known| known.name).collect();
                let error = Error::usage(format!("`{name}` can't be set in `{}`", self.name));
                return Err(if known.is_empty() {
                    error.hint("nothing can be set in it")
                } else {
                    error.hint(format!("these can: {}", known.join(", ")))
                });
            };
            let plain = |c: char| c.is_ascii_alphanumeric() || "._:/@-".contains(c);
            if value.is_empty() || !value.chars().all(plain) {
                return Err(Error::usage(format!(
                    "`{value}` can't be filled in: letters, digits and . _ : / @ - can"
                )));
            }
            values.push((parameter, value));
        }
        let mut text = String::new();
        for line in self.text.lines().filter(|line| parameter(line).is_none()) {
            text.push_str(&substitute(line, &values));
            text.push('\n');
        }
        Ok(text)
    }
}

fn parameter(line: &'static str) -> Option<Parameter> {
    let (set, about) = line.strip_prefix("# set ")?.split_once(": ")?;
    let (name, default) = set.split_once('=')?;
    Some(Parameter {
        name,
        default,
        about,
    })
}

/// Replaces each default where it stands as a word of its own. All at once: a value that looks
/// like another's default is not replaced again.
fn substitute(line: &str, values: &[(Parameter, &str)]) -> String {
    let mut out = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        let fresh = !out
            .chars()
            .next_back()
            .is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        let found = values.iter().find_map(|(parameter, value)| {
            let after = rest.strip_prefix(parameter.default).filter(|_| fresh)?;
            let goes_on = |c: char| c.is_ascii_alphanumeric() || c == '_';
            (!after.starts_with(goes_on)).then_some((value, after))
        });
        if let Some((value, after)) = found {
            out.push_str(value);
            rest = after;
        } else {
            let mut chars = rest.chars();
            out.extend(chars.next());
            rest = chars.as_str();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(templates: &'static [Template], name: &str) -> &'static Template {
        templates.iter().find(|one| one.name == name).unwrap()
    }

    #[test]
    fn every_template_says_what_it_is_and_uses_what_it_lets_set() {
        for template in PODS.iter().chain(DOCKERFILES) {
            assert!(!template.about().is_empty(), "{}", template.name);
            for parameter in template.parameters() {
                let set = [format!("{}=x-1.y", parameter.name)];
                let filled = template.fill(&set).unwrap();
                assert!(filled.contains("x-1.y"), "{} {parameter:?}", template.name);
                assert_ne!(filled, template.fill(&[]).unwrap());
                assert!(!filled.contains("# set "));
            }
        }
    }

    #[test]
    fn every_pod_is_one_that_the_lab_takes() {
        for template in PODS {
            for sets in [vec![], vec!["name=other".to_owned()]] {
                let text = template.fill(&sets).unwrap();
                let read = crate::lab::manifest::read(&[(template.name.into(), text)]).unwrap();
                assert!(read.notes.is_empty(), "{:?}", read.notes);
                assert!(sets.is_empty() || read.pods[0].name == "other");
            }
        }
    }

    #[test]
    fn every_dockerfile_has_its_ignore_file_and_no_root() {
        let names = |templates: &[Template]| -> Vec<&str> {
            templates.iter().map(|template| template.name).collect()
        };
        assert_eq!(names(DOCKERFILES), names(IGNORE_FILES));
        for template in DOCKERFILES {
            let text = template.fill(&[]).unwrap();
            assert!(text.contains("\nUSER 65532:65532\n"), "{}", template.name);
        }
    }

    #[test]
    fn a_value_takes_the_place_of_whole_words_only() {
        let parameter = Parameter {
            name: "program",
            default: "app",
            about: "",
        };
        let values = [(parameter, "shop")];
        assert_eq!(
            substitute("cp target/app /app apps app.jar", &values),
            "cp target/shop /shop apps shop.jar"
        );
    }

    #[test]
    fn what_can_not_be_set_is_refused() {
        let pod = named(PODS, "two-containers");
        for (set, why) in [
            ("name", "`name` is not NAME=VALUE"),
            ("nme=x", "`nme` can't be set in `two-containers`"),
            ("name=", "`` can't be filled in"),
            ("name=a\nb", "can't be filled in"),
            ("name=${x}", "can't be filled in"),
        ] {
            let error = pod.fill(&[set.to_owned()]).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
