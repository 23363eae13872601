//! `/api/v1/session` and `/api/v1/sessions`: signing in and out.

use std::net::SocketAddr;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use hyper::StatusCode;
use hyper::header::SET_COOKIE;
use serde::{Deserialize, Serialize};

use super::body::{nothing, read, typed};
use super::cookie;
use super::people::{ApiPeople, PeopleError};
use super::time::time;
use crate::ipc::{
    BrowserPasswordQuestion, BrowserSession, BrowserSessionAnswer, BrowserSessionQuestion,
    SecretText,
};

/// What a person types to sign in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    name: SecretText,
    password: SecretText,
    #[serde(default = "nothing")]
    code: SecretText,
}

/// Who is signed in.
#[derive(Debug, Serialize)]
pub(super) struct SessionDocument {
    name: String,
    roles: Vec<String>,
    started: String,
    expires: String,
}

impl From<BrowserSession> for SessionDocument {
    fn from(session: BrowserSession) -> Self {
        Self {
            name: session.name,
            roles: session.roles,
            started: time(session.started),
            expires: time(session.expires),
        }
    }
}

/// Signs a person in. The browser's earlier sign-in, if it has one, ends.
pub(super) async fn sign_in(
    State(people): State<ApiPeople>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = begin(&people, client, &headers, &body).await;
    answer.unwrap_or_else(PeopleError::at_sign_in)
}

async fn begin(
    people: &ApiPeople,
    client: SocketAddr,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Response, PeopleError> {
    let Typed {
        name,
        password,
        code,
    } = read(body)?;
    let ask = BrowserPasswordQuestion::SignIn {
        name: typed(name)?,
        password: typed(password)?,
        code: typed(code)?,
    };
    let answer = people.ask_with_password(client, ask).await?;
    let BrowserSessionAnswer::SignedIn { token, session } = answer else {
        return Err(PeopleError::nonsense());
    };
    let lifetime = session.expires.saturating_sub(session.started);
    let set = cookie::set(&token, lifetime)?;
    if let Ok(earlier) = cookie::token(headers) {
        let sign_out = BrowserSessionQuestion::SignOut { everywhere: false };
        // It may be over already.
        if let Err(error) = people.ask(client, &earlier, sign_out).await {
            tracing::debug!(?error, "an earlier sign-in of a browser was not ended");
        }
    }
    let mut answer = Json(SessionDocument::from(session)).into_response();
    answer.headers_mut().insert(SET_COOKIE, set);
    Ok(answer)
}

/// Says who is signed in.
pub(super) async fn show(
    State(people): State<ApiPeople>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Json<SessionDocument>, PeopleError> {
    let token = cookie::token(&headers)?;
    match people
        .ask(client, &token, BrowserSessionQuestion::Who)
        .await?
    {
        BrowserSessionAnswer::Session(session) => Ok(Json(session.into())),
        _ => Err(PeopleError::nonsense()),
    }
}

/// Signs this browser out.
pub(super) async fn sign_out(
    State(people): State<ApiPeople>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, PeopleError> {
    end(&people, client, &headers, false).await
}

/// Ends all sign-ins of the person.
pub(super) async fn sign_out_everywhere(
    State(people): State<ApiPeople>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, PeopleError> {
    end(&people, client, &headers, true).await
}

async fn end(
    people: &ApiPeople,
    client: SocketAddr,
    headers: &HeaderMap,
    everywhere: bool,
) -> Result<Response, PeopleError> {
    let token = cookie::token(headers)?;
    let ask = BrowserSessionQuestion::SignOut { everywhere };
    match people.ask(client, &token, ask).await? {
        BrowserSessionAnswer::Done => {
            let mut answer = StatusCode::NO_CONTENT.into_response();
            answer.headers_mut().insert(SET_COOKIE, cookie::clear());
            Ok(answer)
        }
        _ => Err(PeopleError::nonsense()),
    }
}
