//! The house itself: who may import whom, who may read what, and how a start is refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crate::harness::{Process, System, eventually, free_port};

/// The layering table: a module, and what of ours it may import besides `jobs` and itself.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("ledger", &[]),
    ("queue", &[]),
    ("networks", &[]),
    ("telemetry", &[]),
    ("config", &["networks"]),
    ("web", &["ledger", "config"]),
    ("worker", &["ledger", "queue", "config"]),
    ("wiring", &["ledger", "queue", "networks", "telemetry", "config", "web", "worker"]),
    ("cli", &["ledger", "queue", "networks", "telemetry", "config", "web", "worker", "wiring"]),
];

pub fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The modules that a source names as `crate::…`, one by one or in braces.
fn imports(source: &str) -> Vec<String> {
    let word =
        |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for (at, _) in source.match_indices("crate::") {
        let rest = &source[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => found.push(word(rest)),
            Some(braced) => {
                let (mut depth, mut start) = (0, true);
                for (n, c) in braced.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        _ if c.is_whitespace() => {}
                        _ if start && depth == 0 => {
                            found.push(word(&braced[n..]));
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found
}

#[test]
fn modules_import_only_what_the_layering_allows() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in sources(&src) {
        let inside = path.strip_prefix(&src).unwrap().components().next().unwrap();
        let module = Path::new(&inside).with_extension("").to_string_lossy().into_owned();
        if path.extension().is_none_or(|e| e != "rs") || ["main", "lib"].contains(&module.as_str()) {
            continue;
        }
        let allowed = MAY_IMPORT.iter().find(|(name, _)| *name == module);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{module} has no line in the layering table"));
        for import in imports(&fs::read_to_string(&path).unwrap()) {
            let known = MAY_IMPORT.iter().any(|(name, _)| *name == import);
            assert!(
                !known || import == module || allowed.contains(&import.as_str()),
                "{} imports {import}",
                path.display()
            );
        }
    }
}

#[test]
fn statements_stand_in_the_ledger_and_nowhere_else() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in sources(&src) {
        let (text, inside) =
            (fs::read_to_string(&path).unwrap_or_default(), path.strip_prefix(&src).unwrap());
        if !inside.starts_with("ledger") {
            assert!(
                !text.contains("query!(") && !text.contains("query_scalar!("),
                "{} holds SQL",
                path.display()
            );
        }
    }
}

/// Whether a statement takes whatever columns there are.
fn takes_any_column(source: &str) -> bool {
    let (mut lists, mut begins) = (false, false);
    source.split_ascii_whitespace().any(|word| {
        let bare = word.trim_start_matches("r#").trim_start_matches(['"', '(', '#']);
        if ["SELECT", "DISTINCT", "RETURNING"].iter().any(|verb| bare.eq_ignore_ascii_case(verb)) {
            (lists, begins) = (true, true);
            return false;
        }
        lists &= !bare.eq_ignore_ascii_case("FROM");
        // a star where a column begins; elsewhere it multiplies
        let starts = std::mem::replace(&mut begins, bare.ends_with(','));
        let mut columns = bare.split(',').map(|column| column.trim_end_matches(['"', ')', ';', '#']));
        lists
            && ((starts && columns.clone().next() == Some("*"))
                || columns.any(|column| column.ends_with(".*")))
    })
}

#[test]
fn every_statement_names_its_columns() {
    for planted in [
        "\"SELECT * FROM job\"",
        "(select *\nfrom job)",
        "DELETE FROM job RETURNING *",
        "SELECT j.* FROM job j",
        "SELECT j.id, p.* FROM job j",
        "r#\"delete from job returning *\"#",
    ] {
        assert!(takes_any_column(planted), "{planted}");
    }
    assert!(!takes_any_column("SELECT count(*) FROM job"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in sources(&root.join("src")).into_iter().chain(sources(&root.join("migrations"))) {
        if path.extension().is_none_or(|kind| kind != "rs" && kind != "sql") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            !takes_any_column(&text),
            "{}: a column that is added would change its result",
            path.display()
        );
    }
}

#[test]
fn there_is_one_ledger_and_one_way_to_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut doors, mut addresses) = (Vec::new(), BTreeSet::new());
    for path in sources(&src) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let inside = path.strip_prefix(&src).unwrap().to_string_lossy().into_owned();
        let connects = ["connect_with(", "connect_lazy", "PgPool::connect", "PgConnection::connect"];
        doors.extend(connects.iter().flat_map(|door| text.matches(door)).map(|_| inside.clone()));
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let address = |word: &&str| {
            ["DATABASE", "POSTGRES", "REPLICA", "PG"].iter().any(|stem| word.starts_with(stem))
                && word.contains('_')
                && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
        };
        addresses.extend(words.filter(address).map(str::to_owned));
    }
    assert_eq!(doors, ["ledger/mod.rs"]);
    assert_eq!(
        addresses,
        BTreeSet::from(["DATABASE_URL".to_owned()]),
        "a copy that lags behind is never read"
    );
}

#[test]
fn the_readme_names_every_kind_network_and_required_variable() {
    let readme = include_str!("../../README.md");
    let kinds = jobs::KINDS.iter().map(|kind| kind.name);
    let networks = postroom::networks::NETWORKS.iter().map(|network| network.file);
    let required = ["DATABASE_URL", "REDIS_URL", "PUBLIC_URL", "POSTROOM_KEYS", "S3_BUCKET"];
    for word in kinds.chain(networks).chain(required) {
        assert!(readme.contains(&format!("`{word}`")), "README.md does not name {word}");
    }
}

#[test]
fn the_readme_explains_every_figure() {
    let readme = include_str!("../../README.md");
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = 0;
    for path in sources(&src) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        for kind in ["counter!(\"", "gauge!(\"", "histogram!(\""] {
            for figure in text.split(kind).skip(1).filter_map(|rest| rest.split('"').next()) {
                let named = [format!("`{figure}`"), format!("`{figure}{{")];
                assert!(named.iter().any(|word| readme.contains(word)), "README.md does not name {figure}");
                found += 1;
            }
        }
    }
    assert!(found > 10, "the figures were found");
}

/// Every test there is, by its full name: the module below `tests/it`, or the crate and the module in it.
pub fn all_tests() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = BTreeSet::new();
    for (folder, prefix) in [("tests/it", ""), ("src", "postroom::"), ("jobs", "jobs::")] {
        for path in sources(&root.join(folder)) {
            let inside = path.strip_prefix(root.join(folder)).unwrap().with_extension("");
            let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            let module: Vec<_> =
                parts.iter().filter(|part| !["mod", "lib"].contains(&part.as_str())).cloned().collect();
            let text = fs::read_to_string(&path).unwrap_or_default();
            let module = module.join("::");
            names.extend(tests_in(&text).map(|name| format!("{prefix}{module}::{name}")));
        }
    }
    names
}

/// The functions of a source that bear `#[test]` or `#[tokio::test]`.
fn tests_in(source: &str) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let marked = |n: &usize| lines[*n].starts_with("#[test]") || lines[*n].starts_with("#[tokio::test");
    let marks: Vec<usize> = (0..lines.len()).filter(marked).collect();
    marks.into_iter().filter_map(move |n| {
        let signature =
            lines[n + 1..].iter().find(|line| !line.starts_with('#') || line.starts_with("#[ignore"))?;
        let name = signature.trim_start_matches("async ").strip_prefix("fn ")?;
        name.split('(').next()
    })
}

/// The words between backticks.
pub fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// What is wrong with the table of what must not hurt: `| row | fault | what holds | tests | blows |`.
fn wrong_with_rows(document: &str, tests: &BTreeSet<String>, blows: &BTreeSet<&str>) -> Vec<String> {
    let (mut wrong, mut numbers) = (Vec::new(), Vec::new());
    for line in document.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let Some(number) = cells[0].parse::<usize>().ok() else { continue };
        numbers.push(number);
        let [_, fault, holds, tested, struck] = cells[..] else {
            wrong.push(format!("row {number} has {} cells", cells.len()));
            continue;
        };
        let unmet = holds.starts_with("**Not met.**");
        if fault.is_empty() || holds.is_empty() || (quoted(tested).next().is_none() != unmet) {
            wrong.push(format!("row {number} names no test and does not say that it is not met, or both"));
        }
        let unknown = quoted(tested).filter(|name| !tests.contains(*name));
        wrong.extend(unknown.map(|name| format!("row {number}: there is no test {name}")));
        let unknown = quoted(struck).filter(|name| !blows.contains(name));
        wrong.extend(unknown.map(|name| format!("row {number}: there is no blow {name}")));
    }
    if numbers != (1..=48).collect::<Vec<_>>() {
        wrong.push(format!("the rows are {numbers:?}"));
    }
    wrong
}

/// The words that chaos counts its blows by.
fn blows() -> BTreeSet<&'static str> {
    let source = include_str!("chaos/blows.rs");
    let names = source.split("pub fn name").nth(1).unwrap_or_default();
    names.split('"').skip(1).step_by(2).collect()
}

#[test]
fn every_failure_mode_is_listed_with_a_test_that_exists() {
    let wrong = wrong_with_rows(include_str!("../../docs/failure-modes.md"), &all_tests(), &blows());
    assert!(wrong.is_empty(), "docs/failure-modes.md:\n{}", wrong.join("\n"));
}

#[test]
fn a_failure_mode_whose_test_is_misspelt_or_missing_is_found() {
    let tests = BTreeSet::from(["a::b".to_owned()]);
    let blows = BTreeSet::from(["kill9"]);
    let row = |n, tested: &str, struck: &str| format!("| {n} | fault | holds | {tested} | {struck} |\n");
    let rows = |from: usize| (from..=48).map(|n| row(n, "`a::b`", "`kill9`")).collect::<String>();
    let find = |document: &str| wrong_with_rows(document, &tests, &blows);
    assert!(find(&rows(1)).is_empty());
    assert_eq!(find(&rows(2)).len(), 1, "a row is missing");
    for (tested, struck) in
        [("`a::c`", "`kill9`"), ("`a::b`, `a::c`", ""), ("`a::b`", "`kill8`"), ("", "`kill9`")]
    {
        let planted = row(1, tested, struck) + &rows(2);
        assert_eq!(find(&planted).len(), 1, "{planted}");
    }
    let open = "| 1 | fault | **Not met.** Some day. | — | — |\n".to_owned() + &rows(2);
    assert!(find(&open).is_empty(), "what is not met says so");
    let source = "#[test]\n#[expect(x)]\nfn one() {}\n#[tokio::test(flavor = \"y\")]\nasync fn two() {}\nfn three() {}";
    assert_eq!(tests_in(source).collect::<Vec<_>>(), ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn web_cannot_read_a_token_and_no_token_stands_in_the_clear() {
    // P-C1
    let system = System::start().await;
    let mut connection = system.database.pool.acquire().await.unwrap();
    let name: String =
        sqlx::query_scalar("SELECT current_database()").fetch_one(&mut *connection).await.unwrap();
    sqlx::query("SELECT set_config('role', $1, false)")
        .bind(format!("{name}_web"))
        .execute(&mut *connection)
        .await
        .unwrap();
    for asked in [
        "SELECT sealed FROM vault.token",
        "SELECT sealed FROM vault.data_key",
        "SELECT id, cipher, key_id FROM vault.data_key",
        "INSERT INTO vault.data_key (account_id, id, cipher, key_id, sealed)
         SELECT id, id, 'xchacha20-poly1305', 'k', '' FROM account",
        "UPDATE vault.data_key SET sealed = ''",
        "DELETE FROM vault.data_key",
    ] {
        let denied = sqlx::query(asked).execute(&mut *connection).await.unwrap_err().to_string();
        assert!(denied.contains("permission denied"), "{asked}: {denied}");
    }
    // whatever table comes to the vault
    let may = "SELECT bool_or(has_table_privilege($1::text::name, t.oid, p))
               FROM pg_class t, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
               WHERE t.relnamespace = 'vault'::regnamespace AND t.relkind IN ('r', 'p')";
    for (role, expected) in [("web", false), ("worker", true)] {
        let may = sqlx::query_scalar::<_, bool>(may).bind(format!("{name}_{role}"));
        assert_eq!(may.fetch_one(&system.database.pool).await.unwrap(), expected, "{role}");
    }
    let clear = "SELECT count(*) FROM vault.token WHERE position('sandbox'::bytea in sealed) > 0";
    assert_eq!(system.database.count(clear).await, 0);
    assert_eq!(system.database.count("SELECT count(*) FROM vault.token").await, 4);
    let own = "SELECT count(*) FROM vault.token t JOIN vault.data_key k ON k.account_id = t.account_id
               WHERE t.key_id = 'data:' || k.id::text";
    assert_eq!(system.database.count(own).await, 4, "each under the key of its account");
}

async fn refused(environment: BTreeMap<String, String>, args: &[&str]) -> String {
    let system_binary = Path::new(env!("CARGO_BIN_EXE_postroom"));
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::start(system_binary, args, &environment, &dir.path().join("log"));
    let code = process.ended().await;
    assert_eq!(code, Some(1), "{args:?}: {}", process.log());
    process.log()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_wrong_setting_or_a_missing_secret_is_refused_with_the_key() {
    let system = System::start().await;
    let with = |name: &str, value: &str| {
        let mut environment = system.environment.clone();
        environment.insert(name.to_owned(), value.to_owned());
        environment
    };
    for (name, value, said) in [
        ("POSTROOM__LEASE__LENGHT", "3s", "lenght"),
        ("POSTROOM__LEASE__LENGTH", "soon", "soon"),
        ("POSTROOM__JOBS__PUBLISH__CONCURRENCY", "0", "jobs.publish.concurrency"),
        ("POSTROOM__NETWORKS__MYSPACE__TIMEOUT", "1s", "networks.myspace"),
        ("POSTROOM_KEYS", "k1:rot13:AAAA", "POSTROOM_KEYS"),
        ("POSTROOM_KEYS", "", "POSTROOM_KEYS"),
        ("DATABASE_URL", "", "DATABASE_URL"),
        ("REDIS_URL", "", "REDIS_URL"),
        ("PUBLIC_URL", "", "PUBLIC_URL"),
        ("S3_BUCKET", "", "S3_BUCKET"),
        ("META_APP_SECRET", "", "META_APP_SECRET"),
        ("PORT", "many", "PORT"),
    ] {
        for verb in ["web", "worker"] {
            if (name, verb) != ("PORT", "worker") {
                let log = refused(with(name, value), &[verb]).await;
                assert!(log.contains(said) && log.lines().count() == 1, "{name}={value:?} on {verb}: {log}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_its_ledger_says_so_and_ends_and_web_stays_and_says_so() {
    let mut system = System::start().await;
    system
        .environment
        .insert("DATABASE_URL".into(), format!("postgres://nobody@127.0.0.1:{}/none", free_port()));
    let log = refused(system.environment.clone(), &["worker"]).await;
    assert!(log.contains("ledger is away"), "{log}");
    system.web.take().unwrap().kill9().await;
    system.start_web().await;
    let client = crate::harness::client();
    let ready = client.get(system.url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    assert!(ready.text().await.unwrap().contains("postgres"));
    let wish = client.get(system.url("/api/v1/posts")).bearer_auth(&system.key).send().await.unwrap();
    assert_eq!(wish.status(), 503);
    assert!(wish.headers().contains_key("retry-after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_goes_away_while_running_loses_nothing_accepted() {
    let system = System::with_workers(1).await;
    // one that cannot reach the ledger at its start says so and ends
    eventually("the worker to have started", || async {
        let log = system.workers[0].log();
        if log.contains("worker started") { Ok(()) } else { Err(log) }
    })
    .await;
    let post = system.post("before the ledger went", &["facebook_page"]).await;
    // every connection is cut, as a restarted server cuts them
    for _ in 0..5 {
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()";
        system.database.count(cut).await;
    }
    system.all_live_once(&[post]).await;
    let again = system.post("after it came back", &["facebook_page"]).await;
    system.all_live_once(&[again]).await;
    eventually("the worker to be alive", || async {
        if system.workers[0].pid().is_some() { Ok(()) } else { Err(system.workers[0].log()) }
    })
    .await;
}
