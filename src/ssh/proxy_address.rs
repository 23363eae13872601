//! How clients reach this proxy: parts of commands that a user can type as they are.

use std::net::SocketAddr;

use super::settings::Settings;

/// What stands for the proxy's name if the configuration has none.
const NAMELESS: &str = "PROXY";
/// The port of a proxy that listens nowhere yet.
const DEFAULT_PORT: u16 = 3023;

/// Host and port under which clients reach the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProxyAddress {
    /// A name, or an address without brackets.
    host: String,
    port: u16,
}

impl ProxyAddress {
    /// As `public_addr` has it. Without one the name is not known, but the port of the listener is.
    pub(super) fn of(listeners: &[SocketAddr], settings: &Settings) -> Self {
        if let Some((host, port)) = settings.public_addr.clone() {
            return Self { host, port };
        }
        // SSH's listener is the first.
        let listener = listeners.first();
        Self {
            host: NAMELESS.to_owned(),
            port: listener.map_or(DEFAULT_PORT, |listener| listener.port()),
        }
    }

    /// The value of `ProxyCommand`, as `ssh_config(5)` and a shell take it.
    pub(super) fn command(&self) -> String {
        let Self { host, port } = self;
        format!("ssh -o ForwardAgent=yes -p {port} %r@{host} -s proxy:%h:%p")
    }

    /// `ssh` to the proxy itself, as a command.
    pub(super) fn ssh(&self) -> String {
        let Self { host, port } = self;
        format!("ssh -p {port} {host}")
    }

    /// `ssh` to the proxy itself under this name, as a command.
    pub(super) fn ssh_as(&self, user: &str) -> String {
        let Self { host, port } = self;
        format!("ssh -p {port} {user}@{host}")
    }

    /// The same with an option.
    pub(super) fn ssh_with(&self, option: &str, user: &str) -> String {
        let Self { host, port } = self;
        format!("ssh {option} -p {port} {user}@{host}")
    }

    /// The value of `ProxyJump` for this login.
    pub(super) fn jump(&self, login: &str) -> String {
        let Self { host, port } = self;
        match host.contains(':') {
            true => format!("{login}@[{host}]:{port}"),
            false => format!("{login}@{host}:{port}"),
        }
    }

    /// The destination in a ProxyCommand: the login at the host, and the proxy.
    pub(super) fn destination(&self) -> String {
        format!("%r@{}", self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_as_ssh_reads_them() {
        let at = |host: &str| ProxyAddress {
            host: host.to_owned(),
            port: 4022,
        };
        let named = at("proxy.example.com");
        assert_eq!(
            named.command(),
            "ssh -o ForwardAgent=yes -p 4022 %r@proxy.example.com -s proxy:%h:%p"
        );
        assert_eq!(named.ssh(), "ssh -p 4022 proxy.example.com");
        assert_eq!(named.ssh_as("alice"), "ssh -p 4022 alice@proxy.example.com");
        let with_option = named.ssh_with("-t", "alice");
        assert_eq!(with_option, "ssh -t -p 4022 alice@proxy.example.com");
        assert_eq!(named.jump("root"), "root@proxy.example.com:4022");
        assert_eq!(at("2001:db8::5").jump("root"), "root@[2001:db8::5]:4022");
        assert_eq!(at("2001:db8::5").destination(), "%r@2001:db8::5");
    }
}
