//! The probe in a folder of a node: brought once for all jobs that need it at the same time, and gone
//! with the last of them.

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

/// The time that a keeper has to remove the probe.
const GONE_WITHIN: Duration = Duration::from_secs(2);
/// The longest first line of a program's, its complaints counted in, in bytes.
const LONGEST: usize = 4 << 10;

/// The shell program that becomes the command line which its first line is.
pub(in crate::engine) const SPARE: &str = "IFS= read -r line && eval \"$line\"";

/// A probe that is being brought.
type OnItsWay = JoinHandle<Result<Arc<KeptProbe>>>;

/// The way to a node's probe. Copies share what is brought.
#[derive(Clone)]
pub(crate) struct ProbeKeeper {
    access: NodeAccess,
    /// A session that waits for the first probe.
    session: Arc<Mutex<Option<NodeSession>>>,
    kept: Arc<tokio::sync::Mutex<Weak<KeptProbe>>>,
    /// The one that is on its way for whoever borrows first.
    ahead: Arc<Mutex<Option<OnItsWay>>>,
    /// A shell of root's that waits for the first job.
    spare: Arc<Mutex<Option<JoinHandle<Result<NodeProgram>>>>>,
}

impl fmt::Debug for ProbeKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProbeKeeper")
    }
}

/// The probe in a folder of a node. It goes when the last who has it drops it.
pub(crate) struct KeptProbe {
    program: String,
    keeper: Mutex<NodeProgram>,
    /// False where the keeper has to end what was started.
    all_ends_with_its_streams: bool,
}

impl ProbeKeeper {
    pub(in crate::engine) fn new(access: NodeAccess, session: NodeSession) -> Self {
        Self {
            access,
            session: Arc::new(Mutex::new(Some(session))),
            kept: Arc::default(),
            ahead: Arc::default(),
            spare: Arc::default(),
        }
    }

    /// Begins to bring the probe for whoever borrows it first, and to become root for the first job of
    /// it. If there is none, both go with the connection.
    pub(in crate::engine) fn send_ahead(&self, architecture: &str) {
        let (keeper, architecture) = (self.clone(), architecture.to_owned());
        let ahead = tokio::spawn(async move { keeper.share(&architecture).await });
        *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
        let access = self.access.clone();
        let spare = tokio::spawn(async move {
            let words = ["sh", "-c", SPARE].map(str::to_owned);
            access.start_as_root(&words, None).await
        });
        *self.spare.lock().unwrap_or_else(PoisonError::into_inner) = Some(spare);
    }

    /// Starts a program as root that has no terminal, in the shell that waits for the first.
    ///
    /// # Errors
    /// Unreachable: no login.
    pub(in crate::engine) async fn start(&self, words: &[String]) -> Result<NodeProgram> {
        let spare = self.spare.lock();
        let spare = spare.unwrap_or_else(PoisonError::into_inner).take();
        let line = format!("{}\n", command_line::with("exec", words));
        if let Some(spare) = spare.filter(|_| line.lines().count() == 1)
            && let Ok(Ok(mut program)) = spare.await
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
        let ahead = self.ahead.lock();
        let ahead = ahead.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(ahead) = ahead
            && let Ok(Ok(kept)) = ahead.await
        {
            return Ok(kept);
        }
        self.share(architecture).await
    }

    async fn share(&self, architecture: &str) -> Result<Arc<KeptProbe>> {
        let mut kept = self.kept.lock().await;
        if let Some(there) = kept.upgrade().filter(|kept| kept.is_there()) {
            return Ok(there);
        }
        let program = carried::program(architecture)?;
        let waits = self.session.lock();
        let waits = waits.unwrap_or_else(PoisonError::into_inner).take();
        let session = match waits {
            Some(session) => session,
            None => NodeSession::open(&self.access).await?.1,
        };
        let all_ends_with_its_streams = self.access.closes_streams();
        let brought = Arc::new(bring(session, &program, all_ends_with_its_streams).await?);
        *kept = Arc::downgrade(&brought);
        Ok(brought)
    }
}

impl KeptProbe {
    /// The path of the program on the node.
    pub(in crate::engine) fn program(&self) -> &str {
        &self.program
    }

    /// True while its keeper runs: a keeper that was lost has taken the program away.
    fn is_there(&self) -> bool {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(
            keeper.output.next().now_or_never(),
            Some(None | Some(Err(_)))
        )
    }

    /// Gives it back. It is gone then, unless others have it too.
    pub(in crate::engine) async fn give_back(self: Arc<Self>) {
        let Some(last) = Arc::into_inner(self) else {
            return;
        };
        let mut keeper = last
            .keeper
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let gone = async {
            if last.all_ends_with_its_streams {
                let _said = keeper.input.write_all(b"\n").await;
            }
            let _closed = keeper.input.shutdown().await;
            while keeper.output.next().await.is_some() {}
        };
        // a node that hangs does it when it goes on
        let _late = tokio::time::timeout(GONE_WITHIN, gone).await;
    }
}

/// Sends the probe's bytes to a session, and hears where they are.
async fn bring(
    mut session: NodeSession,
    program: &[u8],
    all_ends_with_its_streams: bool,
) -> Result<KeptProbe> {
    let sum = format!("{:x}", Sha256::digest(program));
    session.send(program, &sum).await;
    let mut keeper = session.program;
    let lost = |error: std::io::Error| Error::lost("the node was lost").caused_by(error);
    let mut output = keeper.output.as_mut().map(|piece| piece.map_err(lost));
    let program = first_line(&mut output, "the node did not take the probe").await?;
    Ok(KeptProbe {
        program,
        keeper: Mutex::new(keeper),
        all_ends_with_its_streams,
    })
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
