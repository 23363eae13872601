//! The window of one end of a channel (RFC 4254, 5.2): what the end has granted, and what of that the
//! other side knows.

/// Smaller grants are collected, as long as the other side has that much window left, in bytes.
const GRANT: u32 = 32 * 1024;
/// The most that is granted at a time, in bytes: a link of 1 Gbit/s carries that in an eighth of a
/// second.
const MAX_GRANT: u32 = 16 * 1024 * 1024;

/// What may be sent to one end of a channel.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// How many bytes may still be sent to this end, as the other side knows.
    promised: u32,
    /// How many more bytes this end has granted, which were not passed on to the other side yet.
    untold: u32,
}

impl Window {
    /// The window of an end that grants so many bytes when it opens. What is due of them counts as
    /// passed on.
    pub(super) fn new(bytes: u32) -> Self {
        let mut window = Self {
            promised: 0,
            untold: bytes,
        };
        window.promise();
        window
    }

    /// How many bytes the other side may still send, as it knows.
    pub(super) fn promised(&self) -> u32 {
        self.promised
    }

    /// How many bytes this end accepts, including grants that were not passed on.
    pub(super) fn granted(&self) -> u32 {
        self.promised.saturating_add(self.untold)
    }

    /// Adds a grant of this end; `false` when the sum is too large.
    #[must_use]
    pub(super) fn add(&mut self, bytes: u32) -> bool {
        let sum = self.promised.checked_add(self.untold);
        let fits = sum.and_then(|sum| sum.checked_add(bytes)).is_some();
        if fits {
            self.untold += bytes;
        }
        fits
    }

    /// Subtracts data of the other side; `false` when it is more than was promised.
    #[must_use]
    pub(super) fn spend(&mut self, bytes: u32) -> bool {
        let left = self.promised.checked_sub(bytes);
        self.promised = left.unwrap_or(self.promised);
        left.is_some()
    }

    /// How much window to grant to the other side now; zero for nothing.
    ///
    /// The number in a grant is passed on without being recorded, so a side could send data in it. So it is a
    /// round number, unless the other side has little window left, and it is limited, however much was
    /// granted.
    pub(super) fn promise(&mut self) -> u32 {
        let most = self.untold.min(MAX_GRANT.saturating_sub(self.promised));
        let bytes = match most / GRANT {
            0 if self.promised < GRANT => most,
            whole => whole * GRANT,
        };
        self.promised += bytes;
        self.untold -= bytes;
        bytes
    }
}
