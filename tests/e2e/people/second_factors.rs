//! Second factors of the configuration: a touched security key, a code, a recovery code, none.

use std::path::{Path, PathBuf};

use crate::support::agent::Agent;
use crate::support::recordings::text;
use crate::support::terminal::Terminal;
use crate::support::{PersonAnswers, SignUp, World, security_keys};

/// A person with a security key, in the device of this path.
struct Desk {
    world: World,
    device: PathBuf,
    agent: Agent,
}

impl Desk {
    /// `None` if this machine has no security key in software.
    fn new(second_factor: &'static str, kind: &str) -> Option<Self> {
        let device = security_keys::device_of_openssh()?;
        let world = World::with().people_with(second_factor).start();
        let agent = another_key(&world, &device, kind, "sk", &[]);
        Some(Self {
            world,
            device,
            agent,
        })
    }

    /// Signs up with the security key, and gives the recovery codes. `asks` says whether a code is asked for.
    fn sign_up(&self, asks: bool) -> PersonAnswers {
        let invitation = self.world.invite("alice");
        let mut sign_up = SignUp::begin(self.asks_at("signup", &[]), "alice", &invitation);
        if asks {
            sign_up.answer_code("");
        }
        let recovery = sign_up.recovery_codes();
        assert_eq!(recovery.len(), 10, "{recovery:?}");
        sign_up.finish();
        let account = PersonAnswers::without_authenticator("alice", recovery);
        self.log_out();
        account
    }

    /// `ssh` at a terminal, with the security key.
    fn asks_at(&self, user: &str, command: &[&str]) -> Terminal {
        asks_at(&self.world, &self.agent.socket, user, command)
    }

    fn log_out(&self) {
        let ssh = self.world.asking_ssh("alice").arg("logout");
        let ssh = ssh.env("SSH_AUTH_SOCK", &self.agent.socket);
        ssh.run().success();
    }
}

/// An agent with a new key of this type in the device.
fn another_key(world: &World, device: &Path, kind: &str, name: &str, more: &[&str]) -> Agent {
    let key = world.dir().join(name);
    security_keys::generate(&key, device, kind, more);
    let socket = world.dir().join(format!("{name}-agent"));
    security_keys::agent(&world.children, &socket, device, &key)
}

/// `ssh` to the proxy at a terminal, with this agent.
fn asks_at(world: &World, socket: &Path, user: &str, command: &[&str]) -> Terminal {
    let ssh = world.asking_ssh(user).env("SSH_AUTH_SOCK", socket);
    let once = ["-o", "NumberOfPasswordPrompts=1"];
    ssh.args(once).args(command).in_terminal(60, 120)
}

/// The factor of the last sign-in, by the audit log.
fn last_factor(world: &World) -> String {
    let begun = world.events("sign_in.begun").pop().expect("a sign-in");
    text(&begun, "second_factor").to_owned()
}

/// The password, and then `status`: nothing else is asked for.
fn signs_in_by_touch(desk: &Desk, account: &PersonAnswers) {
    let mut terminal = desk.asks_at("alice", &["status"]);
    account.answer(&mut terminal);
    terminal.expect("alice is signed in until");
    let (code, shown) = terminal.finish();
    let shown = String::from_utf8_lossy(&shown).into_owned();
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("code for"), "{shown}");
    assert_eq!(last_factor(&desk.world), "security-key");
    let ssh = desk.world.ssh().env("SSH_AUTH_SOCK", &desk.agent.socket);
    let outcome = ssh.args(["db1", "echo in"]).run().success();
    assert_eq!(outcome.text(), "in\n");
}

#[test]
fn any_takes_a_touch_in_place_of_a_code() {
    let Some(desk) = Desk::new("any", "ecdsa-sk") else {
        return;
    };
    let account = desk.sign_up(true);
    signs_in_by_touch(&desk, &account);
    // A key that does not have to be touched is a key like others.
    let other = another_key(
        &desk.world,
        &desk.device,
        "ecdsa-sk",
        "lazy",
        &["-O", "no-touch-required"],
    );
    let mut terminal = asks_at(&desk.world, &other.socket, "alice", &["status"]);
    terminal.expect("your name [alice]: ");
    terminal.type_in("\r");
    account.answer(&mut terminal);
    terminal.expect("code for alice: ");
    terminal.type_in("\r");
    terminal.expect("the password or the code is wrong");
}

#[test]
fn any_takes_a_code_with_a_key_like_others() {
    let world = World::with().people_with("any").start();
    let account = world.sign_up("alice", &world.invite("alice"));
    world.asking_ssh("alice").arg("logout").run().success();
    let mut terminal = world.asking_ssh("alice").arg("status").in_terminal(24, 80);
    account.answer(&mut terminal);
    assert_eq!(terminal.finish().0, Some(0));
    assert_eq!(last_factor(&world), "otp");
    // Who sets up nothing needs a security key: the invitation is not spent.
    let invitation = world.invite("bob");
    let other = world.user_who_holds("bob", crate::support::Holds::KeyAlone);
    let socket = world.dir().join("bob/agent");
    let mut sign_up = SignUp::begin(asks_at(&world, &socket, "signup", &[]), "bob", &invitation);
    sign_up.answer_code("");
    sign_up.recovery_codes();
    sign_up
        .terminal
        .expect("a security key is needed, and it has to be touched");
    assert_eq!(sign_up.terminal.finish().0, Some(255));
    assert_eq!(world.events("invitation.spent").len(), 1);
    let terminal = asks_at(&world, &socket, "signup", &[]);
    World::sign_up_at(terminal, "bob", &invitation);
    drop(other);
}

#[test]
fn webauthn_takes_security_keys_only_and_recovery_codes_for_another_one() {
    let Some(desk) = Desk::new("webauthn", "ed25519-sk") else {
        return;
    };
    let world = &desk.world;
    let plain = world.dir().join("alice/agent");
    let invitation = world.invite("carol");
    let mut sign_up = SignUp::begin(asks_at(world, &plain, "signup", &[]), "carol", &invitation);
    sign_up.recovery_codes();
    sign_up
        .terminal
        .expect("a security key is needed, and it has to be touched");
    sign_up.terminal.expect("ed25519-sk");
    assert_eq!(sign_up.terminal.finish().0, Some(255));

    let account = desk.sign_up(false);
    signs_in_by_touch(&desk, &account);

    let recovers = |socket: &Path, code: &str| {
        let mut terminal = asks_at(world, socket, "alice", &["status"]);
        terminal.expect("your name [alice]: ");
        terminal.type_in("\r");
        account.answer(&mut terminal);
        terminal.expect("code for alice: ");
        terminal.type_in(&format!("{code}\r"));
        terminal
    };
    let other = another_key(world, &desk.device, "ed25519-sk", "other", &[]);
    let mut terminal = recovers(&other.socket, &account.recovery[0].to_lowercase());
    terminal.expect("alice is signed in until");
    assert_eq!(last_factor(world), "recovery-code");
    let third = another_key(world, &desk.device, "ed25519-sk", "third", &[]);
    let mut terminal = recovers(&third.socket, &account.recovery[0]);
    terminal.expect("the password or the code is wrong");
    let mut terminal = recovers(&plain, &account.recovery[1]);
    terminal.expect("a security key is needed, and it has to be touched");
}

/// In place of the authenticator's code, each once.
#[test]
fn recovery_codes_count_once() {
    let world = World::with().people().start();
    let account = world.sign_up("alice", &world.invite("alice"));
    assert_eq!(account.recovery.len(), 10, "{:?}", account.recovery);
    for says in [
        "alice is signed in until",
        "the password or the code is wrong",
    ] {
        world.asking_ssh("alice").arg("logout").run();
        let mut terminal = asks_at(
            &world,
            &world.dir().join("alice/agent"),
            "alice",
            &["status"],
        );
        terminal.answer_hidden("password for alice: ", &format!("{}\r", account.password));
        terminal.expect("code for alice: ");
        terminal.type_in(&format!("{}\r", account.recovery[3]));
        terminal.expect(says);
    }
    assert_eq!(last_factor(&world), "recovery-code");
}

#[test]
fn off_asks_for_the_password_alone() {
    let world = World::with().people_with("off").start();
    let socket = world.dir().join("alice/agent");
    let terminal = asks_at(&world, &socket, "signup", &[]);
    let sign_up = SignUp::begin(terminal, "alice", &world.invite("alice"));
    sign_up.finish();
    world.asking_ssh("alice").arg("logout").run().success();
    let account = PersonAnswers::without_authenticator("alice", Vec::new());
    let mut terminal = asks_at(&world, &socket, "alice", &["status"]);
    account.answer(&mut terminal);
    terminal.expect("alice is signed in until");
    let (code, shown) = terminal.finish();
    assert_eq!(code, Some(0));
    assert!(!String::from_utf8_lossy(&shown).contains("code"));
}
