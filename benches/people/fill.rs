//! Users, sign-ins and lines of the ledger in a state, as many as wanted, in a few statements.

use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use rproxy::state::{State, StatePlace};
use rproxy::sys::clock::Clock;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::HashAlg;
use russh::keys::ssh_key::private::Ed25519Keypair;

use super::Result;

/// The password of every user.
pub(crate) const PASSWORD: &str = "correct horse battery";
/// The secret of every user's one-time codes, in base32.
pub(crate) const SECRET: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";
/// How many statements of a kind a thousand users with keys of their own are made with.
const KEYED: usize = 1_001;

/// The key of the user of this number.
pub(crate) fn key(number: usize) -> PrivateKey {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    Ed25519Keypair::from_seed(&seed).into()
}

/// The hash of the password, as the proxy makes it.
fn hash() -> Result<String> {
    let params = Params::new(32 * 1024, 2, 1, None).map_err(|error| error.to_string())?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = argon2.hash_password_with_salt(PASSWORD.as_bytes(), b"0123456789abcdef");
    Ok(hash.map_err(|error| error.to_string())?.to_string())
}

/// Makes a state with so many users, named `user1` and so on, of whom the first thousand have keys that
/// sign; each has signed in once, and the ledger has so many certificates of their connections.
pub(crate) fn fill(place: &StatePlace, users: usize, ledger: usize) -> Result<()> {
    drop(State::open(place, Clock::System)?);
    let hash = hash()?;
    let hex = match place {
        StatePlace::Sqlite(_) => "printf('%012x', n)",
        StatePlace::Postgres(_) => "lpad(to_hex(n), 12, '0')",
    };
    let series = |count: usize| {
        format!("WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count})")
    };
    let id = format!("'00000000-0000-7000-8000-' || {hex}");
    let (of_users, of_ledger) = (series(users), series(ledger));
    let mut statements = vec![
        format!(
            "{of_users} INSERT INTO users (id, name, folded, roles, logins, created, password, totp, totp_step)
             SELECT {id}, 'user' || n, 'user' || n, '[\"dba\"]', '[\"postgres\"]', 1700000000, '{hash}', '{SECRET}', 0 FROM s"
        ),
        format!(
            "{of_users} INSERT INTO sign_in_sources (user_id, client, used)
             SELECT {id}, '203.0.113.7', 1700000000 FROM s"
        ),
        format!(
            "{of_users} INSERT INTO sign_in_ends (number, sign_in, reason, at)
             SELECT n, {id}, 'expired', 1700000000 FROM s"
        ),
        format!("UPDATE counters SET value = {users} WHERE name = 'sign-in-end'"),
        format!(
            "{of_users} INSERT INTO registered_keys (fingerprint, user_id, line, comment, registered)
             SELECT 'SHA256:filled' || n, {id}, 'ssh-ed25519 AAAA', '', 1700000000 FROM s WHERE n > {KEYED}"
        ),
        format!(
            "{of_users} INSERT INTO sign_ins (id, user_id, fingerprint, client, started, expires)
             SELECT {id}, {id}, 'SHA256:filled' || n, '203.0.113.7', 1700000000, 4000000000 FROM s WHERE n > {KEYED}"
        ),
        // One in a hundred is signed by a command.
        format!(
            "{of_ledger} INSERT INTO issued (serial, kind, how, key_id, time, principals, valid_after, valid_before, public_key, ca, critical_options)
             SELECT 'x' || n, 'user', CASE WHEN n % 1000 = 0 THEN 'signed' ELSE 'connection' END, 'user' || (n % {users}),
             1700000000000000 + n, '[\"postgres\"]', 1700000000, 1700000300, 'SHA256:x', 'SHA256:y', '{{}}' FROM s"
        )
        .replace("'x' || n", "CAST(n + 1000000 AS TEXT)"),
    ];
    for number in 1..=users.min(KEYED) {
        let public = key(number).public_key().clone();
        let fingerprint = public.fingerprint(HashAlg::Sha256);
        let line = public.to_openssh()?;
        let id = format!("00000000-0000-7000-8000-{number:012x}");
        statements.push(format!(
            "INSERT INTO registered_keys (fingerprint, user_id, line, comment, registered)
             VALUES ('{fingerprint}', '{id}', '{line}', '', 1700000000)"
        ));
    }
    let all = format!("BEGIN; {}; COMMIT;", statements.join("; "));
    match place {
        StatePlace::Sqlite(path) => rusqlite::Connection::open(path)?.execute_batch(&all)?,
        StatePlace::Postgres(url) => {
            let mut client = postgres::Client::connect(url.shown(), postgres::NoTls)?;
            client.batch_execute(&all)?;
            client.batch_execute("ANALYZE")?;
        }
    }
    Ok(())
}
