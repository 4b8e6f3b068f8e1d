//! Telling that connections end, once for each end: administrators by mail, in one letter for all of a workspace's, and the
//! workspace's own software by an event for each account, which what is noted here brings about.

use std::{collections::HashMap, fmt::Write, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use jobs::forecast::{Because, End};
use sqlx::PgTransaction;
use uuid::Uuid;

use super::{
    KeyRing, Ledger, LedgerError,
    access::breaks_of,
    accounts::{Account, AccountState, MOST, find_accounts},
    claims::interval,
    mail,
};

/// A letter is worth sending for so long.
const WORTH: Duration = Duration::from_hours(3 * 24);
/// An end that has moved by less is the same.
const SAME: TimeDelta = TimeDelta::hours(12);

/// A connection that ends.
struct Ending {
    account: Account,
    end: End,
}

impl Ledger {
    /// Writes a letter to the administrators of each workspace in which a connection has ended, or ends within `ahead`,
    /// and that is news. What is well again is forgotten, so that its next end is news. `base` is the console's address;
    /// none: mail is off, and only the workspace's own software is told. Returns how many letters were written.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn tell_of_endings(
        &self,
        ring: &KeyRing,
        ahead: Duration,
        base: Option<&str>,
    ) -> Result<usize, LedgerError> {
        // roughly, and more often than not in vain: what ends is known exactly of an account that was read
        let workspaces = sqlx::query_scalar!(
            "SELECT DISTINCT a.workspace_id FROM account a LEFT JOIN ending_told t ON t.account_id = a.id
             WHERE a.state NOT IN ('frozen', 'erased') AND a.disconnected_at IS NULL
               AND (t.account_id IS NOT NULL OR a.state = 'reconnect' OR a.missing_scopes <> '{}'
                    OR least(CASE WHEN a.renewable THEN a.renewable_until ELSE a.token_expires_at END,
                             a.data_access_expires_at) <= ledger_now() + $1::interval)
             ORDER BY a.workspace_id",
            interval(ahead),
        )
        .fetch_all(&self.pool)
        .await?;
        let mut written = 0;
        for workspace in workspaces {
            written += self.tell_workspace(ring, workspace, ahead, base).await?;
        }
        Ok(written)
    }

    async fn tell_workspace(
        &self,
        ring: &KeyRing,
        workspace: Uuid,
        ahead: Duration,
        base: Option<&str>,
    ) -> Result<usize, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let found = sqlx::query!(
            r#"SELECT name, ledger_now() AS "now!" FROM workspace WHERE id = $1
               -- skip locked: another worker is at it
               FOR NO KEY UPDATE SKIP LOCKED"#,
            workspace,
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(found) = found else { return Ok(0) };
        let accounts = find_accounts(&mut tx, workspace, None, None, MOST).await?;
        let told = told(&mut tx, workspace).await?;
        let until = found.now + TimeDelta::from_std(ahead).unwrap_or(TimeDelta::MAX);
        let mut news = Vec::new();
        for account in accounts {
            let end = ends(&account, found.now).filter(|end| end.at <= until);
            let before = told.get(&account.id);
            match end {
                Some(end) if before.is_none_or(|before| is_news(before, end)) => {
                    note(&mut tx, account.id, end).await?;
                    news.push(Ending { account, end });
                }
                None if before.is_some() => forget(&mut tx, account.id).await?,
                Some(_) | None => {}
            }
        }
        let written = match base.filter(|_| !news.is_empty()) {
            Some(base) => write(&mut tx, ring, (workspace, &found.name), &news, base).await?,
            None => 0,
        };
        tx.commit().await?;
        Ok(written)
    }
}

/// The end of a connection that somebody wants to live: of what is disconnected or being deleted nobody is told.
fn ends(account: &Account, now: DateTime<Utc>) -> Option<End> {
    let wanted = match account.state {
        AccountState::Active | AccountState::Paused | AccountState::Reconnect => account.parted.is_none(),
        AccountState::Frozen | AccountState::Erased => false,
    };
    account.end(now).filter(|_| wanted)
}

/// Whether somebody who was told of one end has to be told of another. What is broken already ends anew at each look.
fn is_news((because, at): &(String, DateTime<Utc>), end: End) -> bool {
    if because != end.because.word() {
        return true;
    }
    let dated = matches!(end.because, Because::Token | Because::Renewal | Because::DataAccess);
    dated && (end.at - *at).abs() > SAME
}

async fn told(
    tx: &mut PgTransaction<'_>,
    workspace: Uuid,
) -> Result<HashMap<Uuid, (String, DateTime<Utc>)>, LedgerError> {
    let rows = sqlx::query!(
        "SELECT t.account_id, t.because, t.ends_at FROM ending_told t JOIN account a ON a.id = t.account_id
         WHERE a.workspace_id = $1",
        workspace,
    );
    let rows = rows.fetch_all(&mut **tx).await?;
    Ok(rows.into_iter().map(|row| (row.account_id, (row.because, row.ends_at))).collect())
}

/// Writes down that it is told of.
async fn note(tx: &mut PgTransaction<'_>, account: Uuid, end: End) -> Result<(), LedgerError> {
    sqlx::query!(
        "INSERT INTO ending_told (account_id, because, ends_at) VALUES ($1, $2, $3)
         ON CONFLICT (account_id) DO UPDATE
         SET because = excluded.because, ends_at = excluded.ends_at, told_at = ledger_now()",
        account,
        end.because.word(),
        end.at,
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn forget(tx: &mut PgTransaction<'_>, account: Uuid) -> Result<(), LedgerError> {
    sqlx::query!("DELETE FROM ending_told WHERE account_id = $1", account).execute(&mut **tx).await?;
    Ok(())
}

/// One letter to each administrator.
async fn write(
    tx: &mut PgTransaction<'_>,
    ring: &KeyRing,
    (workspace, name): (Uuid, &str),
    news: &[Ending],
    base: &str,
) -> Result<usize, LedgerError> {
    let ends: Vec<_> = news.iter().map(|it| (it.account.id, it.end.breaks_from())).collect();
    let breaks = breaks_of(tx, &ends, 1).await?;
    let told = news.iter().map(|it| Told {
        name: &it.account.name,
        platform: &it.account.platform,
        end: it.end,
        breaks: breaks.get(&it.account.id).map_or(0, |breaks| breaks.total),
    });
    let body = said(name, told, base);
    mail::tell_admins(tx, ring, workspace, "Accounts to be connected again", &body, WORTH).await
}

/// An end as a letter tells of it.
struct Told<'a> {
    name: &'a str,
    platform: &'a str,
    end: End,
    /// Scheduled posts that do not go out.
    breaks: u64,
}

fn said<'a>(workspace: &str, news: impl Iterator<Item = Told<'a>>, base: &str) -> String {
    let mut text = format!("In {}:\n\n", on_one_line(workspace));
    for it in news {
        let what = match it.end.because {
            Because::Reconnect => "the network does not take its access any more".to_owned(),
            Because::Scopes => "a permission that publishing needs was not given".to_owned(),
            Because::Token | Because::Renewal | Because::DataAccess => {
                format!("its access ends on {}", it.end.at.format("%Y-%m-%d at %H:%M UTC"))
            }
        };
        let breaks = match it.breaks {
            0 => String::new(),
            1 => " One scheduled post does not go out before it is connected again.".to_owned(),
            many => format!(" {many} scheduled posts do not go out before it is connected again."),
        };
        // a String takes everything
        let _infallible = writeln!(text, "- {} ({}): {what}.{breaks}", on_one_line(it.name), it.platform);
    }
    text + &format!("\nAn administrator connects them again here: {}/accounts\n", base.trim_end_matches('/'))
}

/// A name that somebody chose does not make a line of its own.
fn on_one_line(name: &str) -> String {
    name.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    #[test]
    fn an_end_is_news_once_and_again_when_it_moves() {
        let end = |hours, because| End { at: at(hours), because };
        let told = ("token".to_owned(), at(48));
        for (end, news) in [
            (end(48, Because::Token), false),
            (end(59, Because::Token), false),
            (end(61, Because::Token), true),
            (end(20, Because::Token), true),
            (end(48, Because::DataAccess), true),
        ] {
            assert_eq!(is_news(&told, end), news, "{end:?}");
        }
        assert!(
            !is_news(&("reconnect".to_owned(), at(0)), end(900, Because::Reconnect)),
            "it ended long ago"
        );
    }

    #[test]
    fn a_letter_says_which_why_and_what_it_breaks_on_lines_of_its_own() {
        let one = |name: &'static str, because, breaks| Told {
            name,
            platform: "tiktok",
            end: End { at: at(0), because },
            breaks,
        };
        let news = [
            one("Corner\n- Bakery", Because::Reconnect, 0),
            one("B", Because::Token, 1),
            one("C", Because::Scopes, 3),
        ];
        assert_eq!(
            said("Bakery", news.into_iter(), "https://post.example/"),
            "In Bakery:\n\n\
             - Corner - Bakery (tiktok): the network does not take its access any more.\n\
             - B (tiktok): its access ends on 1970-01-01 at 00:00 UTC. One scheduled post does not go out before it is connected again.\n\
             - C (tiktok): a permission that publishing needs was not given. 3 scheduled posts do not go out before it is connected again.\n\
             \nAn administrator connects them again here: https://post.example/accounts\n"
        );
    }
}
