//! `explain`: why a post is where it is, by what the ledger knows, and who must act.

use chrono::{DateTime, Utc};
use clap::Args;
use jobs::machine::State;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::{Failed, Output, owned_ledger};
use crate::{
    ledger::{
        explain::Grounds,
        pauses::Pause,
        posts::{Event, Happening, Post, Publication},
        take_down::TakeDownState,
        traffic::Breaker,
    },
    web::intake::shapes::{self, ErrorShape, FindingShape},
};

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The post, or one of its publications.
    id: Uuid,
    #[command(flatten)]
    output: Output,
}

/// Where a publication is, and why.
#[derive(Debug, Serialize)]
struct Explanation {
    publication_id: Uuid,
    platform: String,
    surface: String,
    state: &'static str,
    /// What the state means, in words.
    meaning: &'static str,
    cause: Option<String>,
    message: Option<String>,
    /// What keeps it from going on.
    stopped_by: Vec<String>,
    next: String,
    next_at: Option<DateTime<Utc>>,
    who_acts: &'static str,
    attempts: i64,
    crashes: Option<i32>,
    job_id: Option<Uuid>,
    handle: Option<String>,
    handle_state: String,
    permalink: Option<String>,
    /// What the latest check before its time found.
    findings: Vec<FindingShape>,
    evidence: Vec<Evidence>,
}

/// Something that happened to it.
#[derive(Debug, Serialize)]
struct Evidence {
    at: DateTime<Utc>,
    what: String,
}

impl Explain {
    pub(super) async fn run(self) -> Result<(), Failed> {
        let ledger = owned_ledger()?;
        let missing = || format!("there is no post and no publication {}", self.id);
        let post = ledger.post_about(self.id).await?.ok_or_else(missing)?;
        let ids: Vec<Uuid> = post.publications.iter().map(|it| it.id).collect();
        let events = ledger.events(&ids, post.created_at).await?;
        let grounds = ledger.grounds(post.id).await?;
        let stops = Stops { pauses: ledger.pauses().await?, breakers: ledger.breakers().await? };
        let asked = |it: &&Publication| self.id == post.id || self.id == it.id;
        let explained: Vec<Explanation> = (post.publications.iter().filter(asked))
            .filter_map(|it| {
                let grounds = grounds.iter().find(|grounds| grounds.publication_id == it.id)?;
                Some(explain(&post, it, grounds, &stops, &events))
            })
            .collect();
        if self.output.json {
            println!("{}", json!({ "id": post.id, "state": post.shown(), "publications": explained }));
        } else {
            println!("post {}: {}", post.id, post.shown());
            explained.iter().for_each(Explanation::print);
        }
        Ok(())
    }
}

/// What stops more than one publication.
struct Stops {
    pauses: Vec<Pause>,
    breakers: Vec<Breaker>,
}

fn explain(post: &Post, it: &Publication, grounds: &Grounds, stops: &Stops, events: &[Event]) -> Explanation {
    let waits = it.state == State::Scheduled && post.waits(it);
    let error = ErrorShape::of(it);
    let told = error.as_ref().map(ErrorShape::told);
    let mut stopped_by = stopped_by(it.state, grounds, stops);
    if post.unapproved() && !is_over(it.state) {
        stopped_by.insert(0, "it waits for approval".to_owned());
    }
    let unapproved = post.unapproved() && !is_over(it.state);
    let (next, next_at) = if unapproved {
        ("somebody who publishes approves it in the console".to_owned(), None)
    } else if waits {
        ("its post is to be public first".to_owned(), None)
    } else {
        next(it, grounds, !stopped_by.is_empty())
    };
    Explanation {
        publication_id: it.id,
        platform: it.platform.clone(),
        surface: it.surface.clone(),
        state: it.state.shown(),
        meaning: if waits {
            "it is the first comment of a post, and goes out after that"
        } else {
            meaning(it, grounds)
        },
        cause: told.map(|(_, code, _)| code.to_owned()),
        message: told.map(|(message, _, _)| message.to_owned()),
        who_acts: if unapproved {
            "staff"
        } else {
            who_acts(it.state, grounds, &stops.pauses, told.map(|(_, _, who)| who))
        },
        stopped_by,
        next,
        next_at,
        attempts: it.attempts,
        crashes: grounds.crashes,
        job_id: grounds.job_id,
        handle: grounds.handle.clone(),
        handle_state: grounds.handle_state.clone(),
        permalink: it.permalink.clone(),
        findings: shapes::ahead(it).iter().map(FindingShape::from).collect(),
        evidence: events.iter().filter(|event| event.publication_id == it.id).map(evidence).collect(),
    }
}

fn meaning(it: &Publication, grounds: &Grounds) -> &'static str {
    match it.state {
        State::Scheduled => "nothing has been done at the network yet",
        State::Preparing => "the network is being given what it needs; nothing of it is public",
        State::Prepared => "everything is ready at the network; only the commit is left",
        State::Waiting if grounds.handle_state == "spent" => "it was sent, and the network carries it out",
        State::Waiting => "the network still works on what it was given; nothing is public",
        State::Armed => "it is being sent",
        State::Unknown => {
            "it was sent and may be public; the network is asked, and nothing is sent again before that is settled"
        }
        State::RetryWait => "it is not public, and is tried again",
        State::Published => public(it),
        State::Held => "a person has to decide",
        State::Failed => "it is not public, and is not tried again by itself",
        State::Cancelled => "it was cancelled and is not public",
    }
}

fn public(it: &Publication) -> &'static str {
    match it.taken_down.as_ref().map(|wish| wish.state) {
        None => "it is public",
        Some(TakeDownState::Asked) => "it is public, and its network is being asked to remove it",
        Some(TakeDownState::Gone) => "it was public, and was taken down",
        Some(TakeDownState::Refused) => "it is public; it was not taken down when somebody asked for that",
    }
}

fn standing<'a>(grounds: &'a Grounds, pauses: &'a [Pause]) -> impl Iterator<Item = &'a Pause> {
    pauses.iter().filter(|pause| grounds.stoppable().iter().any(|what| pause.stops(what)))
}

fn is_over(state: State) -> bool {
    match state {
        State::Published | State::Held | State::Failed | State::Cancelled => true,
        State::Scheduled
        | State::Preparing
        | State::Prepared
        | State::Waiting
        | State::Armed
        | State::Unknown
        | State::RetryWait => false,
    }
}

fn stopped_by(state: State, grounds: &Grounds, stops: &Stops) -> Vec<String> {
    if is_over(state) || state == State::Unknown {
        return Vec::new();
    }
    let shown = |pause: &Pause| {
        let end =
            pause.ends_at.map_or("until it is resumed".to_owned(), |at| format!("until {}", at.to_rfc3339()));
        format!("{} {} is paused {end}: {}", pause.scope, pause.subject, pause.reason)
    };
    let mut all: Vec<String> = standing(grounds, &stops.pauses).map(shown).collect();
    if grounds.account_state != "active" {
        let why = grounds.account_reason.as_deref().unwrap_or("no reason was kept");
        all.push(format!("its account is {}: {why}", grounds.account_state));
    }
    if let Some(until) = grounds.resting_until {
        all.push(format!("the network asked to leave the account alone until {}", until.to_rfc3339()));
    }
    for broken in stops.breakers.iter().filter(|broken| broken.network == grounds.platform) {
        all.push(format!(
            "{} does not work, and is looked at again at {}",
            broken.network,
            broken.open_until.to_rfc3339()
        ));
    }
    all
}

fn next(it: &Publication, grounds: &Grounds, stopped: bool) -> (String, Option<DateTime<Utc>>) {
    let wished = it.cancel_requested_at.is_some();
    match it.state {
        State::Published | State::Cancelled => ("nothing is left to do".into(), None),
        State::Failed => ("nothing happens by itself; it can be tried again".into(), None),
        State::Held => ("nothing happens before a person has decided".into(), None),
        State::Unknown => ("the network is asked again".into(), grounds.next_check_at),
        State::Scheduled
        | State::Preparing
        | State::Prepared
        | State::Waiting
        | State::Armed
        | State::RetryWait => {
            let at = grounds.run_at;
            if grounds.claimed_at.is_some() {
                ("a worker is at it now".into(), grounds.claimed_at)
            } else if wished {
                ("it is cancelled as soon as nobody works on it".into(), at)
            } else if stopped {
                ("it goes on when what stops it has ended".into(), at)
            } else {
                ("a worker takes it up".into(), at)
            }
        }
    }
}

fn who_acts(state: State, grounds: &Grounds, pauses: &[Pause], told: Option<&'static str>) -> &'static str {
    match state {
        State::Published | State::Cancelled => "nobody",
        State::Held => "staff",
        State::Failed => told.unwrap_or("author"),
        State::Unknown => "postroom",
        State::Scheduled
        | State::Preparing
        | State::Prepared
        | State::Waiting
        | State::Armed
        | State::RetryWait => {
            if grounds.account_state != "active" {
                "owner"
            } else if standing(grounds, pauses).next().is_some() {
                "operator"
            } else {
                "postroom"
            }
        }
    }
}

fn evidence(event: &Event) -> Evidence {
    let with =
        |text: &str, more: Option<&String>| more.map_or(text.to_owned(), |more| format!("{text}: {more}"));
    let what = match &event.what {
        Happening::Call { kind, ended_at, verdict, message } => {
            let verdict =
                verdict.as_deref().unwrap_or(if ended_at.is_some() { "ended" } else { "not answered" });
            with(&format!("{kind} call, {verdict}"), message.as_ref())
        }
        Happening::Verdict { published, reason, said_by, name } => {
            let who = name.as_deref().unwrap_or(said_by);
            let said = if *published { "it is public" } else { "it is not public" };
            with(&format!("decided by {who}, {said}"), reason.as_ref())
        }
        Happening::Attempt { outcome, reason } => with(&format!("attempt ended, {outcome}"), reason.as_ref()),
    };
    Evidence { at: event.at, what }
}

impl Explanation {
    fn print(&self) {
        println!(
            "\npublication {} on {} as {}: {}",
            self.publication_id, self.platform, self.surface, self.state
        );
        println!("  that is:   {}", self.meaning);
        if let (Some(cause), Some(message)) = (&self.cause, &self.message) {
            println!("  cause:     {cause}: {message}");
        }
        for stopped in &self.stopped_by {
            println!("  stopped:   {stopped}");
        }
        let at = self.next_at.map(|at| format!(", {}", at.to_rfc3339())).unwrap_or_default();
        println!("  next:      {}{at}", self.next);
        println!("  who acts:  {}", self.who_acts);
        println!(
            "  attempts:  {}, and {} workers ended with it",
            self.attempts,
            self.crashes.unwrap_or_default()
        );
        if let Some(handle) = &self.handle {
            println!("  handle:    {handle}, {}", self.handle_state);
        }
        if let Some(permalink) = &self.permalink {
            println!("  to be seen at {permalink}");
        }
        for found in &self.findings {
            println!("  found:     {}, for the {} to mend", found.told(), found.who_acts());
        }
        for it in &self.evidence {
            println!("  {}  {}", it.at.to_rfc3339(), it.what);
        }
    }
}
