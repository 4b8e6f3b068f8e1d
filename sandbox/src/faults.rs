//! Scripted faults: rules that say which calls go wrong, how, and how often.

mod fault;
mod rule;

use std::collections::HashMap;

use serde::Serialize;

use crate::calls::Call;

pub use fault::{Fault, GraphFault, OpenaiFault, Then, TiktokFault, Word};
pub use rule::{CALLS, Rule};

/// A rule with what it has done so far.
#[derive(Debug, Clone, Serialize)]
pub struct Active {
    /// Its id.
    pub id: u64,
    /// The rule.
    #[serde(flatten)]
    pub rule: Rule,
    /// How often it was played.
    pub hits: u64,
    #[serde(skip)]
    per_object: HashMap<String, u64>,
}

impl Active {
    /// Whether it may still be played on this object, and if so counts it.
    fn spend(&mut self, object: &str) -> bool {
        if self.rule.times.is_some_and(|times| self.hits >= times) {
            return false;
        }
        if let Some(times) = self.rule.times_per_object {
            let hits = self.per_object.entry(object.to_owned()).or_default();
            if *hits >= times {
                return false;
            }
            *hits += 1;
        }
        self.hits += 1;
        true
    }
}

/// What is to be played on one call.
#[derive(Debug, Default)]
pub struct Played {
    /// For how long reads show the state before the effect.
    pub stale_ms: Option<u32>,
    /// What goes wrong besides.
    pub fault: Option<Fault>,
}

impl Played {
    /// The faults as the call log names them.
    pub fn text(&self) -> Option<String> {
        let stale = self.stale_ms.map(|stale_read_ms| Fault::StaleRead { stale_read_ms }.text());
        let parts: Vec<_> = stale.into_iter().chain(self.fault.as_ref().map(Fault::text)).collect();
        (!parts.is_empty()).then(|| parts.join(" + "))
    }
}

/// The rules in force, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Faults {
    last_id: u64,
    rules: Vec<Active>,
}

impl Faults {
    /// Adds a rule; the first that matches a call is played.
    pub fn add(&mut self, rule: Rule) -> u64 {
        self.last_id += 1;
        self.rules.push(Active { id: self.last_id, rule, hits: 0, per_object: HashMap::new() });
        self.last_id
    }

    /// The rules with their hits.
    pub fn list(&self) -> &[Active] {
        &self.rules
    }

    /// Removes one rule, or all. Says whether there was one to remove.
    pub fn remove(&mut self, id: Option<u64>) -> bool {
        let before = self.rules.len();
        self.rules.retain(|active| id.is_some_and(|id| id != active.id));
        id.is_none() || self.rules.len() < before
    }

    /// What is to be played on this call: every stale read that matches, and the first other fault.
    pub fn take(&mut self, call: &Call) -> Played {
        let object = call.object();
        let mut played = Played::default();
        for active in self.rules.iter_mut().filter(|active| active.rule.matches(call)) {
            if let Fault::StaleRead { stale_read_ms } = active.rule.fault {
                if active.spend(&object) {
                    played.stale_ms = Some(stale_read_ms);
                }
            } else if played.fault.is_none() && active.spend(&object) {
                played.fault = Some(active.rule.fault.clone());
            }
        }
        played
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::Phase;
    use crate::model::Network;

    fn call(handle: &str) -> Call {
        Call {
            network: Some(Network::FacebookPage),
            call: "publish_post",
            phase: Phase::Commit,
            method: "POST".into(),
            path: "/".into(),
            account: Some("1".into()),
            handle: Some(handle.into()),
            caption: Some("hello world".into()),
            source: None,
            files: Vec::new(),
            call_id: None,
        }
    }

    fn rule(json: &str) -> Rule {
        serde_json::from_str(json).expect("a rule")
    }

    #[test]
    fn a_rule_per_object_hits_the_first_call_of_each() {
        let mut faults = Faults::default();
        faults.add(rule(r#"{"call":"commit","times_per_object":1,"fault":"effect_then_drop"}"#));
        let hits: Vec<_> =
            ["a", "a", "b", "b"].iter().map(|handle| faults.take(&call(handle)).fault.is_some()).collect();
        assert_eq!(hits, [true, false, true, false]);
        assert_eq!(faults.list()[0].hits, 2);
    }

    #[test]
    fn a_stale_read_goes_together_with_another_fault() {
        let mut faults = Faults::default();
        faults.add(rule(r#"{"fault":{"stale_read_ms":7}}"#));
        faults.add(rule(r#"{"fault":"effect_then_500","times":1,"caption_contains":"world"}"#));
        let played = faults.take(&call("a"));
        assert_eq!(played.stale_ms, Some(7));
        assert_eq!(played.fault, Some(Fault::Word(Word::EffectThen500)));
        assert!(faults.take(&call("a")).fault.is_none());
    }

    #[test]
    fn every_fault_of_the_script_is_understood_and_written_the_same_way() {
        for json in [
            r#""effect_then_500""#,
            r#""no_effect_then_drop""#,
            r#"{"delay_ms":5}"#,
            r#"{"answer_after_ms":5}"#,
            r#"{"effect_after_ms":5,"then":"drop"}"#,
            r#"{"effect_after_ms":5,"then":"500"}"#,
            r#"{"hang_ms":5}"#,
            r#"{"status":429,"retry_after_s":3}"#,
            r#"{"status":429,"more":{"retry-after":"Sun, 22 Nov 2026 08:00:00 GMT"}}"#,
            r#"{"headers":{"x-app-usage":"{}"}}"#,
            r#"{"read_error":true}"#,
            r#"{"container":"ERROR"}"#,
            r#"{"fail_reason":"internal"}"#,
        ] {
            let fault: Fault = serde_json::from_str(json).expect(json);
            assert_eq!(serde_json::to_string(&fault).expect(json), json);
        }
        let graph: Fault =
            serde_json::from_str(r#"{"graph":{"code":4,"subcode":2207051,"effect":true}}"#).expect("graph");
        assert!(matches!(graph, Fault::Graph { graph } if graph.effect && graph.subcode == Some(2_207_051)));
    }

    #[test]
    fn a_rule_that_names_no_call_is_refused() {
        assert!(rule(r#"{"call":"comit","fault":"redirect"}"#).check().is_err());
        assert!(rule(r#"{"call":"status_fetch","fault":"redirect"}"#).check().is_ok());
    }
}
