//! What devnet brings into nodes and pods. `src/bin/devnet-probe.rs` is the program; the library
//! only carries its bytes, and shares the shapes of what it prints.

pub(crate) mod carried;
pub(crate) mod image;
