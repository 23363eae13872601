//! The service as other processes see it.

mod certificates;
mod counting;
mod house;
mod own;
mod sequences;
mod sign_in;
mod sign_up;
mod trust;
