//! The probe in a folder of a node: brought once for all jobs that need it at the same time, and gone
//! with the last of them. And such a folder without it, for what needs no program of devnet's.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinHandle;

use crate::command_line;
use crate::engine::exec::Output;
use crate::engine::node_session::NodeSession;
use crate::error::{Error, Result};
use crate::probe::carried;
use crate::wire::node::NodeAccess;
use crate::wire::node_program::NodeProgram;

/// The time that a keeper has to remove its folder.
const GONE_WITHIN: Duration = Duration::from_secs(2);
/// The longest first line of a program's, its complaints counted in, in bytes.
const LONGEST: usize = 4 << 10;

/// The probe's name in its folder.
const PROGRAM: &str = "devnet-probe";
/// The shell program that becomes the command line which its first line is.
pub(in crate::engine) const SPARE: &str = "IFS= read -r line && eval \"$line\"";

/// The way to a node's probe. Copies share what is brought.
#[derive(Clone)]
pub(crate) struct ProbeKeeper {
    access: NodeAccess,
    /// A session that waits for the first probe or folder.
    session: Arc<Mutex<Option<NodeSession>>>,
    kept: Arc<tokio::sync::Mutex<Weak<KeptProbe>>>,
    probe_ahead: Ahead<Arc<KeptProbe>>,
    folder_ahead: Ahead<KeptFolder>,
    /// A shell of root's that waits for the first job.
    spare: Ahead<NodeProgram>,
}

impl fmt::Debug for ProbeKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProbeKeeper")
    }
}

/// A thing on its way for whoever takes it first. If nobody does, it goes with the connection.
struct Ahead<T>(Arc<Mutex<Option<JoinHandle<Result<T>>>>>);

impl<T> Clone for Ahead<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Send + 'static> Ahead<T> {
    fn none() -> Self {
        Self(Arc::default())
    }

    fn begin(&self, what: impl Future<Output = Result<T>> + Send + 'static) {
        let began = tokio::spawn(what);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(began);
    }

    /// Gives it, unless it came to nothing: who wants it then meets the same obstacle and tells it.
    async fn take(&self) -> Option<T> {
        let ahead = self.0.lock();
        let ahead = ahead.unwrap_or_else(PoisonError::into_inner).take();
        ahead?.await.ok()?.ok()
    }
}

/// A folder of root's on a node. It goes when this is dropped.
pub(crate) struct KeptFolder {
    path: String,
    keeper: Mutex<NodeProgram>,
    /// False where the keeper has to end what was started.
    all_ends_with_its_streams: bool,
}

/// The probe in such a folder. It goes when the last who has it drops it.
pub(crate) struct KeptProbe {
    folder: KeptFolder,
}

impl ProbeKeeper {
    pub(in crate::engine) fn new(access: NodeAccess, session: NodeSession) -> Self {
        Self {
            access,
            session: Arc::new(Mutex::new(Some(session))),
            kept: Arc::default(),
            probe_ahead: Ahead::none(),
            folder_ahead: Ahead::none(),
            spare: Ahead::none(),
        }
    }

    /// Begins to bring the probe for whoever borrows it first, and to become root for the first job of
    /// it.
    pub(in crate::engine) fn send_ahead(&self, architecture: &str) {
        let (keeper, architecture) = (self.clone(), architecture.to_owned());
        self.probe_ahead
            .begin(async move { keeper.share(&architecture).await });
        self.become_root_ahead();
    }

    /// Begins to make a folder for whoever wants one first, and to become root for the first program.
    pub(in crate::engine) fn make_folder_ahead(&self) {
        let keeper = self.clone();
        self.folder_ahead
            .begin(async move { keeper.make_folder().await });
        self.become_root_ahead();
    }

    fn become_root_ahead(&self) {
        let access = self.access.clone();
        self.spare.begin(async move {
            let words = ["sh", "-c", SPARE].map(str::to_owned);
            access.start_as_root(&words, None).await
        });
    }

    /// Starts a program as root that has no terminal, in the shell that waits for the first.
    ///
    /// # Errors
    /// Unreachable: no login.
    pub(in crate::engine) async fn start(&self, words: &[String]) -> Result<NodeProgram> {
        let line = format!("{}\n", command_line::with("exec", words));
        if line.lines().count() == 1
            && let Some(mut program) = self.spare.take().await
        {
            let said = async {
                program.input.write_all(line.as_bytes()).await?;
                program.input.flush().await
            };
            if said.await.is_ok() {
                return Ok(program);
            }
        }
        self.access.start_as_root(words, None).await
    }

    /// The probe that another has there just now, else one that is brought.
    ///
    /// # Errors
    /// When this devnet carries no program for the node, or the node does not take it.
    pub(in crate::engine) async fn borrow(&self, architecture: &str) -> Result<Arc<KeptProbe>> {
        match self.probe_ahead.take().await {
            Some(kept) => Ok(kept),
            None => self.share(architecture).await,
        }
    }

    /// A folder of one's own, without the probe.
    ///
    /// # Errors
    /// When the node has no room for it, or nothing runs as root there.
    pub(in crate::engine) async fn folder(&self) -> Result<KeptFolder> {
        match self.folder_ahead.take().await {
            Some(folder) => Ok(folder),
            None => self.make_folder().await,
        }
    }

    async fn make_folder(&self) -> Result<KeptFolder> {
        self.keep(&[], "the node did not make a folder").await
    }

    async fn share(&self, architecture: &str) -> Result<Arc<KeptProbe>> {
        let mut kept = self.kept.lock().await;
        if let Some(there) = kept.upgrade().filter(|kept| kept.folder.is_there()) {
            return Ok(there);
        }
        let program = carried::program(architecture)?;
        let folder = self
            .keep(&program, "the node did not take the probe")
            .await?;
        let brought = Arc::new(KeptProbe { folder });
        *kept = Arc::downgrade(&brought);
        Ok(brought)
    }

    /// Sends the session that waits, else another, what it is to keep, and hears where that is.
    async fn keep(&self, program: &[u8], failure: &str) -> Result<KeptFolder> {
        let waits = self.session.lock();
        let waits = waits.unwrap_or_else(PoisonError::into_inner).take();
        let mut session = match waits {
            Some(session) => session,
            None => NodeSession::open(&self.access).await?.1,
        };
        let sum = format!("{:x}", Sha256::digest(program));
        session.send(program, &sum).await;
        let mut keeper = session.program;
        let lost = |error: std::io::Error| Error::lost("the node was lost").caused_by(error);
        let mut output = keeper.output.as_mut().map(|piece| piece.map_err(lost));
        Ok(KeptFolder {
            path: first_line(&mut output, failure).await?,
            keeper: Mutex::new(keeper),
            all_ends_with_its_streams: self.access.closes_streams(),
        })
    }
}

impl KeptFolder {
    /// Its path on the node.
    pub(in crate::engine) fn path(&self) -> &str {
        &self.path
    }

    /// True while its keeper runs: a keeper that was lost has taken the program away.
    fn is_there(&self) -> bool {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(
            keeper.output.next().now_or_never(),
            Some(None | Some(Err(_)))
        )
    }

    /// Removes it.
    pub(in crate::engine) async fn remove(self) {
        let mut keeper = self
            .keeper
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let gone = async {
            if self.all_ends_with_its_streams {
                let _said = keeper.input.write_all(b"\n").await;
            }
            let _closed = keeper.input.shutdown().await;
            while keeper.output.next().await.is_some() {}
        };
        // a node that hangs does it when it goes on
        let _late = tokio::time::timeout(GONE_WITHIN, gone).await;
    }
}

impl KeptProbe {
    /// The path of the program on the node.
    pub(in crate::engine) fn program(&self) -> String {
        format!("{}/{PROGRAM}", self.folder.path)
    }

    /// Gives it back. It is gone then, unless others have it too.
    pub(in crate::engine) async fn give_back(self: Arc<Self>) {
        if let Some(last) = Arc::into_inner(self) {
            last.folder.remove().await;
        }
    }
}

/// The first line that a program prints; `failure` says what came to nothing where there is none.
///
/// # Errors
/// The program was lost, ended before, with its own words on stderr, or has no end of its line.
pub(in crate::engine) async fn first_line(
    output: &mut (impl Stream<Item = Result<Output>> + Unpin),
    failure: &str,
) -> Result<String> {
    let (mut line, mut complaint) = (Vec::new(), Vec::new());
    while !line.ends_with(b"\n") {
        match output.next().await.transpose()? {
            Some(Output::Stdout(bytes)) => line.extend_from_slice(&bytes),
            Some(Output::Stderr(bytes)) => complaint.extend_from_slice(&bytes),
            None => {
                let why = String::from_utf8_lossy(&complaint).trim().to_owned();
                return Err(Error::failed(failure).caused_by(why));
            }
        }
        if line.len() + complaint.len() > LONGEST {
            let why = "it has more to say than devnet reads";
            return Err(Error::failed(failure).caused_by(why));
        }
    }
    Ok(String::from_utf8_lossy(&line).trim().to_owned())
}
