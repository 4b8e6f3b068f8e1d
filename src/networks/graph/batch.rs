//! Several reads in one call: up to fifty parts, each answered as it would be alone. "Batch Requests" of Meta's documents.
//!
//! It saves the way there and back; of the limits each part takes as much as it would alone.

use jobs::{contract::Failure, desk::Call};
use reqwest::StatusCode;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{Graph, below};
use crate::networks::http::{self, Deadline, Fault, Phase, Reply};

impl Graph {
    /// Reads below each of these paths by one query. One answer for each, in their order: where the whole call fails each of
    /// them has failed.
    pub(super) async fn read_all(
        &self,
        call: &Call<'_>,
        deadline: Deadline,
        paths: &[Vec<&str>],
        query: &[(&str, &str)],
    ) -> Vec<Result<Value, Failure>> {
        let part = |path: &Vec<&str>| json!({ "method": "GET", "relative_url": self.relative(path, query) });
        let batch = Value::Array(paths.iter().map(part).collect()).to_string();
        // the parts that bear no token of their own have this one, which a batch has in its body
        let token = ("access_token", call.token.expose_secret());
        let form = [token, ("batch", batch.as_str()), ("include_headers", "false")];
        match self.post(Phase::Read, call, deadline, &[], &form).await.map_err(Fault::into_failure) {
            Ok(answer) => (0..paths.len()).map(|n| self.part(call, &answer[n])).collect(),
            Err(failure) => vec![Err(failure); paths.len()],
        }
    }

    /// An address as a part has it: below that of the call.
    fn relative(&self, path: &[&str], query: &[(&str, &str)]) -> String {
        let mut url = below(&self.base, path);
        url.query_pairs_mut().extend_pairs(query);
        let path = url.path().strip_prefix(self.base.path()).unwrap_or_else(|| url.path());
        format!("{}?{}", path.trim_start_matches('/'), url.query().unwrap_or_default())
    }

    /// A part that was not finished in time is not there.
    fn part(&self, call: &Call<'_>, part: &Value) -> Result<Value, Failure> {
        let status = part["code"].as_u64().and_then(|code| u16::try_from(code).ok());
        let status = status.and_then(|code| StatusCode::from_u16(code).ok());
        let (Some(status), Some(body)) = (status, part["body"].as_str()) else {
            return Err(http::unreadable(Phase::Read, "a part of the answer is not there").into_failure());
        };
        self.heard(Phase::Read, call, &Reply::part(status, body)).map_err(Fault::into_failure)
    }
}

#[cfg(test)]
mod tests {
    use jobs::contract::Class;
    use secrecy::SecretString;

    use super::*;
    use crate::networks::{
        doubles::{NoMedia, call},
        graph::tests::graph,
    };

    #[test]
    fn a_parts_address_is_below_that_of_the_call_and_bears_no_token() {
        let query = [("metric", "views,reach"), ("period", "lifetime")];
        let address = graph("secret").relative(&["1_2", "insights"], &query);
        assert_eq!(address, "1_2/insights?metric=views%2Creach&period=lifetime");
    }

    #[test]
    fn each_part_is_read_as_it_would_be_alone_and_one_that_is_not_there_passes() {
        let (graph, token) = (graph("secret"), SecretString::from("t"));
        let read = |part: &Value| graph.part(&call(&token, &NoMedia), part);
        let good = json!({ "code": 200, "body": "{\"data\":[]}" });
        assert_eq!(read(&good), Ok(json!({ "data": [] })));
        let gone = json!({ "code": 400, "body": "{\"error\":{\"code\":100,\"error_subcode\":33,\"message\":\"no\"}}" });
        let failure = read(&gone).expect_err("refused");
        assert_eq!((failure.class, failure.code.as_str()), (Class::Permanent, "100/33"));
        for odd in [
            json!(null),
            json!({ "code": 200 }),
            json!({ "code": 200, "body": "{" }),
            json!({ "body": "{}" }),
        ] {
            let failure = read(&odd).expect_err("nothing is said");
            assert_eq!((failure.class, failure.code.as_str()), (Class::Transient, "unreadable"), "{odd}");
        }
    }
}
