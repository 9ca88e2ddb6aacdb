//! Domain: one thing that was found wrong: its evidence, whom it is about, and what mends it.

use serde::Serialize;

/// The weight of a finding, the heaviest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Something does not work.
    Error,
    /// Something will not work, or not as one thinks.
    Warning,
    /// Good to know.
    Info,
}

impl Severity {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// A code of the contract, as `split-pod`.
    pub(crate) code: &'static str,
    pub(crate) severity: Severity,
    /// The node that it is about, where the message does not say it.
    pub(crate) node: Option<String>,
    pub(crate) message: String,
    /// The observation, in words.
    pub(crate) evidence: Vec<String>,
    pub(crate) remedy: Remedy,
    /// The things that it is about: IDs of containers, names of pods, files.
    pub(crate) subjects: Vec<String>,
}

impl Finding {
    pub(crate) fn new(
        code: &'static str,
        severity: Severity,
        message: impl Into<String>,
        remedy: impl Into<Remedy>,
    ) -> Self {
        Self {
            code,
            severity,
            node: None,
            message: message.into(),
            evidence: Vec::new(),
            remedy: remedy.into(),
            subjects: Vec::new(),
        }
    }

    #[must_use]
    pub(crate) fn seen(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }

    #[must_use]
    pub(crate) fn about(mut self, subjects: Vec<String>) -> Self {
        self.subjects = subjects;
        self
    }
}

/// The one thing to do about a finding. It is put into words where it is shown, for the runtime of the
/// node: each has commands of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// In words, or as a command, that hold for every runtime.
    Advice(String),
    /// To let a frozen program go on, whoever froze it.
    LetGoOn,
    /// To let a container go on that a signal stopped.
    Continue {
        id: String,
    },
    /// To let frozen containers go on; those of a cluster also all at once.
    Thaw {
        ids: Vec<String>,
        of_cluster: bool,
    },
    /// To end a container, so that its kubelet makes the pod anew.
    EndContainer {
        id: String,
    },
    RestartContainer {
        id: String,
    },
    /// To remove the older of two sandboxes.
    RemoveSandbox {
        id: String,
    },
    /// To take away the mount that keeps a network namespace.
    Unpin {
        path: String,
    },
    RestartLabPod {
        pod: String,
    },
    RemoveLabPod {
        pod: String,
    },
    /// To ask the cluster why a pod has no container.
    DescribePod {
        namespace: String,
        name: String,
    },
    /// To read what a container wrote before it ended.
    ReadPrevious {
        pod: String,
        container: String,
    },
    /// To look whether a pod still listens.
    ShowPorts {
        pod: String,
    },
    /// To look whether the cluster's DNS runs.
    ShowDns,
}

impl From<String> for Remedy {
    fn from(words: String) -> Self {
        Self::Advice(words)
    }
}

impl From<&String> for Remedy {
    fn from(words: &String) -> Self {
        Self::Advice(words.clone())
    }
}

impl From<&str> for Remedy {
    fn from(words: &str) -> Self {
        Self::Advice(words.to_owned())
    }
}
