//! The names under which clients know the proxy.

use super::Config;
use crate::model::{HostPrincipal, NameError};

impl Config {
    /// The host of `public_addr`, the cluster's name, the machine's name, and `localhost`: what the host
    /// certificate of the listener is for, and no host that joins may be called.
    ///
    /// # Errors
    /// When the host of `public_addr` is none that a certificate can name.
    pub fn listener_names(&self) -> Result<Vec<HostPrincipal>, NameError> {
        // A cluster's name need not be a valid host name; then it is left out.
        let mut names: Vec<HostPrincipal> =
            self.cluster_name.as_str().parse().into_iter().collect();
        if let Some((host, _port)) = &self.proxy.public_addr {
            names.push(host.parse()?);
        }
        let uname = rustix::system::uname();
        // A machine without a usable name is reached under the other names.
        names.extend(
            uname
                .nodename()
                .to_str()
                .ok()
                .and_then(|name| name.parse().ok()),
        );
        names.push("localhost".parse()?);
        Ok(names)
    }
}
