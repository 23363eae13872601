//! `ls`: the hosts of the inventory that the client may log in to, and under which logins.

use super::context::ProgramContext;
use crate::model::Label;
use crate::model::text::Printable;
use crate::nodes::OpenHost;

/// Hosts that are judged before other tasks of the thread have their turn.
const AT_ONCE: usize = 64;
/// The columns' names.
const TITLES: [&str; 3] = ["HOST", "LOGINS", "LABELS"];

/// The hosts that are open to the client now, in the order of their names.
pub(super) async fn open_hosts(context: &ProgramContext) -> Vec<OpenHost> {
    let settings = context.services.settings.now();
    let (who, from) = (context.caller.identity.subject(), context.from());
    let mut open = Vec::new();
    for nodes in settings.inventory.nodes().chunks(AT_ONCE) {
        let nodes = nodes.iter();
        open.extend(nodes.filter_map(|node| OpenHost::of(node, &settings.policy, &who, from)));
        tokio::task::yield_now().await;
    }
    open
}

/// The hosts as a table.
pub(super) fn table(hosts: &[OpenHost]) -> String {
    let rows: Vec<[String; 3]> = hosts.iter().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let longest = cells.map(|cell| cell.chars().count()).max();
        let title = TITLES.get(column).map_or(0, |title| title.len());
        longest.unwrap_or_default().max(title)
    };
    let (hosts, logins) = (width(0), width(1));
    let mut text = String::new();
    let mut line = |[host, login, labels]: [&str; 3]| {
        let line = format!("{host:hosts$}  {login:logins$}  {labels}");
        text.push_str(line.trim_end());
        text.push('\n');
    };
    line(TITLES);
    for [host, login, labels] in &rows {
        line([host, login, labels]);
    }
    text
}

fn row(host: &OpenHost) -> [String; 3] {
    let labels = host.labels.iter();
    let labels: Vec<String> = labels
        .map(|(key, value)| {
            let (key, value) = (key.clone(), value.clone());
            Label { key, value }.listed()
        })
        .collect();
    let shown = |text: &str| Printable(text).to_string();
    [
        shown(&host.host),
        shown(&host.logins.join(",")),
        shown(&labels.join(" ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_cell() {
        let host = |name: &str, logins: &[&str], labels: &[(&str, &str)]| OpenHost {
            host: name.to_owned(),
            logins: logins.iter().map(ToString::to_string).collect(),
            labels: labels
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
        };
        let hosts = [
            host(
                "db1",
                &["alice", "deploy"],
                &[("env", "prod"), ("tier", "1")],
            ),
            host("web.example.com", &["root"], &[]),
            host("web2", &["root"], &[("note", "a env=prod")]),
        ];
        assert_eq!(
            table(&hosts),
            "HOST             LOGINS        LABELS\n\
             db1              alice,deploy  env=prod tier=1\n\
             web.example.com  root\n\
             web2             root          \"note=a env=prod\"\n"
        );
        assert_eq!(table(&[]), "HOST  LOGINS  LABELS\n");
    }
}
