//! `contrib/ansible`: hosts that the role has enrolled can be reached through the proxy; a second
//! run changes nothing, a check run changes nothing, and settings that `sshd` refuses are restored.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::others::others;
use crate::support::world::login;
use crate::support::{ClientOutcome, HostKey, World, keys, programs};
use crate::web;

/// Hosts that have their own keys and an administrator's key, and are not set up for the proxy yet.
struct Fleet {
    world: World,
    ansible: PathBuf,
    dir: tempfile::TempDir,
}

const HOSTS: [&str; 2] = ["db1", "web1"];

impl Fleet {
    /// `None` if Ansible is not installed.
    fn new() -> Option<Self> {
        let ansible = others("ansible-playbook")?;
        let dir = tempfile::Builder::new().prefix("rp-").tempdir_in("/tmp");
        let dir = dir.expect("a directory in /tmp");
        let root = dir.path();
        keys::generate(&root.join("admin"));
        let settings = |name: &str| {
            let etc = root.join(name);
            std::fs::create_dir(&etc).expect("a writable directory");
            // One reads a directory of settings, as Debian's does; the other does not.
            let include = match name {
                "db1" => format!("Include {}/sshd_config.d/*.conf\n", etc.display()),
                _ => String::new(),
            };
            format!(
                "{include}TrustedUserCAKeys none\nAuthorizedKeysFile {}\nPidFile {}\n",
                root.join("admin.pub").display(),
                etc.join("pid").display(),
            )
        };
        let world = HOSTS.iter().fold(web::plain(), |world, name| {
            world.tuned_node(name, HostKey::Plain, &settings(name))
        });
        let fleet = Self {
            world: world.time_limit(Duration::from_secs(600)).start(),
            ansible,
            dir,
        };
        fleet.write_inventory();
        Some(fleet)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The administrator's variables, and the paths that are different on real hosts.
    fn write_inventory(&self) {
        let python = programs::other("python3")
            .expect("Ansible has it")
            .display()
            .to_string();
        let rproxy = env!("CARGO_BIN_EXE_rproxy");
        let config = self.world.dir().join("rproxy.yaml");
        let url = web::url(&self.world, "/webapi/auth/krl");
        let hosts = self.world.nodes().iter().map(|node| {
            let etc = self.path(&node.name);
            let there = self.world.dir().join(&node.name);
            let pid = etc.join("pid");
            let vars = json!({
                "ansible_host": "127.0.0.1",
                "ansible_port": node.port,
                "ansible_user": login(),
                "rproxy_host_key": there.join("host_key"),
                "rproxy_host_directory": etc.join("rproxy"),
                "rproxy_host_sshd_config": there.join("sshd_config"),
                "rproxy_host_snippet": etc.join("sshd_config.d/10-rproxy.conf"),
                "rproxy_host_fetch_krl": etc.join("fetch-krl"),
                "rproxy_host_cron_file": etc.join("cron"),
                // One host is enough for the revocation list, which takes three more tasks.
                "rproxy_host_krl_url": if node.name == "db1" { url.as_str() } else { "" },
                "rproxy_host_reload_command": format!("kill -HUP $(cat {})", pid.display()),
            });
            (node.name.clone(), vars)
        });
        let inventory = json!({ "all": {
            "vars": {
                "ansible_become": false,
                "ansible_python_interpreter": python,
                "rproxy_host_become": false,
                "rproxy_host_command": [rproxy, "--config", config],
                "rproxy_host_sshd": programs::path("sshd"),
                "rproxy_host_krl_curl_options": ["--noproxy", "*"],
                "rproxy_host_egress_addrs": ["203.0.113.10/32"],
            },
            "hosts": { "proxy": { "ansible_connection": "local" } },
            "children": { "ssh_hosts": { "hosts": Value::Object(hosts.collect()) } },
        }});
        let dir = self.dir.path().display();
        let config = format!(
            "[defaults]\ninventory = {dir}/hosts.json\nremote_tmp = {dir}/remote\nlocal_tmp = {dir}/local\n\
             gathering = explicit\n[ssh_connection]\npipelining = True\ncontrol_path_dir = {dir}/control\n\
             ssh_args = -F none -i {dir}/admin -o IdentitiesOnly=yes -o ControlMaster=auto \
             -o ControlPersist=5s -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null\n"
        );
        for (name, text) in [
            ("hosts.json", inventory.to_string()),
            ("ansible.cfg", config),
        ] {
            std::fs::write(self.path(name), text).expect("a writable directory");
        }
    }

    fn play(&self, args: &[&str]) -> ClientOutcome {
        let play = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/ansible/enrol.yaml");
        self.world
            .program_at(&self.ansible)
            .arg(play)
            .args(args)
            .env("ANSIBLE_CONFIG", self.path("ansible.cfg"))
            .env("LC_ALL", "C.UTF-8")
            .run()
    }

    /// How much the role changed on each host.
    fn changed(&self, args: &[&str]) -> Vec<u32> {
        let outcome = self.play(args);
        let text = outcome.text();
        assert_eq!(outcome.code(), 0, "{text}\n{}", outcome.stderr);
        let (_, recap) = text.split_once("PLAY RECAP").expect("it ends with one");
        let numbers = recap.split("changed=").skip(1).map(|rest| {
            let number = rest.split(' ').next().and_then(|word| word.parse().ok());
            number.unwrap_or_else(|| panic!("no recap: {text}"))
        });
        numbers.collect()
    }

    /// The CA key that signed the certificate of a host.
    fn authority(&self, host: &str) -> String {
        let certificate = self.path(host).join("rproxy/host-cert.pub");
        let shown = keys::tool(
            Command::new(programs::path("ssh-keygen"))
                .args(["-L", "-f"])
                .arg(certificate),
        );
        let line = shown.lines().find(|line| line.contains("Signing CA"));
        line.expect("it is signed").to_owned()
    }
}

/// One world for the whole life of a fleet, and single hosts if one is enough: each run of Ansible
/// takes seconds of processor time.
#[test]
fn a_fleet_is_enrolled() {
    let Some(fleet) = Fleet::new() else { return };
    let world = &fleet.world;
    for host in HOSTS {
        let refused = world.run(host, "true");
        assert_eq!(refused.code(), 255);
        assert!(
            refused.stderr.contains("host certificate"),
            "{}",
            refused.stderr
        );
    }

    let tried = fleet.changed(&["--check", "--limit=web1"]);
    assert!(tried.len() == 1 && tried[0] > 3, "{tried:?}");
    let web1 = fleet.path("web1");
    assert_eq!(keys::files(&web1), [web1.join("pid")], "a trial");

    let done = fleet.changed(&[]);
    assert!(
        done.len() == 2 && done.iter().all(|&changed| changed > 3),
        "{done:?}"
    );
    for host in HOSTS {
        assert_eq!(world.run(host, "echo in").success().text(), "in\n");
    }
    for file in ["rproxy/revoked_keys", "cron"] {
        assert!(fleet.path("db1").join(file).is_file(), "{file}");
    }
    assert_eq!(fleet.changed(&["--limit=db1"]), [0], "a second time");

    // `sshd` would refuse a directory with a space: the role restores everything, and it works.
    let snippet = web1.join("sshd_config.d/10-rproxy.conf");
    let before = std::fs::read(&snippet).expect("it was written");
    let odd = format!("rproxy_host_directory='{}'", fleet.path("o dd").display());
    let failed = fleet.play(&["--limit=web1", "-e", &odd]);
    assert_eq!(failed.code(), 2, "{}", failed.text());
    assert!(
        failed.text().contains("It is as it was"),
        "{}",
        failed.text()
    );
    assert_eq!(std::fs::read(&snippet).expect("it is back"), before);

    // In the middle of a rotation, when clients trust both keys, the hosts get certificates of the
    // new key.
    let old = fleet.authority("db1");
    for phase in ["init", "update_clients", "update_servers"] {
        let phase = format!("--phase={phase}");
        keys::tool(
            world
                .rproxy()
                .args(["auth", "rotate", "--type=host", &phase]),
        );
    }
    let both = keys::tool(world.rproxy().args(["auth", "export", "--type=host"]));
    std::fs::write(world.dir().join("known_hosts"), both).expect("writable");
    assert!(fleet.changed(&["--limit=db1"])[0] > 0);
    assert_ne!(fleet.authority("db1"), old);
    world.run("db1", "true").success();
}
