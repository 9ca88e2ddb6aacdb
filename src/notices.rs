//! Notes to the person from rooms that do not speak themselves.

use tokio::sync::mpsc::UnboundedSender;

/// A way for notes to whoever shows them, each time that one comes; without one they are dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notices(Option<UnboundedSender<String>>);

impl Notices {
    pub(crate) fn new(to: UnboundedSender<String>) -> Self {
        Self(Some(to))
    }

    pub(crate) fn say(&self, text: String) {
        if let Some(to) = &self.0 {
            let _nobody_reads = to.send(text);
        }
    }
}
