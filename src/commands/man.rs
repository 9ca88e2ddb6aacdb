//! `devnet man`: manual pages, made from the same tree that reads the command line.

use std::path::{Path, PathBuf};

use clap_mangen::Man;

use crate::command_line;
use crate::commands::invocation::Context;
use crate::error::{Error, Result};
use crate::host::replace::{self, Readers};
use crate::wording::{MANY, counted, listed};

/// Print a manual page
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devnet man | man -l -              devnet(1)
  devnet man lab up | man -l -       devnet-lab-up(1)
  devnet man --dir ~/.local/share/man/man1")]
pub(crate) struct Args {
    /// The command whose page it is, as `env` or `lab up`
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
    /// Write every page into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

/// `root` is the tree that reads the command line.
pub(crate) fn run(args: &Args, mut root: clap::Command, context: &Context) -> Result<()> {
    root.build();
    if let Some(folder) = &args.dir {
        let count = write_all(&root, folder)?;
        context.ui.say(&format!(
            "wrote {} into {}",
            counted(count, "page"),
            folder.display()
        ));
        return Ok(());
    }
    let command = find(&root, &args.command)?;
    let text = page(command)?;
    context.ui.data_bytes(&text).map_err(Error::stdout)?;
    if context.ui.stdout_is_terminal() {
        let call = command_line::with("devnet man", &args.command);
        context.ui.hint(&format!("to read it: {call} | man -l -"));
    }
    Ok(())
}

fn find<'c>(root: &'c clap::Command, words: &[String]) -> Result<&'c clap::Command> {
    let mut command = root;
    for word in words {
        command = command.find_subcommand(word).ok_or_else(|| {
            let known: Vec<&str> = pages_of(command).map(clap::Command::get_name).collect();
            let name = command.get_display_name().unwrap_or("devnet");
            let error = Error::usage(format!("`{name}` has no command `{}`", word.escape_debug()));
            match known.as_slice() {
                [] => error,
                known => error.hint(format!("there are: {}", listed(known, MANY))),
            }
        })?;
    }
    Ok(command)
}

fn pages_of(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

/// Writes the page of a command and of those below it; gives how many.
fn write_all(command: &clap::Command, folder: &Path) -> Result<usize> {
    let failed = |file: &Path, error: std::io::Error| {
        Error::failed(format!("`{}` can't be written", file.display())).caused_by(error)
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let name = command.get_display_name().unwrap_or(command.get_name());
    let file = folder.join(format!("{name}.1"));
    replace::replace(&file, &page(command)?, Readers::Everybody)
        .map_err(|error| failed(&file, error))?;
    let mut count = 1;
    for sub in pages_of(command) {
        count += write_all(sub, folder)?;
    }
    Ok(count)
}

/// The exit codes that scripts may rely on.
const EXIT_CODES: [(&str, &str); 7] = [
    ("0", "done"),
    ("1", "failed"),
    ("2", "the command line, or a file given to it, is wrong"),
    (
        "3",
        "the cluster or engine can't be reached, or does not run",
    ),
    ("4", "no such pod, image or profile"),
    ("5", "partly done: some nodes, not all"),
    ("130", "interrupted"),
];

/// A command's page, as roff.
fn page(command: &clap::Command) -> Result<Vec<u8>> {
    let is_root = command.get_name() == "devnet";
    let man = Man::new(command.clone())
        .source(concat!("devnet ", env!("CARGO_PKG_VERSION")))
        .manual("devnet's manual");
    let mut text = Vec::new();
    let written = man
        .render_title(&mut text)
        .and_then(|()| man.render_name_section(&mut text))
        .and_then(|()| man.render_synopsis_section(&mut text))
        .and_then(|()| man.render_description_section(&mut text))
        .and_then(|()| man.render_options_section(&mut text))
        .and_then(|()| match pages_of(command).next() {
            Some(_) => man.render_subcommands_section(&mut text),
            None => Ok(()),
        })
        .and_then(|()| {
            let after = command.get_after_long_help().or(command.get_after_help());
            let after = after.map(ToString::to_string).unwrap_or_default();
            blocks(&after).to_writer(&mut text)
        })
        .and_then(|()| ending(is_root).to_writer(&mut text));
    written.map_err(|error| Error::failed("the page could not be made").caused_by(error))?;
    Ok(text)
}

/// The text behind a command's flags in `--help`: a title, then lines that stay as they are.
fn blocks(text: &str) -> clap_mangen::roff::Roff {
    use clap_mangen::roff::{Roff, roman};
    let mut roff = Roff::new();
    let mut kept = false;
    for line in text.lines() {
        let indented = line.starts_with(' ');
        if indented != kept {
            roff.control(if indented { "nf" } else { "fi" }, []);
            kept = indented;
        }
        match line.strip_suffix(':') {
            Some(title) if !indented => {
                roff.control("SH", [title.to_uppercase().as_str()]);
            }
            _ => {
                roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
        }
    }
    if kept {
        roff.control("fi", []);
    }
    roff
}

fn ending(is_root: bool) -> clap_mangen::roff::Roff {
    use clap_mangen::roff::{Roff, bold, roman};
    let mut roff = Roff::new();
    if is_root {
        roff.control("SH", ["EXIT STATUS"]);
        for (code, meaning) in EXIT_CODES {
            roff.control("TP", []);
            roff.text([bold(code)]);
            roff.text([roman(meaning)]);
        }
        roff.text([roman(
            "exec, run and shell end with their command's code; 125, 126 and 127 are as docker has them.",
        )]);
    } else {
        roff.control("SH", ["SEE ALSO"]);
        roff.text([bold("devnet"), roman("(1)")]);
    }
    roff
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_has_a_page_that_names_it() {
        let mut root = Cli::command();
        root.build();
        let mut open = vec![&root];
        let mut count = 0;
        while let Some(command) = open.pop() {
            let page = String::from_utf8(page(command).unwrap()).unwrap();
            let name = command.get_display_name().unwrap_or(command.get_name());
            assert!(page.contains(&format!(".TH {name} 1")), "{name}: {page}");
            assert!(
                command.get_about().is_some(),
                "{name} does not say what it does"
            );
            open.extend(pages_of(command));
            count += 1;
        }
        assert!(count > 20, "{count}");
    }

    #[test]
    fn examples_stay_line_by_line() {
        let text = blocks("Examples:\n  a    b\n  .c\n\nMore:\n  d").render();
        let wanted = ".nf\n.SH EXAMPLES";
        assert!(!text.contains(wanted), "{text}");
        assert!(
            text.contains(".SH EXAMPLES\n.nf\na    b\n\\&.c\n"),
            "{text}"
        );
        assert!(text.contains(".SH MORE\n.nf\nd\n.fi"), "{text}");
    }
}
