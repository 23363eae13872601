//! Questions to another process, asked on threads where they may block. No more are asked at a time than
//! that process answers, and a bounded number waits.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ipc::CallError;

/// How many questions may wait in a line: all clients may come at the same time, after a restart.
const MAX_WAITING: usize = 4096;

/// Why a question has no answer.
#[derive(Debug, Error)]
pub(crate) enum AskError {
    /// Too many wait.
    #[error("too many {0} at this moment")]
    Crowded(&'static str),
    /// It had no turn in time.
    #[error("too many {0} at this moment, and none was done within {seconds} seconds", seconds = .1.as_secs())]
    Late(&'static str, Duration),
    /// One client has asked for more than its share.
    #[error("too many questions of {0} are unanswered")]
    TooManyOf(&'static str),
    /// The other process does not answer.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Questions that wait for their turns, the first that came first. Clones share the line.
#[derive(Clone, Debug)]
pub(crate) struct WaitingLine {
    /// Who does what, as an error says it.
    who: &'static str,
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

/// The right to ask one question now.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl WaitingLine {
    /// With so many turns at a time. `who` is what an error says of those who wait, as in "hosts report".
    pub(crate) fn new(who: &'static str, turns: usize) -> Self {
        Self {
            who,
            turns: Arc::new(Semaphore::new(turns)),
            places: Arc::new(Semaphore::new(MAX_WAITING)),
        }
    }

    /// Waits for a turn. Cancel-safe: whoever leaves gives up the place.
    ///
    /// # Errors
    /// [`AskError::Crowded`].
    pub(crate) async fn turn(&self) -> Result<Turn, AskError> {
        let place = self.places.try_acquire();
        let _place = place.map_err(|_full| AskError::Crowded(self.who))?;
        self.sure_turn().await
    }

    /// The same, however many wait: for those whose number is bounded otherwise, and whose question must not
    /// be lost. Cancel-safe.
    ///
    /// # Errors
    /// None, as long as the line is there.
    pub(crate) async fn sure_turn(&self) -> Result<Turn, AskError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        // The semaphore is never closed.
        turn.map(|permit| Turn { _permit: permit })
            .map_err(|_closed| AskError::Crowded(self.who))
    }

    /// The same, for a limited time.
    ///
    /// # Errors
    /// [`AskError::Crowded`] and [`AskError::Late`].
    pub(crate) async fn turn_within(&self, limit: Duration) -> Result<Turn, AskError> {
        let turn = tokio::time::timeout(limit, self.turn()).await;
        turn.unwrap_or(Err(AskError::Late(self.who, limit)))
    }
}

impl Turn {
    /// Asks. Cancel-safe: a question that was asked is answered, the answer is dropped, and the turn is over
    /// only then.
    ///
    /// # Errors
    /// [`AskError::Call`].
    pub(crate) async fn ask<T: Send + 'static>(
        self,
        question: impl FnOnce() -> Result<T, CallError> + Send + 'static,
    ) -> Result<T, AskError> {
        let asked = tokio::task::spawn_blocking(move || {
            let answer = question();
            drop(self);
            answer
        });
        Ok(asked.await.unwrap_or(Err(CallError::HungUp))?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::task::JoinSet;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn line() -> WaitingLine {
        WaitingLine::new("hosts report", 1)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_no_turn_in_time_or_no_place_is_told_so() {
        let line = line();
        let held = line.turn().await.unwrap();
        let late = line.turn_within(LIMIT).await.unwrap_err().to_string();
        let expected = "too many hosts report at this moment, and none was done within 10 seconds";
        assert_eq!(late, expected);
        let mut waiting = JoinSet::new();
        for _ in 0..MAX_WAITING {
            let line = line.clone();
            waiting.spawn(async move { line.turn().await });
        }
        while line.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let crowded = line.turn().await.unwrap_err().to_string();
        assert_eq!(crowded, "too many hosts report at this moment");
        let sure = line.sure_turn();
        let sure = tokio::time::timeout(10 * LIMIT, sure).await;
        assert!(sure.is_err(), "it waits like the others, and for longer");
        // Those who leave make room, and the turn of one who is done is for the next.
        waiting.shutdown().await;
        drop(held);
        line.turn().await.unwrap();
    }

    #[tokio::test]
    async fn the_turn_of_a_question_that_nobody_waits_for_ends_with_its_answer() {
        let line = line();
        let (answer, answers) = mpsc::channel();
        let (begun, begins) = tokio::sync::oneshot::channel();
        let turn = line.turn().await.unwrap();
        let asked = turn.ask(move || {
            begun.send(()).unwrap();
            answers.recv().map_err(|_gone| CallError::HungUp)
        });
        tokio::select! {
            answered = asked => panic!("{answered:?}"),
            begun = begins => begun.unwrap(),
        }
        assert!(line.turns.try_acquire().is_err(), "it is still asked");
        answer.send(()).unwrap();
        line.turn().await.unwrap();
    }

    #[tokio::test]
    async fn a_question_whose_thread_panics_has_no_answer_and_leaves_its_turn() {
        let line = line();
        let turn = line.turn().await.unwrap();
        let asked = turn.ask(|| -> Result<(), CallError> { panic!("a bug") });
        let failed = asked.await;
        assert!(
            matches!(failed, Err(AskError::Call(CallError::HungUp))),
            "{failed:?}"
        );
        line.turn().await.unwrap();
    }
}
