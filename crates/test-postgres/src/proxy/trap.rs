//! [`Trap`]: what happens to one transaction.

/// When a trap springs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The client has sent the statement that contains the words; the server has not got it.
    BeforeStatement,
    /// The client has sent COMMIT, or a statement that is a transaction by itself; the server has not
    /// got it.
    BeforeCommit,
    /// The server has committed and has said so; the client has not heard it.
    AfterCommit,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It is cut: nothing more is passed on, not even what has come already.
    Cut,
    /// It is cut for the client, and the server is not told: it waits for what never comes.
    Vanish,
    /// It goes on.
    Pass,
}

pub(super) struct Trap {
    moment: Moment,
    words: String,
    then: Box<dyn FnOnce() -> Then + Send>,
}

impl Trap {
    pub(super) fn new(
        moment: Moment,
        words: &str,
        then: impl FnOnce() -> Then + Send + 'static,
    ) -> Self {
        Self { moment, words: words.to_ascii_lowercase(), then: Box::new(then) }
    }

    /// Whether it is laid for one of these statements.
    pub(super) fn is_for(&self, moment: Moment, texts: &[String]) -> bool {
        let contains = |text: &String| text.to_ascii_lowercase().contains(&self.words);
        self.moment == moment && texts.iter().any(contains)
    }

    pub(super) fn spring(self) -> Then {
        (self.then)()
    }
}
