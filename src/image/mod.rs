//! Domain: images and what they are built from.

pub(crate) mod archive;
pub(crate) mod build;
pub(crate) mod build_flags;
pub(crate) mod context;
pub(crate) mod context_tar;
pub(crate) mod credentials;
pub(crate) mod digest;
pub(crate) mod dockerfile;
mod follow;
pub(crate) mod ignore;
pub(crate) mod oci_archive;
pub(crate) mod reassemble;
pub(crate) mod reference;
pub(crate) mod repack;
pub(crate) mod scope;
pub(crate) mod tar_split;
