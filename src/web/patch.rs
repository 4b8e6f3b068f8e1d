//! A change of a post that was accepted: laid over the post, and judged as a new one would be.

use std::collections::BTreeMap;

use jobs::{machine::State, surface::PostKind};
use uuid::Uuid;

use super::{
    finding::Finding,
    spans, utm,
    wish::{Rules, Wish, WishedTarget, WishedTime},
};
use crate::ledger::{
    accept::{Facts, NewPost, Written},
    posts::{Post, Publication},
};

/// What is to be otherwise; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct Patch {
    /// The words.
    pub caption: Option<String>,
    /// The files, in order.
    pub media_ids: Option<Vec<String>>,
    /// A web address to show, or none.
    pub link: Option<Option<String>>,
    /// What is otherwise on single accounts.
    pub targets: Vec<PatchedTarget>,
    /// When; `Some(None)` is now.
    pub schedule: Option<Option<WishedTime>>,
    /// Past its time plus this it is held; `Some(None)` is the default.
    pub latest_after: Option<Option<String>>,
}

/// What is to be otherwise on one account.
#[derive(Debug, Clone)]
pub struct PatchedTarget {
    /// Which.
    pub account_id: String,
    /// Its own words; `Some(None)` is the post's.
    pub caption: Option<Option<String>>,
    /// What the author chose for its network, all of it.
    pub options: Option<BTreeMap<String, String>>,
}

impl Patch {
    /// The files it names.
    pub fn files(&self) -> Vec<Uuid> {
        let ids = self.media_ids.iter().flatten();
        ids.take(super::wish::MOST_FILES).filter_map(|id| Uuid::try_parse(id).ok()).collect()
    }

    /// The post it makes of this one, or everything that is wrong with it.
    ///
    /// # Errors
    /// At least one finding.
    pub fn judge(
        &self,
        facts: &Facts,
        post: &Post,
        rules: &Rules,
        changed_by: Uuid,
        mut found: Vec<Finding>,
    ) -> Result<NewPost, Vec<Finding>> {
        found.extend(self.strangers(post));
        let wish = self.over(post);
        if wish.targets.is_empty() && found.is_empty() {
            // nothing of it can be changed any more; the ledger says so
            return Ok(as_it_is(post, rules, changed_by));
        }
        let mut new = wish.judge(facts, rules, changed_by, found)?;
        if self.schedule.is_none() {
            new.written = written(post);
            new.scheduled_for = post.scheduled_for;
        }
        if self.latest_after.is_none() {
            new.latest_after = post.latest_after;
        }
        let was_day = utm::day(written(post).as_ref(), post.scheduled_for);
        utm::renew(&mut new, post, was_day, facts, &rules.platforms)?;
        Ok(new)
    }

    /// The accounts in the order in which findings about it count them.
    pub fn order(&self, post: &Post) -> Vec<String> {
        self.over(post).targets.into_iter().map(|target| target.account_id).collect()
    }

    /// Accounts that the post does not go to, and such as are over.
    fn strangers(&self, post: &Post) -> Vec<Finding> {
        let strange = |(n, target): (usize, &PatchedTarget)| {
            let field = format!("targets[{n}].account_id");
            match of(post, &target.account_id) {
                _ if target.account_id.is_empty() => None, // its reader has said so
                None => {
                    let detail = "The post does not go to this account; a change adds none.";
                    Some(Finding::new(field, "target_unknown", detail))
                }
                Some(it) if is_over(it) => {
                    let detail = format!("It is {} there and cannot be changed any more.", it.state.shown());
                    Some(Finding::new(field, "target_over", detail))
                }
                Some(_) => None,
            }
        };
        self.targets.iter().enumerate().filter_map(strange).collect()
    }

    /// The post as if it were asked for anew: first the accounts that the change names, as it counts them.
    fn over(&self, post: &Post) -> Wish {
        let named = |it: &&Publication| self.targets.iter().any(|target| is(it, &target.account_id));
        let others = post.publications.iter();
        let others = others.filter(|it| it.parent_id.is_none() && !is_over(it) && !named(it));
        let mut targets: Vec<WishedTarget> =
            self.targets.iter().map(|target| patched(post, target)).collect();
        targets.extend(others.map(|it| WishedTarget { stands: true, ..as_wished(it) }));
        let kind = PostKind::ALL.iter().copied().find(|kind| kind.word() == post.kind);
        Wish {
            caption: self.caption.clone().unwrap_or_else(|| post.caption.clone()),
            kind: kind.unwrap_or(PostKind::Post),
            media_ids: self
                .media_ids
                .clone()
                .unwrap_or_else(|| post.media_ids.iter().map(Uuid::to_string).collect()),
            link: self.link.clone().unwrap_or_else(|| post.link.clone()),
            targets,
            schedule: self.schedule.clone().flatten(),
            latest_after: match &self.latest_after {
                Some(span) => span.clone(),
                None => Some(spans::show(post.latest_after)),
            },
        }
    }
}

/// What nobody can change any more.
pub fn is_over(it: &Publication) -> bool {
    matches!(it.state, State::Published | State::Cancelled)
}

fn is(it: &Publication, account_id: &str) -> bool {
    it.parent_id.is_none() && Uuid::try_parse(account_id) == Ok(it.account_id)
}

fn of<'a>(post: &'a Post, account_id: &str) -> Option<&'a Publication> {
    post.publications.iter().find(|it| is(it, account_id))
}

fn as_wished(it: &Publication) -> WishedTarget {
    let options = it.options.as_object().into_iter().flatten();
    let text =
        |(name, value): (&String, &serde_json::Value)| Some((name.clone(), value.as_str()?.to_owned()));
    WishedTarget {
        account_id: it.account_id.to_string(),
        caption: it.caption.clone(),
        options: options.filter_map(text).collect(),
        stands: false,
    }
}

fn patched(post: &Post, target: &PatchedTarget) -> WishedTarget {
    let was = of(post, &target.account_id).map(as_wished);
    WishedTarget {
        account_id: target.account_id.clone(),
        caption: target.caption.clone().unwrap_or_else(|| was.as_ref().and_then(|was| was.caption.clone())),
        options: target.options.clone().unwrap_or_else(|| was.map(|was| was.options).unwrap_or_default()),
        stands: false,
    }
}

/// When it goes out, as it was written.
fn written(post: &Post) -> Option<Written> {
    let fold = post.fold.as_deref().and_then(|fold| ["earlier", "later"].into_iter().find(|it| *it == fold));
    let (wall_time, time_zone) = post.wall_time.zip(post.time_zone.clone())?;
    Some(Written { wall_time, time_zone, fold })
}

fn as_it_is(post: &Post, rules: &Rules, changed_by: Uuid) -> NewPost {
    let kind = PostKind::ALL.iter().copied().find(|kind| kind.word() == post.kind);
    NewPost {
        created_by: changed_by,
        kind: kind.unwrap_or(PostKind::Post),
        caption: post.caption.clone(),
        link: post.link.clone(),
        media_ids: post.media_ids.clone(),
        written: written(post),
        scheduled_for: post.scheduled_for,
        latest_after: post.latest_after,
        prepare_ahead: rules.publishing.prepare_ahead,
        repeat_within: rules.publishing.repeat_within,
        targets: Vec::new(),
    }
}
