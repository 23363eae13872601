//! `config` from its flags to ssh's own reading of the result.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use clap::Parser;

use super::*;
use crate::cli::nodes::testing::{HostsFixture, node};
use crate::sys::clock::Clock;
use crate::sys::fs::{PUBLIC_FILE, Replace, write_whole};

#[derive(Debug, Parser)]
struct ConfigCli {
    #[command(flatten)]
    args: ConfigArgs,
}

struct ConfigFixture {
    directory: tempfile::TempDir,
    context: Context,
}

const CONFIG: &str = "\
cluster_name: example.com
proxy_service:
  public_addr: proxy.example.com:3024
nodes:
  - { name: db1, addr: 10.0.0.5 }
";

impl ConfigFixture {
    fn new(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("state");
        let loaded = crate::config::parse(Path::new("f"), config, Some(&data_dir)).unwrap();
        let context = Context {
            config: loaded.config,
            warnings: loaded.warnings,
        };
        let installation = context.config.installation(Clock::System);
        crate::ca::Authorities::make(&installation).unwrap();
        Self { directory, context }
    }

    fn args(&self, args: &[&str]) -> ConfigArgs {
        let ssh_dir = format!("--ssh-dir={}", self.ssh("").display());
        let all = ["config", &ssh_dir].into_iter().chain(args.iter().copied());
        ConfigCli::try_parse_from(all).unwrap().args
    }

    fn printed(&self, args: &[&str]) -> Result<String, Failure> {
        self.args(args).printed(&self.context)
    }

    fn install(&self, args: &[&str]) -> String {
        let args = self.args(args);
        let place = InstallPaths::find(args.ssh_dir.as_deref(), &self.context.config.cluster_name);
        let changes = args.install(&self.context, &place.unwrap()).unwrap();
        changes.iter().map(ToString::to_string).collect()
    }

    fn ssh(&self, name: &str) -> PathBuf {
        self.directory.path().join("ssh").join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.ssh(name)).unwrap()
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.ssh(name).parent().unwrap()).unwrap();
        write_whole(
            &self.ssh(name),
            text.as_bytes(),
            PUBLIC_FILE,
            Replace::Allow,
        )
        .unwrap();
    }

    /// The `ProxyCommand` that ssh takes from a file for a host.
    fn proxy_command(&self, file: &Path, host: &str) -> Option<String> {
        let printed = Command::new("ssh")
            .args(["-T", "-G", "-F"])
            .arg(file)
            .arg(host)
            .output()
            .expect("ssh, of Debian's openssh-client");
        assert!(printed.status.success(), "{printed:?}");
        let text = String::from_utf8(printed.stdout).unwrap();
        let command = |line: &str| {
            let (keyword, value) = line.split_once(' ')?;
            let is_it = keyword.eq_ignore_ascii_case("proxycommand");
            is_it.then(|| value.to_owned())
        };
        text.lines().find_map(command)
    }
}

#[test]
fn the_configuration_says_who_is_behind_which_proxy() {
    let scene = ConfigFixture::new(CONFIG);
    let block = scene.printed(&[]).unwrap();
    assert!(
        block
            .starts_with("# BEGIN rproxy example.com\nHost *.example.com db1 *.EXAMPLE.COM DB1 !proxy.example.com !PROXY.EXAMPLE.COM\n")
    );
    assert!(block.ends_with("# END rproxy example.com\n"));
    scene.put("block", &block);
    let command = |host| scene.proxy_command(&scene.ssh("block"), host);
    let ends = " -p 3024 %r@proxy.example.com -s proxy:%h:%p";
    assert!(command("db1").unwrap().ends_with(ends));
    assert!(command("web.example.com").unwrap().ends_with(ends));
    assert_eq!(command("proxy.example.com"), None);
    assert_eq!(command("github.com"), None);
}

#[test]
fn hosts_that_have_joined_are_behind_the_proxy_by_all_their_names() {
    let fixture = HostsFixture::new();
    let installation = fixture.context.config.installation(Clock::System);
    crate::ca::Authorities::make(&installation).unwrap();
    fixture.join(&node("db1", &[]));
    let args = ConfigCli::try_parse_from(["config", "--ssh-dir=/tmp"]);
    let block = args.unwrap().args.printed(&fixture.context).unwrap();
    let hosts = "\nHost *.example.com web1 db1 db1-alias *.EXAMPLE.COM";
    assert!(block.contains(hosts), "{block}");
}

#[test]
fn flags_stand_above_the_configuration() {
    let scene = ConfigFixture::new(CONFIG);
    let block = scene
        .printed(&[
            "--proxy=[2001:db8::5]:22",
            "--hosts=a?, *.b",
            "--identity=id",
        ])
        .unwrap();
    assert!(
        block.contains("Host a? *.b A? *.B !2001:db8::5 !2001:DB8::5\n"),
        "{block}"
    );
    assert!(block.contains(" -p 22 %r@2001:db8::5 -s "), "{block}");
    let here = std::env::current_dir().unwrap();
    let absolute = format!("    IdentityFile {}\n", here.join("id").display());
    assert_eq!(block.matches(&absolute).count(), 2, "{block}");
}

#[test]
fn a_proxy_that_nobody_named_is_not_guessed() {
    let scene = ConfigFixture::new("cluster_name: c\n");
    let refused = scene.printed(&[]).unwrap_err();
    assert!(
        refused.to_string().contains("hint: give --proxy="),
        "{refused}"
    );
    let scene =
        ConfigFixture::new("cluster_name: c\nproxy_service:\n  listen_addr: 127.0.0.1:2023\n");
    assert!(
        scene
            .printed(&[])
            .unwrap()
            .contains("-p 2023 %r@127.0.0.1 ")
    );
    for bad in ["a:0", "a:b", ":1", "a b", "a:1:2", "a:+1", "k=v:1"] {
        let refused = scene.printed(&[&format!("--proxy={bad}")]).unwrap_err();
        assert_eq!(refused.exit(), Exit::Usage, "{bad}");
    }
}

#[test]
fn where_there_are_no_authorities_none_are_made() {
    let scene = ConfigFixture::new(CONFIG);
    let data_dir = scene.directory.path().join("state");
    std::fs::remove_dir_all(&data_dir).unwrap();
    let place =
        InstallPaths::find(Some(&scene.ssh("")), &scene.context.config.cluster_name).unwrap();
    let refused = [
        scene.printed(&[]).unwrap_err(),
        scene
            .args(&["--install"])
            .install(&scene.context, &place)
            .unwrap_err(),
    ];
    for failure in refused {
        let text = failure.to_string();
        assert!(text.contains(data_dir.to_str().unwrap()), "{text}");
        assert!(!data_dir.exists() && !scene.ssh("rproxy").exists());
    }
}

#[test]
fn known_hosts_are_what_auth_export_prints() {
    let scene = ConfigFixture::new(CONFIG);
    let authorities = AuthClient::new(&scene.context).authorities().unwrap();
    let text = known_hosts(authorities.of(CaKind::Host)).unwrap();
    assert!(
        text.starts_with("@cert-authority * ssh-ed25519 AAAA"),
        "{text}"
    );
    assert!(text.ends_with(" rproxy-host-CA-example.com\n"), "{text}");
}

#[test]
fn installing_twice_changes_nothing_the_second_time() {
    let scene = ConfigFixture::new(CONFIG);
    let first = scene.install(&[]);
    assert_eq!(first.matches("added ").count(), 3, "{first}");
    assert!(
        first.contains(
            "  + Host *.example.com db1 *.EXAMPLE.COM DB1 !proxy.example.com !PROXY.EXAMPLE.COM\n"
        ),
        "{first}"
    );
    let second = scene.install(&[]);
    assert_eq!(second.matches("unchanged ").count(), 3, "{second}");
    assert_eq!(second.lines().count(), 3, "{second}");
    let command = scene.proxy_command(&scene.ssh("config"), "db1").unwrap();
    let known_hosts = scene.ssh("rproxy/example.com.known_hosts");
    assert!(command.contains(&format!("UserKnownHostsFile={} ", known_hosts.display())));
    assert!(!command.contains("KnownHostsCommand"), "{command}");
    assert!(known_hosts.exists());
}

#[test]
fn what_is_not_ours_stays_as_it_is() {
    let scene = ConfigFixture::new(CONFIG);
    let theirs = "# mine\nHost *\n  User bob\n";
    scene.put("config", theirs);
    std::fs::set_permissions(scene.ssh("config"), PermissionsExt::from_mode(0o640)).unwrap();
    scene.install(&[]);
    let config = scene.read("config");
    let (include, rest) = config.split_once("\n\n").unwrap();
    assert_eq!(
        include,
        format!(
            "Include {}",
            scene.ssh("rproxy/example.com.config").display()
        )
    );
    assert_eq!(rest, theirs);
    let mode = scene.ssh("config").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);

    let changed = scene.install(&["--hosts=web1"]);
    assert!(
        changed.contains(
            "  - Host *.example.com db1 *.EXAMPLE.COM DB1 !proxy.example.com !PROXY.EXAMPLE.COM\n"
        ),
        "{changed}"
    );
    assert!(
        changed.contains("  + Host web1 WEB1 !proxy.example.com !PROXY.EXAMPLE.COM\n"),
        "{changed}"
    );
    assert_eq!(scene.read("config"), config);
}

#[test]
fn a_linked_config_stays_a_link() {
    let scene = ConfigFixture::new(CONFIG);
    scene.put("dotfile", "User bob\n");
    symlink(scene.ssh("dotfile"), scene.ssh("config")).unwrap();
    scene.install(&[]);
    assert!(scene.ssh("config").symlink_metadata().unwrap().is_symlink());
    assert!(scene.read("dotfile").ends_with("\n\nUser bob\n"));
}

/// Root, installing for a user, follows that user's links no more than the user could.
#[test]
fn links_of_the_user_lead_root_nowhere() {
    if !rustix::process::geteuid().is_root() {
        return crate::sys::skipped::cannot("only root can make another account's link");
    }
    let nobody = Some(65534);
    let scene = ConfigFixture::new(CONFIG);
    scene.put("precious/file", "precious\n");
    let refused = |link: &str, target: &str| {
        symlink(scene.ssh(target), scene.ssh(link)).unwrap();
        std::os::unix::fs::lchown(scene.ssh(link), nobody, None).unwrap();
        let args = scene.args(&[]);
        let place = InstallPaths::find(args.ssh_dir.as_deref(), &scene.context.config.cluster_name);
        let refused = args.install(&scene.context, &place.unwrap()).unwrap_err();
        let told = format!("{} is a link of user 65534", scene.ssh(link).display());
        assert!(refused.to_string().contains(&told), "{refused}");
        assert_eq!(scene.read("precious/file"), "precious\n");
        let names = std::fs::read_dir(scene.ssh("precious")).unwrap().count();
        assert_eq!(names, 1, "{link}");
        std::fs::remove_file(scene.ssh(link)).unwrap();
    };
    refused("rproxy", "precious");
    refused("config", "precious/file");
    refused("config", "precious/new");
}

/// A link to `/dev/null`, as some have it, is no place for a file: nothing is renamed over a device.
#[test]
fn a_config_that_is_no_file_is_left_alone() {
    let scene = ConfigFixture::new(CONFIG);
    std::fs::create_dir_all(scene.ssh("")).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(scene.ssh("device")).unwrap();
    symlink(scene.ssh("device"), scene.ssh("config")).unwrap();
    let args = scene.args(&[]);
    let place = InstallPaths::find(args.ssh_dir.as_deref(), &scene.context.config.cluster_name);
    let refused = args.install(&scene.context, &place.unwrap()).unwrap_err();
    let told = format!("{} is no regular file", scene.ssh("device").display());
    assert!(refused.to_string().contains(&told), "{refused}");
    assert!(!scene.ssh("device").metadata().unwrap().is_file());
}
