//! The bytes of devnet's probe, and the image that carries them into nodes and pods. The program
//! itself is `src/bin/devnet-probe/`.

pub(crate) mod carried;
pub(crate) mod image;
