//! Connecting accounts: what a network's dialog gave is exchanged for access, what that opens is offered, and what
//! somebody chose of it is connected.
//!
//! Nobody but a worker opens a code or a token. A code works once, so a worker that dies between the network's answer and
//! the vault has lost it: then the connection comes to nothing and is begun again. From the vault on everything can be
//! repeated, and the accounts are connected all at once or not at all.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    connections::{Connecting, Connections, Exchange, Granted, Offers, Stage, Standing, Taken},
    contract::{Class, Done, Failure, Job, JobError, Retry},
    desk::{Call, Desk, Network, off},
    fp,
    gate::Visit,
};

/// One exchange.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(15);
/// Everything that is read of a grant: its Pages, and those of businesses.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The payload: which connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connect {
    /// The connection.
    pub connection_id: Uuid,
}

impl Job for Connect {
    const KIND: &'static str = "connect";
    /// Somebody waits in front of a page.
    const RETRY: Retry = Retry {
        base: Duration::from_millis(500),
        cap: Duration::from_secs(10),
        attempts: 6,
        within: Duration::from_mins(10),
    };

    async fn run(&self, desk: &Desk<'_>) -> Result<Done, JobError> {
        let ledger = desk.connections()?;
        let Some(it) = ledger.look(self.connection_id).await? else { return Ok(Done::nothing()) };
        let at = match At::open(&it, desk, ledger).await {
            Err(JobError::Refused(failure)) => return refused(ledger, it.id, &failure).await,
            other => other?,
        };
        match at.go_on().await {
            // whoever waits is told why, and begins again
            Err(JobError::Refused(failure) | JobError::Unauthorised(failure)) => {
                refused(ledger, it.id, &failure).await
            }
            // a code is not asked after: whoever sends it again learns whether it was used
            Err(JobError::Unknown(failure)) => Err(JobError::Unavailable(failure)),
            other => other,
        }
    }
}

async fn refused(ledger: &dyn Connections, id: Uuid, failure: &Failure) -> Result<Done, JobError> {
    ledger.refuse(id, failure).await?;
    Ok(Done::Finished { output: json!({ "refused": failure.code }), then: vec![] })
}

/// A connection at its network.
struct At<'a> {
    it: &'a Standing,
    desk: &'a Desk<'a>,
    ledger: &'a dyn Connections,
    network: &'a dyn Network,
    connecting: &'a dyn Connecting,
}

impl<'a> At<'a> {
    /// Asks the gate before anything is opened.
    async fn open(
        it: &'a Standing,
        desk: &'a Desk<'a>,
        ledger: &'a dyn Connections,
    ) -> Result<Self, JobError> {
        let network = desk.network(&it.platform).map_err(JobError::Unavailable)?;
        let connecting = network.connecting().ok_or_else(|| JobError::Unavailable(off(&it.platform)))?;
        let at = Self { it, desk, ledger, network, connecting };
        at.enter().await?;
        Ok(at)
    }

    /// There is no account yet whose rate it could count against.
    async fn enter(&self) -> Result<(), JobError> {
        let (network, account) = (self.it.platform.as_str(), self.it.id);
        let allowance = self.network.allowance();
        self.desk.gate.enter(Visit { network, account, allowance, calls: 0, comes_back: true }).await
    }

    fn call<'c>(&'c self, id: Option<Uuid>, token: &'c SecretString, timeout: Duration) -> Call<'c> {
        let (media, gate) = (self.desk.media, self.desk.gate);
        Call { id, account: "", token, media, gate, timeout }
    }

    async fn go_on(&self) -> Result<Done, JobError> {
        match self.it.stage {
            Stage::Coded => {
                self.exchange().await?;
                self.offer().await
            }
            Stage::Granted => self.offer().await,
            Stage::Chosen => self.take().await,
            Stage::Asked | Stage::Offered | Stage::Done | Stage::Refused => Ok(Done::nothing()),
        }
    }

    async fn exchange(&self) -> Result<(), JobError> {
        let code = self.ledger.code(self.it.id).await?;
        let begun = self.ledger.begin(self.it.id, EXCHANGE_TIMEOUT).await?;
        fp!(AfterCodeLogged);
        let call = self.call(Some(begun.call), &code, EXCHANGE_TIMEOUT);
        let answer = self.connecting.exchange(&call, &self.it.redirect_uri).await;
        fp!(AfterCodeAnswer);
        match answer {
            Exchange::Granted(fresh) => {
                self.ledger.granted(self.it, begun, fresh).await?;
                fp!(AfterGranted);
                Ok(())
            }
            Exchange::Refused(failure) => {
                self.ledger.not_granted(begun.call, &failure, true).await?;
                Err(for_good(failure).into_error())
            }
            Exchange::Unknown(failure) => {
                self.ledger.not_granted(begun.call, &failure, false).await?;
                Err(JobError::Unavailable(failure))
            }
        }
    }

    /// What the grant opens.
    async fn offers(&self) -> Result<(Granted, Offers), JobError> {
        let granted = self.ledger.grant(self.it.id).await?;
        let call = self.call(None, &granted.access, READ_TIMEOUT);
        let offers = self.connecting.offers(&call, &granted).await;
        let offers = offers.map_err(|failure| for_good(failure).into_error())?;
        Ok((granted, offers))
    }

    async fn offer(&self) -> Result<Done, JobError> {
        let (_, offers) = self.offers().await?;
        let found = offers.offered.len();
        self.ledger.offer(self.it, offers).await?;
        fp!(AfterOffered);
        Ok(Done::Finished { output: json!({ "offered": found }), then: vec![] })
    }

    /// What is true now counts, not what was offered a while ago.
    async fn take(&self) -> Result<Done, JobError> {
        let (granted, offers) = self.offers().await?;
        fp!(BeforeConnected);
        match self.ledger.take(self.it, &granted, offers).await? {
            Taken::Yes => {
                fp!(AfterConnected);
                Ok(Done::nothing())
            }
            Taken::NotNow => {
                let why = "access of the same person is being taken back; it is tried again in a moment";
                Err(JobError::Unavailable(Failure::new(Class::Transient, "revoking", why)))
            }
        }
    }
}

/// A permission that is missing, or access that is broken, ends it: whoever waits begins again.
fn for_good(mut failure: Failure) -> Failure {
    match failure.class {
        Class::Auth | Class::Permission => failure.class = Class::Permanent,
        Class::Unknown => failure.class = Class::Transient,
        Class::Transient | Class::Rate | Class::Permanent => {}
    }
    failure
}
