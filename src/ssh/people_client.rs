//! Asks the process that decides about people, without blocking the thread of a connection.
//!
//! Answers wait in a line of their own, because each can take a processor for as long as a password is hashed: a
//! thousand people who sign in at the same time hold up none who has signed in.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::asked_connection::AskedConnection;
use super::waiting_line::{AskError, WaitingLine};
use crate::ipc::{
    People, PeopleAnswer, PeopleQuestion, PeopleRefusal, PeopleRequest, Questions, Service,
};
use crate::model::ConnectionId;

/// How many questions of this process are asked at a time.
const AT_ONCE: usize = Service::People.at_once();
/// How many of them are answers at most.
const MOST_ANSWERS: usize = AT_ONCE / 2;
/// Who waits in the lines, as an error says it.
const WHO: &str = "clients sign in";
/// How long a question may wait for its turn. An answer waits for as long as its client may take to
/// authenticate.
const TURN: Duration = Service::People.timeout();

/// What a client reads that is asked anew.
const ASKED_ANEW: &str = "The proxy was restarted meanwhile: please answer once more.";

/// Asks about people, for all connections of this process. Clones share the lines.
#[derive(Clone, Debug)]
pub(crate) struct PeopleClient {
    people: Arc<dyn People>,
    answers: WaitingLine,
    others: WaitingLine,
}

impl PeopleClient {
    /// Asks this service.
    #[must_use]
    pub(crate) fn new(people: Arc<dyn People>) -> Self {
        // While one password is hashed, what comes before and after it is done for another one.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let answers = (2 * processors).min(MOST_ANSWERS);
        Self {
            people,
            answers: WaitingLine::new(WHO, answers),
            others: WaitingLine::new(WHO, AT_ONCE - answers),
        }
    }

    /// Asks about the person on this connection. `user` is the user name of the client's requests.
    pub(crate) fn person(
        &self,
        connection: ConnectionId,
        client: SocketAddr,
        user: String,
    ) -> PersonClient {
        PersonClient(Arc::new(Person {
            people: self.clone(),
            connection,
            client,
            user,
            asked: AskedConnection::default(),
            opening: Mutex::default(),
        }))
    }

    /// Cancel-safe: a question that was asked is answered, and the answer is dropped. The time for the
    /// answer begins with the turn.
    async fn ask(&self, mut request: PeopleRequest) -> Result<PeopleAnswer, AskError> {
        let since = Instant::now();
        let turn = match &request.ask {
            PeopleQuestion::Answer(_) => self.answers.turn().await?,
            PeopleQuestion::Key { .. }
            | PeopleQuestion::Prove(_)
            | PeopleQuestion::Begin
            | PeopleQuestion::Certificate { .. }
            | PeopleQuestion::Own(_) => self.others.turn_within(TURN).await?,
            // Each connection asks so once.
            PeopleQuestion::Close => self.others.sure_turn().await?,
        };
        request.waited = since.elapsed().as_secs();
        let people = Arc::clone(&self.people);
        turn.ask(move || people.ask(request)).await
    }
}

/// Asks about the person on one connection. Clones share it; when the last one is dropped, the other
/// process is told that the connection has ended.
#[derive(Clone, Debug)]
pub(crate) struct PersonClient(Arc<Person>);

#[derive(Debug)]
struct Person {
    people: PeopleClient,
    connection: ConnectionId,
    client: SocketAddr,
    user: String,
    asked: AskedConnection,
    /// What the last questions came of.
    opening: Mutex<Option<PeopleQuestion>>,
}

impl PersonClient {
    /// Asks. Cancel-safe: a question that was asked is answered, and the answer is dropped.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) async fn ask(&self, ask: PeopleQuestion) -> Result<PeopleAnswer, AskError> {
        let Self(person) = self;
        person.asked.asks();
        match &ask {
            PeopleQuestion::Prove(proof) => person.asked.proves(proof),
            PeopleQuestion::Begin => *person.opening() = Some(ask.clone()),
            // They are for connections that are signed in.
            PeopleQuestion::Own(_) => {
                *person.opening() = Some(ask.clone());
                return person.ask_again(ask).await;
            }
            PeopleQuestion::Certificate { .. } => return person.ask_again(ask).await,
            PeopleQuestion::Answer(_) => return person.answer(ask).await,
            PeopleQuestion::Key { .. } | PeopleQuestion::Close => {}
        }
        person.ask(ask).await
    }

    /// The user name of the client's requests.
    pub(crate) fn user(&self) -> &str {
        &self.0.user
    }
}

impl Person {
    async fn ask(&self, ask: PeopleQuestion) -> Result<PeopleAnswer, AskError> {
        self.people.ask(self.request(ask)).await
    }

    /// Asks. If the other process does not know any more that the connection is signed in, because it was
    /// restarted, the client's proof is passed on to it again.
    async fn ask_again(&self, ask: PeopleQuestion) -> Result<PeopleAnswer, AskError> {
        let answer = self.ask(ask.clone()).await?;
        let is_unknown = is_refused(&answer, PeopleRefusal::NOT_SIGNED_IN);
        let Some(proof) = self.asked.proof().filter(|_| is_unknown) else {
            return Ok(answer);
        };
        match self.ask(PeopleQuestion::Prove(proof)).await? {
            PeopleAnswer::SignedIn(_) => self.ask(ask).await,
            _ => Ok(answer),
        }
    }

    /// Answers questions. If the other process does not know any more what it has asked, because it was
    /// restarted or replaced, the client is asked anew.
    async fn answer(&self, answers: PeopleQuestion) -> Result<PeopleAnswer, AskError> {
        let answer = self.ask(answers).await?;
        let opening = self.opening().clone();
        let is_forgotten = is_refused(&answer, PeopleRefusal::FORGOTTEN);
        let Some(opening) = opening.filter(|_| is_forgotten) else {
            return Ok(answer);
        };
        if let Some(proof) = self.asked.proof() {
            let proved = self.ask(PeopleQuestion::Prove(proof)).await?;
            let is_begin = opening == PeopleQuestion::Begin;
            match proved {
                // The answers had counted before the restart.
                PeopleAnswer::SignedIn(_) if is_begin => return Ok(proved),
                PeopleAnswer::SignedIn(_) | PeopleAnswer::AskFirst => {}
                _ => return Ok(proved),
            }
        }
        Ok(match self.ask(opening).await? {
            PeopleAnswer::Questions(questions) => PeopleAnswer::Questions(Questions {
                banner: format!("{ASKED_ANEW}\n\n{}", questions.banner),
                prompts: questions.prompts,
            }),
            other => other,
        })
    }

    fn opening(&self) -> MutexGuard<'_, Option<PeopleQuestion>> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request(&self, ask: PeopleQuestion) -> PeopleRequest {
        PeopleRequest {
            connection: self.connection,
            client: self.client,
            user: self.user.clone(),
            waited: 0,
            ask,
        }
    }
}

fn is_refused(answer: &PeopleAnswer, reason: &str) -> bool {
    matches!(answer, PeopleAnswer::Refused(refusal) if refusal.reason == reason)
}

impl Drop for Person {
    fn drop(&mut self) {
        let (people, request) = (self.people.clone(), self.request(PeopleQuestion::Close));
        self.asked.end(async move { people.ask(request).await });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::task::JoinSet;
    use uuid::Uuid;

    use super::*;
    use crate::ipc::{CallError, OwnCommand, SignedIn, SignedProof};
    use crate::ssh::testing::CLIENT;

    /// A process that remembers who has proved what, and what it has asked, until it is restarted.
    #[derive(Debug, Default)]
    struct Forgetful {
        is_proved: AtomicBool,
        has_asked: AtomicBool,
        /// A proof is enough: there is a sign-in with the key.
        is_signed_in: AtomicBool,
        asked: Mutex<Vec<PeopleQuestion>>,
    }

    impl Forgetful {
        fn restart(&self) {
            self.is_proved.store(false, Ordering::Relaxed);
            self.has_asked.store(false, Ordering::Relaxed);
        }
    }

    fn questions(banner: &str) -> PeopleAnswer {
        PeopleAnswer::Questions(Questions {
            banner: banner.to_owned(),
            prompts: Vec::new(),
        })
    }

    fn not_signed_in() -> PeopleAnswer {
        refused(PeopleRefusal::NOT_SIGNED_IN)
    }

    fn refused(reason: &str) -> PeopleAnswer {
        PeopleAnswer::Refused(PeopleRefusal {
            reason: reason.to_owned(),
            message: String::new(),
            hint: None,
            is_final: false,
        })
    }

    impl People for Forgetful {
        fn ask(&self, request: PeopleRequest) -> Result<PeopleAnswer, CallError> {
            self.asked.lock().unwrap().push(request.ask.clone());
            Ok(match request.ask {
                PeopleQuestion::Prove(_) if !self.is_signed_in.load(Ordering::Relaxed) => {
                    PeopleAnswer::AskFirst
                }
                PeopleQuestion::Begin => {
                    self.has_asked.store(true, Ordering::Relaxed);
                    questions("")
                }
                PeopleQuestion::Answer(_) if self.has_asked.load(Ordering::Relaxed) => {
                    PeopleAnswer::ProveKey
                }
                PeopleQuestion::Answer(_) => refused(PeopleRefusal::FORGOTTEN),
                PeopleQuestion::Prove(_) => {
                    self.is_proved.store(true, Ordering::Relaxed);
                    PeopleAnswer::SignedIn(SignedIn {
                        id: Uuid::nil(),
                        name: "alice".to_owned(),
                        roles: Vec::new(),
                        logins: None,
                        since: 0,
                        until: 1,
                        was_asked: false,
                    })
                }
                PeopleQuestion::Close => PeopleAnswer::Closed,
                _ if self.is_proved.load(Ordering::Relaxed) => {
                    PeopleAnswer::Text("signed in".to_owned())
                }
                _ => not_signed_in(),
            })
        }
    }

    fn proof() -> PeopleQuestion {
        PeopleQuestion::Prove(SignedProof {
            session: vec![1],
            algorithm: "ssh-ed25519".to_owned(),
            key: vec![2],
            host_key: Vec::new(),
            signature: vec![3],
        })
    }

    #[tokio::test]
    async fn a_restart_of_the_other_process_is_not_noticed() {
        let (people, person) = forgetful();
        people.is_signed_in.store(true, Ordering::Relaxed);
        let status = PeopleQuestion::Own(OwnCommand::Status);
        // Nothing was proved that could be proved again.
        assert_eq!(person.ask(status.clone()).await.unwrap(), not_signed_in());
        person.ask(proof()).await.unwrap();
        people.restart();
        let text = PeopleAnswer::Text("signed in".to_owned());
        assert_eq!(person.ask(status.clone()).await.unwrap(), text);
        let asked = people.asked.lock().unwrap().clone();
        let again = [status.clone(), proof(), status.clone(), proof(), status];
        assert_eq!(asked, again);
    }

    /// A process that hashes: an answer takes its time, in which it can do nothing else with the thread.
    #[derive(Debug)]
    struct Hashing {
        /// How many answers are looked at, and how many were at most at a time.
        at_once: Mutex<(usize, usize)>,
        /// The connections that have answered, in their order.
        answered: Mutex<Vec<ConnectionId>>,
        /// How long one of them had waited at most, in seconds.
        waited: Mutex<u64>,
        /// Answers wait here until they may go on.
        held: Mutex<bool>,
        freed: Condvar,
    }

    impl Hashing {
        fn new(is_held: bool) -> Arc<Self> {
            Arc::new(Self {
                at_once: Mutex::default(),
                answered: Mutex::default(),
                waited: Mutex::default(),
                held: Mutex::new(is_held),
                freed: Condvar::new(),
            })
        }

        fn release(&self) {
            *self.held.lock().unwrap() = false;
            self.freed.notify_all();
        }
    }

    impl People for Hashing {
        fn ask(&self, request: PeopleRequest) -> Result<PeopleAnswer, CallError> {
            if !matches!(request.ask, PeopleQuestion::Answer(_)) {
                return Ok(PeopleAnswer::Closed);
            }
            {
                let mut at_once = self.at_once.lock().unwrap();
                at_once.0 += 1;
                at_once.1 = at_once.1.max(at_once.0);
            }
            self.answered.lock().unwrap().push(request.connection);
            let mut waited = self.waited.lock().unwrap();
            *waited = request.waited.max(*waited);
            drop(waited);
            let held = self.held.lock().unwrap();
            drop(self.freed.wait_while(held, |held| *held).unwrap());
            self.at_once.lock().unwrap().0 -= 1;
            Ok(PeopleAnswer::ProveKey)
        }
    }

    fn answer() -> PeopleQuestion {
        PeopleQuestion::Answer(Vec::new())
    }

    fn persons(client: &PeopleClient, count: usize) -> Vec<PersonClient> {
        let person = |_| client.person(ConnectionId::new(), CLIENT, "alice".to_owned());
        (0..count).map(person).collect()
    }

    /// People who have signed in do not wait for those who sign in.
    #[tokio::test]
    async fn while_answers_wait_other_questions_are_answered() {
        let hashing = Hashing::new(true);
        let client = PeopleClient::new(Arc::<Hashing>::clone(&hashing));
        let mut answers = JoinSet::new();
        for person in persons(&client, 100) {
            answers.spawn(async move { person.ask(answer()).await });
        }
        // As many as have a turn are at work, and the others wait.
        while hashing.at_once.lock().unwrap().0 == 0 {
            tokio::task::yield_now().await;
        }
        for person in persons(&client, 100) {
            let status = PeopleQuestion::Own(OwnCommand::Status);
            assert_eq!(person.ask(status).await.unwrap(), PeopleAnswer::Closed);
        }
        hashing.release();
        while let Some(answered) = answers.join_next().await {
            assert_eq!(answered.unwrap().unwrap(), PeopleAnswer::ProveKey);
        }
        let (_, most) = *hashing.at_once.lock().unwrap();
        assert!((1..=MOST_ANSWERS).contains(&most), "{most}");
    }

    /// None fails, however long it waits, and the order is that of their coming.
    #[tokio::test(start_paused = true)]
    async fn a_thousand_answers_have_their_turns_in_their_order() {
        let hashing = Hashing::new(true);
        let mut client = PeopleClient::new(Arc::<Hashing>::clone(&hashing));
        client.answers = WaitingLine::new(WHO, 1);
        let persons = persons(&client, 1_000);
        let order: Vec<_> = persons.iter().map(|person| person.0.connection).collect();
        let mut asked = JoinSet::new();
        for person in persons {
            asked.spawn(async move { person.ask(answer()).await });
        }
        // All of them stand in line.
        tokio::task::yield_now().await;
        // Long after a call would have been given up.
        tokio::time::advance(4 * TURN).await;
        hashing.release();
        while let Some(answered) = asked.join_next().await {
            assert_eq!(answered.unwrap().unwrap(), PeopleAnswer::ProveKey);
        }
        assert_eq!(*hashing.answered.lock().unwrap(), order);
        // Their codes count for the moment at which they were given.
        assert_eq!(*hashing.waited.lock().unwrap(), 4 * TURN.as_secs());
    }

    fn forgetful() -> (Arc<Forgetful>, PersonClient) {
        let people = Arc::<Forgetful>::default();
        let client = PeopleClient::new(Arc::<Forgetful>::clone(&people));
        let person = client.person(ConnectionId::new(), CLIENT, "alice".to_owned());
        (people, person)
    }

    #[tokio::test]
    async fn who_was_asked_before_a_restart_is_asked_anew() {
        let (people, person) = forgetful();
        let answers = PeopleQuestion::Answer(Vec::new());
        // Nothing was asked that could be asked again.
        let forgotten = refused(PeopleRefusal::FORGOTTEN);
        assert_eq!(person.ask(answers.clone()).await.unwrap(), forgotten);
        let first = person.ask(PeopleQuestion::Begin).await.unwrap();
        assert_eq!(first, questions(""));
        people.restart();
        let anew = questions(&format!("{ASKED_ANEW}\n\n"));
        assert_eq!(person.ask(answers.clone()).await.unwrap(), anew);
        let answer = person.ask(answers.clone()).await.unwrap();
        assert_eq!(answer, PeopleAnswer::ProveKey);
        // With a proof, that is passed on first.
        person.ask(proof()).await.unwrap();
        people.restart();
        people.asked.lock().unwrap().clear();
        assert_eq!(person.ask(answers.clone()).await.unwrap(), anew);
        let asked = people.asked.lock().unwrap().clone();
        assert_eq!(asked, [answers.clone(), proof(), PeopleQuestion::Begin]);
        // The answers had counted, and the proof is enough.
        people.restart();
        people.is_signed_in.store(true, Ordering::Relaxed);
        let answer = person.ask(answers).await.unwrap();
        assert!(matches!(answer, PeopleAnswer::SignedIn(_)), "{answer:?}");
    }

    #[tokio::test]
    async fn a_command_that_asks_is_begun_anew() {
        let (people, person) = forgetful();
        people.is_signed_in.store(true, Ordering::Relaxed);
        person.ask(proof()).await.unwrap();
        let change = PeopleQuestion::Own(OwnCommand::ChangePassword);
        person.ask(change.clone()).await.unwrap();
        people.restart();
        people.asked.lock().unwrap().clear();
        let answers = PeopleQuestion::Answer(Vec::new());
        let answer = person.ask(answers.clone()).await.unwrap();
        assert_eq!(answer, PeopleAnswer::Text("signed in".to_owned()));
        let asked = people.asked.lock().unwrap().clone();
        assert_eq!(asked, [answers, proof(), change]);
    }
}
