//! What takes how long with so many users in the state.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::crowd::{answer, connect, prove, spread};
use super::fill;
use super::proxy::Home;
use super::{Result, row};

/// How often each is measured.
const ROUNDS: usize = 11;

/// Measures the commands and logins with so many users, and ten times as many lines in the ledger.
pub(crate) fn measure(rproxy: &Path, users: usize, database: Option<&str>) -> Result<()> {
    let home = Home::new(rproxy, database)?;
    fill::fill(&home.place()?, users, users * 10)?;
    let kind = database.map_or("SQLite", |_| "PostgreSQL");
    let label = |what: &str| format!("{users} users, {kind}: {what}");
    let mut starts = Vec::new();
    for _ in 0..3 {
        let (proxy, took) = home.serve()?;
        starts.push(took);
        drop(proxy);
    }
    row(&label("start of the proxy"), &spread(starts))?;
    let (proxy, _took) = home.serve()?;
    let (mut sign_ins, mut logins) = (Vec::new(), Vec::new());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        for number in 1..=ROUNDS * 2 {
            let began = Instant::now();
            let mut session = connect(home.address, number).await?;
            if prove(&mut session, number).await? {
                return Err("a user is signed in already".into());
            }
            answer(&mut session, number).await?;
            sign_ins.push(began.elapsed());
            let began = Instant::now();
            let mut session = connect(home.address, number).await?;
            if !prove(&mut session, number).await? {
                return Err("a user who has signed in is asked again".into());
            }
            logins.push(began.elapsed());
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    })?;
    row(&label("sign-in, with its connection"), &spread(sign_ins))?;
    row(
        &label("login after it, with its connection"),
        &spread(logins),
    )?;
    for args in [
        &["users", "ls"][..],
        &["users", "ls", "--limit=0"],
        &["users", "show", "user77"],
        &["auth", "ls"],
        &["state", "status"],
    ] {
        let times: Result<Vec<_>> = (0..ROUNDS).map(|_| timed(&home, args)).collect();
        row(&label(&args.join(" ")), &spread(times?))?;
    }
    let file = home.file("backup.db");
    let backup = file.to_str().unwrap_or_default();
    let took = timed(&home, &["state", "backup", backup])?;
    row(&label("state backup"), &spread(vec![took]))?;
    drop(proxy);
    Ok(())
}

fn timed(home: &Home, args: &[&str]) -> Result<Duration> {
    let began = Instant::now();
    let output = home.command(args).stdout(Stdio::piped()).output()?;
    let took = began.elapsed();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{args:?}: {said}").into());
    }
    Ok(took)
}
