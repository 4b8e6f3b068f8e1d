//! Telling a workspace's own software of an event, at an address that it gave.
//!
//! What is told is what is true when it is told; the id of the event stays the same, so that whoever is told twice, as after
//! a crash, sees that it is the same. Whatever is no 2xx is tried again for days, ever more seldom.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    contract::{Class, Done, Failure, Job, JobError, Retry},
    deliveries::{Answered, Came, Then},
    desk::Desk,
    fp,
};

/// From the look-up of the name to the end of the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// An address that answers this wants no more.
const GONE: u16 = 410;

/// The payload: which delivery.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Webhook {
    /// An event on its way to one address.
    pub delivery_id: Uuid,
}

impl Job for Webhook {
    const KIND: &'static str = "webhook";
    /// Somebody's server may be away over a long weekend. A day longer than it takes to disable a webhook, so that one that
    /// takes nothing is tried behind that moment, and disabled, before the last of its events is given up.
    const RETRY: Retry = Retry {
        base: Duration::from_secs(10),
        cap: Duration::from_hours(12),
        attempts: 100,
        within: Duration::from_hours(6 * 24),
    };
    const LIMIT: Duration = Duration::from_secs(30);

    async fn run(&self, desk: &Desk<'_>) -> Result<Done, JobError> {
        let (deliveries, courier) = (desk.deliveries()?, desk.courier()?);
        let Some(parcel) = deliveries.look(self.delivery_id).await? else { return Ok(Done::nothing()) };
        let answered = courier.bring(&parcel, desk.clock.now(), ANSWER_WITHIN).await;
        fp!(AfterWebhookAnswer);
        let came = came(answered);
        let then = deliveries.tried(self.delivery_id, &came).await?;
        match (then, came) {
            (Then::Again, Came::Not { failure, .. }) => Err(JobError::Unavailable(failure)),
            (Then::Over | Then::Again, Came::Taken(status) | Came::Unwanted(status)) => {
                Ok(Done::Finished { output: json!({ "status": status }), then: vec![] })
            }
            (Then::Over, Came::Not { failure, .. }) => {
                Ok(Done::Finished { output: json!({ "given_up": failure.code }), then: vec![] })
            }
        }
    }
}

/// What an answer means: only 2xx is a yes, and a redirect is none.
fn came(answered: Result<Answered, Failure>) -> Came {
    match answered {
        Ok(Answered { status, .. }) if (200..300).contains(&status) => Came::Taken(status),
        Ok(Answered { status: GONE, .. }) => Came::Unwanted(GONE),
        Ok(Answered { status, rest }) => {
            let why = format!("the address answered {status}");
            let failure = Failure::new(Class::Transient, format!("http_{status}"), why).resting(rest);
            Came::Not { status: Some(status), failure }
        }
        // whatever it was, the next try may do better
        Err(failure) => Came::Not { status: None, failure: Failure { class: Class::Transient, ..failure } },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_2xx_is_a_yes_and_only_410_is_a_no_for_good() {
        let of = |status, rest| came(Ok(Answered { status, rest }));
        for status in [200, 202, 204, 299] {
            assert_eq!(of(status, None), Came::Taken(status));
        }
        assert_eq!(of(410, Some(Duration::from_secs(9))), Came::Unwanted(410));
        for status in [199, 301, 307, 400, 401, 404, 429, 500, 503] {
            let Came::Not { status: said, failure } = of(status, Some(Duration::from_secs(9))) else {
                panic!("{status} is no yes")
            };
            assert_eq!((said, failure.rest), (Some(status), Some(Duration::from_secs(9))));
            assert_eq!((failure.class, failure.code), (Class::Transient, format!("http_{status}")));
        }
        let private = Failure::new(Class::Permanent, "private_address", "it is private");
        let Came::Not { status: None, failure } = came(Err(private)) else { panic!("no answer is no yes") };
        assert_eq!(failure.class, Class::Transient);
    }

    #[test]
    fn it_is_tried_for_days_and_no_wait_is_longer_than_a_tenth_of_them() {
        let retry = Webhook::RETRY;
        assert_eq!(retry.within, Duration::from_hours(144));
        assert!(retry.cap * 10 <= retry.within);
        // with waits of middling length, far fewer attempts than there are
        let (mut waited, mut spent) = (Duration::ZERO, 0);
        while waited < retry.within {
            spent += 1;
            waited += retry.wait(spent, 0.5).expect("attempts are left");
        }
        assert!((20..60).contains(&spent), "{spent} attempts in six days");
    }
}
