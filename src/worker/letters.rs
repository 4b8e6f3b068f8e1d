//! Sends the letters that lie in the ledger. Whoever takes one sends it; what is not noted as sent is sent again, under
//! the same name.

use std::{sync::Arc, time::Duration};

use jobs::{
    contract::{Class, Failure},
    mail::{Letter, Mail},
};

use super::Worker;
use crate::ledger::{LedgerError, letters::Taken, mail::Due};

/// Letters taken in one look.
const MOST: i64 = 4;
/// The longest that handing one over may take.
const SLOWEST: Duration = Duration::from_secs(30);
/// Nobody else takes a letter for so long: longer than sending a look's worth of them takes at worst.
const LEASE: Duration = Duration::from_mins(3);
/// The wait after the first try, and the longest.
const AGAIN_FIRST: Duration = Duration::from_secs(2);
const AGAIN_MOST: Duration = Duration::from_mins(15);
/// A letter that is refused so often is given up: once may be a server's mistake, or this house's.
const REFUSED_MOST: i32 = 10;

/// Looks at the pace at which everything is mended, until the worker stops. Without mail there is nothing to do.
pub(super) async fn run(worker: Arc<Worker>) {
    let Some(mail) = worker.parts.mail.clone() else { return worker.stop.cancelled().await };
    let mut tick = tokio::time::interval(worker.parts.settings.relay.mend_every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = worker.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let sent = worker.send_letters(&*mail).await;
        let sealed = worker.send_sealed(&*mail).await;
        for error in [sent.err(), sealed.err()].into_iter().flatten() {
            tracing::warn!(%error, "letters could not be looked for; it is tried again");
        }
    }
}

impl Worker {
    /// One look: sends what is due, until nothing is.
    async fn send_letters(&self, mail: &dyn Mail) -> Result<(), LedgerError> {
        let (ledger, ring) = (&self.parts.duties, &self.parts.ring);
        while !self.stop.is_cancelled() {
            let due = self.in_time(ledger.take_mail(ring, MOST, LEASE)).await?;
            if due.is_empty() {
                return Ok(());
            }
            for letter in due {
                if self.stop.is_cancelled() {
                    // it waits for nobody's lease
                    self.in_time(ledger.put_off_mail(&letter, Duration::ZERO, "the worker stopped")).await?;
                } else {
                    self.send_letter(mail, &letter).await?;
                }
            }
        }
        Ok(())
    }

    async fn send_letter(&self, mail: &dyn Mail, due: &Due) -> Result<(), LedgerError> {
        let ledger = &self.parts.duties;
        if due.worthless {
            tracing::warn!(letter = %due.id, "a letter could not be sent in time; what it offers has ended");
            return self.in_time(ledger.end_mail(due, Some("it could not be sent in time"))).await;
        }
        let body = match &due.body {
            Ok(body) => body,
            // its key may come back
            Err(error) => {
                tracing::error!(letter = %due.id, %error, "a letter does not open; it is tried again");
                let wait = again_after(due.tries);
                return self.in_time(ledger.put_off_mail(due, wait, &error.to_string())).await;
            }
        };
        let letter = Letter { id: due.id, to: &due.to, subject: &due.subject, body };
        match hand_over(mail, &letter).await {
            Ok(()) => self.in_time(ledger.end_mail(due, None)).await,
            Err(failure) if is_final(&failure, due.tries) => {
                tracing::warn!(letter = %due.id, %failure, "a letter was refused");
                self.in_time(ledger.end_mail(due, Some(&failure.message))).await
            }
            Err(failure) => {
                tracing::warn!(letter = %due.id, %failure, "a letter could not be sent; it is tried again");
                self.in_time(ledger.put_off_mail(due, again_after(due.tries), &failure.message)).await
            }
        }
    }
}

impl Worker {
    /// The same for mails about deletions.
    async fn send_sealed(&self, mail: &dyn Mail) -> Result<(), LedgerError> {
        let (ledger, ring) = (&self.parts.duties, &self.parts.ring);
        while !self.stop.is_cancelled() {
            let taken = self.in_time(ledger.take_letters(ring, MOST, LEASE)).await?;
            if taken.is_empty() {
                return Ok(());
            }
            for letter in taken {
                if self.stop.is_cancelled() {
                    self.in_time(ledger.put_off_letter(&letter, Duration::ZERO)).await?;
                } else {
                    self.send_sealed_one(mail, &letter).await?;
                }
            }
        }
        Ok(())
    }

    async fn send_sealed_one(&self, mail: &dyn Mail, taken: &Taken) -> Result<(), LedgerError> {
        let (ledger, said) = (&self.parts.duties, &taken.letter);
        let letter = Letter { id: taken.id, to: &said.to, subject: &said.subject, body: &said.text };
        match hand_over(mail, &letter).await {
            Ok(()) => self.in_time(ledger.sent_letter(taken.id)).await,
            Err(failure) if is_final(&failure, taken.tries) => {
                tracing::warn!(letter = %taken.id, %failure, "a mail about a deletion was refused");
                self.in_time(ledger.sent_letter(taken.id)).await
            }
            Err(failure) => {
                tracing::warn!(letter = %taken.id, %failure, "a mail about a deletion could not be sent; it is tried again");
                self.in_time(ledger.put_off_letter(taken, again_after(taken.tries))).await
            }
        }
    }
}

async fn hand_over(mail: &dyn Mail, letter: &Letter<'_>) -> Result<(), Failure> {
    let late = |_| Err(Failure::new(Class::Transient, "mail_slow", "the mail server took too long"));
    tokio::time::timeout(SLOWEST, mail.send(letter)).await.unwrap_or_else(late)
}

/// Whether a letter was refused for good.
fn is_final(failure: &Failure, tries: i32) -> bool {
    failure.class == Class::Permanent && tries >= REFUSED_MOST
}

/// Twice as long each time.
fn again_after(tries: i32) -> Duration {
    let doublings = u32::try_from(tries.saturating_sub(1)).unwrap_or_default();
    AGAIN_FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(AGAIN_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_try_waits_twice_as_long_up_to_a_limit() {
        assert_eq!(again_after(1), AGAIN_FIRST);
        assert_eq!(again_after(3), AGAIN_FIRST * 4);
        assert_eq!(again_after(40), AGAIN_MOST);
    }
}
