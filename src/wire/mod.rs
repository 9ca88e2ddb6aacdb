//! Adapter: dialling. Every kind of address is reached one way: sockets, TCP with TLS, ssh.

pub(crate) mod handed_on;
pub(crate) mod node;
pub(crate) mod node_program;
pub(crate) mod relay;
pub(crate) mod silence;
pub(crate) mod ssh;
mod ssh_ciphers;
mod ssh_config;
mod ssh_hosts;
mod ssh_keys;
pub(crate) mod tls;
pub(crate) mod transport;
