//! The two texts that Prometheus reads.

use std::fmt;
use std::sync::Arc;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;

use super::Metrics;

/// How the numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// Prometheus' own text, version 0.0.4: everything reads it.
    Prometheus,
    /// OpenMetrics 1.0: what Prometheus asks for.
    OpenMetrics,
}

impl TextFormat {
    /// What to give to a client that accepts this (`Accept` of HTTP). Who does not speak of
    /// OpenMetrics gets Prometheus' own.
    #[must_use]
    pub fn for_client(accepts: &str) -> Self {
        let wants = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let parts: Vec<_> = parts.collect();
            let version = parts.iter().find_map(|part| part.strip_prefix("version="));
            kind.eq_ignore_ascii_case("application/openmetrics-text")
                && version.is_none_or(|version| version == "1.0.0")
                && !parts.iter().any(|part| is_nothing(part))
        };
        match accepts.split(',').any(wants) {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    /// `Content-Type` of HTTP.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Whether a parameter is a weight of zero: "not this" (RFC 9110, 12.4.2).
fn is_nothing(parameter: &str) -> bool {
    let weight = parameter.strip_prefix("q=");
    weight.is_some_and(|weight| weight.parse() == Ok(0.0))
}

impl Metrics {
    /// Everything, as text.
    ///
    /// # Errors
    /// None that a string has; the writers' type has some.
    pub fn text(self: &Arc<Self>, form: TextFormat) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Arc::clone(self)));
        let mut written = String::new();
        match form {
            TextFormat::Prometheus => prometheus_text::encode(&mut written, &registry)?,
            TextFormat::OpenMetrics => text::encode(&mut written, &registry)?,
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_they_can_read() {
        // As Prometheus 2.53 asks.
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accepts, form) in [
            (prometheus, TextFormat::OpenMetrics),
            ("", TextFormat::Prometheus),
            ("*/*", TextFormat::Prometheus),
            ("text/plain", TextFormat::Prometheus),
            ("application/openmetrics-text", TextFormat::OpenMetrics),
            (
                "text/html, Application/OpenMetrics-Text ; version=1.0.0",
                TextFormat::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=0.0.1",
                TextFormat::Prometheus,
            ),
            (
                "application/openmetrics-text;version=1.0.0;q=0",
                TextFormat::Prometheus,
            ),
            (
                "application/openmetrics-text;version=1.0.0;q=0.0",
                TextFormat::Prometheus,
            ),
            (";,;q=,q=0", TextFormat::Prometheus),
        ] {
            assert_eq!(TextFormat::for_client(accepts), form, "{accepts}");
        }
    }

    #[test]
    fn each_text_is_what_its_type_says() {
        let metrics = Arc::new(Metrics::default());
        metrics
            .refusals
            .add(crate::audit::Party::Client, "different-key");
        let count = "rproxy_refusals_total{leg=\"client\",reason=\"different-key\"} 1\n";
        let own = metrics.text(TextFormat::Prometheus).unwrap();
        assert!(own.contains(count), "{own}");
        assert!(
            own.contains("# TYPE rproxy_refusals_total counter\n"),
            "{own}"
        );
        assert!(!own.contains("# EOF"));
        let open = metrics.text(TextFormat::OpenMetrics).unwrap();
        assert!(open.contains(count), "{open}");
        assert!(open.contains("# TYPE rproxy_refusals counter\n"), "{open}");
        assert!(open.ends_with("# EOF\n"));
    }
}
