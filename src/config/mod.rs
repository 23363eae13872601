//! The configuration file: read, checked as a whole, converted to typed values.
//!
//! No room below this floor imports it: `worker` passes its part to each room. Every problem of a
//! file is found in one run, with its line; nothing is guessed, and unknown keys are errors. A
//! section has a file, and in it a row for each of its keys (`table`).

mod auth;
mod authentication;
mod ca_keys;
mod diagnostic;
mod effective;
mod https_files;
mod key;
pub mod keys;
mod legacy;
mod listener_names;
mod load;
mod masked;
mod nodes;
mod oidc;
mod oidc_check;
mod permit;
mod proxy;
mod recording;
mod resolve;
mod roles;
mod rule;
mod scalar;
mod secret_file;
mod section;
mod spelling;
mod state;
mod table;
#[cfg(test)]
mod tests;
mod unmatched;
mod upstream;
mod users;
mod value;
mod wanted_node;
mod weaker;
mod web;
mod yaml;

pub use auth::{AuthService, SessionRecording};
pub use authentication::{Authentication, AuthenticationType};
pub use diagnostic::{Diagnostic, Severity};
pub use effective::{Config, to_yaml};
pub use load::{ConfigError, DEFAULT_FILE, Loaded, Source, default_data_dir, machine_name, parse};
pub use oidc::Oidc;
pub use permit::permit_values;
pub use proxy::ProxyService;
pub use recording::{RecordingConfig, RecordingMode};
pub use state::{StateConfig, StateDatabase};
pub use upstream::Upstream;
pub use value::{format_host_and_port, yaml_text};
pub use weaker::weaker;
pub use web::{HttpsFiles, Web, WebTls};
