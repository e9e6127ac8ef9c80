//! The states of a transaction (`TransactionState`).

/// Where a transactional id is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Has a producer id, and no transaction.
    Empty,
    Ongoing,
    /// Decided; its markers are being written.
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
    /// Expired, and about to be forgotten.
    Dead,
    /// Its producer is being fenced. Never written.
    PrepareEpochFence,
}

impl State {
    pub const ALL: [State; 8] = [
        State::Empty,
        State::Ongoing,
        State::PrepareCommit,
        State::PrepareAbort,
        State::CompleteCommit,
        State::CompleteAbort,
        State::Dead,
        State::PrepareEpochFence,
    ];

    /// As in the log.
    pub fn id(self) -> i8 {
        match self {
            State::Empty => 0,
            State::Ongoing => 1,
            State::PrepareCommit => 2,
            State::PrepareAbort => 3,
            State::CompleteCommit => 4,
            State::CompleteAbort => 5,
            State::Dead => 6,
            State::PrepareEpochFence => 7,
        }
    }

    pub fn from_id(id: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.id() == id)
    }

    /// As DescribeTransactions and ListTransactions tell it.
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Ongoing => "Ongoing",
            State::PrepareCommit => "PrepareCommit",
            State::PrepareAbort => "PrepareAbort",
            State::CompleteCommit => "CompleteCommit",
            State::CompleteAbort => "CompleteAbort",
            State::Dead => "Dead",
            State::PrepareEpochFence => "PrepareEpochFence",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether a log may tell of it. One that tells of another was written by no Kafka, whose coordinator then fails
    /// with an exception at each request for the id.
    pub(crate) fn may_be_written(self) -> bool {
        !matches!(self, State::Dead | State::PrepareEpochFence)
    }

    /// Whether an id may expire in it.
    pub(crate) fn may_expire(self) -> bool {
        matches!(self, State::Empty | State::CompleteCommit | State::CompleteAbort)
    }

    /// Decided, and not yet told to every partition.
    pub(crate) fn is_prepared(self) -> bool {
        matches!(self, State::PrepareCommit | State::PrepareAbort)
    }

    pub(crate) fn may_follow(self, before: State) -> bool {
        let between = matches!(before, State::Empty | State::CompleteCommit | State::CompleteAbort);
        match self {
            State::Empty | State::Dead => between,
            State::Ongoing => between || before == State::Ongoing,
            State::PrepareCommit | State::PrepareEpochFence => before == State::Ongoing,
            State::PrepareAbort => matches!(before, State::Ongoing | State::PrepareEpochFence),
            State::CompleteCommit => before == State::PrepareCommit,
            State::CompleteAbort => before == State::PrepareAbort,
        }
    }
}
