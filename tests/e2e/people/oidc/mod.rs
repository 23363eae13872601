//! People who sign in with a browser, at a real provider of OpenID Connect.

mod attacks;
mod cluster;
mod hostile;
mod outages;
mod sign_in;
mod stage;
