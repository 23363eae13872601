//! The service as other processes see it.

mod browser;
mod browser_hosts;
mod browser_sessions;
mod certificates;
mod counting;
mod house;
mod own;
mod provider;
mod sequences;
mod sign_in;
mod sign_up;
mod trust;
