//! The rule of silence: how long an engine may say nothing while something is awaited of it.
//!
//! Where an engine works without speaking (it loads, prunes, waits, or a program that is followed is
//! quiet) its silence proves nothing: a question on another connection decides. What it only looks
//! for in its own files has an end all the same.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;

use crate::error::Error;
use crate::notices::Notices;

/// The number of questions in a row that may stay unanswered.
const UNANSWERED: u32 = 3;
/// The longest search of an engine through its files, as a multiple of the limit.
const SEARCH: u32 = 15;

/// The longest pause that an answer may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// The limit: the engine has the answer.
    Limit,
    /// Many times the limit while the engine answers pings: it looks through files, which may be
    /// large, for what to say.
    Search,
    /// Any while the engine answers pings: it works, or a program is quiet.
    Work,
}

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An engine's sign of life, asked for while it is silent.
#[derive(Clone)]
pub(crate) struct Liveness {
    /// The engine's address, for messages.
    engine: Arc<str>,
    limit: Duration,
    /// Asks on another connection, and tells if there was an answer.
    ping: Arc<dyn Fn() -> Later<bool> + Send + Sync>,
    notices: Notices,
    /// True after a silence: the engine need not be waited for as long again.
    silent: Arc<AtomicBool>,
    /// True where it has been said that nothing comes, and nothing has come since.
    told: Arc<AtomicBool>,
}

impl fmt::Debug for Liveness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Liveness")
            .field("engine", &self.engine)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Liveness {
    /// `limit` is how long an answer may pause; pings come every half of it.
    pub(crate) fn new(
        engine: &str,
        limit: Duration,
        notices: Notices,
        ping: impl Fn() -> Later<bool> + Send + Sync + 'static,
    ) -> Self {
        Self {
            engine: engine.into(),
            limit,
            ping: Arc::new(ping),
            notices,
            silent: Arc::default(),
            told: Arc::default(),
        }
    }

    /// True where it was silent the last time.
    pub(crate) fn was_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    /// Notes that the engine has spoken.
    pub(crate) fn heard(&self) {
        self.silent.store(false, Ordering::Relaxed);
        self.told.store(false, Ordering::Relaxed);
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Resolves once the engine has left three pings in a row unanswered. It begins to ask when
    /// nothing has come for a quarter of the limit, and says so when the first ping waits as long.
    pub(crate) async fn lost(self) -> Error {
        tokio::time::sleep(self.limit / 4).await;
        let mut unanswered = 0;
        loop {
            if self.answers().await {
                unanswered = 0;
                tokio::time::sleep(self.limit / 2).await;
                continue;
            }
            unanswered += 1;
            if unanswered == UNANSWERED {
                self.silent.store(true, Ordering::Relaxed);
                return Error::failed(format!(
                    "the engine at {} fell silent, and answers no ping",
                    self.engine
                ))
                .hint("the machine may be paused or overloaded");
            }
        }
    }

    /// True where it answers a ping in that time.
    pub(crate) async fn is_there(&self, patience: Duration) -> bool {
        matches!(
            tokio::time::timeout(patience, (self.ping)()).await,
            Ok(true)
        )
    }

    /// Resolves once a pause is too long.
    pub(crate) async fn paused(self, pause: Pause) -> Error {
        let longest = match pause {
            Pause::Limit => self.limit,
            Pause::Search => self.limit.saturating_mul(SEARCH),
            Pause::Work => return self.lost().await,
        };
        let search = async {
            if pause == Pause::Search {
                return self.clone().lost().await;
            }
            std::future::pending().await
        };
        tokio::select! {
            error = search => error,
            () = tokio::time::sleep(longest) => self.stalled(longest, "an answer"),
        }
    }

    /// The failure of an answer that paused longer than the limit.
    pub(crate) fn stall(&self, what: &str) -> Error {
        self.stalled(self.limit, what)
    }

    fn stalled(&self, pause: Duration, what: &str) -> Error {
        self.silent.store(true, Ordering::Relaxed);
        Error::failed(format!(
            "the engine at {} stalled amid {what} for {} s",
            self.engine,
            pause.as_secs_f64()
        ))
        .hint("the machine may be paused or overloaded")
    }

    async fn answers(&self) -> bool {
        let mut ping = (self.ping)();
        let quarter = self.limit / 4;
        let answer = match tokio::time::timeout(quarter, &mut ping).await {
            Ok(answer) => Ok(answer),
            Err(_elapsed) => {
                // once for each time that it falls silent, however many wait for it
                if !self.told.swap(true, Ordering::Relaxed) {
                    self.notices.say(format!(
                        "nothing comes from the engine at {}, and it answers no ping: waiting",
                        self.engine
                    ));
                }
                tokio::time::timeout(quarter, ping).await
            }
        };
        match answer {
            Ok(true) => {
                self.told.store(false, Ordering::Relaxed);
                true
            }
            // refused at once: the next is asked in its own time
            Ok(false) => {
                tokio::time::sleep(quarter).await;
                false
            }
            Err(_elapsed) => false,
        }
    }

    /// The stream, ended by an error when it pauses for too long.
    pub(crate) fn over<S, T>(
        &self,
        stream: S,
        pause: Pause,
    ) -> impl Stream<Item = Result<T, Error>> + Send + use<S, T>
    where
        S: Stream<Item = Result<T, Error>> + Send,
    {
        Watched {
            stream: Some(Box::pin(stream)),
            liveness: self.clone(),
            pause,
            lost: None,
        }
    }
}

struct Watched<S> {
    /// `None` after its end.
    stream: Option<Pin<Box<S>>>,
    liveness: Liveness,
    pause: Pause,
    /// Since nothing came.
    lost: Option<Later<Error>>,
}

impl<S, T> Stream for Watched<S>
where
    S: Stream<Item = Result<T, Error>> + Send,
{
    type Item = Result<T, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(stream) = &mut this.stream else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(item) = stream.as_mut().poll_next(context) {
            this.lost = None;
            if matches!(item, Some(Ok(_))) {
                this.liveness.heard();
            } else {
                this.stream = None;
            }
            return Poll::Ready(item);
        }
        let (liveness, pause) = (&this.liveness, this.pause);
        let lost = this
            .lost
            .get_or_insert_with(|| Box::pin(liveness.clone().paused(pause)));
        match lost.as_mut().poll(context) {
            Poll::Ready(error) => {
                this.stream = None;
                this.lost = None;
                Poll::Ready(Some(Err(error)))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::{StreamExt as _, stream};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(8);

    /// An engine that answers those pings that `answers` says, by their number.
    fn engine(answers: fn(usize) -> bool) -> (Liveness, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let ping = move || -> Later<bool> {
            let number = count.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                if !answers(number) {
                    std::future::pending::<()>().await;
                }
                true
            })
        };
        (Liveness::new("x", LIMIT, Notices::default(), ping), asked)
    }

    #[test]
    fn what_falls_silent_twice_is_said_twice() {
        let (mut liveness, _asked) = engine(|_| false);
        let (sender, mut said) = tokio::sync::mpsc::unbounded_channel();
        liveness.notices = Notices::new(sender);
        let mut silences = || {
            run(liveness.clone().lost());
            run(liveness.clone().lost());
            std::iter::from_fn(|| said.try_recv().ok()).count()
        };
        assert_eq!(silences(), 1);
        assert_eq!(silences(), 0, "nothing has come since");
        liveness.heard();
        assert_eq!(silences(), 1);
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.unwrap().block_on(work)
    }

    #[test]
    fn three_pings_in_a_row_without_an_answer_end_a_stream_and_fewer_do_not() {
        // two unanswered, one answered, then silence
        let (liveness, asked) = engine(|number| number == 2);
        let silent = stream::pending::<Result<(), Error>>();
        let heard: Vec<_> = run(liveness.over(silent, Pause::Work).collect());
        assert_eq!(asked.load(Ordering::SeqCst), 6);
        assert_eq!(heard.len(), 1);
        let said = heard[0].as_ref().unwrap_err().to_string();
        assert!(said.contains("fell silent"), "{said}");
    }

    #[test]
    fn an_answer_that_needs_no_work_ends_by_itself() {
        let (liveness, asked) = engine(|_| true);
        let silent = stream::pending::<Result<(), Error>>();
        let heard: Vec<_> = run(liveness.over(silent, Pause::Limit).collect());
        let said = heard[0].as_ref().unwrap_err().to_string();
        assert!(said.contains("stalled"), "{said}");
        assert_eq!((heard.len(), asked.load(Ordering::SeqCst)), (1, 0));
    }

    #[test]
    fn what_is_searched_for_may_take_long_while_the_engine_answers_and_not_for_ever() {
        let (mut liveness, asked) = engine(|_| true);
        // the search has fifteen times as long: a busy machine asks four times within it too
        liveness.limit = LIMIT * 25;
        let late = asked.clone();
        // longer than the limit, which is two pings
        let found = stream::unfold(0, move |number| {
            let late = late.clone();
            async move {
                while number == 0 && late.load(Ordering::SeqCst) < 4 {
                    tokio::task::yield_now().await;
                }
                (number < 2).then_some((Ok::<_, Error>(number), number + 1))
            }
        });
        let endless = found.chain(stream::pending());
        let mut heard: Vec<_> = run(liveness.over(endless, Pause::Search).collect());
        let said = heard.pop().unwrap().unwrap_err().to_string();
        assert!(said.contains("stalled"), "{said}");
        let found = heard.into_iter().map(Result::unwrap);
        assert_eq!(found.collect::<Vec<_>>(), [0, 1]);
        let (liveness, _asked) = engine(|_| false);
        let silent = stream::pending::<Result<(), Error>>();
        let heard: Vec<_> = run(liveness.over(silent, Pause::Search).collect());
        let said = heard[0].as_ref().unwrap_err().to_string();
        assert!(said.contains("fell silent"), "{said}");
    }

    #[test]
    fn a_stream_that_speaks_is_left_alone() {
        let (liveness, asked) = engine(|_| false);
        let speaks = stream::iter([1, 2, 3].map(Ok::<_, Error>));
        let heard: Vec<_> = run(liveness.over(speaks, Pause::Work).collect());
        assert_eq!(heard.into_iter().map(Result::unwrap).sum::<i32>(), 6);
        assert_eq!(asked.load(Ordering::SeqCst), 0);
    }
}
