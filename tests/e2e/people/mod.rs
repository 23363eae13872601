//! People sign in with plain `ssh`: a key, a password and a one-time code, and nothing that is stored
//! on their machines.

mod agents;
mod auth_killed;
mod certificates;
mod clients;
mod counted;
mod day;
mod ends;
mod full_disk;
mod home;
mod hostile_worker;
mod interrupted;
mod kept;
mod killed_under_load;
mod oidc;
mod postgres;
mod programs;
mod refused;
mod second_factors;
mod sign_up;
mod signed_in;
mod stubborn;
mod typing;
