//! Field selection and paging, as Graph does them.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Map, Value, json};

use super::params::Params;
use super::{Asked, GraphError};

/// A time as Graph writes it: `+0000`, not `Z`.
pub fn time(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S+0000").to_string()
}

/// The names in `fields`, without what they carry in brackets: `comments.limit(0){id}` is `comments`.
pub fn names(fields: &str) -> Vec<String> {
    let (mut names, mut name, mut depth) = (Vec::new(), String::new(), 0_u32);
    for letter in fields.chars() {
        match letter {
            '{' | '(' => depth += 1,
            '}' | ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => names.push(std::mem::take(&mut name)),
            _ if depth == 0 => name.push(letter),
            _ => {}
        }
    }
    names.push(name);
    let bare = |name: String| name.split('.').next().unwrap_or_default().trim().to_owned();
    names.into_iter().map(bare).filter(|name| !name.is_empty()).collect()
}

/// Picks the wanted fields, `id` always among them. A field that the node type does not have is an error;
/// one that this object lacks is left out.
pub fn pick(asked: &Asked, node: &str, default: &str, object: &Value) -> Result<Value, GraphError> {
    let wanted = names(&asked.params.text("fields").unwrap_or_else(|| default.to_owned()));
    let mut picked = Map::new();
    for name in wanted.iter().map(String::as_str).chain(["id"]) {
        match object.get(name) {
            Some(Value::Null) => {}
            Some(value) => {
                picked.insert(name.to_owned(), value.clone());
            }
            None => {
                return Err(GraphError::parameter(format!(
                    "Tried accessing nonexisting field ({name}) on node type ({node})"
                )));
            }
        }
    }
    Ok(Value::Object(picked))
}

/// What a list call wants of its list.
#[derive(Debug)]
pub struct Page {
    limit: usize,
    after: Option<String>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    params: Params,
    token: Option<String>,
}

impl Page {
    /// Reads `limit`, `after`, `since` and `until`.
    pub fn of(asked: &Asked) -> Result<Self, GraphError> {
        let limit = asked.params.number("limit").unwrap_or(25);
        let limit =
            usize::try_from(limit).map_err(|_| GraphError::parameter("limit must not be negative"))?;
        Ok(Self {
            limit: limit.min(100),
            after: asked.params.text("after"),
            since: moment(asked, "since")?,
            until: moment(asked, "until")?,
            params: asked.params.clone(),
            token: asked.token.clone(),
        })
    }

    /// Cuts the page out of a list that is newest first; each item comes with its id and time.
    pub fn cut<I, T>(&self, items: I, url: &str) -> (Vec<T>, Value)
    where
        I: Iterator<Item = (String, DateTime<Utc>, T)>,
    {
        let mut past = self.after.is_none();
        let mut wanted = items
            .skip_while(|(id, _, _)| {
                let skip = !past;
                past = past || self.after.as_ref() == Some(id);
                skip
            })
            .filter(|(_, at, _)| self.since.is_none_or(|since| *at >= since))
            .filter(|(_, at, _)| self.until.is_none_or(|until| *at <= until))
            .peekable();
        let mut page = Vec::new();
        let (mut first, mut last) = (None, String::new());
        while page.len() < self.limit
            && let Some((id, _, item)) = wanted.next()
        {
            first.get_or_insert_with(|| id.clone());
            last = id;
            page.push(item);
        }
        let mut paging = json!({});
        if let Some(first) = first {
            paging["cursors"] = json!({ "before": first, "after": last });
            if wanted.peek().is_some() {
                let query = self.params.for_next(self.token.as_deref(), self.limit, &last);
                paging["next"] = format!("{url}?{query}").into();
            }
        }
        (page, paging)
    }
}

/// A moment: seconds since 1970, a date, or a time.
fn moment(asked: &Asked, name: &str) -> Result<Option<DateTime<Utc>>, GraphError> {
    let Some(text) = asked.params.text(name) else { return Ok(None) };
    let seconds = text.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let day = || Some(text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0)?.and_utc());
    let time = || text.parse().ok();
    let found = seconds.or_else(day).or_else(time);
    found.map(Some).ok_or_else(|| GraphError::parameter(format!("{name} is not a time")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_fields_count_as_one() {
        let wanted = names("id,attachments{target,media_type},reactions.summary(a,b).limit(0),message");
        assert_eq!(wanted, ["id", "attachments", "reactions", "message"]);
    }
}
