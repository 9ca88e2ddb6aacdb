//! Domain: images and what they are built from.

pub(crate) mod archive;
pub(crate) mod archive_image;
pub(crate) mod archive_pieces;
pub(crate) mod archive_reader;
pub(crate) mod build;
pub(crate) mod build_flags;
pub(crate) mod catalog;
pub(crate) mod check;
pub(crate) mod credentials;
pub(crate) mod digest;
pub(crate) mod docker_words;
pub(crate) mod dockerfile;
pub(crate) mod dockerfile_bases;
pub(crate) mod ignore;
pub(crate) mod inventory;
pub(crate) mod oci;
pub(crate) mod oci_archive;
pub(crate) mod packing;
pub(crate) mod platform;
pub(crate) mod reassemble;
pub(crate) mod reference;
pub(crate) mod repack;
pub(crate) mod stored;
pub(crate) mod tar_guard;
pub(crate) mod tar_split;
pub(crate) mod walk;
