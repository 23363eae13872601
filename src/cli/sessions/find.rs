//! Asks all processes of the proxy for their live sessions, and finds the one that the user has
//! named.

use std::collections::BTreeMap;

use crate::cli::{Context, Exit, Failure, ui};
use crate::control::{self, ClientError, ControlReply, ControlRequest, Process, SessionRow, What};

/// How many candidates an ambiguous id lists.
const MAX_CANDIDATES: usize = 5;

/// Names the newest one.
pub(in crate::cli) const LAST: &str = "last";

/// Something live, and the process that has it.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) process: Process,
    pub(super) row: SessionRow,
}

/// Everything that is live, oldest first.
pub(super) fn all(context: &Context) -> Result<Vec<Live>, Failure> {
    let directory = context.config.data_dir.control();
    let mut live = Vec::new();
    let mut answered = 0_usize;
    for process in control::processes(&directory).map_err(failure)? {
        match process.ask(&ControlRequest::Sessions) {
            Ok(ControlReply::Done(rows)) => {
                answered += 1;
                live.extend(rows.into_iter().map(|row| Live {
                    process: process.clone(),
                    row,
                }));
            }
            Ok(ControlReply::Refused(why)) => return Err(super::refused::refused("", why)),
            Err(ClientError::Gone(_)) => {}
            Err(error @ ClientError::Denied(_)) => return Err(failure(error)),
            // The others may have what is looked for.
            Err(error) => ui::note(&format!("rproxy: {error}")),
            Ok(ControlReply::Pending) => {
                let error = ClientError::Garbled(process.pid());
                ui::note(&format!("rproxy: {error}"));
            }
        }
    }
    if answered == 0 {
        return Err(unreachable(context));
    }
    live.sort_by_key(|live| (live.row.start, live.row.id()));
    Ok(live)
}

/// Nothing answers on this data directory.
pub(in crate::cli) fn unreachable(context: &Context) -> Failure {
    let directory = context.config.data_dir.control();
    let directory = directory.display();
    Failure::new(Exit::Unreachable, "no proxy is running here").hint(format!(
        "its control socket would be in {directory}: start it with `rproxy serve`, or name its \
         directory with --data-dir"
    ))
}

/// A process could not be asked.
pub(in crate::cli) fn failure(error: ClientError) -> Failure {
    match error {
        ClientError::Denied(_) => Failure::new(Exit::NotPermitted, "cannot ask the running proxy")
            .because(error)
            .hint("ask as root, or as the account of the proxy"),
        ClientError::Gone(_)
        | ClientError::Silent(_)
        | ClientError::Garbled(_)
        | ClientError::Io(..) => {
            Failure::new(Exit::Unreachable, "cannot ask the running proxy").because(error)
        }
    }
}

/// The session or connection whose id is this, or the only one whose id begins with it; `last` is the
/// newest one. `live` is sorted, the oldest first.
pub(super) fn named<'l>(live: &'l [Live], name: &str) -> Result<(&'l Live, What), Failure> {
    let name = name.to_ascii_lowercase();
    if name == LAST {
        let newest = live.last().map(|one| match one.row.session {
            Some(session) => (one, What::Session(session)),
            None => (one, What::Connection(one.row.connection)),
        });
        return newest.ok_or_else(|| Failure::new(Exit::Failed, "nothing is live"));
    }
    let mut found = BTreeMap::new();
    for one in live {
        let connection = one.row.connection;
        let mut add = |id: String, what| {
            if !name.is_empty() && id.starts_with(&name) {
                found.entry(id).or_insert((one, what));
            }
        };
        if let Some(session) = one.row.session {
            add(session.to_string(), What::Session(session));
        }
        add(connection.to_string(), What::Connection(connection));
    }
    if let Some(exactly) = found.get(&name) {
        return Ok(*exactly);
    }
    let mut ids = found.iter();
    match (ids.next(), ids.next()) {
        (Some((_, only)), None) => Ok(*only),
        (None, _) => Err(Failure::new(
            Exit::Failed,
            format!("nothing live has an id that begins with {name:?}"),
        )
        .hint("`rproxy sessions ls` lists what is live")),
        (Some(_), Some(_)) => Err(ambiguous(&name, found.iter())),
    }
}

fn ambiguous<'f>(
    name: &str,
    found: impl ExactSizeIterator<Item = (&'f String, &'f (&'f Live, What))>,
) -> Failure {
    let message = format!("{} ids begin with {name:?}", found.len());
    found.take(MAX_CANDIDATES).fold(
        Failure::new(Exit::Failed, message),
        |failure, (id, (_, what))| {
            let what = match what {
                What::Session(_) => "session",
                What::Connection(_) => "connection",
            };
            failure.hint(format!("one is the {what} {id}"))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::sessions::ls::tests::row;

    fn live(session: Option<&str>, connection: &str) -> Live {
        let directory = tempfile::tempdir().unwrap();
        crate::sys::fs::create_new(&directory.path().join("7.sock"), 0o600).unwrap();
        let process = control::processes(directory.path()).unwrap().remove(0);
        let mut row = row();
        row.session = session.map(|id| id.parse().unwrap());
        row.connection = connection.parse().unwrap();
        Live { process, row }
    }

    #[test]
    fn an_id_may_be_shortened_while_it_is_unique() {
        let a = "01920000-0000-7000-8000-00000000000a";
        let b = "01920000-0000-7000-8000-00000000000b";
        let c = "0192ffff-0000-7000-8000-00000000000c";
        let d = "0193ffff-0000-7000-8000-00000000000d";
        // Two sessions of one connection, and a connection without one.
        let all = [live(Some(a), c), live(Some(b), c), live(None, d)];
        let named = |name: &str| named(&all, name).map(|(_, what)| what);
        assert_eq!(named(a).unwrap(), What::Session(a.parse().unwrap()));
        assert_eq!(
            named("0192FFFF").unwrap(),
            What::Connection(c.parse().unwrap())
        );
        assert_eq!(named("0193").unwrap(), What::Connection(d.parse().unwrap()));
        for missing in ["", "05", "01920000-0000-7000-8000-00000000000ab"] {
            let failure = named(missing).unwrap_err();
            assert!(failure.to_string().contains("sessions ls"), "{failure}");
        }
        assert_eq!(named("last").unwrap(), What::Connection(d.parse().unwrap()));
        let failure = named("0192").unwrap_err().to_string();
        assert!(failure.contains("3 ids begin with"), "{failure}");
        assert!(
            failure.contains(&format!("one is the connection {c}")),
            "{failure}"
        );
    }
}
