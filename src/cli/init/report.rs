//! What is printed of a set-up, and the commands that come next.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use ssh_key::HashAlg;

use super::answers::{InitAnswers, SignInWay};
use super::making::Done;
use super::{Exit, Failure, ReportFormat, ui};
use crate::ca::CaKind;
use crate::cli::users::invited;
use crate::config::DEFAULT_FILE;
use crate::model::text;

/// The path that the provider sends the browser to.
const CALLBACK: &str = "/webapi/oidc/callback";

/// One object of `--format json`; the keys are fixed.
#[derive(Serialize)]
struct InitReport<'a> {
    config: String,
    data_dir: String,
    user_ca: Option<String>,
    host_ca: Option<String>,
    administrator: String,
    invitation: Option<&'a str>,
    expires: Option<String>,
    redirect_url: Option<String>,
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
    told.push('\n');
    told.push_str(&first(answers, done)?);
    let [start, host] = next(answers, done);
    let _infallible = writeln!(
        told,
        "\nNext, start the proxy, and make a certificate for a host from its public key:\n\n    \
         {start}\n    {host}"
    );
    Ok(told)
}

/// Who the first administrator is, and what this person has to do.
fn first(answers: &InitAnswers, done: &Done) -> Result<String, Failure> {
    let command = command_of_administrator(answers, done);
    Ok(match &answers.sign_in {
        SignInWay::Local(name) => {
            let invited = match &done.invited {
                Some(new) => invited::told(&done.context, new, ReportFormat::Text)?,
                None => String::new(),
            };
            format!("The first administrator is {name}.\n{invited}")
        }
        SignInWay::Certificate(name) => format!(
            "The first administrator is {name}. Sign {name}'s public key, for the accounts on hosts \
             that {name} may use:\n\n    {command}\n"
        ),
        SignInWay::Oidc(provider) => {
            let redirect = redirect_url(done).unwrap_or_default();
            format!(
                "Administrators are users with the claim {}. Register this redirect URL at the \
                 provider:\n\n    {redirect}\n\nThen an administrator signs in with this command:\n\n    \
                 {command}\n",
                provider.admin
            )
        }
    })
}

/// Where the provider sends the browser to.
fn redirect_url(done: &Done) -> Option<String> {
    let config = &done.context.config;
    if !config.auth.authentication.has_oidc() {
        return None;
    }
    config
        .proxy
        .web_origin()
        .map(|origin| format!("{origin}{CALLBACK}"))
}

/// How the administrator gets to a sign-in or a certificate.
fn command_of_administrator(answers: &InitAnswers, done: &Done) -> String {
    match &answers.sign_in {
        SignInWay::Local(_) => invited::command(&done.context),
        SignInWay::Certificate(name) => {
            let rest = format!("auth sign --user={name} --logins=root --public-key={name}.pub");
            command(answers, done, &rest)
        }
        SignInWay::Oidc(_) => {
            let (host, port) = &answers.public;
            format!("ssh -p {port} {host} login")
        }
    }
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
        administrator: match &answers.sign_in {
            SignInWay::Local(name) | SignInWay::Certificate(name) => name.to_string(),
            SignInWay::Oidc(provider) => provider.admin.to_string(),
        },
        invitation: invitation.map(|new| new.invitation.as_str()),
        expires: invitation.map(|new| ui::time(new.expires)),
        redirect_url: redirect_url(done),
        command: command_of_administrator(answers, done),
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
