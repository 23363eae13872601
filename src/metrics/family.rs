//! The families: one table from which they are made, written, and described in the documentation.

use super::label::Label;
use super::meter::{Meter, MeterKind};

/// A name, and everything that is counted under it.
#[derive(Clone, Debug)]
pub struct Family {
    /// The name without the endings that its kind has.
    name: &'static str,
    /// How it behaves.
    pub kind: MeterKind,
    /// The labels of its series.
    pub labels: Vec<Label>,
    /// What it is, in a sentence.
    pub meaning: &'static str,
}

impl Family {
    /// The family of a meter.
    pub(super) fn of<M: Meter>(name: &'static str, meaning: &'static str) -> Self {
        Self {
            name,
            kind: M::KIND,
            labels: M::labels(),
            meaning,
        }
    }

    /// The name that stands in the documentation: that of a counter with its `_total`.
    #[must_use]
    pub fn name(&self) -> String {
        match self.kind {
            MeterKind::Counter => format!("{}_total", self.name),
            MeterKind::Gauge | MeterKind::Histogram => self.name.to_owned(),
        }
    }

    /// The names that a query may use.
    #[must_use]
    pub fn series(&self) -> Vec<String> {
        match self.kind {
            MeterKind::Counter | MeterKind::Gauge => vec![self.name()],
            MeterKind::Histogram => ["bucket", "count", "sum"]
                .map(|end| format!("{}_{end}", self.name))
                .to_vec(),
        }
    }
}

/// Makes [`Metrics`](super::Metrics) of a table: field, meter, name, meaning.
macro_rules! families {
    ($($field:ident: $meter:ty, $name:literal, $meaning:literal;)*) => {
        /// Everything that is counted and timed.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $(#[doc = $meaning] pub $field: $meter,)*
        }

        impl Metrics {
            /// What there is, in the order in which it is written.
            #[must_use]
            pub fn families() -> Vec<Family> {
                vec![$($crate::metrics::family::Family::of::<$meter>($name, $meaning),)*]
            }
        }

        impl prometheus_client::collector::Collector for Metrics {
            fn encode(
                &self,
                mut encoder: prometheus_client::encoding::DescriptorEncoder<'_>,
            ) -> std::fmt::Result {
                $(self.$field.write(encoder.encode_descriptor(
                    $name,
                    $meaning,
                    None,
                    <$meter as Meter>::KIND.into(),
                )?)?;)*
                Ok(())
            }
        }
    };
}

pub(super) use families;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::super::{
        AuthMeters, Authority, ClosedSet as _, Histogram, Metrics, NodeStanding, StateMeters,
        StateTask, TextFormat, Values,
    };
    use super::*;

    fn is_name(text: &str) -> bool {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    }

    /// <https://prometheus.io/docs/practices/naming/>
    #[test]
    fn names_are_as_prometheus_has_them() {
        let families = Metrics::families();
        let names: BTreeSet<_> = families.iter().map(Family::name).collect();
        assert_eq!(names.len(), families.len(), "each name once");
        for family in &families {
            let name = family.name();
            assert!(is_name(&name), "{name}");
            assert!(
                name.starts_with("rproxy_") || name.starts_with("process_"),
                "{name}"
            );
            assert!(!family.name.ends_with("_total"), "{name}");
            assert!(family.meaning.ends_with('.'), "{name}");
            assert!(!family.meaning.contains(['|', '\\', '\n']), "{name}");
            if family.kind == MeterKind::Histogram {
                assert!(family.name.ends_with("_seconds"), "{name}");
            }
            // OpenMetrics knows a counter by its name without the ending: no gauge may be called so.
            if family.kind != MeterKind::Counter {
                assert!(!names.contains(&format!("{name}_total")), "{name}");
            }
        }
    }

    /// A label whose values clients can invent fills the memory of the server that stores them.
    #[test]
    fn every_label_has_a_bound() {
        for family in Metrics::families() {
            let mut count = 1;
            for label in &family.labels {
                assert!(is_name(label.name), "{}", label.name);
                // Histograms have that one themselves.
                assert_ne!(label.name, "le");
                if let Values::Closed(values) = &label.values {
                    let different: BTreeSet<_> = values.iter().collect();
                    assert!(!values.is_empty());
                    count *= different.len();
                }
            }
            // The audit events are the most, with a series for each kind.
            assert!(count <= 96, "{}: {count} series", family.name());
        }
    }

    /// What is written has exactly the families of the table, and each label is one of the table's.
    #[test]
    fn what_is_written_is_in_the_table() {
        let metrics = Arc::new(Metrics::default());
        metrics.refusals.add(crate::audit::Party::Proxy, "policy");
        metrics.host_certificates.set("db1", Some(1));
        let readings = [
            &metrics.recordings_free,
            &metrics.recordings_size,
            &metrics.revocations,
            &metrics.process_start,
            &metrics.process_resident,
            &metrics.process_open_fds,
            &metrics.process_max_fds,
            &metrics.live_sign_ins,
            &metrics.tunnelled_nodes,
            &metrics.state_size,
            &metrics.state_age,
            &metrics.auth_up,
            &metrics.auth_start,
        ];
        readings.iter().for_each(|reading| reading.set(Some(1.5)));
        let totals = [
            &metrics.process_cpu,
            &metrics.state_errors,
            &metrics.auth_restarts,
            &metrics.auth_audit_failures,
            &metrics.node_heartbeats,
            &metrics.node_refusals,
        ];
        totals.iter().for_each(|total| total.set(Some(0.25)));
        let counted = AuthMeters::default();
        metrics.sign_ins.take(&counted.sign_ins.readings());
        metrics.sign_in_refusals.take(&counted.refusals.readings());
        metrics.throttled.take(&counted.throttled.readings());
        metrics
            .user_certificates
            .take(&counted.certificates.readings());
        metrics
            .auth_audit_events
            .take(&counted.audit_events.readings());
        for task in StateTask::ALL {
            let counted = StateMeters::default();
            let reading = counted.time.with(*task, Histogram::reading);
            metrics
                .state
                .with(*task, |histogram| histogram.set(reading));
        }
        for standing in NodeStanding::ALL {
            metrics.nodes.with(*standing, |nodes| nodes.set(Some(2.0)));
        }
        for kind in Authority::ALL {
            metrics
                .authority_keys
                .with(*kind, |keys| keys.set(Some(1.0)));
        }
        for form in [TextFormat::Prometheus, TextFormat::OpenMetrics] {
            let text = metrics.text(form).unwrap();
            let mut seen = BTreeSet::new();
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                let (series, value) = line.rsplit_once(' ').unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                let families = Metrics::families();
                let family = families
                    .iter()
                    .find(|family| family.series().iter().any(|one| one == name))
                    .unwrap_or_else(|| panic!("{form:?}: {name} is in no family"));
                seen.insert(family.name());
                for label in labels.trim_end_matches('}').split(',') {
                    let Some((label, value)) = label.split_once('=') else {
                        continue;
                    };
                    let value = value.trim_matches('"');
                    let known = family.labels.iter().find(|known| known.name == label);
                    match known.map(|known| &known.values) {
                        Some(Values::Closed(values)) => assert!(values.contains(&value), "{line}"),
                        Some(Values::Program(_) | Values::Nodes) => {}
                        None => assert_eq!((label, family.kind), ("le", MeterKind::Histogram)),
                    }
                }
            }
            let expected: BTreeSet<_> = Metrics::families().iter().map(Family::name).collect();
            assert_eq!(seen, expected, "{form:?}");
        }
    }

    #[test]
    fn the_table_has_every_family_once() {
        let table = crate::metrics::table();
        for family in Metrics::families() {
            let cell = format!("| `{}` |", family.name());
            assert_eq!(table.matches(&cell).count(), 1, "{cell}");
        }
    }
}
