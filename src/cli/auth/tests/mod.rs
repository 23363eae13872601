//! `auth export` and `auth sign` from their flags to their files, judged by ssh-keygen, sshd and ssh.

mod revocation;
mod rotation;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output, Stdio};

use clap::Parser;

use super::*;
use crate::ca::{IssueLog as _, Ledger};
use crate::cli::table::Surface;
use crate::config;
use crate::sys::clock::Clock;

#[derive(Debug, Parser)]
struct AuthCli {
    #[command(subcommand)]
    command: AuthCommand,
}

/// A data directory and a directory for files, gone with the test.
struct AuthFixture {
    directory: tempfile::TempDir,
    context: Context,
}

impl AuthFixture {
    fn new() -> Self {
        Self::of("cluster_name: example.com\nproxy_service: { listen_addr: 127.0.0.1 }\n")
    }

    fn of(file: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("state");
        let loaded = config::parse(Path::new("test"), file, Some(&data_dir)).unwrap();
        let scene = Self {
            context: Context {
                config: loaded.config,
                warnings: loaded.warnings,
            },
            directory,
        };
        scene.ok(&["init"]);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Runs `auth ARGS`, with `DIR` in them standing for the scene's directory; what the flag
    /// parser refuses is a usage failure as it is on the command line.
    fn run(&self, args: &[&str], answer: bool) -> Result<String, Failure> {
        let here = self.directory.path().to_str().unwrap();
        let args = args.iter().map(|arg| arg.replace("DIR", here));
        let line = AuthCli::try_parse_from(std::iter::once("auth".to_owned()).chain(args))
            .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        match line.command {
            AuthCommand::Export(args) => args.text(&self.context),
            AuthCommand::Import(args) => args.import(&self.context, |_| Ok(None)),
            AuthCommand::Sign(args) => args.sign(&self.context, |_| Ok(answer)),
            AuthCommand::Krl(args) => args.write(&self.context),
            AuthCommand::Ls(args) => args.list(
                &self.context,
                Clock::System.unix_seconds(),
                Surface::default(),
            ),
            AuthCommand::Init(args) => args.make(&self.context),
            AuthCommand::Revoke(args) => args.revoke(&self.context, |_| Ok(answer)),
            AuthCommand::Unrevoke(args) => args.lift(&self.context, |_| Ok(answer)),
            AuthCommand::Rotate(args) => args.rotate(&self.context),
            AuthCommand::Status(args) => args.text(&self.context),
        }
    }

    fn ok(&self, args: &[&str]) -> String {
        self.run(args, false).unwrap()
    }

    /// The text of a failure with this exit code.
    fn fails(&self, args: &[&str], exit: Exit) -> String {
        let failure = self.run(args, false).unwrap_err();
        assert_eq!(failure.exit(), exit, "{args:?}: {failure}");
        failure.to_string()
    }

    /// Makes a key pair `name`, `name.pub`.
    fn key(&self, name: &str, kind: &[&str]) {
        let path = self.path(name);
        let made = program("ssh-keygen", "openssh-client")
            .args(["-q", "-N", "", "-C", name, "-f"])
            .arg(path)
            .args(kind)
            .output();
        assert_success(made.as_ref().unwrap());
    }

    /// What `ssh-keygen -L` reads in a certificate.
    fn listed(&self, name: &str) -> String {
        let listed = program("ssh-keygen", "openssh-client")
            .args(["-L", "-f"])
            .arg(self.path(name))
            .output()
            .unwrap();
        assert_success(&listed);
        String::from_utf8(listed.stdout).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        use crate::sys::fs::{PUBLIC_FILE, Replace, write_whole};
        write_whole(
            &self.path(name),
            text.as_bytes(),
            PUBLIC_FILE,
            Replace::Allow,
        )
        .unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn mode(&self, name: &str) -> u32 {
        self.path(name).metadata().unwrap().permissions().mode() & 0o7777
    }
}

fn program(name: &str, package: &str) -> Process {
    let sbin = Path::new("/usr/sbin").join(name);
    let found = Process::new("sh")
        .args(["-c", &format!("command -v {name}")])
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(
        found.success() || sbin.exists(),
        "{name} is missing: install {package}"
    );
    if found.success() {
        Process::new(name)
    } else {
        Process::new(sbin)
    }
}

fn assert_success(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn export_prints_each_file_s_form() {
    let scene = AuthFixture::new();
    let user = scene.ok(&["export", "--type=user"]);
    assert!(user.starts_with("ssh-ed25519 AAAA"), "{user}");
    assert!(user.ends_with(" rproxy user CA example.com\n"), "{user}");
    assert_eq!(user.lines().count(), 1);
    assert_eq!(
        scene.ok(&["export", "--type", "user", "--format", "openssh"]),
        user
    );
    assert_eq!(
        scene.ok(&["export", "--type=user", "--format=authorized-keys"]),
        format!("cert-authority {user}")
    );
    let host = scene.ok(&["export", "--type=host", "--format=openssh"]);
    assert!(host.ends_with(" rproxy host CA example.com\n"), "{host}");
    let known = scene.ok(&["export", "--type=host"]);
    let host = host.replace("rproxy host CA example.com", "rproxy-host-CA-example.com");
    assert_eq!(known, format!("@cert-authority * {host}"));
    assert_eq!(
        scene.ok(&["export", "--type=host", "--hosts=*.example.com, [p]:3023"]),
        format!("@cert-authority *.example.com,[p]:3023 {host}")
    );
}

#[test]
fn export_refuses_what_does_not_go_together() {
    let scene = AuthFixture::new();
    for bad in [
        &["export"][..],
        &["export", "--type=tls"],
        &["export", "--type=user", "--format=known-hosts"],
        &["export", "--type=user", "--hosts=a"],
        &["export", "--type=host", "--format=authorized-keys"],
        &["export", "--type=host", "--format=openssh", "--hosts=a"],
    ] {
        scene.fails(bad, Exit::Usage);
    }
    let refused = scene.fails(&["export", "--type=host", "--hosts=a b"], Exit::Failed);
    assert!(
        refused.contains("\"a b\"") && refused.contains("hint: "),
        "{refused}"
    );
    assert!(
        !scene.exists("state/issued.jsonl"),
        "a refused command makes no CA"
    );
}

#[test]
fn a_host_key_is_made_with_its_certificate() {
    let scene = AuthFixture::new();
    let printed = scene.ok(&[
        "sign",
        "--host=db1, db1.example.com,10.0.0.5",
        "--out=DIR/db1",
    ]);
    let here = scene.directory.path().display();
    assert_eq!(
        printed,
        format!(
            "The credentials have been written to {here}/db1, {here}/db1.pub, {here}/db1-cert.pub\n\
             HostKey {here}/db1\n\
             HostCertificate {here}/db1-cert.pub\n"
        )
    );
    assert_eq!(
        (
            scene.mode("db1"),
            scene.mode("db1.pub"),
            scene.mode("db1-cert.pub")
        ),
        (0o600, 0o644, 0o644)
    );
    let listed = scene.listed("db1-cert.pub");
    assert!(
        listed.contains("ssh-ed25519-cert-v01@openssh.com host certificate"),
        "{listed}"
    );
    assert!(listed.contains("Key ID: \"db1\""), "{listed}");
    let principals: Vec<_> = listed.lines().map(str::trim).collect();
    assert!(
        principals
            .windows(4)
            .any(|lines| { lines == ["Principals:", "db1", "db1.example.com", "10.0.0.5"] }),
        "{listed}"
    );
    assert!(!listed.contains("Serial: 0\n"), "{listed}");
    let ledger = scene.read("state/issued.jsonl");
    let line: serde_json::Value = serde_json::from_str(&ledger).unwrap();
    let seconds = |name: &str| line[name].as_u64().unwrap();
    assert_eq!(
        seconds("valid_before") - seconds("valid_after"),
        365 * 86_400 + 60
    );
}

#[test]
fn every_key_type_is_certified() {
    let scene = AuthFixture::new();
    for (name, kind) in [
        ("rsa", &["-t", "rsa", "-b", "2048"][..]),
        ("p256", &["-t", "ecdsa", "-b", "256"]),
        ("p384", &["-t", "ecdsa", "-b", "384"]),
        ("p521", &["-t", "ecdsa", "-b", "521"]),
        ("ed25519", &["-t", "ed25519"]),
    ] {
        scene.key(name, kind);
        let public_key = format!("--public-key=DIR/{name}.pub");
        let printed = scene.ok(&["sign", "--host=db1", &public_key]);
        assert!(
            printed.contains(&format!("{name}\nHostCertificate ")),
            "{printed}"
        );
        let listed = scene.listed(&format!("{name}-cert.pub"));
        assert!(
            listed.contains("Type: ") && listed.contains(" host certificate"),
            "{listed}"
        );
        let out = format!("--out=DIR/{name}-user.pub");
        let user = [
            "sign",
            "--user=alice",
            "--logins=root,www",
            &public_key,
            &out,
        ];
        let printed = scene.ok(&user);
        assert_eq!(printed.lines().count(), 1, "{printed}");
        let listed = scene.listed(&format!("{name}-user.pub"));
        assert!(listed.contains(" user certificate"), "{listed}");
        assert!(listed.contains("Key ID: \"alice\""), "{listed}");
        assert!(listed.contains("permit-pty"), "{listed}");
        assert!(listed.contains("Critical Options: (none)"), "{listed}");
    }
}

#[test]
fn out_names_the_key_or_the_certificate() {
    let scene = AuthFixture::new();
    scene.key("id", &["-t", "ed25519"]);
    let sign = ["sign", "--host=db1", "--public-key=DIR/id.pub"];
    scene.ok(&[&sign[..], &["--out=DIR/id"]].concat());
    assert!(
        scene.read("id").contains("PRIVATE KEY"),
        "the key is left alone"
    );
    let printed = scene.ok(&[&sign[..], &["--out=DIR/db1-cert.pub"]].concat());
    assert!(scene.exists("id-cert.pub") && scene.exists("db1-cert.pub"));
    let here = scene.directory.path().display();
    assert!(
        printed.contains(&format!("HostKey {here}/id\n")),
        "{printed}"
    );
}

#[test]
fn user_certificates_carry_the_egress_addresses() {
    let mut scene = AuthFixture::new();
    scene.context.config.proxy.egress_addrs =
        vec!["203.0.113.10/32".to_owned(), "2001:db8::/64".to_owned()];
    scene.key("id", &["-t", "ed25519"]);
    scene.ok(&[
        "sign",
        "--user=alice",
        "--logins=root",
        "--public-key=DIR/id.pub",
    ]);
    let listed = scene.listed("id-cert.pub");
    assert!(
        listed.contains("source-address 203.0.113.10/32,2001:db8::/64"),
        "{listed}"
    );
}

#[test]
fn wrong_command_lines_are_usage_errors() {
    let scene = AuthFixture::new();
    scene.key("id", &["-t", "ed25519"]);
    for bad in [
        &["sign"][..],
        &["sign", "--host=db1"],
        &[
            "sign",
            "--host=db1",
            "--user=alice",
            "--logins=a",
            "--public-key=DIR/id.pub",
        ],
        &["sign", "--host=db1", "--logins=root", "--out=DIR/x"],
        &["sign", "--user=alice", "--public-key=DIR/id.pub"],
        &["sign", "--user=alice", "--logins=root", "--out=DIR/x"],
        &["sign", "--host=db1", "--public-key=-"],
        &["sign", "--host=db1", "--out=-"],
        &["sign", "--host=db1", "--out=DIR/x.pub"],
        &["sign", "--host=db1", "--out=DIR/x", "--ttl=soon"],
        &[
            "sign",
            "--host=db1",
            "--public-key=DIR/id.pub",
            "--out=DIR/id.pub",
            "--overwrite",
        ],
    ] {
        scene.fails(bad, Exit::Usage);
    }
    assert!(!scene.exists("state/issued.jsonl") && !scene.exists("x"));
}

#[test]
fn refused_values_are_named() {
    let scene = AuthFixture::new();
    scene.key("id", &["-t", "ed25519"]);
    let host = |name: &str| format!("--host={name}");
    for bad in [
        "",
        ",",
        "db1,",
        "a b",
        "a\nb",
        "db*",
        "db?",
        "!db",
        "db1,db1",
        "a\\tb",
        "db1,a\\tb",
        "env=prod",
        "[db1]:22",
        "db1:22",
        "a/b",
        "-db1",
        "DB1,db1",
    ] {
        let refused = scene.fails(&["sign", &host(bad), "--out=DIR/x"], Exit::Failed);
        assert!(refused.contains("caused by: "), "{refused}");
    }
    let user = ["sign", "--user=alice", "--public-key=DIR/id.pub"];
    for bad in ["", "root,", "a b", "*"] {
        scene.fails(&[&user[..], &["--logins", bad]].concat(), Exit::Failed);
    }
    for (ttl, reason) in [
        ("0s", "zero"),
        ("0h", "zero"),
        ("31h", "30h at most"),
        ("99999999999999999999w", "too long"),
        ("18446744073709551615s", "30h at most"),
    ] {
        let ttl = format!("--ttl={ttl}");
        let refused = scene.fails(
            &[&user[..], &["--logins=root", &ttl]].concat(),
            Exit::Failed,
        );
        assert!(refused.contains(reason), "{refused}");
    }
    let overflow = [
        "sign",
        "--host=db1",
        "--out=DIR/x",
        "--ttl=18446744073709551615s",
    ];
    assert!(scene.fails(&overflow, Exit::Failed).contains("9999"));
    assert!(
        !scene.exists("state/issued.jsonl") && !scene.exists("x") && !scene.exists("id-cert.pub")
    );
}

#[test]
fn what_is_no_public_key_is_refused_by_name() {
    let scene = AuthFixture::new();
    scene.key("id", &["-t", "ed25519"]);
    scene.key("small", &["-t", "rsa", "-b", "1024"]);
    scene.ok(&[
        "sign",
        "--host=a",
        "--public-key=DIR/id.pub",
        "--out=DIR/cert.pub",
    ]);
    scene.write("dsa.pub", "ssh-dss AAAAB3NzaC1kc3MAAACBAP");
    let new = "ssh-mldsa44-ed25519@openssh.com";
    scene.write("young.pub", &format!("{new} AAAAH3NzaC1tbGRzYTQ0 me"));
    scene.write("broken.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+ me");
    scene.write("big.pub", &"a".repeat(65 * 1024));
    for (file, reason) in [
        ("id", "is a private key"),
        ("cert.pub", "already a certificate"),
        ("small.pub", "1024 bits"),
        ("dsa.pub", "ssh-dss is not supported"),
        (
            "young.pub",
            "ssh-mldsa44-ed25519@openssh.com is not supported",
        ),
        ("young.pub", "does not know this kind of key"),
        ("broken.pub", "malformed"),
        ("big.pub", "larger than"),
        ("missing.pub", "cannot read"),
    ] {
        let key = format!("--public-key=DIR/{file}");
        let sign = ["sign", "--user=a", "--logins=a", &key, "--out=DIR/new.pub"];
        let refused = scene.fails(&sign, Exit::Failed);
        assert!(refused.contains(reason), "{file}: {refused}");
    }
    assert!(!scene.exists("new.pub"));
    let import = ["import", "--type=user", "--overwrite", "DIR/young.pub"];
    let refused = scene.fails(&import, Exit::Failed);
    assert!(refused.contains(new), "{refused}");
}

#[test]
fn a_certificate_lives_as_long_as_the_policy_says_and_no_longer() {
    let scene = AuthFixture::new();
    scene.key("id", &[]);
    let sign = |ttl: &str, exit| {
        let ttl = format!("--ttl={ttl}");
        let (user, key) = ("--user=alice", "--public-key=DIR/id.pub");
        scene.fails(&["sign", user, "--logins=root", key, &ttl], exit)
    };
    let refused = sign("1801m", Exit::Failed);
    assert!(refused.contains("30h at most, not 1801m"), "{refused}");
    assert!(refused.contains("max_ttl"), "{refused}");
    for bare in ["3600", "1h30"] {
        let refused = sign(bare, Exit::Usage);
        assert!(refused.contains("a number with a unit"), "{refused}");
    }

    let file = "roles: [{ name: all, max_ttl: 7d }]\nusers: [{ name: alice, roles: [all] }]\n";
    let scene = AuthFixture::of(&format!("cluster_name: example.com\n{file}"));
    scene.key("id", &[]);
    let sign = |ttl: &str| {
        let ttl = format!("--ttl={ttl}");
        let (user, key) = ("--user=alice", "--public-key=DIR/id.pub");
        let line = ["sign", user, "--logins=root", key, &ttl, "--overwrite"];
        scene.run(&line, false)
    };
    sign("168h").unwrap();
    let refused = sign("169h").unwrap_err().to_string();
    assert!(
        refused.contains("1w at most, not 169h: role all"),
        "{refused}"
    );

    // A person without a role has what holds for all.
    let file = "auth_service: { max_ttl: 72h }\nroles: [{ name: all, max_ttl: 7d }]\n";
    let scene = AuthFixture::of(&format!("cluster_name: example.com\n{file}"));
    scene.key("id", &[]);
    let sign = |ttl: &str| {
        let ttl = format!("--ttl={ttl}");
        let (user, key) = ("--user=bob", "--public-key=DIR/id.pub");
        let line = ["sign", user, "--logins=root", key, &ttl, "--overwrite"];
        scene.run(&line, false)
    };
    sign("3d").unwrap();
    let refused = sign("73h").unwrap_err().to_string();
    assert!(
        refused.contains("3d at most, not 73h") && refused.contains("auth_service.max_ttl"),
        "{refused}"
    );
}

#[test]
fn nothing_but_init_makes_authorities() {
    let scene = AuthFixture::new();
    let again = scene.ok(&["init"]);
    assert!(
        again.contains("user CA: is there already, SHA256:"),
        "{again}"
    );
    let audit = scene.read("state/audit.jsonl");
    assert_eq!(audit.matches("authority.created").count(), 2, "{audit}");
    std::fs::remove_dir_all(scene.path("state")).unwrap();
    scene.key("id", &[]);
    let commands: [&[&str]; 9] = [
        &["export", "--type=user"],
        &["sign", "--host=db1", "--out=DIR/db1"],
        &[
            "sign",
            "--user=alice",
            "--logins=root",
            "--public-key=DIR/id.pub",
        ],
        &["ls"],
        &["krl", "--out=DIR/krl"],
        &["revoke", "--serial=7", "--yes"],
        &["unrevoke", "--serial=7", "--yes"],
        &["rotate", "--type=user"],
        &["status", "--no-connect"],
    ];
    let state = scene.path("state").display().to_string();
    for command in commands {
        let refused = scene.fails(command, Exit::Failed);
        assert!(refused.contains(&state), "{command:?}: {refused}");
        assert!(
            !scene.exists("state") && !scene.exists("krl"),
            "{command:?}"
        );
    }
}

#[test]
fn existing_files_stay_unless_the_user_says_so() {
    let scene = AuthFixture::new();
    let sign = ["sign", "--host=db1", "--out=DIR/db1"];
    for taken in ["db1", "db1.pub", "db1-cert.pub"] {
        scene.write(taken, "theirs");
        let refused = scene.fails(&sign, Exit::Failed);
        assert!(refused.contains("already exists"), "{refused}");
        assert!(refused.contains("--overwrite"), "{refused}");
        assert_eq!(scene.read(taken), "theirs");
        std::fs::remove_file(scene.path(taken)).unwrap();
    }
    assert!(
        !scene.exists("state/issued.jsonl"),
        "nothing is signed for files that cannot be written"
    );
    scene.write("db1", "theirs");
    scene.run(&sign, true).unwrap();
    assert!(scene.read("db1").contains("PRIVATE KEY"));
    assert_eq!(scene.mode("db1"), 0o600);
    let before = scene.read("db1-cert.pub");
    scene.ok(&[&sign[..], &["--overwrite"]].concat());
    assert_ne!(scene.read("db1-cert.pub"), before);
}

#[test]
fn a_place_that_cannot_be_written_is_found_before_anything_is_signed() {
    let scene = AuthFixture::new();
    scene.write("file", "");
    scene.fails(&["sign", "--host=db1", "--out=DIR/file/db1"], Exit::Failed);
    scene.fails(&["sign", "--host=db1", "--out=DIR/none/db1"], Exit::Failed);
    assert!(!scene.exists("state/issued.jsonl"));
}

#[test]
fn a_data_directory_open_to_others_fails_with_the_remedy() {
    let scene = AuthFixture::new();
    scene.ok(&["export", "--type=user"]);
    let ca = scene.path("state/ca");
    std::fs::set_permissions(&ca, std::fs::Permissions::from_mode(0o755)).unwrap();
    let refused = scene.fails(&["export", "--type=user"], Exit::Failed);
    assert!(
        refused.contains(&format!("hint: chmod 0700 {}", ca.display())),
        "{refused}"
    );
}

/// A stock sshd takes what `sign` and `export` wrote, and a stock ssh takes that sshd for `db1` with
/// nothing but the host CA in its known_hosts (`sshd_config`(5), HostCertificate).
#[test]
fn sshd_and_ssh_accept_the_files() {
    let scene = AuthFixture::new();
    let printed = scene.ok(&["sign", "--host=db1", "--out=DIR/host key"]);
    scene.write("user_ca.pub", &scene.ok(&["export", "--type=user"]));
    scene.write("known_hosts", &scene.ok(&["export", "--type=host"]));
    let lines: Vec<_> = printed.lines().skip(1).collect();
    let trusted = crate::openssh::trusted_user_ca_keys(&scene.path("user_ca.pub")).unwrap();
    let config = format!(
        "{}\n{trusted}\nUsePAM no\nStrictModes no\n",
        lines.join("\n")
    );
    scene.write("sshd_config", &config);
    if rustix::process::geteuid().is_root() {
        // sshd insists on it as root; Debian's service makes it at boot.
        std::fs::create_dir_all("/run/sshd").unwrap();
    }
    let config = scene.path("sshd_config");
    let test = program("sshd", "openssh-server")
        .arg("-t")
        .arg("-f")
        .arg(&config)
        .output();
    let test = test.unwrap();
    assert_success(&test);
    assert!(test.stderr.is_empty(), "{test:?}");

    let sshd = if Path::new("/usr/sbin/sshd").exists() {
        "/usr/sbin/sshd"
    } else {
        "sshd"
    };
    let ssh = |host: &str| {
        let output = program("ssh", "openssh-client")
            .args([
                "-F",
                "/dev/null",
                "-o",
                "BatchMode=yes",
                "-o",
                "StrictHostKeyChecking=yes",
            ])
            .args([
                "-o",
                "PreferredAuthentications=none",
                "-o",
                "GlobalKnownHostsFile=/dev/null",
            ])
            .args([
                "-o",
                &format!("UserKnownHostsFile={}", scene.path("known_hosts").display()),
            ])
            .args([
                "-o",
                &format!("ProxyCommand={sshd} -i -f {}", config.display()),
            ])
            .args([host, "true"])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let right = ssh("db1");
    assert!(right.contains("Permission denied"), "{right}");
    let wrong = ssh("db2");
    assert!(wrong.contains("name is not a listed principal"), "{wrong}");
}

#[test]
fn a_list_of_hosts_is_signed_as_a_whole() {
    let scene = AuthFixture::new();
    scene.key("one", &["-t", "ed25519"]);
    scene.key("two", &["-t", "ecdsa"]);
    let list = format!(
        "db1,10.0.0.5 {}# a comment\ndb2 {}",
        scene.read("one.pub"),
        scene.read("two.pub")
    );
    scene.write("list", &list);
    std::fs::create_dir(scene.path("out")).unwrap();
    let batch = ["sign", "--host", "--batch=DIR/list"];
    let to_files = [&batch[..], &["--out=DIR/out"]].concat();
    assert_eq!(scene.ok(&to_files).lines().count(), 2);
    let listed = scene.listed("out/db1-cert.pub");
    assert!(listed.contains("10.0.0.5"), "{listed}");
    assert!(scene.listed("out/db2-cert.pub").contains("ECDSA-CERT"));
    assert!(
        scene
            .fails(&to_files, Exit::Failed)
            .contains("already exist")
    );

    let printed = scene.ok(&batch);
    let mut lines = printed.lines();
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("db1 ssh-ed25519-cert-v01@openssh.com AAAA")
    );
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("db2 ecdsa-sha2-nistp256-cert-v01@openssh.com AAAA")
    );

    let issued = scene.read("state/issued.jsonl").lines().count();
    let audit = scene.read("state/audit.jsonl");
    assert_eq!(audit.matches("certificate.issued").count(), issued);
    let ledger = Ledger::of(&crate::model::DataDir::new(scene.path("state")));
    let issued = || ledger.issued().unwrap().len();
    let before = issued();
    scene.ok(&["revoke", "--yes", "--key-id=db2"]);
    let refused = scene.fails(&batch, Exit::Failed);
    assert!(refused.contains("the key id db2 is revoked"), "{refused}");
    assert_eq!(issued(), before);
    scene.write("list", &format!("{list}db3 nonsense\n"));
    assert!(scene.fails(&batch, Exit::Failed).contains("line 4: "));
    assert_eq!(issued(), before);
    for bad in [
        &["sign", "--host=db1", "--batch=DIR/list"][..],
        &["sign", "--batch=DIR/list", "--user=alice", "--logins=root"],
        &["sign", "--batch=DIR/list", "--public-key=DIR/one.pub"],
    ] {
        scene.fails(bad, Exit::Usage);
    }
}

#[test]
fn a_rotation_is_told_in_words() {
    let scene = AuthFixture::new();
    let user = scene.ok(&["export", "--type=user"]);
    let begun = scene.ok(&["rotate", "--type=user"]);
    assert!(begun.starts_with("user CA: standby -> init\n"), "{begun}");
    assert!(begun.ends_with("Then: rproxy auth rotate --type=user --phase=update_clients\n"));
    let both = scene.ok(&["export", "--type=user"]);
    assert!(
        both.starts_with(&user) && both.lines().count() == 2,
        "{both}"
    );
    let refused = scene.fails(&["rotate", "--type=user", "--phase=standby"], Exit::Failed);
    assert!(
        refused.contains("next is update_clients") && refused.contains("hint: "),
        "{refused}"
    );
    let late = ["rotate", "--type=user", "--grace-period=48h"];
    assert!(
        scene
            .fails(&late, Exit::Failed)
            .contains("under way already")
    );
    scene.fails(&["rotate", "--type=user", "--phase=done"], Exit::Usage);
    let status = scene.ok(&["status"]);
    assert!(status.starts_with("user CA: init since 20"), "{status}");
    assert!(status.contains("  new key SHA256:") && status.contains("host CA: standby\n"));
    let back = scene.ok(&["rotate", "--type=user", "--rollback"]);
    assert!(back.contains("init -> rollback"), "{back}");
    scene.ok(&["rotate", "--type=user"]);
    assert_eq!(scene.ok(&["export", "--type=user"]), user);
    let by_itself = scene.ok(&["rotate", "--type=host", "--grace-period=48h"]);
    assert!(
        by_itself.contains("It goes on to update_clients by itself at 20"),
        "{by_itself}"
    );
    let refused = scene.fails(&["rotate", "--type=host"], Exit::Failed);
    assert!(refused.contains("moves by itself"), "{refused}");
    let audit = scene.read("state/audit.jsonl");
    let moves: Vec<serde_json::Value> = audit
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &serde_json::Value| event["event"] == "authority.rotated")
        .collect();
    assert_eq!(moves[0]["from"], "standby");
    assert_eq!(moves[0]["to"], "init");
    assert!(moves[0]["by"].is_string());
}

/// Where no proxy runs, the commands move on what is due, and write it to the audit log without a name.
#[test]
fn a_rotation_that_is_due_is_moved_on_by_the_command_that_comes_next() {
    let past = r#"{"phase":"init","since":1,"schedule":{"update_clients":2,"update_servers":3,"standby":99999999999},"moves":1}"#;
    for (next, told) in [
        (
            &["rotate", "--type=user", "--rollback"][..],
            "user CA: update_servers -> rollback\n",
        ),
        (&["status"], "user CA: update_servers since 20"),
        (&["export", "--type=user"], "ssh-ed25519 "),
    ] {
        let scene = AuthFixture::new();
        scene.ok(&["rotate", "--type=user", "--grace-period=48h"]);
        scene.write("state/ca/user_rotation.json", past);
        scene.ok(&["ls"]);
        assert_eq!(scene.read("state/ca/user_rotation.json"), past);
        let said = scene.ok(next);
        assert!(said.starts_with(told), "{said}");
        let state = scene.read("state/ca/user_rotation.json");
        assert!(!state.contains(r#""phase":"init""#), "{state}");
        let audit = scene.read("state/audit.jsonl");
        let by_itself = audit
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .filter(|event| event["event"] == "authority.rotated" && event["by"].is_null());
        let moves: Vec<_> = by_itself.map(|event| event["to"].clone()).collect();
        assert_eq!(moves, ["update_servers"], "{next:?}");
    }
}
