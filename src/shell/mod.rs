//! Presentation: lines that a shell can evaluate, and in which every value arrives byte for byte.
//!
//! Where a form can't carry a value it is refused, never changed. `quote.rs` has the quoting.

mod format;
mod quote;
#[cfg(test)]
mod quote_tests;

pub(crate) use self::format::Format;
use crate::command_line;
use crate::docker_env::plan::Change;
use crate::error::{Error, Result};

/// A shell, or another way to write variables down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Cmd,
    Csh,
    Dash,
    Elvish,
    Emacs,
    Fish,
    Ksh,
    /// Lines of NAME=value
    None,
    Nu,
    Powershell,
    Pwsh,
    Sh,
    Tcsh,
    Xonsh,
    Zsh,
}

impl Shell {
    /// The shell that a program's name stands for: `/usr/bin/zsh-5.9`, `-bash`, `pwsh.exe`.
    pub(crate) fn of_program(name: &str) -> Option<Self> {
        let name = name.rsplit(['/', '\\']).next()?.trim_start_matches('-');
        let name = name.strip_suffix(".exe").unwrap_or(name);
        let stem = name.split(['-', '.']).next()?;
        Some(match stem.trim_end_matches(|c: char| c.is_ascii_digit()) {
            "bash" => Self::Bash,
            "cmd" => Self::Cmd,
            "csh" => Self::Csh,
            "dash" => Self::Dash,
            "elvish" => Self::Elvish,
            "fish" => Self::Fish,
            "ksh" | "mksh" => Self::Ksh,
            "nu" => Self::Nu,
            "powershell" => Self::Powershell,
            "pwsh" => Self::Pwsh,
            "sh" | "ash" | "busybox" => Self::Sh,
            "tcsh" => Self::Tcsh,
            "xonsh" => Self::Xonsh,
            "zsh" => Self::Zsh,
            _ => return None,
        })
    }

    /// The line or lines that make the changes.
    ///
    /// # Errors
    /// When a value can't be written in this form.
    pub(crate) fn script(self, changes: &[Change]) -> Result<String> {
        let mut script = String::new();
        for change in changes {
            let line = match &change.value {
                Some(value) => self.set(&change.name, value)?,
                None => self.unset(&change.name),
            };
            script += &line;
            script.push('\n');
        }
        if self == Self::Fish {
            // fish's `set` leaves the exit code of whatever ran before, and so would `source`
            script += "true;\n";
        }
        Ok(script)
    }

    fn set(self, name: &str, value: &str) -> Result<String> {
        let refuse = |what: &str| {
            Error::failed(format!(
                "the value of `{name}` holds {what}, which {} can't carry",
                self.title()
            ))
            .hint("`devnet env -o json` carries every value")
        };
        if value.contains('\0') {
            return Err(refuse("a NUL"));
        }
        Ok(match self {
            Self::Bash | Self::Zsh | Self::Ksh => {
                format!("export {name}={};", quote::ansi_c(value))
            }
            Self::Sh | Self::Dash => quote::posix_export(name, value),
            Self::Fish => format!("set -gx {name} {};", quote::fish(value)),
            Self::Powershell | Self::Pwsh => format!("$Env:{name} = {}", quote::powershell(value)),
            Self::Cmd if value.contains(['"', '\n', '\r']) => {
                return Err(refuse("a quote or a line end"));
            }
            Self::Cmd => format!("SET \"{name}={value}\""),
            Self::Csh | Self::Tcsh if value.contains(['\n', '\r']) => {
                return Err(refuse("a line end"));
            }
            Self::Csh | Self::Tcsh => format!("setenv {name} {};", quote::csh(value)),
            Self::Elvish => format!("set-env {name} {};", quote::elvish(value)),
            Self::Nu => format!("$env.{name} = {}", quote::double(value)),
            // xonsh would take what ends in PATH for a list of folders and expand variables in it
            Self::Xonsh if name.ends_with("PATH") => {
                format!(
                    "__xonsh__.env.register('{name}', type='str'); ${name} = {}",
                    quote::double(value)
                )
            }
            Self::Xonsh => format!("${name} = {}", quote::double(value)),
            Self::Emacs => format!("(setenv \"{name}\" {})", quote::emacs(value)),
            Self::None if value.contains(['\n', '\r']) => return Err(refuse("a line end")),
            Self::None => format!("{name}={value}"),
        })
    }

    /// A value as one word of the shells that have a prompt hook.
    pub(crate) fn word(self, value: &str) -> String {
        match self {
            Self::Elvish => quote::elvish(value),
            Self::Fish => quote::fish(value),
            Self::Nu | Self::Xonsh => quote::double(value),
            Self::Powershell | Self::Pwsh => quote::powershell(value),
            Self::Csh | Self::Tcsh => quote::csh(value),
            _ => quote::ansi_c(value),
        }
    }

    fn unset(self, name: &str) -> String {
        match self {
            Self::Bash | Self::Zsh | Self::Ksh | Self::Sh | Self::Dash => format!("unset {name};"),
            Self::Fish => format!("set -e {name};"),
            Self::Powershell | Self::Pwsh => {
                format!("Remove-Item Env:{name} -ErrorAction SilentlyContinue")
            }
            Self::Cmd => format!("SET \"{name}=\""),
            Self::Csh | Self::Tcsh => format!("unsetenv {name};"),
            Self::Elvish => format!("unset-env {name};"),
            Self::Nu => format!("hide-env --ignore-errors {name}"),
            Self::Xonsh => format!("__xonsh__.env.pop('{name}', None)"),
            Self::Emacs => format!("(setenv \"{name}\" nil)"),
            Self::None => name.into(),
        }
    }

    /// The one line that makes evaluating it fail.
    pub(crate) fn failure(self) -> &'static str {
        match self {
            Self::Bash
            | Self::Zsh
            | Self::Ksh
            | Self::Sh
            | Self::Dash
            | Self::Fish
            | Self::Csh
            | Self::Tcsh => "false;\n",
            Self::Powershell | Self::Pwsh => "throw 'devnet env failed'\n",
            Self::Cmd => "cmd /c exit 1\n",
            Self::Elvish => "fail 'devnet env failed'\n",
            Self::Nu => "error make {msg: 'devnet env failed'}\n",
            Self::Xonsh => "raise RuntimeError('devnet env failed')\n",
            Self::Emacs => "(error \"devnet env failed\")\n",
            Self::None => "",
        }
    }

    /// The way that a person takes what `devnet env` prints; `arguments` are those that devnet was
    /// called with.
    pub(crate) fn how_to_take_it(self, arguments: &[String]) -> Option<String> {
        let call = format!("devnet {}", self.typed(arguments));
        Some(match self {
            Self::Bash | Self::Zsh | Self::Ksh | Self::Sh | Self::Dash => {
                format!("eval \"$({call})\"")
            }
            Self::Fish => format!("{call} | source"),
            Self::Powershell | Self::Pwsh => format!("{call} | Invoke-Expression"),
            Self::Cmd => format!("@FOR /f \"tokens=*\" %i IN ('{call} --shell cmd') DO @%i"),
            Self::Csh | Self::Tcsh => format!("eval \"`{call}`\""),
            Self::Elvish => format!("eval ({call} | slurp)"),
            Self::Nu => format!("{call} -o json | from json | load-env"),
            Self::Xonsh => format!("execx($({call}))"),
            Self::Emacs => format!(
                "(with-temp-buffer (shell-command \"{call} --shell emacs\" (current-buffer)) (eval-buffer))"
            ),
            Self::None => return None,
        })
    }

    /// Arguments as a person types them.
    fn typed(self, arguments: &[String]) -> String {
        let one = |argument: &String| {
            let plain = command_line::of([argument]);
            match self {
                _ if plain == *argument => plain,
                Self::Bash | Self::Zsh | Self::Ksh | Self::Sh | Self::Dash => plain,
                Self::Cmd | Self::Emacs | Self::None => format!("\"{argument}\""),
                _ => self.word(argument),
            }
        };
        let all: Vec<String> = arguments.iter().map(one).collect();
        match self {
            // it stands within a string of Lisp
            Self::Emacs => all.join(" ").replace('\\', "\\\\").replace('"', "\\\""),
            _ => all.join(" "),
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Cmd => "cmd",
            Self::Csh => "csh",
            Self::Tcsh => "tcsh",
            Self::None => "this form of lines",
            _ => "this shell",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(shell: Shell) -> String {
        shell
            .script(&[
                Change {
                    name: "A".into(),
                    value: Some("tcp://127.0.0.2:2376".into()),
                },
                Change {
                    name: "B".into(),
                    value: Some("o'n \"e\" $x`y` \\ !%&*é".into()),
                },
                Change {
                    name: "C".into(),
                    value: None,
                },
            ])
            .unwrap_or_else(|error| format!("refused: {error}\n"))
    }

    #[test]
    fn programs_are_known_by_their_names() {
        for (name, shell) in [
            ("/usr/bin/zsh", Some(Shell::Zsh)),
            ("-bash", Some(Shell::Bash)),
            ("ksh93", Some(Shell::Ksh)),
            ("C:\\x\\pwsh.exe", Some(Shell::Pwsh)),
            ("zsh-5.9", Some(Shell::Zsh)),
            ("sudo", None),
            ("shutdown", None),
        ] {
            assert_eq!(Shell::of_program(name), shell, "{name}");
        }
    }

    #[test]
    fn the_shells_that_can_not_be_run_here_get_what_their_manuals_ask_for() {
        insta::assert_snapshot!(script(Shell::Powershell), @r#"
        $Env:A = 'tcp://127.0.0.2:2376'
        $Env:B = 'o''n "e" $x`y` \ !%&*é'
        Remove-Item Env:C -ErrorAction SilentlyContinue
        "#);
        insta::assert_snapshot!(script(Shell::Nu), @r#"
        $env.A = "tcp://127.0.0.2:2376"
        $env.B = "o'n \"e\" $x`y` \\ !%&*é"
        hide-env --ignore-errors C
        "#);
        insta::assert_snapshot!(script(Shell::Emacs), @r#"
        (setenv "A" "tcp://127.0.0.2:2376")
        (setenv "B" "o'n \"e\" $x`y` \\ !%&*é")
        (setenv "C" nil)
        "#);
        let plain = Change {
            name: "A".into(),
            value: Some("C:\\A & B\\100% ^x | (y) !z é".into()),
        };
        let gone = Change {
            name: "C".into(),
            value: None,
        };
        insta::assert_snapshot!(Shell::Cmd.script(&[plain, gone]).unwrap(), @r#"
        SET "A=C:\A & B\100% ^x | (y) !z é"
        SET "C="
        "#);
        insta::assert_snapshot!(script(Shell::Cmd), @"refused: the value of `B` holds a quote or a line end, which cmd can't carry");
    }
}
