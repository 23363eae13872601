//! The line `hosts` of nsswitch.conf(5), as far as it is about files and DNS: the source that is asked first, and
//! the answers after which no other is asked.
//!
//! Other sources are passed over with what stands in brackets behind them: their answers come by the
//! name server too where they are the machine's own resolver, or cannot be had without its library.

use std::fmt;

/// The source to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The hosts file.
    Files,
    /// The name servers.
    Dns,
}

/// What a source has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Success,
    NotFound,
    Unavailable,
    TryAgain,
}

impl Status {
    const ALL: [(&'static str, Self); 4] = [
        ("success", Self::Success),
        ("notfound", Self::NotFound),
        ("unavail", Self::Unavailable),
        ("tryagain", Self::TryAgain),
    ];
}

/// One source, and the answers that end the search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LookupStep {
    pub(super) source: Source,
    last: Vec<Status>,
}

impl LookupStep {
    fn new(source: Source) -> Self {
        Self {
            source,
            last: vec![Status::Success],
        }
    }

    /// Whether no other source is asked after this answer.
    pub(super) fn ends_with(&self, status: Status) -> bool {
        self.last.contains(&status)
    }

    /// Takes over one reaction, as in `!UNAVAIL=return`.
    fn react(&mut self, reaction: &str) {
        let Some((when, action)) = reaction.split_once('=') else {
            return;
        };
        let (is_not, when) = match when.strip_prefix('!') {
            Some(when) => (true, when),
            None => (false, when),
        };
        let ends = action.eq_ignore_ascii_case("return");
        for (name, status) in Status::ALL {
            if when.eq_ignore_ascii_case(name) != is_not {
                self.last.retain(|one| *one != status);
                if ends {
                    self.last.push(status);
                }
            }
        }
    }
}

/// Who is asked, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LookupOrder(Vec<LookupStep>);

impl Default for LookupOrder {
    fn default() -> Self {
        Self(vec![
            LookupStep::new(Source::Files),
            LookupStep::new(Source::Dns),
        ])
    }
}

impl LookupOrder {
    /// Reads the text of the file. Without a line `hosts` it is the hosts file, then DNS.
    pub(super) fn parse(text: &str) -> Self {
        let without_comments = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default());
        let Some(line) = without_comments
            .filter_map(|line| line.trim_start().strip_prefix("hosts:"))
            .next_back()
        else {
            return Self::default();
        };
        let mut steps: Vec<LookupStep> = Vec::new();
        // Whether what stands in brackets is about the last step.
        let (mut is_known, mut is_reaction) = (false, false);
        let spaced = line.replace('[', " [ ").replace(']', " ] ");
        for word in spaced.split_whitespace() {
            match word {
                "[" => is_reaction = true,
                "]" => is_reaction = false,
                reaction if is_reaction => {
                    if let Some(step) = steps.last_mut().filter(|_| is_known) {
                        step.react(reaction);
                    }
                }
                source => {
                    let source = match source {
                        "files" => Some(Source::Files),
                        "dns" => Some(Source::Dns),
                        _ => None,
                    };
                    is_known = source.is_some();
                    steps.extend(source.map(LookupStep::new));
                }
            }
        }
        Self(steps)
    }

    /// The steps, the first one first.
    pub(super) fn steps(&self) -> &[LookupStep] {
        &self.0
    }

    /// Whether name servers are asked at all.
    pub(super) fn asks_dns(&self) -> bool {
        self.0.iter().any(|step| step.source == Source::Dns)
    }
}

impl fmt::Display for LookupOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self
            .0
            .iter()
            .map(|step| match step.source {
                Source::Files => "/etc/hosts",
                Source::Dns => "DNS",
            })
            .collect();
        match names.as_slice() {
            [] => f.write_str("nobody"),
            names => f.write_str(&names.join(", then ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_hosts_says_who_is_asked_and_when_that_is_enough() {
        for (text, order) in [
            ("", "/etc/hosts, then DNS"),
            ("passwd: files\n", "/etc/hosts, then DNS"),
            ("hosts: files dns\n", "/etc/hosts, then DNS"),
            (
                "passwd: files\nhosts:\tdns files # both\n",
                "DNS, then /etc/hosts",
            ),
            ("hosts: files\n", "/etc/hosts"),
            ("#hosts: dns\n", "/etc/hosts, then DNS"),
            (
                "hosts: files mdns4_minimal [NOTFOUND=return] dns mymachines",
                "/etc/hosts, then DNS",
            ),
            (
                "hosts: files myhostname resolve [!UNAVAIL=return] dns",
                "/etc/hosts, then DNS",
            ),
            ("hosts: ldap", "nobody"),
            ("hosts:", "nobody"),
        ] {
            assert_eq!(LookupOrder::parse(text).to_string(), order, "{text}");
        }
    }

    #[test]
    fn brackets_are_about_what_stands_before_them() {
        let order = LookupOrder::parse(
            "hosts: dns [!UNAVAIL=return] files[notfound=return success=continue]",
        );
        let [dns, files] = order.steps() else {
            panic!("{order:?}");
        };
        let ends = |step: &LookupStep| Status::ALL.map(|(_, status)| step.ends_with(status));
        assert_eq!(ends(dns), [true, true, false, true]);
        assert_eq!(ends(files), [false, true, false, false]);
        let order = LookupOrder::parse("hosts: files mdns4 [NOTFOUND=return] dns");
        assert!(!order.steps()[0].ends_with(Status::NotFound));
    }
}
