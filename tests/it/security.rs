//! What the house promises about its safety: every section of the standard, with tests that exist; what is built upon; and
//! the doors by which requests leave.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use crate::house::{all_tests, quoted, sources};

/// The sections of ASVS 5.0: the chapters, and how many each has.
const SECTIONS: [usize; 17] = [5, 4, 7, 4, 4, 8, 6, 4, 2, 7, 7, 3, 4, 3, 4, 5, 3];

/// What is wrong with the table `| section | what holds | tests |`.
fn wrong_with(document: &str, tests: &BTreeSet<String>) -> Vec<String> {
    let wanted: Vec<String> = (1..)
        .zip(SECTIONS)
        .flat_map(|(chapter, count)| (1..=count).map(move |n| format!("{chapter}.{n}")))
        .collect();
    let (mut wrong, mut found) = (Vec::new(), Vec::new());
    for line in document.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let Some((number, title)) = cells[0].split_once(' ').filter(|(number, _)| number.contains('.'))
        else {
            continue;
        };
        found.push(number.to_owned());
        let [_, holds, tested] = cells[..] else {
            wrong.push(format!("{number} has {} cells", cells.len()));
            continue;
        };
        let open = holds.starts_with("**Not met") || holds.starts_with("**Does not apply");
        if title.is_empty() || holds.is_empty() || quoted(tested).next().is_none() != open {
            wrong.push(format!("{number} names no test and does not say that it is open, or both"));
        }
        let unknown = quoted(tested).filter(|name| !tests.contains(*name));
        wrong.extend(unknown.map(|name| format!("{number}: there is no test {name}")));
    }
    if found != wanted {
        wrong.push(format!("the sections are {found:?}"));
    }
    wrong
}

#[test]
fn every_section_of_the_standard_is_listed_with_a_test_that_exists() {
    let wrong = wrong_with(include_str!("../../docs/security.md"), &all_tests());
    assert!(wrong.is_empty(), "docs/security.md:\n{}", wrong.join("\n"));
}

#[test]
fn a_section_whose_test_is_misspelt_or_missing_is_found() {
    let document = include_str!("../../docs/security.md");
    let tests = all_tests();
    let find = |document: &str| wrong_with(document, &tests).len();
    assert_eq!(find(&document.replacen("`console::every_page", "`console::each_page", 1)), 1);
    assert_eq!(find(&document.replacen("\n| 4.3 GraphQL", "\n| 4.5 GraphQL", 1)), 1);
    assert_eq!(
        find(&document.replacen("**Does not apply.** There is none. | — |", "All is well | — |", 1)),
        1
    );
    let none = document.replacen("| `house::modules_import_only_what_the_layering_allows` |", "| — |", 1);
    assert_eq!(find(&none), 1);
}

#[test]
fn what_may_be_built_upon_is_said_and_checked() {
    let rules: toml::Table = include_str!("../../deny.toml").parse().expect("it is TOML");
    let banned: Vec<&str> = rules["bans"]["deny"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["crate"].as_str().expect("a name"))
        .collect();
    for name in ["openssl-sys", "native-tls", "ring", "sqlx:<0.9"] {
        assert!(banned.contains(&name), "{name} is not banned");
    }
    assert_eq!(rules["sources"]["unknown-git"].as_str(), Some("deny"));
    let checks = include_str!("../../bin/lib/deny.sh");
    assert!(checks.contains("check bans licenses sources"), "bin/test runs it");
    assert!(include_str!("../../bin/test").contains("check_dependencies"));
    // the grossest of it, also where cargo-deny is not to be had; Cargo.lock has more than is ever built
    let cargo = std::env::var_os("CARGO").expect("cargo runs the tests");
    let options =
        ["tree", "--workspace", "--locked", "--offline", "--edges=all", "--prefix=none", "--format={p}"];
    let tree = Command::new(cargo).args(options).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let tree = String::from_utf8(tree.expect("cargo runs").stdout).expect("text");
    let built: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(built.contains("rustls"), "{tree}");
    for name in ["openssl-sys", "native-tls", "ring"] {
        assert!(!built.contains(name), "{name} is built upon");
    }
    let locked: toml::Table = include_str!("../../Cargo.lock").parse().expect("it is TOML");
    let packages = locked["package"].as_array().expect("a list");
    let names: Vec<&str> = packages.iter().filter_map(|it| it["name"].as_str()).collect();
    for name in ["sqlx", "rustls", "jsonwebtoken"] {
        assert_eq!(names.iter().filter(|it| **it == name).count(), 1, "{name}");
    }
    let foreign = |it: &&toml::Value| {
        it.get("source").and_then(toml::Value::as_str).is_some_and(|from| !from.starts_with("registry+"))
    };
    assert_eq!(packages.iter().find(foreign), None);
}

#[test]
fn a_request_goes_out_by_a_known_door_or_not_at_all() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut doors = BTreeSet::new();
    for path in sources(&src) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let opens = ["Client::builder()", "Client::new()", "ClientBuilder::new()", "reqwest::get("];
        if opens.iter().any(|door| text.contains(door)) {
            doors.insert(path.strip_prefix(&src).expect("below src").to_string_lossy().into_owned());
        }
    }
    let known = ["networks/http.rs", "networks/outbound.rs"].map(str::to_owned);
    assert_eq!(doors, BTreeSet::from(known), "what somebody gave us goes by networks/outbound.rs alone");
}
