//! Doing single things of many callers in common transactions: a commit costs the disk the same for one as for
//! a hundred. A transaction takes whoever has come while the last ones ran, and those who come while it gathers.

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::LedgerError;

/// Callers that may wait for a transaction; more wait for their turn to wait.
const WAITING_MOST: usize = 4096;

/// What is done to a group: all of it in one transaction, answered in its order.
pub trait Act: Send + Sync + 'static {
    /// What a caller brings.
    type Item: Send + Sync + 'static;
    /// What it gets.
    type Answer: Send + 'static;

    /// Does all or nothing, and answers each.
    ///
    /// # Errors
    /// The ledger is away, or refuses one of them.
    fn act(
        &self,
        items: &[Self::Item],
    ) -> impl Future<Output = Result<Vec<Self::Answer>, LedgerError>> + Send;
}

/// How a group goes about its transactions.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The most items of one.
    pub most: usize,
    /// How many run at once.
    pub abreast: usize,
    /// How long one that is not full waits for more.
    pub gathers: Duration,
    /// The longest that one is waited for.
    pub limit: Duration,
}

/// The answer to one caller; an error of the ledger is one for the whole group.
pub type Answer<A> = Result<<A as Act>::Answer, Arc<LedgerError>>;
type Waiting<A> = (<A as Act>::Item, oneshot::Sender<Answer<A>>);

/// Where callers bring single things.
pub struct Group<A: Act> {
    waiting: mpsc::Sender<Waiting<A>>,
}

impl<A: Act> Clone for Group<A> {
    fn clone(&self) -> Self {
        Self { waiting: self.waiting.clone() }
    }
}

impl<A: Act> fmt::Debug for Group<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Group")
    }
}

impl<A: Act> Group<A> {
    /// Opens it; it ends with its last clone.
    pub fn open(act: A, pace: Pace) -> Self {
        let (waiting, arriving) = mpsc::channel(WAITING_MOST);
        tokio::spawn(gather(Arc::new(Timed { act, limit: pace.limit }), arriving, pace));
        Self { waiting }
    }

    /// Does one thing: returns after its commit.
    ///
    /// # Errors
    /// The ledger is away, or refuses it.
    pub async fn bring(&self, item: A::Item) -> Answer<A> {
        let (told, answer) = oneshot::channel();
        let closed = || Arc::new(LedgerError::Away(sqlx::Error::PoolClosed));
        self.waiting.send((item, told)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

/// An act that is not waited for for ever: where a connection is half open, its answer never comes.
struct Timed<A> {
    act: A,
    limit: Duration,
}

async fn gather<A: Act>(act: Arc<Timed<A>>, mut arriving: mpsc::Receiver<Waiting<A>>, pace: Pace) {
    let abreast = Arc::new(Semaphore::new(pace.abreast));
    loop {
        let Ok(turn) = Arc::clone(&abreast).acquire_owned().await else { return };
        let mut group = Vec::new();
        if arriving.recv_many(&mut group, pace.most).await == 0 {
            return;
        }
        if !pace.gathers.is_zero() && group.len() < pace.most {
            tokio::time::sleep(pace.gathers).await;
            while group.len() < pace.most
                && let Ok(one) = arriving.try_recv()
            {
                group.push(one);
            }
        }
        let act = Arc::clone(&act);
        tokio::spawn(async move {
            do_all(&*act, group).await;
            drop(turn);
        });
    }
}

/// Does a group. What the ledger refuses is tried by halves, so that one bad item does not take its
/// neighbours with it; of other trouble they all hear at once.
async fn do_all<A: Act>(timed: &Timed<A>, group: Vec<Waiting<A>>) {
    let (items, told): (Vec<A::Item>, Vec<_>) = group.into_iter().unzip();
    let acted = tokio::time::timeout(timed.limit, timed.act.act(&items)).await;
    match acted.unwrap_or_else(|late| Err(LedgerError::late(late))) {
        // a caller that has gone away has been served all the same
        Ok(answers) => {
            for (one, answer) in told.into_iter().zip(answers) {
                let _gone = one.send(Ok(answer));
            }
        }
        Err(error) if items.len() == 1 || !error.blames_data() => {
            let error = Arc::new(error);
            for one in told {
                let _gone = one.send(Err(Arc::clone(&error)));
            }
        }
        Err(_) => {
            let mut first: Vec<Waiting<A>> = items.into_iter().zip(told).collect();
            let second = first.split_off(first.len() / 2);
            Box::pin(do_all(timed, first)).await;
            Box::pin(do_all(timed, second)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Refuses odd numbers, and the groups they are in.
    struct EvenOnly(Mutex<Vec<usize>>);

    impl Act for EvenOnly {
        type Item = u32;
        type Answer = u32;

        async fn act(&self, items: &[u32]) -> Result<Vec<u32>, LedgerError> {
            self.0.lock().expect("no test panics with it").push(items.len());
            if items.iter().any(|n| n % 2 == 1) {
                return Err(LedgerError::Refused { constraint: "even_only".into() });
            }
            Ok(items.iter().map(|n| n * 10).collect())
        }
    }

    #[tokio::test]
    async fn one_bad_item_does_not_take_its_neighbours_with_it() {
        let group = Group::open(
            EvenOnly(Mutex::default()),
            Pace { most: 64, abreast: 1, gathers: Duration::ZERO, limit: Duration::from_secs(5) },
        );
        let asked = (0..32_u32).map(|n| {
            let group = group.clone();
            tokio::spawn(async move { (n, group.bring(if n == 13 { 13 } else { n * 2 }).await) })
        });
        for answer in futures_util::future::join_all(asked).await {
            let (n, answer) = answer.expect("no caller panics");
            assert_eq!(answer.ok(), (n != 13).then_some(n * 20));
        }
    }
}
