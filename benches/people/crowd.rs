//! Many users who sign in at the same time: a light client for each, with a connection, a key, a password
//! and a one-time code of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use russh::Preferred;
use russh::client::{self, AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::{Algorithm, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use totp_rs::{Builder, Secret};

use super::fill::{self, PASSWORD, SECRET};
use super::proxy::Home;
use super::{Result, row};

/// Knows no host: the bench is alone on loopback.
pub(crate) struct AnyHost;

impl client::Handler for AnyHost {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _key: &PublicKeyOrCertificate,
    ) -> std::result::Result<bool, russh::Error> {
        Ok(true)
    }
}

/// A code of every user's authenticator.
fn code() -> Result<String> {
    let secret = Secret::try_from_base32(SECRET).map_err(|error| format!("{error:?}"))?;
    let codes = Builder::new().with_secret(secret).build_noncompliant();
    #[expect(
        clippy::disallowed_methods,
        reason = "an authenticator has a clock of its own"
    )]
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(codes.generate(now.as_secs()).to_string())
}

/// A connection from one of several addresses of this machine.
pub(crate) async fn connect(proxy: SocketAddr, number: usize) -> Result<Handle<AnyHost>> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(number % 8)? + 1;
    socket.bind(SocketAddr::from(([127, 0, 1, last], 0)))?;
    let stream = socket.connect(proxy).await?;
    // The proxy's host key has a certificate, and nothing else.
    let preferred = Preferred {
        host_key_certificates: vec![Algorithm::Ed25519].into(),
        ..Preferred::DEFAULT
    };
    let config = Arc::new(client::Config {
        preferred,
        ..client::Config::default()
    });
    Ok(client::connect_stream(config, stream, AnyHost).await?)
}

/// Proves the key of a user; whether that was enough.
pub(crate) async fn prove(session: &mut Handle<AnyHost>, number: usize) -> Result<bool> {
    let key = PrivateKeyWithHashAlg::new(Arc::new(fill::key(number)), None);
    let name = format!("user{number}");
    match session.authenticate_publickey(name, key).await? {
        AuthResult::Success => Ok(true),
        AuthResult::Failure {
            partial_success: true,
            ..
        } => Ok(false),
        refused => Err(format!("user{number}: {refused:?}").into()),
    }
}

/// Answers what is asked.
pub(crate) async fn answer(session: &mut Handle<AnyHost>, number: usize) -> Result<()> {
    let name = format!("user{number}");
    let mut said = session
        .authenticate_keyboard_interactive_start(name, None)
        .await?;
    loop {
        said = match said {
            KeyboardInteractiveAuthResponse::Success => return Ok(()),
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                let mut answers = Vec::new();
                for prompt in &prompts {
                    answers.push(if prompt.prompt.contains("password") {
                        PASSWORD.to_owned()
                    } else {
                        code()?
                    });
                }
                session
                    .authenticate_keyboard_interactive_respond(answers)
                    .await?
            }
            refused @ KeyboardInteractiveAuthResponse::Failure { .. } => {
                return Err(format!("user{number}: {refused:?}").into());
            }
        };
    }
}

/// Signs a user in; how long it took from the first byte on.
async fn sign_in(proxy: SocketAddr, number: usize) -> Result<Duration> {
    let began = Instant::now();
    let mut session = connect(proxy, number).await?;
    if !prove(&mut session, number).await? {
        answer(&mut session, number).await?;
    }
    Ok(began.elapsed())
}

/// Has so many users sign in at once, while one who has signed in logs in again and again.
pub(crate) fn measure(rproxy: &Path, count: usize) -> Result<()> {
    let home = Home::new(rproxy, None)?;
    fill::fill(&home.place()?, count + 1, 1_000)?;
    let (_proxy, _took) = home.serve()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (times, failures, others, took) = runtime.block_on(async {
        let proxy = home.address;
        // One is signed in already.
        sign_in(proxy, 1).await?;
        let began = Instant::now();
        let mut all = JoinSet::new();
        for number in 2..=count + 1 {
            all.spawn(sign_in(proxy, number));
        }
        let mut others = Vec::new();
        let (mut times, mut failures) = (Vec::new(), Vec::new());
        while !all.is_empty() {
            let login = async {
                let began = Instant::now();
                let mut session = connect(proxy, 1).await?;
                let is_in = prove(&mut session, 1).await?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>((is_in, began.elapsed()))
            };
            let mut login = std::pin::pin!(login);
            let login = loop {
                tokio::select! {
                    login = &mut login => break login?,
                    Some(signed_in) = all.join_next() => match signed_in? {
                        Ok(took) => times.push(took),
                        Err(error) => failures.push(error.to_string()),
                    },
                }
            };
            if !login.0 {
                return Err("a user who has signed in was asked".into());
            }
            others.push(login.1);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>((
            times,
            failures,
            others,
            began.elapsed(),
        ))
    })?;
    row(
        &format!("{count} users sign in at once: all of them"),
        &seconds(took),
    )?;
    row("the same: failures", &failures.len().to_string())?;
    for failure in failures.iter().take(3) {
        row("the same: a failure", failure)?;
    }
    row("the same: one of them", &spread(times))?;
    row("the same: login of one who has signed in", &spread(others))
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

/// Median, least and greatest.
pub(crate) fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let (first, last) = (times.first(), times.last());
    match (first, times.get(times.len() / 2), last) {
        (Some(first), Some(median), Some(last)) => {
            let ms = |time: &Duration| time.as_secs_f64() * 1e3;
            format!("{:.0} ms ({:.0}-{:.0})", ms(median), ms(first), ms(last))
        }
        _ => "none".to_owned(),
    }
}
