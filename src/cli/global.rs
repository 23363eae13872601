//! The flags that every command takes.

use std::path::PathBuf;

use crate::config::Source;

/// The flags that every command takes.
#[derive(Debug, clap::Args)]
pub(super) struct Global {
    /// Configuration file [default: /etc/rproxy/rproxy.yaml if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "RPROXY_CONFIG")]
    config: Option<PathBuf>,
    /// Directory for keys, recordings and logs; overrides the configuration's `data_dir`
    #[arg(long, global = true, value_name = "DIR", env = "RPROXY_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

impl Global {
    /// Where the configuration comes from.
    pub(super) fn source(self) -> Source {
        Source {
            file: self.config,
            data_dir: self.data_dir,
        }
    }
}
