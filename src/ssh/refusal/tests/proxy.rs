//! What refusals of a target, and those of the proxy's own limits, say.

use super::{Expected, row, target};
use crate::access::{Denial, PolicyDenial, RequestedHost};
use crate::audit::Party::Proxy;
use crate::net::LimitExceeded;
use crate::nodes::ResolveError;
use crate::ssh::refusal::*;

pub(super) fn target_rows() -> Vec<Expected> {
    let one_node = "name one node, as in the inventory";
    let candidate = |name: &str, is_locked| RequestedHost {
        name: name.to_owned(),
        labels: Vec::new(),
        is_locked,
    };
    let ambiguous = ResolveError::Ambiguous {
        label: "env=prod".to_owned(),
        candidates: vec![candidate("db1", false), candidate("db2", true)],
    };
    let port = ResolveError::Port {
        name: "db1".to_owned(),
        port: 23,
    };
    let cluster = ResolveError::Cluster("other.test".parse().unwrap());
    let policy = Denial::Policy {
        host: "db1".to_owned(),
        login: Some("root".to_owned()),
        why: Box::new(PolicyDenial::NoRole("alice".to_owned())),
    };
    let locked = Denial::Policy {
        host: "db1".to_owned(),
        login: Some("root".to_owned()),
        why: Box::new(PolicyDenial::Locked),
    };
    let unlock = "the people who run this proxy have locked it; they can unlock it, on the proxy: rproxy nodes unlock NAME";
    let check = "check the name; the people who run this proxy can tell by the id which rule it is";
    vec![
        row(
            Refusal::from(&locked),
            Proxy,
            "node-locked",
            format!("db1 is locked\n{unlock}"),
        ),
        row(
            policy_changed(&locked),
            Proxy,
            "node-locked",
            format!("db1 is locked\n{unlock}"),
        ),
        row(
            node_removed(&target()),
            Proxy,
            "node-removed",
            "db1.example.com was removed from this proxy's nodes\nask the people who run this proxy; to let it join again, on the proxy: rproxy tokens add --type=node",
        ),
        row(
            malformed_target(&"no port", "ssh -s PROXY"),
            Proxy,
            "malformed-target",
            "no port\non your machine, in ssh_config: ProxyCommand ssh -s PROXY",
        ),
        row(
            ambiguous_or_unknown(&ResolveError::NotFound("db9".to_owned()), &"x.test"),
            Proxy,
            "unknown-node",
            format!("db9 is not in the inventory\n{one_node}"),
        ),
        row(
            ambiguous_or_unknown(&ambiguous, &"x.test"),
            Proxy,
            "ambiguous-node",
            format!("env=prod is carried by more than one node: db1, db2 (locked)\n{one_node}"),
        ),
        row(
            ambiguous_or_unknown(&port, &"x.test"),
            Proxy,
            "port-not-in-inventory",
            "port 23 of db1 is not in the inventory, only its own port is\nleave the port out, or use 22",
        ),
        row(
            ambiguous_or_unknown(&cluster, &"x.test"),
            Proxy,
            "unknown-cluster",
            "other.test is another cluster\nthis cluster is x.test",
        ),
        row(
            unknown_node(&target(), "no node has this label"),
            Proxy,
            "unknown-node",
            "unknown node db1.example.com: no node has this label\ncheck the name; the proxy knows the nodes of its configuration, the hosts that have joined, and the names in its DNS",
        ),
        row(
            own_listener(&target()),
            Proxy,
            "own-listener",
            "db1.example.com is this proxy, which does not connect to itself\nname the host that you want to go to: one hop through the proxy is enough",
        ),
        row(
            Refusal::from(&policy),
            Proxy,
            "policy",
            format!("access to db1 as root is denied\n{check}"),
        ),
        row(
            policy_changed(&policy),
            Proxy,
            "policy",
            format!("access to db1 as root is denied, the policy has changed\n{check}"),
        ),
    ]
}

pub(super) fn proxy_rows() -> Vec<Expected> {
    let moment = "try again in a moment";
    let share = "close connections that are not used any more, or share one: ControlMaster in ssh_config(5)";
    vec![
        row(
            crowded_out(LimitExceeded::Connections(9)),
            Proxy,
            "too-many-connections",
            format!("too many connections: the limit is 9\n{moment}"),
        ),
        row(
            crowded_out(LimitExceeded::Address(9)),
            Proxy,
            "too-many-connections-from-address",
            format!("too many connections from your address: the limit is 9\n{share}"),
        ),
        row(
            crowded_out(LimitExceeded::User(9)),
            Proxy,
            "too-many-connections-of-user",
            format!("too many connections with certificates of your name: the limit is 9\n{share}"),
        ),
        row(
            crowded_out(LimitExceeded::Starting(9)),
            Proxy,
            "too-many-unauthenticated-connections",
            format!("too many clients are logging in at the moment: the limit is 9\n{moment}"),
        ),
        row(
            crowded_out(LimitExceeded::StartingFromAddress(9)),
            Proxy,
            "too-many-unauthenticated-connections-from-address",
            format!(
                "too many clients from your address are logging in at the moment: the limit is 9\n{moment}"
            ),
        ),
        row(
            crowded_out(LimitExceeded::Displaced),
            Proxy,
            "too-many-unauthenticated-connections-from-address",
            format!(
                "too many clients from your address are logging in, and clients from other addresses need their places\n{moment}"
            ),
        ),
        row(
            too_many_channels(),
            Proxy,
            "too-many-channels",
            "too many channels on one connection\non your machine: end some of the sessions that share the connection to the proxy, or give this one a connection of its own: -o ControlPath=none in ProxyCommand",
        ),
        row(
            too_much_memory_of_user(),
            Proxy,
            "too-much-memory-of-user",
            "connections with certificates of your name hold as much of the proxy's memory as one person may\nclose connections that are not used any more; those whose output nobody reads hold the most",
        ),
        row(
            too_much_memory(),
            Proxy,
            "too-much-memory",
            format!("the proxy's connections hold as much memory as they may\n{moment}"),
        ),
        row(
            no_shell("ssh -s PROXY", "ssh PROXY"),
            Proxy,
            "no-subsystem",
            "there is no shell here, this is a proxy\non your machine: ssh -o ForwardAgent=yes -o ProxyCommand=\"ssh -s PROXY\" HOST; what the proxy itself can do: ssh PROXY help",
        ),
        row(
            host_certificate_not_minted(&"too slow"),
            Proxy,
            "host-certificate-not-minted",
            "cannot make a host certificate: too slow\ntell the people who run this proxy; on the proxy, its log says more",
        ),
        row(
            certificate_not_minted(&"too slow"),
            Proxy,
            "user-certificate-not-minted",
            "cannot make the certificate for this login: too slow\ntry again in a moment; if it stays so, tell the people who run this proxy",
        ),
        row(
            shutting_down(),
            Proxy,
            "shutting-down",
            "shutting down, connect again in a moment",
        ),
        row(
            killed("an administrator ended this session".to_owned()),
            Proxy,
            "killed",
            "an administrator ended this session",
        ),
        row(
            not_encoded("the key", &"no"),
            Proxy,
            "internal",
            "cannot encode the key: no",
        ),
        row(
            not_encoded("the certificate", &"no"),
            Proxy,
            "internal",
            "cannot encode the certificate: no",
        ),
    ]
}
