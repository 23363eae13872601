//! `rproxy nodes ls`.

use super::overview::{HostObject, HostOverview, listed};
use super::reading::{labels, read_hosts};
use crate::cli::format::{ListFormat, json_list};
use crate::cli::table::{Surface, Table};
use crate::cli::{Context, Failure, ui};

/// Columns that are cut at a narrow terminal: the labels, sshd's version, the address, the name.
const YIELDING: &[usize] = &[4, 6, 3, 0];
/// Columns that a narrow terminal does without: sshd's version, when it was seen, the certificate's end.
const OPTIONAL: &[usize] = &[6, 2, 5];

/// List the hosts of the inventory, by their names
///
/// Hosts that have joined report once a minute: the state is online, or offline if three reports are
/// missing. Hosts of the configuration do not report, and have no state. The column TUNNEL says whether the
/// host keeps its tunnel open, and at which proxy, if there are several.
#[derive(Debug, clap::Args)]
pub(crate) struct NodesLsArgs {
    /// Only hosts that have all of these labels
    #[arg(long, value_name = "KEY=VALUE,..", value_delimiter = ',')]
    labels: Vec<String>,
    /// How to print the list
    #[arg(long, value_enum, default_value_t = ListFormat::Text)]
    format: ListFormat,
}

impl NodesLsArgs {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        ui::rendered(&self.list(context, Surface::stdout())?)
    }

    /// What is printed on this surface.
    pub(super) fn list(&self, context: &Context, surface: Surface) -> Result<String, Failure> {
        let wanted = labels(&self.labels)?;
        let hosts = read_hosts(context, "nodes ls", None)?;
        for name in hosts.names_in_both() {
            ui::note(&format!(
                "rproxy: warning: {name} is in the configuration and has joined: the configuration \
                 counts\n  hint: remove its line, or: rproxy nodes rm {name}"
            ));
        }
        let mut hosts = HostOverview::all(&hosts);
        hosts.retain(|host| wanted.iter().all(|label| host.labels.contains(label)));
        Ok(match self.format {
            ListFormat::Text => table(&hosts).render(surface),
            ListFormat::Json => json_list(hosts.iter().map(HostObject::new)),
        })
    }
}

fn table(hosts: &[HostOverview<'_>]) -> Table<8> {
    let heads = [
        "NAME",
        "STATE",
        "SEEN",
        "ADDRESS",
        "LABELS",
        "CERTIFICATE",
        "SSHD",
        "TUNNEL",
    ];
    let mut table = Table::new(heads, YIELDING).without_if_narrow(OPTIONAL);
    let time = |time: Option<u64>| time.map_or_else(|| "-".to_owned(), ui::time);
    for host in hosts {
        let tunnel = host.tunnel().as_str();
        let at = host.open.and_then(|open| open.proxy);
        table.push([
            host.name.into(),
            host.standing(),
            time(host.last_seen()).into(),
            host.address().into(),
            listed(host.labels, ",").into(),
            time(host.certificate_expires()).into(),
            host.sshd().unwrap_or("-").into(),
            at.map_or_else(|| tunnel.to_owned(), |at| format!("{tunnel}, {at}"))
                .into(),
        ]);
    }
    table
}
