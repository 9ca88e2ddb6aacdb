//! `devnet build`: the flags of docker's classic builder, which BuildKit has no use for.

use crate::commands::invocation::Context;
use crate::error::{Error, Result};
use crate::image::build::Limits;
use crate::image::docker_words::{bytes, flag};

/// Flags that only the classic builder knows. Hidden: no help is needed for what changes nothing.
#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Flags {
    #[arg(long, hide = true)]
    compress: bool,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag)]
    rm: Option<bool>,
    #[arg(long, hide = true)]
    force_rm: bool,
    #[arg(long, hide = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = flag)]
    disable_content_trust: Option<bool>,
    #[arg(short, long, hide = true)]
    memory: Option<String>,
    #[arg(long, hide = true, allow_negative_numbers = true)]
    memory_swap: Option<String>,
    #[arg(short = 'c', long, hide = true, allow_negative_numbers = true)]
    cpu_shares: Option<i64>,
    #[arg(long, hide = true, allow_negative_numbers = true)]
    cpu_period: Option<i64>,
    #[arg(long, hide = true, allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    #[arg(long, hide = true)]
    cpuset_cpus: Option<String>,
    #[arg(long, hide = true)]
    cpuset_mems: Option<String>,
    #[arg(long, hide = true)]
    isolation: Option<String>,
    #[arg(long, hide = true)]
    security_opt: Vec<String>,
}

impl Flags {
    /// The limits of steps, as the classic builder takes them.
    ///
    /// # Errors
    /// What no engine of a cluster can do, by name; a size that is none.
    pub(super) fn limits(&self) -> Result<Limits> {
        if self.disable_content_trust == Some(false) {
            return Err(Error::usage(
                "`--disable-content-trust=false`: devnet checks no signatures",
            )
            .hint("name base images by their digest, as `FROM alpine@sha256:…`"));
        }
        if let Some(other) = self
            .isolation
            .as_deref()
            .filter(|name| !matches!(*name, "" | "default"))
        {
            return Err(Error::usage(format!(
                "`--isolation {other}` is for engines on Windows, and the nodes run Linux"
            ))
            .hint("leave it away"));
        }
        let size = |flag: &str, text: &Option<String>| match text.as_deref() {
            None => Ok(None),
            Some("-1") if flag == "--memory-swap" => Ok(Some(-1)),
            Some(text) => bytes(flag, text).map(|size| i64::try_from(size).ok()),
        };
        Ok(Limits {
            memory: size("--memory", &self.memory)?,
            memory_swap: size("--memory-swap", &self.memory_swap)?,
            cpu_shares: self.cpu_shares,
            cpu_period: self.cpu_period,
            cpu_quota: self.cpu_quota,
            cpuset_cpus: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            keep_containers: self.rm == Some(false) && !self.force_rm,
        })
    }

    /// Says what changes nothing.
    pub(super) fn say_ignored(&self, context: &Context) {
        if !self.security_opt.is_empty() {
            context.ui.warn(
                "`--security-opt` changes nothing: a step asks for it with `RUN --security=insecure`",
            );
        }
    }
}
