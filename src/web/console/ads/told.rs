//! What ads came to as a file: CSV, each number as the network wrote it.

use axum::response::Response;
use serde_json::Value;

use crate::{
    ledger::advertising::AdDay,
    web::csv::{Cell, Table},
};

const COLUMNS: [&str; 10] =
    ["level", "id", "name", "parent_id", "day", "currency", "attribution", "metric", "kind", "value"];

/// A line for each number of each object on each day.
pub fn table(days: &[AdDay]) -> Response {
    let mut table = Table::of(&COLUMNS);
    for day in days {
        for (name, number) in day.numbers.as_object().into_iter().flatten() {
            let Some(kinds) = number.as_object() else {
                put(&mut table, day, name, None, number);
                continue;
            };
            for (kind, number) in kinds {
                put(&mut table, day, name, Some(kind), number);
            }
        }
    }
    table.file("ads")
}

fn words(it: Option<&str>) -> Cell<'_> {
    it.map_or(Cell::Gap, Cell::Words)
}

fn put(table: &mut Table, day: &AdDay, name: &str, kind: Option<&str>, number: &Value) {
    let date = day.day.to_string();
    table.line(&[
        Cell::Words(&day.level),
        Cell::Words(&day.remote_id),
        words(day.name.as_deref()),
        words(day.parent_id.as_deref()),
        Cell::Words(&date),
        words(day.currency.as_deref()),
        words(day.attribution.as_deref()),
        Cell::Words(name),
        words(kind),
        number.as_str().map_or(Cell::Gap, Cell::Decimal),
    ]);
}
