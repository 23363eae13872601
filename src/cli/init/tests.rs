//! The command from its flags to what it writes, and to what it leaves where it fails.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use clap::Parser;
use serde_json::Value;

use super::*;
use crate::cli::stored;
use crate::config::{self, AuthenticationType};
use crate::sys::fs::{PUBLIC_FILE, Replace, write_whole};

#[derive(Debug, Parser)]
struct InitCli {
    #[command(flatten)]
    args: InitArgs,
}

/// A machine without a proxy, gone with the test.
struct InitFixture {
    directory: tempfile::TempDir,
}

impl InitFixture {
    fn new() -> Self {
        Self {
            directory: crate::sys::fs::private_tempdir(),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn source(&self) -> Source {
        Source {
            file: Some(self.at("etc/rproxy.yaml")),
            data_dir: Some(self.at("var/data")),
        }
    }

    /// Runs it without a question.
    fn init(&self, args: &[&str]) -> Result<String, Failure> {
        let line = std::iter::once(&"init").chain(args);
        let line = InitCli::try_parse_from(line)
            .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
        let format = line.args.format;
        let answers = line.args.wanted(&self.source())?.completed()?;
        existing::check_file(&answers.file)?;
        let done = making::make(&answers)?;
        report::text(&answers, &done, format)
    }

    fn configuration(&self) -> String {
        std::fs::read_to_string(self.at("etc/rproxy.yaml")).unwrap()
    }

    fn context(&self) -> Context {
        let loaded = config::parse(Path::new("r.yaml"), &self.configuration(), None).unwrap();
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        Context {
            config: loaded.config,
            warnings: loaded.warnings,
        }
    }

    /// Everything that is there.
    fn everything(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.directory.path().to_owned()];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path.clone());
                }
                found.push(path);
            }
        }
        found.sort();
        found
    }

    fn put(&self, name: &str, content: &str) {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_whole(&path, content.as_bytes(), PUBLIC_FILE, Replace::Refuse).unwrap();
    }
}

const NAMES: [&str; 3] = [
    "--cluster-name=example.com",
    "--public-addr=proxy.example.com",
    "--administrator=carol",
];

#[test]
fn the_administrator_is_invited_and_may_go_everywhere() {
    let fixture = InitFixture::new();
    let told = fixture
        .init(&[&NAMES[..], &["--format=json"]].concat())
        .unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    let keys: Vec<_> = told.as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        keys,
        [
            "administrator",
            "command",
            "config",
            "data_dir",
            "expires",
            "host_ca",
            "invitation",
            "next",
            "redirect_url",
            "user_ca"
        ]
    );
    assert_eq!(told["command"], "ssh -p 3023 signup@proxy.example.com");
    let file = fixture.at("etc/rproxy.yaml");
    let start = format!("rproxy --config={} serve", file.display());
    assert_eq!(told["next"][0], start.as_str());
    assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o640);
    let context = fixture.context();
    let config = &context.config;
    assert_eq!(config.cluster_name.as_str(), "example.com");
    assert_eq!(config.data_dir.path(), fixture.at("var/data"));
    assert_eq!(config.proxy.listen_addr.to_string(), "0.0.0.0:3023");
    assert!(config.auth.authentication.has_local());
    let state = stored::existing(&context).unwrap().unwrap();
    let user = state.users().get("carol").unwrap().unwrap();
    assert_eq!(
        (user.roles, user.logins),
        (vec![configuration::ADMIN_ROLE.to_owned()], None)
    );
    config.role(configuration::ADMIN_ROLE).unwrap();
    let log = std::fs::read_to_string(config.data_dir.audit_log()).unwrap();
    let invitation = told["invitation"].as_str().unwrap();
    assert!(
        log.contains("\"how\":\"init\"") && !log.contains(invitation),
        "{log}"
    );
    assert!(
        fixture
            .everything()
            .iter()
            .all(|path| !path.to_string_lossy().contains(".init.")),
        "{:?}",
        fixture.everything()
    );
    let text = InitFixture::new().init(&NAMES).unwrap();
    for part in [
        "The first administrator is carol.",
        "ssh -p 3023 signup@proxy.example.com",
        "Next, start the proxy",
        " serve\n",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn with_certificates_the_administrator_has_a_role_and_a_command() {
    let fixture = InitFixture::new();
    let text = fixture
        .init(&[&NAMES[..], &["--authentication=certificate"]].concat())
        .unwrap();
    assert!(
        text.contains(" auth sign --user=carol --logins=root --public-key=carol.pub\n"),
        "{text}"
    );
    let config = fixture.context().config;
    assert_eq!(
        config.auth.authentication.types,
        [AuthenticationType::Certificate]
    );
    assert_eq!(config.users.len(), 1);
    assert!(!config.data_dir.state_db().exists());
}

#[test]
fn with_a_provider_a_claim_makes_administrators() {
    let fixture = InitFixture::new();
    let args = [
        "--cluster-name=example.com",
        "--public-addr=proxy.example.com:2022",
        "--authentication=oidc",
        "--oidc-issuer=https://id.example.com",
        "--oidc-admin-claim=groups=ops",
        "--https-key-file=/etc/ssl/web.key",
    ];
    let text = fixture.init(&args).unwrap();
    for part in [
        "\n    https://proxy.example.com:3080/webapi/oidc/callback\n",
        "\n    ssh -p 2022 proxy.example.com login\n",
        "users with the claim groups=ops",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let config = fixture.context().config;
    let authentication = &config.auth.authentication;
    assert_eq!(authentication.types, [AuthenticationType::Oidc]);
    let provider = authentication.oidc.as_ref().unwrap();
    assert_eq!(provider.issuer.to_string(), "https://id.example.com");
    assert_eq!(provider.client_id, "rproxy");
    assert_eq!(
        provider.client_secret_file,
        Some(fixture.at("etc/oidc.secret"))
    );
    let claim = provider.claims_to_roles.first().unwrap();
    assert_eq!((&*claim.claim, &*claim.value), ("groups", "ops"));
    assert_eq!(claim.roles, [configuration::ADMIN_ROLE]);
    let tls = config.https_files().unwrap();
    assert_eq!(tls.cert_file, fixture.at("etc/web.pem"));
    assert_eq!(tls.key_file, Path::new("/etc/ssl/web.key"));
    for (without, told) in [
        (&args[..3], "--oidc-issuer"),
        (&[args[2], "--oidc-admin-claim=x"], "write it as in"),
    ] {
        let failure = InitFixture::new().init(without).unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.to_string().contains(told), "{failure}");
    }
    let long = format!("--oidc-client-id={}", "x".repeat(300));
    let fixture = InitFixture::new();
    let failure = fixture
        .init(&[&args[..], &[long.as_str()]].concat())
        .unwrap_err();
    assert!(failure.to_string().contains("client_id"), "{failure}");
    assert!(fixture.everything().is_empty());
    let public = InitFixture::new();
    public
        .init(&[&args[..5], &["--oidc-secret-file=none"]].concat())
        .unwrap();
    assert!(!public.configuration().contains("secret"));
}

#[test]
fn what_is_there_is_named_and_stays() {
    for (name, named) in [
        ("etc/rproxy.yaml", "there is a configuration already"),
        ("var/data/ca/user_ca", "keys of CAs"),
        ("var/data/state.db", "the state"),
        ("var/data/audit.jsonl", "an audit log"),
        ("var/data/issued.jsonl", "a ledger"),
        ("var/data/revoked.jsonl", "revocations"),
        ("var/data/recordings/x", "recordings"),
    ] {
        let fixture = InitFixture::new();
        fixture.put(name, "theirs");
        let before = fixture.everything();
        let failure = fixture.init(&NAMES).unwrap_err().to_string();
        let path = fixture.at(name.trim_end_matches("/user_ca").trim_end_matches("/x"));
        assert!(failure.contains(named), "{name}: {failure}");
        assert!(
            failure.contains(&*path.to_string_lossy()),
            "{name}: {failure}"
        );
        assert_eq!(fixture.everything(), before);
        assert_eq!(std::fs::read(fixture.at(name)).unwrap(), b"theirs");
    }
}

#[test]
fn a_link_that_leads_nowhere_is_there_too() {
    let fixture = InitFixture::new();
    std::fs::create_dir(fixture.at("etc")).unwrap();
    std::os::unix::fs::symlink("/nonexistent", fixture.at("etc/rproxy.yaml")).unwrap();
    let failure = fixture.init(&NAMES).unwrap_err().to_string();
    assert!(
        failure.contains("there is a configuration already"),
        "{failure}"
    );
}

#[test]
fn the_packages_example_is_replaced_unless_it_was_changed() {
    let packaged = include_str!("../../../contrib/package/rproxy.yaml");
    let fixture = InitFixture::new();
    fixture.put("etc/rproxy.yaml", packaged);
    fixture.init(&NAMES).unwrap();
    assert!(
        fixture
            .configuration()
            .contains("cluster_name: \"example.com\"\n")
    );
    let fixture = InitFixture::new();
    fixture.put("etc/rproxy.yaml", &packaged.replace("3023", "3024"));
    fixture.init(&NAMES).unwrap_err();
    assert!(fixture.configuration().contains("3024"));
}

#[test]
fn other_files_in_the_data_directory_are_no_hindrance() {
    let fixture = InitFixture::new();
    fixture.put("var/data/lost+found/x", "");
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(fixture.at("var/data"), mode).unwrap();
    fixture.init(&NAMES).unwrap();
    assert!(fixture.at("var/data/lost+found/x").exists());
}

#[test]
fn if_one_part_fails_nothing_is_left() {
    // A data directory that others may enter is refused when everything else is ready.
    let fixture = InitFixture::new();
    std::fs::create_dir_all(fixture.at("var/data")).unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(fixture.at("var/data"), mode).unwrap();
    let before = fixture.everything();
    let failure = fixture.init(&NAMES).unwrap_err().to_string();
    assert!(failure.contains("mode 0755"), "{failure}");
    assert_eq!(fixture.everything(), before);
    // A file stands where the directory of the configuration has to be made.
    let fixture = InitFixture::new();
    fixture.put("etc", "a file in the place of a directory");
    let before = fixture.everything();
    fixture.init(&NAMES).unwrap_err();
    assert_eq!(fixture.everything(), before);
}

#[test]
fn a_filled_data_directory_is_emptied_again_if_the_configuration_cannot_be_placed() {
    let fixture = InitFixture::new();
    fixture.put("var/other", "");
    let line = InitCli::try_parse_from(["init"]).unwrap();
    let answers = line.args.wanted(&fixture.source()).unwrap();
    let answers = answers.completed().unwrap();
    let text = configuration::text(&answers).unwrap();
    let before = fixture.everything();
    let filled = making::fill(&answers, &text).unwrap();
    assert!(fixture.at("var/data/ca/user_ca").exists());
    assert!(fixture.at("var/data/state.db").exists());
    drop(filled);
    assert_eq!(fixture.everything(), before);
}

#[test]
fn values_that_mean_something_in_yaml_are_texts() {
    let fixture = InitFixture::new();
    fixture
        .init(&[
            "--cluster-name=no",
            "--public-addr=[2001:db8::5]:22",
            "--administrator=yes",
            "--authentication=certificate",
        ])
        .unwrap();
    let config = fixture.context().config;
    assert_eq!(config.cluster_name.as_str(), "no");
    assert_eq!(
        config.proxy.public_addr,
        Some(("2001:db8::5".to_owned(), 22))
    );
    assert_eq!(config.users.first().unwrap().name.to_string(), "yes");
}
