//! The block of `ssh_config`(5) that sends a client's connections through the proxy.
//!
//! Only words that need no quoting anywhere are written: they pass through ssh's own parser, its
//! percent expansion and, in the `ProxyCommand`, the user's shell, which differ between systems and
//! versions. Anything else is an error.

use std::fmt::Write as _;

use super::RenderError;

/// What the block says.
#[derive(Clone, Debug)]
pub struct ClientBlock<'a> {
    /// Name of the block in its begin and end lines: the cluster's.
    pub name: &'a str,
    /// Host name or address of the proxy, without brackets.
    pub proxy_host: &'a str,
    /// Port of the proxy.
    pub proxy_port: u16,
    /// Patterns of the hosts behind the proxy, as `Host` takes them.
    pub hosts: &'a [String],
    /// The `known_hosts` file with the lines of the host CA.
    pub known_hosts: &'a str,
    /// Those lines themselves, where the block must do without the file.
    pub inline_known_hosts: &'a [String],
    /// `IdentityFile`.
    pub identity: Option<&'a str>,
    /// `CertificateFile`.
    pub certificate: Option<&'a str>,
    /// `User` at the hosts: the login.
    pub login: Option<&'a str>,
    /// `ProxyJump` instead of the `ProxyCommand`.
    pub jump: bool,
}

impl ClientBlock<'_> {
    /// The text, from its begin to its end line.
    ///
    /// The patterns that exclude the proxy stand last on the `Host` line, where `ssh_config`(5) gives
    /// them the last word; the proxy has a section of its own, for the connection to itself.
    ///
    /// # Errors
    /// For a path or pattern that would need quoting.
    pub fn render(&self) -> Result<String, RenderError> {
        let hosts = self.hosts.iter().map(|host| word(host, is_pattern));
        let hosts = in_either_case(&hosts.collect::<Result<Vec<_>, _>>()?, "");
        let proxy = word(self.proxy_host, is_pattern)?;
        let mut lines = self.common_lines()?;
        // The agent signs for the host too, so it goes along on either connection.
        let proxy_lines = format!("{lines}    ForwardAgent yes\n");
        if let Some(login) = self.login {
            let _infallible = writeln!(lines, "    User {}", word(login, is_login)?);
        }
        if self.jump {
            let _infallible = writeln!(
                lines,
                "    ForwardAgent yes\n    ProxyJump %r@{}:{}",
                self.bracketed_proxy(),
                self.proxy_port
            );
        } else {
            let _infallible = writeln!(lines, "    ProxyCommand {}", self.proxy_command()?);
        }
        Ok(format!(
            "{begin}\nHost {hosts} {excluded}\n{lines}\nHost {proxies}\n{proxy_lines}{end}\n",
            begin = begin(self.name),
            excluded = in_either_case(&[proxy], "!"),
            proxies = in_either_case(&[proxy], ""),
            end = end(self.name),
        ))
    }

    /// What holds for the hosts and for the proxy.
    fn common_lines(&self) -> Result<String, RenderError> {
        let mut lines = format!(
            "    UserKnownHostsFile {}\n",
            word(self.known_hosts, is_path)?
        );
        if let Some(command) = self.known_hosts_command()? {
            // ssh before 8.5 does not know the command; it has the file.
            lines += "    IgnoreUnknown KnownHostsCommand\n";
            let _infallible = writeln!(lines, "    {command}");
        }
        for (keyword, path) in [
            ("IdentityFile", self.identity),
            ("CertificateFile", self.certificate),
        ] {
            if let Some(path) = path {
                let _infallible = writeln!(lines, "    {keyword} {}", word(path, is_path)?);
            }
        }
        Ok(lines)
    }

    /// What carries a connection through the proxy. It repeats what the proxy's own section says:
    /// this ssh does not see the file that the block is in when that was named with `-F`.
    fn proxy_command(&self) -> Result<String, RenderError> {
        let mut command = "ssh -o ForwardAgent=yes".to_owned();
        let mut options = vec![format!(
            "UserKnownHostsFile={}",
            word(self.known_hosts, is_path)?
        )];
        if let Some(command) = self.known_hosts_command()? {
            options.push("IgnoreUnknown=KnownHostsCommand".to_owned());
            options.push(format!("\"{command}\""));
        }
        for (keyword, path) in [
            ("IdentityFile", self.identity),
            ("CertificateFile", self.certificate),
        ] {
            if let Some(path) = path {
                options.push(format!("{keyword}={}", word(path, is_path)?));
            }
        }
        for option in options {
            let _infallible = write!(command, " -o {option}");
        }
        let _infallible = write!(
            command,
            " -p {} %r@{} -s proxy:%h:%p",
            self.proxy_port, self.proxy_host
        );
        Ok(command)
    }

    /// Prints the known-hosts lines when ssh asks for them. `\n` is for printf: neither ssh nor a
    /// shell reads it inside quotes.
    fn known_hosts_command(&self) -> Result<Option<String>, RenderError> {
        if self.inline_known_hosts.is_empty() {
            return Ok(None);
        }
        let mut lines = String::new();
        for line in self.inline_known_hosts {
            if !line.chars().all(|c| is_pattern(c) || c == ' ') {
                return Err(RenderError::Word(line.clone()));
            }
            lines += line;
            lines += "\\n";
        }
        Ok(Some(format!("KnownHostsCommand /usr/bin/printf '{lines}'")))
    }

    fn bracketed_proxy(&self) -> String {
        if self.proxy_host.contains(':') {
            format!("[{}]", self.proxy_host)
        } else {
            self.proxy_host.to_owned()
        }
    }
}

/// Patterns as they are, then in upper case: `ssh DB1` means db1, but a `Host` line tells the two
/// apart, and ssh makes a name lower case only after it has read the file.
fn in_either_case(patterns: &[&str], before: &str) -> String {
    let upper = patterns.iter().map(|pattern| pattern.to_ascii_uppercase());
    let upper = upper.filter(|upper| !patterns.contains(&upper.as_str()));
    let all = patterns.iter().map(|pattern| (*pattern).to_owned());
    all.chain(upper)
        .map(|pattern| format!("{before}{pattern}"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The first line of a block.
#[must_use]
pub fn begin(name: &str) -> String {
    format!("# BEGIN rproxy {name}")
}

/// The last line of a block.
#[must_use]
pub fn end(name: &str) -> String {
    format!("# END rproxy {name}")
}

/// A host pattern for [`ClientBlock::hosts`], as the user has written it.
///
/// # Errors
/// When it is empty, excludes, or holds a character that no pattern needs.
pub fn host_pattern(text: &str) -> Result<String, RenderError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(RenderError::NoPattern);
    }
    match text.chars().find(|c| !is_pattern(*c) || *c == '@') {
        Some(character) => Err(RenderError::Pattern {
            pattern: text.to_owned(),
            character,
        }),
        None => Ok(text.to_owned()),
    }
}

fn word(text: &str, is_allowed: fn(char) -> bool) -> Result<&str, RenderError> {
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(is_allowed) {
        Ok(text)
    } else {
        Err(RenderError::Word(text.to_owned()))
    }
}

fn is_path(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | '~' | '@' | ',' | ':' | '=')
}

fn is_pattern(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, '.' | '_' | '-' | ':' | '*' | '?' | '=' | '/' | '+' | '@')
}

/// What no name of an account needs to be quoted for.
fn is_login(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '@')
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::sync::LazyLock;

    use super::*;
    use crate::sys::fs::{PUBLIC_FILE, Replace, write_whole};

    const LINES: [&str; 2] = [
        "@cert-authority * ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti",
        "@cert-authority * ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBBBBvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti",
    ];

    fn block(change: impl FnOnce(&mut ClientBlock<'_>)) -> Result<String, RenderError> {
        let hosts = ["*.example.com".to_owned(), "db1".to_owned()];
        let mut block = ClientBlock {
            name: "example.com",
            proxy_host: "proxy.example.com",
            proxy_port: 3023,
            hosts: &hosts,
            known_hosts: "~/.ssh/rproxy/example.com.known_hosts",
            inline_known_hosts: &[],
            identity: None,
            certificate: None,
            login: None,
            jump: false,
        };
        change(&mut block);
        block.render()
    }

    struct Written {
        _directory: tempfile::TempDir,
        file: PathBuf,
    }

    fn written(text: &str) -> Written {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config");
        write_whole(&file, text.as_bytes(), PUBLIC_FILE, Replace::Refuse).unwrap();
        Written {
            _directory: directory,
            file,
        }
    }

    /// What `ssh -G` makes of a file, for one host: the value of a keyword.
    fn effective(file: &Path, host: &str, keyword: &str) -> Option<String> {
        let printed = Command::new("ssh")
            .args(["-T", "-G", "-F"])
            .arg(file)
            .arg(host)
            .output()
            .expect("ssh, of Debian's openssh-client");
        assert!(printed.status.success(), "{printed:?}");
        assert!(printed.stderr.is_empty(), "{printed:?}");
        let text = String::from_utf8(printed.stdout).unwrap();
        let value = |line: &str| {
            let (printed, value) = line.split_once(' ')?;
            let is_it = printed.eq_ignore_ascii_case(keyword.trim());
            is_it.then(|| value.trim().to_owned())
        };
        text.lines().find_map(value)
    }

    #[test]
    fn ssh_sends_the_hosts_through_the_proxy_and_nothing_else() {
        let file = written(&block(|_| {}).unwrap());
        let proxied = "ssh -o ForwardAgent=yes \
            -o UserKnownHostsFile=~/.ssh/rproxy/example.com.known_hosts \
            -p 3023 %r@proxy.example.com -s proxy:%h:%p";
        let command = |host: &str| effective(&file.file, host, "proxycommand ");
        for host in ["db1", "DB1", "web.example.com", "WEB.EXAMPLE.COM"] {
            assert_eq!(command(host).as_deref(), Some(proxied), "{host}");
        }
        for host in [
            "proxy.example.com",
            "PROXY.EXAMPLE.COM",
            "db2",
            "example.com",
        ] {
            assert_eq!(command(host), None, "{host}");
        }
        let known_hosts = |host| effective(&file.file, host, "userknownhostsfile ").unwrap();
        assert!(known_hosts("db1").ends_with("/.ssh/rproxy/example.com.known_hosts"));
        assert_eq!(known_hosts("proxy.example.com"), known_hosts("db1"));
        assert!(known_hosts("github.com").ends_with("known_hosts2"));
    }

    #[test]
    fn keys_and_certificates_are_offered_to_the_proxy_and_to_the_host() {
        let text = block(|block| {
            block.identity = Some("/k/id");
            block.certificate = Some("/k/id-cert.pub");
        });
        let file = written(&text.unwrap());
        for host in ["db1", "proxy.example.com"] {
            let value = |keyword| effective(&file.file, host, keyword).unwrap();
            assert_eq!(value("identityfile "), "/k/id");
            assert_eq!(value("certificatefile "), "/k/id-cert.pub");
        }
        let command = effective(&file.file, "db1", "proxycommand ").unwrap();
        let offered = "-o IdentityFile=/k/id -o CertificateFile=/k/id-cert.pub -p 3023";
        assert!(command.contains(offered), "{command}");
    }

    #[test]
    fn a_login_is_for_the_hosts_and_not_for_the_proxy() {
        let file = written(&block(|block| block.login = Some("deploy")).unwrap());
        let user = |host| effective(&file.file, host, "user ").unwrap();
        assert_eq!(user("db1"), "deploy");
        assert_ne!(user("proxy.example.com"), "deploy");
        for bad in ["", "-x", "a b", "a%h", "$USER"] {
            assert!(block(|block| block.login = Some(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn jump_names_the_proxy_with_its_port() {
        for (host, jump) in [("proxy.example.com", "proxy.example.com"), ("::1", "[::1]")] {
            let text = block(|block| {
                block.jump = true;
                block.proxy_host = host;
            });
            let file = written(&text.unwrap());
            let value = |name| effective(&file.file, "db1", name);
            let jump = format!("%r@{jump}:3023");
            assert_eq!(value("proxyjump ").as_deref(), Some(jump.as_str()));
            assert_eq!(value("forwardagent ").as_deref(), Some("yes"));
            assert_eq!(effective(&file.file, host, "proxyjump "), None);
            assert_eq!(
                effective(&file.file, host, "forwardagent ").as_deref(),
                Some("yes")
            );
        }
    }

    #[test]
    fn the_lines_inside_the_block_reach_ssh_as_they_are() {
        static OWNED: LazyLock<[String; 2]> = LazyLock::new(|| LINES.map(str::to_owned));
        let text = block(|block| block.inline_known_hosts = &*OWNED).unwrap();
        let file = written(&text);
        let command = effective(&file.file, "db1", "knownhostscommand ").unwrap();
        let printed = Command::new("sh").args(["-c", &command]).output().unwrap();
        assert_eq!(
            String::from_utf8(printed.stdout).unwrap(),
            LINES.join("\n") + "\n"
        );
        let proxy_command = effective(&file.file, "db1", "proxycommand ").unwrap();
        let outer = proxy_command.replacen("ssh ", "ssh -G -F none ", 1);
        let printed = Command::new("sh").args(["-c", &outer]).output().unwrap();
        let printed = String::from_utf8(printed.stdout).unwrap();
        let is_it = |line: &str| {
            line.split_once(' ').is_some_and(|(keyword, value)| {
                keyword.eq_ignore_ascii_case("knownhostscommand") && value == command
            })
        };
        assert!(printed.lines().any(is_it), "{printed}");
    }

    #[test]
    fn what_would_need_quoting_is_refused() {
        for bad in [
            "", "/a b", "/a\"", "/a'", "/a%h", "/$HOME/x", "/a\nb", "/a;b", "-x", "a\\b",
        ] {
            assert!(block(|block| block.known_hosts = bad).is_err(), "{bad:?}");
            assert!(
                block(|block| block.identity = Some(bad)).is_err(),
                "{bad:?}"
            );
        }
        for bad in ["", " ", "!db1", "a b", "a,b", "a\"", "%h", "user@db1"] {
            assert!(host_pattern(bad).is_err(), "{bad:?}");
        }
        assert_eq!(host_pattern(" *.example.com ").unwrap(), "*.example.com");
    }
}
