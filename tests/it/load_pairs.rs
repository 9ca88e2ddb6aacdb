//! Every kind of engine as source and as target: what `devnet load` brings is what a full
//! `docker load` brings. The ground's own engine always; others where their programs are
//! (`make pairs` fetches them).

use crate::support::engines::Engine;
use crate::support::{Output, Sandbox, ground, missing};
