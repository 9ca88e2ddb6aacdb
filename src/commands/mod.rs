//! One file per command, and what they share: the context of a run and who it talks to.
//!
//! A command resolves what is meant, gathers facts, decides (in the domain), acts, renders.
//! Commands do not call commands.

pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod clean;
pub(crate) mod complete;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod deliver;
mod detach;
pub(crate) mod doctor;
pub(crate) mod engine;
pub(crate) mod env;
pub(crate) mod exec;
pub(crate) mod exec_session;
mod foreign_flags;
pub(crate) mod graph;
pub(crate) mod history;
pub(crate) mod hook;
pub(crate) mod images;
pub(crate) mod inspect;
pub(crate) mod invocation;
pub(crate) mod kill;
pub(crate) mod lab;
pub(crate) mod load;
pub(crate) mod logs;
pub(crate) mod man;
pub(crate) mod new;
pub(crate) mod pods;
pub(crate) mod ports;
pub(crate) mod prove;
pub(crate) mod restart;
pub(crate) mod run;
pub(crate) mod shell;
pub(crate) mod status;
pub(crate) mod switch;
pub(crate) mod version;
pub(crate) mod watch;
pub(crate) mod watch_view;
