//! The dashboard as a file: CSV, a line for each number, or JSON.

use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::web::{
    csv::{Cell, Table},
    standing::{
        Board, Measure, Standing,
        asked::Span,
        days::Sum,
        outcome::{BY, Outcome},
    },
};

const COLUMNS: [&str; 12] = [
    "part",
    "account",
    "network",
    "post",
    "published_at",
    "measure",
    "value",
    "days_told",
    "days",
    "before",
    "before_days_told",
    "change_tenths_of_percent",
];

/// The board as CSV.
pub fn table(board: &Board) -> Response {
    let mut table = Table::of(&COLUMNS);
    for it in &board.accounts {
        lines_of(&mut table, it);
    }
    for (part, posts) in [("best", &board.ranking.best), ("worst", &board.ranking.worst)] {
        for it in posts {
            let at = it.published_at.to_rfc3339();
            for word in BY {
                table.line(&[
                    Cell::Words(part),
                    Cell::Words(&it.account),
                    Cell::Words(&it.platform),
                    Cell::Words(&it.caption),
                    Cell::Words(&at),
                    Cell::Words(word),
                    it.numbers.by(word).into(),
                    Cell::Gap,
                    Cell::Gap,
                    Cell::Gap,
                    Cell::Gap,
                    Cell::Gap,
                ]);
            }
        }
    }
    table.file("dashboard")
}

fn lines_of(table: &mut Table, it: &Standing) {
    let followers = Sum::of(&it.followers.line);
    let (told, days) = (count(followers.told), count(followers.days));
    let mut put = |measure: &str, numbers: [Cell<'static>; 6]| {
        let whose = [Cell::Words("account"), Cell::Words(&it.name), Cell::Words(&it.platform)];
        let what = [Cell::Gap, Cell::Gap, Cell::Words(measure)];
        table.line(&[&whose[..], &what[..], &numbers[..]].concat());
    };
    put("followers", [it.followers.last.into(), told, days, Cell::Gap, Cell::Gap, Cell::Gap]);
    let (growth, before) = (it.followers.growth.into(), it.followers.growth_before.into());
    put("growth", [growth, told, days, before, Cell::Gap, it.followers.change.into()]);
    for (word, it) in [("reach", &it.reach), ("engagement", &it.engagement), ("posts", &it.posts)] {
        let (now, before) = (it.now, it.before);
        let (value, change) = (now.sum.into(), it.change.into());
        put(word, [value, count(now.told), count(now.days), before.sum.into(), count(before.told), change]);
    }
}

fn count(number: usize) -> Cell<'static> {
    Cell::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

/// The board as JSON.
pub fn document(board: &Board) -> Value {
    let days = |span: Span| json!({ "from": span.first, "to": span.last_day(), "days": span.days() });
    let posts = |of: &[Outcome]| of.iter().map(outcome).collect::<Vec<_>>();
    json!({
        "span": days(board.span),
        "before": days(board.span.before()),
        "accounts": board.accounts.iter().map(account).collect::<Vec<_>>(),
        "best": posts(&board.ranking.best),
        "worst": posts(&board.ranking.worst),
        "left_out": { "younger_than_a_day": board.ranking.young, "not_told": board.ranking.untold },
    })
}

fn account(it: &Standing) -> Value {
    json!({
        "account_id": it.id,
        "name": it.name,
        "platform": it.platform,
        "followers": {
            "last": it.followers.last,
            "growth": it.followers.growth,
            "growth_before": it.followers.growth_before,
            "change_percent": it.followers.change.and_then(part),
            "daily": it.followers.line,
        },
        "reach": measured(&it.reach),
        "engagement": measured(&it.engagement),
        "posts": measured(&it.posts),
    })
}

fn measured(it: &Measure) -> Value {
    let sum = |it: Sum| json!({ "sum": it.sum, "days_told": it.told, "days": it.days });
    json!({
        "counted": it.counted,
        "now": sum(it.now),
        "before": sum(it.before),
        "change_percent": it.change.and_then(part),
        "daily": it.line,
    })
}

/// Tenths of a percent as percent.
fn part(tenths: i64) -> Option<f64> {
    i32::try_from(tenths).ok().map(|tenths| f64::from(tenths) / 10.0)
}

fn outcome(it: &Outcome) -> Value {
    let numbers: Map<String, Value> =
        BY.iter().map(|word| ((*word).to_owned(), json!(it.numbers.by(word)))).collect();
    json!({
        "post_id": it.post_id,
        "account": it.account,
        "platform": it.platform,
        "caption": it.caption,
        "published_at": it.published_at,
        "numbers": numbers,
    })
}
