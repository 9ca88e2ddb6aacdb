//! The clap tree, and nothing else.

use std::ffi::OsString;

use clap::builder::ValueParser;
use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands;
use crate::image::docker_words;
use crate::settings::flags::GlobalFlags;

/// minikube's Docker daemon at hand: its environment, builds, loads, and pods down to their pause containers
#[derive(Debug, Parser)]
#[command(
    name = "devnet",
    version,
    propagate_version = false,
    disable_help_subcommand = true,
    args_override_self = true,
    max_term_width = 100
)]
#[command(after_help = "Examples:
  eval $(devnet env)                      point this shell at minikube's Docker engine
  devnet build -t app:dev .               build an image in the cluster
  devnet load app:dev                     bring an image there, sending only what is missing
  devnet pods                             pods, their pause containers, and what they share
  devnet exec web -c server -- sh         a shell in a pod, by name
  devnet lab up                           pods on plain Docker, to try all this without a cluster")]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalFlags,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads a command line. Flags without a value also take docker's words for yes and no, as
    /// `--pull=false`; only a line that the tree refuses is read that way, so that help, usage and
    /// completions show flags as they are.
    ///
    /// # Errors
    /// What clap says, which may be help.
    pub(crate) fn read(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let refused = match Self::try_parse_from(arguments) {
            Err(error) if error.use_stderr() => error,
            other => return other,
        };
        let has_a_word = |text: &OsString| {
            let text = text.to_string_lossy();
            text.starts_with('-') && text.contains('=')
        };
        if !arguments.iter().any(has_a_word) {
            return Err(refused);
        }
        let mut tree = with_words(Self::command());
        let mut matches = tree.try_get_matches_from_mut(arguments)?;
        Self::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut tree))
    }

    /// The arguments of a prompt's hook, where they are word for word what one calls.
    pub(crate) fn of_a_prompt(arguments: &[OsString]) -> Option<Self> {
        commands::hook::Args::of_a_prompt(arguments).map(|args| Self {
            global: GlobalFlags::default(),
            command: Command::Hook(args),
        })
    }
}

/// The tree with flags that take a word for yes or no behind `=`.
fn with_words(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| {
            if !matches!(arg.get_action(), ArgAction::SetTrue) {
                return arg;
            }
            arg.action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_value("false")
                .default_missing_value("true")
                .value_parser(ValueParser::new(docker_words::flag))
        })
        .mut_subcommands(with_words)
}

/// The verbs.
#[expect(clippy::large_enum_variant, reason = "one is made in a run")]
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(visible_alias = "docker-env")]
    Env(commands::env::Args),
    Hook(commands::hook::Args),
    Use(commands::switch::UseArgs),
    Off(commands::switch::OffArgs),
    Run(commands::run::Args),
    Context(commands::context::Args),
    Status(commands::status::Args),
    Doctor(commands::doctor::Args),
    Config(commands::config::Args),
    Engine(commands::engine::Args),
    Build(commands::build::Args),
    Load(commands::load::Args),
    Images(commands::images::Args),
    Pods(commands::pods::Args),
    #[command(visible_alias = "netstat")]
    Ports(commands::ports::Args),
    Inspect(commands::inspect::Args),
    Exec(commands::exec::Args),
    Shell(commands::shell::Args),
    Logs(commands::logs::Args),
    Kill(commands::kill::Args),
    Restart(commands::restart::Args),
    Check(commands::check::Args),
    Graph(commands::graph::Args),
    History(commands::history::Args),
    Watch(commands::watch::Args),
    Lab(commands::lab::Args),
    Prove(commands::prove::Args),
    New(commands::new::Args),
    Clean(commands::clean::Args),
    Completions(commands::completions::Args),
    Man(commands::man::Args),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
        with_words(Cli::command()).debug_assert();
    }

    fn read(line: &str) -> Result<Cli, clap::Error> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Cli::read(&words)
    }

    #[test]
    fn the_last_of_a_flag_that_is_given_twice_holds_on_every_verb() {
        for (twice, once) in [
            ("devnet -p a pods -p b", "devnet pods -p b"),
            ("devnet pods -p a -p b", "devnet pods -p b"),
            (
                "devnet --color=always pods --color never",
                "devnet pods --color never",
            ),
            ("devnet pods -q -q -n a -n b", "devnet pods -q -n b"),
            (
                "devnet env --shell fish --shell bash -u -u",
                "devnet env --shell bash -u",
            ),
            (
                "devnet load a --tag b --tag c --dry-run --dry-run",
                "devnet load a --tag c --dry-run",
            ),
            (
                "devnet build --target a --target b -f x -f y .",
                "devnet build --target b -f y .",
            ),
            (
                "devnet build -t a -t b --pull --pull",
                "devnet build -t a -t b --pull",
            ),
            (
                "devnet run -p a -p b -- x -p c",
                "devnet run -p b -- x -p c",
            ),
        ] {
            let twice = read(twice).unwrap_or_else(|error| panic!("{twice}: {error}"));
            let once = read(once).unwrap();
            assert_eq!(format!("{twice:?}"), format!("{once:?}"));
        }
    }

    /// Every flag without a value of every verb, at once.
    #[test]
    fn every_flag_takes_dockers_words_for_yes_and_no() {
        fn each(command: &clap::Command, line: &str, found: &mut Vec<(String, String)>) {
            for arg in command.get_arguments() {
                if matches!(arg.get_action(), ArgAction::SetTrue) {
                    found.extend(
                        arg.get_long()
                            .map(|long| (line.into(), format!("--{long}"))),
                    );
                    found.extend(
                        arg.get_short()
                            .map(|short| (line.into(), format!("-{short}"))),
                    );
                }
            }
            for verb in command.get_subcommands() {
                each(verb, &format!("{line} {}", verb.get_name()), found);
            }
        }
        let mut found = Vec::new();
        each(&Cli::command(), "devnet", &mut found);
        assert!(found.len() > 40, "{found:?}");
        let kind = |text: &str| read(text).err().map(|error| error.kind());
        for (line, flag) in found {
            // a word that is none is what the tree complains of first
            assert_eq!(
                kind(&format!("{line} {flag}=maybe")),
                Some(clap::error::ErrorKind::ValueValidation),
                "{line} {flag}"
            );
            for word in ["false", "F", "0", "true", "T", "1"] {
                let why = kind(&format!("{line} {flag}={word}"));
                let not_that = [
                    clap::error::ErrorKind::ValueValidation,
                    clap::error::ErrorKind::TooManyValues,
                    clap::error::ErrorKind::UnknownArgument,
                ];
                assert!(
                    why.is_none_or(|why| !not_that.contains(&why)),
                    "{line} {flag}={word}: {why:?}"
                );
            }
        }
    }

    #[test]
    fn a_flag_that_is_taken_back_is_as_if_it_had_not_been_given() {
        for (taken_back, line) in [
            ("devnet pods -A=false", "devnet pods"),
            ("devnet -q=false pods", "devnet pods"),
            ("devnet pods -q --quiet=f", "devnet pods"),
            (
                "devnet build --pull --no-cache=0 --pull=false .",
                "devnet build .",
            ),
            ("devnet build --no-cache=t .", "devnet build --no-cache ."),
            (
                "devnet exec -it=false web -- sh -c -q=x",
                "devnet exec -i web -- sh -c -q=x",
            ),
            ("devnet logs -f=1 web", "devnet logs -f web"),
        ] {
            let taken_back =
                read(taken_back).unwrap_or_else(|error| panic!("{taken_back}: {error}"));
            assert_eq!(
                format!("{taken_back:?}"),
                format!("{:?}", read(line).unwrap())
            );
        }
    }

    #[test]
    fn the_call_of_a_prompt_means_the_same_with_and_without_the_tree() {
        let of = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        for shell in [
            "bash",
            "elvish",
            "fish",
            "nu",
            "pwsh",
            "powershell",
            "tcsh",
            "xonsh",
            "zsh",
        ] {
            let call = of(&["devnet", "hook", "--prompt", shell]);
            let Cli { command, .. } = Cli::of_a_prompt(&call).unwrap();
            let by_the_tree = Cli::try_parse_from(&call).unwrap().command;
            assert_eq!(format!("{command:?}"), format!("{by_the_tree:?}"));
        }
        for other in [
            &["devnet", "hook", "--prompt", "cmd"][..],
            &["devnet", "hook", "bash"],
            &["devnet", "hook", "--prompt", "bash", "-q"],
            &["devnet", "-q", "hook", "--prompt", "bash"],
        ] {
            assert!(Cli::of_a_prompt(&of(other)).is_none(), "{other:?}");
        }
    }
}
