//! People who sign in: their accounts, and the questions that `ssh` shows them.

use std::path::{Path, PathBuf};
use std::process::Output;

use super::people::User;
use super::{World, login};
use crate::support::client::ClientCommand;
use crate::support::one_time::CodeGenerator;
use crate::support::terminal::Terminal;
use crate::support::{keys, programs};

/// With this variable, users of usual worlds sign in instead of holding certificates.
pub(super) const SIGNED_IN: &str = "RPROXY_TEST_SIGNED_IN";
/// The password of every account that signs up.
pub(super) const PASSWORD: &str = "a long and dull password";

/// What a person knows and has, to sign in with.
#[derive(Debug)]
pub(crate) struct PersonAnswers {
    pub(crate) name: String,
    pub(crate) password: String,
    pub(crate) authenticator: Option<CodeGenerator>,
    /// The recovery codes that were shown.
    pub(crate) recovery: Vec<String>,
}

impl PersonAnswers {
    /// Those of a person whose second factor is not an authenticator.
    pub(crate) fn without_authenticator(name: &str, recovery: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            password: PASSWORD.to_owned(),
            authenticator: None,
            recovery,
        }
    }

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

    /// The user's certificate, in the file beside the key. A user who signs in gets it by the program `cert`.
    pub(crate) fn certificate_file(&self) -> PathBuf {
        let file = keys::with_suffix(&self.user.key, "-cert.pub");
        if let Some(account) = &self.account {
            let printed = self.asking_ssh(&account.name).arg("cert").run().success();
            std::fs::write(&file, printed.stdout).expect("a writable directory");
        }
        file
    }

    /// From now on the user's agent holds a certificate: a user who signs in runs `login --add`.
    pub(crate) fn put_certificate_into_agent(&self) {
        if let Some(account) = &self.account {
            let ssh = self.asking_ssh(&account.name);
            ssh.args(["-A", "login", "--add"]).run().success();
        }
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
        Self::sign_up_at(ssh.in_terminal(60, 120), name, invitation)
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
        PersonAnswers::without_authenticator(name, Vec::new())
    }
}

/// The invitation in what `users add` prints as JSON.
fn invitation(added: &str) -> String {
    let added: serde_json::Value = serde_json::from_str(added).expect("JSON");
    let invitation = added["invitation"].as_str();
    invitation.expect("an invitation").to_owned()
}
