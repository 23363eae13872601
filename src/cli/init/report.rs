//! What is printed of a set-up, and the commands that come next.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use ssh_key::HashAlg;

use super::answers::{InitAnswers, SignInType};
use super::making::Done;
use super::{Exit, Failure, ReportFormat, ui};
use crate::ca::CaKind;
use crate::cli::users::invited;
use crate::config::DEFAULT_FILE;
use crate::model::text;

/// One object of `--format json`; the keys are fixed.
#[derive(Serialize)]
struct InitReport<'a> {
    config: String,
    data_dir: String,
    user_ca: Option<String>,
    host_ca: Option<String>,
    administrator: &'a str,
    invitation: Option<&'a str>,
    expires: Option<String>,
    command: String,
    next: [String; 2],
}

/// What is printed.
///
/// # Errors
/// None that can be caused from outside.
pub(super) fn text(
    answers: &InitAnswers,
    done: &Done,
    format: ReportFormat,
) -> Result<String, Failure> {
    match format {
        ReportFormat::Text => told(answers, done),
        ReportFormat::Json => object(answers, done),
    }
}

fn told(answers: &InitAnswers, done: &Done) -> Result<String, Failure> {
    let mut told = format!(
        "configuration:  {}\ndata directory: {}\n",
        text::path(&answers.file),
        text::path(&answers.data_dir)
    );
    for (kind, fingerprint) in fingerprints(done) {
        let _infallible = writeln!(told, "{kind} CA:        made, {fingerprint}");
    }
    let name = &answers.administrator;
    let _infallible = writeln!(told, "\nThe first administrator is {name}.");
    match &done.invited {
        Some(new) => told.push_str(&invited::told(&done.context, new, ReportFormat::Text)?),
        None => {
            let command = sign(answers, done);
            let _infallible = writeln!(
                told,
                "Sign {name}'s public key, for the accounts on hosts that {name} may use:\n\n    {command}"
            );
        }
    }
    let [start, host] = next(answers, done);
    let _infallible = writeln!(
        told,
        "\nNext, start the proxy, and make a certificate for a host from its public key:\n\n    \
         {start}\n    {host}"
    );
    Ok(told)
}

fn object(answers: &InitAnswers, done: &Done) -> Result<String, Failure> {
    let of = |kind| {
        let mut all = fingerprints(done);
        all.find(|(one, _)| *one == kind).map(|(_, text)| text)
    };
    let invitation = done.invited.as_ref();
    let object = InitReport {
        config: text::path(&answers.file).to_string(),
        data_dir: text::path(&answers.data_dir).to_string(),
        user_ca: of(CaKind::User),
        host_ca: of(CaKind::Host),
        administrator: answers.administrator.as_str(),
        invitation: invitation.map(|new| new.invitation.as_str()),
        expires: invitation.map(|new| ui::time(new.expires)),
        command: match answers.sign_in {
            SignInType::Local => invited::command(&done.context),
            SignInType::Certificate => sign(answers, done),
        },
        next: next(answers, done),
    };
    serde_json::to_string(&object)
        .map(|object| text::json(&object) + "\n")
        .map_err(|error| Failure::new(Exit::Internal, "cannot encode the report").because(error))
}

fn fingerprints(done: &Done) -> impl Iterator<Item = (CaKind, String)> {
    let made = done.made.iter();
    made.map(|one| (one.kind, one.key.fingerprint(HashAlg::Sha256).to_string()))
}

/// How the administrator gets a certificate.
fn sign(answers: &InitAnswers, done: &Done) -> String {
    let name = &answers.administrator;
    let rest = format!("auth sign --user={name} --logins=root --public-key={name}.pub");
    command(answers, done, &rest)
}

fn next(answers: &InitAnswers, done: &Done) -> [String; 2] {
    let start = match &done.account {
        Some(_) => "systemctl enable --now rproxy".to_owned(),
        None => command(answers, done, "serve"),
    };
    let host = "auth sign --host=db1 --public-key=db1.pub";
    [start, command(answers, done, host)]
}

/// A command line of this program, for the account that the proxy runs as.
fn command(answers: &InitAnswers, done: &Done, rest: &str) -> String {
    let account = match &done.account {
        Some(account) => format!("sudo -u {} ", account.name),
        None => String::new(),
    };
    let config = match answers.file == Path::new(DEFAULT_FILE) {
        true => String::new(),
        false => format!("--config={} ", text::path(&answers.file)),
    };
    format!("{account}rproxy {config}{rest}")
}
