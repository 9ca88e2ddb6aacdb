//! A job of devnet's in a node: the program that runs, what it joins, and the power that it has.

/// A program that runs in a node for a time. It ends by itself, or when its input does.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) program: Program,
    pub(crate) joins: JobNamespaces,
    pub(crate) power: Power,
    /// True when it is written to.
    pub(crate) input: bool,
    /// True when it has a terminal.
    pub(crate) tty: bool,
    /// `NAME=value` each.
    pub(crate) env: Vec<String>,
}

impl Job {
    /// A job of the probe's that is written nothing and has no terminal.
    pub(crate) fn probe(words: Vec<String>, joins: JobNamespaces, power: Power) -> Self {
        Self {
            program: Program::Probe(words),
            joins,
            power,
            input: false,
            tty: false,
            env: Vec::new(),
        }
    }
}

/// The program of a job.
#[derive(Clone, Debug)]
pub(crate) enum Program {
    /// devnet's probe, with these words.
    Probe(Vec<String>),
    /// A command of the image that the person named.
    OfImage(Vec<String>),
}

/// The namespaces that a job joins; of the others it has its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JobNamespaces {
    /// The processes of the node. It has no network.
    NodeProcesses,
    /// The network of a container.
    Network(String),
    /// The network of one container and the processes of another.
    Beside { network: String, processes: String },
}

/// The power that a job has beyond what it joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    /// None: whatever the image holds may run.
    None,
    /// All of root's, where a node runs programs as root: to make the pipes of a command.
    Root,
    /// To look at processes, for devnet's own program alone.
    Look,
    /// The same, and to take a container's root for its own.
    Tools,
    /// To look at processes and to trace them, for an image that the person named.
    Lent,
}

/// The program files of a session's jobs, where a node runs them as containers.
#[derive(Clone, Debug)]
pub(crate) enum ProgramImages {
    /// devnet's own, in any of these images of the node, or in one that is brought.
    AnyOf(Vec<String>),
    /// An image that the person named, which must be there.
    Only(String),
}
