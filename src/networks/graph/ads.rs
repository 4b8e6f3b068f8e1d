//! What ads came to, and which ad accounts a person may read. "Ads Insights" of Meta's documents; the fields are those of
//! `adsinsights.py`, and the list of ad accounts that of `user.py`, of Meta's SDK for Python.

use jobs::{
    contract::{Class, Failure},
    desk::Call,
    metrics::{
        Trouble,
        ads::{self, ATTRIBUTION, AdPage, AdQuestion, CURRENCY},
    },
    renewals::{Pair, Renewal},
};
use serde_json::{Value, json};

use super::{Graph, access::of_failure, insights::trouble};
use crate::networks::http::{Deadline, Fault};

/// The scope for reading ads.
pub const READS_ADS: &str = "ads_read";

/// What is read of an ad account.
pub(super) const ACCOUNT_FIELDS: &str = "id,account_id,name";

impl Graph {
    /// Asks about the ad account of the call.
    ///
    /// # Errors
    /// What Graph said.
    pub async fn ads(&self, call: &Call<'_>, question: &AdQuestion<'_>) -> Result<AdPage, Trouble> {
        let query = query(question);
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let read = self.get(call, Deadline::of(call), &[call.account, "insights"], &query).await;
        let body = read.map_err(Fault::into_failure).map_err(trouble)?;
        Ok(AdPage { days: ads::days(&body, question.level, question.metrics), next: next(&body) })
    }

    /// A new token of the person's, where what is reached by it has none of its own. The old one stays good.
    pub async fn renew_person(&self, call: &Call<'_>) -> Renewal {
        match self.prolong(call, Deadline::of(call)).await {
            Ok((user, life)) => Renewal::Renewed(Pair {
                access: Some(user.clone()),
                refresh: Some(user),
                access_life: life,
                refresh_life: life,
                missing: None,
            }),
            Err(failure) => of_failure(failure),
        }
    }

    /// The ad accounts that the person of the call's token may read. One whose role or business does not let them be listed
    /// is no reason to offer nothing else.
    pub(super) async fn ad_accounts(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
    ) -> Result<Vec<Value>, Failure> {
        match self.list(call, deadline, &["me", "adaccounts"], ACCOUNT_FIELDS).await {
            Err(failure) if matches!(failure.class, Class::Permission | Class::Permanent) => {
                tracing::info!(%failure, "the ad accounts of a person are not shown");
                Ok(Vec::new())
            }
            other => other,
        }
    }
}

/// Where a list goes on, if it does.
fn next(body: &Value) -> Option<String> {
    let paging = &body["paging"];
    let after = paging["cursors"]["after"].as_str().filter(|_| paging["next"].is_string());
    after.map(str::to_owned)
}

fn query(question: &AdQuestion<'_>) -> Vec<(&'static str, String)> {
    let (id, name, parent) = question.level.names();
    let names = [id, name].into_iter().chain(parent).chain([CURRENCY, ATTRIBUTION]);
    let fields: Vec<&str> = names.chain(question.metrics.iter().map(|metric| metric.remote)).collect();
    let days = json!({ "since": question.since, "until": question.until });
    let asked = [
        ("level", question.level.word().to_owned()),
        ("fields", fields.join(",")),
        ("time_range", days.to_string()),
        ("time_increment", "1".to_owned()),
        ("limit", question.most.to_string()),
    ];
    let after = question.after.map(|after| ("after", after.to_owned()));
    asked.into_iter().chain(after).collect()
}

#[cfg(test)]
mod tests {
    use jobs::metrics::{ads::Level, catalogue::by_id};

    use super::*;

    #[test]
    fn ads_are_asked_for_day_by_day_with_their_currency_and_their_attribution() {
        let metrics = [by_id(130).expect("impressions"), by_id(133).expect("spend")];
        let day = |text: &str| text.parse().expect("a day");
        let question = AdQuestion {
            level: Level::AdSet,
            metrics: &metrics,
            since: day("2026-10-26"),
            until: day("2026-11-22"),
            most: 100,
            after: Some("QVFI"),
        };
        let asked: Vec<String> =
            query(&question).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(
            asked,
            [
                "level=adset",
                "fields=adset_id,adset_name,campaign_id,account_currency,attribution_setting,impressions,spend",
                r#"time_range={"since":"2026-10-26","until":"2026-11-22"}"#,
                "time_increment=1",
                "limit=100",
                "after=QVFI",
            ]
        );
    }

    #[test]
    fn a_list_goes_on_only_where_it_says_so() {
        let cursors = json!({ "before": "a", "after": "b" });
        let more = json!({ "paging": { "cursors": cursors, "next": "https://graph.facebook.com/next" } });
        assert_eq!(next(&more).as_deref(), Some("b"));
        for last in [json!({ "paging": { "cursors": cursors } }), json!({ "paging": {} }), json!({})] {
            assert_eq!(next(&last), None);
        }
    }
}
