//! Asking the provider one thing: what was answered before is given again, what it can cost is set aside first, and what
//! came of it is kept, whatever it was.

use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    Analyses, Analysis, Analyst, Asked, Cut, End, Heard, Outcome, Part, Question, Reserved, Sent, Settled,
    caption::Unusable,
    money::{Micros, Tariff, Usage},
};
use crate::{
    contract::{Class, Done, Failure, JobError},
    desk::Desk,
    fp,
    gate::{Allowance, Lane, Notice, Visit},
};

/// One question, to its last word. What takes longer is taken for lost.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);
/// What was set aside for a question that its worker never came back to is another's after this.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(3);
/// The wait for a limit whose end the provider does not name.
const UNTIMED: Duration = Duration::from_secs(30);
/// The house's account is used up: nobody asks again before this.
const NO_QUOTA: Duration = Duration::from_mins(15);

/// What comes instead of an answer.
#[derive(Debug)]
pub enum Step {
    /// The analysis is over.
    Ended(End),
    /// It goes on later.
    Wait(Done),
}

impl Step {
    /// An ending of the house's own.
    pub fn ended(outcome: Outcome, code: &str, why: &str) -> Self {
        Self::Ended(End::without(outcome, Failure::new(Class::Permanent, code, why)))
    }
}

/// One thing that is asked.
#[derive(Debug)]
pub enum Errand<'a> {
    /// A question to the model.
    Question(&'a Question),
    /// What is said in a sound of so many seconds.
    Speech {
        /// It.
        sound: &'a Part,
        /// Its length.
        seconds: u64,
    },
    /// Whether something may be shown.
    Moderation(&'a Part),
}

impl Errand<'_> {
    fn prompt(&self) -> &'static str {
        match self {
            Self::Question(question) => question.prompt.id,
            Self::Speech { .. } => "transcript.1",
            Self::Moderation(_) => "moderation.1",
        }
    }

    fn model<'a>(&self, analyst: &'a dyn Analyst) -> &'a str {
        match self {
            Self::Question(_) => analyst.model(),
            Self::Speech { .. } => analyst.speech_model(),
            Self::Moderation(_) => analyst.moderation_model(),
        }
    }

    fn sent(&self) -> Vec<Sent> {
        match self {
            Self::Question(question) => question.sent(),
            Self::Speech { sound, .. } => vec![sound.sent()],
            Self::Moderation(part) => vec![part.sent()],
        }
    }

    /// What has the same is the same thing, wherever in a film it stands.
    fn digest(&self) -> [u8; 32] {
        match self {
            Self::Question(question) => question.digest(),
            Self::Speech { sound: part, .. } | Self::Moderation(part) => {
                Sha256::digest(part.sent().sha256).into()
            }
        }
    }

    fn most(&self, tariff: &Tariff) -> Micros {
        match self {
            Self::Question(question) => question.most(tariff),
            Self::Speech { seconds, .. } => tariff.of_speech(*seconds),
            // it takes nothing for that
            Self::Moderation(_) => Micros(0),
        }
    }

    fn cost(&self, tariff: &Tariff, usage: Usage) -> Micros {
        match self {
            Self::Question(_) => tariff.of(usage),
            Self::Speech { .. } | Self::Moderation(_) => self.most(tariff),
        }
    }

    async fn ask(&self, analyst: &dyn Analyst, call: Uuid) -> Heard {
        match self {
            Self::Question(question) => analyst.ask(call, question, ANSWER_WITHIN).await,
            Self::Speech { sound, .. } => analyst.transcribe(call, sound, ANSWER_WITHIN).await,
            Self::Moderation(part) => analyst.moderate(call, part, ANSWER_WITHIN).await,
        }
    }
}

/// An answer that can be used.
#[derive(Debug)]
pub struct Answered {
    /// What it came to.
    pub result: Value,
    /// It had been paid for before.
    pub cached: bool,
}

/// Reads an answer.
pub type Read<'a> = &'a (dyn Fn(&str) -> Result<Value, Unusable> + Sync);

/// An analysis and what it is done with.
pub struct Asking<'a> {
    /// What may be touched.
    pub desk: &'a Desk<'a>,
    /// What is kept of it.
    pub analyses: &'a dyn Analyses,
    /// It.
    pub analysis: &'a Analysis,
}

impl Asking<'_> {
    /// Asks until there is an answer that can be used; how often that may be, the ledger says.
    ///
    /// # Errors
    /// It may go better later, or the ledger is away.
    pub async fn ask(&self, errand: &Errand<'_>, read: Read<'_>) -> Result<Result<Answered, Step>, JobError> {
        let analyst = self.desk.analyst()?;
        let (prompt, model) = (errand.prompt(), errand.model(analyst));
        let digest = errand.digest();
        let mut asked = Asked { analysis: self.analysis, prompt, model, digest, useless: None };
        if let Some(answer) = self.analyses.answered(&asked).await? {
            match read(&answer) {
                Ok(result) => return Ok(Ok(Answered { result, cached: true })),
                // the rules are others since: it is asked anew
                Err(Unusable(_)) => asked.useless = Some(answer),
            }
        }
        loop {
            let call = match self.reserve(&asked, errand, analyst).await? {
                Ok(call) => call,
                Err(step) => return Ok(Err(step)),
            };
            fp!(AfterAnalysisReserved);
            let heard = errand.ask(analyst, call).await;
            fp!(AfterAnalysisAnswer);
            self.notice(&heard);
            let Hearing { settled, then } =
                self.hear(heard, |usage| errand.cost(&analyst.tariff(), usage), read);
            self.analyses.settle(call, &settled).await?;
            fp!(AfterAnalysisSettled);
            match then {
                Then::Again => {}
                Then::Done(result) => return Ok(Ok(Answered { result, cached: false })),
                Then::End(outcome, failure) => {
                    return Ok(Err(Step::Ended(End::without(outcome, failure).asked(prompt, model))));
                }
                Then::Fail(error) => return Err(error),
            }
        }
    }

    /// Passes the gate and sets aside what it can cost, or says what comes instead.
    async fn reserve(
        &self,
        asked: &Asked<'_>,
        errand: &Errand<'_>,
        analyst: &dyn Analyst,
    ) -> Result<Result<Uuid, Step>, JobError> {
        self.desk.gate.enter(visit(self.analysis.workspace_id)).await?;
        let most = errand.most(&analyst.tariff());
        Ok(match self.analyses.reserve(asked, &errand.sent(), most, FORGOTTEN_AFTER).await? {
            Reserved::Call(call) => Ok(call),
            Reserved::Busy(until) => {
                Err(Step::Wait(Done::Waiting { until, reason: "the same is being asked already".into() }))
            }
            Reserved::OverBudget(left) => {
                let why = format!("it can cost {most}, and {left} is left of what this month may cost");
                Err(Step::ended(Outcome::OverBudget, "over_budget", &why))
            }
            Reserved::InVain(outcome, failure) => {
                Err(Step::Ended(End::without(outcome, failure).asked(asked.prompt, asked.model)))
            }
            Reserved::TooOften(outcome) if outcome == "invalid" => {
                let why = "the model answered twice with something that cannot be used";
                Err(Step::ended(Outcome::Invalid, "invalid", why))
            }
            Reserved::TooOften(_) => {
                let why = "the answer was lost twice; both times it may have been paid for, and counts";
                Err(Step::ended(Outcome::Failed, "answer_lost", why))
            }
        })
    }

    fn notice(&self, heard: &Heard) {
        self.desk.gate.notice(match heard {
            Heard::Answer(..) | Heard::Refusal(..) | Heard::Cut(..) | Heard::NoQuota(_) => Notice::Well,
            Heard::Unpaid(failure) if failure.class != Class::Transient => Notice::Well,
            Heard::Unpaid(_) | Heard::Lost(_) => Notice::Ill,
        });
    }

    /// What is kept of what was heard, and what it means.
    fn hear(&self, heard: Heard, cost: impl Fn(Usage) -> Micros, read: Read<'_>) -> Hearing {
        let paid = |outcome, usage: Usage, answer| Settled {
            outcome,
            usage: Some(usage),
            cost: Some(cost(usage)),
            answer,
            error: None,
        };
        let in_vain = |outcome, usage, end, failure: Failure| Hearing {
            settled: Settled { error: Some(failure.clone()), ..paid(outcome, usage, None) },
            then: Then::End(end, failure),
        };
        let unheard = |outcome, cost| Settled { outcome, usage: None, cost, answer: None, error: None };
        let free = |outcome| unheard(outcome, Some(Micros(0)));
        match heard {
            Heard::Answer(answer, usage) => match read(&answer) {
                Ok(result) => {
                    Hearing { settled: paid("answered", usage, Some(answer)), then: Then::Done(result) }
                }
                // how it was wrong says nothing to anybody: it is asked anew
                Err(Unusable(_)) => Hearing { settled: paid("invalid", usage, None), then: Then::Again },
            },
            Heard::Refusal(words, usage) => {
                let failure =
                    Failure::new(Class::Permanent, "refused", format!("the model would not: {words}"));
                in_vain("refused", usage, Outcome::Refused, failure)
            }
            Heard::Cut(cut, usage) => {
                let failure = Failure::new(Class::Permanent, code_of(cut), words_of(cut));
                in_vain("cut", usage, Outcome::Cut, failure)
            }
            Heard::NoQuota(failure) => {
                self.desk.gate.notice(Notice::Rest(Lane::App, NO_QUOTA));
                Hearing { settled: free("quota"), then: Then::End(Outcome::Quota, failure) }
            }
            Heard::Unpaid(failure) => Hearing { settled: free("unpaid"), then: self.unpaid(failure) },
            Heard::Lost(failure) => Hearing {
                settled: unheard("lost", None),
                then: Then::Fail(JobError::Unavailable(Failure { class: Class::Transient, ..failure })),
            },
        }
    }

    fn unpaid(&self, failure: Failure) -> Then {
        match failure.class {
            Class::Transient | Class::Unknown => Then::Fail(JobError::Unavailable(failure)),
            Class::Rate => {
                let rest = failure.rest.unwrap_or(UNTIMED);
                self.desk.gate.notice(Notice::Rest(Lane::App, rest));
                Then::Fail(JobError::Throttled(Failure { rest: None, ..failure }, rest))
            }
            // the house's key or the question itself: another time would be no other
            Class::Auth | Class::Permission | Class::Permanent => Then::End(Outcome::Failed, failure),
        }
    }
}

struct Hearing {
    settled: Settled,
    then: Then,
}

enum Then {
    Done(Value),
    Again,
    End(Outcome, Failure),
    Fail(JobError),
}

fn code_of(cut: Cut) -> &'static str {
    match cut {
        Cut::TooLong => "too_long",
        Cut::Filtered => "filtered",
    }
}

fn words_of(cut: Cut) -> &'static str {
    match cut {
        Cut::TooLong => {
            "the model's answer grew longer than it may, and was cut: ask for fewer networks or pictures"
        }
        Cut::Filtered => "a filter of the provider's stopped the answer: write the brief otherwise",
    }
}

/// The provider is a network with one app and no accounts: it rests, or is broken, for all alike.
fn visit(workspace: Uuid) -> Visit<'static> {
    let allowance = Allowance { app: "openai", app_rate: None, workspace_rate: None, account_rate: None };
    Visit { network: "openai", account: workspace, allowance, calls: 0, comes_back: true }
}
