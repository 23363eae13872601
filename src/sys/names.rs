//! The files by which this machine turns names into addresses: nsswitch.conf(5), hosts(5),
//! resolver(5).

/// Where names are looked for, and in which order.
pub const NSSWITCH: &str = "/etc/nsswitch.conf";
/// Names that this machine knows by itself.
pub const HOSTS: &str = "/etc/hosts";
/// Which name servers are asked.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";
/// All of them.
pub const ALL: [&str; 3] = [NSSWITCH, HOSTS, RESOLV_CONF];
