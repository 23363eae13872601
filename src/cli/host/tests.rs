//! `host setup`, judged by a real sshd.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Parser;

use super::*;
use crate::sys::clock::Clock;
use crate::sys::fs::{PUBLIC_FILE, Replace, write_whole};
use crate::sys::script::put_script;

#[derive(Debug, Parser)]
struct HostCli {
    #[command(flatten)]
    args: setup::HostSetupArgs,
}

struct HostFixture {
    directory: tempfile::TempDir,
    context: Context,
}

impl HostFixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("state");
        let text = "cluster_name: example.com\n";
        let loaded = crate::config::parse(Path::new("f"), text, Some(&data_dir)).unwrap();
        let context = Context {
            config: loaded.config,
            warnings: loaded.warnings,
        };
        let installation = context.config.installation(Clock::System);
        crate::ca::Authorities::make(&installation).unwrap();
        let scene = Self { directory, context };
        scene.keygen("host_key");
        // sshd -t wants its separation directory; an ordinary user's sshd does not.
        if rustix::process::geteuid().is_root() {
            std::fs::create_dir_all("/run/sshd").unwrap();
        }
        scene.config("");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn keygen(&self, name: &str) {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(self.path(name))
            .output()
            .expect("ssh-keygen, of Debian's openssh-client");
        assert!(made.status.success(), "{made:?}");
    }

    /// The host's own configuration, with one host key and these lines.
    fn config(&self, lines: &str) {
        let text = format!("HostKey {}\n{lines}", self.path("host_key").display());
        let path = self.path("sshd_config");
        write_whole(&path, text.as_bytes(), PUBLIC_FILE, Replace::Allow).unwrap();
    }

    fn set_up(&self, args: &[&str]) -> Result<String, Failure> {
        self.set_up_as(args, Some("sshd_config"))
    }

    /// The same with this configuration, or none, for the host's own.
    fn set_up_as(&self, args: &[&str], config: Option<&str>) -> Result<String, Failure> {
        let here = self.directory.path().to_str().unwrap();
        let mut all = vec!["setup".to_owned(), format!("--out-dir={here}/out")];
        all.extend(config.map(|config| format!("--sshd-config={here}/{config}")));
        all.extend(args.iter().map(|arg| arg.replace("DIR", here)));
        if !args.iter().any(|arg| arg.starts_with("--sshd=")) {
            all.push(format!("--sshd={}", sshd().display()));
        }
        let line = HostCli::try_parse_from(all).unwrap();
        line.args.set_up(&self.context, |_question| Ok(false))
    }

    fn snippet(&self) -> String {
        std::fs::read_to_string(self.path("out/rproxy.conf")).unwrap()
    }

    /// What sshd makes of the snippet in front of the host's configuration.
    fn effective(&self) -> String {
        let whole = format!(
            "Include {}\nInclude {}\n",
            self.path("out/rproxy.conf").display(),
            self.path("sshd_config").display()
        );
        let path = self.path("whole");
        write_whole(&path, whole.as_bytes(), PUBLIC_FILE, Replace::Allow).unwrap();
        let sshd = Command::new(sshd()).arg("-T").arg("-f").arg(path).output();
        let sshd = sshd.expect("sshd, of Debian's openssh-server");
        assert!(sshd.status.success(), "{sshd:?}");
        String::from_utf8(sshd.stdout).unwrap()
    }
}

/// The system's sshd, or that of the release that `tests/openssh.sh` has unpacked.
fn sshd() -> PathBuf {
    let other = std::env::var_os("RPROXY_TEST_OPENSSH").map(|directory| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        root.join(directory).join("bin/sshd")
    });
    other.unwrap_or_else(|| PathBuf::from("/usr/sbin/sshd"))
}

/// The value of a keyword in what `sshd -T` prints, in whatever case.
fn value_of<'l>(line: &'l str, keyword: &str) -> Option<&'l str> {
    let (printed, value) = line.split_once(' ')?;
    printed.eq_ignore_ascii_case(keyword).then_some(value)
}

/// An sshd that prints keywords as releases from 10.4 on do.
fn mixed_case_sshd(scene: &HostFixture) -> PathBuf {
    let script = "#!/bin/sh\n/usr/sbin/sshd \"$@\" | sed 's/^hostkey /HostKey /'\n";
    let path = scene.path("sshd");
    put_script(script, &path);
    path
}

#[test]
fn keys_in_force_are_found_however_sshd_writes_its_keywords() {
    let scene = HostFixture::new();
    mixed_case_sshd(&scene);
    scene.set_up(&["--host=db1", "--sshd=DIR/sshd"]).unwrap();
    let old = format!("HostKey {}\n", scene.path("host_key").display());
    assert!(scene.snippet().contains(&old), "{}", scene.snippet());
}

#[test]
fn a_certified_key_is_taken_into_use_beside_the_keys_in_force() {
    let scene = HostFixture::new();
    let told = scene.set_up(&["--host=db1,10.0.0.5"]).unwrap();
    assert!(
        told.contains("Include ") && told.contains("reload"),
        "{told}"
    );
    let effective = scene.effective();
    let out = |name: &str| scene.path("out").join(name).display().to_string();
    let has = |line: String| {
        let (keyword, value) = line.split_once(' ').unwrap();
        effective
            .lines()
            .any(|line| value_of(line, keyword) == Some(value))
    };
    assert!(has(format!(
        "trustedusercakeys {}",
        out("rproxy_user_ca.pub")
    )));
    assert!(has(format!(
        "hostcertificate {}",
        out("ssh_host_rproxy_key-cert.pub")
    )));
    assert!(has(format!("hostkey {}", out("ssh_host_rproxy_key"))));
    let old = scene.path("host_key").display().to_string();
    assert!(has(format!("hostkey {old}")), "{effective}");
    // Releases from 10.4 on say nothing of what is not set.
    let mut revoked = effective
        .lines()
        .filter_map(|line| value_of(line, "revokedkeys"));
    assert!(revoked.all(|value| value == "none"), "{effective}");
}

#[test]
fn a_key_in_force_is_certified_where_it_is() {
    let scene = HostFixture::new();
    scene
        .set_up(&["--host=db1", "--public-key=DIR/host_key.pub"])
        .unwrap();
    let snippet = scene.snippet();
    assert!(!snippet.contains("HostKey "), "{snippet}");
    let certificate = scene.path("out/host_key-cert.pub");
    assert!(snippet.contains(&format!("HostCertificate {}\n", certificate.display())));
    let effective = scene.effective();
    let shows = |line| value_of(line, "hostcertificate").is_some_and(|value| value != "none");
    assert!(effective.lines().any(shows), "{effective}");
}

#[test]
fn revoked_keys_go_along() {
    let scene = HostFixture::new();
    let krl = Command::new("ssh-keygen")
        .args(["-q", "-k", "-f"])
        .arg(scene.path("krl"))
        .arg(scene.path("host_key.pub"))
        .output();
    assert!(krl.unwrap().status.success());
    scene.set_up(&["--host=db1", "--krl=DIR/krl"]).unwrap();
    let copied = scene.path("out/rproxy_revoked_keys");
    let copied = copied.display().to_string();
    let effective = scene.effective();
    let names_it = |line| value_of(line, "revokedkeys") == Some(&*copied);
    assert!(effective.lines().any(names_it), "{effective}");
}

#[test]
fn what_sshd_refuses_never_becomes_a_snippet() {
    let scene = HostFixture::new();
    scene.config("NoSuchKeyword yes\n");
    let refused = scene.set_up(&["--host=db1"]).unwrap_err().to_string();
    assert!(refused.contains("NoSuchKeyword"), "{refused}");
    assert!(!scene.path("out/rproxy.conf").exists());
    let left: Vec<_> = std::fs::read_dir(scene.path("out")).unwrap().collect();
    assert!(
        left.iter().all(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            !name.to_string_lossy().contains("check")
        }),
        "{left:?}"
    );
}

#[test]
fn existing_files_are_replaced_only_when_told() {
    let scene = HostFixture::new();
    scene.set_up(&["--host=db1"]).unwrap();
    let before = scene.snippet();
    let refused = scene.set_up(&["--host=db1"]).unwrap_err();
    assert!(refused.to_string().contains("already exist"), "{refused}");
    scene.set_up(&["--host=db1", "--overwrite"]).unwrap();
    assert_eq!(scene.snippet(), before);
}

/// Another host has keys of its own, wherever the command is run: without its configuration, those
/// that sshd has by itself.
#[test]
fn this_machines_keys_are_not_another_hosts() {
    let scene = HostFixture::new();
    scene.set_up_as(&["--host=db1"], None).unwrap();
    let snippet = scene.snippet();
    let own = scene.path("out/ssh_host_rproxy_key");
    let named: Vec<_> = snippet
        .lines()
        .filter_map(|line| line.strip_prefix("HostKey "))
        .collect();
    assert_eq!(
        named,
        [
            "/etc/ssh/ssh_host_rsa_key",
            "/etc/ssh/ssh_host_ecdsa_key",
            "/etc/ssh/ssh_host_ed25519_key",
            own.to_str().unwrap(),
        ],
        "{snippet}"
    );
}

/// A copy of its configuration says which keys it has, though none of them is here.
#[test]
fn another_hosts_configuration_names_its_keys() {
    let scene = HostFixture::new();
    let text = "HostKey /keys/of/db1\nPort 2222\n";
    write_whole(
        &scene.path("of_db1"),
        text.as_bytes(),
        PUBLIC_FILE,
        Replace::Allow,
    )
    .unwrap();
    scene.set_up_as(&["--host=db1"], Some("of_db1")).unwrap();
    let snippet = scene.snippet();
    assert!(snippet.contains("HostKey /keys/of/db1\n"), "{snippet}");
    assert_eq!(snippet.matches("HostKey ").count(), 2, "{snippet}");
    let refused = "Port no\n";
    write_whole(
        &scene.path("of_db1"),
        refused.as_bytes(),
        PUBLIC_FILE,
        Replace::Allow,
    )
    .unwrap();
    let args = ["--host=db1", "--overwrite"];
    let refused = scene.set_up_as(&args, Some("of_db1")).unwrap_err();
    assert!(refused.to_string().contains("sshd refuses"), "{refused}");
}

/// Its key alone is enough: then nothing is said about keys.
#[test]
fn another_hosts_key_is_certified_without_its_private_half() {
    let scene = HostFixture::new();
    std::fs::remove_file(scene.path("host_key")).unwrap();
    let args = ["--host=db1", "--public-key=DIR/host_key.pub"];
    scene.set_up_as(&args, None).unwrap();
    assert!(!scene.snippet().contains("HostKey "), "{}", scene.snippet());
    assert!(scene.snippet().contains("/host_key-cert.pub\n"));
}

/// An sshd that cannot read its list refuses every login.
#[test]
fn what_is_no_revocation_list_is_refused() {
    let scene = HostFixture::new();
    for bad in ["", "ssh-ed25519 AAAA somebody\n", "SSHKRL\n\0\0\0"] {
        write_whole(
            &scene.path("krl"),
            bad.as_bytes(),
            PUBLIC_FILE,
            Replace::Allow,
        )
        .unwrap();
        let refused = scene.set_up(&["--host=db1", "--krl=DIR/krl"]).unwrap_err();
        assert!(refused.to_string().contains("revoked keys"), "{refused}");
    }
    assert!(!scene.path("out").exists());
    assert!(!scene.path("state/issued.jsonl").exists());
}

#[test]
fn what_is_signed_is_audited() {
    let scene = HostFixture::new();
    scene.set_up(&["--host=db1"]).unwrap();
    let audit = std::fs::read_to_string(scene.path("state/audit.jsonl")).unwrap();
    assert_eq!(audit.matches("certificate.issued").count(), 1, "{audit}");
}
