//! Domain: the address of a node's container engine, and the environment that points a shell at it.

pub(crate) mod endpoint;
pub(crate) mod profile;
