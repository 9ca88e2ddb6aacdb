//! Adapter: delta transfer of images to nodes, each of which gets only the layers that it lacks.

pub(crate) mod archive_transfer;
pub(crate) mod delivery;
mod parts;
pub(crate) mod registry;
pub(crate) mod stdin_archive;
pub(crate) mod transfer;
mod transfer_pushed;
mod transfer_store;
mod uploads;
