//! What counts: atomics on the ways that relay, short locks where something seldom happens.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::{MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::label::{ClosedSet, Label, Values};
use crate::audit::Party;

/// Most nodes whose certificates are remembered.
const MAX_NODES: usize = 10_000;

/// How the numbers of a family behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MeterKind {
    /// They only grow.
    Counter,
    /// They go up and down.
    Gauge,
    /// They are counts of durations, by upper bounds.
    Histogram,
}

impl MeterKind {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl From<MeterKind> for MetricType {
    fn from(kind: MeterKind) -> Self {
        match kind {
            MeterKind::Counter => Self::Counter,
            MeterKind::Gauge => Self::Gauge,
            MeterKind::Histogram => Self::Histogram,
        }
    }
}

/// Something that counts and can be written.
pub trait Meter: fmt::Debug + Default {
    /// How it behaves.
    const KIND: MeterKind;

    /// The labels of its series.
    #[must_use]
    fn labels() -> Vec<Label> {
        Vec::new()
    }

    /// Writes what it has counted.
    ///
    /// # Errors
    /// When the writer takes no more.
    fn write(&self, encoder: MetricEncoder<'_>) -> fmt::Result;
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// What it has come to.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Meter for Counter {
    const KIND: MeterKind = MeterKind::Counter;

    fn write(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_counter::<NoLabelSet, u64, f64>(&self.value(), None)
    }
}

/// How many there are of something now.
#[derive(Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    /// One more, for as long as the result lives.
    #[must_use]
    pub fn hold(&self) -> GaugeGuard {
        self.0.fetch_add(1, Ordering::Relaxed);
        GaugeGuard(Some(Arc::clone(&self.0)))
    }

    /// How many there are.
    #[must_use]
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Meter for Gauge {
    const KIND: MeterKind = MeterKind::Gauge;

    fn write(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_gauge(&self.value())
    }
}

/// One of what a [`Gauge`] counts.
#[derive(Debug)]
pub struct GaugeGuard(Option<Arc<AtomicI64>>);

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        if let Some(gauge) = &self.0 {
            gauge.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A meter for each member of a closed set. Nothing is looked up under a lock, and all are there from
/// the start: a comparison of two scrapes misses none.
#[derive(Debug)]
pub struct MeterSet<S, M>(Vec<(S, M)>);

impl<S: ClosedSet, M: Default> Default for MeterSet<S, M> {
    fn default() -> Self {
        Self(
            S::ALL
                .iter()
                .map(|member| (*member, M::default()))
                .collect(),
        )
    }
}

impl<S: ClosedSet, M> MeterSet<S, M> {
    /// Does something with the meter of a member. `None` never comes of a member of the set.
    pub fn with<T>(&self, member: S, act: impl FnOnce(&M) -> T) -> Option<T> {
        let found = self.0.iter().find(|(known, _)| *known == member);
        found.map(|(_, meter)| act(meter))
    }
}

impl<S: ClosedSet> MeterSet<S, Counter> {
    /// Adds to a member's counter.
    pub fn add(&self, member: S, count: u64) {
        self.with(member, |counter| counter.add(count));
    }
}

impl<S: ClosedSet> MeterSet<S, Counter> {
    /// What was counted, by the value of the first label; without the members of which there was nothing.
    #[must_use]
    pub fn readings(&self) -> BTreeMap<String, u64> {
        let counted = self.0.iter().filter(|(_, counter)| counter.value() > 0);
        let named = counted.filter_map(|(member, counter)| {
            let name = member.values().into_iter().next()?;
            Some((name.to_owned(), counter.value()))
        });
        named.collect()
    }
}

impl<S: ClosedSet> MeterSet<S, Total> {
    /// Takes over what another process has counted, as its [`MeterSet::readings`] has it. Names that are
    /// not in the set are passed over.
    pub fn take(&self, readings: &BTreeMap<String, u64>) {
        for (member, total) in &self.0 {
            let values = member.values();
            let count = values.first().and_then(|name| readings.get(*name));
            total.set(Some(count.map_or(0.0, |count| *count as f64)));
        }
    }
}

impl<S: ClosedSet> MeterSet<S, Gauge> {
    /// One more of this kind, for as long as the result lives.
    #[must_use]
    pub fn hold(&self, member: S) -> GaugeGuard {
        self.with(member, Gauge::hold).unwrap_or(GaugeGuard(None))
    }
}

impl<S: ClosedSet, M: Meter> Meter for MeterSet<S, M> {
    const KIND: MeterKind = M::KIND;

    fn labels() -> Vec<Label> {
        S::described()
    }

    fn write(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (member, meter) in &self.0 {
            let names = S::LABELS.iter().copied();
            let labels: Vec<(&str, &str)> = names.zip(member.values()).collect();
            meter.write(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// A number that is looked up at each scrape; absent if it could not be found out.
#[derive(Debug, Default)]
pub struct SampledGauge(Mutex<Option<f64>>);

impl SampledGauge {
    /// What was found.
    pub fn set(&self, value: Option<f64>) {
        *locked(&self.0) = value;
    }
}

impl Meter for SampledGauge {
    const KIND: MeterKind = MeterKind::Gauge;

    fn write(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let value = *locked(&self.0);
        value.map_or(Ok(()), |value| encoder.encode_gauge(&value))
    }
}

/// As [`SampledGauge`], of a number that only grows.
#[derive(Debug, Default)]
pub struct Total(Mutex<Option<f64>>);

impl Total {
    /// What was found.
    pub fn set(&self, value: Option<f64>) {
        *locked(&self.0) = value;
    }
}

impl Meter for Total {
    const KIND: MeterKind = MeterKind::Counter;

    fn write(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let value = *locked(&self.0);
        value.map_or(Ok(()), |value| {
            encoder.encode_counter::<NoLabelSet, f64, f64>(&value, None)
        })
    }
}

/// Which version runs.
#[derive(Debug, Default)]
pub struct Build;

impl Meter for Build {
    const KIND: MeterKind = MeterKind::Gauge;

    fn labels() -> Vec<Label> {
        vec![Label {
            name: "version",
            values: Values::Program("the version"),
        }]
    }

    fn write(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let labels = [("version", env!("CARGO_PKG_VERSION"))];
        encoder.encode_family(&labels)?.encode_gauge(&1_i64)
    }
}

/// Refusals by leg and reason. Reasons are words of the program, so there are only so many.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<BTreeMap<(&'static str, &'static str), u64>>);

impl Refusals {
    /// One more.
    pub fn add(&self, leg: Party, reason: &'static str) {
        for leg in leg.values() {
            *locked(&self.0).entry((leg, reason)).or_default() += 1;
        }
    }
}

impl Meter for Refusals {
    const KIND: MeterKind = MeterKind::Counter;

    fn labels() -> Vec<Label> {
        let reason = Label {
            name: "reason",
            values: Values::Program("a stable word, as in the audit log"),
        };
        Party::described().into_iter().chain([reason]).collect()
    }

    fn write(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        // A copy: a refusal does not wait for the writer.
        let counted = locked(&self.0).clone();
        for ((leg, reason), count) in counted {
            let labels = [("leg", leg), ("reason", reason)];
            let mut one = encoder.encode_family(&labels)?;
            one.encode_counter::<NoLabelSet, u64, f64>(&count, None)?;
        }
        Ok(())
    }
}

/// A time for each node of the inventory, in seconds since the epoch.
#[derive(Debug, Default)]
pub struct NodeTimes(Mutex<BTreeMap<String, u64>>);

impl NodeTimes {
    /// A node's time; `None` where it has none.
    pub fn set(&self, node: &str, at: Option<u64>) {
        let mut times = locked(&self.0);
        match at {
            None => {
                times.remove(node);
            }
            Some(at) => {
                if times.len() < MAX_NODES || times.contains_key(node) {
                    times.insert(node.to_owned(), at);
                }
            }
        }
    }

    /// Forgets nodes.
    pub fn retain(&self, is_there: impl Fn(&str) -> bool) {
        locked(&self.0).retain(|node, _| is_there(node));
    }
}

impl Meter for NodeTimes {
    const KIND: MeterKind = MeterKind::Gauge;

    fn labels() -> Vec<Label> {
        vec![Label {
            name: "node",
            values: Values::Nodes,
        }]
    }

    fn write(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let times = locked(&self.0).clone();
        for (node, at) in times {
            let labels = [("node", node)];
            encoder.encode_family(&labels)?.encode_gauge(&at)?;
        }
        Ok(())
    }
}

/// A panic elsewhere cannot leave a number half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::Layer;
    use super::*;

    #[test]
    fn readings_of_another_process_replace_those_before() {
        let counted = MeterSet::<Layer, Counter>::default();
        assert_eq!(counted.readings(), BTreeMap::new());
        counted.add(Layer::Outer, 3);
        let shown = MeterSet::<Layer, Total>::default();
        let value = |member| shown.with(member, |total| *locked(&total.0)).unwrap();
        assert_eq!(value(Layer::Outer), None, "nothing is known");
        let mut readings = counted.readings();
        readings.insert("of-a-later-version".to_owned(), 9);
        shown.take(&readings);
        assert_eq!(
            (value(Layer::Outer), value(Layer::Inner)),
            (Some(3.0), Some(0.0))
        );
        // That process was started again.
        shown.take(&BTreeMap::new());
        assert_eq!(value(Layer::Outer), Some(0.0));
    }

    #[test]
    fn a_gauge_goes_down_when_its_holder_ends() {
        let open = MeterSet::<Layer, Gauge>::default();
        let one = open.hold(Layer::Inner);
        let two = open.hold(Layer::Inner);
        assert_eq!(open.with(Layer::Inner, Gauge::value), Some(2));
        assert_eq!(open.with(Layer::Outer, Gauge::value), Some(0));
        drop(one);
        assert_eq!(open.with(Layer::Inner, Gauge::value), Some(1));
        drop(two);
        assert_eq!(open.with(Layer::Inner, Gauge::value), Some(0));
    }

    #[test]
    fn nodes_are_bounded_and_can_be_forgotten() {
        let times = NodeTimes::default();
        for number in 0..MAX_NODES + 5 {
            times.set(&format!("n{number}"), Some(1));
        }
        times.set("n0", Some(2));
        assert_eq!(locked(&times.0).len(), MAX_NODES);
        assert_eq!(locked(&times.0)["n0"], 2);
        times.set("n0", None);
        times.retain(|node| node == "n1" || node == "n0");
        assert_eq!(locked(&times.0).keys().collect::<Vec<_>>(), ["n1"]);
    }
}
