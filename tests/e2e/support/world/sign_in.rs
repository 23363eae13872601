//! People who sign in: their accounts, and the questions that `ssh` shows them.

use std::path::{Path, PathBuf};
use std::process::Output;

use super::ca::Authorities;
use super::people::User;
use super::{World, login};
use crate::support::client::ClientCommand;
use crate::support::one_time::CodeGenerator;
use crate::support::terminal::Terminal;
use crate::support::{keys, programs};

/// With this variable, users of usual worlds sign in instead of holding certificates.
pub(super) const SIGNED_IN: &str = "RPROXY_TEST_SIGNED_IN";
/// The password of every account that signs up.
const PASSWORD: &str = "a long and dull password";

/// What a person knows and has, to sign in with.
#[derive(Debug)]
pub(crate) struct PersonAnswers {
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) authenticator: Option<CodeGenerator>,
}

impl PersonAnswers {
    /// Answers the questions for the password, and for a code if one is asked for.
    pub(crate) fn answer(&self, terminal: &mut Terminal) {
        let Self { name, password, .. } = self;
        terminal.answer_hidden(
            &format!("rproxy example.test: password for {name}: "),
            &format!("{password}\r"),
        );
        if let Some(authenticator) = &self.authenticator {
            terminal.expect(&format!("rproxy example.test: code for {name}: "));
            terminal.type_in(&format!("{}\r", authenticator.code()));
        }
    }
}

impl World {
    /// The credentials of the user of a world whose user signs in.
    pub(crate) fn account(&self) -> &PersonAnswers {
        self.account
            .as_ref()
            .expect("the user of this world signs in")
    }

    /// A certificate of the user CA for the user's own key, as `ssh-keygen` makes it with these arguments.
    pub(crate) fn certificate_for_the_users_key(
        &self,
        name: &str,
        logins: &str,
        more: &[&str],
    ) -> PathBuf {
        let authorities = Authorities::exported(&self.config());
        let key = keys::with_suffix(&self.user.key, ".certified");
        let public = |key: &Path| keys::with_suffix(key, ".pub");
        std::fs::copy(public(&self.user.key), public(&key)).expect("a readable key");
        keys::sign(&authorities.user_key(self.dir()), name, logins, more, &key);
        keys::with_suffix(&key, "-cert.pub")
    }

    /// `rproxy users` with these arguments.
    pub(crate) fn users(&self, arguments: &[&str]) -> Output {
        let mut rproxy = self.rproxy();
        rproxy.arg("users").args(arguments);
        rproxy.output().expect("rproxy runs")
    }

    /// The same, which must be a success; what it prints.
    pub(crate) fn users_do(&self, arguments: &[&str]) -> String {
        let output = self.users(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Adds a user who may log in to the account of the tests; the invitation.
    pub(crate) fn invite(&self, name: &str) -> String {
        let logins = format!("--logins={}", login());
        let added = self.users_do(&["add", name, "--roles=everywhere", &logins, "--format=json"]);
        invitation(&added)
    }

    /// A new invitation for a user, whose credentials are gone.
    pub(crate) fn reset(&self, name: &str) -> String {
        invitation(&self.users_do(&["reset", name, "--format=json"]))
    }

    /// `ssh` to the proxy under this name, at which questions may be asked.
    pub(crate) fn asking_ssh(&self, user: &str) -> ClientCommand<'_> {
        self.outer_ssh()
            .args(["-o", "BatchMode=no", "-l", user, "127.0.0.1"])
    }

    /// `ssh` through the proxy, at which the outer connection may ask questions.
    pub(crate) fn asking_ssh_to(&self, host: &str, command: &str) -> ClientCommand<'_> {
        let proxy_command = format!(
            "ProxyCommand={} -F {} -o BatchMode=no %r@127.0.0.1 -s proxy:%h:%p",
            programs::path("ssh").display(),
            self.dir().join("outer").display(),
        );
        self.ssh()
            .args(["-o", &proxy_command, "-o", "BatchMode=no", host, command])
    }

    /// Signs up at a terminal, with a password and an authenticator, until the proxy's help is shown.
    pub(crate) fn sign_up(&self, name: &str, invitation: &str) -> PersonAnswers {
        self.sign_up_through(name, invitation, self.user.socket())
    }

    /// The same with the agent at this socket.
    pub(crate) fn sign_up_through(
        &self,
        name: &str,
        invitation: &str,
        socket: &Path,
    ) -> PersonAnswers {
        let ssh = self.asking_ssh("signup").env("SSH_AUTH_SOCK", socket);
        let mut terminal = ssh.in_terminal(60, 120);
        terminal.expect("rproxy example.test: invitation: ");
        terminal.type_in(&format!("{invitation}\r"));
        for question in ["new password: ", "the same again: "] {
            terminal.answer_hidden(
                &format!("rproxy example.test: {question}"),
                &format!("{PASSWORD}\r"),
            );
        }
        terminal.expect("otpauth://");
        let uri = terminal.expect("\r\n");
        let authenticator = CodeGenerator::scan(&uri);
        terminal.expect(&format!("code for {name}: "));
        terminal.type_in(&format!("{}\r", authenticator.code()));
        terminal.expect("press Enter when you have stored them: ");
        terminal.type_in("\r");
        terminal.expect(&format!("you are {name}"));
        let (code, shown) = terminal.finish();
        assert_eq!(code, Some(0), "{}", String::from_utf8_lossy(&shown));
        PersonAnswers {
            name: name.to_owned(),
            password: PASSWORD.to_owned(),
            authenticator: Some(authenticator),
        }
    }

    /// Adds this user and signs up without a terminal. No second factor is asked for.
    pub(super) fn sign_up_silently(&self, user: &User, name: &str) -> PersonAnswers {
        self.sign_up_silently_by(name, &self.invite(name), user)
    }

    /// The same by an invitation.
    pub(crate) fn sign_up_silently_by(
        &self,
        name: &str,
        invitation: &str,
        user: &User,
    ) -> PersonAnswers {
        let askpass = self.dir().join(format!("askpass-{name}"));
        let script = format!(
            "#!/bin/sh\ncase $1 in\n*invitation*) echo '{invitation}';;\n*) echo '{PASSWORD}';;\nesac\n"
        );
        programs::put_script(&script, &askpass);
        self.asking_ssh("signup")
            .arg("help")
            .env("SSH_AUTH_SOCK", user.socket())
            .env("SSH_ASKPASS", &askpass)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .run()
            .success();
        PersonAnswers {
            name: name.to_owned(),
            password: PASSWORD.to_owned(),
            authenticator: None,
        }
    }
}

/// The invitation in what `users add` prints as JSON.
fn invitation(added: &str) -> String {
    let added: serde_json::Value = serde_json::from_str(added).expect("JSON");
    let invitation = added["invitation"].as_str();
    invitation.expect("an invitation").to_owned()
}
