//! The kinds of events: their codes and names never change once released, and are never reused.

/// How much an event matters; the last letter of its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// `I`: as it should be.
    Info,
    /// `W`: a refusal, or something that is insecure.
    Warning,
    /// `E`: the proxy could not do its duty.
    Error,
}

macro_rules! kinds {
    ($($kind:ident $code:literal $name:literal $meaning:literal)*) => {
        /// What happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventKind {
            $(#[doc = $meaning] $kind,)*
        }

        impl EventKind {
            /// All kinds, in the order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// The stable code, as in `RP1001I`.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$kind => $code,)* }
            }

            /// The stable name, as in `auth.success`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// When it is written, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$kind => $meaning,)* }
            }
        }
    };
}

kinds! {
    AuthSuccess "RP1001I" "auth.success"
        "A client authenticated on one leg. `sign_in` is the sign-in that counts, null with a certificate; `serial` is the certificate's, which at a host can be one that was made for this login."
    AuthFailure "RP1002W" "auth.failure"
        "A client tried to authenticate on one leg and was refused."
    Refusal "RP1003W" "refusal"
        "A connection or a session was refused or ended after authentication; `leg` says where."
    InsecureHostKey "RP1004W" "host_key.insecure"
        "A host without a certificate was admitted, because `proxy_checks_host_keys` is off."
    RefusalsCounted "RP1005W" "refusals.counted"
        "More was refused to one address or one person than a minute of the log has room for, or one node (`user` is `node:` and its name) opened so many tunnels: `counts` says how often, by event and reason. With neither, of many addresses. Of IPv6, `client_ip` is the /64 network."
    SecondFactor "RP1010I" "auth.second_factor"
        "A host took a user's key and asked for more, and the user's answers were passed on; `questions` is how many there were, `accepted` whether the host took the answers. What was answered is nowhere."
    ProgramRun "RP1030I" "program.run"
        "A client asked the proxy itself for a program, as in `ssh NAME@PROXY ls`: `program` is its name, `exit_status` is null if the client left before it ended."
    SessionStart "RP2001I" "session.start"
        "A session began; from here on it is recorded, unless `recording` is null. `serial` is the certificate's that the host was shown, and `egress_addr` the proxy's end of the connection to the host: sshd logs both ([host-audit.md](host-audit.md)). Through a tunnel, `egress_addr` is null: sshd then logs an address and a port of the host's own. `fingerprint` is the user's key's, `sign_in` the user's sign-in, if there is one. `legacy_algorithms` are the weak ones that the connection to the host began with."
    SessionEnd "RP2002I" "session.end"
        "A session ended. `serial` and `egress_addr` are those of its `session.start`."
    ChannelRefused "RP2003W" "channel.refused"
        "A channel, a channel request, a global request or data was refused; `detail` says what exactly."
    RecordingFailed "RP2004E" "recording.failed"
        "A recording could not be written."
    ForwardOpened "RP2005I" "forward.opened"
        "A forwarded channel is opened; its bytes are in the recording of the connection's forwards."
    SessionWatched "RP2006I" "session.watched"
        "Somebody watches a live session; `by` and `uid` are theirs."
    SessionKilled "RP2007W" "session.killed"
        "Somebody ended a live session, or with `session` null a connection; `message` is the reason that they gave."
    RequestIgnored "RP2008I" "request.ignored"
        "A client sent by habit what does not pass, and misses nothing by it: an ordinary environment variable that `accept_env` does not have, PuTTY's notices, questions whether somebody is there. Told once for each in a connection."
    RecordingSyncFailed "RP2009E" "recording.sync_failed"
        "The disk did not take the end of a recording: what was relayed was written, and a power cut may still take the last of it. The session's end then says `incomplete`."
    RecordingRead "RP2010I" "recording.read"
        "Somebody read a recording of the data directory on the command line: `how` is `play` or `export`. With `ls`, somebody listed recordings: `recordings` is how many, `filter` what they looked for."
    SessionJoined "RP2011I" "session.joined"
        "A person joined a live session of `owner`, to see it (`mode` is `observe`) or to type into it, too (`type`). `user` is who joined, `participant` the number under which the recording says who typed what, `client_connection` that person's own connection, and `connection` the session's."
    SessionLeft "RP2012I" "session.left"
        "A person who had joined a live session left it: `reason` is `left` (by the person's own keys), `disconnected` (the person's connection ended), `not-permitted` (the policy, a lock or the end of a sign-in, as `message` says) or `session-ended`. `bytes_typed` is how much the host got of that person."
    CertificateIssued "RP3001I" "certificate.issued"
        "One of the CAs signed a certificate for somebody who ran a command."
    CertificateRevoked "RP3002I" "certificate.revoked"
        "Certificates or keys were revoked: those of a serial, a key id or a fingerprint; `version` is the revocation list's."
    HostCertificateExpiring "RP3003W" "host_certificate.expiring"
        "A host presented a certificate that ends soon, to the proxy or to `auth status`; told once a day for each host."
    AuthorityRotated "RP3004I" "authority.rotated"
        "The rotation of a CA's key went to another phase; `by` is who moved it, `null` if its grace period did."
    AuthorityImported "RP3005I" "authority.imported"
        "A key that existed elsewhere became a CA's; `replaced` is the key that went at once for it."
    AuthorityCreated "RP3006I" "authority.created"
        "A CA was made: `how` is `init` or `auth init`, or `serve` at its first start."
    RevocationLifted "RP3007W" "revocation.lifted"
        "A revocation was lifted: the list of this version no longer has it, and what it revoked counts again."
    AuthorityKeyRemoved "RP3008I" "authority.key_removed"
        "A key that a rotation had replaced was removed for good: there is no way back to it."
    ServerStarted "RP4001I" "server.started"
        "A worker of the proxy accepts connections: at the start, and after each upgrade. `configuration` is the file in force, null where there is none and the defaults are."
    ServerStopped "RP4002I" "server.stopped"
        "A worker of the proxy has no connection any more and ends: `reason` is `signal`, `upgraded` where another worker has taken over, or `monitor-gone`."
    ConfigurationReloaded "RP4003I" "configuration.reloaded"
        "The configuration was read and is in force: `at` is `start` of a worker, or `reload`. `sha256` is the file's hash; both are `null` if there is no file and the defaults hold. `weaker` has each key that protects less than before, at the start less than its default, as `key`, `from` and `to`. `needs_restart` names the keys that have changed and are not in force."
    ConfigurationRefused "RP4004W" "configuration.refused"
        "The configuration was read again and has mistakes; the one before stays in force."
    ServerDraining "RP4010I" "server.draining"
        "The proxy stops: it accepts nobody any more, and waits for its connections until `seconds` are over."
    ServerUpgraded "RP4011I" "server.upgraded"
        "The program was replaced while it ran: a new worker accepts connections, the old one has those from before."
    UpgradeRefused "RP4012W" "server.upgrade_refused"
        "The program was to be replaced while it ran, and could not be; everything goes on as before."
    CallRefused "RP4020W" "call.refused"
        "A process of the proxy asked another one for something that it does not get: `process` and `pid` are the one that asked, `service` is what it called, null for a message that is no call. `reason` is `not-allowed` (the service, or a file, is not for this process), `not-signed` (what a CA's key was to sign), `too-often`, `too-many-at-once`, `malformed` or `too-long`. The first is told at once, and how many followed after a minute: `count`. This can be a mistake in rproxy, or an attacker who controls that process."
    UserAdded "RP5001I" "user.added"
        "An administrator added a person. `logins` is `null` for all that the roles allow."
    UserLocked "RP5002I" "user.locked"
        "An administrator locked a person out; `message` is the reason that was given. The person's sign-ins have ended."
    UserUnlocked "RP5003I" "user.unlocked"
        "An administrator let a person in again."
    UserReset "RP5004I" "user.reset"
        "An administrator removed a person's password, second factor and keys. The person's sign-ins have ended, and a new invitation is needed."
    UserRemoved "RP5005I" "user.removed"
        "An administrator removed a person. The person's sign-ins have ended."
    InvitationCreated "RP5006I" "invitation.created"
        "An administrator got an invitation for a person, valid until `expires`. The invitation itself is in no log."
    UserChanged "RP5008I" "user.changed"
        "An administrator gave a person other roles or logins, which are these now. Live sessions that they do not allow are closed. `logins` is `null` for all that the roles allow."
    InvitationSpent "RP5007I" "invitation.spent"
        "A person signed up with an invitation: it cannot be used again."
    UserProvided "RP5009I" "user.provided"
        "The identity provider vouched for a person who is new here, or has another name (`previous_user`) or other roles than before. `issuer` and `subject` are who it is for the provider."
    SignInBegun "RP5010I" "sign_in.begun"
        "A person signed in until `until`, `via` `ssh` with the key `fingerprint`, or `via` a `browser`, which has no key and no connection. `method` is `local` for a password, `oidc` for the identity provider. `second_factor` is `otp`, `recovery-code`, `security-key`, `set-up` at sign-up, `provider` where the identity provider has vouched for the person, or `off`."
    SignInFailed "RP5011W" "sign_in.failed"
        "A client's answers, key or invitation were refused. `user` is `null` where there is no such person: what was typed is in no log. `via` is `ssh` or `browser`; a browser has no connection."
    SignInThrottled "RP5012W" "sign_in.throttled"
        "A client has to wait `seconds` before its answers are looked at, because too many were wrong: those for this person from this address (`account`), all from this address (`source`), those for this person from all addresses (`everywhere`), or those with this person's key (`key`). `via` is `ssh` or `browser`."
    SignInEnded "RP5013I" "sign_in.ended"
        "A sign-in ended before its time: `reason` is `logout`, `locked`, `removed`, `reset`, `password-changed` or `key-removed`. By the person's own act it has the client's address, and the connection unless it was in a browser; else the administrator."
    AuthorizationBegun "RP5014I" "authorization.begun"
        "A client was shown a link to the identity provider, and is asked for the code that the browser shows."
    AuthorizationOpened "RP5015I" "authorization.opened"
        "A browser opened the link that the client at `client_addr` was shown, and was sent to the identity provider."
    AuthorizationAnswered "RP5016I" "authorization.answered"
        "A browser came back from the identity provider, which vouches for `subject`: it shows the code that the client at `client_addr` is asked for. `name` and `roles` are what the provider's claims give. No one is signed in by this."
    AuthorizationRefused "RP5017W" "authorization.refused"
        "A browser was refused. `client_addr` and `connection` are those of the client whose link it was, `null` where there is none."
    KeyRegistered "RP5020I" "key.registered"
        "A person who had answered the questions proved a key, and can sign in with it from now on."
    KeyRemoved "RP5021I" "key.removed"
        "A person removed the registered key `fingerprint`; `sign_in` is that of the connection, or of the browser, as `via` says."
    PasswordChanged "RP5022I" "password.changed"
        "A person changed the password, `via` `ssh` or a `browser`. The person's sign-ins other than `sign_in` have ended."
    SecondFactorChanged "RP5023I" "second_factor.changed"
        "A person set up the one-time codes again; the old codes and recovery codes count no longer. `sign_in` is that of the connection."
    PeopleRefused "RP5030W" "people.refused"
        "A process asked about people what it may not: `what` is the request, `reason` says why it was refused. This can be a mistake in rproxy, or an attacker who controls that process."
    UsersRead "RP5040I" "users.read"
        "An administrator read about people: `how` is `ls` or `show`, `user` the name that was asked for, `null` for all."
    StateRead "RP6001I" "state.read"
        "An administrator looked at the state: where it is, how large, how many rows it has."
    StateCopied "RP6002I" "state.copied"
        "An administrator copied the state, with the secrets in it: `how` is `backup` or `migrate`, `to` the file or the database."
    StateRestored "RP6003I" "state.restored"
        "An administrator replaced the state by the backup `from`."
    TokenAdded "RP7001I" "token.added"
        "An administrator got a token with which hosts join, `uses` times until `expires`, under one of `names` (any, if there are none), with `labels` that the host cannot change. `token` is its id; the token itself is in no log."
    TokenRemoved "RP7002I" "token.removed"
        "An administrator removed a token. Hosts that have joined with it stay nodes."
    NodeJoined "RP7010I" "node.joined"
        "A host joined with a token and is the node `node` now. `fingerprint` is its host key's, `address` where it is dialled."
    NodeReturned "RP7011I" "node.returned"
        "A node joined again with the same host key: it keeps its id, and what the event says is what it has now."
    NodeRefused "RP7012W" "node.refused"
        "A host was refused: `what` is `prove` (its signature), `join`, `heartbeat`, `tunnel` or `successors`. `reason` is the stable name of the reason, `message` what was read at the host, `name` the node's name if the host key is a node's. An unknown token counts for the address: after ten in a minute the reason is `too-many-tries`."
    NodeCertificate "RP7013I" "node.certificate"
        "A node was given a host certificate: `reason` is `joined`, `half-life` (of the one before), `authority` (another key of the host CA signs now), `names`, `lost` (the node reports that it has another one), or `not-yet-valid` (the proxy's clock was ahead when the one before was issued)."
    TunnelOpened "RP7014I" "tunnel.opened"
        "A node opened a tunnel: from now on it is reached through the connection, which comes from `client_addr`."
    TunnelEnded "RP7015I" "tunnel.ended"
        "A tunnel ended after `duration_ms`, with all that ran through it; it had led to the node's `sshd` `streams` times. `reason` is `host-left` (the host disconnected, or its connection broke), `host-lost` (it did not answer any more), `cancelled` (by the host), `replaced` (by a newer tunnel of the node; its last session has ended), `shutdown` (the proxy stops, or an upgrade has put another process in its place), `not-permitted` (the node was locked or removed, or the auth process has refused the tunnel), `channels-unanswered` (the host's `ssh` neither opened nor refused a channel) or `protocol-error`."
    NodeLocked "RP7020I" "node.locked"
        "An administrator locked a node: its tunnel and the sessions at it are closed, and it gets nothing any more. `message` is the reason that was given."
    NodeUnlocked "RP7021I" "node.unlocked"
        "An administrator unlocked a node."
    NodeRemoved "RP7022I" "node.removed"
        "An administrator removed a node. To be one again, the host has to join with a token."
    NodesRead "RP7030I" "nodes.read"
        "An administrator read about nodes or tokens: `how` is the command, `name` the node that was asked for."
}

impl EventKind {
    /// How much it matters.
    #[must_use]
    pub fn severity(self) -> Severity {
        match self.code().as_bytes().last() {
            Some(b'E') => Severity::Error,
            Some(b'W') => Severity::Warning,
            _ => Severity::Info,
        }
    }
}

/// All kinds as a Markdown table, for the documentation.
#[must_use]
pub fn table() -> String {
    let mut text = String::from("| code | event | meaning |\n|---|---|---|\n");
    for kind in EventKind::ALL {
        let (code, name, meaning) = (kind.code(), kind.name(), kind.meaning());
        text.push_str(&format!("| `{code}` | `{name}` | {meaning} |\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_and_names_are_unique_and_well_formed() {
        let codes: BTreeSet<_> = EventKind::ALL.iter().map(|kind| kind.code()).collect();
        let names: BTreeSet<_> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(codes.len(), EventKind::ALL.len());
        assert_eq!(names.len(), EventKind::ALL.len());
        for code in &codes {
            let digits = code
                .strip_prefix("RP")
                .and_then(|rest| rest.strip_suffix(['I', 'W', 'E']))
                .unwrap_or_else(|| panic!("{code}"));
            assert!(digits.len() == 4 && digits.parse::<u16>().is_ok(), "{code}");
        }
        for name in names {
            assert!(
                name.chars()
                    .all(|c| c.is_ascii_lowercase() || matches!(c, '.' | '_')),
                "{name}"
            );
        }
    }

    #[test]
    fn the_table_has_every_code_once() {
        let table = table();
        for kind in EventKind::ALL {
            assert_eq!(table.matches(kind.code()).count(), 1);
        }
        assert_eq!(table.lines().count(), EventKind::ALL.len() + 2);
    }
}
