//! What is shipped: packages that leave nothing out, crates from where they should be, under licences
//! that permit it.
//!
//! It reads what cargo itself says about `Cargo.toml` and `Cargo.lock`, and does not use the network.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

#[expect(dead_code, reason = "other tests need more of it")]
#[cfg(test)]
#[path = "../src/sys/skipped.rs"]
mod skipped;

/// The package of RPM.
const SPEC: &str = "contrib/rproxy.spec";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect(path)
}

/// What `cargo metadata` says.
fn metadata(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--offline", "--locked"])
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn ours() -> Value {
    metadata(&["--no-deps"])["packages"][0].clone()
}

// --- packages -------------------------------------------------------------------------------------

/// What stands in the tree and is in no package, and why.
const NOT_INSTALLED: &[(&str, &str)] = &[
    ("contrib/demo.sh", "builds rproxy from its sources"),
    (SPEC, "makes a package"),
    ("contrib/package/debian/", "makes a package"),
];

/// The files below a directory of the tree. A link is none.
fn files(dir: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(root().join(dir)).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{dir}/{}", entry.file_name().to_str().unwrap());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files(&path));
        } else if kind.is_file() {
            found.insert(path);
        }
    }
    found
}

/// The files that a name stands for: one with a `*` in it, or that of a directory. A link is what it
/// leads to.
fn matching(pattern: &str) -> Vec<String> {
    if let Some(dir) = pattern.strip_suffix("/**/*") {
        return files(dir).into_iter().collect();
    }
    let Some((before, after)) = pattern.split_once('*') else {
        let path = root().join(pattern);
        if path.is_dir() {
            return files(pattern).into_iter().collect();
        }
        assert!(path.is_file(), "{pattern}: there is no such file");
        let real = path.canonicalize().unwrap();
        let real = real.strip_prefix(root().canonicalize().unwrap()).unwrap();
        return vec![pattern.to_owned(), real.to_str().unwrap().to_owned()];
    };
    let dir = before.rsplit_once('/').expect("a directory").0;
    let found: Vec<_> = files(dir)
        .into_iter()
        .filter(|path| path.starts_with(before) && path.ends_with(after))
        .collect();
    assert!(!found.is_empty(), "{pattern}: nothing fits");
    found
}

/// What people install: everything in these directories but what is named above.
fn assert_whole(package: &str, installed: &BTreeSet<String>) {
    let all = ["man", "completions", "contrib", "docs"].map(files);
    let mut missing = Vec::new();
    for path in all.iter().flatten() {
        let is_excepted = NOT_INSTALLED.iter().any(|(name, _)| path.starts_with(name));
        if is_excepted == installed.contains(path) {
            missing.push(path);
        }
    }
    assert!(
        missing.is_empty(),
        "{package} has to install these, or tests/packages.rs to say why not: {missing:?}"
    );
}

#[test]
fn debian_package_is_whole() {
    let deb = ours()["metadata"]["deb"].clone();
    let mut installed = BTreeSet::new();
    for asset in deb["assets"].as_array().unwrap() {
        let [source, target, mode] = [0, 1, 2].map(|at| asset[at].as_str().unwrap());
        assert!(!target.starts_with('/') && mode.len() == 3, "{asset}");
        if source != "target/release/rproxy" {
            installed.extend(matching(source));
        }
    }
    assert_whole("[package.metadata.deb]", &installed);
    for path in [&deb["changelog"], &deb["license-file"][0]] {
        matching(path.as_str().unwrap());
    }
    let scripts = deb["maintainer-scripts"].as_str().unwrap();
    let postinst = text(&format!("{scripts}/postinst"));
    // Where cargo-deb makes the user and knows the unit.
    assert!(postinst.contains("\n#DEBHELPER#\n"));
}

#[test]
fn rpm_package_is_whole() {
    let mut installed = BTreeSet::new();
    for line in text(SPEC)
        .lines()
        .filter(|line| line.starts_with("install ") || line.starts_with("cp "))
    {
        for word in line.split_whitespace().skip(1) {
            let is_source = word.ends_with(".md")
                || ["man/", "completions/", "contrib/", "docs/"]
                    .iter()
                    .any(|dir| word.starts_with(dir));
            if is_source {
                installed.extend(matching(word));
            }
        }
    }
    assert_whole(SPEC, &installed);
}

#[test]
fn packages_have_the_version_of_the_program() {
    let version = env!("CARGO_PKG_VERSION");
    let spec = text(SPEC);
    assert!(spec.contains(&format!("\nVersion:        {version}\n")));
    let minimum = env!("CARGO_PKG_RUST_VERSION");
    assert!(spec.contains(&format!("\nBuildRequires:  cargo >= {minimum}\n")));
    let changelog = text("contrib/package/debian/changelog");
    assert!(changelog.starts_with(&format!("rproxy ({version}-1) ")));
}

#[test]
fn the_packaged_configuration_is_good() {
    // The account that runs the tests may not be allowed to create the packaged one.
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_rproxy"))
        .args(["serve", "--check", "--config"])
        .arg(root().join("contrib/package/rproxy.yaml"))
        .arg("--data-dir")
        .arg(directory.path().join("data"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Packages put the program elsewhere than the unit says, so they bring a line that says where.
#[test]
fn the_packaged_unit_starts_the_packaged_program() {
    let unit = text("contrib/rproxy.service");
    let arguments = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/rproxy"))
        .expect("the program");
    let installed = text("contrib/package/installed.conf");
    assert!(installed.ends_with(&format!(
        "ExecStart=\nExecStart=/usr/bin/rproxy{arguments}\n"
    )));
}

/// A real package, with the program that is tested here in it. Skipped where there is no rpmbuild.
#[test]
fn rpmbuild_makes_a_package() {
    let dir = tempfile::tempdir().unwrap();
    let define = |name: &str, value: &str| [String::from("--define"), format!("{name} {value}")];
    let built = Command::new("rpmbuild")
        .args(["-bb", "--build-in-place", "--quiet"])
        .args(define("prebuilt", env!("CARGO_BIN_EXE_rproxy")))
        .args(define("_topdir", dir.path().to_str().unwrap()))
        // The package is not published: no compression, and the program is not stripped.
        .args(define("_binary_payload", "w0.gzdio"))
        .args(define("__os_install_post", "%{nil}"))
        .args(define("_build_id_links", "none"))
        .arg(SPEC)
        .current_dir(root())
        .output();
    let Ok(output) = built else {
        return skipped::lacks("rpmbuild");
    };
    assert!(output.status.success(), "{output:?}");
    let rpms = dir.path().join("RPMS");
    let package = std::fs::read_dir(rpms)
        .unwrap()
        .flat_map(|arch| std::fs::read_dir(arch.unwrap().path()).unwrap())
        .map(|entry| entry.unwrap().path())
        .collect::<Vec<PathBuf>>();
    let listed = Command::new("rpm")
        .arg("-qlp")
        .args(package)
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    for path in [
        "/usr/bin/rproxy",
        "/usr/share/man/man1/rproxy.1",
        "/usr/share/man/man5/rproxy-recording.5",
        "/usr/share/bash-completion/completions/rproxy",
        "/usr/lib/sysusers.d/rproxy.conf",
        "/etc/rproxy/rproxy.yaml",
    ] {
        assert!(
            listed.lines().any(|line| line.starts_with(path)),
            "{path}: {listed}"
        );
    }
}

/// What is missing is named, and nothing is installed or asked for.
#[test]
fn the_check_of_the_supply_chain_says_what_it_lacks() {
    let run = |arguments: &[&str]| {
        let output = Command::new("bash")
            .arg(root().join("tests/supply-chain.sh"))
            .args(arguments)
            .env("PATH", "/usr/bin:/bin")
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = run(&["--nonsense"]);
    assert!(code == Some(1) && said.contains("usage: "), "{said}");
    if !["/usr/bin", "/bin"]
        .iter()
        .any(|dir| Path::new(dir).join("cargo-deny").exists())
    {
        let (code, said) = run(&["--offline"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("cargo-deny is missing: cargo install --locked cargo-deny"),
            "{said}"
        );
    }
}

// --- what is linked in ----------------------------------------------------------------------------

/// The crates that are built for this machine, those of the tests too: what cargo has to have here
/// anyway. Only `cargo tree` leaves out what no feature asks for.
fn crates() -> Vec<Value> {
    let output = Command::new("rustc").arg("-vV").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let host = said
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "--prefix=none",
            "--no-dedupe",
        ])
        .args(["--format={p}", "--target", host])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{tree:?}");
    let tree = String::from_utf8(tree.stdout).unwrap();
    let built: BTreeSet<(&str, &str)> = tree
        .lines()
        .filter_map(|line| line.split_once(" v"))
        .map(|(name, rest)| (name, rest.split(' ').next().unwrap_or_default()))
        .collect();
    let mut all = metadata(&["--filter-platform", host])["packages"].take();
    let mut crates = std::mem::take(all.as_array_mut().unwrap());
    crates.retain(|one| {
        let [name, version] = ["name", "version"].map(|key| one[key].as_str().unwrap());
        built.contains(&(name, version))
    });
    assert_eq!(crates.len(), built.len());
    crates
}

/// What stands between the brackets of a list of `.deny.toml`, which has no list in a list.
fn denies(key: &str) -> String {
    let rules = text(".deny.toml");
    let (_, rest) = rules.split_once(&format!("\n{key} = [")).expect(key);
    rest.split_once(']').expect("its end").0.to_owned()
}

fn quoted(list: &str) -> BTreeSet<&str> {
    list.split('"').skip(1).step_by(2).collect()
}

#[test]
fn every_crate_has_a_licence_that_is_allowed() {
    let list = denies("allow");
    let allowed = quoted(&list);
    let mut used = BTreeSet::new();
    for one in crates() {
        let name = one["name"].as_str().unwrap();
        let licence = one["license"].as_str().unwrap_or_default();
        let permitted = permits(licence, &allowed);
        assert!(
            permitted,
            "{name}: {licence:?} is not allowed by .deny.toml"
        );
        used.extend(allowed.iter().filter(|id| licence.contains(**id)));
    }
    assert_eq!(used, allowed, "a licence is allowed that nothing has");
}

/// Whether an SPDX expression leaves a choice that is allowed. AND binds closer than OR.
fn permits(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let is_permitted = any(&mut words, allowed);
    is_permitted && words.next().is_none()
}

type Words<'w> = std::iter::Peekable<std::str::SplitWhitespace<'w>>;

fn any(words: &mut Words<'_>, allowed: &BTreeSet<&str>) -> bool {
    let mut is_permitted = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        is_permitted |= all(words, allowed);
    }
    is_permitted
}

fn all(words: &mut Words<'_>, allowed: &BTreeSet<&str>) -> bool {
    let mut is_permitted = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        is_permitted &= one(words, allowed);
    }
    is_permitted
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<&str>) -> bool {
    let word = words.next().unwrap_or_default();
    if word == "(" {
        let is_permitted = any(words, allowed);
        return words.next() == Some(")") && is_permitted;
    }
    // An exception is a licence of its own, and none is on the list.
    let has_exception = words
        .next_if_eq(&"WITH")
        .and_then(|_| words.next())
        .is_some();
    allowed.contains(word) && !has_exception
}

#[test]
fn licences_are_read_as_they_are_meant() {
    let allowed = BTreeSet::from(["MIT", "ISC"]);
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("", false),
        ("GPL-3.0-only OR MIT", true),
        ("GPL-3.0-only/MIT", true),
        ("MIT AND GPL-3.0-only", false),
        ("ISC AND (MIT OR GPL-3.0-only)", true),
        ("GPL-3.0-only OR MIT AND ISC", true),
        ("(MIT AND GPL-3.0-only) OR BSL-1.0", false),
        ("MIT WITH X-exception", false),
        ("Apache-2.0 WITH LLVM-exception OR MIT", true),
        ("MIT ISC", false),
    ] {
        assert_eq!(permits(expression, &allowed), expected, "{expression:?}");
    }
}

#[test]
fn every_crate_comes_from_the_registry() {
    let mut registries = BTreeSet::new();
    for one in crates() {
        let source = one["source"].as_str().map(str::to_owned);
        let is_ours = one["name"] == "rproxy" && source.is_none();
        let is_registry = source
            .as_ref()
            .is_some_and(|name| name.starts_with("registry+https://"));
        assert!(is_ours || is_registry, "{}: {source:?}", one["name"]);
        registries.extend(source);
    }
    assert_eq!(registries.len(), 1, "one registry: {registries:?}");
    // Whatever the platform: each with its checksum.
    let lock = text("Cargo.lock");
    for package in lock.split("[[package]]").skip(1) {
        let is_ours = package.contains("\nname = \"rproxy\"\n");
        assert!(is_ours || package.contains("\nchecksum = \""), "{package}");
        assert!(!package.contains("git+"), "{package}");
    }
}

#[test]
fn no_crate_is_built_that_is_banned() {
    let list = denies("deny");
    let banned = quoted(&list);
    assert!(banned.contains("openssl-sys"), "{banned:?}");
    for one in crates() {
        let name = one["name"].as_str().unwrap();
        assert!(!banned.contains(name), "{name} is banned by .deny.toml");
    }
}

/// The version of Rust that `Cargo.toml` states is enough for everything that is built, and no older one
/// has built it here. Where it is the one that is used, every other test shows that it is enough.
#[test]
fn the_stated_version_of_rust_is_enough() {
    let number = |version: &str| -> Vec<u32> {
        let digits = version
            .split(['.', '-'])
            .map_while(|part| part.parse().ok());
        digits.collect()
    };
    let stated = number(env!("CARGO_PKG_RUST_VERSION"));
    for one in crates() {
        if let Some(least) = one["rust_version"].as_str() {
            assert!(
                number(least) <= stated,
                "{} asks for Rust {least}",
                one["name"]
            );
        }
    }
    let output = Command::new("rustc").arg("--version").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let used = number(said.split_whitespace().nth(1).unwrap());
    assert!(used >= stated, "{said}");
    if used.get(..2) != stated.get(..2) {
        println!("this is {said}; the stated version is not the one that is tested here");
    }
}

// --- the interface in the browser -----------------------------------------------------------------

fn json_of(path: &str) -> Value {
    serde_json::from_str(&text(path)).expect(path)
}

/// Exact versions, each with its checksum, from no particular registry; and what is shipped (all else is
/// for the build) is under a licence that a crate could have.
#[test]
fn the_interface_is_built_from_what_is_locked() {
    let asked = json_of("web/package.json");
    for kind in ["dependencies", "devDependencies"] {
        for (name, version) in asked[kind].as_object().unwrap() {
            let version = version.as_str().unwrap();
            let is_exact = version.chars().all(|c| c.is_ascii_digit() || c == '.');
            assert!(is_exact, "{name} {version}");
        }
    }
    let lock = json_of("web/package-lock.json");
    let list = denies("allow");
    let allowed = quoted(&list);
    let mut shipped = Vec::new();
    for (path, package) in lock["packages"].as_object().unwrap() {
        let Some((_, name)) = path.rsplit_once("node_modules/") else {
            continue;
        };
        assert!(package["integrity"].is_string(), "{path} has no checksum");
        assert!(package["resolved"].is_null(), "{path} has an address");
        if package["dev"] != true {
            let licence = package["license"].as_str().expect(path);
            assert!(permits(licence, &allowed), "{name}: {licence}");
            shipped.push(name);
        }
    }
    assert_eq!(shipped, ["preact"]);
}
