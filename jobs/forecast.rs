//! When a connection will end, as far as it is known: its token, what renews it, its scopes, Meta's access to data.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{preflight::AccountState, tokens::half_life};

/// Access has to outlast a post by this much: arming asks for about as much.
pub const MARGIN: TimeDelta = TimeDelta::minutes(15);

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// Its owner has to connect it again already.
    Reconnect,
    /// A scope is missing that publishing needs.
    Scopes,
    /// The access token ends, and nothing renews it.
    Token,
    /// What renews the access token ends.
    Renewal,
    /// The network stops giving data.
    DataAccess,
}

impl Because {
    /// Every reason.
    pub const ALL: &'static [Self] =
        &[Self::Reconnect, Self::Scopes, Self::Token, Self::Renewal, Self::DataAccess];

    /// The API's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reconnect => "reconnect",
            Self::Scopes => "scopes",
            Self::Token => "token",
            Self::Renewal => "renewal",
            Self::DataAccess => "data_access",
        }
    }
}

/// What is known of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Connection<'a> {
    /// Whether it may be used.
    pub state: AccountState,
    /// When the access token ends, where the network names an end.
    pub token_expires_at: Option<DateTime<Utc>>,
    /// Something to renew it with is kept.
    pub renewable: bool,
    /// When that ends, where the network says so.
    pub renewable_until: Option<DateTime<Utc>>,
    /// It should have been renewed by now.
    pub overdue: bool,
    /// When the network stops giving data.
    pub data_access_expires_at: Option<DateTime<Utc>>,
    /// Scopes that publishing needs and the grant lacks.
    pub missing_scopes: &'a [String],
}

/// The end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// When; what is broken already ended at the moment of asking.
    pub at: DateTime<Utc>,
    /// Why.
    pub because: Because,
}

/// The first end that is known of; none: nothing is known to end it.
pub fn end(it: &Connection<'_>, now: DateTime<Utc>) -> Option<End> {
    let broken = match it.state {
        AccountState::Reconnect => Some(Because::Reconnect),
        AccountState::Active | AccountState::Paused if !it.missing_scopes.is_empty() => Some(Because::Scopes),
        AccountState::Active | AccountState::Paused | AccountState::Frozen | AccountState::Erased => None,
    };
    if let Some(because) = broken {
        return Some(End { at: now, because });
    }
    let token = if it.renewable {
        // what is renewed in time gets another end before this one comes
        (it.renewable_until.filter(|_| it.overdue), Because::Renewal)
    } else {
        (it.token_expires_at, Because::Token)
    };
    let ends = [token, (it.data_access_expires_at, Because::DataAccess)];
    ends.into_iter().filter_map(|(at, because)| at.map(|at| End { at, because })).min_by_key(|end| end.at)
}

/// Whether access should have been renewed by now: it was due at half of the life of what renews it, and half of what
/// was left then has passed in trying.
pub fn is_overdue(renewed_at: DateTime<Utc>, until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    until.is_some_and(|until| half_life(half_life(renewed_at, until), until) <= now)
}

impl End {
    /// What is scheduled from this moment on does not go out.
    pub fn breaks_from(&self) -> DateTime<Utc> {
        self.at - MARGIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    const ENDLESS: Connection<'_> = Connection {
        state: AccountState::Active,
        token_expires_at: None,
        renewable: false,
        renewable_until: None,
        overdue: false,
        data_access_expires_at: None,
        missing_scopes: &[],
    };

    #[test]
    fn what_ends_first_ends_the_connection() {
        assert_eq!(end(&ENDLESS, at(0)), None);
        let it = Connection { token_expires_at: Some(at(9)), ..ENDLESS };
        assert_eq!(end(&it, at(0)), Some(End { at: at(9), because: Because::Token }));
        let it = Connection { data_access_expires_at: Some(at(5)), ..it };
        assert_eq!(end(&it, at(0)), Some(End { at: at(5), because: Because::DataAccess }));
        let it = Connection { renewable: true, renewable_until: Some(at(4)), overdue: true, ..it };
        assert_eq!(end(&it, at(0)), Some(End { at: at(4), because: Because::Renewal }));
    }

    #[test]
    fn a_token_that_is_renewed_ends_nothing() {
        let it = Connection { token_expires_at: Some(at(2)), renewable: true, ..ENDLESS };
        assert_eq!(end(&it, at(0)), None);
    }

    #[test]
    fn what_renews_itself_is_warned_of_only_when_it_is_overdue() {
        let overdue = |hours| is_overdue(at(0), Some(at(8)), at(hours));
        assert_eq!((overdue(4), overdue(5), overdue(6), overdue(9)), (false, false, true, true));
        assert!(!is_overdue(at(0), None, at(9)));
        for (hours, found) in [(5, None), (6, Some(End { at: at(8), because: Because::Renewal }))] {
            let overdue = overdue(hours);
            let it = Connection { renewable: true, renewable_until: Some(at(8)), overdue, ..ENDLESS };
            assert_eq!(end(&it, at(hours)), found);
        }
    }

    #[test]
    fn what_is_broken_has_ended_already() {
        let missing = ["pages_manage_posts".to_owned()];
        let it = Connection { missing_scopes: &missing, ..ENDLESS };
        assert_eq!(end(&it, at(3)), Some(End { at: at(3), because: Because::Scopes }));
        let it = Connection { state: AccountState::Reconnect, ..it };
        assert_eq!(end(&it, at(3)), Some(End { at: at(3), because: Because::Reconnect }));
    }
}
