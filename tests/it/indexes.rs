//! New indexes: on a table that is in use they are made without a lock that would stop all writing to it.

use std::path::Path;

/// From this migration on; those before it have run everywhere.
const FROM: i64 = 20_261_123_000_400;
/// Tables that stay small whatever is published: an index on one of them is made in a moment.
const SMALL: [&str; 4] = ["workspace", "person", "membership", "account"];

/// What is wrong with the indexes that a migration makes.
fn wrong_with(sql: &str) -> Vec<String> {
    let uncommented: Vec<&str> =
        sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let text = uncommented.join(" ").to_lowercase().replace('(', " ( ").replace(';', " ; ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let statements = text.split(';').filter(|statement| !statement.trim().is_empty()).count();
    let alone = sql.starts_with("-- no-transaction") && statements == 1;
    let created: Vec<&str> = (0..words.len()).filter_map(|at| created(&words[at..])).collect();
    (0..words.len()).filter_map(|at| wrong(&words[at..], &created, alone)).collect()
}

/// The table that a statement which begins here creates.
fn created<'a>(words: &[&'a str]) -> Option<&'a str> {
    match *words {
        ["create", "table", "if", "not", "exists", table, ..] | ["create", "table", table, ..] => {
            Some(plain(table))
        }
        _ => None,
    }
}

/// What is wrong with the index that a statement which begins here makes, if it makes one.
fn wrong(words: &[&str], created: &[&str], alone: bool) -> Option<String> {
    let (["create", "index", rest @ ..] | ["create", "unique", "index", rest @ ..]) = words else {
        return None;
    };
    if rest.first() == Some(&"concurrently") {
        let why = "CONCURRENTLY needs a file of its own that begins with “-- no-transaction”";
        return (!alone).then(|| why.to_owned());
    }
    let on = rest.iter().position(|word| *word == "on")?;
    match rest.get(on + 1..)? {
        // of a partitioned table: the parts get theirs one by one
        ["only", ..] => None,
        [table, ..] if created.contains(&plain(table)) || SMALL.contains(&plain(table)) => None,
        [table, ..] => {
            Some(format!("an index on {table}, which is in use: make it with CREATE INDEX CONCURRENTLY"))
        }
        [] => Some("an index on nothing".to_owned()),
    }
}

fn plain(table: &str) -> &str {
    let table = table.trim_matches('"');
    table.strip_prefix("public.").unwrap_or(table)
}

#[test]
fn a_new_index_on_a_table_in_use_stops_nobody_from_writing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut looked_at = 0;
    for entry in std::fs::read_dir(folder).expect("migrations") {
        let path = entry.expect("a migration").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let version: i64 = name.split('_').next().unwrap_or_default().parse().expect("its number");
        if version >= FROM {
            let sql = std::fs::read_to_string(&path).expect("a text");
            assert_eq!(wrong_with(&sql), Vec::<String>::new(), "{name}");
            looked_at += 1;
        }
    }
    assert!(looked_at > 0, "there are such migrations");
}

#[test]
fn an_index_that_would_lock_a_table_in_use_is_found() {
    for good in [
        "CREATE TABLE a (id uuid PRIMARY KEY); CREATE UNIQUE INDEX a_of ON a(id);",
        "CREATE TABLE IF NOT EXISTS a (id uuid); CREATE INDEX ON public.a (id);",
        "-- no-transaction\nCREATE INDEX CONCURRENTLY p_of ON publication (post_id);",
        "CREATE INDEX attempt_of ON ONLY attempt (job_id);",
        "CREATE INDEX account_of ON account (name);",
        "-- CREATE INDEX p_of ON publication (post_id);\nALTER TABLE publication ADD COLUMN x text;",
    ] {
        assert_eq!(wrong_with(good), Vec::<String>::new(), "{good}");
    }
    for bad in [
        "CREATE INDEX p_of ON publication (post_id);",
        "create unique index\n  p_of on publication(post_id) where x;",
        "CREATE TABLE a (id uuid); CREATE INDEX b_of ON b (id);",
        "CREATE INDEX CONCURRENTLY p_of ON publication (post_id);",
        "-- no-transaction\nALTER TABLE b ADD c text; CREATE INDEX CONCURRENTLY p_of ON publication (post_id);",
        "CREATE INDEX IF NOT EXISTS p_of ON public.publication USING gin (options);",
    ] {
        assert_eq!(wrong_with(bad).len(), 1, "{bad}");
    }
}
