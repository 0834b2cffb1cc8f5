//! The rules of the protocol, and what is left when one of them is broken.

/// One rule broken. Each has to break a property, or the model proves nothing about the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// A lease's age counts from its answer instead of from just before its request.
    AgeFromAnswer,
    /// A renewal takes a lock that is free (MAY_RENEW instead of MUST_RENEW).
    MayRenew,
    /// The supervisor closes at the lease's end.
    NoMargin,
    /// The margin has no part for the store's clock.
    ClockErrorForgotten,
    /// The worker kills a stopped supervisor at D + M/2, where M includes the error of the store's clock: what the
    /// product did until this model was made.
    KillAtHalfTheMargin,
    /// The worker never kills a supervisor.
    SparesTheSupervisor,
    /// The supervisor leaves the deadline to the worker.
    NoDeadline,
    /// The supervisor orders the release, waits for it, and closes the pipe then.
    ReleaseFirst,
    /// A SIGTERM to the process group reaches the worker too, which obeys it.
    WorkerObeysSignals,
    /// Renewals move the time by which a supervisor must have written the byte, as if it had.
    NoAcknowledgement,
    /// The worker takes no notice of its supervisor's end.
    GoesOnAlone,
    /// The worker takes no notice of the parent's end.
    DeafToTheParent,
    /// A try without an answer is left as it is.
    TriesNotUndone,
    /// A store, or a backend, that applies a try after the release which was to undo it.
    TryOutlivesItsRelease,
    /// The keeper waits for the end of its call before it obeys the order to release.
    EndsItsCallFirst,
    /// A release frees whatever is ours, not only what its own try took.
    ReleasesAnything,
    /// The answer to a renewal that was given up counts for the one that was sent after it.
    LateAnswerCounts,
    /// "Not yours" is taken for "don't know": tried again until the deadline.
    DeafToLoss,
    /// "Don't know" is taken for "lost".
    UnansweredIsLost,
    /// A supervisor that stops says why by a byte, also where it has written one.
    SecondByte,
}

/// A world that is worse than what is promised for. Each has to break a property too: the promise ends there, and
/// not before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Beyond {
    /// A deadline is acted upon later than by half of what the margin has for scheduling.
    SlowHost,
    /// The store's clock is off by more than it is said to be.
    ClockFurtherOff,
    /// Both processes are stopped at once: a frozen host.
    BothStopped,
    /// The worker is killed while the supervisor is stopped.
    KilledBesideStopped,
    /// The supervisor is stopped after it has closed the pipe and before it has ordered the release.
    StoppedBeforeTheOrder,
}

/// What is in force: every rule, or every rule but one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules(pub Option<Mutation>);

impl Rules {
    /// Whether this rule is broken.
    #[must_use]
    pub fn has(self, mutation: Mutation) -> bool {
        self.0 == Some(mutation)
    }
}
