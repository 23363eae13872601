//! The interface for programs, `/api/v1`: JSON in, JSON out.
//!
//! What a browser could be tricked into is refused before it gets here (`guard`), and bodies are in memory
//! already. A path more is a route in [`router`].

mod account;
mod body;
mod cookie;
mod error;
mod hosts;
mod people;
mod session;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
mod time;

use std::sync::Arc;

use axum::extract::State;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use hyper::StatusCode;
use serde::Serialize;

pub(super) use error::ApiError;
pub(super) use people::ApiPeople;

/// Where it is.
pub(super) const PREFIX: &str = "/api/";

/// What everybody may know before a sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct About {
    /// The cluster's name.
    pub(super) cluster: String,
    /// The program's version.
    pub(super) version: &'static str,
    /// How people sign in here.
    pub(super) sign_in: Vec<&'static str>,
    /// Whether the program was built with the interface for browsers.
    pub(super) interface: bool,
}

/// All paths of the API.
pub(super) fn router(about: About, people: ApiPeople) -> Router {
    let of_people = Router::new()
        .route(
            "/api/v1/session",
            get(session::show)
                .post(session::sign_in)
                .delete(session::sign_out),
        )
        .route("/api/v1/sessions", delete(session::sign_out_everywhere))
        .route("/api/v1/hosts", get(hosts::list))
        .route("/api/v1/account", get(account::show))
        .route("/api/v1/account/password", post(account::change_password))
        .route(
            "/api/v1/account/keys/{fingerprint}",
            delete(account::remove_key),
        )
        .route(
            "/api/v1/account/sign-ins/{id}",
            delete(account::end_sign_in),
        )
        .with_state(people);
    Router::new()
        .route("/api/v1/about", get(show_about))
        .with_state(Arc::new(about))
        .merge(of_people)
        .fallback(nothing)
        .method_not_allowed_fallback(another_method)
}

async fn show_about(State(about): State<Arc<About>>) -> Json<About> {
    Json(About::clone(&about))
}

async fn nothing() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "not-found",
        "there is nothing at this path",
        "the paths begin with /api/v1/",
    )
}

async fn another_method() -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "this cannot be done here",
        "the header Allow has the methods of this path",
    )
}
