//! T17, T21 and edits of whole posts: what people change after a post was accepted.
//!
//! An edit raises the version of each publication of which it changes what would be sent. What was prepared of an older
//! version is never armed, so nobody has to be asked to stop: who works on it finds the new version and prepares anew
//! (T7'). Another time alone leaves what is prepared as it is, for arming goes by the time that stands then.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    comment,
    contract::Job,
    control::{self as wishes, Edit},
    hint::Hint,
    machine::State,
    publish::Publish,
};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgTransaction};
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    accept::{Facts, NewPost, NewTarget},
    accounts,
    approval::{self, Word},
    audit::{self, Action, Entry},
    comments,
    control::{self, Refusal},
    idempotency::{Answer, Asked, Once},
    media,
    posts::{self, Post, Publication},
    repeats,
    take_down::TakeDownState,
};

/// A write about one post.
#[derive(Clone, Copy)]
pub struct About<'a> {
    /// Whose it must be.
    pub workspace_id: Uuid,
    /// The post.
    pub post_id: Uuid,
    /// The key it came with.
    pub asked: Option<&'a Asked>,
    /// What it is answered with.
    pub answer: fn(&Post) -> Answer,
    /// What whoever asks may say to a change of it.
    pub word: Word,
    /// The digest of what they looked at before, where it is a post that has to be approved.
    pub seen: Option<&'a str>,
}

/// A post after such a write.
#[derive(Debug)]
pub struct Changed {
    /// As it is now.
    pub post: Post,
    /// Its jobs that may run now.
    pub due: Vec<Hint>,
}

/// Why a post is left as it is.
#[derive(Debug, PartialEq, Eq)]
pub enum Unchanged<R> {
    /// It was judged bad.
    Bad(R),
    /// Not as it stands.
    Refused(Refusal),
}

/// What came of a write about a post.
pub type Written<R> = Once<Result<Changed, Unchanged<R>>>;

impl Ledger {
    /// Whether the workspace has such a post.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn has_post(&self, workspace_id: Uuid, id: Uuid) -> Result<bool, LedgerError> {
        let found = sqlx::query_scalar!(
            r#"SELECT EXISTS (SELECT FROM post WHERE workspace_id = $1 AND id = $2) AS "found!""#,
            workspace_id,
            id,
        );
        Ok(found.fetch_one(&self.pool).await?)
    }

    /// Cancels every publication of a post that nobody is told of yet (T17). Where one may be public already the wish
    /// is kept, and the refusal says so.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn cancel_post(&self, about: &About<'_>) -> Result<Written<()>, LedgerError> {
        self.kept_by_day(|| self.each(about, Verb::Cancel)).await
    }

    /// Tries again every publication of a post that failed or is held as too late (T21).
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn retry_post(&self, about: &About<'_>) -> Result<Written<()>, LedgerError> {
        self.kept_by_day(|| self.each(about, Verb::Retry)).await
    }

    /// Changes a post: `judge` makes it anew of what it is, by what is true now. Nothing is changed unless all of it
    /// may be. `media_ids` are the files that it may have then, besides those it has.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn edit_post<R: Send>(
        &self,
        about: &About<'_>,
        media_ids: &[Uuid],
        judge: impl Fn(&Facts, &Post) -> Result<NewPost, R> + Send + Sync,
    ) -> Result<Written<R>, LedgerError> {
        self.patiently(|| self.edit_once(about, media_ids, &judge)).await
    }

    async fn edit_once<R>(
        &self,
        about: &About<'_>,
        media_ids: &[Uuid],
        judge: impl Fn(&Facts, &Post) -> Result<NewPost, R> + Send,
    ) -> Result<Written<R>, LedgerError> {
        let mut tx = match self.begin_once(about.asked).await? {
            Once::Done(tx) => tx,
            Once::Before(answer) => return Ok(Once::Before(answer)),
            Once::KeyReused => return Ok(Once::KeyReused),
        };
        let Some((facts, post)) = lock(&mut tx, about, media_ids).await? else {
            return Ok(Once::Done(Err(Unchanged::Refused(Refusal::Missing))));
        };
        if let Some(refusal) = overlooked(about, &post) {
            return Ok(Once::Done(Err(Unchanged::Refused(refusal))));
        }
        let new = match judge(&facts, &post) {
            Ok(new) => new,
            Err(bad) => return Ok(Once::Done(Err(Unchanged::Bad(bad)))),
        };
        let due = match write(&mut tx, &post, &new, &facts).await? {
            Ok(None) => Vec::new(),
            Ok(Some(due)) => {
                approval::changed(&mut tx, post.id, about.word).await?;
                if !about.word.waits() && post.approval.as_ref().is_some_and(|approval| approval.waits) {
                    let approved =
                        approval::note(self.who(), about.workspace_id, post.id, json!({ "by": "edit" }));
                    audit::record(&mut tx, &approved).await?;
                }
                if about.word.waits() { Vec::new() } else { due }
            }
            Err(refusal) => return Ok(Once::Done(Err(Unchanged::Refused(refusal)))),
        };
        let changed = self.done(tx, about, due).await?;
        Ok(Once::Done(Ok(changed)))
    }

    async fn each(&self, about: &About<'_>, verb: Verb) -> Result<Written<()>, LedgerError> {
        let mut tx = match self.begin_once(about.asked).await? {
            Once::Done(tx) => tx,
            Once::Before(answer) => return Ok(Once::Before(answer)),
            Once::KeyReused => return Ok(Once::KeyReused),
        };
        let ids = publications(&mut tx, about).await?;
        let (mut acted, mut refusals) = (false, Vec::new());
        for id in ids {
            let done = match verb {
                Verb::Cancel => control::cancel_publication(&mut tx, id).await?,
                Verb::Retry => control::retry_publication(&mut tx, id).await?.map(drop),
            };
            acted |= done.is_ok();
            refusals.extend(done.err());
        }
        // one that may be public outweighs all that were cancelled, whether or not that will ever be proved
        let in_doubt = |it: &Refusal| matches!(it, Refusal::WishKept | Refusal::Undecided);
        let doubted = matches!(verb, Verb::Cancel) && refusals.iter().any(in_doubt);
        if acted || doubted {
            self.note_post(&mut tx, about, verb).await?;
        }
        if acted && !doubted {
            return Ok(Once::Done(Ok(self.done(tx, about, Vec::new()).await?)));
        }
        let refusal = refusals.into_iter().max_by_key(weight).unwrap_or(Refusal::Missing);
        self.commit_once(tx, about.asked, None).await?;
        Ok(Once::Done(Err(Unchanged::Refused(refusal))))
    }

    async fn note_post(
        &self,
        tx: &mut PgConnection,
        about: &About<'_>,
        verb: Verb,
    ) -> Result<(), LedgerError> {
        let action = match verb {
            Verb::Cancel => Action::Cancelled,
            Verb::Retry => Action::Redriven,
        };
        let entry = Entry {
            who: self.who(),
            action,
            object: "post",
            object_id: about.post_id.to_string(),
            workspace_id: Some(about.workspace_id),
            detail: json!({}),
        };
        audit::record(tx, &entry).await
    }

    /// Commits the write with its answer, which is the post as it is then.
    async fn done(
        &self,
        mut tx: PgTransaction<'static>,
        about: &About<'_>,
        due: Vec<Hint>,
    ) -> Result<Changed, LedgerError> {
        let post = posts::select(&mut tx, about.workspace_id, about.post_id).await?;
        let post = post.ok_or_else(|| LedgerError::Unreadable("no post where one was locked".into()))?;
        self.commit_once(tx, about.asked, Some(&(about.answer)(&post))).await?;
        Ok(Changed { post, due })
    }
}

#[derive(Clone, Copy)]
enum Verb {
    Cancel,
    Retry,
}

/// Why a change would approve, or undo, what its writer has not looked at.
fn overlooked(about: &About<'_>, post: &Post) -> Option<Refusal> {
    let approval = post.approval.as_ref()?;
    match about.seen {
        Some(seen) if seen != approval.digest => Some(Refusal::Overtaken),
        None if approval.waits && !about.word.waits() => Some(Refusal::Unseen),
        _ => None,
    }
}

/// Of several refusals the weightiest is told.
fn weight(refusal: &Refusal) -> u8 {
    match refusal {
        Refusal::WishKept => 8,
        Refusal::Account(_) | Refusal::Withdrawn => 7,
        Refusal::Undecided => 6,
        Refusal::Unknown | Refusal::InEffect | Refusal::Alive | Refusal::Shown => 5,
        Refusal::Wished => 4,
        Refusal::UnderWay(_)
        | Refusal::Running
        | Refusal::Follows
        | Refusal::Unapproved
        | Refusal::Unseen
        | Refusal::Overtaken
        | Refusal::TooOften(_)
        | Refusal::Promised => 3,
        Refusal::Over(_) => 2,
        Refusal::Redriven(_) => 1,
        Refusal::Missing => 0,
    }
}

/// The post's publications, in one order for all.
async fn publications(tx: &mut PgConnection, about: &About<'_>) -> Result<Vec<Uuid>, LedgerError> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM publication WHERE workspace_id = $1 AND post_id = $2 ORDER BY id",
        about.workspace_id,
        about.post_id,
    );
    Ok(ids.fetch_all(tx).await?)
}

/// Locks accounts, post and publications, in the order in which arming does; what is read then is true until the end.
async fn lock(
    tx: &mut PgConnection,
    about: &About<'_>,
    media_ids: &[Uuid],
) -> Result<Option<(Facts, Post)>, LedgerError> {
    let of_post = sqlx::query_scalar!(
        "SELECT account_id FROM publication WHERE workspace_id = $1 AND post_id = $2 ORDER BY account_id",
        about.workspace_id,
        about.post_id,
    )
    .fetch_all(&mut *tx)
    .await?;
    let accounts = accounts::lock_accounts(tx, about.workspace_id, &of_post).await?;
    sqlx::query!("SELECT id FROM post WHERE id = $1 FOR UPDATE", about.post_id)
        .fetch_optional(&mut *tx)
        .await?;
    sqlx::query!("SELECT id FROM publication WHERE post_id = $1 ORDER BY id FOR UPDATE", about.post_id)
        .fetch_all(&mut *tx)
        .await?;
    let Some(post) = posts::select(tx, about.workspace_id, about.post_id).await? else { return Ok(None) };
    let media_ids = [media_ids, &post.media_ids].concat();
    let media = media::lock(tx, about.workspace_id, &media_ids).await?;
    let row = sqlx::query!(
        r#"SELECT ledger_now() AS "now!", (SELECT link_template FROM workspace WHERE id = $1) AS link_template"#,
        about.workspace_id,
    )
    .fetch_one(tx)
    .await?;
    let facts =
        Facts { now: row.now, accounts, media, link_template: row.link_template, post_id: Some(post.id) };
    Ok(Some((facts, post)))
}

/// Writes what is new, or nothing. Returns the jobs that may run now; `None`: nothing is new.
async fn write(
    tx: &mut PgConnection,
    post: &Post,
    new: &NewPost,
    facts: &Facts,
) -> Result<Result<Option<Vec<Hint>>, Refusal>, LedgerError> {
    let targets: HashMap<Uuid, &NewTarget> = new.targets.iter().map(|it| (it.account_id, it)).collect();
    let change = Change { post, new };
    let mut changed = Vec::new();
    for it in post.publications.iter().filter(|it| it.parent_id.is_none()) {
        let gone = it.taken_down.as_ref().is_some_and(|it| it.state == TakeDownState::Gone);
        if it.state == State::Published && !gone && change.shows_otherwise(it) {
            return Ok(Err(Refusal::Shown));
        }
        let Some(target) = targets.get(&it.account_id).filter(|target| change.touches(it, target)) else {
            continue;
        };
        match refused(control::stand(tx, it.id).await?) {
            Some(refusal) => return Ok(Err(refusal)),
            None => changed.push((it, *target)),
        }
    }
    if changed.is_empty() {
        let over = post
            .publications
            .iter()
            .filter(|it| it.parent_id.is_none())
            .all(|it| matches!(it.state, State::Published | State::Cancelled));
        if over {
            return Ok(Err(Refusal::Over(post.shown().to_owned())));
        }
        // where every account has words of its own, the common ones are still what they fall back to
        if post.caption == new.caption {
            return Ok(Ok(None));
        }
    }
    update_post(tx, post, new).await?;
    let mut due = Vec::new();
    for (it, target) in changed {
        let renewed = change.renews(it, target, facts.now);
        update_publication(tx, it.id, target, new, renewed).await?;
        comments::change(tx, it, target).await?;
        due.extend(wake(tx, it, &change, facts.now).await?);
    }
    repeats::take_down(tx, post.id, facts, new.repeat_within).await?;
    Ok(Ok(Some(due)))
}

fn refused(it: wishes::Stand) -> Option<Refusal> {
    match wishes::edit(&it) {
        Edit::Now => None,
        Edit::InEffect => Some(Refusal::InEffect),
        Edit::Alive => Some(Refusal::Alive),
        Edit::Decide => Some(Refusal::Undecided),
        Edit::Wished => Some(Refusal::Wished),
        Edit::Over => Some(Refusal::Over(it.state.shown().to_owned())),
    }
}

struct Change<'a> {
    post: &'a Post,
    new: &'a NewPost,
}

impl Change<'_> {
    /// Whether what all accounts share would be something else.
    fn of_what_is_shared(&self) -> bool {
        self.post.link != self.new.link || self.post.media_ids != self.new.media_ids
    }

    fn of_time(&self) -> bool {
        self.post.scheduled_for != self.new.scheduled_for || self.post.latest_after != self.new.latest_after
    }

    /// Whether this publication, which is public, would show something else than it does.
    fn shows_otherwise(&self, it: &Publication) -> bool {
        self.of_what_is_shared() || (it.caption.is_none() && self.post.caption != self.new.caption)
    }

    /// Whether what was made ready of it at the network is of no use any more: something else would be sent, or it is
    /// to be sent so much later that it would not be made ready yet. Networks keep what is ready for hours only.
    fn renews(&self, it: &Publication, target: &NewTarget, now: DateTime<Utc>) -> bool {
        let moved = self.post.scheduled_for != self.new.scheduled_for;
        let put_off = moved && starts(self.new, now) > now;
        put_off || self.of_what_is_sent(it, target)
    }

    /// Whether the network would be sent something else. A first comment is sent on its own, after the post.
    fn of_what_is_sent(&self, it: &Publication, target: &NewTarget) -> bool {
        let (post, new) = (self.post, self.new);
        post.media_ids != new.media_ids
            || it.link.as_ref().or(post.link.as_ref()) != target.link.as_ref().or(new.link.as_ref())
            || it.caption.as_ref().unwrap_or(&post.caption) != target.caption.as_ref().unwrap_or(&new.caption)
            || without_comment(&it.options) != without_comment(&target.options)
            || it.surface != target.surface
    }

    fn touches(&self, it: &Publication, target: &NewTarget) -> bool {
        let words = |own: &Option<String>, all: &String| own.as_ref().unwrap_or(all).clone();
        self.of_what_is_shared()
            || self.of_time()
            || words(&it.caption, &self.post.caption) != words(&target.caption, &self.new.caption)
            || it.caption != target.caption
            || it.options != target.options
            || it.surface != target.surface
    }
}

fn without_comment(options: &Value) -> Value {
    let mut options = options.clone();
    if let Some(options) = options.as_object_mut() {
        options.remove(comment::OPTION);
    }
    options
}

/// When it is made ready at the network: so long before its time, and no earlier than now.
fn starts(new: &NewPost, now: DateTime<Utc>) -> DateTime<Utc> {
    let ahead = TimeDelta::from_std(new.prepare_ahead).unwrap_or(TimeDelta::MAX);
    new.scheduled_for.checked_sub_signed(ahead).map_or(now, |at| at.max(now))
}

async fn update_post(tx: &mut PgConnection, post: &Post, new: &NewPost) -> Result<(), LedgerError> {
    let written = new.written.as_ref();
    sqlx::query!(
        "UPDATE post SET caption = $2, link = $3, wall_time = $4, time_zone = $5, fold = $6, scheduled_for = $7,
                         latest_after = make_interval(secs => $8)
         WHERE id = $1",
        post.id,
        new.caption,
        new.link,
        written.map(|it| it.wall_time),
        written.map(|it| it.time_zone.as_str()),
        written.and_then(|it| it.fold),
        new.scheduled_for,
        new.latest_after.as_secs_f64(),
    )
    .execute(&mut *tx)
    .await?;
    if post.media_ids == new.media_ids {
        return Ok(());
    }
    sqlx::query!("DELETE FROM post_media WHERE post_id = $1", post.id).execute(&mut *tx).await?;
    sqlx::query!(
        "INSERT INTO post_media (post_id, position, media_id)
         SELECT $1, n - 1, id FROM unnest($2::uuid[]) WITH ORDINALITY AS file (id, n)",
        post.id,
        &new.media_ids,
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn update_publication(
    tx: &mut PgConnection,
    id: Uuid,
    target: &NewTarget,
    new: &NewPost,
    renewed: bool,
) -> Result<(), LedgerError> {
    sqlx::query!(
        "UPDATE publication
         SET surface = $2, caption = $3, options = $4, scheduled_for = $5, given_up = NULL,
             latest_at = $5::timestamptz + make_interval(secs => $6), link = $7, version = version + $8::int,
             updated_at = ledger_now()
         WHERE id = $1",
        id,
        target.surface,
        target.caption,
        target.options,
        new.scheduled_for,
        new.latest_after.as_secs_f64(),
        target.link,
        i32::from(renewed),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Its job runs when the new time asks for it; another time wakes what failed or was too late (T21). Who has the job
/// now gives it back at that time, whatever time they meant. The attempts that were spent on what it was before do not
/// count; the workers that it ended do, until it is done.
async fn wake(
    tx: &mut PgConnection,
    it: &Publication,
    change: &Change<'_>,
    now: DateTime<Utc>,
) -> Result<Option<Hint>, LedgerError> {
    if matches!(it.state, State::Failed | State::Held) {
        if !change.of_time() {
            return Ok(None); // it is sent by who tries it again
        }
        control::redrive(tx, it.id).await?;
    }
    let run_at = starts(change.new, now);
    let job = sqlx::query!(
        "UPDATE job SET run_at = $2, epoch = epoch + 1, attempt = 0, troubled_at = NULL
         WHERE publication_id = $1 AND kind = 'publish'
         RETURNING id, workspace_id",
        it.id,
        run_at,
    )
    .fetch_optional(tx)
    .await?;
    let hint = |row: (Uuid, Uuid)| Hint {
        kind: Publish::KIND.to_owned(),
        workspace_id: row.1,
        job_id: row.0,
        run_at,
    };
    Ok(job.filter(|_| run_at <= now).map(|row| hint((row.id, row.workspace_id))))
}
