//! Disconnecting an account, for the API and the console alike.

use std::sync::Arc;

use super::{App, intake::accounts::disconnected, problem::Problem};
use crate::ledger::{
    audit::Who,
    idempotency::{Asked, Once},
    parting::{Disconnected, Disconnecting, Undisconnected},
};
use uuid::Uuid;

/// A wish to disconnect an account.
pub struct Wish {
    /// Whose it must be.
    pub workspace_id: Uuid,
    /// It.
    pub account_id: Uuid,
    /// Who wishes it.
    pub who: Who,
}

impl App {
    /// Disconnects an account. Once begun it goes on to its end, whether or not somebody still waits.
    ///
    /// # Errors
    /// The ledger is away, or worse.
    pub async fn disconnect(
        self: &Arc<Self>,
        wish: Wish,
        asked: Option<Asked>,
    ) -> Result<Once<Result<Disconnected, Undisconnected>>, Problem> {
        let app = Arc::clone(self);
        let wishing = tokio::spawn(async move {
            let Wish { workspace_id, account_id, who } = wish;
            let (asked, answer) = (asked.as_ref(), disconnected);
            let wish = Disconnecting { workspace_id, account_id, asked, answer };
            let written = app.within(workspace_id).of(who).disconnect(&wish).await?;
            if let Once::Done(Ok(Disconnected { due: Some(due), .. })) = &written {
                (app.house.nudge)(vec![due.clone()]);
            }
            Ok::<_, Problem>(written)
        });
        wishing.await?
    }
}

/// A refusal as the API and the console say it.
pub fn refused(why: Undisconnected) -> Problem {
    match why {
        Undisconnected::Missing => Problem::not_found("account"),
        Undisconnected::Deleting => Problem::conflict(
            "Everything about this account is being deleted, and its access with it: there is nothing to disconnect.",
        ),
    }
}
