//! Runs a program to its end.

use std::io;

use super::call::{ProgramCall, ProgramName};
use super::context::ProgramContext;
use super::failure::{FAILED, ProgramError};
use super::own::OwnAffairs;
use super::session::ProgramSession;
use super::{help, join, list, login, status};
use crate::ipc::OwnCommand;

/// The exit status for arguments that a program does not take.
const MISUSED: u32 = 2;
/// The exit status of a program that the user has interrupted, as shells have it for SIGINT.
const INTERRUPTED: u32 = 130;

/// Runs a program. The audit log has the event when the client reads the exit status.
pub(super) async fn run(context: ProgramContext, mut session: ProgramSession, call: ProgramCall) {
    let name = call.name();
    let ended = tokio::select! {
        ended = program(&context, &mut session, call) => ended,
        _why = context.scope.ended() => Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
    };
    let exit_status = match &ended {
        Ok(status) => Some(*status),
        // A client that is gone has no exit status.
        Err(ProgramError::Gone(_)) => None,
        Err(ProgramError::Interrupted) => Some(INTERRUPTED),
        Err(_) => Some(FAILED),
    };
    if let Err(error) = ended {
        tell(&session, name, &error);
    }
    context.audit(name, exit_status);
    if let Some(status) = exit_status {
        session.exit(status);
    }
}

/// Answers a call with arguments that the program does not take.
pub(super) fn explain(context: &ProgramContext, session: ProgramSession, program: ProgramName) {
    session.complain(&format!("usage: {}\n", program.usage()));
    context.audit(program, Some(MISUSED));
    session.exit(MISUSED);
}

fn tell(session: &ProgramSession, name: ProgramName, error: &ProgramError) {
    match error {
        ProgramError::Gone(_) => {}
        ProgramError::Interrupted => session.complain("\n"),
        ProgramError::Refused(refusal) => {
            session.complain(&format!("{}: {error}\n", name.name()));
            if let Some(hint) = &refusal.hint {
                session.complain(&format!("  hint: {hint}\n"));
            }
        }
        ProgramError::Unanswered(_) | ProgramError::Nonsense | ProgramError::Unusable(_) => {
            session.complain(&format!("{}: {error}\n", name.name()));
        }
    }
}

/// Runs a program; its exit status.
async fn program(
    context: &ProgramContext,
    session: &mut ProgramSession,
    call: ProgramCall,
) -> Result<u32, ProgramError> {
    match call {
        ProgramCall::Help => session.print(&help::text(context)).await?,
        ProgramCall::List { as_json } => return Ok(list_hosts(context, session, as_json).await?),
        ProgramCall::Joinable { as_json } => {
            return Ok(join::list_sessions(context, session, as_json).await?);
        }
        ProgramCall::Join {
            session: wanted,
            observes,
        } => return join::join(context, session, &wanted, observes).await,
        ProgramCall::Status if context.caller.identity.sign_in().is_none() => {
            session.print(&status::of_identity(context)).await?;
        }
        own => {
            let text = own_program(context, session, own).await?;
            session.print(&format!("{}\n", text.trim_end())).await?;
        }
    }
    Ok(0)
}

/// Runs a program for a person who has signed in; what it prints.
async fn own_program(
    context: &ProgramContext,
    session: &mut ProgramSession,
    call: ProgramCall,
) -> Result<String, ProgramError> {
    let person = context.caller.person.as_ref();
    let sign_in = context.caller.identity.sign_in();
    let (Some(person), Some(sign_in)) = (person, sign_in) else {
        return Err(ProgramError::Unusable(
            "this connection is authenticated by a certificate, and nobody has signed in on it"
                .to_owned(),
        ));
    };
    let own = OwnAffairs::new(person);
    let name = call.name();
    let command = match call {
        ProgramCall::Login { adds: true } => return login::add(context, &own).await,
        ProgramCall::Login { adds: false } => return Ok(status::of_sign_in(context, sign_in)),
        ProgramCall::Certificate => return own.certificate(OwnCommand::Certificate).await,
        ProgramCall::Password => OwnCommand::ChangePassword,
        ProgramCall::SecondFactor => OwnCommand::ChangeSecondFactor,
        ProgramCall::Logout { everywhere } => OwnCommand::Logout { everywhere },
        ProgramCall::Keys => OwnCommand::Keys,
        ProgramCall::RemoveKey { fingerprint } => OwnCommand::RemoveKey { fingerprint },
        ProgramCall::Help
        | ProgramCall::List { .. }
        | ProgramCall::Joinable { .. }
        | ProgramCall::Join { .. }
        | ProgramCall::Status => OwnCommand::Status,
    };
    let asks = matches!(
        command,
        OwnCommand::ChangePassword | OwnCommand::ChangeSecondFactor
    );
    match asks {
        true if session.can_ask() => own.converse(command, session).await,
        true => Err(ProgramError::Unusable(format!(
            "it asks questions, which needs a terminal: {} {}",
            context.command("-t"),
            name.name()
        ))),
        false => own.text(command).await,
    }
}

/// `ls`; its exit status.
async fn list_hosts(
    context: &ProgramContext,
    session: &mut ProgramSession,
    as_json: bool,
) -> io::Result<u32> {
    let hosts = list::open_hosts(context).await;
    if as_json {
        let json = serde_json::to_string(&hosts).map_err(io::Error::other)?;
        session.print(&format!("{json}\n")).await?;
    } else if hosts.is_empty() {
        session.complain("no host of this proxy's list is open to you from here\n");
        return Ok(FAILED);
    } else {
        session.print(&list::table(&hosts)).await?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::ipc::{PeopleAnswer, PeopleQuestion, PeopleRefusal, Prompt, Questions};
    use crate::ssh::endpoint::PendingSession;
    use crate::ssh::outer::programs::testing::{ScriptedPeople, signed_in};
    use crate::ssh::testing::{SshFixture, memory_channel};

    /// What the user reads of a program that gets this answer, at a terminal where these keys are typed or
    /// without one; the exit status in the audit log, and what was asked.
    async fn run_with(
        command: &str,
        answer: PeopleAnswer,
        keys: Option<&str>,
    ) -> (String, Option<u64>, Vec<PeopleQuestion>) {
        let proxy = SshFixture::new();
        let people = ScriptedPeople::new(vec![answer]);
        let context = signed_in(&proxy, people.person());
        let (stream, mut far) = memory_channel();
        far.write_all(keys.unwrap_or_default().as_bytes())
            .await
            .unwrap();
        let session = ProgramSession::new(PendingSession {
            stream,
            forwards_agent: false,
            has_terminal: keys.is_some(),
            terminal_size: None,
        });
        let call = ProgramCall::parse(command.as_bytes()).unwrap();
        // The connection, which outlives the program.
        let _person = context.caller.person.clone();
        run(context, session, call).await;
        let mut shown = String::new();
        far.read_to_string(&mut shown).await.unwrap();
        let audited = proxy.audited();
        let run = audited.last().unwrap();
        assert_eq!(
            (&run["event"], &run["user"]),
            (&"program.run".into(), &"alice".into())
        );
        (shown, run["exit_status"].as_u64(), people.asked())
    }

    fn text(text: &str) -> PeopleAnswer {
        PeopleAnswer::Text(text.to_owned())
    }

    #[tokio::test]
    async fn each_program_asks_for_what_it_is_called() {
        for (command, own) in [
            ("status", OwnCommand::Status),
            ("logout", OwnCommand::Logout { everywhere: false }),
            (
                "logout --everywhere",
                OwnCommand::Logout { everywhere: true },
            ),
            ("keys", OwnCommand::Keys),
            (
                "keys rm SHA256:x",
                OwnCommand::RemoveKey {
                    fingerprint: "SHA256:x".to_owned(),
                },
            ),
        ] {
            let (shown, status, asked) = run_with(command, text("so it is\n"), None).await;
            assert_eq!((shown.as_str(), status), ("so it is\n", Some(0)));
            assert_eq!(asked, [PeopleQuestion::Own(own)]);
        }
        let line = PeopleAnswer::Certificate("ssh-ed25519-cert-v01@openssh.com AAAA".to_owned());
        let (shown, status, asked) = run_with("cert", line, None).await;
        assert_eq!(shown, "ssh-ed25519-cert-v01@openssh.com AAAA\n");
        assert_eq!(status, Some(0));
        assert_eq!(asked, [PeopleQuestion::Own(OwnCommand::Certificate)]);
    }

    #[tokio::test]
    async fn a_program_without_a_terminal_asks_no_questions() {
        for command in ["passwd", "mfa"] {
            let (shown, status, asked) = run_with(command, text("never"), None).await;
            let way = format!("needs a terminal: ssh -t -p 3023 alice@PROXY {command}\n");
            assert!(shown.ends_with(&way), "{shown}");
            assert_eq!((status, asked), (Some(1), Vec::new()));
            let (shown, status, asked) = run_with(command, text("changed"), Some("")).await;
            assert_eq!((shown.as_str(), status), ("changed\r\n", Some(0)));
            assert_eq!(asked.len(), 1);
        }
    }

    #[tokio::test]
    async fn failures_are_told_and_have_a_status() {
        let refused = PeopleAnswer::Refused(PeopleRefusal {
            reason: "no-logins".to_owned(),
            message: "your roles name no logins".to_owned(),
            hint: Some("ask for some".to_owned()),
            is_final: false,
        });
        let (shown, status, _) = run_with("cert", refused, None).await;
        let expected = "cert: your roles name no logins\n  hint: ask for some\n";
        assert_eq!((shown.as_str(), status), (expected, Some(1)));
        let (shown, status, _) = run_with("cert", text("none"), None).await;
        assert_eq!(shown, "cert: the proxy's answer makes no sense\n");
        assert_eq!(status, Some(1));
        let question = PeopleAnswer::Questions(Questions {
            banner: String::new(),
            prompts: vec![Prompt {
                text: "password: ".to_owned(),
                echo: false,
            }],
        });
        let (_, status, asked) = run_with("passwd", question, Some("secret\x03")).await;
        assert_eq!((status, asked.len()), (Some(130), 1));
        let (shown, status, asked) = run_with("login --add", text(""), None).await;
        let way = "login: no agent is forwarded: ssh -A -p 3023 alice@PROXY login --add\n";
        assert_eq!((shown.as_str(), status, asked), (way, Some(1), Vec::new()));
    }

    #[tokio::test]
    async fn login_tells_until_when() {
        let (shown, status, asked) = run_with("login", text(""), None).await;
        assert!(shown.starts_with("signed in as alice until "), "{shown}");
        assert!(shown.ends_with(", in 11h59m\n"), "{shown}");
        assert_eq!((status, asked), (Some(0), Vec::new()));
    }
}
