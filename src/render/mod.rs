//! Presentation: from values to text. Pure; nothing here asks an engine or prints.

pub(crate) mod build;
mod build_graph;
mod build_plain;
mod build_tty;
pub(crate) mod logs;
