//! How ssh connects to the proxy: by the ProxyCommand or ProxyJump of a host, or directly.

use std::ffi::OsStr;
use std::process::Command;

use super::super::checks::{PROXY_COMMAND, SSH_CONFIG};
use super::super::child;
use super::super::report::Finding;
use super::options::Client;
use super::ssh::{Effective, Names, PATIENCE, Ssh};

/// A host that does not exist (RFC 2606): requesting it shows whether the proxy accepts the user.
const NOWHERE: &str = "rproxy-doctor.invalid";
/// What a ProxyCommand of one program has no need of. A command with one is not run here.
const SHELL: &[char] = &['&', ';', '|', '<', '>', '$', '`', '(', ')', '\n'];
/// The name of our block's repair.
const INSTALL: &str = "on the proxy: `rproxy config` prints a block; on your machine: put it into \
                       ~/.ssh/config, before what else is said about the host";

/// The way to the proxy.
#[derive(Debug)]
pub(super) struct ProxyPath {
    /// What ssh does for the connection to the proxy.
    pub(super) outer: Effective,
    /// What it does for the connection to the host, where one was named.
    pub(super) inner: Option<Effective>,
    /// Whether that goes by ProxyJump.
    pub(super) is_jump: bool,
    steps: ProxySteps,
}

/// How the connection to the proxy is begun.
#[derive(Debug)]
enum ProxySteps {
    /// By a shell, as ssh begins a ProxyCommand: what stands before and after the options.
    Shell { program: String, rest: String },
    /// By ssh, with these arguments.
    Ssh {
        prefix: Vec<String>,
        rest: Vec<String>,
    },
}

impl ProxyPath {
    /// Finds it; tells what is wrong with it.
    ///
    /// # Errors
    /// Where there is none: what ssh makes of the host, if it makes anything of it.
    pub(super) fn find(
        client: &Client,
        ssh: &Ssh,
        findings: &mut Vec<Finding>,
    ) -> Result<Self, Option<Effective>> {
        let first = findings.len();
        let found = match &client.host {
            None => Self::straight(client, ssh, findings).ok_or(None),
            Some(host) => Self::to_host(client, ssh, host, findings),
        };
        if let Ok(way) = &found {
            let detail = format!("read for {}", way.names_of_proxy().certified);
            findings.insert(first, Finding::ok(&SSH_CONFIG, "", detail));
        }
        found
    }

    /// Without a host: as `ssh PROXY` would go.
    fn straight(client: &Client, ssh: &Ssh, findings: &mut Vec<Finding>) -> Option<Self> {
        let port = client.port.to_string();
        let mut arguments = vec!["-p", &port];
        if let Some(login) = &client.login {
            arguments.extend(["-l", login]);
        }
        arguments.push(&client.proxy);
        let outer = effective(ssh, &arguments, findings)?;
        Some(Self {
            outer,
            inner: None,
            is_jump: false,
            steps: ProxySteps::by_ssh(ssh, &arguments),
        })
    }

    fn to_host(
        client: &Client,
        ssh: &Ssh,
        host: &str,
        findings: &mut Vec<Finding>,
    ) -> Result<Self, Option<Effective>> {
        let mut arguments = Vec::new();
        if let Some(login) = &client.login {
            arguments.extend(["-l", login]);
        }
        arguments.push(host);
        let inner = effective(ssh, &arguments, findings).ok_or(None)?;
        let found = if let Some(command) = inner.path("proxycommand") {
            by_command(client, host, command, &inner, findings)
        } else if let Some(jump) = inner.path("proxyjump") {
            by_jump(client, ssh, (host, jump), &inner, findings)
        } else {
            let detail = "ssh goes there straight: neither ProxyCommand nor ProxyJump is set";
            findings.push(Finding::error(&PROXY_COMMAND, host, detail, INSTALL));
            None
        };
        match found {
            Some((outer, steps)) => Ok(Self {
                outer,
                is_jump: matches!(steps, ProxySteps::Ssh { .. }),
                inner: Some(inner),
                steps,
            }),
            None => Err(Some(inner)),
        }
    }

    /// How ssh calls the proxy.
    pub(super) fn names_of_proxy(&self) -> Names {
        self.outer.names()
    }

    /// ssh on its way to the proxy, which is asked for a host that there is not. The options stand
    /// first, where they have the last word: nothing is added to known hosts or to the agent, nothing
    /// is forwarded, and there are no questions.
    pub(super) fn log_in(&self) -> Command {
        self.steps.command(
            "-T -o BatchMode=yes -o ConnectTimeout=10 -o LogLevel=VERBOSE -o ControlMaster=no -o \
             ControlPath=none -o ConnectionAttempts=1 -o StrictHostKeyChecking=yes -o \
             UpdateHostKeys=no -o AddKeysToAgent=no -o ClearAllForwardings=yes -o \
             PermitLocalCommand=no",
        )
    }
}

impl ProxySteps {
    fn by_ssh(ssh: &Ssh, arguments: &[&str]) -> Self {
        let text = |arg: &OsStr| arg.to_string_lossy().into_owned();
        let mut rest: Vec<_> = arguments.iter().map(|word| (*word).to_owned()).collect();
        rest.extend(["-s".to_owned(), format!("proxy:{NOWHERE}:22")]);
        Self::Ssh {
            prefix: ssh.command().get_args().map(text).collect(),
            rest,
        }
    }

    fn command(&self, options: &str) -> Command {
        match self {
            Self::Shell { program, rest } => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", &format!("exec {program} {options} {rest}")]);
                shell
            }
            Self::Ssh { prefix, rest } => {
                let mut ssh = Command::new("ssh");
                ssh.args(prefix).args(options.split(' ')).args(rest);
                ssh
            }
        }
    }
}

fn by_jump(
    client: &Client,
    ssh: &Ssh,
    (host, jump): (&str, &str),
    inner: &Effective,
    findings: &mut Vec<Finding>,
) -> Option<(Effective, ProxySteps)> {
    let (user, place, port) = jump_parts(jump, inner.value("user").unwrap_or_default());
    let mut arguments = vec!["-l", &user];
    if let Some(port) = port {
        arguments.extend(["-p", port]);
    }
    arguments.push(place);
    let outer = effective(ssh, &arguments, findings)?;
    leads(client, host, "ProxyJump", &outer, findings)?;
    let steps = ProxySteps::by_ssh(ssh, &arguments);
    Some((outer, steps))
}

fn by_command(
    client: &Client,
    host: &str,
    command: &str,
    inner: &Effective,
    findings: &mut Vec<Finding>,
) -> Option<(Effective, ProxySteps)> {
    let Some((program, rest)) = ssh_command(command) else {
        let detail = format!("the ProxyCommand is no plain ssh: {command}");
        let hint = "it may work; the doctor looks into those that `rproxy config` writes only";
        findings.push(Finding::warning(&PROXY_COMMAND, host, detail, hint));
        return None;
    };
    if !rest.contains("proxy:") {
        let detail = "the ProxyCommand asks for no subsystem `proxy:%h:%p`";
        findings.push(Finding::error(&PROXY_COMMAND, host, detail, INSTALL));
        return None;
    }
    let steps = ProxySteps::Shell {
        program: program.to_owned(),
        rest: expanded(rest, inner.value("user").unwrap_or_default()),
    };
    let outer = match Effective::of(child::run(&mut steps.command("-G"), "", PATIENCE)) {
        Ok(outer) => outer,
        Err(complaint) => {
            let detail = format!("the ProxyCommand does not work: {complaint}");
            findings.push(Finding::error(&PROXY_COMMAND, host, detail, INSTALL));
            return None;
        }
    };
    leads(client, host, "ProxyCommand", &outer, findings)?;
    Some((outer, steps))
}

fn effective(ssh: &Ssh, arguments: &[&str], findings: &mut Vec<Finding>) -> Option<Effective> {
    match ssh.effective(arguments) {
        Ok(effective) => Some(effective),
        Err(complaint) => {
            let hint = "correct what ssh names; `ssh -G HOST` says the same";
            findings.push(Finding::error(&SSH_CONFIG, "", complaint, hint));
            None
        }
    }
}

/// Whether it is this proxy that a host is reached by.
fn leads(
    client: &Client,
    host: &str,
    what: &str,
    outer: &Effective,
    findings: &mut Vec<Finding>,
) -> Option<()> {
    let goes_to = outer.value("hostname").unwrap_or_default();
    let port = outer.value("port").unwrap_or_default();
    if goes_to.eq_ignore_ascii_case(&client.proxy) && port == client.port.to_string() {
        let detail = format!("{what} by {goes_to}, port {port}");
        findings.push(Finding::ok(&PROXY_COMMAND, host, detail));
        return Some(());
    }
    let detail = format!(
        "the {what} leads to {goes_to}, port {port}, not to {}, port {}",
        client.proxy, client.port
    );
    findings.push(Finding::error(&PROXY_COMMAND, host, detail, INSTALL));
    None
}

/// The program, if it is ssh and the command has nothing that a shell would make more of than words;
/// and what follows.
fn ssh_command(command: &str) -> Option<(&str, &str)> {
    let command = command.trim();
    let command = command
        .strip_prefix("exec ")
        .unwrap_or(command)
        .trim_start();
    let (program, rest) = command.split_once(' ')?;
    let is_ssh = program == "ssh" || program.ends_with("/ssh");
    (is_ssh && !command.contains(SHELL)).then_some((program, rest))
}

/// The tokens of `ssh_config(5)`, for the host that there is not.
fn expanded(command: &str, user: &str) -> String {
    let mut text = String::new();
    let mut characters = command.chars();
    while let Some(c) = characters.next() {
        match (c, c == '%') {
            (_, true) => match characters.next() {
                Some('h' | 'n' | 'k') => text.push_str(NOWHERE),
                Some('p') => text.push_str("22"),
                Some('r') => text.push_str(user),
                Some('%') | None => text.push('%'),
                Some(other) => text.extend(['%', other]),
            },
            (other, false) => text.push(other),
        }
    }
    text
}

/// User, host and port of the first jump in a list.
fn jump_parts<'j>(jump: &'j str, login: &str) -> (String, &'j str, Option<&'j str>) {
    let first = jump.split(',').next().unwrap_or(jump);
    let first = first.strip_prefix("ssh://").unwrap_or(first);
    let (user, place) = match first.rsplit_once('@') {
        Some((user, place)) => (user.replace("%r", login), place),
        None => (login.to_owned(), first),
    };
    if let Some((host, rest)) = place.strip_prefix('[').and_then(|p| p.split_once(']')) {
        return (user, host, rest.strip_prefix(':'));
    }
    match place.split_once(':') {
        Some((host, port)) if !port.contains(':') => (user, host, Some(port)),
        _ => (user, place, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_ssh_is_looked_into_and_nothing_else_is_run() {
        assert_eq!(
            ssh_command("ssh -p 3023 %r@proxy -s proxy:%h:%p"),
            Some(("ssh", "-p 3023 %r@proxy -s proxy:%h:%p"))
        );
        let command = "exec /usr/bin/ssh -o \"KnownHostsCommand /usr/bin/printf 'x\\n'\" proxy";
        assert_eq!(ssh_command(command).unwrap().0, "/usr/bin/ssh");
        for no in [
            "nc %h %p",
            "ssh",
            "ssh proxy; rm -rf /",
            "ssh $(evil)",
            "ssh `evil`",
            "ssh a | tee b",
            "sshpass ssh a",
        ] {
            assert_eq!(ssh_command(no), None, "{no}");
        }
    }

    #[test]
    fn tokens_stand_for_a_host_that_there_is_not() {
        assert_eq!(
            expanded("-p 3023 %r@proxy -s proxy:%h:%p 100%% %d", "alice"),
            format!("-p 3023 alice@proxy -s proxy:{NOWHERE}:22 100% %d")
        );
    }

    #[test]
    fn a_jump_has_a_user_a_host_and_a_port() {
        for (jump, expected) in [
            ("%r@proxy:3023", ("root", "proxy", Some("3023"))),
            ("proxy", ("root", "proxy", None)),
            (
                "bob@[2001:db8::1]:3023,other",
                ("bob", "2001:db8::1", Some("3023")),
            ),
        ] {
            let (user, host, port) = jump_parts(jump, "root");
            assert_eq!((user.as_str(), host, port), expected);
        }
    }
}
