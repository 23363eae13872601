//! A world whose people sign in at a provider, the provider, and their browsers.

use std::cell::RefCell;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::children::{Children, Running};
use crate::support::terminal::Terminal;
use crate::support::world::{Holds, User, login};
use crate::support::{World, clock, ports, programs, skipped};
use crate::web::{WebCa, curl};

/// How the client proves itself to the provider.
const SECRET: &str = "a-secret-of-the-client";
/// How long the provider may run.
const LIMIT: Duration = Duration::from_secs(300);
/// Most redirects and forms between a link and the page with the code.
const MOST_STEPS: usize = 20;

/// How the world differs from the usual one.
pub(super) struct Plan {
    pub(super) types: &'static str,
    /// The provider speaks HTTPS, with a certificate of the CA of the tests.
    pub(super) https: bool,
    /// The configuration names that CA.
    pub(super) trusts: bool,
    /// More sections of the configuration.
    pub(super) settings: String,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            types: "[certificate, oidc]",
            https: false,
            trusts: false,
            settings: String::new(),
        }
    }
}

/// Everything that a test needs. The fields are dropped in this order.
pub(super) struct ProviderStage {
    provider: ProviderProcess,
    pub(super) world: World,
    ca: WebCa,
    /// The port of the proxy's web.
    pub(super) web: u16,
}

impl ProviderStage {
    /// The usual one, with a provider that runs; `None` if oidc-provider is not installed.
    pub(super) fn new() -> Option<Self> {
        Self::with(Plan::default())
    }

    pub(super) fn with(plan: Plan) -> Option<Self> {
        if !modules().is_dir() {
            skipped::lacks("oidc-provider");
            return None;
        }
        let (web, port) = (ports::free_port(), ports::free_port());
        let scheme = if plan.https { "https" } else { "http" };
        let issuer = format!("{scheme}://127.0.0.1:{port}");
        let ca = WebCa::new();
        ca.openssl(&["genrsa", "-out", "ca.signing", "2048"]);
        let secret = ca.path("oidc.secret");
        fs::write(&secret, format!("{SECRET}\n")).expect("writable");
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&secret, private).expect("our own file");
        let ca_file = match plan.trusts {
            true => format!("ca_file: '{}', ", ca.path("ca.pem").display()),
            false => String::new(),
        };
        let role = |value: &str, roles: &str| {
            format!("{{ claim: groups, value: {value}, roles: [{roles}] }}")
        };
        // The proxy looks at its start whether the provider can be used.
        let provider = ProviderProcess {
            running: RefCell::new(None),
            children: Children::new(LIMIT),
            settings: provider_settings(&ca, &issuer, web, plan.https),
            port,
            dir: ca.path(""),
        };
        provider.start(json!({}), &mut Command::new(programs::path("node")));
        let world = ca
            .world_at(web)
            .holds(Holds::KeyAlone)
            .proxy_setting(&format!("web_public_addr: 127.0.0.1:{web}"))
            .auth_setting(&format!(
                "authentication: {{ type: {}, second_factor: off, oidc: {{ issuer: '{issuer}', \
                 client_id: rproxy, client_secret_file: '{}', {ca_file}claims_to_roles: [{}, {}] }} }}",
                plan.types,
                secret.display(),
                role("dba", "everywhere"),
                role("idle", "nowhere"),
            ))
            .settings(&format!(
                "roles: [{{ name: everywhere, allow: [{{ nodes: ['*'], logins: ['{}'] }}] }}, \
                 {{ name: nowhere }}]",
                login()
            ))
            .settings(&plan.settings)
            .start();
        Some(Self {
            provider,
            world,
            ca,
            web,
        })
    }

    /// Starts the provider again, with the same key as before. `more` is added to its settings.
    pub(super) fn start_provider(&self, more: Value) {
        let mut node = Command::new(programs::path("node"));
        self.provider.start(more, &mut node);
    }

    /// The same, with a clock that is wrong by so many seconds.
    pub(super) fn start_provider_wrong_by(&self, seconds: i64) {
        let library = clock::wrong_by(seconds, &self.provider.dir);
        let mut node = Command::new(programs::path("node"));
        self.provider
            .start(json!({}), node.env("LD_PRELOAD", library));
    }

    /// Kills the provider.
    pub(super) fn stop_provider(&self) {
        self.provider.stop();
    }

    /// A URL of the proxy's web.
    pub(super) fn at_web(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.web)
    }

    /// A person's browser, with cookies of its own.
    pub(super) fn browser(&self, name: &str) -> Browser<'_> {
        Browser {
            stage: self,
            jar: self.world.dir().join(format!("cookies-of-{name}")),
        }
    }

    /// `ssh db1 'echo hello'` at a terminal, with the agent of the world's user.
    pub(super) fn ssh(&self) -> Waiting {
        let ssh = self.world.asking_ssh_to("db1", "echo hello");
        Waiting(ssh.in_terminal(24, 200))
    }

    /// The same with the agent of another user.
    pub(super) fn ssh_as(&self, user: &User) -> Waiting {
        let ssh = self.world.asking_ssh_to("db1", "echo hello");
        let ssh = ssh.env("SSH_AUTH_SOCK", user.key.with_file_name("agent"));
        Waiting(ssh.in_terminal(24, 200))
    }

    /// Signs in as this person with the key of the world's user.
    pub(super) fn sign_in(&self, name: &str) {
        let mut waiting = self.ssh();
        let page = self.browser(name).sign_in(&waiting.link(), name);
        waiting.type_code(&page.code());
        waiting.says_hello();
    }

    /// Ends the sign-in of the world's user.
    pub(super) fn log_out(&self, name: &str) {
        let logout = self.world.asking_ssh(name).arg("logout");
        logout.run().success();
    }
}

/// The provider, which runs or does not.
struct ProviderProcess {
    running: RefCell<Option<Running>>,
    children: Children,
    settings: Value,
    port: u16,
    /// For its log, and for libraries.
    dir: PathBuf,
}

impl ProviderProcess {
    fn start(&self, more: Value, node: &mut Command) {
        self.stop();
        let mut settings = self.settings.clone();
        if let (Value::Object(all), Value::Object(more)) = (&mut settings, more) {
            all.extend(more);
        }
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/support/oidc_provider.mjs");
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("provider.log"))
            .expect("writable");
        let running = self.children.spawn(
            node.arg(script)
                .arg(modules())
                .arg(settings.to_string())
                .stdin(Stdio::null())
                .stdout(log.try_clone().expect("a file"))
                .stderr(log),
        );
        self.running.replace(Some(running));
        let connects = || TcpStream::connect(("127.0.0.1", self.port)).ok();
        let connected = self.children.eventually(connects);
        connected.expect("the provider listens");
    }

    fn stop(&self) {
        drop(self.running.take());
    }
}

fn provider_settings(ca: &WebCa, issuer: &str, web: u16, https: bool) -> Value {
    let mut settings = json!({
        "issuer": issuer,
        "redirect_uris": [format!("https://127.0.0.1:{web}/webapi/oidc/callback")],
        "secret": SECRET,
        "signing_key": ca.path("ca.signing"),
        "people": {
            "alice": { "groups": ["staff", "dba"] },
            "bob": { "groups": ["dba"] },
            "carol": { "groups": ["idle"] },
            "mallory": { "groups": [] },
        },
    });
    if https {
        settings["key"] = json!(ca.path("server.key"));
        settings["cert"] = json!(ca.path("server.pem"));
    }
    settings
}

/// Where `tests/run.sh` installs oidc-provider.
fn modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/oidc-provider/node_modules")
}

/// A terminal in which `ssh` waits for a code.
pub(super) struct Waiting(pub(super) Terminal);

impl Waiting {
    /// The link that it shows.
    pub(super) fn link(&mut self) -> String {
        self.0.expect("Open this link in a browser and sign in:");
        self.0.expect("https://");
        let rest = self.0.expect("\n");
        self.0
            .expect("rproxy example.test: code from the browser: ");
        format!("https://{}", rest.trim())
    }

    pub(super) fn type_code(&self, code: &str) {
        self.0.type_in(&format!("{code}\r"));
    }

    /// The connection has gone on to its host.
    pub(super) fn says_hello(mut self) {
        self.0.expect("hello");
        assert_eq!(self.0.finish().0, Some(0));
    }

    /// It is refused with these words.
    pub(super) fn reads_the_refusal(mut self, words: &str) {
        self.0.expect(words);
        assert_eq!(self.0.finish().0, Some(255));
    }
}

/// A browser: it keeps cookies, follows redirects, and fills in the forms of the provider.
pub(super) struct Browser<'s> {
    stage: &'s ProviderStage,
    jar: PathBuf,
}

/// What a browser shows.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) status: u32,
    /// Where it is redirected to; empty if it is not.
    pub(super) redirect: String,
    pub(super) html: String,
}

impl Shown {
    /// The code on the page.
    pub(super) fn code(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.html);
        let code = self.between("<code>", "</code>");
        code.unwrap_or_else(|| panic!("no code: {}", self.html))
    }

    /// The first text between two others.
    fn between(&self, before: &str, after: &str) -> Option<String> {
        let (_, rest) = self.html.split_once(before)?;
        Some(rest.split_once(after)?.0.to_owned())
    }

    /// The page is a refusal with these words.
    pub(super) fn reads_the_refusal(&self, words: &str) {
        assert_eq!(self.status, 403, "{}", self.html);
        assert!(self.html.contains(words), "{words:?}: {}", self.html);
        assert!(!self.html.contains("<code>"), "{}", self.html);
    }
}

impl Browser<'_> {
    /// Opens a page without following redirects.
    pub(super) fn get(&self, url: &str) -> Shown {
        self.ask(&[url])
            .unwrap_or_else(|| panic!("no answer of {url}"))
    }

    fn ask(&self, args: &[&str]) -> Option<Shown> {
        let (jar, trust) = (
            self.jar.display().to_string(),
            self.stage.ca.path("ca.pem").display().to_string(),
        );
        let fixed = ["-b", &jar, "-c", &jar, "--cacert", &trust];
        let wanted = ["-w", "\n%{http_code} %{redirect_url}"];
        let outcome = curl(&self.stage.world, &[&fixed[..], &wanted[..], args].concat());
        if outcome.code() != 0 {
            return None;
        }
        let text = outcome.text();
        let (html, last) = text.rsplit_once('\n').expect("the line that was asked for");
        let (status, redirect) = last.split_once(' ').expect("two words");
        Some(Shown {
            status: status.parse().expect("a status"),
            redirect: redirect.to_owned(),
            html: html.to_owned(),
        })
    }

    /// Signs in at the provider as this person, from the link to the last page at the proxy.
    pub(super) fn sign_in(&self, link: &str, name: &str) -> Shown {
        self.until(link, name, |_| false)
    }

    /// The same until the provider sends the browser back; the URL that it is sent to.
    pub(super) fn callback(&self, link: &str, name: &str) -> String {
        let back = self.stage.at_web("/webapi/oidc/callback");
        self.until(link, name, |url| url.starts_with(&back))
            .redirect
    }

    /// Follows redirects and fills in forms, until a redirect is one to stop at, or there is neither.
    fn until(&self, url: &str, name: &str, stops: impl Fn(&str) -> bool) -> Shown {
        let mut shown = self.get(url);
        for _ in 0..MOST_STEPS {
            if stops(&shown.redirect) {
                return shown;
            }
            if !shown.redirect.is_empty() {
                shown = self.get(&shown.redirect);
                continue;
            }
            let login = format!("prompt=login&login={name}&password=x");
            let data = match shown.between("name=\"prompt\" value=\"", "\"").as_deref() {
                Some("login") => &login,
                Some("consent") => "prompt=consent",
                _ => return shown,
            };
            let action = shown.between("action=\"", "\"").expect("a form");
            shown = self.ask(&["-d", data, &action]).expect("an answer");
        }
        panic!("{url} leads nowhere: {shown:?}");
    }
}
