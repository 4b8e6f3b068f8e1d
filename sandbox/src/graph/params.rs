//! Parameters of a Graph call, wherever they were put: query, form, JSON or multipart.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Multipart};
use http::{HeaderMap, Request, header};
use serde_json::Value;

use super::GraphError;

/// The largest body that is read into memory.
const LIMIT: usize = 512 << 20;

/// The parameters of one call.
#[derive(Debug, Clone, Default)]
pub struct Params {
    values: BTreeMap<String, Value>,
    /// The file of a multipart body, or a body that is nothing but bytes.
    pub file: Option<Bytes>,
}

impl Params {
    /// Reads the parameters of a request. A body that is neither form, JSON nor multipart is a file.
    pub async fn read(request: Request<Body>) -> Result<Self, GraphError> {
        let mut params = Self::default();
        let query = request.uri().query().unwrap_or_default().to_owned();
        params.read_pairs(query.as_bytes());
        let kind = content_type(request.headers());
        if kind.starts_with("multipart/form-data") {
            params.read_multipart(request).await?;
            return Ok(params);
        }
        let body = axum::body::to_bytes(request.into_body(), LIMIT).await.map_err(unreadable)?;
        match kind.as_str() {
            "application/json" => params.read_json(&body)?,
            "application/x-www-form-urlencoded" => params.read_pairs(&body),
            _ if body.is_empty() => {}
            _ => params.file = Some(body),
        }
        Ok(params)
    }

    /// Those of a part of several calls: its own, and the proof that came with all of them.
    pub fn of_part(query: &str, whole: &Self) -> Self {
        let mut params = Self::default();
        params.read_pairs(query.as_bytes());
        for name in ["appsecret_proof", "appsecret_time"] {
            if let Some(value) = whole.values.get(name) {
                params.values.entry(name.to_owned()).or_insert_with(|| value.clone());
            }
        }
        params
    }

    /// Refuses a parameter that the call does not have. Lists may come with numbers: `attached_media[0]`.
    pub fn only(&self, known: &[&str]) -> Result<(), GraphError> {
        let of_every_call = ["access_token", "appsecret_proof", "appsecret_time", "fields", "summary"];
        let bare = |name: &str| name.split('[').next().unwrap_or_default().to_owned();
        let unknown = self.values.keys().find(|name| {
            let name = bare(name);
            !known.contains(&name.as_str()) && !of_every_call.contains(&name.as_str())
        });
        match unknown {
            None => Ok(()),
            Some(name) => Err(GraphError::parameter(format!("The parameter {name} is not known here"))),
        }
    }

    /// A parameter that must be there.
    pub fn required(&self, name: &str) -> Result<String, GraphError> {
        let missing = || GraphError::parameter(format!("The parameter {name} is required"));
        self.text(name).filter(|text| !text.is_empty()).ok_or_else(missing)
    }

    /// A parameter as text; numbers and booleans are written out.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.values.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        }
    }

    /// A parameter that is one of a few words, in whatever case it came.
    pub fn word(&self, name: &str) -> Option<String> {
        self.text(name).map(|text| text.to_ascii_lowercase())
    }

    /// A list call's query for its next page: as it came, its token included, but for where the page begins.
    pub fn for_next(&self, token: Option<&str>, limit: usize, after: &str) -> String {
        let limit = limit.to_string();
        let own = [("access_token", token), ("limit", Some(limit.as_str())), ("after", Some(after))];
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for name in self.values.keys().filter(|name| own.iter().all(|(own, _)| own != name)) {
            query.append_pair(name, &self.text(name).unwrap_or_default());
        }
        query.extend_pairs(own.iter().filter_map(|(name, value)| Some((name, (*value)?)))).finish()
    }

    /// A parameter that is true or false.
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.text(name)?.as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    /// A parameter that is a whole number.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// A list, given as JSON, as JSON in text, as indexed fields `name[0]`, or with commas.
    pub fn list(&self, name: &str) -> Vec<Value> {
        let indexed: Vec<_> = (0..)
            .map_while(|index| self.values.get(&format!("{name}[{index}]")))
            .map(|value| {
                value.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or(value.clone())
            })
            .collect();
        match self.values.get(name) {
            None => indexed,
            Some(Value::Array(items)) => items.clone(),
            Some(Value::String(text)) => match serde_json::from_str(text) {
                Ok(Value::Array(items)) => items,
                Ok(_) | Err(_) => text.split(',').map(|part| part.trim().into()).collect(),
            },
            Some(other) => vec![other.clone()],
        }
    }

    fn read_pairs(&mut self, pairs: &[u8]) {
        for (name, value) in url::form_urlencoded::parse(pairs) {
            self.values.insert(name.into_owned(), Value::String(value.into_owned()));
        }
    }

    fn read_json(&mut self, body: &[u8]) -> Result<(), GraphError> {
        let values: BTreeMap<String, Value> = serde_json::from_slice(body)
            .map_err(|_| GraphError::parameter("The body is not a JSON object"))?;
        self.values.extend(values);
        Ok(())
    }

    async fn read_multipart(&mut self, request: Request<Body>) -> Result<(), GraphError> {
        let mut parts = Multipart::from_request(request, &()).await.map_err(unreadable)?;
        while let Some(part) = parts.next_field().await.map_err(unreadable)? {
            let name = part.name().unwrap_or_default().to_owned();
            if part.file_name().is_some() || name == "source" {
                self.file = Some(part.bytes().await.map_err(unreadable)?);
            } else {
                self.values.insert(name, Value::String(part.text().await.map_err(unreadable)?));
            }
        }
        Ok(())
    }
}

fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn unreadable(error: impl std::fmt::Display) -> GraphError {
    GraphError::parameter(format!("The body could not be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn attached_media_is_read_from_form_and_json_alike() {
        let form = Request::post("/?published=false")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from("attached_media%5B0%5D=%7B%22media_fbid%22%3A%221%22%7D"))
            .expect("request");
        let json = Request::post("/?published=false")
            .header("content-type", "application/json; charset=utf-8")
            .body(Body::from(r#"{"attached_media":[{"media_fbid":"1"}]}"#))
            .expect("request");
        for request in [form, json] {
            let params = Params::read(request).await.expect("parameters");
            assert_eq!(params.flag("published"), Some(false));
            assert_eq!(params.list("attached_media")[0]["media_fbid"], "1");
        }
    }
}
