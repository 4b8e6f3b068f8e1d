//! The list of posts.

use std::sync::Arc;

use askama::Template;
use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use jobs::machine::State as PublicationState;
use url::form_urlencoded::Serializer;
use uuid::Uuid;

use super::{
    Choice, Shell, render,
    seat::{Seat, Viewer},
    texts::{ENGLISH, Texts},
    words::{self, Chip},
};
use crate::{
    ledger::{
        accounts::Account,
        people::MemberRole,
        posts::{COUNTED, Post, PostFilter},
    },
    web::{App, intake::lists, problem::Problem},
};

const PAGE: i64 = 25;

#[derive(Template)]
#[template(path = "posts.html")]
struct Page {
    shell: Shell,
    /// What whoever looks after people's data has to see first.
    late: Option<String>,
    tabs: Vec<Tab>,
    accounts: Vec<Choice>,
    state: String,
    filtered: bool,
    rows: Vec<Row>,
    newest: Option<String>,
    older: Option<String>,
}

struct Tab {
    label: &'static str,
    address: String,
    count: String,
    here: bool,
    tone: &'static str,
}

struct Row {
    id: Uuid,
    caption: String,
    kind: &'static str,
    files: String,
    first_file: Option<Uuid>,
    when: String,
    relative: String,
    chip: Chip,
    accounts: Vec<Short>,
}

struct Short {
    name: String,
    network: String,
    chip: Chip,
}

/// The posts of the workspace, newest first.
pub async fn page(
    State(app): State<Arc<App>>,
    seat: Seat<Viewer>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let t = &ENGLISH;
    let mut query = lists::Query::read(&uri, &["state", "account", "cursor"]);
    let (state, account_id, before) = (query.state(), query.id("account"), query.cursor());
    let workspace = seat.member.workspace_id;
    let filter = PostFilter { state, account_id, before, ..PostFilter::default() };
    let ledger = &seat.ledger;
    let (posts, counts, accounts) = tokio::try_join!(
        ledger.posts(workspace, &filter, PAGE + 1),
        ledger.post_counts(workspace),
        ledger.shown_accounts(workspace),
    )?;
    let (posts, next) = lists::cut(posts, PAGE, |post| post.id);
    let path = uri.path_and_query().map_or("/posts", |path| path.as_str());
    let page = Page {
        late: late_deletions(&app, &seat).await?,
        tabs: tabs(t, &counts, state, account_id),
        accounts: choices(&accounts, account_id),
        state: state.unwrap_or_default().to_owned(),
        filtered: state.is_some() || account_id.is_some(),
        rows: posts.iter().map(|post| row(&app, t, post, &accounts)).collect(),
        newest: before.map(|_| address(state, account_id, None)),
        older: next.map(|cursor| address(state, account_id, Some(&cursor))),
        shell: Shell::seated(&app, &headers, &seat, "posts", path),
    };
    render(&page)
}

/// Requests for deletion that do not go on as promised, for those who may see to that.
async fn late_deletions(app: &App, seat: &Seat<Viewer>) -> Result<Option<String>, Problem> {
    if !seat.may(MemberRole::Privacy) {
        return Ok(None);
    }
    // what Meta or the public page brought is of no workspace, and hidden from whoever is bound to one
    let late = app.house.ledger.late_deletions(Some(seat.member.workspace_id)).await?.len();
    Ok((late > 0).then(|| Texts::count(late, ENGLISH.requests_late_one, ENGLISH.requests_late_many)))
}

fn address(state: Option<&str>, account: Option<Uuid>, cursor: Option<&str>) -> String {
    let mut query = Serializer::new(String::new());
    if let Some(state) = state {
        query.append_pair("state", state);
    }
    if let Some(account) = account {
        query.append_pair("account", &account.to_string());
    }
    if let Some(cursor) = cursor {
        query.append_pair("cursor", cursor);
    }
    match query.finish().as_str() {
        "" => "/posts".to_owned(),
        query => format!("/posts?{query}"),
    }
}

/// All, and each state that some post has, or that is being looked at.
fn tabs(
    t: &Texts,
    counts: &std::collections::HashMap<String, i64>,
    state: Option<&str>,
    account: Option<Uuid>,
) -> Vec<Tab> {
    let total: i64 = counts.values().sum();
    let count = |number: i64| if total >= COUNTED { format!("{number}+") } else { number.to_string() };
    let all = Tab {
        label: t.all,
        address: address(None, account, None),
        count: count(total),
        here: state.is_none(),
        tone: "",
    };
    let of_state = |word: &&'static str| {
        let number = counts.get(*word).copied().unwrap_or_default();
        let here = state == Some(word);
        let chip = words::chip(t, word);
        (number > 0 || here).then(|| Tab {
            label: chip.label,
            address: address(Some(word), account, None),
            count: count(number),
            here,
            tone: chip.tone,
        })
    };
    std::iter::once(all).chain(PublicationState::SHOWN.iter().filter_map(of_state)).collect()
}

fn choices(accounts: &[Account], chosen: Option<Uuid>) -> Vec<Choice> {
    let choice = |account: &Account| Choice {
        value: account.id.to_string(),
        label: account.name.clone(),
        chosen: chosen == Some(account.id),
    };
    accounts.iter().map(choice).collect()
}

fn row(app: &App, t: &'static Texts, post: &Post, accounts: &[Account]) -> Row {
    let now = app.house.clock.now();
    let short = |it: &crate::ledger::posts::Publication| Short {
        name: accounts
            .iter()
            .find(|account| account.id == it.account_id)
            .map_or_else(String::new, |a| a.name.clone()),
        network: words::network(app, &it.platform).to_owned(),
        chip: words::chip(t, it.state.shown()),
    };
    let files = post.media_ids.len();
    Row {
        id: post.id,
        caption: excerpt(&post.caption, t.no_words),
        kind: kind(t, &post.kind),
        files: if files == 0 { String::new() } else { Texts::count(files, t.file_one, t.file_many) },
        first_file: post.media_ids.first().copied(),
        when: words::when(t, post),
        relative: words::relative(t, post.scheduled_for, now),
        chip: words::post_chip(t, post),
        accounts: post.publications.iter().filter(|it| it.parent_id.is_none()).map(short).collect(),
    }
}

/// The catalogue's word for a kind of post.
pub fn kind(t: &Texts, word: &str) -> &'static str {
    match word {
        "reel" => t.kind_reel,
        "story" => t.kind_story,
        "carousel" => t.kind_carousel,
        _ => t.kind_post,
    }
}

/// The first words of a caption.
pub fn excerpt(caption: &str, none: &str) -> String {
    let line: String = caption.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return none.to_owned();
    }
    let mut short: String = line.chars().take(140).collect();
    if line.chars().nth(140).is_some() {
        short.push('…');
    }
    short
}
