//! Domain: images and what they are built from.

pub(crate) mod build;
pub(crate) mod context;
pub(crate) mod dockerfile;
mod follow;
pub(crate) mod ignore;
