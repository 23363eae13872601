//! The client's session at the host, opened before the relay begins.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use super::client::{MAX_PACKET, NUMBER};
use crate::model::text::Printable;
use crate::relay::first_grant;
use crate::ssh::channel::{ChannelStream, PeerEnd, Terms};
use crate::ssh::endpoint::{
    Answer, Endpoint, KeepLimits, LegOutlet, OpenAnswered, OpenRequest, PendingSession, Services,
    Takeover,
};
use crate::ssh::leg::{Leg, LegError, LegEvent};
use crate::ssh::refusal::{self, Refusal};
use crate::wire::connection::{Breach, SESSION};

/// What the host may say beside that it opens the session.
const KEPT: KeepLimits = KeepLimits {
    packets: 64,
    bytes: 264 * 1024,
};
/// Characters that the user reads of why the host opens no session.
const MAX_TEXT: usize = 256;
/// How long the host may take for each of its messages.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Whether the host opens the session; everything else that it says is for the relay.
#[derive(Debug, Default)]
struct HostOpening {
    is_open: bool,
    /// Why it does not.
    refusal: Option<Bytes>,
}

impl Services for HostOpening {
    fn open(&mut self, request: OpenRequest<'_>) -> Result<OpenAnswered, Breach> {
        request.keep()
    }

    fn on_request(
        &mut self,
        _session: &mut Option<PendingSession>,
        _kind: &str,
        _data: &Bytes,
    ) -> Result<Answer, Breach> {
        Ok(Answer::Keep)
    }

    fn on_global_request(&mut self, _name: &str, _data: &Bytes) -> Result<Answer, Breach> {
        Ok(Answer::Keep)
    }

    // The relay speaks on the channel, and no stream.
    fn on_opened(&mut self, _number: u32, _stream: ChannelStream) {
        self.is_open = true;
    }

    fn on_not_opened(&mut self, _number: u32, text: &Bytes) {
        self.refusal = Some(text.clone());
    }
}

/// Opens a session at the host for a client that takes this much; what the relay goes on with.
///
/// # Errors
/// The refusal for the user: the host opens none.
pub(super) async fn open_session<S: AsyncRead + AsyncWrite + Unpin>(
    leg: &mut Leg<S>,
    client: PeerEnd,
) -> Result<Takeover, Refusal> {
    let failed = |why: &dyn Display| refusal::no_host_session(why);
    let window = first_grant(client.window);
    let terms = Terms {
        window,
        max_window: window,
        max_packet: client.max_packet,
    };
    let mut host = HostOpening::default();
    // No stream of this endpoint has anything to say, so nothing waits for the driver.
    let mut endpoint = Endpoint::new(Arc::new(Notify::new()), KEPT);
    endpoint.open_kept(NUMBER, SESSION, terms);
    let sent = endpoint.send_answers(&mut LegOutlet::new(leg, usize::MAX));
    sent.map_err(|error| failed(&error))?;
    while !host.is_open {
        let event = tokio::time::timeout(TIMEOUT, leg.next())
            .await
            .map_err(|_elapsed| failed(&LegError::Timeout(TIMEOUT)))?
            .map_err(|error| failed(&error))?;
        let LegEvent::Packet(payload) = event else {
            continue;
        };
        match endpoint.on_packet(&payload, &mut host) {
            Ok(()) => {}
            Err(Breach::TooMuchKept) => return Err(failed(&"it says too much else")),
            Err(breach) => return Err(failed(&breach)),
        }
        if let Some(text) = &host.refusal {
            let text = String::from_utf8_lossy(text);
            return Err(failed(&Printable(&text).within(MAX_TEXT)));
        }
    }
    let session = endpoint.into_relay(NUMBER);
    let session = session.ok_or_else(|| failed(&Breach::NoChannel(NUMBER)))?;
    if session.peer.max_packet < MAX_PACKET {
        return Err(failed(&"it takes too little at a time for ProxyJump"));
    }
    Ok(session)
}
