//! Places where tests may kill, stop or fail the process: a closed registry, compiled in by the feature
//! `failpoints` alone.
//!
//! `POSTROOM_FAILPOINTS="after_arm=kill9;before_commit_send=stop"` arms them. The suite walks [`Point::ALL`],
//! so a step without a test of its death does not pass.

#[cfg(feature = "failpoints")]
use nix::sys::signal::Signal;

macro_rules! points {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)+) => {
        /// A place in the code where a fault can be made to happen.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Point { $($(#[$doc])* $name,)+ }

        impl Point {
            /// Every place there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word that arms it.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

points! {
    /// The claim is committed; nothing has run.
    AfterClaim = "after_claim",
    /// The prepare call is logged (T4); nothing was sent.
    AfterPrepareLogged = "after_prepare_logged",
    /// The network has prepared; the handle is not stored.
    AfterPrepareAnswer = "after_prepare_answer",
    /// The handle is stored (T5).
    AfterPrepared = "after_prepared",
    /// The intent to commit is durable (T7); nothing was sent.
    AfterArm = "after_arm",
    /// The last check is passed; the next thing is the request.
    BeforeCommitSend = "before_commit_send",
    /// The network has answered the commit; nothing is stored.
    AfterCommitAnswer = "after_commit_answer",
    /// The network has taken the handle back; nothing is stored.
    AfterWithdrawn = "after_withdrawn",
    /// The request to take a post down is logged; nothing was sent.
    AfterTakeDownLogged = "after_take_down_logged",
    /// The network has answered that request; nothing is stored.
    AfterTakeDownAnswer = "after_take_down_answer",
    /// The effect is recorded (T9); the job is not settled.
    AfterSeen = "after_seen",
    /// The job is about to be settled.
    BeforeSettle = "before_settle",
    /// The job is settled.
    AfterSettle = "after_settle",
    /// The reconciler has read the network; nothing is stored.
    AfterEvidence = "after_evidence",
    /// A refresh of an account's tokens is logged; nothing was sent.
    AfterRefreshLogged = "after_refresh_logged",
    /// The network has answered a refresh; nothing is stored.
    AfterRefreshAnswer = "after_refresh_2xx",
    /// The new pair is stored; the job is not settled.
    AfterRefreshSaved = "after_refresh_saved",
    /// What an analysis can cost is set aside; nothing was sent.
    AfterAnalysisReserved = "after_analysis_reserved",
    /// The provider has answered; nothing is stored.
    AfterAnalysisAnswer = "after_analysis_answer",
    /// What came of a question is kept; the analysis has not gone on.
    AfterAnalysisSettled = "after_analysis_settled",
    /// The exchange of a code is logged; nothing was sent.
    AfterCodeLogged = "after_code_logged",
    /// The network has answered it; nothing is stored.
    AfterCodeAnswer = "after_code_answer",
    /// The grant is sealed and stored, and the code is gone.
    AfterGranted = "after_granted",
    /// What there is to choose from is stored; the job is not settled.
    AfterOffered = "after_offered",
    /// What was chosen has been read again at the network; nothing is connected.
    BeforeConnected = "before_connected",
    /// The chosen accounts are connected; the job is not settled.
    AfterConnected = "after_connected",
    /// The access is shredded and that is recorded; the job is not settled.
    AfterParted = "after_parted",
    /// What a restore needs of a request for deletion is kept outside of the ledger; the ledger does not know.
    AfterStoneLaid = "after_stone_laid",
    /// A request for deletion has gone on to its next stage.
    AfterDeletionTurn = "after_deletion_turn",
    /// The request that a draft be taken back is logged; nothing was sent.
    AfterDraftLogged = "after_draft_logged",
    /// What became of a draft is known; nothing is stored.
    AfterDraftAnswer = "after_draft_answer",
    /// The request that a grant be taken back is logged; nothing was sent.
    AfterRevokeLogged = "after_revoke_logged",
    /// The network has answered that request; nothing is stored.
    AfterRevokeAnswer = "after_revoke_answer",
    /// The tokens are destroyed; the stage is not left.
    AfterShredded = "after_shredded",
    /// A part of a store is emptied.
    AfterPurgeBatch = "after_purge_batch",
    /// Files are erased; nothing is stored.
    AfterFilesErased = "after_files_erased",
    /// Nothing was found left; there is no receipt.
    AfterVerified = "after_verified",
    /// The letter is written; the stage is not left.
    AfterTold = "after_told",
    /// The address is erased outside of the ledger, which still has it.
    AfterRecipientErased = "after_recipient_erased",
    /// Whom it was about is forgotten; the stage is not left.
    AfterForgotten = "after_forgotten",
    /// What goes into a copy is written down; nothing is packed.
    AfterExportGathered = "after_export_gathered",
    /// The store has a part of a copy, and the ledger knows.
    AfterExportPart = "after_export_part",
    /// The copy is one file; nobody knows yet.
    AfterExportJoined = "after_export_joined",
    /// A webhook has answered; nothing is stored.
    AfterWebhookAnswer = "after_webhook_answer",
    /// A part of what is older than it is kept has gone.
    AfterRetentionBatch = "after_retention_batch",
    /// A post is accepted and committed; no hint was pushed, no answer given.
    AfterAccept = "after_accept",
}

/// Who comes by a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassedBy {
    /// Every job that a worker runs.
    EveryJob,
    /// Jobs of these kinds.
    Kinds(&'static [&'static str]),
    /// No job, but a duty of a worker, or the door.
    NoJob,
}

impl Point {
    /// Who comes by here: a new place has to say so.
    pub const fn passed_by(self) -> PassedBy {
        use PassedBy::{EveryJob, Kinds, NoJob};
        match self {
            Self::AfterClaim | Self::BeforeSettle | Self::AfterSettle => EveryJob,
            Self::AfterPrepareLogged
            | Self::AfterPrepareAnswer
            | Self::AfterPrepared
            | Self::AfterArm
            | Self::BeforeCommitSend
            | Self::AfterCommitAnswer
            | Self::AfterWithdrawn
            | Self::AfterSeen => Kinds(&["publish"]),
            Self::AfterTakeDownLogged | Self::AfterTakeDownAnswer => Kinds(&["take_down"]),
            Self::AfterRefreshLogged | Self::AfterRefreshAnswer | Self::AfterRefreshSaved => {
                Kinds(&["token_refresh"])
            }
            Self::AfterAnalysisReserved | Self::AfterAnalysisAnswer | Self::AfterAnalysisSettled => {
                Kinds(&["ai_analysis"])
            }
            Self::AfterCodeLogged
            | Self::AfterCodeAnswer
            | Self::AfterGranted
            | Self::AfterOffered
            | Self::BeforeConnected
            | Self::AfterConnected => Kinds(&["connect"]),
            Self::AfterRevokeLogged | Self::AfterRevokeAnswer => Kinds(&["deletion", "disconnect"]),
            Self::AfterParted => Kinds(&["disconnect"]),
            Self::AfterStoneLaid
            | Self::AfterDeletionTurn
            | Self::AfterDraftLogged
            | Self::AfterDraftAnswer
            | Self::AfterShredded
            | Self::AfterPurgeBatch
            | Self::AfterFilesErased
            | Self::AfterVerified
            | Self::AfterTold
            | Self::AfterRecipientErased
            | Self::AfterForgotten => Kinds(&["deletion"]),
            Self::AfterExportGathered | Self::AfterExportPart | Self::AfterExportJoined => Kinds(&["export"]),
            Self::AfterWebhookAnswer => Kinds(&["webhook"]),
            Self::AfterEvidence | Self::AfterRetentionBatch | Self::AfterAccept => NoJob,
        }
    }

    /// Every place that jobs of a kind come by.
    pub fn of_kind(kind: &str) -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(move |point| match point.passed_by() {
            PassedBy::EveryJob => true,
            PassedBy::Kinds(kinds) => kinds.contains(&kind),
            PassedBy::NoJob => false,
        })
    }
}

/// Makes the fault that this place is armed with, if any.
///
/// # Panics
/// Where it is armed to, or armed with an action that there is none of.
#[cfg(feature = "failpoints")]
pub fn hit(point: Point) {
    let Ok(armed) = std::env::var("POSTROOM_FAILPOINTS") else { return };
    let action =
        armed.split(';').filter_map(|one| one.split_once('=')).find(|(word, _)| *word == point.word());
    match action.map(|(_, action)| action) {
        None => {}
        Some("kill9") => signal(Signal::SIGKILL),
        Some("stop") => signal(Signal::SIGSTOP),
        Some("panic") => panic!("failpoint {}", point.word()),
        Some(other) => panic!("failpoint {}: no action is called {other}", point.word()),
    }
}

/// To this very thread: a signal to the process may reach another one first, and this one would run on.
#[cfg(feature = "failpoints")]
fn signal(signal: Signal) {
    nix::sys::signal::raise(signal).expect("a thread may signal itself");
}

/// Nothing, in a build without failpoints.
#[cfg(not(feature = "failpoints"))]
pub fn hit(_: Point) {}

/// Marks a place where a fault can be made to happen.
#[macro_export]
macro_rules! fp {
    ($point:ident) => {
        $crate::failpoint::hit($crate::failpoint::Point::$point)
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KINDS;

    #[test]
    fn every_kind_that_a_place_is_passed_by_is_one() {
        for point in Point::ALL {
            if let PassedBy::Kinds(kinds) = point.passed_by() {
                let known = |name: &&str| KINDS.iter().any(|kind| kind.name == *name);
                assert!(!kinds.is_empty() && kinds.iter().all(known), "{}", point.word());
            }
        }
        assert!(KINDS.iter().all(|kind| Point::of_kind(kind.name).count() >= 3));
    }
}
