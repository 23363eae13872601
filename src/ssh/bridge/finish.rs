//! The end of a relayed connection: its row in the table of ends is sent to both sides, recorded and
//! audited.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::pump::Bridge;
use crate::relay::Side;
use crate::ssh::end_reason::{EndReason, Goodbye};
use crate::ssh::leg::LegEvent;
use crate::ssh::refusal::Refusal;
use crate::wire::connection::number;

/// How long a client may take to leave after its sessions were ended.
const DRAIN: Duration = Duration::from_millis(300);

/// How long a client may take to grant window for the text before its sessions are ended.
const WINDOW: Duration = Duration::from_secs(1);

impl<C, H> Bridge<C, H>
where
    C: AsyncRead + AsyncWrite + Unpin,
    H: AsyncRead + AsyncWrite + Unpin,
{
    /// Informs both sides, as far as they are connected, and closes the recordings. `audit` writes
    /// the event of a refusal, if there is one beside the end of each session.
    pub(super) async fn finish(mut self, mut end: EndReason, audit: impl FnOnce(&Refusal)) {
        // The host's text reaches the client only if it was recorded.
        if let EndReason::HostDisconnected(Some(text)) = &end
            && !self.recorder.last_words(Side::Host, text)
        {
            end = EndReason::HostDisconnected(None);
        }
        let connection = self.recorder.connection();
        let row = end.row(connection);
        if row.is_breach {
            tracing::info!(%connection, error = %end, "protocol error, the connection ends");
        } else {
            tracing::debug!(%connection, %end, "the relay ended");
        }
        if let Some(refusal) = &row.refusal {
            audit(refusal);
        }
        // What is still planned was not recorded, or would go to a side that broke the protocol.
        self.planned.clear();
        let is_shown = match &row.last_words {
            Some(text) => self.show(text).await,
            None => false,
        };
        self.relay.abandon_all(&mut self.recorder);
        self.recorder.end(row.name);
        if is_shown {
            self.drain_briefly().await;
        }
        if let Some(Goodbye { code, text }) = row.client {
            self.legs.client.disconnect(code, &text).await;
        }
        if let Some(Goodbye { code, text }) = row.host {
            self.legs.host.disconnect(code, &text).await;
        }
    }

    /// Shows the text on the terminal of each session. `false` if the client has not granted enough
    /// window: then the client reads the disconnect's text only.
    async fn show(&mut self, text: &str) -> bool {
        if !self.wait_for_window(text.len()).await {
            return false;
        }
        self.relay.abandon_all(&mut self.recorder);
        self.relay.end_all(text, &mut self.planned);
        self.planned.retain(|outgoing| outgoing.to == Side::Client);
        // A client that is gone reads nothing, so the error is ignored.
        drop(self.legs.send(&mut self.planned));
        true
    }

    /// Waits up to [`WINDOW`] until the client has granted window for so many bytes: during a download there
    /// may be none left. `false` if it does not. Its other messages are ignored.
    async fn wait_for_window(&mut self, length: usize) -> bool {
        let granted = async {
            while !self.relay.has_room_for(length) {
                let Ok(event) = self.legs.client.next().await else {
                    return;
                };
                let LegEvent::Packet(payload) = event else {
                    continue;
                };
                if payload.first() == Some(&number::CHANNEL_WINDOW_ADJUST) {
                    let (recorder, planned) = (&mut self.recorder, &mut self.planned);
                    let heard = self
                        .relay
                        .on_packet(Side::Client, &payload, recorder, planned);
                    // The host needs no more window.
                    planned.clear();
                    if heard.is_err() {
                        return;
                    }
                }
            }
        };
        // Whether there is enough window counts, not whether that took too long.
        let _elapsed = timeout(WINDOW, granted).await;
        self.relay.has_room_for(length)
    }

    /// Gives the client time to show the text and leave: ssh discards output that it has not shown
    /// when it is disconnected.
    async fn drain_briefly(&mut self) {
        let leaves = async { while self.legs.client.next().await.is_ok() {} };
        // A client that stays is disconnected next.
        let _elapsed = timeout(DRAIN, leaves).await;
    }
}
