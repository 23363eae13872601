//! Samples, and their two reports: a table and a JSON document.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::Result;
use super::process::output;

/// Samples of one measure on one way.
#[derive(Clone, Debug, Default)]
struct Samples(Vec<f64>);

impl Samples {
    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    fn quantile(&self, quantile: f64) -> f64 {
        let sorted = self.sorted();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into a short list"
        )]
        let index = ((sorted.len().saturating_sub(1)) as f64 * quantile).round() as usize;
        sorted.get(index).copied().unwrap_or(f64::NAN)
    }
}

/// A row's key: what was measured, in which unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Measure {
    /// Rows are in the order of their first sample.
    order: usize,
    name: String,
    unit: &'static str,
}

/// All samples of a run.
#[derive(Debug)]
pub(crate) struct Report {
    ways: Vec<String>,
    rows: Vec<Measure>,
    samples: BTreeMap<(usize, usize), Samples>,
}

impl Report {
    pub(crate) fn new(ways: Vec<String>) -> Self {
        Self {
            ways,
            rows: Vec::new(),
            samples: BTreeMap::new(),
        }
    }

    /// Adds a sample.
    pub(crate) fn add(&mut self, name: &str, unit: &'static str, way: &str, sample: f64) {
        let Some(column) = self.ways.iter().position(|one| one == way) else {
            return;
        };
        let known = self
            .rows
            .iter()
            .position(|row| row.name == name && row.unit == unit);
        let row = known.unwrap_or_else(|| {
            self.rows.push(Measure {
                order: self.rows.len(),
                name: name.to_owned(),
                unit,
            });
            self.rows.len() - 1
        });
        self.samples
            .entry((row, column))
            .or_default()
            .0
            .push(sample);
    }

    /// The table, in Markdown. Cells are medians with the least and the greatest sample; `ratio` is
    /// the last way over ProxyJump.
    pub(crate) fn table(&self) -> String {
        let mut table = String::from("| measure | unit |");
        for way in &self.ways {
            let _infallible = write!(table, " {way} |");
        }
        table.push_str(" recording / ProxyJump |\n|---|---|");
        table.push_str(&"---|".repeat(self.ways.len() + 1));
        table.push('\n');
        for row in &self.rows {
            let _infallible = write!(table, "| {} | {} |", row.name, row.unit);
            for column in 0..self.ways.len() {
                let cell = self
                    .samples
                    .get(&(row.order, column))
                    .map_or_else(String::new, cell);
                let _infallible = write!(table, " {cell} |");
            }
            let ratio = self.ratio(row.order);
            let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            let _infallible = writeln!(table, " {ratio} |");
        }
        table
    }

    fn ratio(&self, row: usize) -> Option<f64> {
        let median = |name: &str| {
            let column = self.ways.iter().position(|way| way == name)?;
            Some(self.samples.get(&(row, column))?.quantile(0.5))
        };
        Some(median("recording")? / median("ProxyJump")?)
    }

    /// Everything, every sample.
    pub(crate) fn json(&self, machine: &Value) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let ways: serde_json::Map<String, Value> = self
                    .ways
                    .iter()
                    .enumerate()
                    .filter_map(|(column, way)| {
                        let samples = self.samples.get(&(row.order, column))?;
                        Some((
                            way.clone(),
                            json!({
                                "median": samples.quantile(0.5),
                                "min": samples.quantile(0.0),
                                "max": samples.quantile(1.0),
                                "samples": samples.0,
                            }),
                        ))
                    })
                    .collect();
                json!({
                    "measure": row.name,
                    "unit": row.unit,
                    "recording_over_proxyjump": self.ratio(row.order),
                    "ways": ways,
                })
            })
            .collect();
        json!({ "machine": machine, "results": rows })
    }
}

fn cell(samples: &Samples) -> String {
    let (median, least, most) = (
        samples.quantile(0.5),
        samples.quantile(0.0),
        samples.quantile(1.0),
    );
    let digits = if median < 10.0 { 2 } else { 0 };
    if samples.0.len() == 1 {
        return format!("{median:.digits$}");
    }
    format!("{median:.digits$} ({least:.digits$}-{most:.digits$})")
}

/// p50 and p99 of a batch.
pub(crate) fn percentiles(batch: Vec<f64>) -> (f64, f64) {
    let samples = Samples(batch);
    (samples.quantile(0.5), samples.quantile(0.99))
}

/// The machine and the programs that were measured.
pub(crate) fn machine(directory: &Path) -> Result<Value> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let line = |text: &str, name: &str| {
        text.lines().find_map(|line| {
            Some(
                line.strip_prefix(name)?
                    .split_once(':')?
                    .1
                    .trim()
                    .to_owned(),
            )
        })
    };
    // ssh says its version on stderr.
    let openssh = Command::new("ssh").arg("-V").output()?.stderr;
    let filesystem = output(Command::new("stat").args(["-f", "-c", "%T"]).arg(directory))?;
    Ok(json!({
        "date": rproxy::sys::clock::Clock::System.now().to_rfc3339(),
        "cpu": line(&read("/proc/cpuinfo"), "model name"),
        "cores": std::thread::available_parallelism()?.get(),
        "memory": line(&read("/proc/meminfo"), "MemTotal"),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "openssh": String::from_utf8_lossy(&openssh).trim(),
        "rproxy": env!("CARGO_PKG_VERSION"),
        "filesystem": filesystem.trim(),
        "load_before": load(),
    }))
}

/// The load averages as the kernel says them.
pub(crate) fn load() -> String {
    fs::read_to_string("/proc/loadavg")
        .unwrap_or_default()
        .trim()
        .to_owned()
}
