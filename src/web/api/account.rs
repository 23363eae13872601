//! `/api/v1/account`: the person's own keys, sign-ins and password.

use std::net::SocketAddr;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::HeaderMap;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::body::{nothing, read, typed};
use super::cookie;
use super::error::ApiError;
use super::people::{ApiPeople, PeopleError};
use super::time::time;
use crate::ipc::{
    BrowserAccount, BrowserPasswordQuestion, BrowserSessionAnswer, BrowserSessionQuestion,
    SecretText,
};

/// Longest fingerprint that is passed on, in bytes: one has 50.
const MAX_FINGERPRINT: usize = 128;

/// The account.
#[derive(Debug, Serialize)]
pub(super) struct AccountDocument {
    name: String,
    roles: Vec<String>,
    keys: Vec<KeyDocument>,
    sign_ins: Vec<SignInDocument>,
    /// `otp` for one-time codes; `null` if the account has none, or none is asked for.
    second_factor: Option<&'static str>,
    /// `null` for an account without one-time codes.
    recovery_codes_left: Option<u64>,
}

/// A registered key.
#[derive(Debug, Serialize)]
struct KeyDocument {
    fingerprint: String,
    comment: String,
    registered: String,
    used: Option<String>,
}

/// A sign-in.
#[derive(Debug, Serialize)]
struct SignInDocument {
    id: Uuid,
    /// `ssh` or `browser`.
    kind: &'static str,
    client: String,
    started: String,
    expires: String,
    /// Whether it is the one of this browser.
    this: bool,
}

impl From<BrowserAccount> for AccountDocument {
    fn from(account: BrowserAccount) -> Self {
        let (keys, sign_ins) = (account.keys.into_iter(), account.sign_ins.into_iter());
        let recovery_codes_left = account.has_codes.then_some(account.recovery_codes_left);
        Self {
            name: account.name,
            roles: account.roles,
            keys: keys
                .map(|key| KeyDocument {
                    fingerprint: key.fingerprint,
                    comment: key.comment,
                    registered: time(key.registered),
                    used: key.used.map(time),
                })
                .collect(),
            sign_ins: sign_ins
                .map(|one| SignInDocument {
                    id: one.id,
                    kind: match one.fingerprint {
                        Some(_) => "ssh",
                        None => "browser",
                    },
                    client: one.client,
                    started: time(one.started),
                    expires: time(one.expires),
                    this: one.is_this,
                })
                .collect(),
            second_factor: (account.has_codes && account.needs_code).then_some("otp"),
            recovery_codes_left,
        }
    }
}

/// What a person types to change the password.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    password: SecretText,
    #[serde(default = "nothing")]
    code: SecretText,
    new_password: SecretText,
}

/// Shows the account.
pub(super) async fn show(
    State(people): State<ApiPeople>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Json<AccountDocument>, PeopleError> {
    let token = cookie::token(&headers)?;
    let ask = BrowserSessionQuestion::Account;
    match people.ask(client, &token, ask).await? {
        BrowserSessionAnswer::Account(account) => Ok(Json((*account).into())),
        _ => Err(PeopleError::nonsense()),
    }
}

/// Changes the password.
pub(super) async fn change_password(
    State(people): State<ApiPeople>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, PeopleError> {
    let token = cookie::token(&headers)?;
    let PasswordChange {
        password,
        code,
        new_password,
    } = read(&body)?;
    let ask = BrowserPasswordQuestion::ChangePassword {
        token,
        password: typed(password)?,
        code: typed(code)?,
        new: typed(new_password)?,
    };
    done(people.ask_with_password(client, ask).await?)
}

/// Removes a key, and ends the sign-ins with it.
pub(super) async fn remove_key(
    State(people): State<ApiPeople>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    fingerprint: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<StatusCode, PeopleError> {
    let token = cookie::token(&headers)?;
    let Path(fingerprint) = fingerprint.map_err(|_no_text| missing())?;
    if fingerprint.len() > MAX_FINGERPRINT {
        return Err(missing().into());
    }
    let ask = BrowserSessionQuestion::RemoveKey { fingerprint };
    done(people.ask(client, &token, ask).await?)
}

/// Ends a sign-in.
pub(super) async fn end_sign_in(
    State(people): State<ApiPeople>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<StatusCode, PeopleError> {
    let token = cookie::token(&headers)?;
    let Path(id) = id.map_err(|_no_text| missing())?;
    // What is no id is nobody's.
    let id: Uuid = id.parse().map_err(|_no_id| missing())?;
    let ask = BrowserSessionQuestion::EndSignIn { id };
    done(people.ask(client, &token, ask).await?)
}

fn missing() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "not-found",
        "you have nothing of this name",
        "GET /api/v1/account has what is yours",
    )
}

fn done(answer: BrowserSessionAnswer) -> Result<StatusCode, PeopleError> {
    match answer {
        BrowserSessionAnswer::Done => Ok(StatusCode::NO_CONTENT),
        _ => Err(PeopleError::nonsense()),
    }
}
