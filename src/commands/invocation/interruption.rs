//! Ctrl-C and SIGTERM, for commands that have made something in an engine and must take it away.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use crate::commands::invocation::Context;
use crate::error::{Error, Result};

/// The interruption of this run, and those who must hear of it.
#[derive(Debug)]
pub(crate) struct Interruption {
    told: watch::Sender<bool>,
    undoing: AtomicUsize,
}

impl Default for Interruption {
    fn default() -> Self {
        Self {
            told: watch::Sender::new(false),
            undoing: AtomicUsize::new(0),
        }
    }
}

impl Interruption {
    /// Tells everyone. Whether somebody has something to undo and should be waited for.
    pub(crate) fn tell(&self) -> bool {
        self.told.send_replace(true);
        self.undoing.load(Ordering::SeqCst) > 0
    }

    async fn heard(&self) {
        let mut told = self.told.subscribe();
        // the sender lives as long as the context
        let _closed = told.wait_for(|told| *told).await;
    }
}

/// Counts who has something to undo.
struct Undoing<'c>(&'c AtomicUsize);

impl Drop for Undoing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Context {
    /// Does `work` to its end, also when the run is interrupted meanwhile: half of it done would be
    /// worse than none or all.
    ///
    /// # Errors
    /// What `work` said; interrupted, when that is so by then.
    pub(crate) async fn to_its_end<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.interruption.undoing.fetch_add(1, Ordering::SeqCst);
        let _counted = Undoing(&self.interruption.undoing);
        let outcome = work.await;
        if *self.interruption.told.borrow() {
            return Err(Error::interrupted());
        }
        outcome
    }

    /// Does `work`. If it fails, or the run is interrupted meanwhile, `undo` is done to its end
    /// before the failure is told; `work` is dropped by then, so nothing more is made.
    pub(crate) async fn or_undo<T>(
        &self,
        work: impl Future<Output = Result<T>>,
        undo: impl Future<Output = ()>,
    ) -> Result<T> {
        let undo = Box::pin(async {
            if *self.interruption.told.borrow() {
                self.ui.say("interrupted: removing what was made so far");
            }
            undo.await;
        });
        self.or_undo_quietly(Box::pin(work), undo).await
    }

    /// The same without a word: what is undone is none of the person's.
    pub(crate) async fn or_undo_quietly<T>(
        &self,
        work: impl Future<Output = Result<T>>,
        undo: impl Future<Output = ()>,
    ) -> Result<T> {
        self.interruption.undoing.fetch_add(1, Ordering::SeqCst);
        let _counted = Undoing(&self.interruption.undoing);
        let outcome = tokio::select! {
            outcome = work => outcome,
            () = self.interruption.heard() => Err(Error::interrupted()),
        };
        if outcome.is_err() {
            undo.await;
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::settings::{Environment, Settings};
    use crate::ui::{TerminalOptions, Ui};

    fn context() -> Context {
        let options = TerminalOptions {
            quiet: true,
            ..TerminalOptions::default()
        };
        let settings = Settings::new(
            crate::settings::flags::GlobalFlags::default(),
            Environment::default(),
        );
        Context::new(settings, Ui::new(&options))
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_interrupted_work_is_undone_and_nothing_else_is() {
        let context = context();
        let undone = AtomicUsize::new(0);
        let undo = || async {
            undone.fetch_add(1, Ordering::SeqCst);
        };
        assert!(!context.interruption.tell_nobody());
        context.or_undo(async { Ok(()) }, undo()).await.unwrap();
        assert_eq!(undone.load(Ordering::SeqCst), 0);
        let work = async {
            assert!(context.interruption.tell());
            std::future::pending::<Result<()>>().await
        };
        let error = context.or_undo(work, undo()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Interrupted);
        assert_eq!(undone.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_must_not_stay_half_done_is_done_before_the_interruption_is_told() {
        let context = context();
        let mut done = false;
        let work = async {
            assert!(context.interruption.tell(), "it is waited for");
            tokio::task::yield_now().await;
            done = true;
            Ok(())
        };
        let error = context.to_its_end(work).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Interrupted);
        assert!(done);
    }

    impl Interruption {
        fn tell_nobody(&self) -> bool {
            self.undoing.load(Ordering::SeqCst) > 0
        }
    }
}
