//! Adapter: this computer: minikube's files, docker's contexts, devnet's journal, programs that devnet starts.

pub(crate) mod calling_shell;
mod child_input;
pub(crate) mod docker_client;
pub(crate) mod docker_context;
pub(crate) mod docker_context_store;
pub(crate) mod file_watch;
pub(crate) mod journal;
pub(crate) mod minikube;
pub(crate) mod owner;
pub(crate) mod podman;
pub(crate) mod process;
pub(crate) mod registry_login;
pub(crate) mod replace;
pub(crate) mod start_memory;
pub(crate) mod unpack;
