//! The programs of a host's connection: `join`, `heartbeat`, `successors` and `revocations`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::answer;
use super::client::HostClient;
use super::host::HostCaller;
use super::report::{HostReport, ReportError, ReportReader};
use super::services::NodeServices;
use crate::ipc::{NodeRefusal, NodesAnswer, NodesQuestion};
use crate::model::text::{Lines, Printable};
use crate::model::{ConnectionId, chain, format_duration};
use crate::ssh::channel::ChannelStream;
use crate::ssh::endpoint::PendingSession;
use crate::ssh::revocation_file::ListError;
use crate::ssh::waiting_line::AskError;

/// How long a host may take to send its report.
const REPORT_TIME: Duration = Duration::from_secs(30);
/// How long a host may take to read a piece of an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much is written at a time, in bytes.
const PIECE: usize = 16 * 1024;
/// The exit status of a program that was refused or has failed.
const FAILED: u32 = 1;
/// The exit status for a command that does not exist, as shells have it.
const EXIT_UNKNOWN: u32 = 127;

/// A program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeProgram {
    /// The host joins.
    Join,
    /// The node says how it is.
    Heartbeat,
    /// The host asks for the host CA's later keys.
    Successors,
    /// The node asks for the revocation list.
    Revocations,
}

impl NodeProgram {
    const ALL: [Self; 4] = [
        Self::Join,
        Self::Heartbeat,
        Self::Successors,
        Self::Revocations,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Heartbeat => "heartbeat",
            Self::Successors => "successors",
            Self::Revocations => "revocations",
        }
    }

    /// The program that a command is.
    pub(super) fn of_command(command: &[u8]) -> Option<Self> {
        let command = command.trim_ascii();
        let mut all = Self::ALL.into_iter();
        all.find(|program| program.name().as_bytes() == command)
    }
}

/// What a program uses of its connection.
#[derive(Debug)]
pub(super) struct ProgramPlace {
    client: HostClient,
    has_joined: bool,
    nodes: Arc<NodeServices>,
    connection: ConnectionId,
}

impl ProgramPlace {
    pub(super) fn new(caller: &HostCaller, nodes: Arc<NodeServices>) -> Self {
        Self {
            client: caller.host.client.clone(),
            has_joined: caller.host.node.is_some(),
            nodes,
            connection: caller.connection,
        }
    }
}

/// Why a program has failed.
#[derive(Debug, Error)]
enum NodeProgramError {
    /// The host is gone, or does not read.
    #[error("the host does not read")]
    Gone(#[from] io::Error),
    /// The report is not one.
    #[error("the report is not used: {0}")]
    Report(#[from] ReportError),
    /// The report has not arrived.
    #[error(
        "the report has not arrived within {}: its last line has to be \"end\"",
        format_duration(REPORT_TIME)
    )]
    Late,
    /// There is no token in it.
    #[error("the report has no token")]
    NoToken,
    /// It was refused.
    #[error("{}", .0.message)]
    Refused(NodeRefusal),
    /// It was not asked, because the host asks too much.
    #[error("{0}")]
    TooMuch(AskError),
    /// There is no answer.
    #[error("the auth process cannot answer: {0}")]
    Unanswered(AskError),
    /// The answer does not fit the question.
    #[error("the auth process cannot answer: its answer does not fit the question")]
    Nonsense,
    /// The revocation list cannot be made.
    #[error("the revocation list cannot be made: {}", chain(.0))]
    NoList(#[from] ListError),
}

impl NodeProgramError {
    /// The stable name, and what to do.
    fn reason(&self) -> (&str, Option<&str>) {
        const AGAIN: &str =
            "try again in a moment; if it goes on, tell the people who run this proxy";
        match self {
            Self::Refused(refusal) => (&refusal.reason, refusal.hint.as_deref()),
            Self::Report(_) | Self::NoToken => (
                "report-invalid",
                Some("use a script of this proxy: rproxy nodes script"),
            ),
            Self::Late => ("report-late", None),
            Self::Gone(_) => ("gone", None),
            Self::TooMuch(_) => (
                "too-many-questions",
                Some(
                    "wait until the earlier ones are answered: a node asks for few things at a time",
                ),
            ),
            Self::Unanswered(_) | Self::Nonsense => ("nodes-unavailable", Some(AGAIN)),
            Self::NoList(_) => ("revocations-unavailable", Some(AGAIN)),
        }
    }
}

impl From<AskError> for NodeProgramError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::TooManyOf(_) => Self::TooMuch(error),
            _ => Self::Unanswered(error),
        }
    }
}

/// Runs a program to its end. A refusal is on stderr, with nothing on stdout.
pub(super) async fn run(place: ProgramPlace, session: PendingSession, program: NodeProgram) {
    let mut stream = session.stream;
    let handle = stream.handle();
    let answered = match output(&place, &mut stream, program).await {
        Ok(bytes) => write(&mut stream, &bytes).await,
        Err(error) => Err(error),
    };
    match answered {
        Ok(()) => handle.exit_status(0),
        Err(NodeProgramError::Gone(error)) => {
            tracing::debug!(%error, program = program.name(), "a host has left");
        }
        Err(error) => {
            handle.stderr(&told(program, &error, place.connection));
            handle.exit_status(FAILED);
        }
    }
}

/// A command that does not exist here.
pub(super) fn unknown(session: PendingSession) {
    let handle = session.stream.handle();
    let names = NodeProgram::ALL.map(NodeProgram::name).join(", ");
    handle.stderr(&format!(
        "rproxy: a host can ask for {names} and nothing else\n"
    ));
    handle.exit_status(EXIT_UNKNOWN);
}

/// What the host reads of a failure.
fn told(program: NodeProgram, error: &NodeProgramError, id: ConnectionId) -> String {
    let (reason, hint) = error.reason();
    let mut text = format!(
        "rproxy: {}: {} ({})\n",
        program.name(),
        Printable(&error.to_string()),
        Printable(reason)
    );
    if let Some(hint) = hint {
        text.push_str(&format!("  hint: {}\n", Printable(hint)));
    }
    text.push_str(&format!("  id: {id}\n"));
    Lines(&text).to_string()
}

/// What a program prints.
async fn output(
    place: &ProgramPlace,
    stream: &mut ChannelStream,
    program: NodeProgram,
) -> Result<Vec<u8>, NodeProgramError> {
    let ask = match program {
        NodeProgram::Join => {
            let HostReport { token, report } = report(stream).await?;
            let token = token.ok_or(NodeProgramError::NoToken)?;
            NodesQuestion::Join { token, report }
        }
        NodeProgram::Heartbeat => NodesQuestion::Heartbeat(report(stream).await?.report),
        NodeProgram::Successors => NodesQuestion::Successors,
        NodeProgram::Revocations => return revocations(place).await,
    };
    match (place.client.ask(ask).await?, program) {
        (NodesAnswer::Installation(node), NodeProgram::Join | NodeProgram::Heartbeat) => {
            let number = place.nodes.revocations.number();
            Ok(answer::installation(&node, number).into_bytes())
        }
        (NodesAnswer::Successors(certificates), NodeProgram::Successors) => {
            Ok(answer::successors(&certificates).into_bytes())
        }
        (NodesAnswer::Refused(refusal), _) => Err(NodeProgramError::Refused(refusal)),
        _ => Err(NodeProgramError::Nonsense),
    }
}

/// The revocation list, for nodes that have joined.
async fn revocations(place: &ProgramPlace) -> Result<Vec<u8>, NodeProgramError> {
    if !place.has_joined {
        return Err(NodeProgramError::Refused(NodeRefusal {
            reason: NodeRefusal::NOT_JOINED.to_owned(),
            message: "no node has this host key".to_owned(),
            hint: Some("join first, with a token of: rproxy tokens add --type=node".to_owned()),
        }));
    }
    Ok(place.nodes.revocations.list().await?.bytes.to_vec())
}

/// The report on the host's standard input.
async fn report(stream: &mut ChannelStream) -> Result<HostReport, NodeProgramError> {
    let mut reader = ReportReader::new();
    let read = async {
        let mut piece = [0; 4096];
        loop {
            let length = stream.read(&mut piece).await?;
            let bytes = piece.get(..length).unwrap_or_default();
            if length == 0 || reader.take(bytes)? {
                return Ok::<_, NodeProgramError>(());
            }
        }
    };
    timeout(REPORT_TIME, read)
        .await
        .map_err(|_elapsed| NodeProgramError::Late)??;
    Ok(reader.finish()?)
}

async fn write(stream: &mut ChannelStream, bytes: &[u8]) -> Result<(), NodeProgramError> {
    for piece in bytes.chunks(PIECE) {
        let written = async {
            stream.write_all(piece).await?;
            stream.flush().await
        };
        let written = timeout(PATIENCE, written).await;
        written.map_err(io::Error::from)??;
    }
    Ok(())
}
