//! The time index: where the key frames stand, and how much there was to see when (`FORMAT.md`,
//! section 8).

use std::io::{BufReader, Read, Seek, SeekFrom};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::RecordingError;
use super::footer::Footer;
use super::frame::{self, INDEX_TAG};
use super::walk::{self, Walk};

/// Most places in it: with more key frames, it has every second one, or every fourth.
pub(super) const MAX_KEYS: usize = 1024;
/// Most buckets of the activity: then each becomes twice as long.
const MAX_BUCKETS: usize = 512;
/// How long a bucket is at first, in milliseconds.
const FIRST_BUCKET_MS: u64 = 1000;
/// Most bytes of its frame.
const MAX_INDEX_FRAME: usize = 64 << 10;

/// Where the key frames of a recording stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Key frames of the file, those that are left out here too.
    frames: u64,
    /// Time in milliseconds since the start, and place in the file; in order.
    keys: Vec<(u64, u64)>,
    activity: Activity,
}

/// How much there was to see, over time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// How long each bucket is, in milliseconds.
    pub bucket_ms: u64,
    /// Bytes of output in each, from the start on. Those after the last output are left out.
    pub bytes: Vec<u64>,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            frames: 0,
            keys: Vec::new(),
            activity: Activity {
                bucket_ms: FIRST_BUCKET_MS,
                bytes: Vec::new(),
            },
        }
    }
}

impl Index {
    /// Reads the time index of a finished recording, or makes it from the key frames of one that has
    /// none: one that is still written, or was cut. The latter looks at the head of every block of
    /// the file, and decompresses nothing; its activity is empty.
    ///
    /// # Errors
    /// The operating system's.
    pub fn find(file: &mut (impl Read + Seek)) -> Result<Self, RecordingError> {
        match Self::read(file)? {
            Some(index) => Ok(index),
            None => Self::walk(file),
        }
    }

    /// The time index that the file has. `None` when it has none, or one that is not sound.
    pub(super) fn read(file: &mut (impl Read + Seek)) -> Result<Option<Self>, RecordingError> {
        let Some(offset) = Footer::find(file)?.and_then(|footer| footer.index) else {
            return Ok(None);
        };
        let body = walk::body_at(file, offset, INDEX_TAG, MAX_INDEX_FRAME)?;
        let index: Option<Self> = body.and_then(|body| serde_json::from_slice(&body).ok());
        Ok(index.filter(|index| index.is_sound(offset)))
    }

    /// Makes it from the key frames of a file.
    fn walk(file: &mut (impl Read + Seek)) -> Result<Self, RecordingError> {
        file.seek(SeekFrom::Start(0))
            .map_err(RecordingError::Read)?;
        let mut index = Self::default();
        let mut walk = Walk::new(BufReader::new(file), 0);
        while let Some(key) = walk.next_key()? {
            index.key(key.at_ms, key.offset);
        }
        Ok(index)
    }

    /// How much there was to see, over time.
    #[must_use]
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    /// Times of the key frames.
    pub fn times(&self) -> impl Iterator<Item = Duration> {
        self.keys
            .iter()
            .map(|(at_ms, _)| Duration::from_millis(*at_ms))
    }

    /// The last key frame that is not after this: its time and place.
    pub(super) fn before(&self, at_ms: u64) -> Option<(u64, u64)> {
        let after = self.keys.partition_point(|(time, _)| *time <= at_ms);
        self.keys.get(after.checked_sub(1)?).copied()
    }

    /// Whether there are key frames between those that it names.
    pub(super) fn is_thinned(&self) -> bool {
        self.frames > self.keys.len() as u64
    }

    /// Notes a key frame.
    pub(super) fn key(&mut self, at_ms: u64, offset: u64) {
        // Of the frames 0, 1, 2, ... it has those whose number this divides.
        let every = |frames: u64| (frames / MAX_KEYS as u64 + 1).next_power_of_two();
        if self.frames.is_multiple_of(every(self.frames)) {
            self.keys.push((at_ms, offset));
        }
        self.frames += 1;
        if every(self.frames) > every(self.frames - 1) {
            let mut number = 0;
            self.keys.retain(|_| {
                number += 1;
                number % 2 == 1
            });
        }
    }

    /// Notes output.
    pub(super) fn output(&mut self, at_ms: u64, count: usize) {
        let activity = &mut self.activity;
        while at_ms / activity.bucket_ms >= MAX_BUCKETS as u64 {
            activity.bucket_ms = activity.bucket_ms.saturating_mul(2);
            activity.bytes = activity
                .bytes
                .chunks(2)
                .map(|pair| {
                    pair.iter()
                        .fold(0u64, |sum, next| sum.saturating_add(*next))
                })
                .collect();
        }
        let bucket = usize::try_from(at_ms / activity.bucket_ms).unwrap_or(MAX_BUCKETS - 1);
        if activity.bytes.len() <= bucket {
            activity.bytes.resize(bucket + 1, 0);
        }
        if let Some(bytes) = activity.bytes.get_mut(bucket) {
            *bytes = bytes.saturating_add(count as u64);
        }
    }

    /// Bytes of memory that it holds.
    pub(super) fn held(&self) -> usize {
        self.keys.capacity() * size_of::<(u64, u64)>()
            + self.activity.bytes.capacity() * size_of::<u64>()
    }

    /// Appends its frame.
    pub(super) fn push(&self, out: &mut Vec<u8>) -> Result<(), RecordingError> {
        let open = frame::begin(out, INDEX_TAG);
        serde_json::to_writer(&mut *out, self).map_err(RecordingError::Header)?;
        frame::end(out, &open);
        Ok(())
    }

    fn is_sound(&self, offset: u64) -> bool {
        let places = self.keys.iter().map(|(_, place)| *place).chain([offset]);
        self.keys.len() <= MAX_KEYS
            && self.frames >= self.keys.len() as u64
            && self.keys.is_sorted_by_key(|(time, _)| *time)
            && places.is_sorted_by(|place, next| place < next)
            && self.activity.bucket_ms > 0
            && self.activity.bytes.len() <= MAX_BUCKETS
    }
}
