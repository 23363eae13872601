//! Durations, counted by upper bounds: two atomic additions for each, and no lock.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};

use super::label::ClosedSet;
use super::meter::{Meter, MeterKind, MeterSet};

/// The upper bounds of a histogram.
pub trait Bounds: fmt::Debug + Default + 'static {
    /// In microseconds, the smallest first.
    const MICROSECONDS: &'static [u64];
}

/// For what disks do.
#[derive(Debug, Default)]
pub struct Storage;

impl Bounds for Storage {
    const MICROSECONDS: &'static [u64] = &[
        10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 1_000_000,
    ];
}

/// For what networks and people do.
#[derive(Debug, Default)]
pub struct Network;

impl Bounds for Network {
    const MICROSECONDS: &'static [u64] = &[
        1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
        2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
    ];
}

/// Durations.
#[derive(Debug)]
pub struct Histogram<B> {
    /// How many were within a bound and beyond the one before.
    buckets: Vec<(Duration, AtomicU64)>,
    /// How many were beyond all bounds.
    beyond: AtomicU64,
    nanoseconds: AtomicU64,
    bounds: PhantomData<B>,
}

impl<B: Bounds> Default for Histogram<B> {
    fn default() -> Self {
        let bounds = B::MICROSECONDS.iter().copied();
        Self {
            buckets: bounds
                .map(|bound| (Duration::from_micros(bound), AtomicU64::default()))
                .collect(),
            beyond: AtomicU64::default(),
            nanoseconds: AtomicU64::default(),
            bounds: PhantomData,
        }
    }
}

impl<B> Histogram<B> {
    /// One more, which took this long.
    pub fn observe(&self, duration: Duration) {
        let within = self.buckets.iter().find(|(bound, _)| duration <= *bound);
        let count = within.map_or(&self.beyond, |(_, count)| count);
        count.fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

/// What a [`Histogram`] has counted, as it is sent to another process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistogramReading {
    /// How many were within each bound and beyond the one before; at last, those beyond all bounds.
    pub counts: Vec<u64>,
    /// All durations together.
    pub nanoseconds: u64,
}

impl<B> Histogram<B> {
    /// What it has counted.
    #[must_use]
    pub fn reading(&self) -> HistogramReading {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let within = self.buckets.iter().map(|(_, count)| load(count));
        HistogramReading {
            counts: within.chain([load(&self.beyond)]).collect(),
            nanoseconds: load(&self.nanoseconds),
        }
    }
}

impl HistogramReading {
    fn write<B: Bounds>(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let bounds = B::MICROSECONDS.iter().copied();
        let bounds = bounds.map(|bound| Duration::from_micros(bound).as_secs_f64());
        let bounds = bounds.chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(self.counts.iter().copied()).collect();
        // The count is made of the buckets: the two are always one.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_nanos(self.nanoseconds).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

/// A [`Histogram`] that is counted in another process; absent until that process has been asked.
#[derive(Debug)]
pub struct SampledHistogram<B> {
    reading: Mutex<Option<HistogramReading>>,
    bounds: PhantomData<B>,
}

impl<B> Default for SampledHistogram<B> {
    fn default() -> Self {
        Self {
            reading: Mutex::new(None),
            bounds: PhantomData,
        }
    }
}

impl<B: Bounds> SampledHistogram<B> {
    /// What was counted. One with other bounds, as another version of the program has them, is as good as
    /// none.
    pub fn set(&self, reading: Option<HistogramReading>) {
        let fits = |reading: &HistogramReading| reading.counts.len() == B::MICROSECONDS.len() + 1;
        let mut current = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        *current = reading.filter(fits);
    }
}

impl<B: Bounds> Meter for SampledHistogram<B> {
    const KIND: MeterKind = MeterKind::Histogram;

    fn write(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        let reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = reading.clone();
        reading.map_or(Ok(()), |reading| reading.write::<B>(encoder))
    }
}

impl<S: ClosedSet, B> MeterSet<S, Histogram<B>> {
    /// One more of this kind, which took this long.
    pub fn observe(&self, member: S, duration: Duration) {
        self.with(member, |histogram| histogram.observe(duration));
    }
}

impl<B: Bounds> Meter for Histogram<B> {
    const KIND: MeterKind = MeterKind::Histogram;

    fn write(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.reading().write::<B>(encoder)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Metrics, StateTask, TextFormat};
    use super::*;

    #[test]
    fn bounds_grow() {
        for bounds in [Storage::MICROSECONDS, Network::MICROSECONDS] {
            assert!(bounds.is_sorted_by(|one, next| one < next));
        }
    }

    #[test]
    fn a_reading_is_written_as_what_was_counted() {
        let counted = Histogram::<Storage>::default();
        for microseconds in [0, 11, 1_000_001] {
            counted.observe(Duration::from_micros(microseconds));
        }
        let metrics = Arc::new(Metrics::default());
        let text = || metrics.text(TextFormat::Prometheus).unwrap();
        let read = |reading| {
            let set = |histogram: &SampledHistogram<Storage>| histogram.set(Some(reading));
            metrics.state.with(StateTask::Read, set).unwrap();
        };
        assert!(!text().contains("rproxy_state_seconds_count"));
        read(counted.reading());
        for line in [
            "rproxy_state_seconds_bucket{task=\"read\",le=\"1e-05\"} 1\n",
            "rproxy_state_seconds_bucket{task=\"read\",le=\"2.5e-05\"} 2\n",
            "rproxy_state_seconds_bucket{task=\"read\",le=\"+Inf\"} 3\n",
            "rproxy_state_seconds_sum{task=\"read\"} 1.000012\n",
        ] {
            assert!(text().contains(line), "{line}{}", text());
        }
        // One of other bounds.
        read(HistogramReading {
            counts: vec![1, 2],
            nanoseconds: 3,
        });
        assert!(!text().contains("rproxy_state_seconds_count"));
    }

    #[test]
    fn durations_are_in_the_bucket_that_they_are_within() {
        let metrics = Arc::new(Metrics::default());
        for microseconds in [0, 10, 11, 1_000_000, 1_000_001] {
            let duration = Duration::from_micros(microseconds);
            metrics.recording_commit.observe(duration);
        }
        let text = metrics.text(TextFormat::Prometheus).unwrap();
        for line in [
            "rproxy_recording_commit_seconds_bucket{le=\"1e-05\"} 2\n",
            "rproxy_recording_commit_seconds_bucket{le=\"2.5e-05\"} 3\n",
            "rproxy_recording_commit_seconds_bucket{le=\"0.1\"} 3\n",
            "rproxy_recording_commit_seconds_bucket{le=\"1\"} 4\n",
            "rproxy_recording_commit_seconds_bucket{le=\"+Inf\"} 5\n",
            "rproxy_recording_commit_seconds_count 5\n",
            "rproxy_recording_commit_seconds_sum 2.000022\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
