//! The model: it writes what it is asked to, in plain words made of what it was told.

use serde_json::{Map, Value, json};

use super::request::Asked;

/// What it says of so many pictures, captions, networks; anything that it is not asked in a known shape it fills in.
pub fn write(asked: &Asked) -> String {
    match &asked.schema {
        None => "I have read it.".to_owned(),
        Some((name, schema)) if name == "captions" => captions(asked, schema).to_string(),
        Some((name, _)) if name == "review" => review(asked).to_string(),
        Some((name, _)) if name == "results" => results(asked).to_string(),
        Some((_, schema)) => filled(schema).to_string(),
    }
}

fn captions(asked: &Asked, schema: &Value) -> Value {
    let told: Value = serde_json::from_str(&asked.text).unwrap_or_default();
    let hebrew = told["language"] == "Hebrew";
    let brief = told["brief"].as_str().unwrap_or_default();
    let of_schema = &schema["properties"]["variants"]["items"]["properties"]["platform"]["enum"];
    let platforms = of_schema.as_array().map_or(&[][..], Vec::as_slice);
    let variants = told["variants"].as_u64().unwrap_or(1).min(10);
    let mut written = Vec::new();
    for platform in platforms {
        let network =
            told["networks"].as_array().into_iter().flatten().find(|it| it["platform"] == *platform);
        let most = network.and_then(|it| it["most_characters"].as_u64()).unwrap_or(200);
        for n in 1..=variants {
            written.push(json!({
                "platform": platform,
                "caption": caption(n, hebrew, brief, usize::try_from(most).unwrap_or(200)),
                "hashtags": if hebrew { ["טרי", "שכונה"] } else { ["fresh", "neighbours"] },
            }));
        }
    }
    let alt = |n| {
        if hebrew { format!("תמונה {n} של הפוסט") } else { format!("Picture {n} of the post") }
    };
    json!({ "variants": written, "alt_texts": (1..=asked.pictures).map(alt).collect::<Vec<_>>() })
}

/// What is to be seen at each picture, and that what is said is said.
fn review(asked: &Asked) -> Value {
    let told: Value = serde_json::from_str(&asked.text).unwrap_or_default();
    let hebrew = told["language"] == "Hebrew";
    let words = |he: &'static str, en: &'static str| if hebrew { he } else { en };
    let frames = told["frames"].as_array().map_or(&[][..], Vec::as_slice);
    let finding = |kind: &str, at: &Value, detail: &str| json!({ "kind": kind, "severity": "info", "at_ms": at, "detail": detail });
    let mut findings: Vec<_> = frames
        .iter()
        .map(|frame| finding("shows", &frame["at_ms"], words("צבע אחד", "One colour.")))
        .collect();
    if told["transcript"].as_str().is_some_and(|said| !said.is_empty()) {
        findings.push(finding(
            "suggestion",
            &Value::Null,
            words("הוסיפו כתוביות", "Add captions to what is said."),
        ));
    }
    json!({ "summary": words("סרט קצר", "A short film."), "findings": findings })
}

/// Of each figure what it is, and what became of it.
fn results(asked: &Asked) -> Value {
    let told: Value = serde_json::from_str(&asked.text).unwrap_or_default();
    let hebrew = told["language"] == "Hebrew";
    let figures: Value =
        told["figures"].as_str().and_then(|it| serde_json::from_str(it).ok()).unwrap_or_default();
    let statement = |figure: &Value| {
        let of = |name: &str| figure["stand_ins"][name].as_str().unwrap_or_default();
        let (metric, value) = (figure["metric"].as_str().unwrap_or_default().replace('_', " "), of("value"));
        let text = match (figure["change"].as_str().unwrap_or_default(), hebrew) {
            ("rose", false) => format!("The number of {metric} rose from {} to {value}.", of("before")),
            ("fell", false) => format!("The number of {metric} fell from {} to {value}.", of("before")),
            (_, false) => format!("The number of {metric} is {value}."),
            ("rose", true) => format!("המספר של {metric} עלה ל־{value}."),
            ("fell", true) => format!("המספר של {metric} ירד ל־{value}."),
            (_, true) => format!("המספר של {metric} הוא {value}."),
        };
        json!({ "figure": figure["id"], "change": figure["change"], "text": text })
    };
    let statements: Vec<Value> = figures.as_array().into_iter().flatten().take(8).map(statement).collect();
    let advice = if hebrew { "נסו לפרסם בבוקר." } else { "Try to publish in the morning." };
    json!({ "statements": statements, "advice": [advice] })
}

fn caption(n: u64, hebrew: bool, brief: &str, most: usize) -> String {
    let opening = match (hebrew, n % 3) {
        (true, 1) => "בואו לראות:",
        (true, 2) => "חדש אצלנו:",
        (true, _) => "אל תפספסו:",
        (false, 1) => "Come and see:",
        (false, 2) => "New with us:",
        (false, _) => "Not to be missed:",
    };
    // whole words, so that no stand-in is cut in two
    let mut caption = opening.to_owned();
    for word in brief.split_whitespace() {
        if caption.chars().count() + word.chars().count() + 40 > most.min(300) {
            break;
        }
        caption.push(' ');
        caption.push_str(word);
    }
    caption
}

/// The least that has this shape.
fn filled(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|all| all.first()) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            Value::Object(
                properties.map(|(name, shape)| (name.clone(), filled(shape))).collect::<Map<_, _>>(),
            )
        }
        Some("array") => json!([filled(&schema["items"])]),
        Some("number" | "integer") => json!(0),
        Some("boolean") => json!(false),
        Some("string") => json!("text"),
        _ => Value::Null,
    }
}
