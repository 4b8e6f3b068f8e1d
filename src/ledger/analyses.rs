//! Help that people ask for: accepting it, showing what came of it, and what a workspace lets be done.

use chrono::{DateTime, NaiveDate, Utc};
use jobs::{
    ai_analysis::AiAnalysis,
    analysis::{Kind, Language, Outcome, Policy, Sent, money::Micros},
    contract::{Failure, Job},
    hint::Hint,
};
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Ledger, LedgerError,
    audit::{self, Action, Entry},
    idempotency::{Keyed, Once},
    media,
    settle::kept,
};

/// The state of one that is not over.
pub const WAITING: &str = "waiting";

/// An analysis that was read and found good.
#[derive(Debug, Clone)]
pub struct NewAnalysis {
    /// What is asked for.
    pub kind: Kind,
    /// In which language.
    pub language: Language,
    /// For which networks; empty: for those that the workspace has accounts on.
    pub platforms: Vec<String>,
    /// What it is about.
    pub brief: String,
    /// The files, in order.
    pub media_ids: Vec<Uuid>,
    /// Whose results are asked for; none: it is of no results.
    pub results: Option<Of>,
    /// The person or the key that asks.
    pub created_by: Uuid,
}

/// The longest profile of a brand, in characters.
pub const BRAND_MOST: usize = 2_000;

/// Whose results are put in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// A post's, so far.
    Post(Uuid),
    /// An account's, in the month that begins on this day.
    Month(Uuid, NaiveDate),
}

impl Of {
    fn post(self) -> Option<Uuid> {
        match self {
            Self::Post(id) => Some(id),
            Self::Month(..) => None,
        }
    }

    fn month(self) -> Option<(Uuid, NaiveDate)> {
        match self {
            Self::Post(_) => None,
            Self::Month(account, first) => Some((account, first)),
        }
    }
}

/// Why one is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotTaken {
    /// The workspace has switched it off.
    Off,
    /// The workspace has no such file.
    NoMedia(Uuid),
    /// It names no network, and the workspace has no account on any.
    NoNetwork,
    /// The workspace has no such post.
    NoPost,
    /// The workspace has no such account.
    NoAccount,
}

/// An analysis as people see it.
#[derive(Debug, Clone)]
pub struct AnalysisRow {
    /// Its id.
    pub id: Uuid,
    /// What was asked for.
    pub kind: Kind,
    /// How it ended; none: it waits.
    pub ended: Option<Outcome>,
    /// In which language.
    pub language: Language,
    /// For which networks.
    pub platforms: Vec<String>,
    /// What it was about.
    pub brief: String,
    /// The files, in order.
    pub media_ids: Vec<Uuid>,
    /// The post whose results it puts in words.
    pub post_id: Option<Uuid>,
    /// The account whose results it puts in words…
    pub account_id: Option<Uuid>,
    /// …in the month that begins on this day.
    pub month: Option<NaiveDate>,
    /// What it was asked with.
    pub prompt: Option<String>,
    /// Who was asked.
    pub model: Option<String>,
    /// The answer had been paid for before.
    pub cached: bool,
    /// What came of it.
    pub result: Option<Value>,
    /// Why nothing did.
    pub error: Option<Value>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it was over.
    pub ended_at: Option<DateTime<Utc>>,
    /// What was asked of the provider for it.
    pub calls: Vec<CallRow>,
}

/// An analysis among others.
#[derive(Debug, Clone)]
pub struct AnalysisLine {
    /// Its id.
    pub id: Uuid,
    /// What was asked for.
    pub kind: Kind,
    /// How it ended; none: it waits.
    pub ended: Option<Outcome>,
    /// How what it was about begins.
    pub brief: String,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// What counts for it.
    pub counted: Micros,
}

/// A call to the provider, as people see it.
#[derive(Debug, Clone)]
pub struct CallRow {
    /// Its id, which the provider was told too.
    pub id: Uuid,
    /// What left.
    pub sent: Vec<Sent>,
    /// What came of it, in a word; none: it is under way.
    pub outcome: Option<String>,
    /// What counts for it.
    pub counted: Micros,
    /// What went there, in tokens.
    pub input_tokens: Option<i64>,
    /// What came back, in tokens.
    pub output_tokens: Option<i64>,
    /// When it began.
    pub began_at: DateTime<Utc>,
}

/// What a workspace has decided; what it has not, `worker.toml` does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decided {
    /// Whether anything is asked.
    pub enabled: Option<bool>,
    /// Whether files go along.
    pub media: Option<bool>,
    /// Whether what networks have counted goes there.
    pub numbers: Option<bool>,
    /// What a month may cost.
    pub monthly: Option<Micros>,
    /// How it wants to sound.
    pub brand: String,
}

impl Decided {
    /// With what it leaves open.
    pub fn over(&self, defaults: Policy) -> Policy {
        Policy {
            enabled: self.enabled.unwrap_or(defaults.enabled),
            media: self.media.unwrap_or(defaults.media),
            numbers: self.numbers.unwrap_or(defaults.numbers),
            monthly: self.monthly.unwrap_or(defaults.monthly),
        }
    }
}

impl Ledger {
    /// Accepts an analysis with its job. Returns it with a hint.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn ask_analysis(
        &self,
        workspace_id: Uuid,
        new: &NewAnalysis,
        defaults: Policy,
        keyed: Option<Keyed<'_, AnalysisRow>>,
    ) -> Result<Once<Result<(AnalysisRow, Hint), NotTaken>>, LedgerError> {
        let asked = keyed.map(|(asked, _)| asked);
        let mut tx = match self.begin_once(asked).await? {
            Once::Done(tx) => tx,
            Once::Before(answer) => return Ok(Once::Before(answer)),
            Once::KeyReused => return Ok(Once::KeyReused),
        };
        let made = accept(&mut tx, workspace_id, new, defaults).await?;
        let answer = made.as_ref().ok().zip(keyed).map(|((row, _), (_, answer))| answer(row));
        self.commit_once(tx, asked, answer.as_ref()).await?;
        Ok(Once::Done(made))
    }

    /// The workspace's analysis of that id.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn analysis(&self, workspace_id: Uuid, id: Uuid) -> Result<Option<AnalysisRow>, LedgerError> {
        read(&mut *self.pool.acquire().await?, workspace_id, id).await
    }

    /// The workspace's latest analyses, newest first.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn latest_analyses(
        &self,
        workspace_id: Uuid,
        most: i64,
    ) -> Result<Vec<AnalysisLine>, LedgerError> {
        let rows = sqlx::query!(
            r#"SELECT a.id, a.kind, a.state::text AS "state!", left(a.brief, 200) AS "brief!", a.created_at,
                      coalesce((SELECT sum(c.counted_micros) FROM analysis_call c
                                WHERE c.analysis_id = a.id), 0)::bigint AS "counted!"
               FROM analysis a WHERE a.workspace_id = $1 ORDER BY a.id DESC LIMIT $2"#,
            workspace_id,
            most,
        );
        let lines = rows.fetch_all(&self.pool).await?.into_iter().map(|row| {
            Ok(AnalysisLine {
                id: row.id,
                kind: kind(&row.kind)?,
                ended: ended(&row.state)?,
                brief: row.brief,
                created_at: row.created_at,
                counted: Micros(row.counted),
            })
        });
        lines.collect()
    }

    /// What the workspace has decided.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn analysis_policy(&self, workspace_id: Uuid) -> Result<Decided, LedgerError> {
        decided(&mut *self.pool.acquire().await?, workspace_id).await
    }

    /// Keeps what a workspace has decided.
    ///
    /// # Errors
    /// `analysis_policy_budget_range`, `analysis_policy_brand_length`; or the ledger is away.
    pub async fn set_analysis_policy(
        &self,
        workspace_id: Uuid,
        decided: &Decided,
    ) -> Result<(), LedgerError> {
        self.keep_policy(workspace_id, None, decided).await.map(drop)
    }

    /// The same, instead of what was decided before. False: it is something else by now, and stays.
    ///
    /// # Errors
    /// As those of [`Self::set_analysis_policy`].
    pub async fn replace_analysis_policy(
        &self,
        workspace_id: Uuid,
        before: &Decided,
        decided: &Decided,
    ) -> Result<bool, LedgerError> {
        self.keep_policy(workspace_id, Some(before), decided).await
    }

    async fn keep_policy(
        &self,
        workspace_id: Uuid,
        before: Option<&Decided>,
        decided: &Decided,
    ) -> Result<bool, LedgerError> {
        let mut tx = self.pool.begin().await?;
        let monthly = decided.monthly.map(|monthly| monthly.0);
        let done = sqlx::query!(
            "INSERT INTO analysis_policy AS p (workspace_id, enabled, media, monthly_micros, brand, numbers)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (workspace_id) DO UPDATE
             SET enabled = excluded.enabled, media = excluded.media, monthly_micros = excluded.monthly_micros,
                 brand = excluded.brand, numbers = excluded.numbers
             WHERE $7::boolean OR (p.enabled, p.media, p.monthly_micros, p.brand, p.numbers)
                                  IS NOT DISTINCT FROM ($8::boolean, $9::boolean, $10::bigint, $11::text, $12::boolean)",
            workspace_id,
            decided.enabled,
            decided.media,
            monthly,
            decided.brand,
            decided.numbers,
            before.is_none(),
            before.and_then(|it| it.enabled),
            before.and_then(|it| it.media),
            before.and_then(|it| it.monthly).map(|monthly| monthly.0),
            before.map(|it| it.brand.as_str()),
            before.and_then(|it| it.numbers),
        )
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        let entry = Entry {
            who: self.who(),
            action: Action::AnalysisPolicySet,
            object: "workspace",
            object_id: workspace_id.to_string(),
            workspace_id: Some(workspace_id),
            detail: json!({
                "enabled": decided.enabled, "media": decided.media, "numbers": decided.numbers,
                "monthly_micros": monthly,
            }),
        };
        audit::record(&mut tx, &entry).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// What this month has cost the workspace so far, with what is set aside, and what time it is.
    ///
    /// # Errors
    /// The ledger is away.
    pub async fn analysis_spent(&self, workspace_id: Uuid) -> Result<(Micros, DateTime<Utc>), LedgerError> {
        let row = sqlx::query!(
            r#"SELECT coalesce((SELECT counted_micros FROM analysis_month
                                WHERE workspace_id = $1
                                  AND month = date_trunc('month', ledger_now() AT TIME ZONE 'UTC')::date), 0) AS "spent!",
                      ledger_now() AS "now!""#,
            workspace_id,
        )
        .fetch_one(&self.pool)
        .await?;
        Ok((Micros(row.spent), row.now))
    }
}

async fn accept(
    tx: &mut PgConnection,
    workspace_id: Uuid,
    new: &NewAnalysis,
    defaults: Policy,
) -> Result<Result<(AnalysisRow, Hint), NotTaken>, LedgerError> {
    if !decided(tx, workspace_id).await?.over(defaults).enabled {
        return Ok(Err(NotTaken::Off));
    }
    let there = media::lock(tx, workspace_id, &new.media_ids).await?;
    let missing = |id: &&Uuid| there.iter().all(|file| file.id != **id || !file.ready);
    if let Some(missing) = new.media_ids.iter().find(missing) {
        return Ok(Err(NotTaken::NoMedia(*missing)));
    }
    let platforms = match new.results {
        Some(of) => of_results(tx, workspace_id, of).await?,
        None => platforms(tx, workspace_id, &new.platforms).await?,
    };
    let platforms = match platforms {
        Ok(platforms) => platforms,
        Err(why) => return Ok(Err(why)),
    };
    let (id, job_id) = (Uuid::now_v7(), Uuid::now_v7());
    insert(tx, workspace_id, id, &platforms, new).await?;
    let run_at = add_job(tx, workspace_id, job_id, id).await?;
    let row = read(tx, workspace_id, id).await?;
    let row = row.ok_or_else(|| LedgerError::Unreadable("no analysis where one was written".into()))?;
    Ok(Ok((row, Hint { kind: AiAnalysis::KIND.into(), workspace_id, job_id, run_at })))
}

/// Those that are named, or else those that the workspace has accounts on.
async fn platforms(
    tx: &mut PgConnection,
    workspace_id: Uuid,
    named: &[String],
) -> Result<Result<Vec<String>, NotTaken>, LedgerError> {
    if !named.is_empty() {
        return Ok(Ok(named.to_vec()));
    }
    let on = sqlx::query_scalar!(
        "SELECT DISTINCT platform FROM account WHERE workspace_id = $1 AND state NOT IN ('frozen', 'erased') ORDER BY 1",
        workspace_id,
    );
    let on = on.fetch_all(tx).await?;
    Ok(if on.is_empty() { Err(NotTaken::NoNetwork) } else { Ok(on) })
}

/// The networks whose numbers they are: what is known of them goes with the connections to those.
async fn of_results(
    tx: &mut PgConnection,
    workspace_id: Uuid,
    of: Of,
) -> Result<Result<Vec<String>, NotTaken>, LedgerError> {
    match of {
        Of::Post(post) => {
            let networks = sqlx::query_scalar!(
                r#"SELECT array(SELECT DISTINCT a.platform FROM publication p JOIN account a ON a.id = p.account_id
                                WHERE p.post_id = post.id ORDER BY 1) AS "networks!"
                   FROM post WHERE id = $1 AND workspace_id = $2 FOR KEY SHARE"#,
                post,
                workspace_id,
            );
            Ok(networks.fetch_optional(tx).await?.ok_or(NotTaken::NoPost))
        }
        Of::Month(account, _) => {
            let network = sqlx::query_scalar!(
                "SELECT platform FROM account WHERE id = $1 AND workspace_id = $2 AND state NOT IN ('frozen', 'erased')
                 FOR KEY SHARE",
                account,
                workspace_id,
            );
            Ok(network.fetch_optional(tx).await?.map(|network| vec![network]).ok_or(NotTaken::NoAccount))
        }
    }
}

async fn insert(
    tx: &mut PgConnection,
    workspace_id: Uuid,
    id: Uuid,
    platforms: &[String],
    new: &NewAnalysis,
) -> Result<(), LedgerError> {
    let month = new.results.and_then(Of::month);
    sqlx::query!(
        r#"WITH made AS (
               INSERT INTO analysis (id, workspace_id, kind, language, platforms, brief, created_by, post_id, account_id, month)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $9, $10, $11) RETURNING id)
           INSERT INTO analysis_media (analysis_id, position, media_id)
           SELECT made.id, (x.n - 1)::smallint, x.media_id
           FROM made, unnest($8::uuid[]) WITH ORDINALITY AS x (media_id, n)"#,
        id,
        workspace_id,
        new.kind.word(),
        new.language.word(),
        platforms,
        new.brief,
        new.created_by,
        &new.media_ids,
        new.results.and_then(Of::post),
        month.map(|(account, _)| account),
        month.map(|(_, first)| first),
    )
    .execute(tx)
    .await?;
    Ok(())
}

async fn add_job(
    tx: &mut PgConnection,
    workspace_id: Uuid,
    job_id: Uuid,
    id: Uuid,
) -> Result<DateTime<Utc>, LedgerError> {
    let run_at = sqlx::query_scalar!(
        "INSERT INTO job (id, kind, ver, workspace_id, run_at, payload) VALUES ($1, $2, $3, $4, ledger_now(), $5)
         RETURNING run_at",
        job_id,
        AiAnalysis::KIND,
        AiAnalysis::VERSION,
        workspace_id,
        json!(AiAnalysis { analysis_id: id }),
    );
    Ok(run_at.fetch_one(tx).await?)
}

/// What the workspace has decided; nothing where there is no row.
pub(super) async fn decided(tx: &mut PgConnection, workspace_id: Uuid) -> Result<Decided, LedgerError> {
    let row = sqlx::query!(
        "SELECT enabled, media, numbers, monthly_micros, brand FROM analysis_policy WHERE workspace_id = $1",
        workspace_id,
    );
    let row = row.fetch_optional(tx).await?;
    Ok(row.map_or_else(Decided::default, |row| Decided {
        enabled: row.enabled,
        media: row.media,
        numbers: row.numbers,
        monthly: row.monthly_micros.map(Micros),
        brand: row.brand,
    }))
}

fn unreadable(what: &str, word: &str) -> LedgerError {
    LedgerError::Unreadable(format!("the {what} {word} of an analysis"))
}

fn kind(word: &str) -> Result<Kind, LedgerError> {
    Kind::parse(word).ok_or_else(|| unreadable("kind", word))
}

/// How it ended; nothing of one that waits.
fn ended(state: &str) -> Result<Option<Outcome>, LedgerError> {
    if state == WAITING {
        return Ok(None);
    }
    Outcome::parse(state).map(Some).ok_or_else(|| unreadable("state", state))
}

async fn read(
    connection: &mut PgConnection,
    workspace_id: Uuid,
    id: Uuid,
) -> Result<Option<AnalysisRow>, LedgerError> {
    let row = sqlx::query!(
        r#"SELECT a.kind, a.state::text AS "state!", a.language, a.platforms, a.brief, a.prompt, a.model, a.cached,
                  a.result, a.error, a.created_at, a.ended_at, a.post_id, a.account_id, a.month,
                  array(SELECT m.media_id FROM analysis_media m
                        WHERE m.analysis_id = a.id ORDER BY m.position) AS "media_ids!"
           FROM analysis a WHERE a.workspace_id = $1 AND a.id = $2"#,
        workspace_id,
        id,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(AnalysisRow {
        id,
        kind: kind(&row.kind)?,
        ended: ended(&row.state)?,
        language: Language::parse(&row.language).ok_or_else(|| unreadable("language", &row.language))?,
        platforms: row.platforms,
        brief: row.brief,
        media_ids: row.media_ids,
        post_id: row.post_id,
        account_id: row.account_id,
        month: row.month,
        prompt: row.prompt,
        model: row.model,
        cached: row.cached,
        result: row.result,
        error: row.error,
        created_at: row.created_at,
        ended_at: row.ended_at,
        calls: calls(connection, id).await?,
    }))
}

async fn calls(connection: &mut PgConnection, analysis: Uuid) -> Result<Vec<CallRow>, LedgerError> {
    let rows = sqlx::query!(
        "SELECT id, sent, outcome, counted_micros, input_tokens, output_tokens, began_at FROM analysis_call
         WHERE analysis_id = $1 ORDER BY began_at, id",
        analysis,
    )
    .fetch_all(connection)
    .await?;
    let read =
        |error: serde_json::Error| LedgerError::Unreadable(format!("a list of what was sent: {error}"));
    rows.into_iter()
        .map(|row| {
            Ok(CallRow {
                id: row.id,
                sent: serde_json::from_value(row.sent).map_err(read)?,
                outcome: row.outcome,
                counted: Micros(row.counted_micros),
                input_tokens: row.input_tokens,
                output_tokens: row.output_tokens,
                began_at: row.began_at,
            })
        })
        .collect()
}

/// Jobs of analyses that came to nothing say so to whoever asked.
pub(super) async fn give_up(
    tx: &mut PgConnection,
    jobs: &[Uuid],
    failure: &Failure,
) -> Result<(), LedgerError> {
    sqlx::query!(
        r#"UPDATE analysis a SET state = 'failed', error = $2, ended_at = ledger_now()
           FROM job_history h
           WHERE h.id = ANY ($1) AND h.kind = $3 AND a.id::text = h.payload ->> 'analysis_id' AND a.state = 'waiting'"#,
        jobs,
        kept(failure),
        AiAnalysis::KIND,
    )
    .execute(tx)
    .await?;
    Ok(())
}
