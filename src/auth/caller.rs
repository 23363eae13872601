//! What the services of this process call the processes that ask them.

use crate::ipc::CallerProcess;

/// The process id of a caller: no other process has it while this one runs.
pub(super) fn caller_number(caller: &CallerProcess) -> u64 {
    u64::from(caller.pid.unsigned_abs())
}
