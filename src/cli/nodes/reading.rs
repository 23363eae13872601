//! What the commands about nodes read: their options, and the hosts.

use super::access::NodeAccess;
use crate::cli::inventory::HostList;
use crate::cli::{Context, Exit, Failure, stored};
use crate::model::{Label, LabelError};

/// The values of `--labels`.
///
/// # Errors
/// One that is no `key=value`.
pub(crate) fn labels(given: &[String]) -> Result<Vec<Label>, Failure> {
    let labels = given.iter().map(|label| label.parse());
    labels.collect::<Result<_, LabelError>>().map_err(|error| {
        Failure::new(Exit::Usage, "cannot use the value of --labels").because(error)
    })
}

/// The hosts of the inventory. That they are read is audited before, if there is a state. `how` is the
/// command, and `node` the name that is asked for.
pub(super) fn read_hosts(
    context: &Context,
    how: &'static str,
    node: Option<&str>,
) -> Result<HostList, Failure> {
    match NodeAccess::to_read(context, how, node)? {
        Some(access) => access
            .hosts(context)
            .map_err(|error| stored::state_failure("cannot read the nodes", error)),
        None => Ok(HostList::without_state(&context.config)),
    }
}
