//! An album: a container for each slide, and then one that they are put into. `networks::instagram::making`.

use serde_json::from_value;

use super::{
    flaw::Flaw,
    holder::{Reply, Request, Slides, failure},
    network::{Role, SLIDES, Stands},
    replay::{Replay, handle_of},
    world::{Row, Rule, Setting, World},
};
use crate::{
    contract::{Class, Failure},
    desk::{Handle, KeepHandle, Readiness},
    machine::{Answer, HandleState, Move, Sight, State},
};

/// The surface that is made of slides.
pub const ALBUM: &str = "album";

/// A handle's slides, as its detail keeps them.
pub fn slides_of(handle: &Handle) -> Slides {
    from_value(handle.detail.clone()).unwrap_or([None; SLIDES])
}

impl Replay<'_> {
    /// The slides, or what they are put into where all of them are ready. After each of them what there is is kept.
    pub async fn album(&self, keep: &dyn KeepHandle) -> Result<(Handle, Readiness), Failure> {
        let earlier = keep.earlier().filter(|handle| handle.is_parts()).map_or([None; SLIDES], slides_of);
        let mut slides = [None; SLIDES];
        for (n, earlier) in earlier.into_iter().enumerate() {
            slides[n] = match earlier {
                Some(slide) if self.serves(slide).await? => Some(slide),
                Some(_) | None => Some(self.slide().await?),
            };
            keep.keep(&parts(slides)).await?;
        }
        match self.together(slides).await? {
            Sight::Ready => self.put_together(slides).await,
            Sight::Dead(failure) => Err(failure),
            Sight::Building | Sight::Processing | Sight::Public(_) => {
                Ok((parts(slides), Readiness::Building))
            }
        }
    }

    async fn serves(&self, slide: u8) -> Result<bool, Failure> {
        Ok(!matches!(self.glance(slide).await?, Sight::Dead(_)))
    }

    async fn slide(&self) -> Result<u8, Failure> {
        match self.asks(Request::MakeSlide).await {
            Reply::Slide(made) => Ok(made),
            Reply::NotMade => Err(failure(Class::Transient)),
            other => unreachable!("{other:?} is no answer to a prepare call"),
        }
    }

    async fn put_together(&self, slides: Slides) -> Result<(Handle, Readiness), Failure> {
        match self.asks(Request::MakeAlbum(slides.map(|slide| slide.expect("all were made")))).await {
            Reply::Made(made, building) => {
                let readiness = if building { Readiness::Building } else { Readiness::Ready };
                Ok((handle_of(made, false, slides), readiness))
            }
            Reply::NotMade => Err(failure(Class::Transient)),
            other => unreachable!("{other:?} is no answer to a prepare call"),
        }
    }

    /// What slides are all together; ready where there are none.
    pub async fn together(&self, slides: Slides) -> Result<Sight, Failure> {
        let mut together = Sight::Ready;
        for slide in slides.into_iter().flatten() {
            match self.glance(slide).await? {
                Sight::Ready => {}
                dead @ Sight::Dead(_) => return Ok(dead),
                other @ (Sight::Building | Sight::Processing | Sight::Public(_)) => together = other,
            }
        }
        Ok(together)
    }

    /// One look at one handle.
    pub async fn glance(&self, named: u8) -> Result<Sight, Failure> {
        match self.asks(Request::Inspect(named)).await {
            Reply::Sight(glance) => Ok(glance.sight()),
            Reply::NoSight => Err(failure(Class::Transient)),
            other => unreachable!("{other:?} is no answer to a read"),
        }
    }

    /// The network will fetch the files: its name for the post is kept before anything else is done.
    pub async fn named(&self, call: u8) -> Answer {
        match self.asks(Request::Name(call)).await {
            Reply::Done => Answer::Accepted,
            _ => Answer::Unknown(failure(Class::Unknown)),
        }
    }

    /// The network will not fetch them: that counts once the origin confirms that nothing was fetched.
    pub async fn refused_unfetched(&self, handle: &Handle, forever: bool) -> Answer {
        let class = if forever { Class::Permanent } else { Class::Transient };
        match self.asks(Request::Close(handle.id.parse().expect("it was made of a number"))).await {
            Reply::Vouched(true) => Answer::Refused { failure: failure(class), handle_dead: true },
            _ => Answer::Unknown(failure(Class::Unknown)),
        }
    }
}

/// A handle that holds these slides and nothing that they were put into.
fn parts(slides: Slides) -> Handle {
    handle_of(slides[0].expect("there is one"), true, slides)
}

impl World {
    /// Stores the slides that there are so far.
    pub fn keep_slides(&mut self, worker: usize, slides: Slides) -> Reply {
        if !self.holds(worker) || self.row.state != State::Preparing {
            return Reply::Fenced;
        }
        self.row = Row { named: slides[0], parts: true, slides, handle: HandleState::Building, ..self.row };
        Reply::Done
    }

    /// T5, with slides that are not all ready.
    pub fn prepared_slides(&mut self, set: &Setting, worker: usize, slides: Slides) -> Reply {
        let made_of = self.looked_version(worker);
        if !self.moves(set, worker, Move::Build) {
            return Reply::Fenced;
        }
        let handle = HandleState::Building;
        self.row = Row { named: slides[0], parts: true, slides, handle, made_of, ..self.row };
        Reply::Done
    }

    /// The slides that were put into this handle.
    pub fn slides_in(&self, handle: u8) -> Slides {
        match self.things[usize::from(handle)].role {
            Role::Album(slides) => slides.map(Some),
            Role::Whole | Role::Slide | Role::Asked(_) => [None; SLIDES],
        }
    }

    /// Of slides that are not ready yet the network makes something with fewer of them; of dead ones, nothing.
    pub fn may_be_put_together(&mut self, slides: [u8; SLIDES]) -> bool {
        let stands = slides.map(|slide| self.things[usize::from(slide)].stands);
        if stands.contains(&Stands::Building) {
            self.past.breaks(Rule::Whole);
        }
        !stands.iter().any(|stands| matches!(stands, Stands::Dead(_)))
    }

    /// How many slides the network was told to make, and made.
    pub fn slides_made(&self) -> usize {
        self.things.iter().filter(|thing| thing.role == Role::Slide).count()
    }

    /// Whether a slide that is not ready is taken for one.
    pub fn hastily_ready(&self, set: &Setting, handle: u8) -> bool {
        let thing = self.things[usize::from(handle)];
        set.has(Flaw::SlidesUnready) && thing.role == Role::Slide && thing.stands == Stands::Building
    }
}
