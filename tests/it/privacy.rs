//! The public pages as somebody meets them in a browser: in both languages, from right to left and from left to right,
//! without a script, a cookie or anything from elsewhere.

use std::time::Duration;

use serde_json::Value;

use crate::{
    browser::Person,
    harness::{FACEBOOK, INSTAGRAM, System, eventually, eventually_within},
};

/// The link that somebody was mailed.
async fn link(system: &System, to: &str) -> String {
    eventually("the letter", || async {
        let mail = system.control("mail").await;
        let letter = mail["data"].as_array().unwrap().iter().find(|it| it["to"][0] == to).cloned();
        let text = letter.ok_or("none yet")?["body"].as_str().unwrap_or_default().to_owned();
        let link = text.split_whitespace().find(|word| word.contains("/privacy/delete/"));
        link.map(str::to_owned).ok_or(text)
    })
    .await
}

/// Looks at a page, which is of one language and of this house alone.
async fn looks(person: &Person, name: &str, lang: &str, dir: &str) {
    let page = "document.documentElement.lang + ' ' + document.documentElement.dir";
    assert_eq!(person.ask(page).await, format!("{lang} {dir}"), "{name}");
    // P-A7
    let foreign =
        "document.cookie + String(document.scripts.length) + performance.getEntriesByType('resource')
        .filter(it => new URL(it.name).origin !== location.origin).map(it => it.name).join()";
    assert_eq!(person.ask(foreign).await, "0", "{name}");
    person.look(&format!("privacy-{name}-{lang}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_deletion_finds_the_way_in_hebrew_and_in_english() {
    // P-D6, P-D12
    let system = System::with_workers(1).await;
    let whose = "UPDATE account SET subject_email = CASE platform WHEN 'facebook_page' THEN 'dana@example.com'
                                                                  WHEN 'instagram_business' THEN 'noa@example.com' END";
    sqlx::query(whose).execute(&system.database.pool).await.unwrap();
    for (platform, words) in [(FACEBOOK, "what dana wrote"), (INSTAGRAM, "what noa wrote")] {
        let post = system.post(words, &[platform]).await;
        system.all_live_once(&[post]).await;
    }
    for (lang, dir, other, email) in
        [("he", "rtl", "en", "dana@example.com"), ("en", "ltr", "he", "noa@example.com")]
    {
        let person = Person::at(&system.url(&format!("/privacy/delete?lang={lang}"))).await;
        looks(&person, "ask", lang, dir).await;
        person.write("#email", email).await;
        person.send("form button", "main:not(:has(form))").await;
        looks(&person, "asked", lang, dir).await;
        person.go(&link(&system, email).await).await;
        looks(&person, "prove", lang, dir).await;
        person.send("form button", "#follow").await;
        looks(&person, "accepted", lang, dir).await;
        person.send("#follow", "main ol").await;
        let here = person.ask("location.href").await;
        eventually_within(Duration::from_mins(1), "the receipt", || async {
            person.go(&here).await;
            let receipt = "String(document.querySelectorAll(\"a[href$='/receipt']\").length)";
            if person.ask(receipt).await == "1" { Ok(()) } else { Err(person.text().await) }
        })
        .await;
        looks(&person, "done", lang, dir).await;
        let receipt = person.ask("document.querySelector(\"a[href$='/receipt']\").href").await;
        let receipt = crate::harness::client().get(receipt).send().await.unwrap();
        assert!(receipt.json::<Value>().await.unwrap()["signature"].is_string());
        // whoever reads the other language finds it here
        person.send("a[hreflang]", &format!("html[lang={other}]")).await;
    }
    assert_eq!(
        system.database.count("SELECT count(*) FROM post").await,
        0,
        "nothing that was written is left"
    );
}
