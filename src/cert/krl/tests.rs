//! Our lists against ssh-keygen's reader, its lists against ours, and anything against the decoder.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use proptest::prelude::*;
use ssh_key::public::Ed25519PublicKey;
use ssh_key::{PrivateKey, PublicKey};

use super::*;
use crate::cert::testing::{CertSpec, KEY_TYPES, ed25519, keys, ssh_keygen, string};
use crate::cert::tests::fs_write;
use crate::sys::clock::processor_time;

fn serial(number: u64) -> Serial {
    Serial::new(number).unwrap()
}

/// A key without a private half: a point that is not checked.
fn public(number: u64) -> PublicKey {
    let mut bytes = [0x5a; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    PublicKey::from(KeyData::Ed25519(Ed25519PublicKey(bytes)))
}

/// An unsigned certificate's worth of fields, signed by ssh-keygen's rules.
fn certificate(ca: &PrivateKey, number: u64, key_id: &str) -> Certificate {
    use ssh_key::certificate::{Builder, CertType};
    let spec = CertSpec::user(&ed25519());
    let mut builder = Builder::new(vec![7; 16], spec.key, 1, u64::MAX).unwrap();
    builder.serial(number).unwrap();
    builder.cert_type(CertType::User).unwrap();
    builder.key_id(key_id).unwrap();
    builder.valid_principal("alice").unwrap();
    builder.sign(ca).unwrap()
}

/// A directory with lists and keys, and ssh-keygen to ask about them.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write_list(&self, list: &RevocationList) {
        let bytes = list.encode().unwrap();
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.path("krl"))
            .and_then(|mut file| std::io::Write::write_all(&mut file, &bytes))
            .unwrap();
    }

    fn write_key(&self, name: &str, key: &PresentedKey) {
        let line = match key {
            PresentedKey::Plain(key) => key.to_openssh().unwrap(),
            PresentedKey::Certificate(certificate) => certificate.to_openssh().unwrap(),
        };
        fs_write(&self.path(name), &line);
    }

    /// Which of the keys ssh-keygen finds on the list.
    fn revoked_by_openssh(&self, keys: &[PresentedKey]) -> Vec<bool> {
        let names: Vec<_> = (0..keys.len()).map(|n| format!("sample{n}.pub")).collect();
        for (name, key) in names.iter().zip(keys) {
            self.write_key(name, key);
        }
        let output = Command::new("ssh-keygen")
            .args(["-Q", "-f", "krl"])
            .args(&names)
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        let verdicts: Vec<_> = text
            .lines()
            .map(|line| match line.rsplit(": ").next() {
                Some("ok") => false,
                Some("REVOKED") => true,
                _ => panic!("{line}"),
            })
            .collect();
        assert_eq!(verdicts.len(), keys.len(), "{text}{errors}");
        verdicts
    }

    /// ssh-keygen's list of what the lines of a specification say, read by us.
    fn list_by_openssh(&self, ca: Option<&PublicKey>, specification: &str) -> RevocationList {
        fs_write(&self.path("specification"), specification);
        let mut args = vec!["-q", "-k", "-f", "krl", "-z", "9"];
        if let Some(ca) = ca {
            fs_write(&self.path("ca.pub"), &ca.to_openssh().unwrap());
            args.extend(["-s", "ca.pub"]);
        }
        args.push("specification");
        ssh_keygen(self.dir.path(), &args);
        RevocationList::decode(&fs::read(self.path("krl")).unwrap()).unwrap()
    }
}

/// What only others put on lists.
fn sha1(key: &PublicKey) -> [u8; 20] {
    let blob = blob(key.key_data()).unwrap();
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &blob);
    hash.as_ref().try_into().unwrap()
}

/// ssh-keygen takes no range of one serial.
fn specify(specification: &mut String, low: u64, high: u64) {
    if low == high {
        writeln!(specification, "serial: {low}").unwrap();
    } else {
        writeln!(specification, "serial: {low}-{high}").unwrap();
    }
}

fn plain(key: &PublicKey) -> PresentedKey {
    PresentedKey::Plain(key.clone())
}

fn certified(ca: &PrivateKey, number: u64, key_id: &str) -> PresentedKey {
    PresentedKey::Certificate(Box::new(certificate(ca, number, key_id)))
}

fn verdicts(list: &RevocationList, keys: &[PresentedKey]) -> Vec<bool> {
    keys.iter()
        .map(|key| list.why_revoked(key).is_some())
        .collect()
}

fn read_back(list: &RevocationList) -> RevocationList {
    RevocationList::decode(&list.encode().unwrap()).unwrap()
}

#[test]
fn each_kind_of_entry_revokes_what_it_names_and_nothing_else() {
    let (ca, other) = (ed25519(), ed25519());
    let mut list = RevocationList {
        version: 3,
        generated: 1_800_000_000,
        comment: "all kinds".to_owned(),
        ..RevocationList::default()
    };
    list.revoke_serials(Some(ca.public_key()), serial(5)..=serial(7));
    list.revoke_serials(None, serial(100)..=serial(100));
    list.revoke_key_id(Some(ca.public_key()), "alice");
    list.revoke_key_id(None, "mallory");
    let (by_key, by_print) = (public(1), public(2));
    list.revoke_key(&by_key);
    assert!(list.revoke_fingerprint(&by_print.fingerprint(HashAlg::Sha256)));
    assert!(!list.revoke_fingerprint(&by_print.fingerprint(HashAlg::Sha512)));
    let cases = [
        (certified(&ca, 5, "bob"), Some(Why::Serial)),
        (certified(&ca, 7, "bob"), Some(Why::Serial)),
        (certified(&ca, 8, "bob"), None),
        (certified(&ca, 0, "bob"), None),
        (certified(&other, 5, "bob"), None),
        (certified(&other, 100, "bob"), Some(Why::Serial)),
        (certified(&ca, 9, "alice"), Some(Why::KeyId)),
        (certified(&other, 9, "alice"), None),
        (certified(&other, 9, "mallory"), Some(Why::KeyId)),
        (certified(&other, 9, "mallor"), None),
        (plain(&by_key), Some(Why::Key)),
        (plain(&by_print), Some(Why::Fingerprint)),
        (plain(&public(3)), None),
    ];
    let (keys, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    for list in [&list, &read_back(&list)] {
        let why: Vec<_> = keys.iter().map(|key| list.why_revoked(key)).collect();
        assert_eq!(why, expected);
    }
    assert_eq!(read_back(&list), list);
    let bench = Bench::new();
    bench.write_list(&list);
    assert_eq!(bench.revoked_by_openssh(&keys), verdicts(&list, &keys));
}

#[test]
fn a_revoked_authority_takes_its_certificates_along() {
    let ca = ed25519();
    let keys = [certified(&ca, 9, "alice"), plain(ca.public_key())];
    let mut by_key = RevocationList::default();
    by_key.revoke_key(ca.public_key());
    let mut by_print = RevocationList::default();
    assert!(by_print.revoke_fingerprint(&ca.public_key().fingerprint(HashAlg::Sha256)));
    let bench = Bench::new();
    for list in [by_key, by_print] {
        assert_eq!(list.why_revoked(&keys[0]), Some(Why::Authority));
        bench.write_list(&list);
        assert_eq!(bench.revoked_by_openssh(&keys), [true, true]);
    }
}

#[test]
fn keys_of_every_type_are_found_by_every_kind_of_name() {
    let bench = Bench::new();
    for (key, (kind, bits)) in keys().iter().zip(KEY_TYPES) {
        let name = format!("{kind}{bits}.pub");
        fs_write(&bench.path(&name), &key.public_key().to_openssh().unwrap());
        let line = key.public_key().to_openssh().unwrap();
        for word in ["key", "sha1", "sha256"] {
            let list = bench.list_by_openssh(None, &format!("{word}: {line}\n"));
            assert!(
                list.why_revoked(&plain(key.public_key())).is_some(),
                "{word} {name}"
            );
            assert_eq!(list.why_revoked(&plain(&public(1))), None);
            assert_eq!(read_back(&list), list);
            bench.write_list(&list);
            let keys = [plain(key.public_key()), plain(&public(1))];
            assert_eq!(bench.revoked_by_openssh(&keys), [true, false]);
        }
    }
}

/// 100,000 entries of each kind: single serials, ranges of them, key ids, keys, SHA-256 and SHA-1
/// hashes of keys; on samples from all over. (ssh-keygen takes its time to make a list
/// of keys, so it makes one with fewer of those.)
#[test]
fn a_hundred_thousand_of_each_kind_read_the_same_on_both_sides() {
    const COUNT: u64 = 100_000;
    const KEYS_OF_OPENSSH: u64 = 2_000;
    let ca = ed25519();
    let mut ours = RevocationList {
        version: 9,
        ..RevocationList::default()
    };
    let mut specification = String::new();
    // Single serials far apart, dense ones, and ranges.
    let mut serials = Vec::new();
    for number in 0..COUNT {
        serials.push((1 + number * 1_000_003, 1 + number * 1_000_003));
        serials.push(((1 << 40) + number * 3, (1 << 40) + number * 3));
        let low = (1 << 50) + number * 100_000;
        serials.push((low, low + 50_000));
    }
    for (low, high) in &serials {
        ours.revoke_serials(Some(ca.public_key()), serial(*low)..=serial(*high));
        specify(&mut specification, *low, *high);
    }
    for number in 0..COUNT {
        ours.revoke_key_id(Some(ca.public_key()), &format!("person{number}"));
        writeln!(specification, "id: person{number}").unwrap();
    }
    let (key, print) = (|n: u64| public(n), |n: u64| public(COUNT + n));
    let old_print = |n: u64| public(2 * COUNT + n);
    let revoke_keys = |list: &mut RevocationList, numbers: std::ops::Range<u64>| {
        for number in numbers {
            list.revoke_key(&key(number));
            assert!(list.revoke_fingerprint(&print(number).fingerprint(HashAlg::Sha256)));
            list.sha1.insert(sha1(&old_print(number)));
        }
    };
    revoke_keys(&mut ours, 0..KEYS_OF_OPENSSH);
    for number in 0..KEYS_OF_OPENSSH {
        writeln!(specification, "key: {}", key(number).to_openssh().unwrap()).unwrap();
        let print = print(number).to_openssh().unwrap();
        writeln!(specification, "sha256: {print}").unwrap();
        let print = old_print(number).to_openssh().unwrap();
        writeln!(specification, "sha1: {print}").unwrap();
    }
    let bench = Bench::new();
    let theirs = bench.list_by_openssh(Some(ca.public_key()), &specification);
    let made = RevocationList {
        generated: 0,
        ..theirs
    };
    assert!(made == ours, "ssh-keygen makes the same list");
    // OpenSSH makes longer bitmaps, which its older versions cannot read.
    let theirs = fs::metadata(bench.path("krl")).unwrap().len();
    let length = ours.encode().unwrap().len() as u64;
    assert!(length <= theirs + theirs / 100, "{length}, theirs {theirs}");

    revoke_keys(&mut ours, KEYS_OF_OPENSSH..COUNT);
    let started = processor_time();
    let again = read_back(&ours);
    // Seconds where nothing is optimised; far more where each entry is compared with all others.
    let taken = processor_time() - started;
    assert!(taken < Duration::from_secs(30), "{taken:?}");
    assert!(again == ours, "nothing is lost on the way");

    let mut keys = Vec::new();
    for number in (0..COUNT).step_by(9_973) {
        let place = usize::try_from(number).unwrap() * 3;
        for (low, high) in &serials[place..place + 3] {
            for near in [low - 1, *low, *high, high + 1] {
                keys.push(certified(&ca, near, "nobody"));
            }
        }
        let person = format!("person{number}");
        keys.push(certified(&ca, u64::MAX - number, &person));
        keys.push(plain(&key(number)));
        keys.push(plain(&print(number)));
        keys.push(plain(&old_print(number)));
        keys.push(plain(&public(3 * COUNT + number)));
    }
    bench.write_list(&ours);
    let expected = verdicts(&ours, &keys);
    assert!(expected.contains(&true) && expected.contains(&false));
    assert_eq!(bench.revoked_by_openssh(&keys), expected);
}

#[test]
fn the_form_is_the_shortest() {
    let length = |serials: &[(u64, u64)]| {
        let mut list = RevocationList::default();
        for (low, high) in serials {
            list.revoke_serials(None, serial(*low)..=serial(*high));
        }
        assert_eq!(read_back(&list), list);
        list.encode().unwrap().len() - RevocationList::default().encode().unwrap().len()
    };
    let section = 5 + 4 + 4; // type and length, no CA, nothing reserved
    assert_eq!(length(&[(7, 7)]), section + 5 + 8, "a list of one");
    assert_eq!(length(&[(7, 7), (1 << 40, 1 << 40)]), section + 5 + 16);
    assert_eq!(length(&[(1, u64::MAX)]), section + 5 + 16, "a range");
    let every_second: Vec<_> = (1..=1000).map(|n| (n * 2, n * 2)).collect();
    let bits = 2 * 1000 / 8;
    assert!(
        length(&every_second) <= section + 5 + 8 + 4 + bits + 1,
        "a bitmap"
    );
    let wide: Vec<_> = (1..=20_000).map(|n| (n * 2, n * 2)).collect();
    assert!(length(&wide) < 3 * (40_000 / 8), "several bitmaps");
}

/// Header and sections, written by hand.
fn by_hand(sections: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = RevocationList::default().encode().unwrap();
    for (kind, content) in sections {
        bytes.push(*kind);
        bytes.extend(string(content));
    }
    bytes
}

fn of_any_ca(parts: &[(u8, Vec<u8>)]) -> (u8, Vec<u8>) {
    let mut content = [string(b""), string(b"")].concat();
    for (kind, part) in parts {
        content.push(*kind);
        content.extend(string(part));
    }
    (section::CERTIFICATES, content)
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
}

fn named(name: &[u8], is_critical: bool) -> Vec<u8> {
    [string(name), vec![u8::from(is_critical)], string(b"...")].concat()
}

#[test]
fn malformed_lists_are_refused_with_the_reason() {
    let bitmap = |first: u64, bits: &[u8]| {
        let part = [numbers(&[first]), string(bits)].concat();
        by_hand(&[of_any_ca(&[(cert_section::SERIAL_BITMAP, part)])])
    };
    let serials = |kind: u8, serials: &[u64]| by_hand(&[of_any_ca(&[(kind, numbers(serials))])]);
    let mut other_format = by_hand(&[]);
    other_format[11] = 2;
    let cut = by_hand(&[])[..20].to_vec();
    let too_long = [by_hand(&[]), vec![1, 0xff, 0xff, 0xff, 0xff]].concat();
    let signed = [
        by_hand(&[(section::SIGNATURE, b"key".to_vec())]),
        string(b"signature"),
        vec![section::EXPLICIT_KEY],
        string(b""),
    ]
    .concat();
    let list = cert_section::SERIAL_LIST;
    let range = cert_section::SERIAL_RANGE;
    let cases = [
        (b"ssh-ed25519 AAAA".to_vec(), KrlError::Magic),
        (Vec::new(), KrlError::Magic),
        (other_format, KrlError::Format(2)),
        (cut, KrlError::Truncated),
        (too_long, KrlError::Truncated),
        (serials(list, &[7, 0]), KrlError::SerialZero),
        (serials(range, &[9, 8]), KrlError::BackwardRange(9, 8)),
        (serials(range, &[8, 9, 10]), KrlError::LeftOver),
        (serials(range, &[8]), KrlError::Truncated),
        (bitmap(0, &[1]), KrlError::SerialZero),
        (bitmap(1, &[0x80]), KrlError::Bitmap),
        (bitmap(1, &[1; (1 << 21) + 1]), KrlError::Bitmap),
        (bitmap(u64::MAX, &[2]), KrlError::Bitmap),
        (by_hand(&[(9, Vec::new())]), KrlError::UnknownSection(9)),
        (
            by_hand(&[of_any_ca(&[(0x2f, Vec::new())])]),
            KrlError::UnknownSection(0x2f),
        ),
        (
            by_hand(&[(section::FINGERPRINT_SHA256, string(&[1; 20]))]),
            KrlError::HashLength(20),
        ),
        (
            by_hand(&[of_any_ca(&[(cert_section::KEY_ID, string(b"a\0b"))])]),
            KrlError::Nul,
        ),
        (
            by_hand(&[(section::EXTENSION, named(b"new\x1b", true))]),
            KrlError::CriticalExtension("new\u{1b}".to_owned()),
        ),
        (
            by_hand(&[of_any_ca(&[(cert_section::EXTENSION, named(b"new", true))])]),
            KrlError::CriticalExtension("new".to_owned()),
        ),
        (signed, KrlError::AfterSignature),
    ];
    for (bytes, error) in cases {
        assert_eq!(RevocationList::decode(&bytes), Err(error));
    }
    let text = KrlError::CriticalExtension("new\u{1b}".to_owned()).to_string();
    assert!(!text.contains('\u{1b}'), "{text}");
    let unwritable = RevocationList {
        comment: "a\0b".to_owned(),
        ..RevocationList::default()
    };
    assert_eq!(unwritable.encode(), Err(KrlError::Nul));
}

#[test]
fn what_may_be_skipped_is_skipped() {
    let bytes = [
        by_hand(&[
            (section::EXTENSION, named(b"new", false)),
            of_any_ca(&[
                (cert_section::EXTENSION, named(b"new", false)),
                (cert_section::SERIAL_LIST, numbers(&[7])),
            ]),
            of_any_ca(&[(cert_section::SERIAL_RANGE, numbers(&[8, 9]))]),
            of_any_ca(&[]),
            (section::SIGNATURE, b"key".to_vec()),
        ]),
        string(b"signature"),
    ]
    .concat();
    let mut expected = RevocationList::default();
    expected.revoke_serials(None, serial(7)..=serial(9));
    assert_eq!(RevocationList::decode(&bytes), Ok(expected));
}

/// A list that is small on disk and huge in memory.
#[test]
fn the_memory_of_a_hostile_list_is_bounded() {
    let bits = [vec![0], vec![0x55; 2048]].concat();
    let part = |first: u64| {
        let part = [numbers(&[first]), string(&bits)].concat();
        (cert_section::SERIAL_BITMAP, part)
    };
    let parts: Vec<_> = (0..600).map(|n| part(1 + n * 20_000)).collect();
    let bytes = by_hand(&[of_any_ca(&parts)]);
    assert_eq!(RevocationList::decode(&bytes), Err(KrlError::TooMany));
    let oversized = [MAGIC.to_vec(), vec![0; MAX_KRL]].concat();
    assert_eq!(RevocationList::decode(&oversized), Err(KrlError::TooLarge));
}

/// Serials near each other, so that every form is met.
fn near_serials() -> impl Strategy<Value = Vec<(u64, u64)>> {
    let start = prop_oneof![
        1_u64..300,
        (1_u64 << 40)..(1 << 40) + 40_000,
        u64::MAX - 200..u64::MAX
    ];
    let length = prop_oneof![3 => Just(0_u64), 1 => 0_u64..200];
    prop::collection::vec((start, length), 0..60)
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        version: u64,
        generated: u64,
        comment in "[^\0]{0,20}",
        serials in near_serials(),
        key_ids in prop::collection::vec("[^\0]{0,10}", 0..5),
        keys in prop::collection::vec(any::<u64>(), 0..5),
    ) {
        let mut list = RevocationList { version, generated, comment, ..RevocationList::default() };
        let ca = public(0);
        for (low, length) in serials {
            list.revoke_serials(Some(&ca), serial(low)..=serial(low.saturating_add(length)));
        }
        for key_id in &key_ids {
            list.revoke_key_id(None, key_id);
        }
        for key in keys {
            list.revoke_key(&public(key));
            prop_assert!(list.revoke_fingerprint(&public(!key).fingerprint(HashAlg::Sha256)));
        }
        prop_assert_eq!(read_back(&list), list);
    }

    #[test]
    fn no_bytes_upset_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let list = [&by_hand(&[])[..], &bytes[..]].concat();
        if let Ok(list) = RevocationList::decode(&list) {
            prop_assert_eq!(read_back(&list), list);
        }
    }

    /// A good list with some bytes changed is a list or an error, and never a panic.
    #[test]
    fn damage_does_not_upset_the_decoder(
        serials in near_serials(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut list = RevocationList::default();
        for (low, length) in serials {
            list.revoke_serials(Some(&public(0)), serial(low)..=serial(low.saturating_add(length)));
        }
        list.revoke_key_id(None, "alice");
        list.revoke_key(&public(1));
        let mut bytes = list.encode().unwrap();
if let Ok(part) = RevocationList::decode(&bytes[..cut.index(bytes.len())]) {
            prop_assert_ne!(part, list, "nothing of the list is for nothing");
        }
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(list) = RevocationList::decode(&bytes) {
            prop_assert_eq!(read_back(&list), list);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Random lists, both ways through ssh-keygen.
    #[test]
    fn openssh_reads_ours_and_we_read_openssh(serials in near_serials(), ids in prop::collection::vec("[a-z]{1,3}", 0..5)) {
        let bench = Bench::new();
        let ca = ed25519();
        let mut ours = RevocationList { version: 9, ..RevocationList::default() };
        let mut specification = String::new();
        for (low, length) in &serials {
            let high = low.saturating_add(*length);
            ours.revoke_serials(Some(ca.public_key()), serial(*low)..=serial(high));
            specify(&mut specification, *low, high);
        }
        for id in &ids {
            ours.revoke_key_id(Some(ca.public_key()), id);
            writeln!(specification, "id: {id}").unwrap();
        }
        let theirs = bench.list_by_openssh(Some(ca.public_key()), &specification);
        prop_assert_eq!(RevocationList { generated: 0, ..theirs }, ours.clone());
        let mut keys = vec![certified(&ca, 1 << 20, "none"), certified(&ed25519(), 5, "none")];
        for (low, length) in serials.iter().take(5) {
            let high = low.saturating_add(*length);
            keys.extend([low - 1, *low, high, high.saturating_add(1)].map(|n| certified(&ca, n, "none")));
        }
        keys.extend(ids.iter().map(|id| certified(&ca, 0, id)));
        bench.write_list(&ours);
        prop_assert_eq!(bench.revoked_by_openssh(&keys), verdicts(&ours, &keys));
    }
}

#[test]
fn a_list_without_entries_revokes_nothing() {
    let bench = Bench::new();
    let list = RevocationList::default();
    assert!(list.is_empty());
    bench.write_list(&list);
    assert_eq!(bench.revoked_by_openssh(&[plain(&public(1))]), [false]);
}
