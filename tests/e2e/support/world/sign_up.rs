//! A person at a terminal who signs up.

use super::sign_in::PASSWORD;
use super::{PersonAnswers, World};
use crate::support::one_time::CodeGenerator;
use crate::support::terminal::Terminal;

/// The questions of a sign-up, of which each step answers one or two.
pub(crate) struct SignUp {
    name: String,
    pub(crate) terminal: Terminal,
}

impl SignUp {
    /// Answers with the invitation, and with the new password twice.
    pub(crate) fn begin(mut terminal: Terminal, name: &str, invitation: &str) -> Self {
        terminal.expect("rproxy example.test: invitation: ");
        terminal.type_in(&format!("{invitation}\r"));
        for question in ["new password: ", "the same again: "] {
            terminal.answer_hidden(
                &format!("rproxy example.test: {question}"),
                &format!("{PASSWORD}\r"),
            );
        }
        Self {
            name: name.to_owned(),
            terminal,
        }
    }

    /// Sets up an authenticator, and answers with its first code.
    pub(crate) fn set_up(&mut self) -> CodeGenerator {
        self.terminal.expect("otpauth://");
        let uri = self.terminal.expect("\r\n");
        let authenticator = CodeGenerator::scan(&uri);
        self.answer_code(&authenticator.code());
        authenticator
    }

    /// Answers the question for the first code.
    pub(crate) fn answer_code(&mut self, code: &str) {
        self.terminal.expect(&format!("code for {}: ", self.name));
        self.terminal.type_in(&format!("{code}\r"));
    }

    /// The recovery codes, which are stored then.
    pub(crate) fn recovery_codes(&mut self) -> Vec<String> {
        self.terminal.expect("They are not shown again:");
        let shown = self
            .terminal
            .expect("press Enter when you have stored them: ");
        self.terminal.type_in("\r");
        let lines = shown.lines().map(str::trim);
        let codes = lines.filter(|line| line.contains('-') && !line.contains(' '));
        codes.map(str::to_owned).collect()
    }

    /// Waits for the proxy's help, and the end.
    pub(crate) fn finish(mut self) {
        self.terminal.expect(&format!("you are {}", self.name));
        let (code, shown) = self.terminal.finish();
        assert_eq!(code, Some(0), "{}", String::from_utf8_lossy(&shown));
    }
}

impl World {
    /// Signs up at a terminal, with an authenticator.
    pub(crate) fn sign_up_at(terminal: Terminal, name: &str, invitation: &str) -> PersonAnswers {
        let mut sign_up = SignUp::begin(terminal, name, invitation);
        let authenticator = sign_up.set_up();
        let recovery = sign_up.recovery_codes();
        sign_up.finish();
        PersonAnswers {
            name: name.to_owned(),
            password: PASSWORD.to_owned(),
            authenticator: Some(authenticator),
            recovery,
        }
    }
}
