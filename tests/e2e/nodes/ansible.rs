//! `contrib/ansible` with `rproxy_host_joins`: the role has a fresh Debian join, changes nothing the second time,
//! and removes everything again. Nobody sees the token.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::debian::DebianHost;
use crate::support::keys::{self, Certificate};
use crate::support::others::others;
use crate::support::{ClientOutcome, World, programs};

/// In the place of `ssh` on the host: notes what others can see of all processes while the token is sent.
const SSH: &str = "\
#!/bin/sh\n\
cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\000' '\\n' | cat >>/run/seen\n\
exec /usr/bin/ssh \"$@\"\n";

/// An administrator with Ansible, and the host.
struct Managed<'w> {
    world: &'w World,
    ansible: PathBuf,
    host: DebianHost,
    dir: tempfile::TempDir,
}

impl<'w> Managed<'w> {
    /// `None` where there can be none.
    fn new(world: &'w World) -> Option<Self> {
        let ansible = others("ansible-playbook")?;
        // With Python, which the modules of Ansible need.
        let mut host = DebianHost::new(&world.children, "python")?;
        let dir = tempfile::Builder::new().prefix("rp-").tempdir_in("/tmp");
        let dir = dir.expect("a directory in /tmp");
        let admin = dir.path().join("admin");
        keys::generate(&admin);
        host.shell("useradd --create-home alice && usermod --password '*' alice");
        host.shell("mkdir -m 0700 /root/.ssh && mkdir /root/bin");
        let public = std::fs::read_to_string(keys::with_suffix(&admin, ".pub"));
        host.write("/root/.ssh/authorized_keys", &public.expect("it was made"));
        host.write("/root/bin/ssh", SSH);
        host.shell("chmod 755 /root/bin/ssh");
        host.start_sshd(&world.children);
        let managed = Self {
            world,
            ansible,
            host,
            dir,
        };
        managed.write_files();
        Some(managed)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write_files(&self) {
        let dir = self.dir.path().display();
        // On the way, the test learns of each token.
        let rproxy = self.path("rproxy");
        let script = format!(
            "#!/bin/sh\ncase $1 in\ntokens) {0} --config {1} \"$@\" | tee -a {dir}/tokens ;;\n\
             *) exec {0} --config {1} \"$@\" ;;\nesac\n",
            env!("CARGO_BIN_EXE_rproxy"),
            self.world.dir().join("rproxy.yaml").display(),
        );
        programs::put_script(&script, &rproxy);
        let python = programs::other("python3").expect("Ansible has it");
        let inventory = json!({ "all": {
            "vars": {
                "ansible_become": false,
                "rproxy_host_become": false,
                "rproxy_host_command": [rproxy],
                "rproxy_host_joins": true,
            },
            "hosts": { "proxy": { "ansible_connection": "local", "ansible_python_interpreter": python } },
            "children": { "ssh_hosts": { "hosts": { "db9": {
                "ansible_host": "127.0.0.1",
                "ansible_port": self.host.port,
                "ansible_user": "root",
                "ansible_python_interpreter": "/usr/bin/python3",
                "rproxy_host_labels": ["env=prod"],
                "rproxy_host_join_script": "/root/rproxy-join",
                "rproxy_host_join_options": ["--address=127.0.0.1"],
                "rproxy_host_script_options": [format!("--proxy=127.0.0.1:{}", self.world.port())],
                "rproxy_host_environment": { "PATH": "/root/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
            }}}},
        }});
        let config = format!(
            "[defaults]\ninventory = {dir}/hosts.json\nlocal_tmp = {dir}/local\nlog_path = {dir}/log\n\
             gathering = explicit\n[ssh_connection]\npipelining = True\ncontrol_path_dir = {dir}/control\n\
             ssh_args = -F none -i {dir}/admin -o IdentitiesOnly=yes -o ControlMaster=auto \
             -o ControlPersist=5s -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null\n"
        );
        for (name, text) in [
            ("hosts.json", inventory.to_string()),
            ("ansible.cfg", config),
            ("tokens", String::new()),
        ] {
            std::fs::write(self.path(name), text).expect("a writable directory");
        }
    }

    /// Runs the role, with everything that Ansible can say about it.
    fn play(&self, arguments: &[&str]) -> ClientOutcome {
        let play = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/ansible/enrol.yaml");
        let program = self.world.program_at(&self.ansible);
        let outcome = program
            .arg(play)
            .arg("-vvv")
            .args(arguments)
            .env("ANSIBLE_CONFIG", self.path("ansible.cfg"))
            .env("LC_ALL", "C.UTF-8")
            .run();
        println!("{arguments:?}: {}{}", outcome.text(), outcome.stderr);
        outcome
    }

    /// How much the role changed, which must succeed.
    fn changed(&self, arguments: &[&str]) -> u32 {
        let outcome = self.play(arguments);
        let text = outcome.text();
        assert_eq!(outcome.code(), 0, "{text}\n{}", outcome.stderr);
        let (_, recap) = text.split_once("PLAY RECAP").expect("it ends with one");
        let number = recap.split_once("changed=").map(|(_, rest)| rest);
        let number = number.and_then(|rest| rest.split(' ').next());
        let number = number.and_then(|word| word.parse().ok());
        number.expect("a number")
    }

    /// The tokens that were made so far.
    fn tokens(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("tokens")).expect("it is there");
        let words = text.split('"').filter(|word| word.starts_with("rpt_"));
        words.map(str::to_owned).collect()
    }
}

#[test]
fn the_role_has_a_host_join_and_leave() {
    let world = World::with()
        .certificate(Certificate {
            principals: Some("alice".to_owned()),
            ..Certificate::default()
        })
        .time_limit(std::time::Duration::from_secs(600))
        .start();
    let Some(managed) = Managed::new(&world) else {
        return;
    };
    let host = &managed.host;
    let alice = || {
        let ssh = world.ssh().args(["-l", "alice", "db9", "id -un"]);
        ssh.run().success().text()
    };
    let fresh = host.etc();
    assert!(managed.changed(&["--check"]) > 0);
    assert_eq!(host.etc(), fresh, "a trial");
    assert_eq!(managed.tokens(), Vec::<String>::new());

    // The administrator reads why a host is refused.
    let label = "{\"rproxy_host_join_options\": [\"--label=env=test\"]}";
    let refused = managed.play(&["-e", label]);
    assert_eq!(refused.code(), 2);
    assert!(refused.text().contains("label-forced"));
    assert_eq!(host.etc(), fresh, "refused");

    assert!(managed.changed(&[]) > 0);
    assert_eq!(alice(), "alice\n");
    let node = world.listed_node("db9").expect("it has joined");
    assert_eq!(node["labels"], json!(["env=prod"]), "{node}");
    let joined = host.etc();
    assert_eq!(managed.changed(&[]), 0, "a second time");
    assert_eq!(managed.changed(&["--check"]), 0);
    assert_eq!(host.etc(), joined);

    // It comes back after it was removed at the proxy.
    world.about_nodes(&["rm", "db9"]);
    assert!(managed.changed(&[]) > 0);
    assert_eq!(alice(), "alice\n");

    let tokens = managed.tokens();
    assert_eq!(tokens.len(), 3);
    let log = std::fs::read_to_string(managed.path("log")).expect("Ansible writes it");
    assert!(log.contains("no_log"), "it says what it leaves out");
    let seen = host.shell("cat /run/seen");
    assert!(seen.contains("rproxy-join"), "the script was running");
    for token in tokens {
        for (place, text) in [("the output and the log", &log), ("the processes", &seen)] {
            assert!(!text.contains(&token), "{place} show a token");
        }
    }

    assert!(managed.changed(&["-e", "rproxy_host_leaves=true"]) > 0);
    assert_eq!(host.etc(), fresh);
    assert!(world.listed_node("db9").is_none());
    assert_eq!(managed.changed(&["-e", "rproxy_host_leaves=true"]), 0);
}
