//! `tests/openssh.sh` on machines that are new or lose their network: what is not whole does not count as
//! done. apt-get is one of the test's own here, and the network is not used.

#[cfg(test)]
#[path = "../src/sys/script.rs"]
mod script;

#[cfg(test)]
mod openssh {
    #![expect(
        clippy::disallowed_methods,
        reason = "the tests' own files need no particular mode"
    )]

    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Output};

    use crate::script::put_script;

    /// What apt-get answers. It knows its archive only if it was asked to fetch lists, or has some.
    const APT_GET: &str = r#"#!/bin/bash
echo "$*" >>"$FAKE/log"
case $* in
*indextargets*)
    if [[ -e $FAKE/lists || $* == *Dir::State::Lists=* ]]; then echo http://archive.example/debian/; fi
    ;;
*update*)
    for word in "$@"; do
        case $word in Dir::Etc::SourceList=*) cat "${word#*=}" >>"$FAKE/sources" ;; esac
    done
    ;;
*--print-uris*) echo "'http://archive.example/a.deb' openssh-server_1_amd64.deb 1 SHA256:00" ;;
*download*)
    if [[ -e $FAKE/killed ]]; then kill -KILL "$(<"$FAKE/killed")"; fi
    exit 100
    ;;
esac
"#;

    /// A directory with such programs, and a place for a release.
    struct FakeMachine(tempfile::TempDir);

    impl FakeMachine {
        fn new() -> Self {
            let machine = Self(tempfile::tempdir().expect("a directory"));
            for (name, script) in [
                ("apt-get", APT_GET),
                ("dpkg-deb", "#!/bin/sh\n"),
                ("patchelf", "#!/bin/sh\n"),
            ] {
                let path = machine.path(name);
                put_script(script, &path);
            }
            machine
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn run(&self, before: &str) -> Output {
            let usual = std::env::var("PATH").expect("a PATH");
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openssh.sh");
            Command::new("bash")
                .arg("-c")
                .arg(format!("{before} exec bash \"$0\" sid \"$FAKE/sid\""))
                .arg(script)
                .env("FAKE", self.0.path())
                .env("PATH", format!("{}:{usual}", self.0.path().display()))
                .output()
                .expect("bash runs")
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.path(name)).unwrap_or_default()
        }

        /// What is beside the release, half done.
        fn leftovers(&self) -> usize {
            let entries = fs::read_dir(self.0.path()).expect("readable");
            let names = entries.map(|entry| entry.expect("an entry").file_name());
            names
                .filter(|name| name.to_string_lossy().starts_with("sid.new."))
                .count()
        }
    }

    #[test]
    fn a_download_that_fails_leaves_nothing() {
        let machine = FakeMachine::new();
        fs::write(machine.path("lists"), "").expect("writable");
        assert!(!machine.run("").status.success());
        assert!(machine.read("log").contains("Acquire::Retries=3"));
        assert!(machine.read("log").contains("download openssh-server"));
        assert!(!machine.path("sid").exists());
        assert_eq!(machine.leftovers(), 0);
    }

    #[test]
    fn what_was_interrupted_is_done_again() {
        let machine = FakeMachine::new();
        fs::write(machine.path("lists"), "").expect("writable");
        let killed = machine.run("echo $$ >\"$FAKE/killed\";");
        assert!(!killed.status.success());
        assert_eq!(machine.leftovers(), 1);
        fs::remove_file(machine.path("killed")).expect("it is there");
        // Programs without their version are none.
        fs::create_dir_all(machine.path("sid/bin")).expect("writable");
        let before = machine.read("log").len();
        assert!(!machine.run("").status.success());
        assert!(machine.read("log")[before..].contains("download"));
        assert_eq!(machine.leftovers(), 0);
        assert!(!machine.path("sid/version").exists());

        fs::write(machine.path("sid/version"), "OpenSSH_1\n").expect("writable");
        let before = machine.read("log").len();
        assert!(machine.run("").status.success());
        assert_eq!(machine.read("log").len(), before, "nobody is asked");
    }

    /// A machine whose lists of packages were never fetched, such as a new container.
    #[test]
    fn a_new_machine_fetches_lists_first() {
        let machine = FakeMachine::new();
        assert!(!machine.run("").status.success());
        let sources = machine.read("sources");
        assert!(
            sources.contains("http://archive.example/debian/ sid main"),
            "{sources}"
        );
        assert!(machine.read("log").contains("download openssh-server"));
    }
}
