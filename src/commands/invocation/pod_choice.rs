//! The pods that a command is about, as verbs that list some take them.

use crate::error::Result;
use crate::pod::{self, Pod};

/// The choice of pods.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PodChoice {
    /// Only this namespace
    #[arg(short, long, value_name = "NS", conflicts_with = "all_namespaces")]
    pub(crate) namespace: Option<String>,
    /// All namespaces (so it is without -n)
    #[arg(short = 'A', long)]
    pub(crate) all_namespaces: bool,
    /// Only this node of a profile with several
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// Ask the engine only: nothing is run on the nodes, and what only their kernels know is unknown
    #[arg(long)]
    pub(crate) no_probe: bool,
    /// Only pods with these labels, as kubectl takes them
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
}

impl PodChoice {
    /// Keeps the pods that are asked for; with names, those, in the order of the names.
    ///
    /// # Errors
    /// A selector that can't be read; a name that fits no pod, or several.
    pub(crate) fn apply(&self, pods: &mut Vec<Pod>, names: &[String]) -> Result<()> {
        if let Some(namespace) = &self.namespace {
            pods.retain(|pod| pod.namespace == *namespace);
        }
        if let Some(selector) = &self.selector {
            let selector = pod::Selector::parse(selector)?;
            pods.retain(|pod| selector.fits(&pod.labels));
        }
        if names.is_empty() {
            return Ok(());
        }
        let mut chosen: Vec<Pod> = Vec::new();
        for name in names {
            let one = pod::select(pods, name)?;
            if !chosen
                .iter()
                .any(|pod| pod.uid == one.uid && pod.node == one.node)
            {
                chosen.push(one.clone());
            }
        }
        *pods = chosen;
        Ok(())
    }
}
