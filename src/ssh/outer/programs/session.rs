//! The channel of a program: output, questions, and the exit status.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::timeout;

use super::failure::ProgramError;
use super::line::{LineEditor, LineProgress, MAX_LINE};
use crate::ipc::{Prompt, SecretText};
use crate::model::text::{Lines, Printable};
use crate::ssh::channel::{ChannelHandle, ChannelStream};
use crate::ssh::endpoint::PendingSession;

/// How long a client may take to read a piece of output.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a user may take to answer a question.
const THINKING: Duration = Duration::from_secs(300);
/// How often a question is asked again because a line was not usable.
const MAX_TRIES: usize = 3;
/// How much is written at a time, in bytes.
const PIECE: usize = 16 * 1024;

/// The channel that a program runs on. Dropping it closes the channel.
#[derive(Debug)]
pub(super) struct ProgramSession {
    stream: ChannelStream,
    handle: ChannelHandle,
    /// The client's terminal is in raw mode: it shows what it gets.
    has_terminal: bool,
    /// Its columns and rows, where it has said them.
    terminal_size: Option<(u32, u32)>,
    editor: LineEditor,
}

impl ProgramSession {
    /// The channel of a session on which nothing has been started.
    pub(super) fn new(session: PendingSession) -> Self {
        Self {
            handle: session.stream.handle(),
            stream: session.stream,
            has_terminal: session.has_terminal,
            terminal_size: session.terminal_size,
            editor: LineEditor::new(),
        }
    }

    /// Prints lines. Characters that would drive a terminal are escaped.
    ///
    /// # Errors
    /// The client is gone, or does not read.
    pub(super) async fn print(&mut self, text: &str) -> io::Result<()> {
        let shown = self.shown(text);
        for piece in shown.as_bytes().chunks(PIECE) {
            self.write(piece).await?;
        }
        Ok(())
    }

    /// Whether questions can be asked: without a terminal, an answer would be shown, and could not be
    /// corrected.
    pub(super) fn can_ask(&self) -> bool {
        self.has_terminal
    }

    /// Asks a question at the terminal.
    ///
    /// # Errors
    /// The client is gone, or the user does not answer.
    pub(super) async fn ask(&mut self, prompt: &Prompt) -> Result<SecretText, ProgramError> {
        for _try in 0..MAX_TRIES {
            let question = Printable(&prompt.text).to_string();
            self.write(question.as_bytes()).await?;
            self.editor.begin(prompt.echo);
            let line = timeout(THINKING, self.line()).await;
            match line.unwrap_or(Err(ProgramError::Interrupted))? {
                Some(line) => return Ok(line),
                None => {
                    let text = format!("an answer has at most {MAX_LINE} bytes of UTF-8\n");
                    self.print(&text).await?;
                }
            }
        }
        Err(ProgramError::Interrupted)
    }

    /// The line that is typed; `None` if it is not usable.
    async fn line(&mut self) -> Result<Option<SecretText>, ProgramError> {
        let mut screen = Vec::new();
        loop {
            let byte = match self.stream.read_u8().await {
                Ok(byte) => byte,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(ProgramError::Interrupted);
                }
                Err(error) => return Err(error.into()),
            };
            let typed = self.editor.on_byte(byte, &mut screen);
            self.write(&screen).await?;
            screen.clear();
            match typed {
                LineProgress::Unfinished => {}
                LineProgress::Line(line) => return Ok(Some(line)),
                LineProgress::Unusable => return Ok(None),
                LineProgress::Interrupted => return Err(ProgramError::Interrupted),
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout(PATIENCE, written).await?
    }

    /// The columns and rows of the client's terminal, where it has said them.
    pub(super) fn terminal_size(&self) -> Option<(u32, u32)> {
        self.terminal_size
    }

    /// The channel's bytes as they are, both ways, and a handle that writes beside them.
    pub(super) fn raw(
        &mut self,
    ) -> (
        ReadHalf<&mut ChannelStream>,
        WriteHalf<&mut ChannelStream>,
        ChannelHandle,
    ) {
        let handle = self.handle.clone();
        let (reader, writer) = tokio::io::split(&mut self.stream);
        (reader, writer, handle)
    }

    /// Prints lines to standard error, at most 16 KiB in all.
    pub(super) fn complain(&self, text: &str) {
        self.handle.stderr(&self.shown(text));
    }

    /// Ends the program with this exit status.
    pub(super) fn exit(self, status: u32) {
        self.handle.exit_status(status);
    }

    fn shown(&self, text: &str) -> String {
        let text = Lines(text).to_string();
        match self.has_terminal {
            true => text.replace('\n', "\r\n"),
            false => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::DuplexStream;

    use super::*;
    use crate::ssh::testing::memory_channel;

    fn session(has_terminal: bool) -> (ProgramSession, DuplexStream) {
        let (stream, far) = memory_channel();
        let session = PendingSession {
            stream,
            forwards_agent: false,
            has_terminal,
            terminal_size: None,
        };
        (ProgramSession::new(session), far)
    }

    fn prompt(text: &str, echo: bool) -> Prompt {
        let text = text.to_owned();
        Prompt { text, echo }
    }

    /// What a terminal shows when these keys are typed, and the answers to the questions.
    async fn asked(keys: &[u8], prompts: &[Prompt]) -> (String, Vec<Result<String, ProgramError>>) {
        let (mut session, mut far) = session(true);
        far.write_all(keys).await.unwrap();
        let mut answers = Vec::new();
        for prompt in prompts {
            let answer = session.ask(prompt).await;
            answers.push(answer.map(|text| text.expose().to_owned()));
        }
        drop(session);
        let mut shown = String::new();
        far.read_to_string(&mut shown).await.unwrap();
        (shown, answers)
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_shown_where_the_question_says_so() {
        let prompts = [prompt("name: ", true), prompt("password: ", false)];
        let (shown, answers) = asked(b"alice\rcorrect horse\r", &prompts).await;
        assert_eq!(shown, "name: alice\r\npassword: \r\n");
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, ["alice", "correct horse"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_who_leaves_or_never_answers_gives_no_answer() {
        for keys in [&b"abc\x03"[..], b"\x04", b"abc"] {
            let (_, answers) = asked(keys, &[prompt("name: ", true)]).await;
            assert!(
                matches!(answers[..], [Err(ProgramError::Interrupted)]),
                "{answers:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_too_long_is_asked_for_again() {
        let mut keys = vec![b'x'; MAX_LINE + 1];
        keys.extend(b"\rok\r");
        let (shown, answers) = asked(&keys, &[prompt("code: ", false)]).await;
        assert_eq!(
            shown,
            "code: \r\nan answer has at most 1024 bytes of UTF-8\r\ncode: \r\n"
        );
        assert!(
            matches!(&answers[..], [Ok(text)] if text == "ok"),
            "{answers:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn output_does_not_act_on_a_terminal() {
        for (has_terminal, expected) in
            [(true, "a\r\n\\u{1b}[2Jb\r\n"), (false, "a\n\\u{1b}[2Jb\n")]
        {
            let (mut session, mut far) = session(has_terminal);
            session.print("a\n\x1b[2Jb\n").await.unwrap();
            drop(session);
            let mut shown = String::new();
            far.read_to_string(&mut shown).await.unwrap();
            assert_eq!(shown, expected);
        }
    }
}
