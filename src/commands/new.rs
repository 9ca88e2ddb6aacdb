//! `devnet new`: a pod manifest or a Dockerfile to start from.

use std::path::Path;

use crate::command_line;
use crate::commands::invocation::Context;
use crate::error::{Error, Result};
use crate::template::{DOCKERFILES, IGNORE_FILES, PODS, Template};

/// Write a template to stdout: a pod manifest or a Dockerfile to start from
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet new pod --list                                    what there is, and what can be set
  devnet new pod --template sidecar | devnet lab up -
  devnet new pod --set name=shop --set port=9000 > shop.yaml
  devnet new dockerfile --template go > Dockerfile         without --template: what this folder looks like
  devnet new dockerignore --template go > .dockerignore")]
pub(crate) struct Args {
    kind: TemplateKind,
    #[arg(help = "Which one", short, long, value_name = "NAME")]
    template: Option<String>,
    /// Fill in a value
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// List the templates
    #[arg(long, conflicts_with_all = ["template", "set"])]
    list: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum TemplateKind {
    Dockerfile,
    Dockerignore,
    Pod,
}

impl TemplateKind {
    fn templates(self) -> &'static [Template] {
        match self {
            Self::Dockerfile => DOCKERFILES,
            Self::Dockerignore => IGNORE_FILES,
            Self::Pod => PODS,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Dockerfile => "dockerfile",
            Self::Dockerignore => "dockerignore",
            Self::Pod => "pod",
        }
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let text = if args.list {
        list(args.kind)
    } else {
        chosen(args, context)?.fill(&args.set)?
    };
    context.ui.data(&text).map_err(Error::stdout)
}

fn chosen(args: &Args, context: &Context) -> Result<&'static Template> {
    let templates = args.kind.templates();
    let hint = format!(
        "`{}` shows them",
        command_line::with("devnet new", [args.kind.word(), "--list"])
    );
    if let Some(name) = &args.template {
        return templates
            .iter()
            .find(|template| template.name == name)
            .ok_or_else(|| {
                Error::usage(format!(
                    "there is no {} template `{name}`",
                    args.kind.word()
                ))
                .hint(hint)
            });
    }
    if args.kind == TemplateKind::Pod {
        return Ok(&templates[0]);
    }
    let (name, file) = here(Path::new(".")).ok_or_else(|| {
        Error::usage("this folder does not say which language it is in").hint(hint)
    })?;
    context
        .ui
        .say(&format!("`{file}` is here: the template is `{name}`"));
    templates
        .iter()
        .find(|template| template.name == name)
        .ok_or_else(|| Error::usage(format!("there is no template `{name}`")))
}

/// The language of a folder, by the file that shows it.
fn here(folder: &Path) -> Option<(&'static str, &'static str)> {
    [
        ("rust", "Cargo.toml"),
        ("go", "go.mod"),
        ("java", "pom.xml"),
        ("node", "package.json"),
        ("python", "requirements.txt"),
        ("static", "public/index.html"),
    ]
    .into_iter()
    .find(|(_, file)| folder.join(file).exists())
}

fn list(kind: TemplateKind) -> String {
    let mut lines = Vec::new();
    for template in kind.templates() {
        // an ignore file has no line for itself: it belongs to the Dockerfile of its name
        let named = |other: &&Template| other.name == template.name;
        let about = match kind {
            TemplateKind::Dockerignore => {
                DOCKERFILES.iter().find(named).map_or("", Template::about)
            }
            TemplateKind::Dockerfile | TemplateKind::Pod => template.about(),
        };
        lines.push(format!("{:15} {about}\n", template.name));
        lines.extend(template.parameters().map(|one| {
            let set = format!("{}={}", one.name, one.default);
            format!("{:15}   --set {set:20} {}\n", "", one.about)
        }));
    }
    lines.concat()
}
