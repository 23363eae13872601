//! `/api/v1/hosts`: the hosts that the person may log in to.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use serde::Serialize;

use super::cookie;
use super::people::{ApiPeople, PeopleError};
use crate::ipc::{BrowserHost, BrowserSessionAnswer, BrowserSessionQuestion};

/// The hosts.
#[derive(Debug, Serialize)]
pub(super) struct HostsDocument {
    hosts: Vec<HostDocument>,
}

/// One of them.
#[derive(Debug, Serialize)]
struct HostDocument {
    name: String,
    labels: BTreeMap<String, String>,
    logins: Vec<String>,
    /// `null` for a host of the configuration.
    state: Option<&'static str>,
}

impl From<BrowserHost> for HostDocument {
    fn from(host: BrowserHost) -> Self {
        Self {
            name: host.name,
            labels: host.labels,
            logins: host.logins,
            state: host.is_online.map(|is_online| match is_online {
                true => "online",
                false => "offline",
            }),
        }
    }
}

/// Lists them. The other process tells them page by page, each name once.
pub(super) async fn list(
    State(people): State<ApiPeople>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Json<HostsDocument>, PeopleError> {
    let token = cookie::token(&headers)?;
    let (mut hosts, mut after) = (Vec::new(), String::new());
    loop {
        let ask = BrowserSessionQuestion::Hosts {
            after: after.clone(),
        };
        let BrowserSessionAnswer::Hosts(page) = people.ask(client, &token, ask).await? else {
            return Err(PeopleError::nonsense());
        };
        hosts.extend(page.hosts.into_iter().map(HostDocument::from));
        match page.next {
            Some(next) if next > after => after = next,
            Some(_) => return Err(PeopleError::nonsense()),
            None => return Ok(Json(HostsDocument { hosts })),
        }
    }
}
