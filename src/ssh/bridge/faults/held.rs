//! How much memory is held for a side that reads nothing, and that everything arrives when it reads
//! again: with a budget of the usual size, and with one that is used up.

use super::peers::FaultPeer;
use super::*;
use crate::ssh::budget::Budget;
use crate::wire::DisconnectReason;
use crate::wire::connection::Message;

const MIB: usize = 1 << 20;
/// What the host pours out.
const SIZE: usize = 6 * MIB;
/// Long enough for every task to block; shorter than every timeout.
const LATER: Duration = Duration::from_secs(20);

/// Grants all that can be granted, and reads nothing until much later; what it has read then.
async fn deaf_user(stream: Faulty, looks: impl FnOnce()) -> Vec<u8> {
    let mut peer = FaultPeer::new(stream, false);
    let mut heard = Vec::new();
    let mut looks = Some(looks);
    while let Some(message) = peer.next().await {
        match message {
            Message::OpenConfirmation { sender, .. } => {
                // Together with what it has granted before, as much as there is.
                peer.send(&Message::WindowAdjust {
                    recipient: sender,
                    bytes: u32::MAX - (1 << 20),
                });
                peer.send(&opening::exec(sender, false));
                peer.leg.send_ready().await;
                tokio::time::sleep(LATER).await;
                looks.take().expect("one session")();
                // It asks for new keys too: what it has to hear for that comes behind the rest.
                peer.leg.transport.start_rekey().expect("keys may change");
            }
            Message::Data { data, .. } => heard.extend_from_slice(&data),
            Message::Close { .. } => {
                let reason = DisconnectReason::ByApplication;
                peer.leg.disconnect(reason, "bye").await;
                break;
            }
            _ => {}
        }
    }
    heard
}

/// Pours out as much as it is granted, then ends the session.
async fn pouring_host(stream: Faulty) {
    let mut peer = FaultPeer::new(stream, true);
    let (mut number, mut window, mut left) = (0, 0, 0);
    while let Some(message) = peer.next().await {
        match message {
            Message::Open {
                sender,
                window: granted,
                ..
            } => {
                (number, window) = (sender, granted as usize);
                peer.send(&opening::confirmation(number));
            }
            Message::Request { .. } => left = SIZE,
            Message::WindowAdjust { bytes, .. } => window += bytes as usize,
            _ => {}
        }
        while left > 0 && window > 0 {
            let length = left.min(window).min(1 << 15);
            (left, window) = (left - length, window - length);
            peer.send(&Message::Data {
                recipient: number,
                data: vec![7; length].into(),
            });
            if left == 0 {
                peer.send(&Message::Eof { recipient: number });
                peer.send(&Message::Close { recipient: number });
            }
        }
    }
}

/// The memory held for a peer that reads nothing, beyond the fixed part.
async fn held(is_spent: bool) -> usize {
    // 128 MiB for each person.
    let budget = Budget::new(Some(1 << 30));
    let account = budget.account("alice");
    let share = account.inner().expect("there is room");
    let mut other = account.inner().expect("there is room");
    if is_spent {
        other.hold(100 * MIB);
    }
    let before = budget.held();
    let mut held = 0;
    let directory = tempfile::tempdir().expect("a directory");
    let (at_user, to_user) = duplex(1 << 16);
    let (at_host, to_host) = duplex(1 << 16);
    let (to_user, to_host) = (Faulty::new(to_user), Faulty::new(to_host));
    let work = Box::pin(async {
        tokio::join!(
            deaf_user(Faulty::new(at_user), || held = budget.held() - before),
            pouring_host(Faulty::new(at_host)),
            proxy(to_user, to_host, recorder(&directory).0, share),
        )
    });
    let (heard, (), ()) = timeout(FOREVER, work).await.expect("it ends");
    assert_eq!(heard.len(), SIZE, "everything comes");
    drop(other);
    assert_eq!(budget.held(), 0, "everything is given back");
    held
}

#[tokio::test(start_paused = true)]
async fn a_user_who_does_not_read_holds_up_little_and_gets_everything_at_last() {
    let usual = held(false).await;
    // What may wait, one read beyond, and a compressor.
    assert!((MIB..5 * MIB).contains(&usual), "{usual}");
}

#[tokio::test(start_paused = true)]
async fn with_a_budget_that_is_used_up_less_is_held_and_everything_comes_all_the_same() {
    let spent = held(true).await;
    assert!(spent < MIB, "{spent}");
}
