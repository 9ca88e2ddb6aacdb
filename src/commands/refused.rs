//! Flags that docker and kubectl have for a verb of the same name, and devnet has not: refused by
//! name, with what to do instead.

use std::marker::PhantomData;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// A flag that a verb refuses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) takes_value: bool,
    /// What to do instead.
    pub(crate) instead: &'static str,
}

impl Flag {
    pub(crate) const fn switch(long: &'static str, instead: &'static str) -> Self {
        Self {
            long,
            short: None,
            takes_value: false,
            instead,
        }
    }

    pub(crate) const fn with_value(long: &'static str, instead: &'static str) -> Self {
        Self {
            takes_value: true,
            ..Self::switch(long, instead)
        }
    }

    pub(crate) const fn short(self, short: char) -> Self {
        Self {
            short: Some(short),
            ..self
        }
    }
}

/// A verb's list of flags that it refuses.
pub(crate) trait Table {
    const FLAGS: &'static [Flag];
}

/// The flags of a table as hidden arguments, none of which may be given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refused<T>(PhantomData<T>);

impl<T: Table> clap::Args for Refused<T> {
    fn augment_args(command: Command) -> Command {
        let argument = |flag: &Flag| {
            let argument = Arg::new(flag.long)
                .long(flag.long)
                .hide(true)
                .action(ArgAction::Append);
            let argument = match flag.short {
                Some(short) => argument.short(short),
                None => argument,
            };
            if flag.takes_value {
                argument.allow_hyphen_values(true)
            } else {
                // docker takes `--flag=true` too
                argument.num_args(0..=1).require_equals(true)
            }
        };
        command.args(T::FLAGS.iter().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<T: Table> clap::FromArgMatches for Refused<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |flag: &&Flag| {
            matches.value_source(flag.long) == Some(clap::parser::ValueSource::CommandLine)
        };
        match T::FLAGS.iter().find(given) {
            None => Ok(Self(PhantomData)),
            Some(flag) => Err(clap::Error::raw(
                ErrorKind::UnknownArgument,
                format!("devnet does not take `--{}`: {}\n", flag.long, flag.instead),
            )),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        Self::from_arg_matches(matches).map(drop)
    }
}
