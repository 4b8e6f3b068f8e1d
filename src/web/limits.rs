//! How often somebody may ask: by address, by key and by person, in the memory of each process.

use std::{
    hash::Hash,
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    state::keyed::DefaultKeyedStateStore,
};
use uuid::Uuid;

use super::{App, problem::Problem, whence};
use crate::config;

/// What may come at once is what may come in so many seconds.
const BURST_SECONDS: u32 = 10;
/// After so many requests what has rested long enough to be forgotten is forgotten.
const TIDY_AFTER: u32 = 10_000;

/// A limit for each of many.
struct Limit<K: Hash + Eq + Clone> {
    each: Option<RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock>>,
    asked: AtomicU32,
}

impl<K: Hash + Eq + Clone> Limit<K> {
    /// So many a second, and ten times as many at once; 0 is no limit.
    fn new(each_second: u32) -> Self {
        let quota = NonZeroU32::new(each_second).map(|rate| {
            let burst = NonZeroU32::new(each_second.saturating_mul(BURST_SECONDS)).unwrap_or(rate);
            Quota::per_second(rate).allow_burst(burst)
        });
        Self { each: quota.map(RateLimiter::keyed), asked: AtomicU32::new(0) }
    }

    /// Counts one request; else how long to wait.
    fn take(&self, who: &K) -> Result<(), Duration> {
        let Some(each) = &self.each else { return Ok(()) };
        if self.asked.fetch_add(1, Ordering::Relaxed) % TIDY_AFTER == TIDY_AFTER - 1 {
            each.retain_recent();
        }
        each.check_key(who).map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

/// Every limit of the door.
pub struct Limits {
    address: Limit<IpAddr>,
    key: Limit<Uuid>,
    token: Limit<Uuid>,
    person: Limit<Uuid>,
    sign_in: Limit<IpAddr>,
}

impl Limits {
    /// Those of the settings.
    pub fn new(web: &config::Web) -> Self {
        Self {
            address: Limit::new(web.address_rate),
            key: Limit::new(web.key_rate),
            token: Limit::new(web.token_rate),
            person: Limit::new(web.person_rate),
            sign_in: Limit::new(web.sign_in_rate),
        }
    }

    /// One request with a key, or a pass of it.
    ///
    /// # Errors
    /// 429: too many.
    pub fn of_key(&self, id: Uuid) -> Result<(), Problem> {
        self.key.take(&id).map_err(too_many)
    }

    /// One pass that is issued or taken back: each is written down for good.
    ///
    /// # Errors
    /// 429: too many.
    pub fn of_tokens(&self, key: Uuid) -> Result<(), Problem> {
        self.token.take(&key).map_err(too_many)
    }

    /// One request of somebody signed in.
    ///
    /// # Errors
    /// 429: too many.
    pub fn of_person(&self, id: Uuid) -> Result<(), Problem> {
        self.person.take(&id).map_err(too_many)
    }

    /// One attempt to sign in, whoever it is as; else the seconds to wait.
    ///
    /// # Errors
    /// Too many.
    pub fn of_sign_in(&self, address: IpAddr) -> Result<(), u64> {
        self.sign_in.take(&whence::counted(address)).map_err(seconds)
    }
}

fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + 1
}

fn too_many(wait: Duration) -> Problem {
    refused(u32::try_from(seconds(wait)).unwrap_or(u32::MAX))
}

/// 429, and counts it: in so many seconds somebody may go on.
pub fn refused(seconds: u32) -> Problem {
    metrics::counter!("postroom_requests_limited_total").increment(1);
    Problem::too_often(seconds)
}

/// Counts every request by its address, before anything is looked up for it. Who watches over the process is not counted.
pub async fn by_address(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let watched = ["/healthz", "/readyz", "/metrics"].contains(&request.uri().path());
    let address = whence::address(app.house.web.client_address, request.headers(), request.extensions());
    match address.filter(|_| !watched).map(|it| app.limits.address.take(&whence::counted(it))) {
        None | Some(Ok(())) => next.run(request).await,
        Some(Err(wait)) => too_many(wait).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_burst_of_its_own_and_then_waits() {
        let limit = Limit::new(2);
        for _ in 0..20 {
            assert_eq!(limit.take(&'a'), Ok(()));
        }
        let wait = limit.take(&'a').expect_err("that was too many");
        assert!(wait > Duration::ZERO && wait <= Duration::from_millis(500), "{wait:?}");
        assert_eq!(limit.take(&'b'), Ok(()));
    }

    #[test]
    fn without_a_limit_nobody_waits() {
        let limit = Limit::new(0);
        assert!((0..100_000).all(|_| limit.take(&'a').is_ok()));
    }
}
