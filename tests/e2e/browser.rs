//! The interface in a real browser: Chromium with a page of a real proxy. What is done on each page is in
//! `tests/browser`, as a program for Node.js; it also takes pictures of the page and looks for what a page
//! must not do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::ClientCommand;
use crate::support::world::{Builder, PersonAnswers, login};
use crate::support::{HostKey, World, ports, programs, skipped};
use crate::web::WebCa;

/// How long a page's test may take: pictures at 4K are slow on a machine with much else to do.
const LIMIT: Duration = Duration::from_secs(300);

/// A proxy with an interface, and the programs that look at it. The world is dropped before the CA.
struct BrowserStage {
    world: World,
    port: u16,
    node: PathBuf,
    chromium: PathBuf,
    _ca: WebCa,
}

impl BrowserStage {
    /// `None` if this machine has no browser, or no interface was built.
    fn new(differs: impl FnOnce(Builder) -> Builder) -> Option<Self> {
        let (Some(node), Some(chromium)) = (programs::other("node"), programs::other("chromium"))
        else {
            skipped::lacks("chromium or node");
            return None;
        };
        let web = root().join("web");
        for (file, what) in [
            ("node_modules/playwright-core", "playwright-core of web"),
            ("dist/index.html", "the interface (web/build.sh)"),
        ] {
            if !web.join(file).exists() {
                skipped::lacks(what);
                return None;
            }
        }
        let (ca, port) = (WebCa::new(), ports::free_port());
        let world = differs(ca.world_at(port).time_limit(LIMIT)).start();
        Some(Self {
            world,
            port,
            node,
            chromium,
            _ca: ca,
        })
    }

    /// Runs a page's test, as this person.
    fn passes(&self, page: &str, person: &PersonAnswers, more: Value) {
        let mut known = json!({
            "url": format!("https://127.0.0.1:{}", self.port),
            "chromium": self.chromium,
            "pictures": pictures(),
            "name": person.name,
            "password": person.password,
        });
        if let (Value::Object(known), Value::Object(more)) = (&mut known, more) {
            known.extend(more);
        }
        let script = root().join("tests/browser").join(page);
        let node = ClientCommand::new(&self.world.children, &self.node, self.world.dir());
        let done = node
            .arg(script)
            .env("RPROXY_BROWSER", known.to_string())
            .run();
        println!("{}", done.text());
        println!("pictures: {}", pictures().display());
        assert_eq!(done.code(), 0, "{page}: {}", done.stderr);
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the pictures are left, for a person to look at.
fn pictures() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser")
}

/// With a one-time code; the only test that needs the second factor.
#[test]
fn sign_in() {
    let Some(stage) = BrowserStage::new(Builder::people) else {
        return;
    };
    let invitation = stage.world.invite("alice");
    let alice = stage.world.sign_up("alice", &invitation);
    let authenticator = alice.authenticator.as_ref().expect("alice has one");
    let codes = json!({ "code": authenticator.code(), "wrongCode": "000000" });
    stage.passes("sign_in.mjs", &alice, codes);
}

#[test]
fn hosts() {
    let differs = |world: Builder| {
        [
            ("db1", "{ env: prod, tier: db }"),
            ("db2", "{ env: prod, tier: db }"),
            ("db10", "{ env: staging, tier: db }"),
            ("web1", "{ env: prod, tier: web }"),
            ("web2", "{ env: staging, tier: web }"),
        ]
        .into_iter()
        .fold(world.signed_in(), |world, (name, labels)| {
            world.labelled_node(name, HostKey::Certified, labels)
        })
    };
    let Some(stage) = BrowserStage::new(differs) else {
        return;
    };
    let _joined = stage
        .world
        .joined_host("edge1", &["--labels=env=prod,site=attic"]);
    let more = json!({
        "hosts": ["db1", "db2", "db10", "edge1", "web1", "web2"],
        "search": { "words": "tier=db db2", "hosts": ["db2"], "command": format!("ssh {}@db2", login()) },
        "label": { "chip": "env=staging, 2 hosts", "hosts": ["db10", "web2"] },
        "keep": std::env::var_os("RPROXY_TEST_BLESS").map(|_| root().join("docs/browser.png")),
    });
    stage.passes("hosts.mjs", stage.world.account(), more);
}

#[test]
fn account() {
    let Some(stage) = BrowserStage::new(Builder::signed_in) else {
        return;
    };
    let more = json!({ "signIns": 2, "keys": 1 });
    stage.passes("account.mjs", stage.world.account(), more);
}

#[test]
fn session_ended() {
    let Some(stage) = BrowserStage::new(Builder::signed_in) else {
        return;
    };
    stage.passes("ended.mjs", stage.world.account(), json!({}));
}

#[test]
fn not_found() {
    let Some(stage) = BrowserStage::new(Builder::signed_in) else {
        return;
    };
    stage.passes("not_found.mjs", stage.world.account(), json!({}));
}
