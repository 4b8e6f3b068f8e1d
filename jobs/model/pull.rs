//! A network that fetches the files by itself: the request that names their addresses is the commit, its name for the
//! post is all that can be asked about, and our own origin is the fence. `networks::tiktok::photos` and
//! `ledger::origin`.
//!
//! The handle is a name of our own, of which the network knows nothing before a request arrives. What it then does
//! with it is what becomes of the handle's [`Thing`](super::network::Thing).

use super::{
    flaw::Flaw,
    holder::{Glance, Reply, Taken},
    network::{Look, Role, Stands},
    reconciler::Unread,
    world::{Quarantine, Setting, World},
};

/// Who looks, and what the ledger had told of the handle by then.
#[derive(Debug, Clone, Copy)]
pub struct Looker {
    /// The network's name for the post was known.
    pub known: bool,
    /// The handle was ever committed.
    pub armed: bool,
    /// Where the handle brings no evidence, the post is looked for among what is public.
    pub finds: bool,
}

impl World {
    /// What a look shows; `None`: it is no possible one. The network is asked by the name that it gave; where that is
    /// not known the addresses are closed, if everything that was sent has had its time to arrive, and the origin
    /// vouches.
    pub fn looks_at_pull(&mut self, handle: u8, by: Looker, look: Look) -> Option<Result<Glance, Unread>> {
        let stands = self.things[usize::from(handle)].stands;
        match look {
            Look::Lies => return None,
            Look::Fails => return self.fault().map(|()| Err(Unread)),
            Look::Lags if stands != Stands::Public(false) => return None,
            Look::Prompt | Look::Lags => {}
        }
        let shows = look == Look::Prompt;
        if by.known {
            return Some(Ok(asked_by_name(stands, shows)));
        }
        if !by.armed {
            return Some(Ok(Glance::Ready));
        }
        match self.close_addresses(handle, false) {
            Pulled::Never => Some(Ok(Glance::Dead(false))),
            Pulled::Serving | Pulled::Fetched => {
                let found = by.finds && matches!(stands, Stands::Public(_)) && shows;
                Some(if found { Ok(Glance::Public) } else { Err(Unread) })
            }
        }
    }

    /// Closes the addresses of the handle's commits, now or once everything has had its time to arrive, and tells what
    /// that vouches for.
    fn close_addresses(&mut self, handle: u8, now: bool) -> Pulled {
        if self.row.named != Some(handle) {
            return Pulled::Serving;
        }
        let may = now || self.row.quarantine == Quarantine::Over;
        let mut calls = self.calls.iter_mut().filter(|call| call.handle == Some(handle)).peekable();
        if calls.peek().is_none() {
            return Pulled::Serving;
        }
        let (mut closed, mut fetched) = (true, false);
        for call in calls {
            call.revoked |= may;
            closed &= call.revoked;
            fetched |= call.fetched;
        }
        match (closed, fetched) {
            (true, false) => Pulled::Never,
            (true, true) => Pulled::Fetched,
            (false, _) => Pulled::Serving,
        }
    }

    /// The network has said no; that counts if the addresses could be closed before anything was fetched.
    pub fn vouched(&mut self, handle: u8) -> Reply {
        Reply::Vouched(matches!(self.close_addresses(handle, true), Pulled::Never))
    }

    /// Keeps the network's name for this commit. Evidence, while the commit's handle is the publication's.
    pub fn keep_name(&mut self, call: u8) -> Reply {
        let handle = self.calls.get(usize::from(call)).and_then(|call| call.handle);
        self.row.known |= handle.is_some() && self.row.named == handle;
        Reply::Done
    }

    /// The network comes for the files of a request that it took. What the origin serves is written down first.
    pub fn fetch(&mut self, set: &Setting, handle: usize) -> Option<()> {
        let Role::Asked(call) = self.things[handle].role else { return None };
        let call = &mut self.calls[usize::from(call)];
        let open = !call.revoked || set.has(Flaw::ClosedServes);
        let served = open && call.handle == self.row.named;
        call.fetched |= served && !set.has(Flaw::FetchUnlogged);
        self.past.fetched_too_late |= !served;
        self.things[handle].stands = if served { Stands::Processing } else { Stands::Dead(false) };
        Some(())
    }

    /// What it means that this handle is wanted back: TikTok cancels nothing that it fetches, the origin may.
    pub fn take_back_pull(&mut self, handle: u8, by: Looker) -> Option<Taken> {
        Some(match self.looks_at_pull(handle, by, Look::Prompt)? {
            Ok(Glance::Public) => Taken::TooLate,
            Ok(Glance::Dead(_)) => Taken::Back,
            Ok(Glance::Building | Glance::Ready | Glance::Processing) | Err(Unread) => Taken::Unclear,
        })
    }

    /// Whether the addresses of this handle's commits are closed, with nothing fetched: it can have no effect.
    pub fn never_fetched(&self, handle: u8) -> bool {
        let mut calls = self.calls.iter().filter(|call| call.handle == Some(handle));
        calls.all(|call| call.revoked && !call.fetched)
    }
}

/// What the origin can vouch for.
enum Pulled {
    Serving,
    Never,
    Fetched,
}

fn asked_by_name(stands: Stands, shows: bool) -> Glance {
    match stands {
        Stands::Public(_) if shows => Glance::Public,
        Stands::Ready | Stands::Building | Stands::Processing | Stands::Public(_) => Glance::Processing,
        Stands::Dead(good) => Glance::Dead(good),
    }
}
