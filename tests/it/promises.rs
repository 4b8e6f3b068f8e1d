//! What the privacy policies promise: every promise that the sources speak of is in the table, with tests that exist.

use std::{collections::BTreeSet, fs, path::Path};

use crate::house::{all_tests, quoted, sources};

/// The ids of promises in a text: `P-`, a letter, a number.
fn ids(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter_map(|word| {
        let (letter, number) = word.strip_prefix("P-")?.split_at_checked(1)?;
        let is_id = letter.chars().all(|c| c.is_ascii_uppercase())
            && !number.is_empty()
            && number.chars().all(|c| c.is_ascii_digit());
        is_id.then(|| word.to_owned())
    })
}

/// The ids that our sources use.
fn used() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all =
        ["tests/it", "src", "jobs", "sandbox"].into_iter().flat_map(|folder| sources(&root.join(folder)));
    all.flat_map(|path| ids(&fs::read_to_string(path).unwrap()).collect::<Vec<_>>()).collect()
}

/// What is wrong with the table `| id | promise | what holds | tests |`.
fn wrong_with(document: &str, used: &BTreeSet<String>, tests: &BTreeSet<String>) -> Vec<String> {
    let (mut wrong, mut found) = (Vec::new(), BTreeSet::new());
    for line in document.lines().filter(|line| line.starts_with("| P-")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [id, _, holds, tested] = cells[..] else {
            wrong.push(format!("{line} has {} cells", cells.len()));
            continue;
        };
        if !found.insert(id.to_owned()) {
            wrong.push(format!("{id} stands there twice"));
        }
        let open = holds.starts_with("**Later");
        if quoted(tested).next().is_none() != open {
            wrong.push(format!("{id} names no test and does not say that it is open, or both"));
        }
        if !open && !used.contains(id) {
            wrong.push(format!("{id} stands in no source"));
        }
        let unknown = quoted(tested).filter(|name| !tests.contains(*name));
        wrong.extend(unknown.map(|name| format!("{id}: there is no test {name}")));
    }
    wrong.extend(used.difference(&found).map(|id| format!("{id} is in no row")));
    wrong
}

#[test]
fn every_promise_is_listed_with_a_test_that_exists() {
    let wrong = wrong_with(include_str!("../../docs/promises.md"), &used(), &all_tests());
    assert!(wrong.is_empty(), "docs/promises.md:\n{}", wrong.join("\n"));
}

#[test]
fn a_promise_that_is_misspelt_or_missing_is_found() {
    let (document, used, tests) = (include_str!("../../docs/promises.md"), used(), all_tests());
    let find = |document: &str| wrong_with(document, &used, &tests).len();
    assert_eq!(find(&document.replacen("`deletions::tokens_are", "`deletions::tokens_were", 1)), 1);
    assert_eq!(find(&document.replacen("**Later.** |", "It is there |", 1)), 2);
    let without: Vec<&str> = document.lines().filter(|line| !line.starts_with("| P-D7 ")).collect();
    assert_eq!(find(&without.join("\n")), 1);
}
