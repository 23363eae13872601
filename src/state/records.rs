//! The records of an installation's CAs in the state.
//!
//! Before there is a state, the files `issued.jsonl` and `revoked.jsonl` of the data directory are read.
//! The first change makes the state and takes them over; from then on the state is what counts, for all
//! processes. The files are continued as a copy, for earlier versions of rproxy: a worker of such a version
//! that still has sessions, and the way back to it. Certificates of connections are not in the copy.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::error::StateError;
use super::handle::State;
use super::issued::{LedgerFilter, PageEnd};
use super::node_rows::JoinedNode;
use super::place::StatePlace;
use super::revocations::RevocationRow;
use super::taking_over::FileRecords;
use crate::ca::{
    CaError, CaKind, CaRecords, IssueLog, IssueRecord, IssuedFor, Ledger, NodeKeys, NodeReports,
    RevocationLog, RevocationRecord, RevocationStore, Revocations, RotationMoves,
};
use crate::cert::random_serial;
use crate::model::{DataDir, Serial, chain};
use crate::sys::clock::Clock;
use crate::sys::fs::{FileLock, FsError, private_dir};

/// How many rows are read at once.
const PAGE: usize = 1000;

/// The records of the CAs of a data directory, in the state at this place. Nothing is opened yet. Reading
/// makes no state; the first change does.
#[must_use]
pub fn records(place: Result<StatePlace, FsError>, data_dir: &DataDir, clock: Clock) -> CaRecords {
    let place = place.map_err(|error| chain(&error).to_string());
    shared(StateRecords::new(place, OnceLock::new(), data_dir, clock))
}

/// The same, in a state that is open.
#[must_use]
pub fn records_in(state: &State, place: StatePlace, data_dir: &DataDir) -> CaRecords {
    let clock = state.clock();
    shared(StateRecords::new(
        Ok(place),
        OnceLock::from(state.clone()),
        data_dir,
        clock,
    ))
}

fn shared(records: StateRecords) -> CaRecords {
    let records = Arc::new(records);
    CaRecords {
        issued: Arc::clone(&records) as Arc<dyn IssueLog>,
        revoked: Arc::clone(&records) as Arc<dyn RevocationStore>,
        nodes: records,
    }
}

#[derive(Debug)]
struct StateRecords {
    /// An error is that of the file with the database's password.
    place: Result<StatePlace, String>,
    state: OnceLock<State>,
    /// Set once the files were taken over.
    in_force: OnceLock<()>,
    data_dir: DataDir,
    ledger: Ledger,
    log: RevocationLog,
    clock: Clock,
    /// The revocations that were read so far.
    known: Mutex<Vec<RevocationRecord>>,
    /// The same, as decisions are made with it.
    shared: Mutex<Arc<Revocations>>,
}

impl StateRecords {
    fn new(
        place: Result<StatePlace, String>,
        state: OnceLock<State>,
        data_dir: &DataDir,
        clock: Clock,
    ) -> Self {
        Self {
            place,
            state,
            in_force: OnceLock::new(),
            data_dir: data_dir.clone(),
            ledger: Ledger::of(data_dir),
            log: RevocationLog::new(data_dir, clock),
            clock,
            known: Mutex::default(),
            shared: Mutex::default(),
        }
    }

    fn place(&self) -> Result<&StatePlace, StateError> {
        let place = self.place.as_ref();
        place.map_err(|why| StateError::Address(why.clone()))
    }

    /// The state, if there is one. One with an older schema is an error.
    fn existing(&self) -> Result<Option<&State>, StateError> {
        if let Some(state) = self.state.get() {
            return Ok(Some(state));
        }
        match State::open_existing(self.place()?, self.clock) {
            Err(StateError::Missing { .. }) => Ok(None),
            opened => opened.map(|state| Some(self.keep(state))),
        }
    }

    /// The state, which is made if it is missing, and whose schema is brought to the latest version.
    fn made(&self) -> Result<&State, StateError> {
        let made = State::open(self.place()?, self.clock)?;
        Ok(self.keep(made))
    }

    /// The state, if it is what counts; else the files are. Before the proxy has brought an older schema
    /// to the latest one, the copy in the files is read.
    fn in_force(&self) -> Result<Option<&State>, CaError> {
        let state = match self.existing() {
            Ok(Some(state)) => state,
            Ok(None) | Err(StateError::Older { .. }) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if self.in_force.get().is_none() {
            if !state.has_taken_over().map_err(failed)? {
                return Ok(None);
            }
            self.in_force.get_or_init(|| ());
        }
        Ok(Some(state))
    }

    /// The state, for a change: it is made, and takes over the files, if that has not happened.
    fn for_change(&self) -> Result<&State, CaError> {
        // Only the process that settles brings a schema up.
        self.existing().map_err(failed)?;
        match self.in_force()? {
            Some(state) => Ok(state),
            None => self.take_over(),
        }
    }

    /// Makes the state if it is missing, and takes over what the files have.
    fn take_over(&self) -> Result<&State, CaError> {
        private_dir(self.data_dir.path())?;
        let existing = match self.existing() {
            Err(StateError::Older { .. }) => self.made().map(Some),
            existing => existing,
        };
        let existing = existing.map_err(failed)?;
        let is_new = match existing {
            Some(state) => !state.has_taken_over().map_err(failed)?,
            None => true,
        };
        // Writers of earlier versions lock the files in this order.
        let locks = [self.data_dir.revocations(), self.data_dir.ledger()];
        let locks = locks.iter().filter(|path| path.is_file());
        let _locks: Vec<_> = locks
            .map(|path| FileLock::wait(path))
            .collect::<Result<_, _>>()?;
        // What the state has taken over once is not missed if the file has less of it now.
        let revoked = match is_new {
            true => self.log.read(),
            false => self.log.follow(),
        };
        let files = FileRecords {
            revoked: revoked?.records().to_vec(),
            issued: self.ledger.issued()?,
            moves: self.ledger.rotation_moves()?,
        };
        let state = match existing {
            Some(state) => state,
            None => self.made().map_err(failed)?,
        };
        state.take_over(&files).map_err(failed)?;
        self.in_force.get_or_init(|| ());
        Ok(state)
    }

    fn keep(&self, state: State) -> &State {
        self.state.get_or_init(|| state)
    }

    /// What is revoked; only what was added since the last time is read.
    fn known(&self, state: &State) -> Result<MutexGuard<'_, Vec<RevocationRecord>>, CaError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let last = known.last().map_or(0, |record| record.version);
            let rows = state.revocations().after(last, PAGE).map_err(failed)?;
            for row in &rows {
                let record = Revocations::parse(row.line.as_bytes());
                known.push(record.ok_or_else(|| failed(unreadable()))?);
            }
            if rows.len() < PAGE {
                return Ok(known);
            }
        }
    }

    /// All certificates that were issued for this.
    fn all(&self, state: &State, issued_for: IssuedFor) -> Result<Vec<IssueRecord>, CaError> {
        let filter = LedgerFilter {
            issued_for: Some(issued_for),
            ..LedgerFilter::default()
        };
        let mut all: Vec<IssueRecord> = Vec::new();
        loop {
            let after = all.last().map(PageEnd::of);
            let page = state.issued().page(&filter, after.as_ref(), PAGE);
            let page = page.map_err(failed)?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    /// Continues the copy in files. What cannot be written there is in force all the same.
    fn copy(&self, copy: impl FnOnce() -> Result<(), CaError>) {
        if let Err(error) = copy() {
            tracing::error!(
                error = %chain(&error),
                "cannot continue the copy of the records that earlier versions read"
            );
        }
    }
}

impl IssueLog for StateRecords {
    fn issued(&self) -> Result<Vec<IssueRecord>, CaError> {
        match self.in_force()? {
            Some(state) => self.all(state, IssuedFor::Signed),
            None => self.ledger.issued(),
        }
    }

    fn issued_for_connections(&self) -> Result<Vec<IssueRecord>, CaError> {
        match self.in_force()? {
            Some(state) => self.all(state, IssuedFor::Connection),
            None => Ok(Vec::new()),
        }
    }

    fn count_for_connections(&self) -> Result<u64, CaError> {
        let filter = LedgerFilter {
            issued_for: Some(IssuedFor::Connection),
            ..LedgerFilter::default()
        };
        match self.in_force()? {
            Some(state) => state.issued().count(&filter).map_err(failed),
            None => Ok(0),
        }
    }

    fn find(&self, serial: Serial) -> Result<Option<IssueRecord>, CaError> {
        let Some(state) = self.in_force()? else {
            return self.ledger.find(serial);
        };
        let filter = LedgerFilter {
            serial: Some(serial),
            ..LedgerFilter::default()
        };
        let found = state.issued().page(&filter, None, 1);
        found.map(|mut found| found.pop()).map_err(failed)
    }

    fn ca_of_other_machines(&self, kind: CaKind) -> Result<Option<String>, CaError> {
        if !matches!(self.place, Ok(StatePlace::Postgres(_))) {
            return Ok(None);
        }
        match self.in_force()? {
            Some(state) => state.issued().last_ca(kind).map_err(failed),
            None => Ok(None),
        }
    }

    fn fresh_serial(&self) -> Result<Serial, CaError> {
        let state = self.for_change()?;
        loop {
            let serial = random_serial();
            if !state.issued().has(serial).map_err(failed)? {
                return Ok(serial);
            }
        }
    }

    fn record(&self, record: &IssueRecord) -> Result<bool, CaError> {
        let state = self.for_change()?;
        let is_new = state.issued().add(record).map_err(failed)?;
        if is_new && record.issued_for == IssuedFor::Signed {
            self.copy(|| self.ledger.record(record).map(|_is_new| ()));
        }
        Ok(is_new)
    }

    fn rotation_moves(&self) -> Result<RotationMoves, CaError> {
        match self.in_force()? {
            Some(state) => state.rotation_moves().map_err(failed),
            None => self.ledger.rotation_moves(),
        }
    }

    fn mark_rotation(&self, kind: CaKind, moves: u64, clock: Clock) -> Result<(), CaError> {
        let state = self.for_change()?;
        state.mark_rotation(kind, moves).map_err(failed)?;
        self.copy(|| self.ledger.mark_rotation(kind, moves, clock));
        Ok(())
    }
}

impl RevocationStore for StateRecords {
    fn place(&self) -> String {
        match self.in_force() {
            Ok(None) => self.log.place(),
            Ok(Some(_)) | Err(_) => match &self.place {
                Ok(place) => place.to_string(),
                Err(_) => "the state".to_owned(),
            },
        }
    }

    fn check_copy(&self) -> Result<(), CaError> {
        match self.in_force()? {
            Some(_) => self.log.follow().map(|_found| ()),
            None => Ok(()),
        }
    }

    fn clock(&self) -> Clock {
        self.clock
    }

    fn read(&self) -> Result<Revocations, CaError> {
        match self.in_force()? {
            Some(state) => Ok(Revocations::of(self.known(state)?.clone())),
            None => self.log.read(),
        }
    }

    fn shared(&self) -> Result<Arc<Revocations>, CaError> {
        let Some(state) = self.in_force()? else {
            return self.log.read().map(Arc::new);
        };
        let known = self.known(state)?;
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing is ever removed from it.
        if shared.records().len() != known.len() {
            *shared = Arc::new(Revocations::of(known.clone()));
        }
        Ok(Arc::clone(&shared))
    }

    fn settle(&self) -> Result<Revocations, CaError> {
        let state = self.take_over()?;
        let known = self.known(state)?.clone();
        self.copy(|| self.log.complete(&known));
        Ok(Revocations::of(known))
    }

    fn since(&self, known: u64, most: usize) -> Result<Vec<String>, CaError> {
        let Some(state) = self.in_force()? else {
            return self.log.since(known, most);
        };
        let all = self.known(state)?;
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let lines = all.iter().skip(known).take(most);
        lines
            .map(|record| serde_json::to_string(record).map_err(CaError::Record))
            .collect()
    }

    fn append(&self, after: u64, records: &[RevocationRecord]) -> Result<bool, CaError> {
        let state = self.for_change()?;
        let mut rows = Vec::new();
        for record in records {
            let line = serde_json::to_string(record).map_err(CaError::Record)?;
            let version = record.version;
            rows.push(RevocationRow { version, line });
        }
        let is_added = state.revocations().append(after, &rows).map_err(failed)?;
        if is_added {
            let known = self.known(state)?.clone();
            self.copy(|| self.log.complete(&known));
        }
        Ok(is_added)
    }

    fn lock(&self) -> Result<FileLock, CaError> {
        self.log.lock()
    }
}

impl NodeReports for StateRecords {
    fn node_keys(&self) -> Result<Vec<NodeKeys>, CaError> {
        let state = match self.existing() {
            Ok(Some(state)) => state,
            // Hosts join only at a proxy that has brought the state up.
            Ok(None) | Err(StateError::Older { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let now = state.now();
        let nodes = state.nodes().list().map_err(failed)?.into_iter();
        Ok(nodes.map(|node| keys_of(node, now)).collect())
    }
}

/// What a node has of the CAs' keys, as far as it has said so.
fn keys_of(node: JoinedNode, now: u64) -> NodeKeys {
    let is_online = node.is_online(now);
    let heartbeat = node.heartbeat.unwrap_or_default();
    // Of a certificate that was not issued last, it is not known here which key has signed it.
    let installed = node
        .certificate
        .filter(|one| heartbeat.certificate == Some(one.serial));
    let heard = heartbeat.at.max(node.joined);
    NodeKeys {
        name: node.name,
        heard,
        is_online,
        is_locked: node.lock.is_some(),
        user_cas: heartbeat.user_cas,
        host_cas: heartbeat.host_cas,
        certificate: installed.map(|one| one.authority),
    }
}

fn failed(error: StateError) -> CaError {
    CaError::Records(Box::new(error))
}

/// A row of the revocations that none of this program's versions has written.
const fn unreadable() -> StateError {
    StateError::Unreadable {
        columns: 2,
        column: 2,
    }
}
