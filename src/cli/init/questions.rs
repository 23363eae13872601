//! The questions, each with what it is about and an answer that is proposed.

use std::path::Path;

use clap::ValueEnum as _;

use super::answers::{self, InitAnswers, InitRequest, SignInType, SignInWay};
use super::asking::{absolute, ask_one, said};
use super::{Exit, Failure, existing, ui};
use crate::config::format_host_and_port;
use crate::model::{UserName, text};

/// Asks for everything that no flag has said.
///
/// # Errors
/// When the terminal goes away, the user interrupts, or does not want it after all.
pub(super) fn ask(wanted: InitRequest) -> Result<InitAnswers, Failure> {
    ui::note(&format!(
        "This sets up rproxy: the configuration {}, two certificate\n\
         authorities (CAs), and the first administrator. Enter accepts the answer in brackets.\n\
         Nothing is written before the last question.",
        text::path(&wanted.file)
    ));
    let cluster = match wanted.cluster {
        Some(cluster) => cluster,
        None => ask_one(
            "The name of this installation. It is in what users read, and a host can be asked for\n\
             with it: db1.NAME. Every host, user and recording belongs to it, so it stays.",
            "Name of the cluster",
            answers::proposed_cluster()
                .as_ref()
                .map(ToString::to_string),
            |typed| typed.parse().map_err(said),
        )?,
    };
    let public = match wanted.public {
        Some(public) => public,
        None => ask_one(
            "The address that users give to ssh: a name in DNS, and the port that rproxy listens at.",
            "Public address of the proxy",
            answers::proposed_public().map(|(host, port)| format_host_and_port(&host, port)),
            answers::public_addr,
        )?,
    };
    let data_dir = match wanted.data_dir {
        Some(directory) => absolute(&directory)?,
        None => ask_one(
            "Recordings go into this directory, with the keys of the CAs, the users and the audit log.\n\
             Only the account that runs rproxy can read it. An hour at a terminal is some megabytes.",
            "Directory",
            answers::proposed_data_dir().map(|path| path.display().to_string()),
            |typed| {
                let directory = absolute(Path::new(typed)).map_err(said)?;
                existing::check_data_dir(&directory).map_err(said)?;
                Ok(directory)
            },
        )?,
    };
    let sign_in = match wanted.sign_in {
        Some(sign_in) => sign_in,
        None => ask_one(
            "How users prove who they are:\n\
             \x20 local        their key, a password and a one-time code, asked for by plain ssh at most\n\
             \x20              once in 12 hours; `rproxy users add` invites them\n\
             \x20 oidc         their key and, in a browser, an OpenID Connect provider\n\
             \x20 certificate  certificates that you sign with `rproxy auth sign`",
            "local, oidc or certificate",
            Some(SignInType::Local.to_string()),
            |typed| {
                SignInType::from_str(typed, true)
                    .map_err(|_other| "local, oidc or certificate".to_owned())
            },
        )?,
    };
    let sign_in = match sign_in {
        SignInType::Oidc => SignInWay::Oidc(wanted.provider.ask(&wanted.file)?),
        SignInType::Local => SignInWay::Local(administrator(wanted.administrator)?),
        SignInType::Certificate => SignInWay::Certificate(administrator(wanted.administrator)?),
    };
    let answers = InitAnswers {
        file: wanted.file,
        data_dir,
        cluster,
        public,
        sign_in,
    };
    confirm(&answers)?;
    Ok(answers)
}

fn administrator(given: Option<UserName>) -> Result<UserName, Failure> {
    match given {
        Some(name) => Ok(name),
        None => ask_one(
            "The first administrator may log in to every host under every account. Others get less:\n\
             their roles are in the configuration.",
            "User name of the first administrator",
            answers::proposed_administrator().map(|name| name.to_string()),
            |typed| typed.parse().map_err(said),
        ),
    }
}

/// The last question.
fn confirm(answers: &InitAnswers) -> Result<(), Failure> {
    let explanation = format!(
        "Now rproxy writes {}\nand makes the CAs in {}.",
        text::path(&answers.file),
        text::path(&answers.data_dir)
    );
    let goes_on = ask_one(
        &explanation,
        "Go on",
        Some("yes".to_owned()),
        |typed| match typed.to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(true),
            "n" | "no" => Ok(false),
            _ => Err("yes or no".to_owned()),
        },
    )?;
    match goes_on {
        true => Ok(()),
        false => Err(Failure::new(Exit::Interrupted, "nothing was written")),
    }
}
