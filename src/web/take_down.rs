//! Taking down what is public, for the API and the console alike: what a network allows, and what is said where it does
//! not.

use std::sync::Arc;

use jobs::{machine::State, surface::TakeDown};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{App, intake::take_down::answer, problem::Problem};
use crate::ledger::{
    audit::Who,
    idempotency::{Asked, Once},
    posts::{Post, Publication},
    take_down::{AskedFor, Asking, TakeDownState, Untaken},
};

/// A wish to take something down.
pub struct Wish {
    /// Whose the publication must be.
    pub workspace_id: Uuid,
    /// The publication.
    pub publication_id: Uuid,
    /// Who wishes it.
    pub asked_by: Uuid,
    /// Why, as it was written.
    pub reason: Option<String>,
    /// What it is written down under.
    pub who: Who,
}

/// How a publication that is public is taken down.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = TakeDownOffer)]
pub struct Offer {
    /// The publication.
    pub publication_id: Uuid,
    /// Its network.
    pub platform: String,
    /// Where to `POST` the wish; `null`: the network lets only people remove it.
    pub address: Option<String>,
    /// Who removes it there, and how, where only people can.
    pub how: Option<String>,
    /// Where the post is to be seen.
    pub permalink: Option<String>,
}

impl App {
    /// Asks for a publication to be taken down. Once begun it goes on to its end, whether or not somebody still waits.
    ///
    /// # Errors
    /// The ledger is away, or worse.
    pub async fn take_down(
        self: &Arc<Self>,
        wish: Wish,
        asked: Option<Asked>,
    ) -> Result<Once<Result<AskedFor, Untaken>>, Problem> {
        let app = Arc::clone(self);
        let asking = tokio::spawn(async move {
            let Wish { workspace_id, publication_id, asked_by, reason, who } = wish;
            let (asked, reason) = (asked.as_ref(), reason.as_deref());
            let asking = Asking { workspace_id, publication_id, asked_by, reason, asked, answer };
            let allows = |platform: &str, surface: &str| app.allows(platform, surface);
            let written = app.within(workspace_id).of(who).ask_take_down(&asking, allows).await?;
            if let Once::Done(Ok(AskedFor { due: Some(due), .. })) = &written {
                (app.house.nudge)(vec![due.clone()]);
            }
            Ok::<_, Problem>(written)
        });
        asking.await?
    }

    /// Whether we can take such a thing down; else who can.
    fn allows(&self, platform: &str, surface: &str) -> Result<(), String> {
        match self.way(platform, surface) {
            Some(TakeDown::Api { .. }) => Ok(()),
            Some(TakeDown::ByHand { how }) => Err(how.to_owned()),
            None => Err(format!(
                "{platform} is not switched on here: whoever runs postroom sets its variables, or somebody deletes the \
                 post at the network."
            )),
        }
    }

    fn way(&self, platform: &str, surface: &str) -> Option<TakeDown> {
        let platform = self.rules.platforms.iter().find(|it| it.name == platform)?;
        platform.surface(surface).map(|it| it.take_down)
    }

    /// How this publication can be taken down; `None`: it is not public, or is being taken down.
    pub fn offer(&self, it: &Publication) -> Option<Offer> {
        let over = it.taken_down.as_ref().is_some_and(|it| it.state != TakeDownState::Refused);
        if it.state != State::Published || over {
            return None;
        }
        let how = self.allows(&it.platform, &it.surface).err();
        let address = how.is_none().then(|| format!("/api/v1/publications/{}/take-down", it.id));
        Some(Offer {
            publication_id: it.id,
            platform: it.platform.clone(),
            address,
            how,
            permalink: it.permalink.clone(),
        })
    }

    /// How what is public of a post can be taken down.
    pub fn offers(&self, post: &Post) -> Vec<Offer> {
        post.publications.iter().filter_map(|it| self.offer(it)).collect()
    }
}

/// A refusal as the API and the console say it.
pub fn refused(why: &Untaken) -> Problem {
    match why {
        Untaken::Missing => Problem::not_found("publication"),
        Untaken::NotPublic(state @ ("failed" | "cancelled")) => Problem::conflict(format!(
            "It is {state}: nothing of it is public, so there is nothing to take down."
        )),
        Untaken::NotPublic(state) => Problem::conflict(format!(
            "It is {state}, not published: there is nothing to take down yet. Cancel the post instead."
        )),
        Untaken::ByHand(how, permalink) => {
            let place = permalink.as_ref().map(|url| format!(" The post: {url}")).unwrap_or_default();
            Problem::by_hand(format!("{how}{place}"))
        }
        Untaken::Account(state) => Problem::conflict(format!(
            "Its account is {state}, so nothing can be removed there from here. Its owner connects it again first, or \
             deletes the post at the network."
        )),
        Untaken::Nameless => Problem::conflict(
            "The network never said what it calls this post, so no request can name it. Look for it on the account, \
             and delete it there.",
        ),
    }
}
