//! What the handlers about people use: the process that has the state, asked on threads that may wait.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::error::{ApiError, refusal as told};
use crate::ipc::{
    BrowserPasswordQuestion, BrowserPasswordRequest, BrowserSessionAnswer, BrowserSessionQuestion,
    BrowserSessionRefusal, BrowserSessionRefusalKind, BrowserSessionRequest, BrowserSessions,
    CallError, SecretText,
};

/// Questions with a token that wait for an answer at a time, as many as the other process takes.
const AT_ONCE: usize = 8;
/// Questions with a password that wait at a time.
const PASSWORDS_AT_ONCE: usize = 32;

/// Asks the process that has the state. Clones share the limits.
#[derive(Clone, Debug)]
pub(in crate::web) struct ApiPeople {
    sessions: Arc<dyn BrowserSessions>,
    free: Arc<Semaphore>,
    passwords: Arc<Semaphore>,
}

impl ApiPeople {
    /// Asks this process.
    pub(in crate::web) fn new(sessions: Arc<dyn BrowserSessions>) -> Self {
        Self {
            sessions,
            free: Arc::new(Semaphore::new(AT_ONCE)),
            passwords: Arc::new(Semaphore::new(PASSWORDS_AT_ONCE)),
        }
    }

    /// Asks with a token. Who comes when too many ask waits for a turn.
    pub(super) async fn ask(
        &self,
        client: SocketAddr,
        token: &SecretText,
        ask: BrowserSessionQuestion,
    ) -> Result<BrowserSessionAnswer, PeopleError> {
        let turn = Arc::clone(&self.free).acquire_owned().await;
        let token = token.clone();
        let request = BrowserSessionRequest { client, token, ask };
        let sessions = Arc::clone(&self.sessions);
        let answer = spawn_blocking(move || {
            let _turn = turn;
            sessions.ask(request)
        });
        taken(answer.await.unwrap_or(Err(CallError::HungUp)))
    }

    /// Asks with a password. Who comes when too many ask is refused.
    pub(super) async fn ask_with_password(
        &self,
        client: SocketAddr,
        ask: BrowserPasswordQuestion,
    ) -> Result<BrowserSessionAnswer, PeopleError> {
        let Ok(turn) = Arc::clone(&self.passwords).try_acquire_owned() else {
            return Err(PeopleError::unavailable());
        };
        let request = BrowserPasswordRequest { client, ask };
        let sessions = Arc::clone(&self.sessions);
        let answer = spawn_blocking(move || {
            let _turn = turn;
            sessions.ask_with_password(request)
        });
        taken(answer.await.unwrap_or(Err(CallError::HungUp)))
    }
}

fn taken(
    answer: Result<BrowserSessionAnswer, CallError>,
) -> Result<BrowserSessionAnswer, PeopleError> {
    match answer {
        Ok(BrowserSessionAnswer::Refused(refusal)) => Err(PeopleError::Refused(refusal)),
        Ok(answer) => Ok(answer),
        Err(error) => {
            tracing::warn!(%error, "the auth process gives no answer about a browser");
            Err(PeopleError::unavailable())
        }
    }
}

/// Why a handler about people does not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PeopleError {
    /// The web itself refuses.
    Api(ApiError),
    /// The process with the state refuses.
    Refused(BrowserSessionRefusal),
}

impl PeopleError {
    /// There is no token, or none that could be one.
    pub(super) fn not_signed_in() -> Self {
        Self::Api(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "not-signed-in",
            "you are not signed in, or your sign-in has ended",
            "sign in",
        ))
    }

    fn unavailable() -> Self {
        Self::Api(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "the proxy cannot tell who you are at this moment",
            "try again in a few seconds",
        ))
    }

    /// An answer that does not belong to the question.
    pub(super) fn nonsense() -> Self {
        tracing::error!("the auth process gives an answer to another question");
        Self::unavailable()
    }
}

impl PeopleError {
    /// The same at a sign-in, where nobody is signed in yet: what was typed is wrong.
    pub(super) fn at_sign_in(self) -> Response {
        let is_wrong = matches!(
            &self,
            Self::Refused(refusal) if refusal.kind == BrowserSessionRefusalKind::Wrong
        );
        let mut answer = self.into_response();
        if is_wrong {
            *answer.status_mut() = StatusCode::UNAUTHORIZED;
        }
        answer
    }
}

impl From<ApiError> for PeopleError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

fn status(kind: BrowserSessionRefusalKind) -> StatusCode {
    match kind {
        BrowserSessionRefusalKind::NotSignedIn => StatusCode::UNAUTHORIZED,
        // 401 says that the sign-in is over: a wrong password of somebody who is signed in is not that.
        BrowserSessionRefusalKind::Wrong | BrowserSessionRefusalKind::Forbidden => {
            StatusCode::FORBIDDEN
        }
        BrowserSessionRefusalKind::Missing => StatusCode::NOT_FOUND,
        BrowserSessionRefusalKind::Unfit => StatusCode::BAD_REQUEST,
        BrowserSessionRefusalKind::Throttled(_) => StatusCode::TOO_MANY_REQUESTS,
        BrowserSessionRefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl IntoResponse for PeopleError {
    fn into_response(self) -> Response {
        let refusal = match self {
            Self::Api(error) => return error.into_response(),
            Self::Refused(refusal) => refusal,
        };
        let kind = refusal.kind;
        let hint = refusal.hint.unwrap_or_default();
        let mut answer = told(status(kind), &refusal.reason, &refusal.message, &hint);
        if let BrowserSessionRefusalKind::Throttled(seconds) = kind {
            let seconds = HeaderValue::from(seconds);
            answer.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        answer
    }
}
