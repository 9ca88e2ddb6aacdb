//! devnet: minikube's Docker daemon at hand, and pods down to their pause containers.
//!
//! The map, from what is typed to what is shown:
//! `cli` -> `commands` -> domain (`docker_env image pod netns lab`), adapters (`load engine wire
//! context host probe`), presentation (`shell render template`). Domain knows no bollard, clap, tokio or terminal.

// foreign text is no bytes: `get`, `split_once`, `strip_prefix` do not panic inside a character
#![cfg_attr(not(test), warn(clippy::string_slice))]

// all but `probe` is left out where the probe itself is built, with std alone
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "cli")]
mod command_line;
#[cfg(feature = "cli")]
mod commands;
#[cfg(feature = "cli")]
mod context;
#[cfg(feature = "cli")]
mod dispatch;
#[cfg(feature = "cli")]
mod docker_env;
#[cfg(feature = "cli")]
mod engine;
#[cfg(feature = "cli")]
mod error;
#[cfg(feature = "cli")]
mod finding;
#[cfg(all(fuzzing, feature = "cli"))]
pub mod fuzz;
#[cfg(feature = "cli")]
mod host;
#[cfg(feature = "cli")]
mod image;
#[cfg(feature = "cli")]
mod json;
#[cfg(feature = "cli")]
mod lab;
#[cfg(feature = "cli")]
mod lab_engine;
#[cfg(feature = "cli")]
mod load;
#[cfg(feature = "cli")]
mod netns;
#[cfg(feature = "cli")]
mod notices;
#[cfg(feature = "cli")]
mod pod;
#[doc(hidden)]
pub mod probe;
#[cfg(feature = "cli")]
mod program;
#[cfg(feature = "cli")]
mod progress;
#[cfg(feature = "cli")]
mod regular_file;
#[cfg(feature = "cli")]
mod render;
#[cfg(feature = "cli")]
mod runtime_kind;
#[cfg(feature = "cli")]
mod settings;
#[cfg(feature = "cli")]
mod shell;
#[cfg(feature = "cli")]
mod template;
#[cfg(feature = "cli")]
mod terminal;
#[cfg(feature = "cli")]
mod text_file;
#[cfg(feature = "cli")]
mod ui;
#[cfg(feature = "cli")]
mod visible;
#[cfg(feature = "cli")]
mod weight;
#[cfg(feature = "cli")]
mod wire;
#[cfg(feature = "cli")]
mod wording;
#[cfg(feature = "cli")]
mod yaml;

#[cfg(feature = "cli")]
pub use program::run;
