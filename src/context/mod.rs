//! Adapter: build folders and OCI layout folders as they lie on disk.

mod file_reader;
pub(crate) mod files;
pub(crate) mod folder;
pub(crate) mod folder_tar;
mod follow;
pub(crate) mod oci_layout;
pub(crate) mod scope;
