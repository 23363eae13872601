//! The service as other processes see it.

mod heartbeats;
mod house;
mod joining;
mod trust;
mod tunnels;
