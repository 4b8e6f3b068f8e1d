//! Faults planted on purpose, one at a time: a check that does not find them proves nothing.

/// A fault in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The epoch is dropped from the guard of finishing: a job and a process are enough.
    EpochDropped,
    /// Putting a job back does not raise its epoch.
    EpochKept,
    /// A claim believes what its insert saw, without looking again.
    ClaimInOneStatement,
    /// A reap moves the publication by what it saw before it waited for the claim.
    ReapInOneStatement,
    /// A 500 on a commit is taken for a definite no.
    ServerErrorIsNo,
    /// An unknown outcome is judged at once, while a request may still be on its way.
    NoQuarantine,
    /// One read that shows nothing is proof enough.
    OneReadProves,
    /// What was proved absent gets a new handle, while the old one lives.
    ReplaceUnproved,
    /// A decision leaves the call it is about open, and no index minds a second one.
    CallLeftOpen,
    /// A decision closes whichever call is open, not the one it is about.
    AnyCallJudged,
    /// A reconciler reads the doubt in one statement and the call that it is about in another.
    DoubtInTwoStatements,
    /// The request is sent although its row was rolled back.
    SendUnlogged,
    /// Authority writes do not name the states they leave.
    StateUnnamed,
    /// Authority writes do not read their claim.
    FenceDropped,
    /// What reads have shown to be absent is given up as if its handle were dead.
    HonouredAlive,
    /// Evidence is taken from a claim's holder alone.
    EvidenceFenced,
    /// Evidence changes a call that was judged.
    EvidenceCounted,
    /// Arming looks neither at the account nor for a wish to cancel.
    FreezeUnseen,
    /// Arming does not compare the version prepared with the one wanted.
    VersionUnseen,
    /// Arming does not look for a wish to cancel.
    WishUnseen,
    /// What was sent and refused is replaced by what is wanted now without another look.
    RefusalBelieved,
    /// An unknown outcome gets no next look.
    NoNextLook,
    /// A decision that needs a job inserts none, and nothing sweeps for rows without one.
    NoJob,
    /// Absence is taken for proof where the network gives no read that proves it.
    OneShotResent,
    /// Our origin serves addresses that are closed.
    ClosedServes,
    /// Our origin does not write down what it serves.
    FetchUnlogged,
    /// Slides are put together before the network says that they are ready.
    SlidesUnready,
    /// A person approves a retry while the sender of the first attempt is only paused (R1).
    ApprovedDuringPause,
}
