//! What a person asks about their own sign-in and credentials, and the questions that come of it.

use super::failure::ProgramError;
use super::session::ProgramSession;
use crate::ipc::{OwnCommand, PeopleAnswer, PeopleQuestion, Questions, SecretText};
use crate::ssh::people_client::PersonClient;

/// Rounds of questions of one command, at most.
const MAX_ROUNDS: usize = 32;

/// Asks for the person on the connection of a program.
#[derive(Debug)]
pub(super) struct OwnAffairs<'a>(&'a PersonClient);

impl<'a> OwnAffairs<'a> {
    /// Asks through this client.
    pub(super) fn new(person: &'a PersonClient) -> Self {
        Self(person)
    }

    /// A command that is answered with a text.
    pub(super) async fn text(&self, command: OwnCommand) -> Result<String, ProgramError> {
        match self.0.ask(PeopleQuestion::Own(command)).await? {
            PeopleAnswer::Text(text) => Ok(text),
            other => Err(unexpected(other)),
        }
    }

    /// A command that is answered with a certificate, in one line.
    pub(super) async fn certificate(&self, command: OwnCommand) -> Result<String, ProgramError> {
        match self.0.ask(PeopleQuestion::Own(command)).await? {
            PeopleAnswer::Certificate(line) => Ok(line),
            other => Err(unexpected(other)),
        }
    }

    /// A command that asks questions, to its end. The user needs a terminal.
    pub(super) async fn converse(
        &self,
        command: OwnCommand,
        session: &mut ProgramSession,
    ) -> Result<String, ProgramError> {
        let mut question = PeopleQuestion::Own(command);
        for _round in 0..MAX_ROUNDS {
            match self.0.ask(question).await? {
                PeopleAnswer::Questions(questions) => {
                    question = PeopleQuestion::Answer(answers(&questions, session).await?);
                }
                PeopleAnswer::Text(text) => return Ok(text),
                other => return Err(unexpected(other)),
            }
        }
        Err(ProgramError::Interrupted)
    }
}

/// Asks the user.
async fn answers(
    questions: &Questions,
    session: &mut ProgramSession,
) -> Result<Vec<SecretText>, ProgramError> {
    if !questions.banner.is_empty() {
        session
            .print(&format!("{}\n", questions.banner.trim_end()))
            .await?;
    }
    let mut answers = Vec::new();
    for prompt in &questions.prompts {
        answers.push(session.ask(prompt).await?);
    }
    Ok(answers)
}

fn unexpected(answer: PeopleAnswer) -> ProgramError {
    match answer {
        PeopleAnswer::Refused(refusal) => ProgramError::Refused(refusal),
        _ => ProgramError::Nonsense,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::ipc::{PeopleRefusal, Prompt};
    use crate::ssh::endpoint::PendingSession;
    use crate::ssh::outer::programs::testing::ScriptedPeople;
    use crate::ssh::testing::memory_channel;

    /// What comes of a conversation with these answers of the other process, if the user types this; what the terminal
    /// shows, and what was asked.
    async fn talk(
        answers: Vec<PeopleAnswer>,
        keys: &str,
    ) -> (Result<String, ProgramError>, String, Vec<PeopleQuestion>) {
        let people = ScriptedPeople::new(answers);
        let person = people.person();
        let (stream, mut far) = memory_channel();
        far.write_all(keys.as_bytes()).await.unwrap();
        let mut session = ProgramSession::new(PendingSession {
            stream,
            forwards_agent: false,
            has_terminal: true,
            terminal_size: None,
        });
        let own = OwnAffairs::new(&person);
        let command = OwnCommand::ChangePassword;
        let end = own.converse(command, &mut session).await;
        drop(session);
        let mut shown = String::new();
        far.read_to_string(&mut shown).await.unwrap();
        (end, shown, people.asked())
    }

    fn questions(banner: &str, prompts: &[(&str, bool)]) -> PeopleAnswer {
        let prompts = prompts.iter().map(|(text, echo)| Prompt {
            text: (*text).to_owned(),
            echo: *echo,
        });
        PeopleAnswer::Questions(Questions {
            banner: banner.to_owned(),
            prompts: prompts.collect(),
        })
    }

    fn answered(texts: &[&str]) -> PeopleQuestion {
        let texts = texts.iter();
        PeopleQuestion::Answer(
            texts
                .map(|text| SecretText::new((*text).to_owned()))
                .collect(),
        )
    }

    #[tokio::test]
    async fn questions_are_asked_until_there_is_a_result() {
        let answers = vec![
            questions("", &[("password: ", false), ("new: ", false)]),
            questions("too short\n", &[("new: ", false)]),
            questions("done", &[]),
            PeopleAnswer::Text("changed\n".to_owned()),
        ];
        let (end, shown, asked) = talk(answers, "old\rnew\rnewer\r").await;
        assert_eq!(end.unwrap(), "changed\n");
        assert_eq!(
            shown,
            "password: \r\nnew: \r\ntoo short\r\nnew: \r\ndone\r\n"
        );
        let begun = PeopleQuestion::Own(OwnCommand::ChangePassword);
        let answers = [
            answered(&["old", "new"]),
            answered(&["newer"]),
            answered(&[]),
        ];
        assert_eq!(asked, [&[begun][..], &answers].concat());
    }

    #[tokio::test]
    async fn a_conversation_can_be_refused_left_and_never_lasts_for_ever() {
        let refusal = PeopleRefusal {
            reason: "no".to_owned(),
            message: "the password is wrong".to_owned(),
            hint: None,
            is_final: false,
        };
        let (end, ..) = talk(vec![PeopleAnswer::Refused(refusal)], "").await;
        assert_eq!(end.unwrap_err().to_string(), "the password is wrong");
        let question = questions("", &[("password: ", false)]);
        let (end, ..) = talk(vec![question], "\x03").await;
        assert!(matches!(end, Err(ProgramError::Interrupted)), "{end:?}");
        let (end, ..) = talk(vec![PeopleAnswer::Usable], "").await;
        assert!(matches!(end, Err(ProgramError::Nonsense)), "{end:?}");
        let (end, ..) = talk(Vec::new(), "").await;
        assert!(matches!(end, Err(ProgramError::Unanswered(_))), "{end:?}");
        let for_ever = vec![questions("again", &[]); MAX_ROUNDS + 1];
        let (end, _, asked) = talk(for_ever, "").await;
        assert!(matches!(end, Err(ProgramError::Interrupted)), "{end:?}");
        assert_eq!(asked.len(), MAX_ROUNDS);
    }
}
