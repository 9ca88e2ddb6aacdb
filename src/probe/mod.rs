//! The bytes of devnet's probe, the image that carries them into nodes and pods, and the shapes that
//! both sides share: those with std alone, for the probe. The program itself is `src/bin/devnet-probe/`.

#[cfg(feature = "cli")]
pub(crate) mod carried;
#[cfg(feature = "cli")]
pub(crate) mod image;
pub mod look;
pub mod pods_api;
pub mod reach;
