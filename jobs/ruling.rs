//! What evidence allows of a publication whose outcome nobody knows. A pure function; model-checked.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{
    contract::{Class, Failure},
    machine::{Public, Sight},
};

/// A publication whose commit nobody can vouch for, as the reconciler sees it.
#[derive(Debug, Clone)]
pub struct Case {
    /// Now, by the ledger's clock.
    pub now: DateTime<Utc>,
    /// When the commit was armed.
    pub armed_at: DateTime<Utc>,
    /// Until then a request may still be on its way.
    pub quarantine_until: DateTime<Utc>,
    /// The first read that showed absence after the quarantine, with none to the contrary since.
    pub absent_since: Option<DateTime<Utc>>,
    /// Somebody wished it cancelled, or its account is frozen.
    pub cancel_wished: bool,
    /// The surface gives no read that proves absence.
    pub one_shot: bool,
    /// The ledger was restored since: what became of one handle says nothing of a later one.
    pub restored: bool,
}

/// How patient the reconciler is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Two reads that prove absence lie at least this far apart.
    pub settle: Duration,
    /// Without evidence for this long, a person decides.
    pub evidence_limit: Duration,
    /// The shortest wait between looks.
    pub look_least: Duration,
    /// The longest wait between looks.
    pub look_most: Duration,
}

/// What the evidence allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It is public (T14).
    Publish(Public),
    /// The network carries it out (T14').
    Carry,
    /// Proved absent: commit the same handle again (T15), or take it back where it is not wanted any more.
    Rearm,
    /// Proved absent and the handle is dead: prepare anew (T15).
    Replace(Failure),
    /// Proved absent for good (T15).
    Condemn(Failure),
    /// Proved absent, the handle is dead, and it is not wanted any more (T15).
    Honour,
    /// A person decides (T16).
    Hold(String),
    /// Not decided; look again.
    LookAgain {
        /// When.
        at: DateTime<Utc>,
        /// The first read of the series that shows absence.
        absent_since: Option<DateTime<Utc>>,
    },
}

/// Decides about an unknown outcome. A read that failed is no evidence.
pub fn judge(case: &Case, seen: Result<Sight, Failure>, patience: &Patience) -> Ruling {
    match seen {
        Ok(Sight::Public(public)) => Ruling::Publish(public),
        Ok(Sight::Processing) if case.restored => {
            undecided(case, patience, None, "the network still works on it")
        }
        Ok(Sight::Processing) => Ruling::Carry,
        Ok(Sight::Ready) => absent(case, patience, || Ruling::Rearm),
        // reads prove that it may be sent again; that it never becomes public only its handle's death proves
        Ok(Sight::Dead(_)) if case.cancel_wished => absent(case, patience, || Ruling::Honour),
        Ok(Sight::Dead(failure)) => absent(case, patience, || match failure.class {
            Class::Permanent | Class::Auth | Class::Permission => Ruling::Condemn(failure),
            Class::Transient | Class::Rate | Class::Unknown => Ruling::Replace(failure),
        }),
        Ok(Sight::Building) => undecided(case, patience, None, "the network still works on it"),
        Err(failure) => undecided(case, patience, case.absent_since, &failure.to_string()),
    }
}

/// Absence counts once it was read twice, `settle` apart, after the last moment a request could be on its way.
fn absent(case: &Case, patience: &Patience, ruling: impl FnOnce() -> Ruling) -> Ruling {
    if case.now < case.quarantine_until {
        return Ruling::LookAgain { at: soon(case, patience).min(case.quarantine_until), absent_since: None };
    }
    if case.one_shot || case.restored {
        let why = if case.restored { "after a restore" } else { "for this kind of post" };
        return Ruling::Hold(format!("the network shows no trace of it, which {why} proves nothing"));
    }
    match case.absent_since.filter(|first| *first >= case.quarantine_until) {
        Some(first) if case.now >= first + patience.settle => ruling(),
        first => {
            let first = first.unwrap_or(case.now);
            Ruling::LookAgain { at: first + patience.settle, absent_since: Some(first) }
        }
    }
}

fn undecided(case: &Case, patience: &Patience, absent_since: Option<DateTime<Utc>>, why: &str) -> Ruling {
    let limit = case.armed_at + patience.evidence_limit;
    if case.now >= limit && case.now >= case.quarantine_until {
        return Ruling::Hold(format!("no evidence within {:?}: {why}", patience.evidence_limit));
    }
    Ruling::LookAgain { at: soon(case, patience), absent_since }
}

/// Looks grow rarer with the age of the doubt: each wait is about as long as the doubt has lasted.
fn soon(case: &Case, patience: &Patience) -> DateTime<Utc> {
    case.now + look_in(case.now - case.armed_at, patience.look_least, patience.look_most)
}

/// The wait before the next look at something that has lasted `age`.
pub fn look_in(age: chrono::TimeDelta, least: Duration, most: Duration) -> Duration {
    age.to_std().unwrap_or(Duration::ZERO).clamp(least, most.max(least))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn patience() -> Patience {
        Patience {
            settle: Duration::from_secs(10),
            evidence_limit: Duration::from_hours(24),
            look_least: Duration::from_secs(1),
            look_most: Duration::from_mins(1),
        }
    }

    fn case(now: i64, absent_since: Option<i64>) -> Case {
        Case {
            now: at(now),
            armed_at: at(0),
            quarantine_until: at(30),
            absent_since: absent_since.map(at),
            cancel_wished: false,
            one_shot: false,
            restored: false,
        }
    }

    #[test]
    fn a_negative_read_inside_the_quarantine_counts_for_nothing() {
        let ruling = judge(&case(29, Some(1)), Ok(Sight::Ready), &patience());
        assert!(matches!(ruling, Ruling::LookAgain { absent_since: None, .. }), "{ruling:?}");
    }

    #[test]
    fn absence_takes_two_reads_apart() {
        let first = judge(&case(30, None), Ok(Sight::Ready), &patience());
        assert_eq!(first, Ruling::LookAgain { at: at(40), absent_since: Some(at(30)) });
        assert!(matches!(
            judge(&case(39, Some(30)), Ok(Sight::Ready), &patience()),
            Ruling::LookAgain { .. }
        ));
        assert_eq!(judge(&case(40, Some(30)), Ok(Sight::Ready), &patience()), Ruling::Rearm);
    }

    #[test]
    fn a_wish_to_cancel_is_honoured_once_the_handle_is_dead() {
        let case = Case { cancel_wished: true, ..case(40, Some(30)) };
        let dead = Sight::Dead(Failure::new(Class::Transient, "expired", "expired"));
        assert_eq!(judge(&case, Ok(dead), &patience()), Ruling::Honour);
        assert_eq!(judge(&case, Ok(Sight::Ready), &patience()), Ruling::Rearm, "it is taken back first");
    }

    #[test]
    fn a_failed_read_decides_nothing_until_a_person_has_to() {
        let failure = || Failure::new(Class::Permanent, "100/33", "missing or invisible");
        assert!(matches!(judge(&case(80_000, None), Err(failure()), &patience()), Ruling::LookAgain { .. }));
        assert!(matches!(judge(&case(86_400, None), Err(failure()), &patience()), Ruling::Hold(_)));
    }

    #[test]
    fn absence_on_a_one_shot_surface_proves_nothing() {
        let case = Case { one_shot: true, ..case(40, Some(30)) };
        assert!(matches!(judge(&case, Ok(Sight::Ready), &patience()), Ruling::Hold(_)));
    }

    #[test]
    fn a_one_shot_surface_is_held_by_the_first_read_after_the_quarantine() {
        let seen = |now| judge(&Case { one_shot: true, ..case(now, None) }, Ok(Sight::Ready), &patience());
        assert_eq!(seen(29), Ruling::LookAgain { at: at(30), absent_since: None });
        assert!(matches!(seen(30), Ruling::Hold(_)));
    }

    #[test]
    fn after_a_restore_only_what_is_public_is_evidence() {
        let case = Case { restored: true, ..case(40, Some(30)) };
        let rejected = || Sight::Dead(Failure::new(Class::Permanent, "rejected", "no"));
        for seen in [Sight::Ready, rejected()] {
            assert!(matches!(judge(&case, Ok(seen), &patience()), Ruling::Hold(_)));
        }
        assert!(matches!(judge(&case, Ok(Sight::Processing), &patience()), Ruling::LookAgain { .. }));
        let public = Public { id: Some("1".into()), url: None };
        assert_eq!(judge(&case, Ok(Sight::Public(public.clone())), &patience()), Ruling::Publish(public));
    }

    proptest! {
        #[test]
        fn an_unknown_outcome_is_resent_only_after_the_quarantine(now in 0_i64..200, first in proptest::option::of(0_i64..200)) {
            let case = case(now, first);
            if judge(&case, Ok(Sight::Ready), &patience()) == Ruling::Rearm {
                prop_assert!(case.now >= case.quarantine_until);
            }
        }
    }
}
