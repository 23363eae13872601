//! Prints what a node has to install: text that sh and awk can read, one `name value` in each line.
//!
//! The last line is `end`: an answer without it was cut on its way.

use crate::ipc::NodeInstallation;
use crate::model::TunnelRule;
use crate::model::text::Printable;

/// The answer to `join` and `heartbeat`. `revocations` is the number of the present revocation list.
pub(crate) fn installation(node: &NodeInstallation, revocations: u64) -> String {
    let NodeInstallation {
        id,
        name,
        tunnel,
        has_tunnel,
        certificate,
        user_cas,
        host_cas,
        user_ca_proofs,
        successors,
        warnings,
    } = node;
    let mut text = String::from("rproxy-node 1\n");
    let mut line = |name: &str, value: &str| {
        text.push_str(&format!("{name} {}\n", Printable(value)));
    };
    line("id", &id.to_string());
    line("name", name);
    line("tunnel", tunnel.name());
    if *tunnel != TunnelRule::No {
        // A host whose tunnel stays with a process that retires opens another one.
        let is_open = if *has_tunnel { "yes" } else { "no" };
        line("tunnel-open", is_open);
    }
    if let Some(certificate) = certificate {
        line("certificate", certificate);
    }
    for key in user_cas {
        line("user-ca", key);
    }
    for key in host_cas {
        line("host-ca", key);
    }
    for certificate in user_ca_proofs {
        line("user-ca-proof", certificate);
    }
    for certificate in successors {
        line("successor", certificate);
    }
    line("revocations", &revocations.to_string());
    for warning in warnings {
        line("warning", warning);
    }
    text.push_str("end\n");
    text
}

/// The answer to `successors`: certificates, each in one line.
pub(crate) fn successors(certificates: &[String]) -> String {
    let mut text = String::new();
    for certificate in certificates {
        text.push_str(&format!("{}\n", Printable(certificate)));
    }
    text.push_str("end\n");
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::NodeId;

    fn node() -> NodeInstallation {
        NodeInstallation {
            id: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
            name: "db1".to_owned(),
            tunnel: TunnelRule::Required,
            has_tunnel: true,
            certificate: Some("ssh-ed25519-cert-v01@openssh.com AAAA".to_owned()),
            user_cas: vec!["ssh-ed25519 U1".to_owned(), "ssh-ed25519 U2".to_owned()],
            host_cas: vec!["ssh-ed25519 H1".to_owned()],
            user_ca_proofs: vec!["ssh-a-cert P ssh-ed25519 U2".to_owned()],
            successors: vec!["ssh-a-cert S ssh-ed25519 H1".to_owned()],
            warnings: vec!["the clock of the host is 90s ahead".to_owned()],
        }
    }

    #[test]
    fn an_answer_is_lines_that_a_shell_can_read() {
        assert_eq!(
            installation(&node(), 18),
            "rproxy-node 1\nid 01890a5d-ac96-774b-bcce-b302099a8057\nname db1\ntunnel required\ntunnel-open yes\n\
             certificate ssh-ed25519-cert-v01@openssh.com AAAA\nuser-ca ssh-ed25519 U1\n\
             user-ca ssh-ed25519 U2\nhost-ca ssh-ed25519 H1\n\
             user-ca-proof ssh-a-cert P ssh-ed25519 U2\nsuccessor ssh-a-cert S ssh-ed25519 H1\nrevocations 18\n\
             warning the clock of the host is 90s ahead\nend\n"
        );
        let closed = NodeInstallation {
            has_tunnel: false,
            ..node()
        };
        assert!(installation(&closed, 18).contains("\ntunnel-open no\n"));
        let same = NodeInstallation {
            tunnel: TunnelRule::No,
            certificate: None,
            user_ca_proofs: Vec::new(),
            successors: Vec::new(),
            warnings: Vec::new(),
            ..node()
        };
        let text = installation(&same, 18);
        assert!(
            !text.contains("certificate") && !text.contains("tunnel-open"),
            "{text}"
        );
        assert_eq!(successors(&[]), "end\n");
        let lines = ["ssh-a A k A".to_owned(), "ssh-b B k B".to_owned()];
        assert_eq!(successors(&lines), "ssh-a A k A\nssh-b B k B\nend\n");
    }

    proptest! {
        /// Whatever the process says that decides about nodes: no value makes a line of its own.
        #[test]
        fn every_value_stays_in_its_line(
            name in any::<String>(),
            certificate in proptest::option::of(any::<String>()),
            warnings in proptest::collection::vec(any::<String>(), 0..4),
            keys in proptest::collection::vec("(ssh-ed25519 [A-Za-z0-9+/=]{1,80}|end\nend)", 0..3),
        ) {
            let node = NodeInstallation {
                id: NodeId::new(),
                name,
                certificate,
                user_cas: keys.clone(),
                host_cas: keys.clone(),
                user_ca_proofs: keys.clone(),
                successors: keys,
                warnings,
                tunnel: TunnelRule::No,
                has_tunnel: false,
            };
            let text = installation(&node, 1);
            let lines: Vec<&str> = text.split('\n').collect();
            let values = 5
                + usize::from(node.certificate.is_some())
                + node.user_cas.len()
                + node.host_cas.len()
                + node.user_ca_proofs.len()
                + node.successors.len()
                + node.warnings.len();
            prop_assert_eq!(lines.len(), values + 2);
            prop_assert_eq!(lines.iter().filter(|line| **line == "end").count(), 1);
            prop_assert_eq!(lines[lines.len() - 2], "end");
            for (line, key) in lines.iter().filter(|line| line.starts_with("user-ca ")).zip(&node.user_cas) {
                if !key.contains('\n') {
                    prop_assert_eq!(line.strip_prefix("user-ca "), Some(key.as_str()));
                }
            }
        }
    }
}
