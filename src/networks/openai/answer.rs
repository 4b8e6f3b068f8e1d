//! What OpenAI's answers mean. A refusal and an answer that was cut are outcomes of their own, and so is that nothing is
//! left to pay with.

use jobs::{
    analysis::{Cut, Heard, money::Usage},
    contract::{Class, Failure},
};
use reqwest::StatusCode;
use serde_json::Value;

use crate::networks::http::{Phase, Reply, Rest, Row, Said, Tables, classify};

/// The most characters that are kept of what it says.
const MOST_WORDS: usize = 300;

/// What OpenAI's codes mean.
const ERRORS: &[Row] = &[
    Row::is("insufficient_quota", QUOTA),
    Row::is("credit_balance_exhausted", QUOTA),
    Row::is("billing_hard_limit_reached", QUOTA),
    Row::is("billing_not_active", QUOTA),
    Row::is("rate_limit_exceeded", Class::Rate),
    Row::is("server_error", Class::Transient),
    Row::is("server_is_overloaded", Class::Transient),
    Row::is("slow_down", Class::Transient),
    Row::is("invalid_api_key", Class::Permanent)
        .told("OpenAI does not take the key: set OPENAI_API_KEY anew.")
        .for_operator(),
    Row::is("model_not_found", Class::Permanent)
        .told("OpenAI has no such model: set OPENAI_MODEL to one it has.")
        .for_operator(),
    Row::is("unsupported_country_region_territory", Class::Permanent)
        .told("OpenAI does not serve this region.")
        .for_operator(),
    Row::is("context_length_exceeded", Class::Permanent)
        .told("It is more than the model reads at once: ask for less."),
    Row::is("image_content_policy_violation", Class::Permanent)
        .told("OpenAI does not look at one of the pictures."),
    Row::is("image_too_large", Class::Permanent),
    Row::is("unsupported_image_media_type", Class::Permanent),
    Row::is("invalid_prompt", Class::Permanent).told("OpenAI does not take these words."),
];

/// No class of its own among those of networks: it is told apart by its codes.
const QUOTA: Class = Class::Permission;
const TABLES: Tables = Tables { rows: &[ERRORS], definite_no: &[] };

/// What came of a request that has a whole answer. `key` is kept out of what is kept of it.
pub(super) fn read(reply: &Reply, key: &str, of: fn(&Value, &str) -> Heard) -> Heard {
    let body = reply.json();
    if reply.status.is_success() {
        return body.map_or_else(unreadable, |body| of(&body, key));
    }
    let error = body.as_ref().map_or(&Value::Null, |body| &body["error"]);
    // whoever stands between does not know how far it came
    let of_a_proxy = reply.status.is_server_error() || reply.status == StatusCode::REQUEST_TIMEOUT;
    if of_a_proxy && !error.is_object() { unreadable() } else { refused(reply, error, key) }
}

/// What was asked may well have been answered, and paid for.
pub(super) fn unreadable() -> Heard {
    Heard::Lost(Failure::new(Class::Transient, "unreadable", "the answer cannot be read"))
}

fn refused(reply: &Reply, error: &Value, key: &str) -> Heard {
    let code = [&error["code"], &error["type"]].into_iter().find_map(Value::as_str);
    let code = code.map_or_else(|| format!("http_{}", reply.status.as_u16()), str::to_owned);
    let said = Said {
        status: reply.status,
        message: words(error["message"].as_str().unwrap_or_default(), key),
        transient: false,
        rest: waits(reply),
        code,
    };
    let of_operator = matches!(reply.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    let failure = classify(Phase::Read, said, &TABLES).into_failure();
    if failure.class == QUOTA && TABLES.row(&failure.code).is_some() {
        let why = "the house's credit at OpenAI is used up";
        let failure = Failure { operator: true, ..Failure::new(Class::Permanent, failure.code, why) };
        return Heard::NoQuota(failure);
    }
    Heard::Unpaid(Failure { operator: failure.operator || of_operator, ..failure })
}

/// `retry-after-ms` is the finer of the two.
fn waits(reply: &Reply) -> Rest {
    let fine = reply.header("retry-after-ms").and_then(|text| text.trim().parse().ok());
    fine.map_or_else(|| Rest::asked_by(reply), |ms| Rest::For(std::time::Duration::from_millis(ms)))
}

/// What the model answered.
pub(super) fn of_response(body: &Value, key: &str) -> Heard {
    if !body["output"].is_array() && !body["status"].is_string() {
        return unreadable();
    }
    let tokens = |name: &str| body["usage"][name].as_u64();
    let usage = tokens("input_tokens").zip(tokens("output_tokens"));
    let usage = usage.map(|(input, output)| Usage { input, output });
    match (body["status"].as_str().unwrap_or_default(), usage) {
        ("completed", Some(usage)) => said(body, usage, key),
        ("incomplete", Some(usage)) => {
            let why = body["incomplete_details"]["reason"].as_str();
            Heard::Cut(if why == Some("content_filter") { Cut::Filtered } else { Cut::TooLong }, usage)
        }
        // what it cost is not said
        ("completed" | "incomplete", None) => unreadable(),
        ("failed" | "cancelled", usage) => {
            let error = &body["error"];
            let code = error["code"].as_str().unwrap_or("failed");
            let class = TABLES.row(code).map_or(Class::Transient, |row| row.class);
            let class = if class == QUOTA { Class::Permanent } else { class };
            let text = words(error["message"].as_str().unwrap_or_default(), key);
            let failure = Failure::new(class, code, text);
            // it may have come far enough to cost something
            let paid = usage.is_some_and(|usage| usage.input + usage.output > 0);
            if paid { Heard::Lost(failure) } else { Heard::Unpaid(failure) }
        }
        // it was to be answered in the background, which nobody asked for
        (other, _) => {
            Heard::Lost(Failure::new(Class::Transient, "status", format!("the answer is {other:?}")))
        }
    }
}

/// Looks through all that came: what the model thought may stand before what it says.
fn said(body: &Value, usage: Usage, key: &str) -> Heard {
    let items = body["output"].as_array().map_or(&[][..], Vec::as_slice);
    let parts =
        items.iter().filter(|item| item["type"] == "message").filter_map(|item| item["content"].as_array());
    let parts: Vec<&Value> = parts.flatten().collect();
    let of = |kind: &str, field: &str| -> Option<String> {
        let texts: Vec<&str> = parts
            .iter()
            .filter(|part| part["type"] == kind)
            .filter_map(|part| part[field].as_str())
            .collect();
        (!texts.is_empty()).then(|| texts.concat())
    };
    match (of("refusal", "refusal"), of("output_text", "text")) {
        (Some(refusal), _) => Heard::Refusal(words(&refusal, key), usage),
        (None, text) => Heard::Answer(text.unwrap_or_default(), usage),
    }
}

/// Its words, fit to be kept: neither the key nor what is left of it behind stars, and not too long.
fn words(text: &str, key: &str) -> String {
    let text = if key.is_empty() { text.to_owned() } else { text.replace(key, "…") };
    let kept: Vec<&str> =
        text.split_whitespace().filter(|word| !word.contains("sk-") && !word.contains("***")).collect();
    kept.join(" ").chars().take(MOST_WORDS).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const KEY: &str = "sk-secret";

    fn heard(status: u16, body: &str) -> Heard {
        heard_with(status, &[], body)
    }

    fn heard_with(status: u16, headers: &[(&'static str, &str)], body: &str) -> Heard {
        let status = StatusCode::from_u16(status).expect("a status");
        read(&Reply::with_headers(headers).saying(status, body), KEY, of_response)
    }

    fn error(code: &str) -> String {
        format!(r#"{{"error":{{"message":"no","type":"{code}","param":null,"code":"{code}"}}}}"#)
    }

    const USAGE: Usage = Usage { input: 36, output: 87 };

    #[test]
    fn recorded_answers_are_read() {
        let answer = include_str!("recorded/completed.json");
        let Heard::Answer(text, usage) = heard(200, answer) else { panic!("an answer") };
        assert!(text.starts_with("{\"variants\":") && usage == USAGE, "{text} {usage:?}");
        let refusal = heard(200, include_str!("recorded/refusal.json"));
        assert_eq!(refusal, Heard::Refusal("I can't help with that.".into(), USAGE));
        assert_eq!(heard(200, include_str!("recorded/too_long.json")), Heard::Cut(Cut::TooLong, USAGE));
        assert_eq!(heard(200, include_str!("recorded/filtered.json")), Heard::Cut(Cut::Filtered, USAGE));
        let quota = heard(429, include_str!("recorded/insufficient_quota.json"));
        assert!(matches!(&quota, Heard::NoQuota(failure) if failure.operator), "{quota:?}");
    }

    #[test]
    fn each_error_is_what_it_is() {
        for (status, code, class, operator) in [
            (429, "rate_limit_exceeded", Class::Rate, false),
            (500, "server_error", Class::Transient, false),
            (503, "server_is_overloaded", Class::Transient, false),
            (401, "invalid_api_key", Class::Permanent, true),
            (404, "model_not_found", Class::Permanent, true),
            (400, "context_length_exceeded", Class::Permanent, false),
            (400, "never_heard_of", Class::Permanent, false),
        ] {
            let Heard::Unpaid(failure) = heard(status, &error(code)) else { panic!("{code}") };
            assert_eq!((failure.class, failure.operator), (class, operator), "{code}");
        }
    }

    #[test]
    fn the_finer_wait_counts() {
        let limit = error("rate_limit_exceeded");
        let rest = |headers: &[(&'static str, &str)]| match heard_with(429, headers, &limit) {
            Heard::Unpaid(failure) => failure.rest,
            other => panic!("{other:?}"),
        };
        assert_eq!(rest(&[("retry-after", "20")]), Some(Duration::from_secs(20)));
        assert_eq!(
            rest(&[("retry-after", "20"), ("retry-after-ms", "1500")]),
            Some(Duration::from_millis(1_500))
        );
        assert_eq!(rest(&[]), None);
    }

    #[test]
    fn a_success_that_cannot_be_read_may_have_been_paid_for() {
        for body in ["", "{\"id\": \"resp_1\", \"out", "[]", "{}", "{\"status\":\"queued\"}"] {
            assert!(matches!(heard(200, body), Heard::Lost(_)), "{body}");
        }
        for (status, lost) in [(502, true), (408, true), (404, false)] {
            assert_eq!(matches!(heard(status, "<html>"), Heard::Lost(_)), lost, "{status}");
        }
        for (status, usage, lost) in [
            ("completed", "", true),
            ("incomplete", "", true),
            ("failed", "", false),
            ("failed", r#","usage":{"input_tokens":9,"output_tokens":0}"#, true),
        ] {
            let body = format!(r#"{{"status":"{status}","output":[]{usage}}}"#);
            assert_eq!(matches!(heard(200, &body), Heard::Lost(_)), lost, "{body}");
        }
        let body = r#"{"status":"failed","output":[],"usage":{"input_tokens":9,"output_tokens":0},
            "error":{"code":"server_error","message":"of the model"}}"#;
        let Heard::Lost(failure) = heard(200, body) else { panic!("it is not known what it cost") };
        assert_eq!((failure.code.as_str(), failure.message.as_str()), ("server_error", "of the model"));
    }

    #[test]
    fn nothing_of_the_key_is_kept() {
        let body = r#"{"error":{"message":"Incorrect API key provided: sk-sec***ret or sk-secret. See https://x","code":"invalid_api_key"}}"#;
        let Heard::Unpaid(failure) = heard(401, body) else { panic!("refused") };
        assert!(!failure.message.contains("sk-") && !failure.message.contains("***"), "{failure}");
    }
}
